"""What wrong ways of measuring find, each beside the truth.

The truth is the mean delay of an update at a random instant.
Each function takes what it is about, by the law or as it was measured:
the distribution of the delay, or the interval X between two syncs of a pod.
All of this holds where each sync reads what there is (Watch, Get, Cache without a TTL).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cmhot.errors import UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

    from cmhot.law.distribution import Law

    Floats = npt.NDArray[np.float64]


def closed_loop_mean_s(values: Floats, weights: Floats, *, pause_s: float) -> float:
    """Give the mean delay of "patch, wait until seen, wait d, patch again".

    An update d after a sync waits for the first sync later than that:
    m(d) = E[X - d; X > d] + E[m(d - X); X ≤ d].
    So without a pause it finds whole intervals, twice what there is to find,
    and with one of S hardly anything.

    Parameters
    ----------
    values, weights
        X in whole seconds, and the probability of each; shape (k,).
    pause_s
        d: from a publication to the next update, seconds.

    Raises
    ------
    UsageError
        For a negative pause.
    """
    if not 0 <= pause_s < math.inf:
        msg = f"a pause of {pause_s:g} s is not possible: it is 0 or more"
        raise UsageError(msg)
    # what is left of the pause after some syncs differs by whole seconds only
    left = pause_s - np.arange(math.floor(pause_s), -1, -1)
    means: list[float] = []
    for pause in left:
        mean = float(np.maximum(values - pause, 0.0) @ weights)
        for value, weight in zip(values, weights, strict=True):
            if value <= pause:
                mean += float(weight) * means[len(means) - round(float(value))]
        means.append(mean)
    return means[-1]


def looked_mean_s(law: Law, *, every_s: float) -> float:
    """Give the mean of delays that are noted at the first look after, looks being rare.

    With a look every p seconds, the first p after the update, a delay D
    is taken for ⌈D/p⌉·p: the mean is p Σ P(D > k p) over k = 0, 1, 2 …

    Raises
    ------
    UsageError
        For looks that are not apart.
    """
    _above_zero("every_s", every_s)
    looks = np.arange(math.ceil(float(law.t[-1]) / every_s) + 1) * every_s
    return float(every_s * law.survival(looks).sum())


def gave_up_mean_s(law: Law, *, after_s: float) -> float:
    """Give the mean of the delays that remain when those above a limit are dropped.

    Raises
    ------
    UsageError
        For a limit that no delay is below.
    """
    _above_zero("after_s", after_s)
    t = np.unique(np.minimum(np.append(law.t, after_s), after_s))
    share = law.cdf(t)
    if not share[-1] > 0:
        msg = f"no delay is below {after_s:g} s: give up later"
        raise UsageError(msg)
    middle = (t[1:] + t[:-1]) / 2
    return float(np.diff(share) @ middle / share[-1])


def complete_mean_s(values: Floats, weights: Floats, *, window_s: float) -> float:
    """Give the mean delay by the intervals that lie in a window with both their ends.

    An interval of length x begins in a window of length w so that it also ends there
    with a chance in proportion to (w - x)⁺, so long ones are missing:
    E[X² (w - X)⁺] / 2 E[X (w - X)⁺].

    Parameters
    ----------
    values, weights
        X in seconds, and the weight of each; shape (k,).
    window_s
        w, seconds.

    Raises
    ------
    UsageError
        For a window that no interval fits into.
    """
    fits = weights * np.maximum(window_s - values, 0.0)
    if not fits.sum() > 0:
        msg = (
            f"no interval between syncs fits into {window_s:g} s: "
            f"the shortest is {values.min():g} s"
        )
        raise UsageError(msg)
    return float((values**2 @ fits) / (2 * values @ fits))


def one_each_mean_s(values: Floats, weights: Floats) -> float:
    """Give the mean when each sync counts once, by one of the updates it brought.

    That one lies anywhere in the interval, so its mean is E[X] / 2:
    a long interval counts no more than a short one, though more updates fall into it.

    Parameters
    ----------
    values, weights
        X in seconds, and the weight of each; shape (k,).
    """
    return float(values @ weights / weights.sum() / 2)


def _above_zero(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        msg = f"{name} = {value:g} is not possible: it is above 0"
        raise UsageError(msg)
