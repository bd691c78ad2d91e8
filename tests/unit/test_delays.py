"""Delays: each status by a case small enough to work out by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cmhot.delays import delays, observed_until_ns, refresh_intervals
from cmhot.rundir import read_run

if TYPE_CHECKING:
    import pandas as pd

    from tests.unit.conftest import SimulateRun, WriteRun

T0 = 1_767_225_600_000_000_000
S = 1_000_000_000


def rows(table: pd.DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    """Give some columns as tuples, None for what is null."""
    picked = table[[*columns]].astype(object)
    return [*picked.where(picked.notna(), None).itertuples(index=False, name=None)]


def test_the_delay_ends_with_the_first_number_that_is_as_high(
    write_run: WriteRun,
) -> None:
    """Updates that one sync swallows share its publication."""
    writer = write_run(
        updates=[(1, 0.0, 0.01), (2, 3.0, 3.01), (3, 9.0, 9.01)],
        publications=[("p", 2, 5.01), ("p", 3, 17.01)],
    )

    table = delays(read_run(writer.path))

    assert rows(table, "seq", "delay_s", "waited_s", "status", "sync") == [
        (1, 5.0, 5.0, "observed", 1),
        (2, 2.0, 2.0, "observed", 1),
        (3, 8.0, 8.0, "observed", 2),
    ]
    assert table["published_ns"].tolist()[2] == 1_767_225_617_010_000_000
    assert rows(table, "sync_frequency_s", "strategy", "ttl_s")[0] == (10, "Watch", 0)
    assert table["clock_bound_s"].isna().all()


def test_a_delay_may_be_negative(write_run: WriteRun) -> None:
    """A pod may have the update before the write was acknowledged."""
    writer = write_run(updates=[(1, 0.0, 0.5)], publications=[("p", 1, 0.25)])

    assert delays(read_run(writer.path))["delay_s"].tolist() == [-0.25]


def test_a_number_that_never_comes_is_a_timeout(write_run: WriteRun) -> None:
    """Waiting up to the end of observation is kept as waited."""
    writer = write_run(
        updates=[(1, 0.0, 0.0), (2, 4.0, 4.0)],
        publications=[("p", 1, 3.0)],
        pods=["p", "q"],
        observed_until_ns=T0 + 20 * S,
    )

    table = delays(read_run(writer.path))

    assert rows(table, "pod", "seq", "delay_s", "waited_s", "status", "sync") == [
        ("p", 1, 3.0, 3.0, "observed", 1),
        ("p", 2, None, 16.0, "timeout", None),
        ("q", 1, None, 20.0, "timeout", None),
        ("q", 2, None, 16.0, "timeout", None),
    ]


def test_an_environment_times_out(write_run: WriteRun) -> None:
    """A consumer that never publishes has a row per update."""
    env = {"node": "n", "pod": "p", "container": "probe", "consumer": "env"}
    writer = write_run(updates=[(1, 0.0, 0.0)], observed_until_ns=T0 + 9 * S)
    writer.write_run({**read_run(writer.path).meta, "pods": [env]})

    table = delays(read_run(writer.path))

    assert rows(table, "consumer", "waited_s", "status") == [("env", 9.0, "timeout")]


@pytest.mark.parametrize("name", ["p", "pod/p", "n", "node/n"])
def test_a_restart_ends_the_waiting(write_run: WriteRun, name: str) -> None:
    """What a restart brought about is no delay; what came before it is."""
    restart = {"at_ns": T0 + 6 * S, "kind": "restart", "object": name}
    writer = write_run(
        updates=[(1, 0.0, 0.0), (2, 4.0, 4.0), (3, 7.0, 7.0)],
        publications=[("p", 1, 3.0), ("p", 2, 6.5), ("p", 3, 9.0)],
        events=[restart],
    )

    table = delays(read_run(writer.path))

    assert rows(table, "seq", "delay_s", "waited_s", "status") == [
        (1, 3.0, 3.0, "observed"),
        (2, None, 2.0, "interrupted"),
        (3, 2.0, 2.0, "observed"),
    ]


def test_another_pods_restart_is_no_matter(write_run: WriteRun) -> None:
    """An incident concerns the object it names."""
    restart = {"at_ns": T0 + 2 * S, "kind": "restart", "object": "pod/q"}
    writer = write_run(
        updates=[(1, 0.0, 0.0)], publications=[("p", 1, 3.0)], events=[restart]
    )

    assert delays(read_run(writer.path))["status"].tolist() == ["observed"]


def test_what_a_gap_may_hide_is_missed(write_run: WriteRun) -> None:
    """A publication that a gap covers may have replaced an earlier one."""
    looked_away = {"from_ns": T0 + 5 * S, "to_ns": T0 + 8 * S}
    gap = {"at_ns": T0 + 8 * S, "kind": "gap", "object": "p", "detail": looked_away}
    writer = write_run(
        updates=[(1, 0.0, 0.0), (2, 4.0, 4.0), (3, 6.0, 6.0), (4, 7.5, 7.5)],
        publications=[("p", 1, 3.0), ("p", 3, 7.0), ("p", 4, 15.0)],
        events=[gap],
    )

    table = delays(read_run(writer.path))

    assert rows(table, "seq", "delay_s", "waited_s", "status", "sync") == [
        (1, 3.0, 3.0, "observed", 1),
        (2, None, 1.0, "missed", 2),
        (3, None, 0.0, "missed", 2),
        (4, 7.5, 7.5, "observed", 3),
    ]
    assert table["published_ns"].tolist()[1] == T0 + 7 * S


def test_writes_that_did_not_happen_have_no_delay(write_run: WriteRun) -> None:
    """Refused and unsent updates are kept, without waiting."""
    writer = write_run(publications=[("p", 9, 3.0)])
    refused = {"seq": 1, "sent_ns": T0, "status": "failed", "error": "403"}
    writer.append_update(refused)
    writer.append_update({"seq": 2, "status": "not_sent"})

    table = delays(read_run(writer.path))

    assert rows(table, "seq", "published_ns", "waited_s", "status") == [
        (1, None, None, "failed"),
        (2, None, None, "not_sent"),
    ]


def test_only_trials_count(write_run: WriteRun) -> None:
    """Updates that scrambled phases have no row."""
    writer = write_run(publications=[("p", 1, 3.0)])
    row = {"seq": 1, "sent_ns": T0, "acked_ns": T0, "purpose": "scramble"}
    writer.append_update(row)

    assert delays(read_run(writer.path)).empty


def test_an_update_concerns_its_own_map(write_run: WriteRun) -> None:
    """With a map per pod, each pod waits for its own updates."""
    pods = [
        {"node": "n", "pod": name, "consumer": "volume", "configmap": f"map-{name}"}
        for name in ("p", "q")
    ]
    writer = write_run(observed_until_ns=T0 + S)
    writer.write_run({**read_run(writer.path).meta, "pods": pods})
    for name in ("p", "q"):
        row = {"seq": 1, "configmap": f"map-{name}", "sent_ns": T0, "acked_ns": T0}
        writer.append_update(row)

    table = delays(read_run(writer.path))

    assert rows(table, "pod", "configmap") == [("p", "map-p"), ("q", "map-q")]


def test_the_worst_clock_estimate_bounds_the_row(write_run: WriteRun) -> None:
    """A row's clock bound is the largest |offset| + bound of its node."""
    writer = write_run(updates=[(1, 0.0, 0.0)], publications=[("p", 1, 3.0)])
    for node, offset, bound in (("n", -3, 2), ("n", 1, 1), ("other", 9, 9)):
        ns = {"offset_ns": offset * 1_000_000, "bound_ns": bound * 1_000_000}
        writer.append_clock({"node": node, "at_ns": T0, **ns})

    assert delays(read_run(writer.path))["clock_bound_s"].tolist() == [0.005]


