"""What syncs tell about their kubelet: whether pods sync together, and what S is.

Pods created together are in phase, and lose it slowly;
delays measured before that are not those of a random instant.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy

from cmhot.clock import NS_PER_S
from cmhot.errors import CmhotError, RunError, UsageError
from cmhot.kubelet.eras import IDEAL, JITTER, TICK_S
from cmhot.kubelet.settings import Setting
from cmhot.law import interval_pmf
from cmhot.runs import schema
from cmhot.runs.sync_intervals import refresh_intervals
from cmhot.statistics.population import check_rows, one_population, refresh_ends

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    from cmhot.kubelet.eras import Timing
    from cmhot.runs.rundir import Run

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

FOREIGN_SHARE = 0.05
"""Share of intervals that may be merged, or cut short by an extra sync."""
MIN_INTERVALS = 20
"""Fewest intervals that S is inferred from: below it the lattice hides too much."""
_COARSE, _FINE = 400, 200
INFERRED = "inferred"
"""Value of ``source`` for such a setting."""
ROUND_TO_S = (60.0, 30.0, 10.0, 5.0, 1.0, 0.5, 0.1)
"""People choose round numbers: the roundest that the data allow is taken."""
ALLOWED_LEVEL = 0.999
"""Level of the interval of S that the data allow: of a thousand nodes of one setting
one would be given another."""
AGREES = 0.05
"""Largest difference of the shares at which intervals still follow the law;
an allowance for chance comes on top."""
SYNC_S = 0.1
"""Duration of a sync on a busy machine: by as much S may seem longer.
(Seen at 2 s under a load of 40: one interval in nine was a second longer.)"""
STALE_S = 1.0
"""A sync publishes what it read within 0.2 s; the rest allows for clocks."""
_BY_CHANCE = 1.63  # Kolmogorov's 99 % point over √n; on a lattice it is less
_SOONEST = 5  # one in so many intervals makes the first guess
_MEAN_X = 1.25, 0.5  # an interval's mean is about 1.25 S + 0.5 s
_NONE = np.array([], dtype=np.int64)
_NEVER = np.iinfo(np.int64).max


def phase_coherence(
    publications: pd.DataFrame, *, period_s: float = 1.0
) -> pd.DataFrame:
    """Measure how far the publications of a node fall at one phase of a period.

    The coherence is ``|mean exp(2πi t / period)|``: 1 when all fall together,
    and about 1/√n when they are spread evenly.
    With a period of 1 s it shows the tick of the kubelet's process.

    Parameters
    ----------
    publications
        With columns ``node`` and ``published_ns``:
        publications of a run, or its refresh intervals.
    period_s
        Seconds.

    Returns
    -------
    DataFrame
        One row per node: ``node, n, coherence, p_value``,
        the last by Rayleigh's test that independent phases are uniform.

    Raises
    ------
    UsageError
        When there are no publications, or the period is not above 0.
    """
    check_rows(publications)
    groups = publications.groupby("node", observed=True)["published_ns"]
    return pd.DataFrame(
        [
            {"node": node, "n": len(own), **_rayleigh(own, period_s)}
            for node, own in groups
        ]
    )


def coherence_by_sync(publications: pd.DataFrame, *, period_s: float) -> pd.DataFrame:
    """Measure how far the pods of a node are in phase at their k-th publication.

    For pods created together and a period of E[X] it falls by the factor
    ``|E exp(2πi X / E[X])|`` from sync to sync, 0.78 at S = 10 s.

    Parameters
    ----------
    publications
        With columns ``node``, ``pod`` and ``published_ns``.
    period_s
        Seconds: the mean interval between syncs.

    Returns
    -------
    DataFrame
        One row per node and k: ``node, sync, pods, coherence, p_value``,
        as of `phase_coherence`.
    """
    check_rows(publications)
    ordered = publications.sort_values("published_ns", kind="stable")
    sync = ordered.groupby(["node", "pod"], observed=True).cumcount() + 1
    groups = ordered.assign(sync=sync).groupby(["node", "sync"], observed=True)
    return pd.DataFrame(
        [
            {
                "node": node,
                "sync": number,
                "pods": len(own),
                **_rayleigh(own["published_ns"], period_s),
            }
            for (node, number), own in groups
        ]
    )


def _rayleigh(published_ns: pd.Series[int], period_s: float) -> dict[str, float]:
    """Give coherence and the p-value of Rayleigh's test.

    exp(√(1 + 4n + 4(n² - R²)) - (1 + 2n)) with R = n times the coherence
    (Zar, Biostatistical Analysis, 2010, equation 27.4).
    """
    if not period_s > 0:
        msg = f"a period of {period_s!r} s has no phases: give one above 0"
        raise UsageError(msg)
    period_ns = round(period_s * NS_PER_S)
    stamps = np.asarray(published_ns, dtype=np.int64)
    angle = 2 * np.pi * ((stamps % period_ns) / period_ns)
    n = len(angle)
    coherence = float(np.hypot(np.cos(angle).mean(), np.sin(angle).mean()))
    root = np.sqrt(1 + 4 * n + 4 * n**2 * max(1 - coherence**2, 0.0))
    return {"coherence": coherence, "p_value": float(np.exp(root - (1 + 2 * n)))}


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
        How many intervals the most likely value does not allow:
        merged ones, or ones cut short by extra syncs.
    """

    sync_frequency_s: float
    low_s: float
    high_s: float
    n: int
    foreign: int


