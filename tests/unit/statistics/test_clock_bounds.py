"""What clocks may have added to delays: in every limit of theirs, and in no verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from cmhot.cli import cli
from cmhot.cluster.model.simulate import simulate
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.runs import schema
from cmhot.runs.rundir import RunWriter
from cmhot.statistics import (
    cdf_bounds,
    compare_means,
    compare_quantiles,
    confidence,
    delay_blocks,
    equivalence,
    fleet_maximum,
    kaplan_meier,
)
from cmhot.statistics.mistakes import wrong_ways
from cmhot.statistics.summarise import summarise
from cmhot.statistics.summary import check_requirements
from studies.draws import draw_refresh
from tests.unit.statistics.tables import delays, known_law

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from cmhot.runs.rundir import Run
    from cmhot.statistics.summary import SettingSummary
    from tests.unit.conftest import SimulateRun

BOUND_S = 0.2
ENDS = ("low", "high")
T0 = 1_767_225_600_000_000_000


def scattered(seed: int = 1, *, more_s: float = 0.0) -> pd.DataFrame:
    """Give delays of twenty pods, each with updates of its own."""
    rng = np.random.default_rng(seed)
    pods = {f"p{k}": (rng.uniform(0, 9, 30) + more_s).tolist() for k in range(20)}
    table = delays(pods)
    return table.assign(acked_ns=T0 + np.arange(len(table)))


def test_limits_are_wider_by_the_largest_bound() -> None:
    """Of mean and quantiles, to both sides; one row that is known better is none."""
    table = scattered()
    bounds = np.where(np.arange(len(table)) % 2, BOUND_S, 0.01)

    exact = confidence(delay_blocks(table))
    wide = confidence(delay_blocks(table.assign(clock_bound_s=bounds)))

    for name, pair in exact.items():
        assert pair is not None
        assert wide[name] == pytest.approx((pair[0] - BOUND_S, pair[1] + BOUND_S))


def test_limits_of_what_was_waited_for_are_wider_too() -> None:
    """Those of Kaplan and Meier."""
    table = scattered()
    exact, wide = (
        kaplan_meier(one)[["low_s", "high_s"]].to_numpy()
        for one in (table, table.assign(clock_bound_s=BOUND_S))
    )

    assert wide - exact == pytest.approx(np.array([[-BOUND_S, BOUND_S]] * len(exact)))


def test_the_band_of_shares_is_that_of_earlier_and_of_later() -> None:
    """What was seen by t may have come by t - 0.2 s, or by t + 0.2 s."""
    table = scattered()
    blocks = delay_blocks(table)
    low, high = cdf_bounds(blocks)

    early, late = cdf_bounds(delay_blocks(table.assign(clock_bound_s=BOUND_S)))

    for place in (0, 100, 300, len(low) - 1):
        before = np.flatnonzero(blocks.t <= blocks.t[place] - BOUND_S)
        after = np.flatnonzero(blocks.t >= blocks.t[place] + BOUND_S)
        assert early[place] == (low[before[-1]] if before.size else 0)
        assert late[place] == (high[after[0]] if after.size else high[-1])


def test_what_clocks_may_have_made_is_no_difference() -> None:
    """Half a second is shown, but not where each side may be wrong by 0.3 s."""
    sides = {"a": scattered(1, more_s=0.5), "b": scattered(1)}
    found = {}
    for bound_s in (0.0, 0.3):
        samples = {
            name: delay_blocks(table.assign(clock_bound_s=bound_s))
            for name, table in sides.items()
        }
        (mean,) = compare_means(samples, family=[("a", "b")]).to_dict("records")
        quantiles = compare_quantiles(samples, family=[("a", "b")])
        found[bound_s] = mean
        assert bool((quantiles["low_s"] < 0).all()) is (bound_s > 0)

    assert found[0.0]["low_s"] > 0
    assert found[0.0]["p_value"] < 0.05
    assert found[0.3]["low_s"] == pytest.approx(found[0.0]["low_s"] - 0.6)
    assert found[0.3]["p_value"] == 1


@pytest.mark.parametrize(
    ("fetched", "clock_s", "equivalent"),
    [(False, 1.0, True), (True, 0.0, True), (True, 0.001, True), (True, 1.0, None)],
)
def test_agreement_of_fetches_is_not_decided_by_loose_clocks(
    *, fetched: bool, clock_s: float, equivalent: bool | None
) -> None:
    """An interval between two stamps of a node is the same by any clock."""
    rng = np.random.default_rng(3)
    table = draw_refresh(Setting(10), rng, pods=200, window_s=1300.0)
    if fetched:
        table = table.assign(least_s=1e-6)

    fit = equivalence(table, known_law(), sync_frequency_s=10, clock_s=clock_s)

    assert fit["equivalent"] is equivalent
    assert fit["upper_95"] is not None


def test_fleets_that_share_a_fetch_depend_on_clocks() -> None:
    """Where each sync reads, all instants are by the clock of one node."""
    rng = np.random.default_rng(3)
    table = draw_refresh(Setting(10), rng, pods=12, window_s=1300.0)
    fetched = table.assign(least_s=1e-6)
    for rows, by_s in ((table, 0.0), (fetched, 1.0)):
        exact, wide = (
            fleet_maximum(rows, sizes=[1], clock_s=clock_s) for clock_s in (0.0, 1.0)
        )
        low_s, high_s = (exact[f"p50_{end}_s"] - wide[f"p50_{end}_s"] for end in ENDS)
        assert low_s.to_list() == pytest.approx([by_s])
        assert high_s.to_list() == pytest.approx([-by_s])


def test_the_open_loop_is_known_no_better_than_clocks() -> None:
    """Its delays are between two clocks; the other ways are by refreshes."""
    rng = np.random.default_rng(3)
    table = draw_refresh(Setting(10), rng, pods=12, window_s=300.0)
    seen = delays({f"p{k}": rng.uniform(0, 9, 30).tolist() for k in range(12)})

    exact, wide = (
        wrong_ways(table, delays=seen.assign(clock_bound_s=bound_s))
        for bound_s in (0.0, BOUND_S)
    )

    by_s = (exact["low_s"] - wide["low_s"]).to_list()
    assert by_s == pytest.approx([BOUND_S] + [0.0] * (len(by_s) - 1))
    assert (wide["high_s"] - exact["high_s"])[0] == pytest.approx(BOUND_S)


def on_clocks(simulate_run: SimulateRun, name: str, bound_s: float) -> SettingSummary:
    """Summarise a run of a cluster whose node's clock is known to that bound."""
    writer = simulate_run(name, modelled=False, pods=12)
    for at_s in range(0, 180, 10):
        row = {"node": "n0", "at_ns": T0 + at_s * 10**9}
        writer.append_clock(row | {"offset_ns": 0, "bound_ns": round(bound_s * 1e9)})
    (found,) = summarise([writer.path]).settings
    return found


