"""What wrong ways of measuring find, each beside the truth.

The truth is the mean delay of an update at a random instant. The ways are tried on what
was measured rightly: what one would have found in these very pods, averaged over all
instants at which one could have begun. (The open loop is what the updates did find.)
All of this holds where each sync reads current content (Watch, Get, or Cache without a
TTL).

The means are of the law or of measured intervals: X are the intervals between two
syncs of a pod in seconds, and weights their probabilities, each of shape (k,).
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy

from cmhot.clock import NS_PER_S
from cmhot.errors import UsageError
from cmhot.law import Law, interval_pmf, law_for, reads_at_every_sync
from cmhot.runs import schema
from cmhot.statistics.blocks import clock_bound_s
from cmhot.statistics.population import (
    codes_of,
    one_population,
    refresh_cdf,
    refresh_ends,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from cmhot.kubelet.settings import Setting

    Floats = npt.NDArray[np.float64]
    Estimate = Callable[[pd.DataFrame], float]
    Mean = Callable[[Law, Floats, Floats], float]

OPEN, CLOSED = "open loop", "closed loop"
PAUSES = (0.0, 1 / 12, 0.5, 1.0)
"""Pauses of closed loops, in S: 0, 5, 30 and 60 s at 60 s."""
LOOK_EVERY, GIVE_UP_AFTER, WINDOW = 0.5, 1.0, 2.0
"""In S: time between two looks, time until one gives up, and length of a window."""
COLUMNS = (
    *("method", "pause_s", "seconds", "mean_s", "low_s", "high_s", "law_s", "truth_s"),
    *("n", "executed"),
)
"""Columns of `wrong_ways`."""
_FEWEST = 3
"""Fewest pods, or trials, for limits of a mean: a spread of two is a guess."""


def wrong_ways(
    refresh: pd.DataFrame,
    *,
    delays: pd.DataFrame,
    trials: pd.DataFrame | None = None,
    kubernetes: str | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Give the mean delay that wrong ways of measuring find, beside the true one.

    The limits are Student's: for what is made of refreshes or of the updates' delays,
    by leaving out one pod at a time (jackknife); trials of a closed loop are
    independent of each other, since each begins at a sync. Those of the open loop are
    wider by what clocks may have added to each delay.

    Parameters
    ----------
    refresh, delays
        Of one setting under which each sync reads current content, from the same pods.
        The delays are what the open loop found; where there is none, it has no row.
    trials
        Of closed loops that were executed, as `cmhot.experiments.closed_loop` has
        them; None: they are replayed on the refreshes.

    Returns
    -------
    DataFrame
        One row per way: ``method``, ``pause_s`` (of a closed loop), ``seconds``
        (between looks, until one gives up, of the window), ``mean_s``, ``low_s`` and
        ``high_s`` (NaN: too few pods), ``law_s`` (what the law says that it finds),
        ``truth_s`` (the mean over all instants, by the intervals between syncs),
        ``n`` (delays, refreshes or trials)
        and ``executed`` (whether updates were really sent that way).
    """
    setting = _setting(refresh, kubernetes)
    _check_same(delays, refresh)
    seen = delays[delays["status"] == "observed"]
    law = law_for(setting, kubernetes=kubernetes)
    assert law is not None, "each sync reads current content"  # noqa: S101
    rows: list[dict[str, Any]] = []
    if not seen.empty:
        rows.append(
            {
                "method": OPEN,
                **_estimated(lambda own: float(own["delay_s"].mean()), seen, level),
                "law_s": law.mean_s,
                "n": len(seen),
                "executed": True,
            }
        )
    loops = replayed(refresh, setting) if trials is None else trials
    rows += [
        {
            "method": CLOSED,
            "pause_s": pause_s,
            **_of_trials(own["delay_s"], level),
            "law_s": _closed_by_law(setting, own["age_s"]),
            "n": len(own),
            "executed": trials is not None,
        }
        # a trial that follows no sync is not of a closed loop
        for pause_s, own in loops.dropna(subset=["age_s", "delay_s"]).groupby("pause_s")
    ]
    rows += [
        {
            "method": method,
            "seconds": seconds,
            **_estimated(partial(_mean_of, mean), refresh, level),
            "law_s": mean(law, *interval_pmf(setting)),
            "n": len(refresh),
            "executed": False,
        }
        for method, seconds, mean in _ways(setting)
    ]
    table = pd.DataFrame(rows)
    truth_s = _measured(refresh)[0].mean_s
    # without any loop there is no pause
    return table.assign(truth_s=truth_s).reindex(columns=[*COLUMNS])


def replayed(
    refresh: pd.DataFrame, setting: Setting, *, pauses: Sequence[float] = PAUSES
) -> pd.DataFrame:
    """Run closed loops over the syncs that were recorded: patch, see, pause, patch.

    Every publication is taken for the one that was waited for, and the pause (in S)
    follows it at once: no look is late. One row per trial: ``pod``, ``pause_s``,
    ``age_s`` (from the publication before to the update: here the pause), ``delay_s``.
    """
    parts = []
    for pod, own in refresh.groupby("pod", observed=True):
        ordered = own.sort_values("start_ns")
        begin = ordered["start_ns"].to_numpy(dtype=np.int64)
        end = ordered["published_ns"].to_numpy(dtype=np.int64)
        for share in pauses:
            pause_s = pause_of(share, setting)
            # a hair after the publication, so that it does not contain the update
            at = end + max(round(pause_s * NS_PER_S), 1)
            place = np.searchsorted(begin, at, "left") - 1
            inside = at <= end[place]
            delay_s = (end[place] - at)[inside] / NS_PER_S
            row = {"pod": pod, "pause_s": pause_s, "age_s": pause_s}
            parts.append(pd.DataFrame({**row, "delay_s": delay_s}))
    return pd.concat(parts, ignore_index=True)


