"""From the command line to the numbers, on real kubelets."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import cmhot
from benchmarks.common import (
    CLOCK,
    await_ready,
    has_namespace,
    wait_until,
)
from cmhot.cluster import probe
from cmhot.errors import NotFoundError
from cmhot.runs.rundir import read_run
from tests.testbed.accounts import write_kubeconfig
from tests.testbed.command import run, start
from tests.testbed.conftest import NAME

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd

    from cmhot.cluster.port import Cluster
    from cmhot.cluster.testbed.status import Status
    from tests.testbed.conftest import Collected

FAST = ("sync-2s-watch", "sync-2s-get", "sync-2s-cache")
LONGEST_S = 3.3
"""A sync interval of S = 2 s is 3 s at most on the kubelet's one-second tick,
and two volume loops of 0.1 s each and a relist follow."""
BUSY_S = 0.3
"""For a machine of two cores on which four kubelets sync eighty pods."""


def namespace_of(run_id: str) -> str:
    """Return the namespace that a collection makes for itself."""
    return probe.namespace_of(run_id)


def test_a_collection_is_complete(collected: Collected) -> None:
    """It ends with 0, its output is the path of a run directory that lacks nothing."""
    run_dir, meta = collected.run.path, collected.run.meta

    assert collected.code == 0, collected.messages
    assert collected.output == f"{run_dir}\n"
    assert "Traceback" not in collected.messages
    assert meta["status"] == "complete"
    assert meta["modelled"] is False
    assert meta["kubernetes"] == "v1.37.1"
    assert meta["clock"]["name"] == "CLOCK_REALTIME"
    assert {path.name for path in run_dir.iterdir()} == {
        *("run.json", "updates.jsonl", "publications.jsonl", "clock.jsonl"),
        *("events.jsonl", "delays.parquet", "refresh.parquet"),
    }


def test_settings_are_those_that_the_kubelets_report(collected: Collected) -> None:
    """Each kubelet's own /configz says what it was set to."""
    settings = collected.run.meta["settings"]

    assert {
        node: (found["sync_frequency_s"], found["strategy"], found["ttl_s"])
        for node, found in settings.items()
    } == {
        "sync-2s-watch": (2, "Watch", 0),
        "sync-2s-get": (2, "Get", 0),
        "sync-2s-cache": (2, "Cache", 0),
        "sync-10s-watch": (10, "Watch", 0),
    }
    assert {found["source"] for found in settings.values()} == {"configz"}
    assert {found["kubelet"] for found in settings.values()} == {"v1.37.1"}


def delays(collected: Collected) -> pd.DataFrame:
    """Read the delays that the collection derived."""
    import pandas as pd  # noqa: PLC0415 - here only

    return pd.read_parquet(collected.run.path / "delays.parquet")


def test_every_update_is_seen_in_every_pod(collected: Collected) -> None:
    """Trials times pods are the rows, and each was observed."""
    rows, meta = delays(collected), collected.run.meta
    trials = meta["checks"]["trials_planned"]

    assert len(meta["pods"]) == 80
    # 30 s with a mean gap of a sixth of 2 s
    assert 70 < trials < 110
    assert meta["checks"]["trials_sent"] == trials
    assert len(rows) == trials * 80
    assert rows["status"].value_counts()["observed"] == trials * 80


@pytest.mark.parametrize("node", FAST)
def test_no_delay_exceeds_a_sync(collected: Collected, node: str) -> None:
    """At S = 2 s each delay lies between nothing and the longest sync interval."""
    rows = delays(collected)
    found = rows.loc[rows["node"] == node, "delay_s"]

    # X = ⌊2 + U + ε⌋ + 1 s is 3, and 4 with the probability of a sync's own seconds,
    # ε: some 0.01 on a quiet machine; 0.05 is a machine busy with other things
    assert (found > LONGEST_S).mean() < 0.05
    # 1.5 S + 1 s, and the volume loops
    assert found.max() < 4.2 + BUSY_S
    # published before the acknowledgement came back, by a round trip at most
    assert found.min() > -0.1
    # uniform over intervals of 2 and 3 s: the mean is 1.0 to 1.5 s, and the loops
    assert 0.9 < found.mean() < 1.9


def test_delays_at_ten_seconds_follow_the_law(collected: Collected) -> None:
    """At S = 10 s under Watch no delay exceeds the end of the law's support."""
    rows = delays(collected)
    found = rows.loc[rows["node"] == "sync-10s-watch", "delay_s"]
    law = cmhot.law.law_for(cmhot.Setting(10))
    assert law is not None

    assert found.max() < law.max_s + BUSY_S
    # 20 pods for 30 s are 46 independent intervals: the mean of 6.6 s is known
    # to some 0.6 s; four of those
    assert abs(found.mean() - law.mean_s) < 2.4


