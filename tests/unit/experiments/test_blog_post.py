"""The blog post's experiment on the model, in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from cmhot.experiments import blog_post
from cmhot.experiments.blog_post import shares_by, time_updates
from cmhot.kubelet.settings import Setting

if TYPE_CHECKING:
    from cmhot.cluster.model import ModelCluster


def test_the_post_as_it_was(cluster: ModelCluster) -> None:
    """INFO and INFO; INFO, and DEBUG sooner or later; DEBUG and DEBUG."""
    with blog_post.set_stage(cluster) as stage:
        blog_post.start(stage)
        seen = [list(blog_post.read_pods(stage)["printed"])]
        blog_post.edit(stage, "DEBUG")
        cluster.clock.sleep(17)
        seen.append(list(blog_post.read_pods(stage)["printed"]))
        blog_post.roll_out(stage)
        seen.append(list(blog_post.read_pods(stage)["printed"]))

    assert seen == [["INFO", "INFO"], ["INFO", "DEBUG"], ["DEBUG", "DEBUG"]]


def test_a_pod_knows_the_services_of_its_start(cluster: ModelCluster) -> None:
    """The seven variables of one port: in the new pod, and not in the old one."""
    with blog_post.set_stage(cluster) as stage:
        found = blog_post.service_variables(stage)

    assert len(found) == 7
    assert found["before"].isna().all()
    assert dict(zip(found["variable"], found["after"], strict=True))[
        "LATER_SERVICE_PORT"
    ] == ("80")


def test_timed_the_volume_follows_the_law(cluster: ModelCluster) -> None:
    """And the environment never changes: each look says how long it was watched."""
    with blog_post.set_stage(cluster, node="model-1") as stage:
        blog_post.start(stage)
        blog_post.scale(stage, 20)
        table = time_updates(stage, updates=30, pods=20)

    volume = table[table["consumer"] == "volume"]
    env = table[table["consumer"] == "envFrom"]
    assert len(volume) == len(env) == 600
    assert (volume["status"] == "observed").all()
    assert (env["status"] == "timeout").all()
    assert env["delay_s"].isna().all()
    assert env["waited_s"].min() > 8
    # the law's mean is 3.44 s; pods of an update share its instant, so some 100
    # of the 600 are independent: 2 s of spread / 10, three times
    assert volume["delay_s"].mean() == pytest.approx(3.44, abs=0.6)
    assert table.attrs["setting"] == "5 s, Watch"
    assert table.attrs["modelled"] is True


def test_shares_by_ten_seconds() -> None:
    """At S = 10 s three in four have it; at the default two in fifteen."""
    table = pd.DataFrame(
        {
            "consumer": ["volume"] * 4 + ["envFrom"],
            "delay_s": [1.0, 9.0, 10.0, 11.0, float("nan")],
        }
    )

    found = shares_by(table, Setting(10))

    assert found["measured"] == 0.75
    assert found["by the law"] == pytest.approx(0.75, abs=0.02)
    # 10 / 75.5, since no interval is shorter than 61 s
    assert found["by the law at the default"] == pytest.approx(0.1325, abs=0.001)
    assert found["environment"] == 0


def test_nginx_runs_as_it_is(cluster: ModelCluster) -> None:
    """It is not held to a user, nor given another command; other images sleep."""
    theirs = blog_post.set_stage(cluster, image="docker.io/library/nginx:1.28")
    ours = blog_post.set_stage(cluster)

    (nginx, sleeper) = (
        blog_post.manifests(one)[2]["spec"]["template"]["spec"]
        for one in (theirs, ours)
    )

    assert "command" not in nginx["containers"][0]
    assert "securityContext" not in nginx
    assert sleeper["containers"][0]["command"] == ["sleep", "86400"]
    assert sleeper["securityContext"]["runAsNonRoot"] is True
