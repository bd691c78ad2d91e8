"""A caption names the runs that are drawn, and an invalid one is not drawn."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cmhot.errors import RunError
from cmhot.plots.figure import Material
from cmhot.plots.publishing import named, publish, render

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.conftest import SimulateRun


@pytest.fixture
def two(simulate_run: SimulateRun) -> tuple[Path, ...]:
    """Give a run of 5 s and 10 s in few pods, and one of 20 s in more, newer kubelets.

    The third holds a cached setting only, which no figure of fresh syncs draws.
    """
    few = simulate_run("few", settings=("sync=5s", "sync=10s"), pods=4, window_s=60)
    many = simulate_run("many", settings=("sync=20s",), pods=6, window_s=120)
    cached = simulate_run(
        "cached", settings=("sync=10s,strategy=Cache,ttl=60",), pods=4, window_s=60
    )
    return few.path, many.path, cached.path


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("timeline", ("few",)),
        ("fleet", ("many",)),
        ("wrong-ways", ("many",)),
        ("collapse", ("few", "many")),
        ("sync-frequency", ("few", "many")),
        ("phase", ("few", "many")),
        ("delay-distribution", ("few", "many", "cached")),
        ("headline", ("few", "many")),
    ],
)
def test_the_source_is_what_is_drawn(
    two: tuple[Path, ...], name: str, drawn: tuple[str, ...]
) -> None:
    """Runs that contribute nothing are not named."""
    subject = named(name).read(Material(paths=two))

    assert subject.source.runs == drawn


def test_strategies_name_the_runs_with_several(simulate_run: SimulateRun) -> None:
    """At 5 s there is one way, at 10 s there are two."""
    both = simulate_run("both", settings=("sync=10s", "sync=10s,strategy=Get"))
    one = simulate_run("one", settings=("sync=5s",))

    subject = named("change-detection").read(Material((one.path, both.path)))

    assert subject.source.runs == ("both",)


def test_a_snippet_names_what_is_drawn(two: tuple[Path, ...], tmp_path: Path) -> None:
    """The line of the source has the runs of the caption."""
    material = Material(paths=two)

    one = render("fleet", material, picture=tmp_path / "f.svg")
    several = render("collapse", material, picture=tmp_path / "c.svg")

    assert ", run many. Licence" in one.snippet.read_text()
    assert ", runs few, many. Licence" in several.snippet.read_text()


def test_a_kubelet_that_is_not_drawn_is_not_named(simulate_run: SimulateRun) -> None:
    """Versions are those of the runs that are drawn; their eras decide the law."""
    old = simulate_run("old", settings=("sync=5s",), pods=2, kubernetes="v1.20.15")
    new = simulate_run("new", settings=("sync=5s",), pods=3, window_s=60)
    paths = (old.path, new.path)

    subject = named("timeline").read(Material(paths=paths))

    assert subject.source.kubelets == ("v1.20.15",)
    assert subject.source.kubernetes == "v1.20.15"
    assert Material(paths=paths).source.kubernetes is None


@pytest.mark.parametrize(
    "name",
    [
        *("headline", "delay-distribution", "timeline", "sync-frequency"),
        *("collapse", "change-detection", "fleet", "wrong-ways", "phase"),
    ],
)
def test_an_invalid_run_is_not_drawn(
    simulate_run: SimulateRun, tmp_path: Path, name: str
) -> None:
    """Each figure refuses it, says why, and which command takes it all the same."""
    run = simulate_run("r", settings=("sync=5s", "sync=10s", "sync=10s,strategy=Get"))
    path = run.path / "run.json"
    checks = {"pods_kept": {"passed": False}}
    meta = {**json.loads(path.read_text()), "status": "invalid", "checks": checks}
    path.write_text(json.dumps(meta))

    with pytest.raises(RunError, match=r"pods_kept failed.*`cmhot summarise --force`"):
        publish(name, runs=[run.path], out=tmp_path / "out")


def test_phases_of_more_than_eight_nodes_are_counted(
    simulate_run: SimulateRun,
) -> None:
    """Eight rows are drawn of ten nodes, and words and figure say so."""
    run = simulate_run("r", settings=["sync=5s"] * 10, pods=2, window_s=60)

    subject = named("phase").read(Material(paths=(run.path,)))

    assert len(subject.numbers["nodes"]) == 8
    said = subject.describe("en")
    assert "a row for each node" in said.alt
    assert "publications on 8 of 10 nodes" in said.caption
    assert (
        "10 \u4e2a\u8282\u70b9\u4e2d\u7684 8 \u4e2a" in subject.describe("zh").caption
    )


def test_limits_are_promised_where_there_can_be_some(
    two: tuple[Path, ...],
) -> None:
    """Of a fleet as large as all pods there is one group only."""
    caption = named("fleet").read(Material(paths=two)).describe("en").caption

    assert "with 95 % confidence intervals where there are groups enough" in caption


def test_a_short_run_has_wrong_ways(simulate_run: SimulateRun) -> None:
    """Without a loop that could be replayed the rest is told, in both languages."""
    run = simulate_run("r", settings=("sync=20s",), pods=2, window_s=20)

    subject = named("wrong-ways").read(Material(paths=(run.path,)))

    methods = [row["method"] for row in subject.numbers["ways"]]
    assert methods[0] == "open loop"
    assert "closed loop" not in methods
    for said in (subject.describe("en"), subject.describe("zh")):
        assert "replayed" not in said.caption
        assert "\u95ed\u73af" not in said.caption + said.paragraph
    assert "Patch" not in subject.describe("en").paragraph


def test_the_open_loop_is_told_beside_the_truth(simulate_run: SimulateRun) -> None:
    """The caption says what either is made of."""
    run = simulate_run("r", settings=("sync=10s",), pods=8, window_s=120)

    subject = named("wrong-ways").read(Material(paths=(run.path,)))
    first = subject.numbers["ways"][0]

    assert first["mean_s"] != first["truth_s"]
    assert first["low_s"] < first["truth_s"] < first["high_s"]
    assert "by the intervals between syncs" in subject.describe("en").caption
    assert f"waited {first['mean_s']:.1f} s" in subject.describe("en").paragraph
