"""The form of every law of the delay: a distribution function by its corners."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from cmhot.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

QUANTILES = {"p50_s": 0.50, "p90_s": 0.90, "p95_s": 0.95, "p99_s": 0.99}
"""The quantiles that every summary gives, by the key that it gives them."""
_MANY = 100_000
"""From so many points on, making the guide table is worth it."""
_CELLS = 1 << 13
_CHUNK = 1 << 14
"""Points at a time, so that intermediate arrays stay in the processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Law:
    """Distribution of a delay, a straight line between the corners of F.

    Attributes
    ----------
    t
        Corners: delays in seconds, ascending; shape (k,).
    share
        F at each of them, from 0 to 1; shape (k,).
    max_s
        End of the support in seconds: the longest delay that the kubelet's code
        allows, a tick's slip and the volume loops included.
        F is 1 from ``t[-1]`` on, since a delay beyond it is as unlikely
        as a sync's milliseconds in a second.
    """

    t: Floats
    share: Floats
    max_s: float

    @property
    def mean_s(self) -> float:
        """Mean delay in seconds."""
        middle = (self.t[1:] + self.t[:-1]) / 2
        return float(np.diff(self.share) @ middle)

    def cdf(self, t: npt.ArrayLike) -> Floats:
        """Give the probability of a delay of at most `t` seconds.

        Raises
        ------
        UsageError
            When a delay is no number.
        """
        seconds = np.asarray(t, dtype=np.float64)
        if np.isnan(seconds).any():
            msg = "no share at a delay that is no number: leave NaN out"
            raise UsageError(msg)
        return evaluate(seconds, self.t, self.share)

    def survival(self, t: npt.ArrayLike) -> Floats:
        """Give the probability of a delay of more than `t` seconds."""
        return 1.0 - self.cdf(t)

    def quantile(self, p: npt.ArrayLike) -> Floats:
        """Give the delay in seconds that a share `p` of the delays stays below.

        Raises
        ------
        UsageError
            When a probability lies outside 0 … 1.
        """
        return evaluate(shares_of(p), self.share, self.t)

    def sample(self, rng: np.random.Generator, size: int) -> Floats:
        """Draw delays in seconds; shape (size,)."""
        return self.quantile(rng.random(size))

    def summary(self) -> dict[str, float]:
        """Give mean, quantiles and end of the support, in seconds."""
        quantiles = {key: float(self.quantile(p)) for key, p in QUANTILES.items()}
        return {"mean_s": self.mean_s, **quantiles, "max_s": self.max_s}


def mixture(laws: Sequence[Law], weights: Sequence[float]) -> Law:
    """Give the law of a delay that follows each of the laws in its share of cases.

    Parameters
    ----------
    laws
        At least one.
    weights
        Of each, in any unit.
    """
    if len(laws) == 1:
        return laws[0]
    t = reduce(np.union1d, [law.t for law in laws])
    share = np.average([law.cdf(t) for law in laws], axis=0, weights=weights)
    return Law(t, share, max(law.max_s for law in laws))


def evaluate(at: Floats, corners: Floats, values: Floats) -> Floats:
    """Give the values of the straight lines between corners, as `numpy.interp` does.

    No point is NaN; corners ascend, and outside of them the function is constant.
    `numpy.interp` searches each point's corner anew. Where there are many points, a
    guide table (Chen and Asau, Journal of Applied Statistics 23 (1974) 163-167) finds
    it by one multiplication: most of its cells lie between two corners.
    """
    first, width = corners[0], corners[-1] - corners[0]
    if at.size < _MANY or not width > 0:
        return np.asarray(np.interp(at, corners, values))
    edges = first + width * np.arange(_CELLS + 1) / _CELLS
    heights = np.interp(edges, corners, values)
    slope = np.append(np.diff(heights) * (_CELLS / width), 0.0)
    base = heights - slope * edges
    # a cell with a corner in it is no straight line, nor are its neighbours to rounding
    bent = ((corners - first) * (_CELLS / width)).astype(np.intp)
    bent = np.clip(bent[:, None] + np.array([-1, 0, 1]), 0, _CELLS)
    slope[bent] = np.nan
    flat, found = at.ravel(), np.empty(at.size)
    for begin in range(0, at.size, _CHUNK):
        part = flat[begin : begin + _CHUNK]
        out = found[begin : begin + _CHUNK]
        inside = np.clip(part, first, corners[-1])
        cell = ((inside - first) * (_CELLS / width)).astype(np.intp)
        np.take(slope, cell, out=out, mode="clip")
        out *= inside
        out += base[cell]
        doubtful = np.isnan(out)
        out[doubtful] = np.interp(part[doubtful], corners, values)
    return found.reshape(at.shape)


def shares_of(p: npt.ArrayLike) -> Floats:
    """Check and convert the shares of requested quantiles."""
    shares = np.asarray(p, dtype=np.float64)
    if shares.size and not (shares.min() >= 0 and shares.max() <= 1):
        msg = f"no quantile at {p!r}: a quantile is asked for between 0 and 1"
        raise UsageError(msg)
    return shares
