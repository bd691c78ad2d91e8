"""How far the clocks of nodes were from the collector's, at any instant of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.clock import NS_PER_S
from cmhot.runs.meta import has_one_clock

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt
    import pandas as pd

    Nanoseconds = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

DRIFT = 1e-4
"""Two clocks drift apart by less, s/s: quartz is good to 2e-5 each, over what
the interpolation between two estimates already takes out."""


@dataclass(frozen=True, slots=True, eq=False)
class NodeClock:
    """What is known of one node's clock.

    Attributes
    ----------
    at_ns
        Instants of the estimates, ascending, collector's clock; shape (n,).
    offset_ns
        Node clock less collector's at each; shape (n,).
    bound_ns
        Largest error of each offset; shape (n,).
    drift
        By how much two such clocks may drift apart at the most, s/s.
    """

    at_ns: Nanoseconds
    offset_ns: Floats
    bound_ns: Floats
    drift: float = DRIFT

    @classmethod
    def of(cls, meta: Mapping[str, Any], clock: pd.DataFrame, node: str) -> NodeClock:
        """Pick what a run, by its run.json and clock.jsonl, knows of a node's clock.

        On a testbed there is but one: an estimate, whose error is that of the time
        a command takes in a pod, would make its stamps worse.
        """
        if has_one_clock(meta):
            return cls(np.zeros(1, dtype=np.int64), np.zeros(1), np.zeros(1), drift=0.0)
        return cls.estimated(clock, node)

    @classmethod
    def estimated(cls, clock: pd.DataFrame, node: str) -> NodeClock:
        """Pick a node's estimates from the table of clock.jsonl."""
        own = clock[clock["node"] == node].sort_values("at_ns")
        return cls(
            at_ns=own["at_ns"].to_numpy(dtype=np.int64),
            offset_ns=own["offset_ns"].to_numpy(dtype=np.float64),
            bound_ns=own["bound_ns"].to_numpy(dtype=np.float64),
        )

    def offset_at(self, at_ns: Nanoseconds) -> tuple[Floats, Floats]:
        """Interpolate the offset, and bound the error of that.

        Between two estimates offset and bound are interpolated (a steady drift then
        stays within the bound); what the drift may change of that grows with the
        distance to the nearest estimate, by `DRIFT`.

        Parameters
        ----------
        at_ns
            Instants on the collector's clock, UTC epoch nanoseconds; any shape.

        Returns
        -------
        tuple of ndarray
            Offset (node clock less collector's) and its bound, nanoseconds, shaped as
            `at_ns`; NaN where there is no estimate.
        """
        known = self.at_ns
        if not known.size:
            nothing = np.full(at_ns.shape, np.nan)
            return nothing, nothing
        # differences are exact in floats, the stamps themselves are not
        seconds = (known - known[0]) / NS_PER_S
        wanted = (at_ns - known[0]) / NS_PER_S
        offset = np.interp(wanted, seconds, self.offset_ns)
        bound = np.interp(wanted, seconds, self.bound_ns)
        after = np.searchsorted(seconds, wanted).clip(max=len(seconds) - 1)
        before = (after - 1).clip(min=0)
        nearest = np.minimum(
            np.abs(wanted - seconds[after]), np.abs(wanted - seconds[before])
        )
        return offset, bound + nearest * self.drift * NS_PER_S

    def to_collector(self, stamps_ns: Nanoseconds) -> tuple[Nanoseconds, Floats]:
        """Translate stamps of the node to the collector's clock.

        Without an estimate they stay as they are, and no bound is known.

        Returns
        -------
        tuple of ndarray
            UTC epoch nanoseconds, and their bound in seconds (NaN: unknown).
        """
        if not self.at_ns.size:
            return stamps_ns, np.full(stamps_ns.shape, np.nan)
        # estimates are placed on the collector's clock: look there, once more
        roughly, _ = self.offset_at(stamps_ns)
        offset, bound = self.offset_at(stamps_ns - _whole(roughly))
        return stamps_ns - _whole(offset), bound / NS_PER_S

    def to_node(self, at_ns: Nanoseconds) -> Nanoseconds:
        """Translate instants of the collector's clock to the node's."""
        if not self.at_ns.size:
            return at_ns
        return at_ns + _whole(self.offset_at(at_ns)[0])


def _whole(nanoseconds: Floats) -> Nanoseconds:
    return np.rint(nanoseconds).astype(np.int64)