def test_a_summary_says_how_well_clocks_are_known(simulate_run: SimulateRun) -> None:
    """The limits of delays are wider by that, those of the intervals are not."""
    one_clock, two = (
        on_clocks(simulate_run, name, bound_s)
        for name, bound_s in (("one", 0.0), ("two", BOUND_S))
    )
    # 1e-4 of the 5 s to the nearest estimate, of 15 s after the last one, are added
    assert two.clock_bound_s == pytest.approx(BOUND_S, abs=2e-3)
    more_s = (two.clock_bound_s or 0) - (one_clock.clock_bound_s or 0)

    for name, pair in one_clock.confidence.items():
        low, high = pair or (None, None)
        assert low is not None
        assert high is not None
        assert two.confidence[name] == pytest.approx([low - more_s, high + more_s])
        assert two.upper_95[name] == pytest.approx(one_clock.upper_95[name] + more_s)  # type: ignore[operator]
    assert two.intervals == one_clock.intervals
    assert two.clocks == "clocks are known to ± 0.2 s"


def test_requirements_that_clocks_decide_are_not_judged(
    simulate_run: SimulateRun,
) -> None:
    """What is above a bound holds; twice what clocks are known to below it fails."""
    writer = simulate_run("r", modelled=False, pods=12)
    for at_s in range(0, 180, 10):
        row = {"node": "n0", "at_ns": T0 + at_s * 10**9}
        writer.append_clock(row | {"offset_ns": 0, "bound_ns": 200_000_000})
    summary = summarise([writer.path])
    bound_s = summary.settings[0].upper_95["p99_s"]
    assert bound_s is not None

    limits_s = (bound_s + 0.01, bound_s - 0.01, bound_s - 0.39, bound_s - 0.43)
    found = check_requirements(summary, [f"p99<{one:.4f}s" for one in limits_s])

    assert [one.ok for one in found] == [True, None, None, False]
    assert found[1].detail.endswith("s, but clocks are known to ± 0.2 s")


