"""The offset of a node's clock from the collector's, and its bounds.

Three things cannot be, and each bounds the offset (node clock less collector's): that a
requested stamp was made before the request or after the answer (as NTP
bounds it, by half of what both took), that an update was published before it was sent,
and that a line was read before it was written. The first needs the right to run a
command in a probe, and takes a tenth of a second; the other two cost nothing, and are
narrow where many updates were seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmhot.clock import has_one_clock
from cmhot.cluster.probe import CONTAINER, epoch_ns
from cmhot.errors import ClusterError
from cmhot.runs.delays import DRIFT

if TYPE_CHECKING:
    from cmhot.clock import Clock
    from cmhot.cluster.port import Cluster


STAMP = ("sh", "-c", ": >/tmp/clock && stat -c %y /tmp/clock")
"""Busybox's `date` has seconds only; its `stat` has nanoseconds."""
TRIES = 3
JIFFY_NS = 10_000_000
"""A file's stamp may be early by this: the kernel's clock for files moves on once a
tick, 10 ms with HZ = 100."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of an offset; None: there is no such bound."""

    least_ns: int | None = None
    most_ns: int | None = None

    def at_least(self, bound_ns: int) -> Bounds:
        """Raise the lower bound."""
        if self.least_ns is not None and self.least_ns >= bound_ns:
            return self
        return Bounds(bound_ns, self.most_ns)

    def at_most(self, bound_ns: int) -> Bounds:
        """Lower the upper bound."""
        if self.most_ns is not None and self.most_ns <= bound_ns:
            return self
        return Bounds(self.least_ns, bound_ns)

    def row(self, node: str, at_ns: int, *, slack_ns: int = 0) -> dict[str, Any] | None:
        """Give a row of clock.jsonl; None while a bound is missing.

        Bounds that contradict each other show a clock that was set meanwhile: then the
        row spans both.
        """
        if self.least_ns is None or self.most_ns is None:
            return None
        return {
            "node": node,
            "at_ns": at_ns,
            "offset_ns": (self.least_ns + self.most_ns) // 2,
            "bound_ns": abs(self.most_ns - self.least_ns) // 2 + 1 + slack_ns,
        }


@dataclass(slots=True)
class Offsets:
    """Bounds of the offsets of all nodes, since each was last recorded."""

    clock: Clock
    _bounds: dict[str, Bounds] = field(default_factory=dict)
    _since_ns: dict[str, int] = field(default_factory=dict)

    def saw(self, node: str, *, published_ns: int, sent_ns: int) -> None:
        """Take a bound from a publication: its update had been sent."""
        bounds = self._of(node).at_most(published_ns + JIFFY_NS - sent_ns)
        self._bounds[node] = bounds

    def read(self, node: str, *, written_ns: int, now_ns: int) -> None:
        """Bound an offset from below: a log line is written before it is read."""
        self._bounds[node] = self._of(node).at_least(written_ns - now_ns)

    def narrow(self, node: str, asked: Bounds) -> None:
        """Take both bounds from a requested stamp."""
        bounds = self._of(node)
        if asked.least_ns is not None:
            bounds = bounds.at_least(asked.least_ns)
        if asked.most_ns is not None:
            bounds = bounds.at_most(asked.most_ns)
        self._bounds[node] = bounds

    def take(self, node: str) -> dict[str, Any] | None:
        """Give the bounds as a row of clock.jsonl, and begin anew."""
        now = self.clock.utc_ns()
        bounds = self._of(node)
        since = self._since_ns[node]
        # bounds from either end may be off by the drift until the middle
        slack = round((now - since) * DRIFT / 2)
        row = bounds.row(node, (since + now) // 2, slack_ns=slack)
        if row is not None:
            del self._bounds[node], self._since_ns[node]
        return row

    def _of(self, node: str) -> Bounds:
        self._since_ns.setdefault(node, self.clock.utc_ns())
        return self._bounds.setdefault(node, Bounds())


def ask(
    cluster: Cluster,
    clock: Clock,
    pod: str,
    *,
    namespace: str,
    container: str = CONTAINER,
    tries: int = TRIES,
) -> Bounds:
    """Bound a node's offset by stamps made in a pod on it.

    More `tries` give narrower bounds. Raises `ClusterError` when no command may be run
    in the pod, or its answer is no stamp.
    """
    bounds = Bounds()
    for _ in range(tries):
        before = clock.utc_ns()
        text = cluster.run_in(pod, STAMP, namespace=namespace, container=container)
        after = clock.utc_ns()
        try:
            there = epoch_ns(text.strip())
        except ValueError as error:
            msg = f"no stamp from pod {pod}, but {text[:80]!r}: does it have `stat`?"
            raise ClusterError(msg) from error
        bounds = bounds.at_least(there - after).at_most(there + JIFFY_NS - before)
    return bounds


def ahead_ns(
    cluster: Cluster, pod: str, *, namespace: str, container: str = CONTAINER
) -> tuple[int, int]:
    """Ask how far a pod's node's clock is ahead; 0 where asking takes longer.

    Also gives the largest error of that.
    """
    if cluster.modelled or has_one_clock(cluster.target):
        return 0, 0
    bounds = ask(cluster, cluster.clock, pod, namespace=namespace, container=container)
    row = bounds.row("", 0)
    assert row is not None, "each answer bounds it on both sides"  # noqa: S101
    offset, bound = int(row["offset_ns"]), int(row["bound_ns"])
    if abs(offset) <= bound:
        return 0, bound + abs(offset)
    return offset, bound
