"""Delays: each status by a case small enough to work out by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from cmhot.cluster.model.simulate import simulate
from cmhot.errors import UsageError
from cmhot.kubelet.eras import TYPICAL
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.law import law_for
from cmhot.runs import schema
from cmhot.runs.delays import delays, delays_in_chunks, pool
from cmhot.runs.rundir import kubelet_version, observed_until_ns, read_run
from cmhot.runs.sync_intervals import REFRESH_COLUMNS, refresh_intervals
from cmhot.statistics import describe_delays, describe_intervals
from tests.unit.conftest import listed

if TYPE_CHECKING:
    from cmhot.runs.rundir import Run
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
    looked_away = {"from_ns": T0 + 5 * S, "to_ns": T0 + 18 * S}
    gap = {"at_ns": T0 + 18 * S, "kind": "gap", "object": "p", "detail": looked_away}
    writer = write_run(
        updates=[(1, 0.0, 0.0), (2, 4.0, 4.0), (3, 6.0, 6.0), (4, 17.5, 17.5)],
        publications=[("p", 1, 3.0), ("p", 3, 17.0), ("p", 4, 25.0)],
        events=[gap],
    )

    table = delays(read_run(writer.path))

    assert rows(table, "seq", "delay_s", "waited_s", "status", "sync") == [
        (1, 3.0, 3.0, "observed", 1),
        (2, None, 1.0, "missed", 2),
        (3, None, 0.0, "missed", 2),
        (4, 7.5, 7.5, "observed", 3),
    ]
    assert table["published_ns"].tolist()[1] == T0 + 17 * S


def test_a_gap_shorter_than_the_sync_frequency_hides_no_publication(
    write_run: WriteRun,
) -> None:
    """Two syncs are more than S apart: the one seen after the gap was the only one."""
    looked_away = {"from_ns": T0 + 5 * S, "to_ns": T0 + 8 * S}
    gap = {"at_ns": T0 + 8 * S, "kind": "gap", "object": "p", "detail": looked_away}
    writer = write_run(
        updates=[(2, 4.0, 4.0), (3, 6.0, 6.0)],
        publications=[("p", 3, 7.0)],
        events=[gap],
    )

    table = delays(read_run(writer.path))

    assert rows(table, "seq", "delay_s", "status") == [
        (2, 3.0, "observed"),
        (3, 1.0, "observed"),
    ]


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


def test_a_publication_is_placed_on_the_collectors_clock(write_run: WriteRun) -> None:
    """By the offset around it; its bound grows away from the estimates.

    The node is 2 s ahead at 0 s and 2.04 s ahead at 100 s. Its stamp of 52.02 s was
    made at 50 s, which is 50 s from either estimate: 5 ms at a drift of 1e-4, and the
    bound between 10 and 30 ms. Its stamp of 112.04 s was made at 110 s, 10 s after the
    last.
    """
    writer = write_run(
        updates=[(1, 45.0, 45.0), (2, 105.0, 105.0)],
        publications=[("p", 1, 52.02), ("p", 2, 112.04)],
    )
    for at_s, offset_ms, bound_ms in ((0, 2000, 10), (100, 2040, 30)):
        ns = {"offset_ns": offset_ms * 1_000_000, "bound_ns": bound_ms * 1_000_000}
        writer.append_clock({"node": "n", "at_ns": T0 + at_s * S, **ns})
    far = {"node": "other", "at_ns": T0, "offset_ns": 9 * S, "bound_ns": 9 * S}
    writer.append_clock(far)

    table = delays(read_run(writer.path))

    # the offset is looked up 8e-4 s beside the truth where it changes by 4e-4 s/s
    assert table["delay_s"].tolist() == pytest.approx([5.0, 5.0], abs=1e-6)
    assert table["published_ns"].tolist() == pytest.approx(
        [T0 + 50 * S, T0 + 110 * S], abs=1e3
    )
    assert table["clock_bound_s"].tolist() == pytest.approx([0.025, 0.031], abs=1e-6)


def test_a_node_whose_clock_was_set_between_two_looks_is_bounded_by_the_step(
    write_run: WriteRun,
) -> None:
    """No drift goes from 0 to 3 s in 100 s, and nobody saw when it was set."""
    writer = write_run(
        updates=[(1, -1.0, -1.0), (2, 45.0, 45.0), (3, 105.0, 105.0)],
        publications=[("p", 1, -0.5), ("p", 2, 53.0), ("p", 3, 113.0)],
    )
    for at_s, offset_s in ((0, 0), (100, 3)):
        ns = {"offset_ns": offset_s * S, "bound_ns": 10_000_000}
        writer.append_clock({"node": "n", "at_ns": T0 + at_s * S, **ns})

    bounds_s = delays(read_run(writer.path))["clock_bound_s"].tolist()

    assert bounds_s[0] == pytest.approx(0.01, abs=1e-4)
    assert 3.0 < bounds_s[1] < 3.1
    assert bounds_s[2] == pytest.approx(0.011, abs=1e-4)


def test_the_middle_of_loose_bounds_moves_no_delay(write_run: WriteRun) -> None:
    """An offset between -2.9 and 0.1 s is none that is known: it may be none."""
    writer = write_run(updates=[(1, 1.0, 1.0)], publications=[("p", 1, 7.0)])
    ns = {"offset_ns": -14 * S // 10, "bound_ns": 15 * S // 10}
    writer.append_clock({"node": "n", "at_ns": T0, **ns})

    (row,) = delays(read_run(writer.path)).to_dict("records")

    assert row["delay_s"] == 6.0
    assert row["clock_bound_s"] == pytest.approx(2.9, abs=1e-3)


def test_what_happened_to_a_pod_is_compared_on_its_nodes_clock(
    write_run: WriteRun,
) -> None:
    """A sync that a restart caused stays interrupted, however far clocks are apart.

    The node is 1 s ahead: its restart at 6 s was at 5 s here, 1 s after the update.
    """
    restart = {"at_ns": T0 + 6 * S - 1, "kind": "restart", "object": "pod/p"}
    writer = write_run(
        updates=[(1, 4.0, 4.0), (2, 8.0, 8.0)],
        publications=[("p", 1, 6.0), ("p", 2, 10.0)],
        events=[restart],
        pods=["p", "q"],
        observed_until_ns=T0 + 20 * S,
    )
    clock = {"node": "n", "at_ns": T0, "offset_ns": S, "bound_ns": 0}
    writer.append_clock(clock)

    table = delays(read_run(writer.path))

    assert rows(table, "pod", "waited_s", "status") == [
        ("p", pytest.approx(1.0), "interrupted"),
        ("p", 1.0, "observed"),
        ("q", 16.0, "timeout"),
        ("q", 12.0, "timeout"),
    ]


def test_nothing_is_known_of_waiting_after_a_pod_was_lost(write_run: WriteRun) -> None:
    """It is interrupted with its last look, and what comes later at once."""
    gone = {"at_ns": T0 + 6 * S, "kind": "gone", "object": "pod/p"}
    writer = write_run(
        updates=[(1, 0.0, 0.0), (2, 4.0, 4.0), (3, 7.0, 7.0), (4, 9.0, 9.0)],
        publications=[("p", 1, 3.0)],
        events=[gone],
        observed_until_ns=T0 + 20 * S,
    )

    table = delays(read_run(writer.path))

    assert rows(table, "seq", "waited_s", "status") == [
        (1, 3.0, "observed"),
        (2, 2.0, "interrupted"),
        (3, 0.0, "interrupted"),
        (4, 0.0, "interrupted"),
    ]


def test_pieces_make_the_whole(simulate_run: SimulateRun) -> None:
    """However many rows a piece has, together they are the table of delays."""
    run = read_run(simulate_run("r", pods=3, settings=("sync=10s", "sync=5s")).path)
    whole = delays(run)
    each = len(whole) // 6

    for size, pieces in ((1, 6), (each + 1, 3), (10**9, 1)):
        parts = [*delays_in_chunks(run, rows=size)]
        assert len(parts) == pieces
        joined = pd.concat([part.astype(object) for part in parts], ignore_index=True)
        pd.testing.assert_frame_equal(joined, whole.astype(object))


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


CACHE = {"sync_frequency_s": 10.0, "strategy": "Cache", "ttl_s": 60.0}
EVERY_2_S = [(i, 2.0 * i, 2.0 * i + 0.1) for i in range(1, 60)]
SHARED = [
    ("p", 3, 7.0),  # fetches: update 4 is made at 8 s
    ("q", 3, 12.0),
    ("q", 35, 71.0),  # fetches, more than the TTL later
    ("p", 35, 76.0),
]


def cached_run(write_run: WriteRun, **meta: Any) -> Run:  # noqa: ANN401 - of run.json
    """Write two pods that share what their node fetched for 60 s."""
    known = {"settings": {"n": CACHE}, "observed_until_ns": T0 + 150 * S, **meta}
    pods = ["p", "q"]
    writer = write_run(updates=EVERY_2_S, publications=SHARED, pods=pods, **known)
    return read_run(writer.path)


def test_pods_that_share_a_cache(write_run: WriteRun) -> None:
    """What p shows at 76 s was fetched by q at 71 s, and before by p at 7 s.

    So p shows updates of 7 … 71 s, 5 to 69 s late, and q the same, 0 to 64 s late.
    """
    table = refresh_intervals(cached_run(write_run))

    assert rows(table, "pod", "start_ns", "published_ns", "least_s", "most_s") == [
        ("p", T0 + 7 * S, T0 + 76 * S, 5.0, 69.0),
        ("q", T0 + 7 * S, T0 + 71 * S, 0.0, 64.0),
    ]


def test_a_shared_interval_is_drained_by_the_law_of_the_cache(
    write_run: WriteRun,
) -> None:
    """The longest delay is T + 1.5 S + 1.2 = 76.2 s: it must have been waited for."""
    at_83_1, at_83_2 = (
        refresh_intervals(
            cached_run(write_run, run_id=str(end), observed_until_ns=T0 + end)
        )
        for end in (83_100_000_000, 83_200_000_000)
    )

    assert at_83_1.empty
    assert len(at_83_2) == 2


def test_what_something_else_fetched_is_placed_in_the_middle(
    write_run: WriteRun,
) -> None:
    """A number that came after the next was sent was fetched before it.

    Update 3 was acknowledged at 6.1 s and 4 sent at 8 s: the fetch is put at 7.05 s.
    """
    late = [("p", 3, 9.5), ("p", 35, 71.0)]
    writer = write_run(
        updates=EVERY_2_S,
        publications=late,
        pods=["p"],
        settings={"n": CACHE},
        observed_until_ns=T0 + 150 * S,
    )

    table = refresh_intervals(read_run(writer.path))

    assert rows(table, "start_ns", "least_s", "most_s") == [
        (T0 + 7_050_000_000, 0.0, 63.95)
    ]


@pytest.mark.parametrize(
    "meta",
    [
        {"kubernetes": "v1.27.3"},
        {"kubernetes": "v1.37.1", "kubelets": {"n": "v1.27.3"}},
    ],
    ids=["cluster", "node"],
)
def test_where_a_ttl_has_no_effect_each_publication_is_current(
    write_run: WriteRun, meta: dict[str, Any]
) -> None:
    """From 1.24 to 1.28 Cache is Get; the node's own version counts.

    So is its longest delay: 16.2 s after 12 s are over at 80 s, 76.2 s were not.
    """
    meta["observed_until_ns"] = T0 + 80 * S
    table = refresh_intervals(cached_run(write_run, **meta))

    assert rows(table, "pod", "least_s", "most_s") == [
        ("p", 0.0, 69.0),
        ("q", 0.0, 59.0),
    ]


def test_an_unknown_ttl_has_no_intervals(write_run: WriteRun) -> None:
    """Without the TTL no law says for how long to wait."""
    unknown = {"n": {**CACHE, "ttl_s": None}}

    assert refresh_intervals(cached_run(write_run, settings=unknown)).empty


def test_only_updates_of_the_map_follow(write_run: WriteRun) -> None:
    """An update of another ConfigMap gives this one's next fetch nothing to bring."""
    pods = [{**listed("n", name), "configmap": f"map-{name}"} for name in ("p", "q")]
    run = cached_run(write_run)
    late = run.updates[(run.updates["seq"] <= 3) | (run.updates["seq"] > 12)]
    run = replace(
        run,
        meta={**run.meta, "pods": pods},
        updates=pd.concat(
            [run.updates.assign(configmap="map-p"), late.assign(configmap="map-q")]
        ),
    )

    assert refresh_intervals(run)["pod"].tolist() == ["p"]


