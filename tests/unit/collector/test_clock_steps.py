"""A machine's clock is set in the middle of a run: delays are right, or the run is not.

On a testbed collector and nodes are one machine: all of its stamps step together, and
its monotonic clock, by which the run goes on, does not.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cmhot.clock import NS_PER_S, VirtualClock
from cmhot.cluster.model import ModelCluster
from cmhot.collector.begin import collect, resume
from cmhot.errors import UsageError
from cmhot.kubelet.settings import Setting
from cmhot.runs.anonymise import anonymised
from cmhot.runs.delays import delays
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import OwnClock, pack, read_by_node, read_outline, read_run
from cmhot.runs.sync_intervals import refresh_intervals
from studies.fronts import OneMachine, Stepped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cmhot.kubelet.uses import Kind
    from cmhot.runs.rundir import Run

S = NS_PER_S
START_NS = VirtualClock().utc_ns()
PLAN = Plan(pods=6, duration_s=300, gap_s=2, seed=3)
UNSEEN_S = 0.011
"""A step of 10 ms is none yet, nor is one of a node's stamps of files."""
STEPS = {
    "forward": [(200.4, 3.0)],
    "back": [(200.4, -3.0)],
    "an hour": [(200.4, 3600.0)],
    "half a second": [(200.4, 0.5)],
    "forward and back": [(150.2, 30.0), (220.7, -60.0)],
    "a little, often": [(100.0 + 20 * k, 0.03) for k in range(8)],
    # as a host corrects the clock of its guest
    "a little, each two seconds": [(10.0 + 2 * k, 0.012) for k in range(140)],
}


class Testbed(OneMachine):
    """The modelled cluster, on a machine whose clock is set at instants given."""

    __test__ = False
    modelled, target = False, "testbed:t"

    def __init__(self, steps: Sequence[tuple[float, float]] = ()) -> None:
        inner = ModelCluster([Setting(5)])
        clock = Stepped(inner.clock)
        for at_s, by_s in steps:
            clock.step(round(by_s * S), at_ns=START_NS + round(at_s * S))
        super().__init__(inner, clock)


def edit_events(path: Path, **keep: Any) -> None:  # noqa: ANN401 - any detail
    """Leave of each step's detail what an older collector wrote."""
    file = path / "events.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row in rows:
        if row["kind"] == "clock_step":
            row["detail"] = {"by_s": row["detail"]["by_s"], **keep}
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    meta = json.loads((path / "run.json").read_text())
    meta.pop("rows", None)
    (path / "run.json").write_text(json.dumps(meta))


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Measure the same on a clock that nobody sets."""
    return read_run(collect(Testbed(), PLAN, out=tmp_path_factory.mktemp("still")))


def wrong_s(run: Run, still: Run) -> float:
    """Give the largest error of a delay that counts."""
    there, true = (
        delays(one).set_index(["pod", "seq"])["delay_s"].dropna()
        for one in (run, still)
    )
    assert set(there.index) <= set(true.index)
    return float((there - true[there.index]).abs().max())


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
def test_delays_are_those_of_a_clock_that_was_not_set(
    tmp_path: Path, still: Run, steps: list[tuple[float, float]]
) -> None:
    """Each that counts is right, to what is too small to be seen."""
    run = read_run(collect(Testbed(steps), PLAN, out=tmp_path))

    assert wrong_s(run, still) < UNSEEN_S
    table = delays(run)
    told = [row["by_s"] for row in run.events.query("kind == 'clock_step'")["detail"]]
    assert told == pytest.approx([by for _, by in steps])
    statuses = table["status"].value_counts()
    # what is lost is the time that the clock showed twice, on either side, what waited
    # when it began, and a step of less than a second is known to a second
    lost_s = sum(2 * max(-by, 0) + 2 + 8 * (by < 0) for _, by in steps) + 6
    assert statuses["observed"] > (1 - lost_s / 320) * len(table)
    assert statuses.get("interrupted", 0) == 0
    first, second = (sorted(refresh_intervals(one)["most_s"]) for one in (still, run))
    assert len(second) > (1 - (lost_s + 12 * len(steps)) / 320) * len(first)
    for interval_s in second:
        assert min(abs(interval_s - true_s) for true_s in first) < 2 * UNSEEN_S


@pytest.mark.parametrize("steps", [[(200.4, 3.0)], [(200.4, -3.0)]])
def test_the_run_is_judged_by_times_that_are_right(
    tmp_path: Path, steps: list[tuple[float, float]]
) -> None:
    """No kubelet "restarted", and phases are those of the law."""
    meta = read_run(collect(Testbed(steps), PLAN, out=tmp_path)).meta

    assert meta["status"] == "complete"
    assert meta["checks"]["clock"] == {"passed": True, "value": 0.0, "limit": 0.25}
    assert meta["checks"]["restarts"]["value"] == 0.0


def test_a_clock_that_is_set_back_for_too_long_makes_the_run_invalid(
    tmp_path: Path,
) -> None:
    """All stamps of an hour may be of another: the check says by how much."""
    run = read_run(collect(Testbed([(200.4, -3600.0)]), PLAN, out=tmp_path))

    assert run.meta["status"] == "invalid"
    check = run.meta["checks"]["clock"]
    assert (check["passed"], check["value"]) == (False, pytest.approx(3600.0))
    assert delays(run)["delay_s"].dropna().empty


def test_an_older_run_is_mended_when_it_is_read(tmp_path: Path, still: Run) -> None:
    """It does not say when its collector looked before: that costs half a minute."""
    path = collect(Testbed([(200.4, 3.0)]), PLAN, out=tmp_path)
    edit_events(path)

    run = read_run(path)
    assert wrong_s(run, still) < UNSEEN_S
    counts = delays(run)["status"].value_counts()
    # and a longest delay on either side
    assert 0 < counts["missed"] < (45 / 6 + 30 + 16) / 300 * counts.sum()


def test_reading_node_by_node_is_reading_all(tmp_path: Path) -> None:
    """The same publications; and raw they are as the probes wrote them."""
    path = collect(Testbed([(200.4, 3.0)]), PLAN, out=tmp_path)
    whole = read_run(path)

    (part,) = read_by_node(read_outline(path))
    (raw,) = read_by_node(read_outline(path, raw=True))

    same = part.publications["published_ns"] == whole.publications["published_ns"]
    assert same.all()
    moved = raw.publications["published_ns"] - whole.publications["published_ns"]
    assert set((moved / S).round(6)) == {0.0, 3.0}


@pytest.mark.parametrize("anonymous", [False, True])
def test_a_copy_is_not_mended_twice(tmp_path: Path, *, anonymous: bool) -> None:
    """A packed or anonymous run has the stamps of the run's clock."""
    run = read_run(collect(Testbed([(200.4, -3.0)]), PLAN, out=tmp_path))

    copy = read_run(pack(anonymised(run) if anonymous else run, tmp_path / "packed"))

    first, second = (delays(one).sort_values("seq") for one in (run, copy))
    assert first["delay_s"].sum() == pytest.approx(second["delay_s"].sum())
    assert first["status"].tolist() == second["status"].tolist()
    assert len(refresh_intervals(run)) == len(refresh_intervals(copy))


