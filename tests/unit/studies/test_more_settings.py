"""More settings: what is judged, and how the number of nodes is changed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cmhot.cluster.model import ModelCluster
from cmhot.collector.begin import collect
from cmhot.kubelet.settings import TTL_ANNOTATION
from cmhot.runs.plan import Plan
from studies import (
    controller_runs,
    findings,
    findings_page,
    more_settings,
    pages,
    publish,
    recomputation,
    recomputed_more,
)
from studies.draws import draw_refresh
from studies.editions import MORE
from studies.protocol import SHARERS

if TYPE_CHECKING:
    from pathlib import Path

    from studies.editions import Edition


@pytest.fixture(scope="module")
def edition(tmp_path_factory: pytest.TempPathFactory) -> Edition:
    """Make short runs on the model, those of the controller among them; publish all."""
    folder = tmp_path_factory.mktemp("edition")
    made = replace(MORE, built=folder / "built", data=folder / "data")
    for one in more_settings.BATCH.collections:
        plan = Plan(pods=one.pods, duration_s=1800.0, seed=one.seed)
        cluster = ModelCluster(more_settings.BATCH.nodes)
        collect(cluster, plan, out=made.built, run_id=one.name)
    steps = []
    for nodes, ttl in more_settings.MEASURED_AT:
        cluster = ModelCluster([more_settings.written(ttl)] * more_settings.NODES)
        plan = Plan(pods=30, duration_s=600.0, seed=73)
        collect(cluster, plan, out=made.built, run_id=more_settings.run_at(nodes))
        steps.append(
            {"nodes": nodes, "expected_s": ttl, "seconds": 100.4, "ttl_s": [str(ttl)]}
        )
    table = {"kubernetes": "v1.37.1", "steps": steps}
    (made.built / more_settings.TABLE).write_text(json.dumps(table))
    publish.publish(made)
    return made


def test_it_is_judged_and_told(
    edition: Edition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs of a number of sharers are joined; the page has a line for each answer."""
    monkeypatch.setattr(findings, "MORE", edition)

    numbers = findings.rounded(findings.of_more())["more"]

    text = findings_page._more(numbers)
    assert [row["sharers"] for row in numbers["H22"]] == [1, 1, 5, 5, 20, 20]
    assert [row["setting"] for row in numbers["H23"][::2]] == [
        f"10 s, Cache (TTL {ttl} s)" for ttl in (0, 15, 30)
    ]
    assert "| 101 | 15 | 15 | 100 |" in text
    for one in more_settings.HYPOTHESES:
        assert text.count(f"| {one.name} | ") == 1
    (long,) = numbers["cells"]
    assert f"{long['n_delays']:,} delays (0 left out)" in text


