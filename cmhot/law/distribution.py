"""What every law of the delay is: a distribution function between its corners."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from cmhot.errors import UsageError
from cmhot.law.piecewise import evaluate

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

QUANTILES = {"p50_s": 0.50, "p90_s": 0.90, "p95_s": 0.95, "p99_s": 0.99}
"""The quantiles that every summary gives, by the key that it gives them."""


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
        F is 1 from ``t[-1]`` on, since what lies beyond
        has the probability of a sync's milliseconds in a second.
    """

    t: Floats
    share: Floats
    max_s: float

    def knots(self) -> tuple[Floats, Floats]:
        """Give the corners of F: delays in seconds, and F there."""
        return self.t, self.share

    @property
    def mean_s(self) -> float:
        """Mean delay in seconds."""
        middle = (self.t[1:] + self.t[:-1]) / 2
        return float(np.diff(self.share) @ middle)

    @property
    def variance_s2(self) -> float:
        """Variance of the delay in seconds squared."""
        low, high = self.t[:-1], self.t[1:]
        square = (low**2 + low * high + high**2) / 3
        return float(np.diff(self.share) @ square) - self.mean_s**2

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
        shares = np.asarray(p, dtype=np.float64)
        if shares.size and not (shares.min() >= 0 and shares.max() <= 1):
            msg = f"no quantile at {p!r}: a quantile is asked for between 0 and 1"
            raise UsageError(msg)
        return evaluate(shares, self.share, self.t)

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
