"""Two runs side by side: what is compared with what, and what is said of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cmhot.errors import RunError
from cmhot.report.comparison_page import compare_report, compare_runs
from tests.unit.conftest import T0

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.conftest import SimulateRun


def test_a_shorter_sync_frequency_is_seen(simulate_run: SimulateRun) -> None:
    """From 20 s to 10 s the mean falls by 6.3 s, and each interval holds its truth.

    By the law the mean is 0.633 S + 0.25 (s), the 99 % point falls by 13.9 s.
    """
    before = simulate_run("b", settings=("sync=20s",), pods=20, window_s=400)
    after = simulate_run("a", settings=("sync=10s",), pods=20, window_s=400, seed=2)

    found = compare_runs(before.path, after.path)

    (change,) = found.changes
    assert change.name == "20 s, Watch → 10 s, Watch"
    assert (change.nodes, change.estimator, change.too_few) == ((), "intervals", None)
    mean, p99 = (change.differences[name] for name in ("mean_s", "p99_s"))
    assert mean.low_s is not None
    assert mean.high_s is not None
    assert mean.low_s < -6.33 < mean.high_s
    assert mean.high_s - mean.low_s < 1.0
    assert p99.difference_s == pytest.approx(-13.9, abs=0.5)  # of 20 pods
    assert mean.shown
    assert p99.shown


def test_a_run_does_not_differ_from_itself(simulate_run: SimulateRun) -> None:
    """Without a change no difference is shown."""
    run = simulate_run("r")

    (change,) = compare_runs(run.path, run.path).changes

    assert change.name == "10 s, Watch, before and after"
    assert [one.difference_s for one in change.differences.values()] == [0.0] * 4
    assert not any(one.shown for one in change.differences.values())


def test_nodes_are_compared_with_themselves(simulate_run: SimulateRun) -> None:
    """Where a run has several settings, nodes of the same change go together."""
    before = simulate_run("b", settings=("sync=10s", "sync=10s", "sync=20s"))
    after = simulate_run("a", settings=("sync=5s", "sync=5s", "sync=20s"))

    changes = compare_runs(before.path, after.path).changes

    assert {change.name: change.nodes for change in changes} == {
        "10 s, Watch → 5 s, Watch": ("n0", "n1"),
        "20 s, Watch, before and after": ("n2",),
    }
    assert changes[0].before.pods == 16


def test_few_pods_give_no_interval(simulate_run: SimulateRun) -> None:
    """Below six pods there is a difference, the reason, and no interval."""
    before = simulate_run("b", settings=("sync=20s",), pods=3)
    after = simulate_run("a", pods=3)

    (change,) = compare_runs(before.path, after.path).changes

    mean = change.differences["mean_s"]
    assert mean.difference_s is not None
    assert mean.difference_s < 0
    assert (mean.low_s, mean.high_s, mean.shown) == (None, None, False)
    assert change.too_few is not None
    assert "3" in change.too_few


def test_a_model_is_not_compared_with_a_kubelet(simulate_run: SimulateRun) -> None:
    """What was modelled is no "before" of what was measured."""
    before = simulate_run("b", modelled=True)
    after = simulate_run("a", modelled=False)

    with pytest.raises(RunError, match="is modelled and the other run is measured"):
        compare_runs(before.path, after.path)


def test_nothing_in_common_is_refused(simulate_run: SimulateRun) -> None:
    """Without a common node nobody knows what became of what."""
    before = simulate_run("b", settings=("sync=10s", "sync=20s"))
    after = simulate_run("a", settings=("sync=10s", "sync=20s"))
    file = after.path / "run.json"
    text = file.read_text().replace('"n0', '"m0').replace('"n1', '"m1')
    file.write_text(text)
    for name in ("publications.jsonl",):
        raw = (after.path / name).read_text()
        raw = raw.replace('"n0', '"m0').replace('"n1', '"m1')
        (after.path / name).write_text(raw)

    with pytest.raises(RunError, match="no node in common"):
        compare_runs(before.path, after.path)


def test_the_page_has_the_numbers(simulate_run: SimulateRun, tmp_path: Path) -> None:
    """Headline, figure, differences and what else changed are on a page of its own."""
    measured: dict[str, Any] = {"modelled": False, "kubelets": {"n0": "v1.37.1"}}
    before = simulate_run("b", settings=("sync=20s",), **measured)
    after = simulate_run("a", kubernetes="v1.37.2", **measured)

    page = compare_report(before.path, after.path, out=tmp_path / "out")

    html = page.read_text().replace("\N{NO-BREAK SPACE}", " ")
    numbers = json.loads((page.parent / "numbers.json").read_text())
    assert page == tmp_path / "out" / "compare-b-a" / "index.html"
    assert "From 20 s, Watch to 10 s, Watch: 95 % of the pods have" in html
    assert " sooner than before (95 % confidence " in html
    assert "the version of Kubernetes changed as well, from v1.37.1 to v1.37.2" in html
    (change,) = numbers["changes"]
    assert change["before"]["sync_frequency_s"] == 20.0
    low, high = change["p95_s"]["confidence"]
    assert low < change["p95_s"]["difference_s"] < high < 0
    assert (page.parent / "figures" / "change-1.png").stat().st_size > 10_000


@pytest.mark.parametrize("bound_ns", [0, 1_500_000_000, None])
def test_the_page_says_what_clocks_add(
    simulate_run: SimulateRun, tmp_path: Path, bound_ns: int | None
) -> None:
    """To cached content, which a fetch brings; the intervals of a pod are by one clock.

    Intervals are as much wider as both clocks together may be wrong.
    """
    cached = "sync=10s,strategy=Cache,ttl=60"
    before = simulate_run("b", settings=(cached,), window_s=3000, modelled=False)
    after = simulate_run("a", settings=(cached,), window_s=3000, modelled=False, seed=2)
    exact = compare_runs(before.path, after.path).changes[0].differences["mean_s"]
    for number in range(1000) if bound_ns is not None else ():
        row = {"node": "n0", "at_ns": T0 + number * 5 * 10**9, "offset_ns": 0}
        before.append_clock(row | {"bound_ns": bound_ns})
        after.append_clock(row | {"bound_ns": bound_ns})

    page = compare_report(before.path, after.path, out=tmp_path / "out")

    html = page.read_text().replace("\N{NO-BREAK SPACE}", " ")
    (change,) = json.loads((page.parent / "numbers.json").read_text())["changes"]
    low, high = change["mean_s"]["confidence"]
    if bound_ns is None:
        assert "In run b clocks were not compared" in html
    elif bound_ns:
        assert "In run a clocks are known to ± 1.5 s, by which intervals are" in html
        assert low == pytest.approx((exact.low_s or 0) - 3, abs=0.01)
        assert high == pytest.approx((exact.high_s or 0) + 3, abs=0.01)
    else:
        assert "locks" not in html
    plain = [simulate_run(f"{one}w", modelled=False) for one in "ab"]
    other = compare_report(plain[0].path, plain[1].path, out=tmp_path / "out")
    assert "locks" not in other.read_text()


def test_no_difference_is_said_so(simulate_run: SimulateRun, tmp_path: Path) -> None:
    """A headline claims nothing that the interval does not show."""
    run = simulate_run("r")

    page = compare_report(run.path, run.path, out=tmp_path / "out")

    headline = json.loads((page.parent / "numbers.json").read_text())["headline"]
    assert headline.startswith("Modelled, not measured: 10 s, Watch, before and after")
    assert "no difference was shown" in headline
