"""Estimates with their uncertainty, from tables of delays and of sync intervals.

Two estimators that must agree.
The *interval estimator* (the headline) takes every instant as a possible update:
F̂(t) = Σ min(X, t) / Σ X over the observed intervals X between syncs.
The *direct estimator* (the check) is the distribution of the delays themselves.

Rows depend on each other: updates within one interval share a publication.
Pods do not, so pods are the blocks that all uncertainty is judged by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from cmhot import schema
from cmhot.law import QUANTILES

if TYPE_CHECKING:
    import numpy.typing as npt

    from cmhot.law import Law

    Floats = npt.NDArray[np.float64]
    Bounds = tuple[float, float]

GROUP = [*schema.SETTING, "consumer"]
"""What makes rows one population."""

MIN_BLOCKS = 6
"""Fewest pods for an interval or a bound; below it there is none.

Chosen by simulation: from 6 pods on, at S = 10 s and windows of 1 to 5 minutes,
each 95 % interval covered the law's value in at least 93 % of 600 runs.
"""

MARGIN_SUP = 0.02
"""Largest sup|F̂ - F| that still counts as agreement with the law."""

MARGIN_P50 = 0.5 / 60
"""Largest difference of the medians, as a share of S: 0.5 s at S = 60 s."""

MARGIN_P99 = 1.0 / 60
"""Largest difference of the 99 % quantiles, as a share of S: 1 s at S = 60 s."""

_GRID = 1001
_MOST_EFFECTIVE = 1e8  # where blocks agree to rounding, the beta law needs a number
_RESAMPLES = 1000
_TINY = 1e-12  # the beta law has no parameter 0


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """A distribution estimated as a ratio of sums over m independent blocks.

    Attributes
    ----------
    t
        Delays in seconds at which it is looked at, ascending; shape (g,).
    below
        Numerators of F̂(t), per block; shape (m, g).
    total
        Its denominators; shape (m,).
    moment
        Numerators of the mean; shape (m,).
    """

    t: Floats
    below: Floats
    total: Floats
    moment: Floats

    def cdf(self) -> Floats:
        """Estimate F at each t."""
        return np.asarray(self.below.sum(axis=0) / self.total.sum())


def describe_delays(delays: pd.DataFrame) -> pd.DataFrame:
    """Give the direct estimator: mean, quantiles and maximum of observed delays.

    Returns
    -------
    DataFrame
        One row per setting and consumer: ``pods``, ``n_delays`` (observed)
        and the number of rows of each other status as ``n_<status>``,
        then ``mean_s`` … ``max_s``, NaN where nothing was observed.
    """
    rows = []
    for key, own in delays.groupby(GROUP, dropna=False):
        observed = own.loc[own["status"] == "observed", "delay_s"]
        counts = {
            f"n_{name}": (own["status"] == name).sum() for name in schema.STATUSES
        }
        rows.append(
            {
                **dict(zip(GROUP, key, strict=True)),
                "pods": own["pod"].nunique(),
                "n_delays": counts.pop("n_observed"),
                **counts,
                "mean_s": observed.mean(),
                **{name: observed.quantile(p) for name, p in QUANTILES.items()},
                "max_s": observed.max(),
            }
        )
    return pd.DataFrame(rows)


def describe_intervals(intervals: pd.DataFrame) -> pd.DataFrame:
    """Give the interval estimator of the delay.

    Returns
    -------
    DataFrame
        One row per setting and consumer: ``n_syncs``, the number of intervals,
        and ``mean_s`` … ``max_s`` of the delay, whose maximum
        is the longest interval seen.
    """
    rows = []
    for key, own in intervals.groupby(GROUP, dropna=False):
        x = np.sort(own["interval_s"].to_numpy(dtype=np.float64))
        corners = np.concatenate([[0.0], x])
        cdf = np.concatenate([[0.0], _area(x, x) / x.sum()])
        rows.append(
            {
                **dict(zip(GROUP, key, strict=True)),
                "n_syncs": len(x),
                "mean_s": (x**2).sum() / (2 * x.sum()),
                **{name: np.interp(p, cdf, corners) for name, p in QUANTILES.items()},
                "max_s": x[-1],
            }
        )
    return pd.DataFrame(rows, columns=None if rows else [*GROUP, "n_syncs"])


def interval_blocks(intervals: pd.DataFrame, *, law: Law | None = None) -> Blocks:
    """Cut the intervals of one setting into blocks, a pod each.

    F̂ is looked at on an even grid up to the longest interval,
    and at the corners of the law it is to be compared with.
    """
    t = np.linspace(0.0, intervals["interval_s"].max(), _GRID)
    if law is not None:
        t = np.union1d(t, law.knots()[0])
    pods = [
        np.sort(own.to_numpy(dtype=np.float64))
        for _, own in intervals.groupby("pod")["interval_s"]
    ]
    return Blocks(
        t=t,
        below=np.array([_area(x, t) for x in pods]),
        total=np.array([x.sum() for x in pods]),
        moment=np.array([(x**2).sum() / 2 for x in pods]),
    )


def delay_blocks(delays: pd.DataFrame, *, worst_case: bool = False) -> Blocks:
    """Cut the delays of one setting into blocks, a pod each.

    Parameters
    ----------
    delays
        Rows of one setting and consumer.
    worst_case
        Whether a delay that was waited for in vain counts as endless;
        else only observed delays count.
    """
    observed = delays[delays["status"] == "observed"]
    kept = observed
    if worst_case:
        kept = delays[delays["status"].isin(["observed", *schema.DEAD_ENDS])]
    t = np.unique(observed["delay_s"].to_numpy(dtype=np.float64))
    if len(t) > _GRID:
        t = np.unique(np.quantile(t, np.linspace(0, 1, _GRID), method="higher"))
    pods = [
        np.sort(own.fillna(np.inf).to_numpy(dtype=np.float64))
        for _, own in kept.groupby("pod")["delay_s"]
    ]
    return Blocks(
        t=t,
        below=np.array([np.searchsorted(d, t, "right") for d in pods], dtype=float),
        total=np.array([len(d) for d in pods], dtype=float),
        moment=np.array([d.sum() for d in pods]),
    )


def confidence(blocks: Blocks, *, level: float = 0.95) -> dict[str, Bounds | None]:
    """Give confidence intervals of the mean and the quantiles.

    A quantile's interval holds each t whose `cdf_bounds` enclose the quantile's share.

    Returns
    -------
    dict
        ``mean_s``, ``p50_s`` … to (low, high) in seconds;
        high is NaN where the data set no upper limit.
        None with fewer than `MIN_BLOCKS` blocks, or where all rows are equal.
    """
    m, total = len(blocks.total), blocks.total.sum()
    if m < MIN_BLOCKS or len(blocks.t) < 2:  # noqa: PLR2004 - two differ
        return dict.fromkeys(["mean_s", *QUANTILES])
    mean = blocks.moment.sum() / total
    with np.errstate(invalid="ignore"):  # the mean of endless delays is unknown
        residual = blocks.moment - mean * blocks.total
    spread = np.sqrt(m / (m - 1) * (residual**2).sum())
    half = float(stats.t.ppf((1 + level) / 2, m - 1) * spread / total)
    found: dict[str, Bounds | None] = {"mean_s": (mean - half, mean + half)}
    low, high = cdf_bounds(blocks, level=level)
    t = np.concatenate([blocks.t[:1], blocks.t, [np.nan]])
    for name, p in QUANTILES.items():
        first = int(np.searchsorted(np.maximum.accumulate(high), p))
        last = len(low) - int(np.argmax(low[::-1] <= p))
        found[name] = (float(t[first]), float(t[last + 1]))
    return found


def cdf_bounds(blocks: Blocks, *, level: float = 0.95) -> tuple[Floats, Floats]:
    """Give pointwise confidence limits of F at each t of the blocks.

    Clopper-Pearson with the effective sample size F̂ (1 - F̂) / v,
    where v = m / (m - 1) · Σ (Aᵢ - F̂ Bᵢ)² / (Σ B)² is the variance of a ratio of sums
    over m blocks, reduced for the few blocks that v itself rests on
    (Korn and Graubard, Survey Methodology 24 (1998) 193-201).
    Where F̂ is 0 or 1, v says nothing: there the nearest inner t's size is taken.

    Returns
    -------
    low, high
        Each of the shape of ``blocks.t``.
    """
    m, total, f = len(blocks.total), blocks.total.sum(), blocks.cdf()
    residual = blocks.below - np.outer(blocks.total, f)
    v = m / (m - 1) * (residual**2).sum(axis=0) / total**2
    binomial = f * (1 - f)
    inner = binomial > 0
    size = binomial / np.maximum(v, binomial / _MOST_EFFECTIVE + ~inner)
    nearest = np.interp(np.arange(len(f)), np.flatnonzero(inner), size[inner])
    tail = (1 - level) / 2
    size = nearest * (stats.norm.ppf(tail) / stats.t.ppf(tail, m - 1)) ** 2
    yes, no = size * f, size * (1 - f)
    low = np.where(f > 0, stats.beta.ppf(tail, np.maximum(yes, _TINY), no + 1), 0.0)
    high = np.where(f < 1, stats.beta.isf(tail, yes + 1, np.maximum(no, _TINY)), 1.0)
    return low, high


def equivalence(
    intervals: pd.DataFrame, law: Law, *, sync_frequency_s: float, seed: int = 0
) -> dict[str, float | bool | None]:
    """Judge whether the intervals of one setting agree with its law.

    Agreement is shown, not merely not refuted:
    the one-sided 95 % bounds of sup|F̂ - F| and of the differences of p50 and p99,
    from a bootstrap of whole pods, must lie within the margins.

    Parameters
    ----------
    intervals
        Rows of one setting and consumer, as `cmhot.delays.sync_intervals` gives them.
    law
        What they are compared with.
    sync_frequency_s
        S, with which the margins of the quantiles scale.
    seed
        Of the bootstrap: the same table gives the same answer.

    Returns
    -------
    dict
        ``sup_difference``, ``p50_difference_s`` and ``p99_difference_s`` as estimated,
        ``upper_95``, the bound of the first, and ``equivalent``;
        the last two are None with fewer than `MIN_BLOCKS` pods.
    """
    blocks = interval_blocks(intervals, law=law)
    t, expected = blocks.t, law.cdf(blocks.t)
    p50, p99 = (float(law.quantile(p)) for p in (0.5, 0.99))
    f = blocks.cdf()
    found: dict[str, float | bool | None] = {
        "sup_difference": float(np.abs(f - expected).max()),
        "p50_difference_s": float(np.interp(0.5, f, t)) - p50,
        "p99_difference_s": float(np.interp(0.99, f, t)) - p99,
        "upper_95": None,
        "equivalent": None,
    }
    m = len(blocks.total)
    if m < MIN_BLOCKS:
        return found
    weights = np.random.default_rng(seed).multinomial(m, np.full(m, 1 / m), _RESAMPLES)
    again = (weights @ blocks.below) / (weights @ blocks.total)[:, None]
    far = {
        "sup": np.abs(again - expected).max(axis=1),
        "p50": np.abs([np.interp(0.5, f, t) - p50 for f in again]),
        "p99": np.abs([np.interp(0.99, f, t) - p99 for f in again]),
    }
    upper = {name: float(np.quantile(values, 0.95)) for name, values in far.items()}
    found["upper_95"] = upper["sup"]
    found["equivalent"] = (
        upper["sup"] <= MARGIN_SUP
        and upper["p50"] <= MARGIN_P50 * sync_frequency_s
        and upper["p99"] <= MARGIN_P99 * sync_frequency_s
    )
    return found


def _area(x: Floats, t: Floats) -> Floats:
    """Compute Σ min(x, t) at each t, for ascending x."""
    shorter = np.searchsorted(x, t, "right")
    return np.concatenate([[0.0], np.cumsum(x)])[shorter] + t * (len(x) - shorter)