def test_a_number_that_nothing_tells_of_is_not_placed(write_run: WriteRun) -> None:
    """The content from before the first update was current at an unknown instant."""
    shown = [("p", 0, 5.0), ("p", 5, 15.0), ("p", 40, 81.0)]
    writer = write_run(
        updates=EVERY_2_S,
        publications=shown,
        pods=["p"],
        settings={"n": CACHE},
        observed_until_ns=T0 + 200 * S,
    )

    table = refresh_intervals(read_run(writer.path))

    assert len(table) == 1
    assert table["published_ns"].tolist() == [T0 + 81 * S]


def test_sharers_may_fetch_sooner_than_a_pod_syncs(write_run: WriteRun) -> None:
    """With a TTL of 5 s an update must follow within 5 s, or a fetch brought nothing.

    After the fetch at 7 s the next update comes 6 s later; after that of 14 s, 2 s.
    """
    run = read_run(
        write_run(
            updates=[(1, 6.0, 6.0), (2, 13.0, 13.0), (3, 16.0, 16.0), (4, 30.0, 30.0)],
            publications=[
                ("p", 1, 7.0),
                ("p", 2, 19.5),
                ("q", 2, 14.0),
                ("q", 3, 26.0),
            ],
            pods=["p", "q"],
            settings={"n": {**CACHE, "ttl_s": 5.0}},
            observed_until_ns=T0 + 150 * S,
        ).path
    )

    table = refresh_intervals(run)

    assert rows(table, "pod", "start_ns", "most_s") == [("q", T0 + 14 * S, 12.0)]


