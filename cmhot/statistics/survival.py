"""Updates that were waited for in vain: what is known of their delays.

Dropping them would bias the delay, since long waits meet more interruptions;
so they are censored: a delay is at least as long as the wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import scipy

from cmhot.clock import NS_PER_S
from cmhot.errors import RunError
from cmhot.law import QUANTILES
from cmhot.runs import schema
from cmhot.statistics.blocks import (
    MIN_RESAMPLED_BLOCKS,
    PODS,
    assign,
    clock_bound_s,
    delay_blocks,
)
from cmhot.statistics.limits import (
    first_reaching,
    resamples,
    tail_share,
    widened,
    widening,
)
from cmhot.statistics.population import (
    codes_of,
    observed_delays,
    one_population,
    populations,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from cmhot.statistics.blocks import Assignment

    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]
    Case = Literal["likely", "best", "worst"]

_GRID = 1001
_ROUNDING = 1e-12
_COUNTED = MIN_RESAMPLED_BLOCKS
"""Blocks beyond these move the tails no further inwards: percentiles of a product-limit
estimate are a little short (docs/studies/coverage.md)."""


def never_updates(delays: pd.DataFrame, *, level: float = 0.95) -> pd.DataFrame:
    """Bound the share of pods that would have seen an update, where none did.

    Rows of a pod depend on each other, so pods are counted, not rows:
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
    RunError
        Where no update was sent.
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


