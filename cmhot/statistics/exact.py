"""What can be said exactly: of independent rows, and of pods that never changed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy

from cmhot.errors import RunError, UsageError
from cmhot.runs import schema
from cmhot.statistics.population import (
    codes_of,
    observed_delays,
    one_population,
    populations,
)

if TYPE_CHECKING:
    Bounds = tuple[float, float]


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


def never_updates(delays: pd.DataFrame, *, level: float = 0.95) -> pd.DataFrame:
    """Bound the share of pods that would have seen an update, where none did.

    Rows of a pod depend on each other, so pods are counted:
    0 of n within T seconds. The one-sided bound is exact (Clopper and Pearson,
    Biometrika 26 (1934) 404-413); 3/n is the rule of thumb
    for 95 % (Hanley and Lippman-Hand, JAMA 249 (1983) 1743-1745).

    Returns
    -------
    DataFrame
        One row per setting and consumer: ``pods``, those of them that saw any update
        as ``pods_updated``, ``waited_s``, T: the shortest among the pods' longest
        waits, ``upper``, the bound of the share, and ``rule_of_three``.

    Raises
    ------
    UsageError, RunError
        For a table that is empty or mixed, or where no update was sent.
    """
    rows = []
    for key, own in populations(delays):
        sent = own[own["status"].isin(["observed", *schema.DEAD_ENDS])]
        if sent.empty:
            msg = (
                f"no update was sent to {key['consumer']} consumers: "
                "nothing says whether they would have seen it"
            )
            raise RunError(msg)
        pod, number = codes_of(sent["pod"])
        seen = sent["status"].isin(["observed", "missed"]).to_numpy()
        updated = int((np.bincount(pod, seen, number) > 0).sum())
        longest = np.full(number, -np.inf)
        np.maximum.at(longest, pod, sent["waited_s"].to_numpy(dtype=np.float64))
        bound = scipy.stats.binomtest(updated, number, alternative="less")
        rows.append(
            {
                **key,
                "pods": number,
                "pods_updated": updated,
                "waited_s": float(longest.min()),
                "upper": float(bound.proportion_ci(level).high),
                "rule_of_three": min(3 / number, 1.0),
            }
        )
    return pd.DataFrame(rows)