def test_another_pods_map_is_no_matter(write_run: WriteRun) -> None:
    """With a map per pod each publication that could be a fetch is one.

    That of p at 76 s came after update 36 was sent, at 72 s;
    35 was acknowledged at 70.1 s.
    """
    pods = [
        {"node": "n", "pod": name, "consumer": "volume", "configmap": f"map-{name}"}
        for name in ("p", "q")
    ]
    entries = [{**one, "container": "probe"} for one in pods]
    run = cached_run(write_run)
    run = replace(
        run,
        meta={**run.meta, "pods": entries},
        updates=pd.concat(
            run.updates.assign(configmap=one["configmap"]) for one in pods
        ),
    )

    table = refresh_intervals(run)

    assert rows(table, "configmap", "start_ns", "least_s", "most_s") == [
        ("map-p", T0 + 7 * S, 4.95, 69.0),
        ("map-q", T0 + 7_050_000_000, 0.0, 63.95),
    ]


@pytest.mark.parametrize(
    ("setting", "sharers"),
    [
        (Setting(10), 10),
        (Setting(10, Strategy.GET), 10),
        (Setting(10, Strategy.CACHE, 60.0), 1),
        (Setting(10, Strategy.CACHE, 60.0), 10),
        (Setting(10, Strategy.CACHE, 5.0), 10),
    ],
    ids=str,
)
def test_intervals_and_delays_agree(setting: Setting, sharers: int) -> None:
    """At any setting both estimators agree, and with the law.

    Of modelled kubelets; intervals of an hour on ten nodes are known to 0.3 s,
    the delays of the same time to 1 s.
    """
    run = simulate(setting, pods=sharers, nodes=10, duration_s=3600.0, seed=3)

    refreshed = describe_intervals(refresh_intervals(run)).iloc[0]
    delayed = describe_delays(delays(run)).iloc[0]

    law = law_for(setting, sharers=sharers, timing=TYPICAL)
    assert law is not None
    for name, value in law.summary().items():
        if name != "max_s":
            assert refreshed[name] == pytest.approx(value, abs=0.3)
            assert delayed[name] == pytest.approx(value, abs=1.0)


