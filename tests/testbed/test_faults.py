"""Faults on the real testbed: no trial is lost, and no run tells a lie.

Five of those that ``make faults`` inflicts, side by side on one kubelet.
"""

from __future__ import annotations

import pytest

from cmhot.cluster.testbed import layout, lifecycle
from cmhot.kubelet.settings import parse_setting
from studies import fault_runs, faults
from tests.testbed import conftest

NAME = f"{conftest.NAME}-faults"
PODS, DURATION_S = 6, 30.0
CHOSEN = (
    "probe pod deleted",
    "answers lost, writes made",
    "rights taken away",
    "collector killed twice, resumed",
    "machine's clock set",
)


@pytest.fixture(scope="module")
def rows(
    _tidy: None, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, faults.Row]:
    """Inflict them all, each on a run of its own, at the same time."""
    folder = tmp_path_factory.mktemp("faults")
    chosen = [fault for fault in fault_runs.FAULTS if fault.name in CHOSEN]
    try:
        lifecycle.up(layout.make_spec([parse_setting(fault_runs.NODE)], name=NAME))
        outcomes = fault_runs.side_by_side(
            chosen, NAME, folder, pods=PODS, duration_s=DURATION_S
        )
    finally:
        lifecycle.down(NAME)
    return {outcome.fault.name: faults.judge(outcome) for outcome in outcomes}


@pytest.mark.parametrize("name", CHOSEN)
def test_every_trial_comes_to_something(rows: dict[str, faults.Row], name: str) -> None:
    """Planned = observed + timeout + interrupted + missed + not_sent + failed."""
    row = rows[name]

    # 30 s with a mean gap of 5/6 s, six pods
    assert 150 < row.planned < 300
    assert row.unaccounted == 0
    assert row.counts["timeout"] == 0
    assert row.leaked == 0
    assert row.counts["observed"] > 0


def test_a_deleted_pod_interrupts_its_own_trials(rows: dict[str, faults.Row]) -> None:
    """A sixth of them at the most; the substitute is told, and not measured."""
    row = rows["probe pod deleted"]

    assert {name for name, n in row.counts.items() if n} == {
        "observed",
        "interrupted",
    }
    assert row.counts["interrupted"] <= row.planned / PODS
    assert row.events["gone"] == row.events["left_out"] == 1


def test_lost_answers_cost_nothing(rows: dict[str, faults.Row]) -> None:
    """Reading back takes milliseconds: nearly every write stays a trial."""
    row = rows["answers lost, writes made"]

    # every third; on a busy machine a reading back may take a quarter of a second
    assert row.events["settled"] > row.planned / PODS / 5
    assert row.counts["observed"] > 0.9 * row.planned


def test_without_rights_the_run_says_what_it_has(rows: dict[str, faults.Row]) -> None:
    """It ends by itself, with a sentence, and its data."""
    row = rows["rights taken away"]

    assert row.status == "interrupted"
    assert row.said is not None
    assert "refuses the writes" in row.said
    assert "is not allowed" in row.said
    assert "`cmhot collect --resume" in row.said


def test_a_killed_collector_is_resumed(rows: dict[str, faults.Row]) -> None:
    """What fell due while it was down was not sent; the rest was, and was seen."""
    row = rows["collector killed twice, resumed"]

    assert row.events["resumed"] == 2
    assert row.counts["not_sent"] > 0
    assert row.counts["observed"] > row.planned / 3
    assert row.status in {"complete", "invalid"}


def test_a_machine_whose_clock_is_set_is_not_misled(
    rows: dict[str, faults.Row],
) -> None:
    """An hour forward, half a second back: delays are as ever."""
    row = rows["machine's clock set"]

    assert row.events["clock_step"] == 2
    # 1.5 S, and what kubelet and probe add; it was an hour
    assert row.direct_p99_s < 1.5 * 5 + 1
    # the clock shows half a second twice, and was looked at each second
    assert row.counts["missed"] < row.planned * 3 / DURATION_S
    assert row.counts["interrupted"] == 0