def test_other_code_finds_the_same_in_it(
    edition: Edition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Delays from the records, and a law that was drawn, agree with what is told."""
    monkeypatch.setattr(findings, "MORE", edition)
    numbers = findings.rounded(findings.of_more())["more"]

    long = {"cells": numbers["cells"], "shares": [], "H3": []}
    checks = [
        *recomputation.cells(long, edition.data, tuple(edition.runs)),
        *recomputed_more.under_ttl(numbers, edition.data),
    ]

    differing = [
        what
        for what, one, other, slack in checks
        if "limits" not in what  # of few pods: they are wide by any way
        and not abs(one - other) <= slack + recomputation.SLACK * abs(one)
    ]
    assert differing == []
    assert len(checks) > 30


def test_nothing_is_judged_before_all_is_there(
    edition: Edition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The controller's runs are a part of their own; one collection is no batch."""
    half = replace(edition, built=tmp_path / "built", data=tmp_path / "data")
    half.built.mkdir()
    (half.built / edition.runs[0]).symlink_to(edition.built / edition.runs[0])
    publish.publish(half)
    monkeypatch.setattr(findings, "MORE", half)
    assert findings.of_more() == {}

    for name in edition.runs[1:]:
        (half.built / name).symlink_to(edition.built / name)
    publish.publish(half)

    numbers = findings.of_more()["more"]
    assert numbers["H23"] == []
    assert "not measured yet" in findings_page._more(numbers)


def test_each_hypothesis_has_a_row_for_all_that_it_names() -> None:
    """By runs of minutes, drawn by the law."""
    rng = np.random.default_rng(1)
    long = draw_refresh(more_settings.LONG, rng, pods=30, window_s=3600)
    shared = {
        n: draw_refresh(more_settings.CACHED, rng, pods=20, window_s=900, sharers=n)
        for n in SHARERS
    }
    by_ttl = {
        float(ttl): draw_refresh(
            more_settings.written(ttl), rng, pods=20, window_s=300, sharers=10
        )
        for _, ttl in more_settings.MEASURED_AT
    }

    found = more_settings.judge(long, shared, by_ttl)

    assert [row["setting"] for row in found["H21"]] == ["300 s, Watch"]
    assert [(row["sharers"], row["quantile"]) for row in found["H22"]] == [
        (n, name) for n in SHARERS for name in ("p50", "p95")
    ]
    assert [row["setting"] for row in found["H23"][::2]] == [
        f"10 s, Cache (TTL {ttl} s)" for ttl in (0, 15, 30)
    ]


def test_another_ttl_is_refuted() -> None:
    """Pods under a TTL of 30 s do not have the delays of one of 15 s."""
    rng = np.random.default_rng(2)
    own = draw_refresh(
        more_settings.written(30), rng, pods=30, window_s=900, sharers=10
    )

    long = draw_refresh(more_settings.LONG, rng, pods=10, window_s=3600)

    rows = more_settings.judge(long, {}, {15: own, 30: own})["H23"]

    assert [row["holds"] for row in rows if row["quantile"] == "p50"] == [False, True]


class Nodes:
    """Node objects, and no more of a cluster."""

    def __init__(self) -> None:
        self.names = {"one", "two", "three"}

    def create(self, manifest: dict[str, Any]) -> None:
        """Make one, that carries the project's label."""
        assert manifest["kind"] == "Node"
        assert manifest["metadata"]["labels"]
        self.names.add(manifest["metadata"]["name"])

    def delete(self, kind: object, name: str) -> None:  # noqa: ARG002
        """Delete one."""
        self.names.remove(name)

    def get(self, kind: object, name: str) -> dict[str, Any]:  # noqa: ARG002
        """Give one with the TTL of so many nodes."""
        ttl = "15" if len(self.names) > 100 else "0"
        return {"metadata": {"name": name, "annotations": {TTL_ANNOTATION: ttl}}}


def test_there_are_as_many_nodes_as_a_step_says() -> None:
    """Those that a kubelet backs are counted, and stay."""
    cluster: Any = Nodes()
    made = 0
    seen = []
    for nodes, _ in more_settings.STEPS:
        made = controller_runs.have(cluster, nodes, made)
        seen.append((len(cluster.names), *controller_runs.ttls(cluster, ["one"])))

    assert seen == [(3, "0"), (101, "15"), (501, "15"), (449, "15"), (89, "0")]
    assert {"one", "two", "three"} < cluster.names


def test_each_part_makes_what_is_judged() -> None:
    """The edition names the same runs and the table of steps."""
    (controller,) = MORE.experiments

    assert controller.made == (
        *("controller-3", "controller-101", "controller-501"),
        "controller.json",
    )
    assert len(MORE.runs) == 2 * len(SHARERS)


def test_the_protocol_is_what_the_module_says() -> None:
    """Written anew with the power that was kept, it is the page of the repository."""
    kept = json.loads((pages.DOCS / "more-settings-protocol.json").read_text())

    text = more_settings.page(kept["power"])

    written = (pages.DOCS / "more-settings-protocol.md").read_text()
    assert text.strip() == written.strip()
    assert min(kept["power"].values()) >= more_settings.LEAST_POWER