def infer_sync_frequency(refresh: pd.DataFrame, *, level: float = 0.95) -> InferredSync:
    """Infer S from intervals between syncs that each read current content.

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
        Refresh intervals of one setting where each sync reads current content;
        their setting is not looked at.
    level
        Of the interval.

    Raises
    ------
    UsageError, RunError
        For fewer than 20 intervals, or a setting where syncs do not each publish.
    """
    counts = whole_seconds(refresh)
    n = int(counts.sum())
    if n < MIN_INTERVALS:
        msg = (
            f"{n} intervals say too little of syncFrequency: "
            f"{MIN_INTERVALS} are needed; measure for longer, or more pods"
        )
        raise UsageError(msg)
    typical = float(np.median(np.repeat(np.arange(len(counts)), counts)))
    low, high = max(0.3, typical / (1 + JITTER) - TICK_S), typical
    wide = scipy.stats.chi2.ppf(level, 1) / 2
    for points in (_COARSE, _FINE, _FINE):
        s = np.linspace(low, high, points)
        likely = _likelihood(s, counts)
        inside, step = s[likely >= likely.max() - wide], s[1] - s[0]
        low, high = max(inside[0] - 2 * step, 0.3), inside[-1] + 2 * step
    best = float(s[likely.argmax()])
    values, _ = interval_pmf(Setting(best))
    allowed = counts[values[values < len(counts)].astype(int)].sum()
    return InferredSync(
        sync_frequency_s=best,
        low_s=float(inside[0] - step),
        high_s=float(inside[-1] + step),
        n=n,
        foreign=n - int(allowed),
    )


def whole_seconds(refresh: pd.DataFrame) -> Integers:
    """Count the intervals by whole seconds, from 0 on."""
    one_population(refresh)
    least, most = refresh_ends(refresh)
    if least.any():
        msg = (
            "these pods share what their node cached, so a refresh is no sync: "
            "take a setting where each sync reads current content"
        )
        raise RunError(msg)
    return np.bincount(np.rint(most).astype(np.int64))


def _likelihood(s: Floats, counts: Integers) -> Floats:
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


def may_lack_settings(meta: Mapping[str, Any]) -> bool:
    """Report whether pods of a run may be on nodes of unknown setting."""
    listed = meta.get("pods")
    return listed is None or any(_is_unknown(meta, entry["node"]) for entry in listed)


def with_inferred(run: Run) -> Run:
    """Fill in unknown settings that the run itself shows.

    A node's own intervals between syncs show its `syncFrequency`
    (`infer_sync_frequency`). Nodes with too few of them
    are taken together, and believed if they agree with one law.
    Under a Cache with a TTL syncs cannot be seen: pods that published old content, or
    at intervals that do not follow the law of syncs, are not inferred from.
    The records stay the same; ``settings`` have the inferred values.
    """
    listed = run.meta.get("pods")
    on = run.publications["node"] if listed is None else [one["node"] for one in listed]
    nodes = sorted(name for name in set(map(str, on)) if _is_unknown(run.meta, name))
    by_node = {str(node): own for node, own in run.publications.groupby("node")}
    found: dict[str, dict[str, Any]] = {}
    for node in nodes:
        alone = replace(run, publications=by_node.get(node, run.publications[:0]))
        own = _infer(alone, [node])
        if own is not None:
            found[node] = own
    rest = [node for node in nodes if node not in found]
    together = _infer(run, rest) if len(rest) > 1 else None
    if together is not None:
        found |= dict.fromkeys(rest, together)
    known = run.meta.get("settings") or {}
    more = {node: {**known.get(node, {}), **found[node]} for node in found}
    return replace(run, meta={**run.meta, "settings": {**known, **more}})


def _is_unknown(meta: Mapping[str, Any], node: str) -> bool:
    entry = (meta.get("settings") or {}).get(node) or {}
    return schema.setting_of({key: entry.get(key) for key in schema.SETTING}) is None