def pause_of(share: float, setting: Setting) -> float:
    """Give a pause in seconds, to a tenth, from one in S."""
    return round(share * setting.sync_frequency_s, 1)


def _setting(refresh: pd.DataFrame, kubernetes: str | None) -> Setting:
    """Read the setting of a table; refuse one where a sync may read old content."""
    setting = schema.setting_of(one_population(refresh))
    if setting is not None and reads_at_every_sync(setting, kubernetes):
        return setting
    name = "an unknown setting" if setting is None else setting
    msg = (
        f"the wrong ways are not known of {name}: "
        "choose Watch, Get, or Cache without a TTL"
    )
    raise UsageError(msg)


def _check_same(delays: pd.DataFrame, refresh: pd.DataFrame) -> None:
    """Refuse delays of another setting or consumer than the refreshes are of."""
    found, wanted = (
        f"{schema.setting_of(row) or 'an unknown setting'} in {row['consumer']}"
        for row in map(one_population, (delays, refresh))
    )
    if found != wanted:
        msg = f"the delays are of {found}, and the refreshes of {wanted}: give the same"
        raise UsageError(msg)


def _closed_by_law(setting: Setting, age_s: pd.Series[float]) -> float:
    """Give the mean of closed loops whose updates follow a sync by these times."""
    values, weights = interval_pmf(setting)
    ages = age_s.clip(lower=0.0).value_counts()
    means = [
        closed_loop_mean_s(values, weights, pause_s=float(age)) for age in ages.index
    ]
    return float(np.average(means, weights=ages))


def _ways(setting: Setting) -> list[tuple[str, float, Mean]]:
    """List the ways made of refreshes: name, seconds, and the mean that they find."""
    s = setting.sync_frequency_s
    every_s, after_s, window_s = LOOK_EVERY * s, GIVE_UP_AFTER * s, WINDOW * s
    return [
        ("rare looks", every_s, lambda law, *_: looked_mean_s(law, every_s=every_s)),
        (
            "timeouts dropped",
            after_s,
            lambda law, *_: gave_up_mean_s(law, after_s=after_s),
        ),
        (
            "complete intervals only",
            window_s,
            lambda _, *x: complete_mean_s(*x, window_s=window_s),
        ),
        ("one delay per sync", math.nan, lambda _, *x: one_each_mean_s(*x)),
    ]


def closed_loop_mean_s(values: Floats, weights: Floats, *, pause_s: float) -> float:
    """Give the mean delay of "patch, wait until seen, wait d, patch again".

    An update d after a sync waits for the first sync later than that:
    m(d) = E[X - d; X > d] + E[m(d - X); X ≤ d].
    So without a pause it finds whole intervals, twice the true mean,
    and with one of S hardly anything. X is in whole seconds.
    """
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
    """Give the mean of delays that are noted at the next of some rare looks.

    With a look every p seconds, the first p after the update, a delay D
    is taken for ⌈D/p⌉·p: the mean is p Σ P(D > k p) over k = 0, 1, 2 …
    """
    looks = np.arange(math.ceil(float(law.t[-1]) / every_s) + 1) * every_s
    return float(every_s * law.survival(looks).sum())


def gave_up_mean_s(law: Law, *, after_s: float) -> float:
    """Give the mean of the delays that remain when those above a limit are dropped."""
    t = np.unique(np.minimum(np.append(law.t, after_s), after_s))
    share = law.cdf(t)
    middle = (t[1:] + t[:-1]) / 2
    return float(np.diff(share) @ middle / share[-1])


def complete_mean_s(values: Floats, weights: Floats, *, window_s: float) -> float:
    """Give the mean delay by the intervals that lie in a window with both their ends.

    An interval of length x begins in a window of length w so that it also ends there
    with a chance in proportion to (w - x)⁺, so long ones are missing:
    E[X² (w - X)⁺] / 2 E[X (w - X)⁺].
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
    """
    return float(values @ weights / weights.sum() / 2)


def _measured(refresh: pd.DataFrame) -> tuple[Law, Floats, Floats]:
    """Give the distribution of the delay at any instant, and of X, as measured."""
    least, most = refresh_ends(refresh)
    t, share = refresh_cdf(least, most)
    return Law(t, share, float(t[-1])), most - least, np.ones(len(most))


def _mean_of(mean: Mean, refresh: pd.DataFrame) -> float:
    return mean(*_measured(refresh))


def _estimated(estimate: Estimate, table: pd.DataFrame, level: float) -> dict[str, Any]:
    """Estimate a mean, with limits by leaving out one pod at a time."""
    mean = estimate(table)
    low, high = math.nan, math.nan
    pod, pods = codes_of(table["pod"])
    if pods >= _FEWEST:
        without = np.array([estimate(table[pod != one]) for one in range(pods)])
        spread = math.sqrt((pods - 1) / pods * ((without - without.mean()) ** 2).sum())
        reach = float(scipy.stats.t.ppf((1 + level) / 2, pods - 1)) * spread
        reach += clock_bound_s(table) or 0.0  # of delays: refreshes are by one clock
        low, high = mean - reach, mean + reach
    return {"mean_s": mean, "low_s": low, "high_s": high}


def _of_trials(delay_s: pd.Series[float], level: float) -> dict[str, Any]:
    """Give the mean of independent delays, with its limits."""
    n = len(delay_s)
    mean, reach = float(delay_s.mean()), math.nan
    if n >= _FEWEST:
        t = float(scipy.stats.t.ppf((1 + level) / 2, n - 1))
        reach = t * float(delay_s.std(ddof=1)) / math.sqrt(n)
    return {"mean_s": mean, "low_s": mean - reach, "high_s": mean + reach}