def test_an_unknown_node_has_no_setting(write_run: WriteRun) -> None:
    """What run.json does not say is null, and gives no sync intervals."""
    writer = write_run(
        updates=[(1, 0.0, 0.0)], publications=[("p", 1, 3.0)], settings={}
    )
    run = read_run(writer.path)

    table = delays(run)

    assert rows(table, "sync_frequency_s", "strategy", "ttl_s") == [(None, None, None)]
    assert refresh_intervals(run).empty


def test_a_killed_run_ends_with_its_last_stamp(write_run: WriteRun) -> None:
    """Without observed_until_ns, observation ended when the last record was made."""
    writer = write_run(updates=[(1, 0.0, 0.0)], publications=[("p", 1, 3.0)])

    assert observed_until_ns(read_run(writer.path)) == T0 + 3 * S + 100_000_000


def test_a_run_without_records_is_empty(write_run: WriteRun) -> None:
    """A run that had no time to do anything gives empty tables."""
    run = read_run(write_run().path)

    assert delays(run).empty
    assert refresh_intervals(run).empty
    assert observed_until_ns(run) == 0


def test_intervals_count_by_where_they_begin(write_run: WriteRun) -> None:
    """Only what begins in the window, b before the end, with an update within S.

    The window is 5 … 60 s; b is 16.2 s and observation ends at 70 s,
    so a beginning may be up to 53.8 s.
    """
    writer = write_run(
        updates=[(i, 2.0 * i, 2.0 * i) for i in range(1, 16)] + [(16, 50.0, 50.0)],
        publications=[
            ("p", 1, 3.0),  # begins before the window
            ("p", 7, 15.0),
            ("p", 14, 28.5),
            ("p", 15, 42.0),
            ("p", 16, 53.0),  # no update came after it: its next sync is not seen
            ("p", 17, 66.0),
        ],
        measure_from_ns=T0 + 5 * S,
        measure_until_ns=T0 + 60 * S,
        observed_until_ns=T0 + 70 * S,
    )

    table = refresh_intervals(read_run(writer.path))

    assert rows(table, "start_ns", "most_s") == [
        (T0 + 15 * S, 13.5),
        (T0 + 28_500_000_000, 13.5),
        (T0 + 42 * S, 11.0),
    ]
    assert rows(table, "consumer", "node", "pod", "strategy")[0] == (
        "volume",
        "n",
        "p",
        "Watch",
    )


