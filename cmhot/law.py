"""The law of the delay: what a kubelet's code says before anything is measured.

A pod's volumes are read again only when the kubelet syncs the pod.
An update at an instant that knows nothing of the syncs
waits for the next one, so its delay is the *residual life* of the interval X
between two syncs:

    F(t) = (1 / E[X]) · ∫₀ᵗ P(X > u) du

That holds for a healthy, idle pod in equilibrium, that is,
long after its start or after its phase was scrambled (`Law.equilibrium`),
under the strategies Watch and Get, and under Cache with a TTL of 0,
where every sync reads what the API server has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cmhot.errors import UsageError
from cmhot.settings import Strategy

if TYPE_CHECKING:
    import numpy.typing as npt

    from cmhot.settings import Setting

    Floats = npt.NDArray[np.float64]

JITTER = 0.5
"""`workerResyncIntervalJitterFactor`, pkg/kubelet/pod_workers.go."""

TICK_S = 1.0
"""Period of `syncTicker`, seconds; pkg/kubelet/kubelet.go, syncLoop."""

LOOPS_S = 0.2
"""The volume manager's populator and reconciler, 100 ms each, in seconds;
`desiredStateOfWorldPopulatorLoopSleepPeriod` and `reconcilerLoopSleepPeriod`,
pkg/kubelet/volumemanager/volume_manager.go."""

QUANTILES = {"p50_s": 0.50, "p90_s": 0.90, "p95_s": 0.95, "p99_s": 0.99}
"""The quantiles that every summary gives, by the key that it gives them."""


@dataclass(frozen=True, slots=True, eq=False)
class Law:
    """Distribution of the delay at one setting.

    Attributes
    ----------
    interval_s
        Values that the interval X between two syncs can take, in seconds,
        ascending; shape (k,).
    probability
        Probability of each of them; shape (k,), sums to 1.
    max_s
        End of the delay's support in seconds:
        the longest interval, one tick more for a sync that itself takes time,
        and the two volume loops.
        `cdf` is 1 from ``interval_s[-1]`` on, since what lies beyond
        has the probability of a sync's milliseconds in a second.
    """

    interval_s: Floats
    probability: Floats
    max_s: float

    @property
    def mean_interval_s(self) -> float:
        """E[X] in seconds: a pod syncs that often."""
        return float(self.probability @ self.interval_s)

    @property
    def mean_s(self) -> float:
        """Mean delay in seconds, E[X²] / 2 E[X]: the mean of a residual life."""
        second_moment = float(self.probability @ self.interval_s**2)
        return second_moment / (2 * self.mean_interval_s)

    def knots(self) -> tuple[Floats, Floats]:
        """Give the corners of F, which is a straight line between them.

        Returns
        -------
        t, cdf
            Delays in seconds, from 0 on, and F there; each of shape (k + 1,).
        """
        t = np.concatenate([[0.0], self.interval_s])
        longer = np.concatenate([[1.0], 1.0 - np.cumsum(self.probability)[:-1]])
        area = np.cumsum(np.diff(t) * longer)
        return t, np.concatenate([[0.0], area / area[-1]])

    def cdf(self, t: npt.ArrayLike) -> Floats:
        """Give the probability of a delay of at most `t` seconds."""
        return np.asarray(np.interp(np.asarray(t, dtype=np.float64), *self.knots()))

    def quantile(self, p: npt.ArrayLike) -> Floats:
        """Give the delay in seconds that a share `p` of the delays stays below.

        Raises
        ------
        UsageError
            When a probability lies outside 0 … 1.
        """
        shares = np.asarray(p, dtype=np.float64)
        if not np.all((shares >= 0) & (shares <= 1)):
            msg = f"no quantile at {p!r}: a quantile is asked for between 0 and 1"
            raise UsageError(msg)
        t, cdf = self.knots()
        return np.asarray(np.interp(shares, cdf, t))

    def equilibrium(self, rng: np.random.Generator, size: int) -> Floats:
        """Draw times until the next sync, in seconds, as of a random instant.

        A pod that is synced once, this long after an instant,
        and then left alone is in equilibrium from that instant on
        (seen once all pods have been synced): each sync begins a fresh interval.
        Uniform draws would not do that.

        Returns
        -------
        array
            Seconds, each above 0 and at most the longest interval; shape (size,).
        """
        return self.quantile(1.0 - rng.random(size))

    def summary(self) -> dict[str, float]:
        """Give mean, quantiles and end of the support, in seconds."""
        quantiles = {key: float(self.quantile(p)) for key, p in QUANTILES.items()}
        return {"mean_s": self.mean_s, **quantiles, "max_s": self.max_s}


def interval_pmf(setting: Setting) -> tuple[Floats, Floats]:
    """Give the law of the interval X between two syncs of an idle pod.

    After each sync, `podWorkers.wrapUp` (pkg/kubelet/pod_workers.go) sets the next
    one to ``wait.Jitter(S, 0.5)`` = S (1 + U/2) from now, U uniform on [0, 1).
    It begins at the first tick of `syncTicker` (pkg/kubelet/kubelet.go)
    that is strictly later. The sync before it began at a tick too
    and took ε, so X = ⌊S (1 + U/2) + ε⌋ + 1 seconds; here ε → 0.
    Holds for any S > 0, and for all strategies:
    they differ in what a sync reads, not in when it is.

    Returns
    -------
    values, probabilities
        Whole seconds, ascending, and the probability of each.

    Examples
    --------
    >>> from cmhot.settings import Setting
    >>> values, probabilities = interval_pmf(Setting(sync_frequency_s=5))
    >>> values.tolist(), probabilities.round(3).tolist()
    ([6.0, 7.0, 8.0], [0.4, 0.4, 0.2])
    """
    shortest = setting.sync_frequency_s
    longest = shortest * (1 + JITTER)
    floor = np.arange(math.floor(shortest), math.ceil(longest), dtype=np.float64)
    width = np.minimum(floor + TICK_S, longest) - np.maximum(floor, shortest)
    return floor + TICK_S, width / (longest - shortest)


def law_for(setting: Setting) -> Law | None:
    """Give the law of the delay at a setting; None where none is known.

    None for Cache with an unknown TTL or one above 0,
    where a sync may read old content: its law is another one.
    """
    if setting.strategy is Strategy.CACHE and setting.ttl_s != 0:
        return None
    values, probabilities = interval_pmf(setting)
    longest = setting.sync_frequency_s * (1 + JITTER)
    return Law(values, probabilities, max_s=longest + TICK_S + LOOPS_S)