class Dying(Testbed):
    """A testbed on which the collector gives up at a write."""

    writes_left = 60

    def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
    ) -> dict[str, Any]:
        """Write, as long as there are writes left."""
        self.writes_left -= "seq" in (body.get("data") or {})
        if self.writes_left == 0:
            msg = "away"
            raise UsageError(msg)
        return super().patch(kind, name, body, namespace=namespace)


@pytest.mark.parametrize("by_s", [3.0, -3.0])
@pytest.mark.parametrize("dead", [False, True])
def test_a_resumed_run_goes_on_with_its_clock(
    tmp_path: Path, still: Run, by_s: float, *, dead: bool
) -> None:
    """Whether it is set before the collector dies or while it is dead."""
    machine = Dying(() if dead else [(60.3, by_s)])
    with pytest.raises(UsageError, match="away"):
        collect(machine, PLAN, out=tmp_path, run_id="r")
    machine.inner.clock.sleep(10)
    if dead:
        machine.clock.step(round(by_s * S))
    machine.inner.clock.sleep(10)

    run = read_run(resume(machine, tmp_path / "r"))

    assert wrong_s(run, still) < UNSEEN_S
    assert run.events["kind"].value_counts()["clock_step"] == 1
    seqs = run.publications.groupby("pod")["seq"]
    assert seqs.apply(lambda one: one.is_monotonic_increasing).all()
    assert "foreign" not in set(run.events["kind"])
    assert (delays(run)["status"] == "observed").mean() > 0.6


def drawn_clock(rng: np.random.Generator) -> OwnClock:
    """Draw a clock of a few levels, in whole units, each step seen some time later."""
    steps = int(rng.integers(1, 6))
    instants = np.sort(rng.integers(0, 200, 2 * steps)).reshape(-1, 2)
    return OwnClock(
        ahead_ns=np.append(0, rng.integers(-30, 31, steps)),
        from_ns=np.append(-1000, instants[:, 0]),
        until_ns=np.append(instants[:, 1], 1000),
    )


@pytest.mark.parametrize("seed", range(100))
def test_a_stamp_comes_to_the_first_level_that_it_may_be_of(seed: int) -> None:
    """And one that may be of none to the nearest; of two, it is told to be unclear."""
    clock = drawn_clock(np.random.default_rng(seed))
    stamps = np.arange(-50, 300)

    found = clock.on_time(stamps)
    unclear = clock.unclear_ns().tolist()

    for stamp, instant in zip(stamps.tolist(), found.tolist(), strict=True):
        at = stamp - clock.ahead_ns
        outside = np.maximum(np.maximum(clock.from_ns - at, at - clock.until_ns), 0)
        assert instant == at[np.argmin(outside)]
        may_be = at[outside == 0].tolist()
        if len(may_be) > 1:
            assert all(any(a <= one <= b for a, b in unclear) for one in may_be)
    assert all(one[1] < other[0] for one, other in pairwise(unclear))
