"""Clocks: whatever a node's clock does, the truth lies inside the bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from cmhot.clock import NS_PER_S
from cmhot.cluster import probe
from cmhot.cluster.model import ModelCluster
from cmhot.collector.begin import collect
from cmhot.collector.clock_offsets import Bounds, ahead_ns, ask
from cmhot.errors import ClusterError, ForbiddenError
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.runs.delays import NodeClock, delays
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import read_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SETTINGS = (Setting(5), Setting(10, Strategy.GET))
MS = 1_000_000


def stamp(at_ns: int) -> str:
    """Write an instant as the kubelet and `stat` do."""
    return str(np.datetime64(at_ns, "ns"))


class Elsewhere(ModelCluster):
    """A cluster whose nodes have clocks of their own.

    Attributes
    ----------
    offsets_ns
        By node, at the start.
    drift
        Seconds a second, by which they then go ahead.
    answer_s
        Until a stamp is made, and from then on until the answer.
    """

    modelled = False

    def __init__(
        self,
        offsets_ns: Mapping[str, int],
        *,
        drift: float = 0.0,
        answer_s: tuple[float, float] = (0.15, 0.01),
    ) -> None:
        super().__init__(SETTINGS)
        self.offsets_ns, self.drift, self.answer_s = offsets_ns, drift, answer_s

    def truth_ns(self, node: str, at_ns: int) -> int:
        """Give the true offset at an instant of the collector's clock."""
        return self.offsets_ns[node] + round((at_ns - self._start_ns) * self.drift)

    def there(self, node: str, at_ns: int) -> int:
        """Give a node's clock."""
        return at_ns + self.truth_ns(node, at_ns)

    def log(
        self,
        pod: str,
        *,
        namespace: str,
        container: str,
        since_ns: int | None = None,  # noqa: ARG002 - the collector knows what it knows
    ) -> str:
        """Stamp by the node's clock."""
        node = self._world.pods[namespace, pod].node.name
        text = super().log(pod, namespace=namespace, container=container)
        lines = []
        for line in probe.parse_log(text):
            assert line.published_ns is not None
            read = stamp(self.there(node, line.read_ns))
            published = stamp(self.there(node, line.published_ns)).replace("T", " ")
            lines.append(f"{read}Z publication {line.seq} {published} +0000\n")
        return "".join(lines)

    def run_in(
        self,
        pod: str,
        command: Sequence[str],
        *,
        namespace: str,
        container: str,
    ) -> str:
        """Stamp a file, up to a jiffy early."""
        assert "stat" in command[-1]
        assert namespace.startswith("cmhot-")
        assert container == "probe"
        before, after = self.answer_s
        self.clock.sleep(before)
        node = self._world.pods[namespace, pod].node.name
        now = self.there(node, self.clock.utc_ns())
        self.clock.sleep(after)
        return stamp(now - now % (10 * MS)).replace("T", " ") + " +0000\n"


@pytest.mark.parametrize("drift", [0.0, 5e-5, -5e-5])
@pytest.mark.parametrize("offset_ms", [0, 80, -60_000])
def test_the_truth_lies_inside_the_bound(
    tmp_path: Path, offset_ms: int, drift: float
) -> None:
    """At every instant of the run, for every node, before, between and after."""
    offsets = {"model-1": offset_ms * MS, "model-2": -3 * MS}
    cluster = Elsewhere(offsets, drift=drift)

    path = collect(cluster, Plan(pods=2, duration_s=1200, gap_s=4), out=tmp_path)

    run = read_run(path)
    instants = np.linspace(
        run.meta["begin_ns"], run.meta["ends_ns"], 50, dtype=np.int64
    )
    for node in offsets:
        assert (run.clock["node"] == node).sum() >= 3
        offset, bound = NodeClock.of({}, run.clock, node).offset_at(instants)
        truth = [cluster.truth_ns(node, int(at_ns)) for at_ns in instants]
        assert (np.abs(offset - truth) <= bound).all()
        # a stamp is known to half of 170 ms, and drifts for minutes until the next
        assert bound.max() < (85 + 40) * MS


@pytest.mark.parametrize("drift", [0.0, 5e-5, -5e-5])
def test_delays_are_corrected_by_the_clock(tmp_path: Path, drift: float) -> None:
    """Every delay of a run on clocks that are off holds the truth in its bound."""
    offsets = {"model-1": 900 * MS, "model-2": -700 * MS}
    here, there = (
        Elsewhere({"model-1": 0, "model-2": 0}),
        Elsewhere(offsets, drift=drift),
    )
    plan = Plan(pods=2, duration_s=600, gap_s=4)
    true, measured = (
        delays(read_run(collect(cluster, plan, out=tmp_path)))
        for cluster in (here, there)
    )
    assert true["seq"].tolist() == measured["seq"].tolist()
    both = (true["status"] == "observed") & (measured["status"] == "observed")

    wrong = (measured["delay_s"] - true["delay_s"]).abs()[both]

    assert both.mean() > 0.95
    assert (
        wrong <= measured["clock_bound_s"][both] + true["clock_bound_s"][both]
    ).all()
    # uncorrected they were wrong by 0.7 s and 0.9 s; a stamp is known to 85 ms
    assert wrong.max() < 0.125
    assert measured["clock_bound_s"].nunique() > 100