def test_names_are_categories(simulate_run: SimulateRun) -> None:
    """A table of many rows holds each name once; columns are those of the schema."""
    run = read_run(simulate_run("r", pods=3).path)

    table, refresh = delays(run), refresh_intervals(run)

    assert [*table] == [column.name for column in schema.DELAYS.columns]
    assert [*refresh] == [*REFRESH_COLUMNS]
    for name in ("strategy", "configmap", "node", "pod", "consumer", "status"):
        assert isinstance(table[name].dtype, pd.CategoricalDtype)
    typed = schema.conform(table, schema.DELAYS)
    assert typed["seq"].tolist() == table["seq"].tolist()


def test_pods_of_different_runs_are_different(simulate_run: SimulateRun) -> None:
    """Pooled tables keep all rows, and name pods and nodes after their run."""
    runs = {
        name: read_run(simulate_run(name, pods=pods).path)
        for name, pods in (("a", 2), ("b", 3))
    }
    tables = {name: delays(run) for name, run in runs.items()}

    pooled = pool(tables)

    assert len(pooled) == sum(map(len, tables.values()))
    assert pooled["pod"].unique().tolist() == [
        "a/n0-0",
        "a/n0-1",
        "b/n0-0",
        "b/n0-1",
        "b/n0-2",
    ]
    assert pooled["node"].unique().tolist() == ["a/n0", "b/n0"]
    assert pooled["delay_s"].mean() == pytest.approx(
        pd.concat(tables.values())["delay_s"].mean()
    )
    assert {*map(str, pooled.dtypes)} == {*map(str, tables["a"].dtypes)}


def test_nothing_cannot_be_pooled() -> None:
    """There is a table at least."""
    with pytest.raises(UsageError, match="no table to pool"):
        pool({})


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({}, None),
        ({"kubernetes": "v1.30.0"}, "v1.30.0"),
        ({"kubernetes": "v1.30.0", "kubelets": {"n": "v1.29.1"}}, "v1.29.1"),
        ({"kubernetes": "v1.30.0", "kubelets": {"m": "v1.29.1"}}, "v1.30.0"),
        ({"kubelets": None}, None),
    ],
)
def test_the_version_of_a_kubelet(meta: dict[str, Any], expected: str | None) -> None:
    """The node's own where it was recorded, else the cluster's."""
    assert kubelet_version(meta, "n") == expected
