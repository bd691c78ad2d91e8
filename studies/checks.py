"""Intervals and tests that the studies alone ask for.

`exact_quantile` and `bootstrap_confidence` give limits by other ways than
`cmhot.statistics.confidence`; `equivalence_of_samples` compares a measured sample with
a modelled one, and `lattice_test` intervals with the law of syncs.
`mean_in_step` and `median_of_stretches` are for rows whose dependence is one in time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from cmhot.errors import RunError, UsageError
from cmhot.kubelet.eras import IDEAL
from cmhot.law import QUANTILES, interval_pmf
from cmhot.runs import schema
from cmhot.statistics import MIN_RESAMPLED_BLOCKS, interval_blocks
from cmhot.statistics.agreement import (
    AGREEMENT_RESAMPLES,
    SHARES,
    differences,
    verdict,
)
from cmhot.statistics.inference import whole_seconds
from cmhot.statistics.limits import (
    quantiles_of,
    resamples,
    tail_share,
    widened,
    widening,
)
from cmhot.statistics.population import observed_delays, one_population

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from cmhot.kubelet.eras import Timing
    from cmhot.kubelet.settings import Setting
    from cmhot.statistics import Blocks
    from cmhot.statistics.agreement import Verdict
    from cmhot.statistics.limits import Bounds

    Counts = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

IN_STEP = 4
"""Stretches of time that `mean_in_step` takes for independent. In ten minutes at
S = 60 s each is longer than the longest time between two syncs."""
RUNS_OF_TRIALS = 6
"""Stretches of trials of `median_of_stretches`: the fewest for 95 %, 1 - 2 · 2⁻⁶."""
_MIN_EXPECTED = 5.0  # of a cell of χ²: the usual rule, Cochran, Biometrics 10 (1954)
_ENOUGH_CELLS = 2


def smallest_n(quantile: float, *, level: float = 0.95) -> int:
    """Say how many independent delays a finite equal-tailed interval takes.

    Both ends are finite when neither all delays lie below the quantile
    nor all above it but with a probability of (1 - level) / 2.

    Raises
    ------
    UsageError
        When the quantile or the level is not between 0 and 1.

    Examples
    --------
    >>> [smallest_n(p) for p in (0.5, 0.9, 0.95, 0.99, 0.999)]
    [6, 36, 72, 368, 3688]
    """
    if not 0 < quantile < 1 or not 0 < level < 1:
        msg = (
            f"no interval of level {level!r} for the quantile {quantile!r}: "
            "both lie between 0 and 1, such as 0.95 for 0.99"
        )
        raise UsageError(msg)
    tail = (1 - level) / 2
    return math.ceil(math.log(tail) / math.log(max(quantile, 1 - quantile)))


def exact_quantile(
    delays: pd.DataFrame, *, quantile: float, level: float = 0.95
) -> Bounds:
    """Give the exact interval of a quantile, from independent delays.

    Two order statistics, whose coverage is at least nominal whatever the distribution
    (`scipy.stats.quantile_test`). Rows are independent when each comes from an
    interval of its own, as from a schedule with gaps above 1.5 S + 1 s, and from a
    kubelet of its own: pods of one kubelet share its tick. Of six pods that is hardly
    seen (docs/studies/coverage.md), of a hundred and ten at S = 5 s the interval of the
    median covered 74 % only: take one pod of each node then.
    A delay that was waited for in vain counts as endless.

    Parameters
    ----------
    delays
        Rows of one setting and consumer.
    quantile
        Share between 0 and 1.
    level
        Of the interval, equal-tailed.

    Returns
    -------
    tuple
        Low and high in seconds.

    Raises
    ------
    UsageError
        When there are fewer rows than `smallest_n` says,
        when rows share a publication, or for a table of several populations.
    RunError
        When the table is damaged, or no delay was observed.
    """
    needed = smallest_n(quantile, level=level)
    one_population(delays)
    observed_delays(delays)
    kept = delays[delays["status"].isin(["observed", *schema.DEAD_ENDS])]
    if not (kept["status"] == "observed").any():
        msg = f"none of {len(delays)} updates was seen to arrive: no quantile is known"
        raise RunError(msg)
    if {"pod", "sync"} <= set(kept):
        shared = kept.dropna(subset="sync").duplicated(["pod", "sync"]).sum()
        if shared:
            msg = (
                f"{shared} rows share a publication with another, so they are not "
                "independent: thin the schedule, or use the intervals of confidence"
            )
            raise UsageError(msg)
    if len(kept) < needed:
        msg = (
            f"{len(kept)} delays say too little of the {quantile:g} quantile: "
            f"{needed} independent ones are needed for both limits"
        )
        raise UsageError(msg)
    values = kept["delay_s"].to_numpy(dtype=np.float64)
    values = np.where(np.isnan(values), np.inf, values)
    test: Any = scipy.stats.quantile_test(values, p=quantile)
    found = test.confidence_interval(level)
    return float(found.low), float(found.high)


def bootstrap_confidence(
    blocks: Blocks, *, level: float = 0.95, seed: int = 0
) -> dict[str, Bounds | None]:
    """Give the same intervals by resampling whole blocks, sums and counts together.

    Percentiles, moved outwards for few blocks (`cmhot.statistics.limits.tail_share`).

    Returns
    -------
    dict
        As `confidence` has it; an end is NaN where resamples have none.
        None with fewer than `MIN_RESAMPLED_BLOCKS`.
    """
    m = len(blocks.total)
    if m < max(blocks.least, MIN_RESAMPLED_BLOCKS) or len(blocks.t) < 2:  # noqa: PLR2004 - two differ
        return dict.fromkeys(["mean_s", *QUANTILES])
    tail = tail_share(len(blocks.total), (1 - level) / 2)
    draws: dict[str, list[Floats]] = {name: [] for name in ("mean_s", *QUANTILES)}
    for weights in resamples(len(blocks.total), seed=seed):
        with np.errstate(invalid="ignore"):
            draws["mean_s"].append((weights @ blocks.moment) / (weights @ blocks.total))
        again = quantiles_of(blocks.t, blocks.at(weights), [*QUANTILES.values()])
        for name, column in zip(QUANTILES, again.T, strict=True):
            draws[name].append(column)
    shares = [*QUANTILES.values()]
    quantiles = quantiles_of(blocks.t, blocks.cdf(), shares)
    centre = [blocks.mean_s(), *quantiles.tolist()]
    wider = widening(blocks, quantiles, tail=(1 - level) / 2)
    found: dict[str, Bounds | None] = {}
    for (name, parts), at, factor in zip(draws.items(), centre, wider, strict=True):
        ends = np.quantile(
            np.nan_to_num(np.concatenate(parts), nan=np.inf, posinf=np.inf),
            [tail, 1 - tail],
            method="nearest",
        )
        low, high = widened(ends, at, factor)
        found[name] = (_finite(low), _finite(high))
    return found


def _finite(value: float) -> float:
    return float(value) if np.isfinite(value) else float("nan")


def equivalence_of_samples(
    first: pd.DataFrame,
    second: pd.DataFrame,
    *,
    sync_frequency_s: float,
    kubernetes: str | None = None,
    seed: int = 0,
) -> Verdict:
    """Judge whether two samples agree, such as a measured and a modelled one.

    As `equivalence` does, with the same margins;
    the blocks of both are resampled.
    Differences are those of the first less the second.

    Parameters
    ----------
    first, second
        Refresh intervals, each of one setting and consumer.
    sync_frequency_s
        S, with which the margins of the quantiles scale.
    kubernetes
        Version of the kubelets of both; None: current.
    seed
        Of the bootstrap.

    Returns
    -------
    dict
        As `equivalence` has it.

    Raises
    ------
    UsageError, RunError
        For tables that are empty or damaged, or that are not of the same population.
    """
    keys = [one_population(table) for table in (first, second)]
    if [*map(str, keys[0].values())] != [*map(str, keys[1].values())]:
        msg = f"samples of {keys[0]} and of {keys[1]} are not to be compared: pick one"
        raise UsageError(msg)
    one, two = (
        interval_blocks(table, kubernetes=kubernetes) for table in (first, second)
    )
    t = np.union1d(one.t, two.t)

    def apart(f: Floats, g: Floats) -> tuple[Floats, Floats]:
        f, g = _on(t, one.t, f), _on(t, two.t, g)
        return differences(t, f, g, quantiles_of(t, g, SHARES))

    fewest = min(len(one.total), len(two.total))
    found = apart(one.cdf(), two.cdf())
    if one.shortfall() is not None or two.shortfall() is not None:
        return verdict(found, None, sync_frequency_s, fewest)
    pairs = zip(
        resamples(len(one.total), seed=seed, number=AGREEMENT_RESAMPLES),
        resamples(len(two.total), seed=seed + 1, number=AGREEMENT_RESAMPLES),
        strict=True,
    )
    again = [apart(one.at(v), two.at(w)) for v, w in pairs]
    return verdict(found, again, sync_frequency_s, fewest)


def _on(t: Floats, own: Floats, f: Floats) -> Floats:
    """Take F̂, straight between its own t, at other ones; shapes (…, g) → (…, k)."""
    place = np.clip(np.searchsorted(own, t, "left"), 1, len(own) - 1)
    part = np.clip((t - own[place - 1]) / (own[place] - own[place - 1]), 0.0, 1.0)
    return np.asarray(f[..., place - 1] * (1 - part) + f[..., place] * part)


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
        Refresh intervals where each sync reads current content.
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
    counts = whole_seconds(refresh)
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


def mean_in_step(
    waits: Floats, made_s: Floats, *, level: float = 0.95
) -> tuple[float, Bounds]:
    """Give the mean delay of pods that are disturbed at the same instants.

    Such pods are no independent blocks, nor are updates of one sync: a block is a
    stretch of time of all pods together, and the mean a ratio of sums over
    `IN_STEP` of them, with Student's limits.

    Parameters
    ----------
    waits
        Delays in seconds of all updates in all pods; shape (pods, updates).
    made_s
        When each update was made, seconds, ascending; shape (updates,).
    level
        Confidence of the interval.
    """
    ends = np.linspace(made_s[0], made_s[-1], IN_STEP + 1)[1:-1]
    part = np.searchsorted(ends, made_s, "right")
    sums = np.bincount(part, waits.sum(axis=0), IN_STEP)
    counts = np.bincount(part, minlength=IN_STEP) * len(waits)
    mean = float(sums.sum() / counts.sum())
    spread = IN_STEP / (IN_STEP - 1) * ((sums - mean * counts) ** 2).sum()
    student = scipy.stats.t.ppf((1 + level) / 2, IN_STEP - 1)
    half = float(student * np.sqrt(spread) / counts.sum())
    return mean, (mean - half, mean + half)


def median_of_stretches(seconds: Floats) -> Bounds:
    """Give limits of the median of trials that depend on the trials before them.

    Trials are cut into `RUNS_OF_TRIALS` stretches in their order. The limits are the
    least and the largest median of a stretch: they miss the true one only if all
    stretches lie on one side of it, 2 · 2⁻⁶ = 3.1 % were they independent. A trend
    over the trials widens them.
    """
    medians = [np.median(part) for part in np.array_split(seconds, RUNS_OF_TRIALS)]
    return float(min(medians)), float(max(medians))