def test_a_clock_that_is_badly_known_makes_the_run_invalid(tmp_path: Path) -> None:
    """Where an answer takes 0.6 s, a stamp is known to 0.3 s; the limit is 0.25 s."""
    offsets = {"model-1": 400 * MS, "model-2": 0}
    cluster = Elsewhere(offsets, answer_s=(0.3, 0.3))

    path = collect(cluster, Plan(pods=1, duration_s=60, gap_s=30), out=tmp_path)

    meta = read_run(path).meta
    check = meta["checks"]["clock"]
    assert meta["status"] == "invalid"
    assert check["passed"] is False
    assert 0.25 < check["value"] < 0.35


def test_a_clock_that_is_far_off_is_corrected(tmp_path: Path) -> None:
    """A minute makes no run invalid, as long as it is known."""
    offsets = {"model-1": -60_000 * MS, "model-2": 0}

    path = collect(Elsewhere(offsets), Plan(pods=2, duration_s=60), out=tmp_path)

    run = read_run(path)
    assert run.meta["checks"]["clock"]["passed"] is True
    assert delays(run)["delay_s"].between(-0.5, 17).all()


class Closed(Elsewhere):
    """A cluster in whose pods nothing may be run."""

    def run_in(
        self,
        pod: str,
        command: Sequence[str],
        *,
        namespace: str,
        container: str,
    ) -> str:
        """Refuse."""
        msg = f"exec {command} in {namespace}/{pod}/{container} is not allowed"
        raise ForbiddenError(msg, status=403)


def test_without_exec_the_publications_bound_the_clock(tmp_path: Path) -> None:
    """None is published before it was sent, nor read before it was written."""
    offsets = {"model-1": 20 * MS, "model-2": -20 * MS}
    cluster = Closed(offsets)

    path = collect(cluster, Plan(pods=6, duration_s=120), out=tmp_path)

    run = read_run(path)
    assert set(run.clock["node"]) == set(offsets)
    for row in run.clock.to_dict("records"):
        error = abs(row["offset_ns"] - offsets[str(row["node"])])
        assert error <= row["bound_ns"] < 1000 * MS
    unread = run.events[run.events["kind"] == "clock_unread"]
    assert len(unread) == 1


class Odd(Elsewhere):
    """A cluster whose probes have no `stat`."""

    def run_in(
        self,
        pod: str,  # noqa: ARG002
        command: Sequence[str],  # noqa: ARG002
        *,
        namespace: str,  # noqa: ARG002
        container: str,  # noqa: ARG002
    ) -> str:
        """Say something else."""
        return "sh: stat: not found"


def test_an_answer_that_is_no_stamp_is_refused() -> None:
    """It names the pod, and what came."""
    cluster = Odd({})

    with pytest.raises(ClusterError, match=r"no stamp from pod p, but 'sh: stat"):
        ask(cluster, cluster.clock, "p", namespace="n")


def test_offsets_are_interpolated() -> None:
    """Between two estimates straight, outside them flat with a growing bound."""
    t0 = 1_767_225_600 * NS_PER_S
    table = pd.DataFrame(
        {
            "node": ["n", "n", "m"],
            "at_ns": [t0, t0 + 100 * NS_PER_S, t0],
            "offset_ns": [0, 1000, 7],
            "bound_ns": [50, 150, 7],
        }
    )

    offset, bound = NodeClock.of({}, table, "n").offset_at(
        t0 + np.array([0, 50, 100, 110], np.int64) * NS_PER_S
    )

    assert offset.tolist() == [0, 500, 1000, 1000]
    # 1e-4 of the 50 s and the 10 s to the nearest estimate
    assert bound.tolist() == [50, 100 + 5 * MS, 150, 150 + MS]
    assert np.isnan(NodeClock.of({}, table, "x").offset_at(np.array([t0]))[0]).all()


def test_bounds_only_narrow() -> None:
    """And a row needs both."""
    bounds = Bounds().at_least(-10).at_least(-20)

    assert bounds.row("n", 0) is None
    assert bounds.at_most(30).at_most(40).row("n", 5, slack_ns=2) == {
        "node": "n",
        "at_ns": 5,
        "offset_ns": 10,
        "bound_ns": 23,
    }


def test_a_testbed_has_one_clock(tmp_path: Path) -> None:
    """There what a command's duration suggests of an offset is not believed."""
    run = read_run(collect(ModelCluster([Setting(5)]), Plan(pods=2), out=tmp_path))
    node = next(iter(run.meta["settings"]))
    told = pd.DataFrame(
        {
            "node": [node],
            "at_ns": [run.meta["measure_from_ns"]],
            "offset_ns": [200 * MS],
            "bound_ns": [100 * MS],
        }
    )
    at = np.array([run.meta["measure_until_ns"]])

    def offset_on(target: str) -> float:
        clock = NodeClock.of({**run.meta, "target": target}, told, node)
        return float(clock.offset_at(at)[0][0])

    assert offset_on("context:c") == 200 * MS
    assert offset_on("testbed:t") == 0


@pytest.mark.parametrize(
    ("bounds_ms", "known_ms"),
    [((800, 1000), (900, 100)), ((-200, 400), (0, 400)), ((-1000, -800), (-900, 100))],
)
def test_an_offset_within_its_bound_is_no_knowledge(
    monkeypatch: pytest.MonkeyPatch,
    bounds_ms: tuple[int, int],
    known_ms: tuple[int, int],
) -> None:
    """It is not taken off, and the largest error is that of leaving it."""
    least, most = bounds_ms
    monkeypatch.setattr(
        "cmhot.collector.clock_offsets.ask",
        lambda *_, **__: Bounds(least * MS, most * MS),
    )

    found = ahead_ns(Elsewhere({"model-1": 0}), "p", namespace="n")

    assert found == pytest.approx([one * MS for one in known_ms], abs=1)