def _infer(run: Run, nodes: Sequence[str]) -> dict[str, Any] | None:
    """Infer one entry of run.json's ``settings`` for these nodes; None: they show none.

    `syncFrequency` is the roundest that the data allow. The strategy stands
    for any under which each sync reads current content: they have one law.
    """
    from_ns = run.meta.get("measure_from_ns") or 0
    own = run.publications[run.publications["node"].isin(nodes)]
    own = own[own["published_ns"] >= from_ns].sort_values("published_ns")
    guess_s = _guess_s(run, own)
    if guess_s is None or _stale_share(run, own) > FOREIGN_SHARE:
        return None
    try:
        # which intervals count depends on S: what the guess lets in makes a better one
        found = infer_sync_frequency(_intervals(run, nodes, guess_s))
        table = _intervals(run, nodes, found.sync_frequency_s)
        found = infer_sync_frequency(table)
        allowed = infer_sync_frequency(table, level=ALLOWED_LEVEL)
    except CmhotError:  # too few, or none
        return None
    low_s = allowed.low_s - SYNC_S
    sync_s = _roundest(found.sync_frequency_s, low_s, allowed.high_s)
    timings = (IDEAL, replace(IDEAL, sync_s=SYNC_S))
    if not any(_follows_law(table["most_s"], sync_s, timing=one) for one in timings):
        return None
    setting = Setting(sync_s)
    return {
        "sync_frequency_s": setting.sync_frequency_s,
        "strategy": setting.strategy.value,
        "ttl_s": setting.ttl_s,
        "source": INFERRED,
        INFERRED: {
            "low_s": found.low_s - SYNC_S,
            "high_s": found.high_s,
            "n": found.n,
        },
    }


def _stale_share(run: Run, publications: pd.DataFrame) -> float:
    """Give the share of publications whose content was out of date by then."""
    acked = run.updates[run.updates["acked_ns"].notna()].sort_values("seq")
    stale = 0
    for name, own in publications.groupby("configmap", dropna=False):
        of_map = acked
        if isinstance(name, str):  # a run of one ConfigMap need not name it
            of_map = acked[acked["configmap"].fillna(name) == name]
        next_ns = np.append(of_map["acked_ns"].to_numpy(dtype=np.int64), _NEVER)
        place = np.searchsorted(of_map["seq"], own["seq"], "right")
        late_ns = own["published_ns"].to_numpy(dtype=np.int64) - next_ns[place]
        stale += int((late_ns > STALE_S * NS_PER_S).sum())
    return stale / len(publications)


def _guess_s(run: Run, publications: pd.DataFrame) -> float | None:
    """Guess S from the intervals that can hide no sync; None: there are too few.

    Two publications are two syncs in a row if an update was acknowledged so soon after
    the first that no sync can have come before it. Updates do not depend on the
    kubelet, so intervals that were followed soonest are like all others.
    """
    lengths: list[Integers] = []
    lags: list[Integers] = []
    keys = ["pod", "container", "consumer"]
    acked = np.sort(run.updates["acked_ns"].dropna().to_numpy(dtype=np.int64))
    for _, rows in publications.groupby(keys, dropna=False, observed=True):
        at = rows["published_ns"].to_numpy(dtype=np.int64)
        place = np.searchsorted(acked, at[:-1], "right")
        followed = place < len(acked)
        lengths.append(np.diff(at)[followed])
        lags.append(acked[place[followed]] - at[:-1][followed])
    length, lag = (np.concatenate([*some, _NONE]) for some in (lengths, lags))
    if len(length) < MIN_INTERVALS:
        return None
    soonest = np.argsort(lag, kind="stable")
    soonest = soonest[: max(MIN_INTERVALS, len(length) // _SOONEST)]
    slope, offset_s = _MEAN_X
    guess_s = (float(np.median(length[soonest])) / NS_PER_S - offset_s) / slope
    longest_lag_s = float(lag[soonest].max()) / NS_PER_S
    return guess_s if guess_s > 0 and longest_lag_s <= guess_s else None


def _intervals(run: Run, nodes: Iterable[str], sync_s: float) -> pd.DataFrame:
    """Give the intervals of these nodes that would count for a given S."""
    names = set(nodes)
    listed = run.meta.get("pods")
    pods = None if listed is None else [one for one in listed if one["node"] in names]
    entry = {"sync_frequency_s": sync_s, "strategy": "Watch", "ttl_s": 0.0}
    meta = {**run.meta, "pods": pods, "settings": dict.fromkeys(names, entry)}
    return refresh_intervals(replace(run, meta=meta))


def _roundest(best_s: float, low_s: float, high_s: float) -> float:
    """Give the roundest number in an interval, the nearest to the best of those."""
    for step_s in ROUND_TO_S:
        near_s = round(best_s / step_s) * step_s
        if near_s > 0 and low_s <= near_s <= high_s:
            return round(near_s, 1)
    return round(best_s, 2)


def _follows_law(
    intervals_s: pd.Series[float], sync_s: float, *, timing: Timing
) -> bool:
    """Report whether the intervals are distributed as `interval_pmf` predicts."""
    seen = np.bincount(np.rint(intervals_s.to_numpy()).astype(np.int64))
    values, probabilities = interval_pmf(Setting(sync_s), timing=timing)
    shares = np.zeros(max(len(seen), int(values[-1]) + 1))
    shares[: len(seen)] = seen / seen.sum()
    expected = np.zeros(len(shares))
    expected[values.astype(np.int64)] = probabilities
    furthest = float(np.abs(np.cumsum(shares - expected)).max())
    return furthest <= AGREES + _BY_CHANCE / float(np.sqrt(seen.sum()))
