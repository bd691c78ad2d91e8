"""When a kubelet syncs an idle pod: the law of the interval between two syncs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cmhot.kubelet import IDEAL, JITTER, LOOPS_S, TICK_S

if TYPE_CHECKING:
    import numpy.typing as npt

    from cmhot.kubelet import Timing
    from cmhot.settings import Setting

    Floats = npt.NDArray[np.float64]


def interval_pmf(setting: Setting, *, timing: Timing = IDEAL) -> tuple[Floats, Floats]:
    """Give the law of the interval X between two syncs of an idle pod.

    After each sync, `podWorkers.wrapUp` (pkg/kubelet/pod_workers.go) sets the next
    one to ``wait.Jitter(S, 0.5)`` = S (1 + U/2) from now, U uniform on [0, 1).
    It begins at the first tick of `syncTicker` (pkg/kubelet/kubelet.go)
    that is strictly later. The sync before it began at a tick too
    and took ε, so X = ⌊S (1 + U/2) + ε⌋ + 1 seconds.
    Holds for any S > 0, and for all strategies:
    they differ in what a sync reads, not in when it is.

    Parameters
    ----------
    setting
        Its S counts.
    timing
        Its ``sync_s`` is ε.

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
    shortest = setting.sync_frequency_s + timing.sync_s
    longest = setting.sync_frequency_s * (1 + JITTER) + timing.sync_s
    floor = np.arange(math.floor(shortest), math.ceil(longest), dtype=np.float64)
    width = np.minimum(floor + TICK_S, longest) - np.maximum(floor, shortest)
    return floor + TICK_S, width / (longest - shortest)


def mean_interval_s(setting: Setting, *, timing: Timing = IDEAL) -> float:
    """Give E[X] in seconds: an idle pod is synced that often."""
    values, probabilities = interval_pmf(setting, timing=timing)
    return float(values @ probabilities)


def longest_interval_s(setting: Setting) -> float:
    """Give b, the end of the support of the interval between two reads, in seconds.

    The longest jittered wait, one tick more for a sync that itself takes time,
    and the two volume loops.
    """
    return setting.sync_frequency_s * (1 + JITTER) + TICK_S + LOOPS_S


def equilibrium(setting: Setting, rng: np.random.Generator, size: int) -> Floats:
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
    values, probabilities = interval_pmf(setting)
    weights = values * probabilities
    long = rng.choice(values, size, p=weights / weights.sum())
    return np.asarray(long * (1.0 - rng.random(size)))