def test_phases_are_scrambled(collected: Collected) -> None:
    """Each pod was synced once at an instant of its own, before the first trial."""
    updates, meta = collected.run.updates, collected.run.meta
    scrambles = updates[updates["purpose"] == "scramble"]

    assert len(scrambles) == 80
    assert scrambles["acked_ns"].max() < meta["measure_from_ns"]
    assert meta["checks"]["phases_scrambled"] == 80
    # an annotation may fall on a sync already under way
    assert meta["checks"]["phases_not_scrambled"] <= 4


def test_a_collection_can_be_summarised(collected: Collected) -> None:
    """`summarise` gives a row for each setting, with the law beside it."""
    code, output, messages = run("summarise", str(collected.run.path), "--json")

    assert code == 0, messages
    answer = json.loads(output)
    assert answer["modelled"] is False
    assert sorted(
        (row["sync_frequency_s"], row["strategy"], row["pods"])
        for row in answer["settings"]
    ) == [(2, "Cache", 20), (2, "Get", 20), (2, "Watch", 20), (10, "Watch", 20)]
    assert all(row["n_timeout"] == 0 for row in answer["settings"])
    assert all(row["law"] is not None for row in answer["settings"])


def test_a_collection_leaves_no_namespace(
    collected: Collected, cluster: Cluster
) -> None:
    """The namespace that a collection made goes away after it."""
    name = namespace_of(collected.run.meta["run_id"])

    # eighty pods of four nodes, a few a second
    assert wait_until(lambda: not has_namespace(cluster, name), deadline_s=60)


@pytest.mark.usefixtures("testbed")
def test_an_interruption_keeps_the_data(tmp_path: Path, cluster: Cluster) -> None:
    """Ctrl-C ends with 130, keeps what was measured, and takes the namespace away."""
    out = tmp_path / "runs"
    command = ("collect", "--target", f"testbed:{NAME}", "--out", str(out))

    def has_update() -> bool:
        return any(file.stat().st_size for file in out.glob("*/updates.jsonl"))

    with start(*command, "--pods", "2", "--duration", "60s") as running:
        assert wait_until(has_update, deadline_s=60)
        CLOCK.sleep(4)  # a sync of the kubelets of 2 s, 3 s long, falls into it
        running.process.send_signal(signal.SIGINT)
        code = running.wait(30)

    assert code == 130
    assert running.messages.endswith("cmhot: interrupted\n")
    assert "Traceback" not in running.messages
    (path,) = out.iterdir()
    left = read_run(path)
    assert left.meta["status"] == "interrupted"
    assert left.meta["ended_utc"] is not None
    assert len(left.publications) >= 8  # from each pod at least what it started with
    name = namespace_of(left.meta["run_id"])
    assert wait_until(lambda: not has_namespace(cluster, name), deadline_s=60)


BLOG_POST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: app}
data: {LOG_LEVEL: info}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, labels: {app: app}}
spec:
  replicas: 2
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      terminationGracePeriodSeconds: 1
      nodeSelector: {kubernetes.io/hostname: sync-2s-watch}
      volumes:
      - {name: config, configMap: {name: app}}
      containers:
      - name: environment
        image: IMAGE
        imagePullPolicy: Never
        command: [sleep, infinity]
        envFrom: [{configMapRef: {name: app}}]
      - name: volume
        image: IMAGE
        imagePullPolicy: Never
        command: [sleep, infinity]
        volumeMounts: [{name: config, mountPath: /etc/app}]
"""


@pytest.mark.parametrize("form", ["text", "path", "list"])
def test_apply_takes_every_form(
    form: str, tmp_path: Path, cluster: Cluster, namespace: str
) -> None:
    """A YAML text, a path and a list of dicts are applied alike."""
    text = BLOG_POST.replace("IMAGE", "x").replace("replicas: 2", "replicas: 0")
    path = tmp_path / "app.yaml"
    path.write_text(text)
    given: dict[str, Any] = {
        "text": text,
        "path": path,
        "list": list(yaml.safe_load_all(text)),
    }

    stored = cmhot.apply(cluster, given[form], namespace=namespace)

    assert [found["kind"] for found in stored] == ["ConfigMap", "Deployment"]
    assert all(found["metadata"]["namespace"] == namespace for found in stored)


def test_volumes_change_and_environments_never(
    cluster: Cluster, namespace: str, testbed: Status
) -> None:
    """The blog post's two consumers: the file follows an update, the variable never."""
    image = str(testbed.to_dict()["probe_image"])
    cmhot.apply(cluster, BLOG_POST.replace("IMAGE", image), namespace=namespace)
    await_ready(cluster, namespace, count=2, deadline_s=60, labels={"app": "app"})

    before = cmhot.observe(cluster, "app", namespace=namespace)
    update = cmhot.patch(cluster, "app", {"LOG_LEVEL": "debug"}, namespace=namespace)

    def seen(consumer: str) -> list[dict[str, str]]:
        table = cmhot.observe(cluster, "app", namespace=namespace)
        found: list[dict[str, str]] = table.loc[
            table["consumer"] == consumer, "content"
        ].tolist()
        return found

    # two pods, two containers, each with one consumer
    assert len(before) == 4
    assert sorted(before["consumer"]) == ["envFrom", "envFrom", "volume", "volume"]
    assert before["current"].tolist() == [True] * 4
    assert update.planned_ns <= update.sent_ns <= update.acked_ns
    assert update.acked_ns - update.sent_ns < 1e9  # a write takes some milliseconds
    assert int(update.resource_version) > 0
    arrived = wait_until(
        lambda: seen("volume") == [{"LOG_LEVEL": "debug"}] * 2,
        deadline_s=LONGEST_S + 3,  # looking takes its time
        poll_s=0.2,
    )
    assert arrived
    CLOCK.sleep(LONGEST_S)  # another sync would have changed the variable too
    assert seen("envFrom") == [{"LOG_LEVEL": "info"}] * 2
    after = cmhot.observe(cluster, "app", namespace=namespace)
    assert after.groupby("consumer")["current"].agg(list).to_dict() == {
        "envFrom": [False, False],
        "volume": [True, True],
    }