@pytest.mark.parametrize(("kind", "lasted_s"), [("restart", 0), ("gap", 11)])
def test_intervals_keep_away_from_breaks(
    simulate_run: SimulateRun, kind: str, lasted_s: int
) -> None:
    """What begins less than b before a break is left out, however it ended."""
    writer = simulate_run("r", pods=2)
    before = refresh_intervals(read_run(writer.path))
    at, to = T0 + 60 * S, T0 + (60 + lasted_s) * S
    detail = {"from_ns": at, "to_ns": to}
    event = {"at_ns": at, "kind": kind, "object": "pod/n0-0", "detail": detail}
    writer.append_event(event)

    after = refresh_intervals(read_run(writer.path))

    near = (before["pod"] == "n0-0") & before["start_ns"].between(at - 16.2 * S, to)
    assert near.sum() >= 1
    assert rows(after, "pod", "start_ns") == rows(before[~near], "pod", "start_ns")


def test_a_gap_shorter_than_the_sync_frequency_hides_no_sync(
    simulate_run: SimulateRun,
) -> None:
    """Two syncs are more than S apart, so a short gap costs no interval."""
    writer = simulate_run("r", pods=1)
    before = refresh_intervals(read_run(writer.path))
    detail = {"from_ns": T0 + 60 * S, "to_ns": T0 + 63 * S}
    event = {"at_ns": T0 + 63 * S, "kind": "gap", "object": "n0-0", "detail": detail}
    writer.append_event(event)

    assert len(refresh_intervals(read_run(writer.path))) == len(before)


def test_a_cache_with_ttl_has_no_intervals(simulate_run: SimulateRun) -> None:
    """Where a sync may publish nothing, publications are not syncs."""
    writer = simulate_run("r", pods=1)
    meta = json.loads((writer.path / "run.json").read_text())
    meta["settings"]["n0"].update(strategy="Cache", ttl_s=60.0)
    writer.write_run(meta)

    assert refresh_intervals(read_run(writer.path)).empty
