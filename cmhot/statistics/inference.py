"""What the intervals between syncs say of the kubelet: its S, and its tick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy

from cmhot.errors import RunError, UsageError
from cmhot.kubelet import IDEAL, JITTER, TICK_S
from cmhot.law import interval_pmf
from cmhot.settings import Setting
from cmhot.statistics.population import one_population, refresh_ends

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from cmhot.kubelet import Timing

    Floats = npt.NDArray[np.float64]
    Counts = npt.NDArray[np.int64]

FOREIGN_SHARE = 0.05
"""Share of intervals that may be merged, or cut short by an extra sync."""

MIN_INTERVALS = 20
"""Fewest intervals that S is inferred from: below it the lattice hides too much."""

_MIN_EXPECTED = 5.0  # of a cell of χ²: the usual rule, Cochran, Biometrics 10 (1954)
_COARSE, _FINE = 400, 200
_ENOUGH_CELLS = 2


@dataclass(frozen=True, slots=True)
class InferredSync:
    """`syncFrequency`, as inferred from the intervals between syncs.

    Attributes
    ----------
    sync_frequency_s
        The most likely value, seconds.
    low_s, high_s
        Confidence interval, seconds.
    n
        Number of intervals.
    foreign
        How many of them the most likely value does not allow:
        merged ones, or cut short by extra syncs.
    """

    sync_frequency_s: float
    low_s: float
    high_s: float
    n: int
    foreign: int


def infer_sync_frequency(refresh: pd.DataFrame, *, level: float = 0.95) -> InferredSync:
    """Infer S from intervals between syncs that each read what there was.

    By the lattice law X = ⌊S (1 + U/2)⌋ + 1 s, so that
    (max X - 1) / 1.5 ≤ S < min X without exception.
    Real tables have exceptions: two intervals that look like one,
    or an extra sync that cuts one short. So X follows the lattice law
    with probability 0.95, and with 0.05 it is any whole number of seconds
    up to the longest seen, each as likely: up to about that share does no harm.
    The interval holds each S whose log-likelihood lies within half the χ² quantile
    (one degree of freedom) of the largest; where S sits on the lattice
    the likelihood has a corner and the interval covers more often than it says.

    Parameters
    ----------
    refresh
        Refresh intervals of one setting where each sync reads what there is;
        their setting is not looked at.
    level
        Of the interval.

    Raises
    ------
    UsageError, RunError
        For a table that is empty, damaged or of several populations,
        of a setting where syncs do not each publish,
        or with fewer than 20 intervals.
    """
    counts = _seconds(refresh)
    n = int(counts.sum())
    if n < MIN_INTERVALS:
        msg = (
            f"{n} intervals say too little of syncFrequency: "
            f"{MIN_INTERVALS} are needed; measure for longer, or more pods"
        )
        raise UsageError(msg)
    typical = float(np.median(np.repeat(np.arange(len(counts)), counts)))
    s = np.linspace(max(0.3, typical / (1 + JITTER) - TICK_S), typical, _COARSE)
    wide = scipy.stats.chi2.ppf(level, 1) / 2
    for _ in range(2):
        likely = _likelihood(s, counts)
        inside = np.flatnonzero(likely >= likely.max() - wide)
        step = s[1] - s[0]
        s = np.linspace(
            max(s[inside[0]] - 2 * step, 0.3), s[inside[-1]] + 2 * step, _FINE
        )
    likely = _likelihood(s, counts)
    inside = np.flatnonzero(likely >= likely.max() - wide)
    step = float(s[1] - s[0])
    best = float(s[likely.argmax()])
    values, _ = interval_pmf(Setting(best))
    allowed = counts[values[values < len(counts)].astype(int)].sum()
    return InferredSync(
        sync_frequency_s=best,
        low_s=float(s[inside[0]]) - step,
        high_s=float(s[inside[-1]]) + step,
        n=n,
        foreign=n - int(allowed),
    )


@dataclass(frozen=True, slots=True)
class LatticeTest:
    """χ² test that intervals between syncs follow the lattice law.

    Attributes
    ----------
    statistic, degrees
        χ² and its degrees of freedom.
    p_value
        0 where an interval is one that the law does not have.
    foreign
        Number of such intervals.
    n
        Number of intervals.
    """

    statistic: float
    degrees: int
    p_value: float
    foreign: int
    n: int


def lattice_test(
    refresh: pd.DataFrame, setting: Setting, *, timing: Timing = IDEAL
) -> LatticeTest:
    """Test whether intervals between syncs follow their lattice law, by χ².

    Intervals are rounded to whole seconds: the volume loops move them by 0.2 s at most.
    Neighbouring seconds are put together until 5 intervals are expected in each.
    Intervals of a pod are independent (each jitter is drawn anew), so χ² holds.

    Parameters
    ----------
    refresh
        Refresh intervals where each sync reads what there is.
    setting
        Whose law they are held against.
    timing
        Its ``sync_s`` makes one second more possible.

    Raises
    ------
    UsageError, RunError
        For a table that is empty, damaged or of several populations,
        or where too few intervals, or values of the law, leave nothing to test.
    """
    counts = _seconds(refresh)
    values, probabilities = interval_pmf(setting, timing=timing)
    n = int(counts.sum())
    cells = np.zeros(max(len(counts), int(values[-1]) + 1))
    cells[: len(counts)] = counts
    seen = cells[values.astype(int)]
    foreign = n - int(seen.sum())
    group = _groups(n * probabilities)
    observed = np.bincount(group, seen)
    expected = np.bincount(group, probabilities) * max(n - foreign, 1)
    if len(expected) < _ENOUGH_CELLS:
        msg = (
            f"{n} intervals at {setting} leave no two seconds to compare: "
            "measure more intervals, or at a longer syncFrequency"
        )
        raise UsageError(msg)
    found = scipy.stats.chisquare(observed, expected * observed.sum() / expected.sum())
    return LatticeTest(
        statistic=float(found.statistic),
        degrees=len(expected) - 1,
        p_value=0.0 if foreign else float(found.pvalue),
        foreign=foreign,
        n=n,
    )


def _seconds(refresh: pd.DataFrame) -> Counts:
    """Count the intervals by whole seconds, from 0 on."""
    one_population(refresh)
    least, most = refresh_ends(refresh)
    if least.any():
        msg = (
            "these pods share what their node cached, so a refresh is no sync: "
            "take a setting where each sync reads what there is"
        )
        raise RunError(msg)
    return np.bincount(np.rint(most).astype(np.int64))


def _likelihood(s: Floats, counts: Counts) -> Floats:
    """Give the log-likelihood of each S; shape of s."""
    seconds = np.flatnonzero(counts)
    broad = FOREIGN_SHARE / len(counts)
    found = np.empty(len(s))
    for place, one in enumerate(s):
        values, probabilities = interval_pmf(Setting(float(one)))
        p = np.full(max(len(counts), int(values[-1]) + 1), broad)
        p[values.astype(int)] += (1 - FOREIGN_SHARE) * probabilities
        found[place] = counts[seconds] @ np.log(p[seconds])
    return found


def _groups(expected: Floats) -> Counts:
    """Put neighbouring cells together until each expects enough; shape (k,)."""
    group = np.zeros(len(expected), dtype=np.int64)
    current, held = 0, 0.0
    for place, one in enumerate(expected):
        group[place] = current
        held += one
        if held >= _MIN_EXPECTED:
            current, held = current + 1, 0.0
    if held and current:  # what is left over joins the last full one
        group[group == current] = current - 1
    return group