def test_nothing_is_required_of_clocks_that_were_not_compared(
    simulate_run: SimulateRun,
) -> None:
    """Even a requirement that the delays keep by far may be wrong."""
    summary = summarise([simulate_run("r", modelled=False).path])

    (found,) = check_requirements(summary, ["p99<90s"])

    assert summary.settings[0].clock_bound_s is None
    assert found.ok is None
    assert "clocks were not compared" in found.detail
    assert "clocks were not compared" in summary.to_text()


def test_what_is_not_decided_is_no_success(simulate_run: SimulateRun) -> None:
    """The command says so, and ends with 1."""
    path = simulate_run("r", modelled=False).path

    result = CliRunner().invoke(cli, ["summarise", str(path), "--require", "p99<90s"])

    assert result.exit_code == 1
    assert "NOT DECIDED: 10 s, Watch, volume: 95 % upper bound" in result.stderr


def written(
    run: Run, folder: Path, *, bound_s: float, late_s: float = 0.0, **meta: object
) -> SettingSummary:
    """Summarise a simulated run as that of a cluster, with other settings told.

    Its updates are said to have been made earlier by `late_s`.
    """
    late_ns = round(late_s * 1e9)
    earlier = {name: run.updates[name] - late_ns for name in ("sent_ns", "acked_ns")}
    known = run.meta | {"modelled": False, "kubernetes": "v1.37.1"} | meta
    writer = RunWriter.create(folder, meta=known)
    tables = (
        (schema.PUBLICATIONS, run.publications),
        (schema.UPDATES, run.updates.assign(**earlier)),
    )
    for table, rows in tables:
        rows.to_json(writer.path / table.file, orient="records", lines=True)
    begin_ns = int(run.updates["sent_ns"].min())
    for node in run.meta["settings"]:
        for at_s in range(0, 1200, 60):
            row = {"node": node, "at_ns": begin_ns + at_s * 10**9}
            told = {"offset_ns": 0, "bound_ns": round(bound_s * 1e9)}
            writer.append_clock(row | told)
    (found,) = summarise([writer.path]).settings
    return found


def test_delays_of_another_ttl_contradict_the_law(tmp_path: Path) -> None:
    """Watch is told, and the kubelet has a cache."""
    cached = Setting(10, Strategy.CACHE, ttl_s=60)
    run = simulate(cached, pods=30, duration_s=900, seed=2, run_id="r")
    told = {"sync_frequency_s": 10.0, "strategy": "Watch", "ttl_s": 0.0}
    settings = dict.fromkeys(run.meta["settings"], told)

    found = written(run, tmp_path, bound_s=0.01, settings=settings)

    assert found.direct["mean_s"] > 20  # type: ignore[operator]
    assert found.law["mean_s"] == pytest.approx(6.577, abs=0.001)
    assert found.fit["contradicted"] is True
    assert found.fit["equivalent"] is not True
    text = found.contradiction
    assert text is not None
    assert "10 s, Watch: the delays contradict the law, with a mean of " in text


@pytest.mark.parametrize(
    ("bound_s", "contradicted", "equivalent"),
    [(0.01, True, False), (3.0, None, None)],
)
def test_clocks_decide_whether_delays_contradict(
    tmp_path: Path,
    bound_s: float,
    contradicted: bool | None,  # noqa: FBT001 - a case of the table
    equivalent: bool | None,  # noqa: FBT001
) -> None:
    """Syncs that agree with the law, and delays that are 3 s too long for it."""
    run = simulate(Setting(10), pods=60, duration_s=900, seed=5, run_id="r")

    found = written(run, tmp_path, bound_s=bound_s, late_s=3.0)

    assert found.fit["sup_difference"] < 0.02  # type: ignore[operator]
    assert found.fit["contradicted"] is contradicted
    assert found.fit["equivalent"] is equivalent


def test_a_summary_tells_the_verdict_in_a_line(tmp_path: Path) -> None:
    """Not the difference of the intervals, which have nothing to do with it."""
    run = simulate(Setting(10), pods=60, duration_s=900, seed=5, run_id="r")
    said = []
    for bound_s in (0.01, 3.0):
        written(run, tmp_path / f"{bound_s}", bound_s=bound_s, late_s=3.0)
        said.append(summarise([tmp_path / f"{bound_s}" / "r"]).to_text())

    wrong, undecided = said
    assert "the delays contradict the law" in wrong
    assert "largest difference" not in wrong + undecided
    assert "against the law: not decided: clocks are known to ± 3 s" in undecided