@pytest.mark.parametrize(
    "ask",
    [
        lambda cluster, where: cmhot.patch(
            cluster, "none", {"a": "b"}, namespace=where
        ),
        lambda cluster, where: cmhot.observe(cluster, "none", namespace=where),
    ],
    ids=["patch", "observe"],
)
def test_a_missing_configmap_is_named(
    ask: Callable[[Cluster, str], object], cluster: Cluster, namespace: str
) -> None:
    """A ConfigMap that does not exist is an error of use that names it."""
    with pytest.raises(NotFoundError, match=r"none.*check the name") as error:
        ask(cluster, namespace)

    assert error.value.exit_code == 2


def limited_kubeconfig(
    cluster: Cluster, namespace: str, path: Path, *, may_look: bool
) -> None:
    """Write the kubeconfig of a service account with nearly no rights.

    Parameters
    ----------
    cluster, namespace
        Where the account is made.
    path
        Of the kubeconfig; its context is called ``limited``.
    may_look
        Whether it may list nodes and namespaces, the kubelets' configz excepted.
    """
    account = {"name": "limited", "namespace": namespace}
    manifests: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}
    ]
    if may_look:
        group = "rbac.authorization.k8s.io"
        manifests += [
            {
                "apiVersion": f"{group}/v1",
                "kind": "ClusterRole",
                "metadata": {"name": namespace},
                "rules": [
                    {
                        "apiGroups": [""],
                        "resources": ["nodes", "namespaces"],
                        "verbs": ["get", "list"],
                    }
                ],
            },
            {
                "apiVersion": f"{group}/v1",
                "kind": "ClusterRoleBinding",
                "metadata": {"name": namespace},
                "roleRef": {
                    "apiGroup": group,
                    "kind": "ClusterRole",
                    "name": namespace,
                },
                "subjects": [{"kind": "ServiceAccount", **account}],
            },
        ]
    cmhot.apply(cluster, manifests)
    write_kubeconfig(cluster, path, namespace=namespace, account="limited")


@pytest.mark.parametrize("rights", ["none", "look"])
@pytest.mark.parametrize("where", ["own", "theirs"])
def test_a_namespace_one_may_not_touch(
    cluster: Cluster, namespace: str, tmp_path: Path, rights: str, where: str
) -> None:
    """Where rights are missing, one sentence says which, and nothing is begun."""
    kubeconfig, out = tmp_path / "kubeconfig", tmp_path / "runs"
    limited_kubeconfig(cluster, namespace, kubeconfig, may_look=rights == "look")
    chosen = ("--namespace", namespace) if where == "theirs" else ()

    code, output, messages = run(
        *("collect", "--context", "limited", "--out", str(out), "--pods", "1", *chosen),
        environment={"KUBECONFIG": str(kubeconfig)},
    )

    assert (code, output) == (2, "")
    sentence = messages.splitlines()[-1]
    assert sentence.startswith("cmhot: ")
    assert "is not allowed" in sentence
    assert "ask for the right" in sentence
    assert "Traceback" not in messages
    assert list(out.glob("*")) == []


def test_a_missing_namespace_is_named(tmp_path: Path, testbed: Status) -> None:
    """A namespace that does not exist is not made, and no run is begun."""
    out = tmp_path / "runs"

    code, _, messages = run(
        *("collect", "--target", f"testbed:{testbed.name}", "--out", str(out)),
        *("--namespace", "no-such"),
    )

    assert code == 2
    assert '"no-such" not found; check the name' in messages
    assert "Traceback" not in messages
    assert not out.exists()