def kaplan_meier(
    delays: pd.DataFrame,
    *,
    quantiles: Sequence[float] = tuple(QUANTILES.values()),
    level: float = 0.95,
    kubernetes: str | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Estimate quantiles of the delay from observed and censored delays.

    The product-limit estimator (Kaplan and Meier, Journal of the American
    Statistical Association 53 (1958) 457-481): ``timeout`` and ``interrupted``
    are right-censored at the time waited.
    ``missed`` lies between the last stale reading and the publication seen next:
    the middle is taken.
    Best case: a censored update came right after the wait,
    and a missed one at the last stale reading.
    Worst case: the censored one never came, the missed one at the next publication.
    Rows are dependent, so the interval is from a bootstrap of whole blocks,
    not from Greenwood's formula; it is widened by the largest ``clock_bound_s``.

    Parameters
    ----------
    delays
        Rows of one setting and consumer.
    quantiles
        Shares between 0 and 1.
    level, seed
        Of the interval, and of the bootstrap that it is from.
    kubernetes
        Version of the kubelets, which decides what a TTL does; None: current.

    Returns
    -------
    DataFrame
        One row per quantile: ``quantile``, ``value_s``, ``low_s``, ``high_s``
        (NaN: fewer than `MIN_RESAMPLED_BLOCKS`, or all that arrived did so in one
        of them, which has no spread; inf: no limit),
        ``best_s``, ``worst_s``, ``followed_s``, and ``doubtful``:
        whether best and worst case differ
        by more than the interval is wide.
        A value of inf means longer than ``followed_s``, the longest wait of all.

    Raises
    ------
    RunError
        Where no delay was observed.
    """
    key = one_population(delays)
    sent, times, event = _cases(delays, "likely")
    shares = np.asarray(quantiles, dtype=np.float64)
    block = assign(sent, key, "acked_ns", kubernetes)
    value = _quantiles(*_curve(times, event), shares)
    low = high = np.full(len(shares), np.nan)
    if block.number >= max(block.least, MIN_RESAMPLED_BLOCKS):
        low, high = _limits(block, times, event, shares, level=level, seed=seed)
        if event.any() and block.unit == PODS:
            observed = delay_blocks(delays, kubernetes=kubernetes)
            wider = np.array(widening(observed, value, tail=(1 - level) / 2)[1:])
            low, high = (widened(end, value, wider) for end in (low, high))
            if len(observed.total) == 1:  # nobody knows what common updates add
                low = high = np.full(len(shares), np.nan)
    by = clock_bound_s(delays) or 0.0
    low, high = low - by, high + by
    best, worst = (
        _quantiles(*_curve(*_cases(delays, case)[1:]), shares)
        for case in ("best", "worst")
    )
    with np.errstate(invalid="ignore"):  # both endless: no difference
        apart = np.nan_to_num(worst - best, nan=0.0)
        wide = np.nan_to_num(high - low, nan=np.inf)
    return pd.DataFrame(
        {
            "quantile": shares,
            "value_s": value,
            "low_s": low,
            "high_s": high,
            "best_s": best,
            "worst_s": worst,
            "followed_s": times.max(),
            "doubtful": apart > wide,
        }
    )


def survival_curve(delays: pd.DataFrame, *, case: Case = "likely") -> pd.DataFrame:
    """Give the share of pods that have an update, against the time since.

    Parameters
    ----------
    delays
        Rows of one setting and consumer.
    case
        ``likely`` (product-limit), ``best`` or ``worst``, as of `kaplan_meier`.

    Returns
    -------
    DataFrame
        ``delay_s``, ascending, and ``share`` up to and including it.
    """
    one_population(delays)
    t, share = _curve(*_cases(delays, case)[1:])
    finite = np.isfinite(t)
    return pd.DataFrame({"delay_s": t[finite], "share": share[finite]})


def _cases(delays: pd.DataFrame, case: Case) -> tuple[pd.DataFrame, Floats, Flags]:
    """Give the rows of updates that were sent, their times, and which are events."""
    observed_delays(delays)
    sent = delays[delays["status"].isin(["observed", *schema.DEAD_ENDS])]
    status = sent["status"].astype(str).to_numpy()
    observed, missed = status == "observed", status == "missed"
    if not (observed | missed).any():
        msg = (
            f"none of {len(delays)} updates was seen to arrive, so no quantile is "
            "known: ask never_updates how many pods are without it for how long"
        )
        raise RunError(msg)
    waited = sent["waited_s"].to_numpy(dtype=np.float64)
    if np.isnan(waited).any():
        msg = "some rows do not say how long was waited: compute the delays again"
        raise RunError(msg)
    times = np.where(observed, sent["delay_s"].to_numpy(dtype=np.float64), waited)
    event = observed | missed
    if missed.any() and case != "best":
        seen = (sent["published_ns"] - sent["acked_ns"])[missed]
        until = seen.to_numpy(dtype=np.float64, na_value=np.nan) / NS_PER_S
        from_s = waited[missed]
        times[missed] = until if case == "worst" else (from_s + until) / 2
    if case == "worst":
        times[~event] = times.max()  # never came: at risk beyond all events
    return sent, times, event | (case == "best")


def _curve(times: Floats, event: Flags) -> tuple[Floats, Floats]:
    """Give the product-limit estimate of F at each time that occurs."""
    found = scipy.stats.ecdf(
        scipy.stats.CensoredData(uncensored=times[event], right=times[~event])
    )
    return np.asarray(found.cdf.quantiles), np.asarray(found.cdf.probabilities)


def _quantiles(t: Floats, f: Floats, shares: Floats) -> Floats:
    """Give the least t at which F is as large as each share; inf: nowhere."""
    place = np.searchsorted(f, shares - _ROUNDING, "left")
    return np.append(t, np.inf)[place]


def _limits(
    block: Assignment,
    times: Floats,
    event: Flags,
    shares: Floats,
    *,
    level: float,
    seed: int,
) -> tuple[Floats, Floats]:
    """Give the percentile interval of each quantile, from resampled blocks."""
    t, events, at_risk = hazards(block, times, event)
    draws = []
    for weights in resamples(block.number, seed=seed):
        hazard = (weights @ events) / np.maximum(weights @ at_risk, _ROUNDING)
        f: Floats = np.asarray(1.0 - np.cumprod(np.clip(1 - hazard, 0, 1), axis=1))
        first = [first_reaching(f, share - _ROUNDING) for share in shares.tolist()]
        draws.append(np.append(t, np.inf)[np.stack(first, axis=-1)])
    tail = tail_share(min(block.number, _COUNTED), (1 - level) / 2)
    low, high = np.quantile(
        np.concatenate(draws), [tail, 1 - tail], axis=0, method="nearest"
    )
    return low, high


def hazards(
    block: Assignment, times: Floats, event: Flags
) -> tuple[Floats, Floats, Floats]:
    """Count events and those at risk at each time of an event, per block.

    Their ratio, over all blocks, gives the product-limit estimate.
    Where more than 1000 different times occur, they are grouped by equal steps of F,
    and the censored of a group count half as at risk in it (actuarial estimate).
    Returns ascending times, shape (g,), and the two counts, shape (m, g).
    """
    t = np.unique(times[event])
    grouped = len(t) > _GRID
    if grouped:
        every, share = _curve(times, event)
        t = np.unique(_quantiles(every, share, np.linspace(0, share[-1], _GRID)[1:]))
    events = block.histogram(times[event], t, event)
    up_to = block.histogram(times, t, None)
    begin = block.sums(None)[:, None] - np.cumsum(up_to, axis=1) + up_to
    lost = up_to - events
    if grouped:
        return t, events, begin - lost / 2
    ties = np.isin(times, t) & ~event  # censored at an event's time: at risk there
    return t, events, begin - lost + block.histogram(times[ties], t, ties)
