"""The law of the delay at a setting: of one pod, and of many."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from cmhot.errors import UsageError
from cmhot.kubelet.eras import IDEAL, JITTER, LOOPS_S, TICK_S, find_era
from cmhot.kubelet.settings import Strategy
from cmhot.law.distribution import Law, shares_of
from cmhot.law.reads import (
    at_every_sync,
    interval_pmf,
    longest_interval_s,
    loops_cdf,
    loops_excess,
    through_cache,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from cmhot.kubelet.eras import Timing
    from cmhot.kubelet.settings import Setting
    from cmhot.law.reads import FreshReads

    Floats = npt.NDArray[np.float64]

_AROUND = np.linspace(-LOOPS_S, LOOPS_S, 9)
"""Points around a corner of F, which the volume loops round off."""
_FINE = 16
"""Points per tick along a curve: between them F is straight to below 0.0001."""
_POINTS = 4001
"""Corners of a law that is no straight line anywhere:
its mean and quantiles are then good to a thousandth of its support."""
_CELLS = 25_000_000
"""Of a table of instants by ticks that is held: 200 MB."""


def law_for(
    setting: Setting,
    *,
    sharers: int = 1,
    kubernetes: str | None = None,
    timing: Timing = IDEAL,
) -> Law | None:
    """Give the law of one pod's delay at a setting; None where none is known.

    Parameters
    ----------
    setting
        Of the kubelet.
    sharers
        Pods on the pod's node that use the same ConfigMap, itself included.
        It matters under Cache with a TTL above 0 only.
    kubernetes
        Version of the kubelet, such as ``v1.28.15``; None: current.
    timing
        What the kubelet's work costs; the default is none.

    Returns
    -------
    Law or None
        None for Cache with an unknown TTL, and for a version of which no law is known.

    Raises
    ------
    UsageError
        For fewer than one sharer.

    Examples
    --------
    >>> from cmhot import Setting
    >>> law_for(Setting(60)).summary()["p95_s"]
    75.45...
    """
    reads = fresh_reads_for(
        setting, sharers=sharers, kubernetes=kubernetes, timing=timing
    )
    return None if reads is None else _law(setting, reads, kubernetes, timing)


def fresh_reads_for(
    setting: Setting,
    *,
    sharers: int = 1,
    kubernetes: str | None = None,
    timing: Timing = IDEAL,
) -> FreshReads | None:
    """Give how often new content is read at a setting; arguments as of `law_for`.

    Returns
    -------
    FreshReads or None
        None for Cache with an unknown TTL, and for a version of which no law is known.

    Raises
    ------
    UsageError
        For fewer than one sharer.
    """
    if sharers < 1:
        msg = f"{sharers} pods cannot share a ConfigMap: there is at least one"
        raise UsageError(msg)
    every = reads_at_every_sync(setting, kubernetes)
    if every is None:
        return None
    if every:
        return at_every_sync(*interval_pmf(setting, timing=timing))
    return _cached(setting, sharers, timing)


def reads_at_every_sync(setting: Setting, kubernetes: str | None = None) -> bool | None:
    """Report whether each sync of a pod reads the content at the API server.

    So it is under Watch and Get, and under Cache with a TTL of 0,
    or of any TTL in the versions where a TTL is without effect.

    Returns
    -------
    bool or None
        None where it depends on a TTL that is not known, or where nothing is known
        of the version.
    """
    era = find_era(kubernetes)
    if era is None:
        return None
    if setting.strategy is not Strategy.CACHE or not era.ttl_works:
        return True
    return None if setting.ttl_s is None else setting.ttl_s == 0


@lru_cache(maxsize=64)  # some take a tenth of a second, and are asked for again
def _cached(
    setting: Setting, sharers: int, timing: Timing, *, awaited: int = 0
) -> FreshReads:
    if setting.ttl_s is None:
        msg = f"the TTL of {setting} is not known"
        raise UsageError(msg)
    return through_cache(
        interval_pmf(setting, timing=timing),
        ttl_s=setting.ttl_s,
        sharers=sharers,
        timing=timing,
        awaited=awaited,
    )


def _law(
    setting: Setting, reads: FreshReads, kubernetes: str | None, timing: Timing
) -> Law:
    longest = longest_interval_s(setting)
    cached = not reads_at_every_sync(setting, kubernetes)
    if cached and (reads.between + reads.wait).max() > longest:
        longest += setting.ttl_s or 0.0
    return _residual(reads, timing=timing, max_s=longest)


def _residual(reads: FreshReads, *, timing: Timing, max_s: float) -> Law:
    """Give the law of an update at a random instant; `max_s` is without the shift.

    With Y between two reads and V from the second to the pod's own look,
    F(t) = E[min(Y, (t - V)⁺)] / E[Y] = (E[(t - V)⁺] - E[(t - V - Y)⁺]) / E[Y]:
    of a random interval, the part that an update must fall into.
    Without V this is the residual life of Y. The kubelet's loops blur each look by up
    to 0.2 s; its staleness and write time shift the whole law.
    """
    shown = reads.wait + reads.between
    corners = np.union1d(reads.wait, shown)
    t = corners
    if timing.has_loops:
        t = np.unique(np.maximum(corners[:, None] + _AROUND, 0.0).round(9))
    moved = reads.wait > 0
    below = _excess(t, reads.wait[moved], reads.probability[moved], timing)
    below += reads.probability[~moved].sum() * t  # the pod that read, shows at once
    below -= _excess(t, shown, reads.probability, timing)
    shift = timing.staleness_s + timing.write_s
    share = np.maximum.accumulate(np.clip(below / reads.mean_between_s, 0.0, 1.0))
    share[-1] = 1.0
    return Law(t + shift, share, max_s + shift)


def _excess(t: Floats, ticks: Floats, probability: Floats, timing: Timing) -> Floats:
    """Give E[(t - K)⁺] at each t, K a whole number of ticks, blurred by the loops."""
    if ticks.size == 0:
        return np.zeros_like(t)
    weight = np.bincount(ticks.astype(int), probability)
    k = np.flatnonzero(weight)
    at_once = max(1, _CELLS // k.size)  # of a day's syncFrequency all would be 14 GB
    pieces = []
    for some in np.split(t, range(at_once, t.size, at_once)):
        late = some[:, None] - k[None, :]
        beyond = loops_excess(late) if timing.has_loops else np.maximum(late, 0.0)
        pieces.append(np.asarray(beyond @ weight[k]))
    return np.concatenate(pieces)


def law_at_age(setting: Setting, *, age_s: float, timing: Timing = IDEAL) -> Law:
    """Give the time until the next sync of a pod whose last one is known.

    A pod that was last seen to be synced `age_s` ago (its ``..data`` changed then)
    has X - age left, given X > age. For a pod that has just started this is far
    longer than for a random instant.
    Holds where each sync reads new content, and nothing but the timer syncs the pod.

    Parameters
    ----------
    setting
        Of the kubelet.
    age_s
        Seconds since the last publication; from 0 to below the longest interval.
    timing
        Its loops blur both looks; without them the law is one of whole seconds.

    Raises
    ------
    UsageError
        For an age that no idle pod reaches, or a negative one.
    """
    values, probabilities = interval_pmf(setting, timing=timing)
    reach = float(values[-1]) + (LOOPS_S if timing.has_loops else 0.0)
    if not 0 <= age_s < reach:
        msg = (
            f"no idle pod is {age_s:g} s old at {setting}: "
            f"an age is from 0 to below {reach:g} s"
        )
        raise UsageError(msg)
    width = _AROUND if timing.has_loops else np.array([-1e-9, 0.0])
    t = np.unique((values[:, None] + width).ravel().round(9))
    late = t[:, None] - values[None, :]
    steps = loops_cdf(late) if timing.has_loops else (late >= 0).astype(np.float64)
    shares = steps @ probabilities
    alive = float(np.interp(age_s, t, shares, left=0.0))
    t, shares = t - age_s, (shares - alive) / (1.0 - alive)
    kept = t > 0
    shift = timing.staleness_s + timing.write_s
    return Law(
        np.append(0.0, t[kept]) + shift,
        np.append(0.0, np.clip(shares[kept], 0.0, 1.0)),
        longest_interval_s(setting) - age_s + shift,
    )


def law_with_extra_syncs(
    setting: Setting, *, per_s: float, timing: Timing = IDEAL
) -> Law:
    """Give the delay where other causes sync the pod too, at random and at a rate.

    Causes are changes of the pod's labels and annotations, container starts and
    exits, failing probes. Each sync, whatever caused it, sets the timer anew, so the
    interval is Z = min(X, E), E exponential: P(Z > u) = P(X > u) exp(-rate u).
    After an extra sync X begins between two ticks and is S (1 + U/2) plus a uniform
    part of a second: the two kinds of interval are weighed by how often they occur.
    Holds where each sync reads new content.

    Parameters
    ----------
    setting, timing
        Of the kubelet; the loops are left out, which shifts no quantile by 0.02 s.
    per_s
        Extra syncs per second and pod; not negative.

    Raises
    ------
    UsageError
        For a negative rate.
    """
    if not 0 <= per_s < math.inf:
        msg = f"{per_s!r} extra syncs a second are not possible: a rate is 0 or more"
        raise UsageError(msg)
    values, probabilities = interval_pmf(setting, timing=timing)
    s = setting.sync_frequency_s + timing.sync_s
    t = np.linspace(0.0, values[-1] + TICK_S, int(values[-1] + TICK_S) * _FINE + 1)
    longer = np.append(1.0, 1.0 - np.cumsum(probabilities))
    on_tick = longer[np.searchsorted(values, t, "right")]
    off_tick = 1.0 - _ramp(t, s, setting.sync_frequency_s * JITTER)
    decay = np.exp(-per_s * t)
    # each survival function, integrated to t: straight within a step, times the decay
    steps = np.diff(t)
    mass = (decay[:-1] - decay[1:]) / per_s if per_s else steps

    def area(survival: Floats, *, flat: bool) -> Floats:
        level = survival[:-1] if flat else (survival[:-1] + survival[1:]) / 2
        return np.append(0.0, np.cumsum(level * mass))

    lattice, between = area(on_tick, flat=True), area(off_tick, flat=False)
    # P(ended by the timer) = 1 - rate E[Z]; the chain of kinds of interval is balanced
    timed_on, timed_off = 1 - per_s * lattice[-1], 1 - per_s * between[-1]
    share_on = timed_off / (1 - timed_on + timed_off)
    total = share_on * lattice + (1 - share_on) * between
    shift = timing.staleness_s + timing.write_s
    return Law(t + shift, total / total[-1], longest_interval_s(setting) + shift)


def _ramp(t: Floats, start: float, spread: float) -> Floats:
    """Give the distribution function of start + spread U + a uniform part of a tick."""

    def area(x: Floats) -> Floats:
        return np.maximum(x, 0.0) ** 2 / 2

    x = t - start
    corners = area(x) - area(x - spread) - area(x - TICK_S) + area(x - spread - TICK_S)
    return np.asarray(corners / (spread * TICK_S))


def fleet_law(
    setting: Setting,
    *,
    pods: int,
    rank: int | None = None,
    sharers: int = 1,
    kubernetes: str | None = None,
    timing: Timing = IDEAL,
) -> Law | None:
    """Give the delay until all of N pods have an update, or the k-th of them.

    Pods on different nodes are independent where each sync reads new content,
    so the k-th of N is an order statistic, with the distribution function
    I(F(t); k, N - k + 1), I being the regularised incomplete beta function
    (David and Nagaraja, Order Statistics, 2003, section 2.1); for k = N it is F(t)ᴺ.
    Pods of one node share their kubelet's tick: as of a random instant they have the
    same part of a second before them, and independent whole seconds. So that formula
    holds at whole seconds, and F is straight between them
    (seen on real kubelets, docs/studies/hypotheses.md; at S = 60 s it is no matter).
    Pods that share a cached ConfigMap on a node wait for the same fetch as well.
    Nodes are independent; the k-th pod is not known of several nodes with several pods.

    Parameters
    ----------
    setting, kubernetes, timing
        Of the kubelets, as of `law_for`.
    pods
        N, at least 1.
    rank
        k; None: N, all of them.
    sharers
        Pods per node. A last node, if N is no multiple of it, holds the rest;
        of fewer pods than one node has, the others share the cache all the same.

    Returns
    -------
    Law or None
        None where no law is known (Cache with an unknown TTL).

    Raises
    ------
    UsageError
        For numbers of pods that cannot be, or a rank that is not known.
    """
    wanted = pods if rank is None else rank
    if pods < 1 or not 1 <= wanted <= pods:
        msg = f"rank {wanted} of {pods} pods is not possible: 1 ≤ rank ≤ pods"
        raise UsageError(msg)
    one = law_for(setting, sharers=sharers, kubernetes=kubernetes, timing=timing)
    if one is None or pods == 1:
        return one
    independent = bool(reads_at_every_sync(setting, kubernetes))
    if sharers == 1:
        t = _grid(one)
        return Law(t, _ranked(one.cdf(t), wanted, pods), one.max_s)
    if independent and pods <= sharers:
        return _on_one_tick(one, wanted, pods, timing)
    if wanted != pods:
        msg = (
            "the k-th of pods that share nodes or a cached ConfigMap is not known: "
            "ask for all of them, or for one pod per node"
        )
        raise UsageError(msg)

    def of_node(size: int) -> Law:
        if independent:
            return _on_one_tick(one, size, size, timing)
        # some pods of one node may be waited for; a last node has only what is left
        together = sharers if pods < sharers else size
        return law_of_node(
            setting, pods=size, sharers=together, kubernetes=kubernetes, timing=timing
        )

    full, rest = divmod(pods, sharers)
    laws = [(n, of_node(size)) for n, size in ((full, sharers), (1, rest)) if n * size]
    t = _grid(laws[0][1])
    share = np.prod([law.cdf(t) ** number for number, law in laws], axis=0)
    return Law(t, share, one.max_s)


def law_of_node(
    setting: Setting,
    *,
    pods: int,
    sharers: int,
    kubernetes: str | None,
    timing: Timing,
) -> Law:
    """Give the delay until all of `pods` pods of a node have it, which share its cache.

    They are any of the `sharers`.
    """
    reads = _cached(setting, sharers, timing, awaited=pods)
    return _law(setting, reads, kubernetes, timing)


def _ranked(share: Floats, rank: int, pods: int) -> Floats:
    """Give the distribution function of the rank-th of independent pods."""
    if rank == pods:
        return np.asarray(share**pods)
    # a quarter of a second, which explain, wait and refresh need not spend
    from scipy.special import betainc  # noqa: PLC0415

    return np.asarray(betainc(rank, pods - rank + 1, share))


def _on_one_tick(one: Law, rank: int, pods: int, timing: Timing) -> Law:
    """Give the law of a rank among pods of one kubelet, straight within a second."""
    shift = timing.staleness_s + timing.write_s
    t = np.arange(0.0, np.ceil(one.t[-1] - shift) + 1) + shift
    return Law(t, _ranked(one.cdf(t), rank, pods), one.max_s)


def _grid(law: Law) -> Floats:
    """Cut a law's support finely, and at its own corners."""
    return np.union1d(law.t, np.linspace(law.t[0], law.t[-1], _POINTS))


@dataclass(frozen=True, slots=True)
class ContinuousLaw:
    """The delay with a sync interval that is uniform from a to b.

    A tick is waited for half a second on average, so a = S + ½ and b = 1.5 S + ½.
    Good to 0.02 s in each quantile at S = 60 s; for S of a few seconds the tick
    dominates: use `law_for`.

    Attributes
    ----------
    a, b
        Shortest and longest interval, seconds.
    """

    a: float
    b: float

    @classmethod
    def of(cls, setting: Setting) -> ContinuousLaw:
        """Make it for a setting where each sync reads new content."""
        s = setting.sync_frequency_s
        return cls(s + TICK_S / 2, s * (1 + JITTER) + TICK_S / 2)

    @property
    def mean_interval_s(self) -> float:
        """μ = (a + b) / 2, seconds."""
        return (self.a + self.b) / 2

    @property
    def mean_s(self) -> float:
        """E[X²] / 2 E[X], seconds."""
        a, b = self.a, self.b
        return (a * a + a * b + b * b) / (3 * (a + b))

    def cdf(self, t: npt.ArrayLike) -> Floats:
        """Give F: t/μ up to a, then less (t - a)² / 2 (b - a) μ, then 1."""
        x = np.clip(np.asarray(t, dtype=np.float64), 0.0, self.b)
        bend = np.maximum(x - self.a, 0.0) ** 2 / (2 * (self.b - self.a))
        return np.asarray((x - bend) / self.mean_interval_s)

    def quantile(self, p: npt.ArrayLike) -> Floats:
        """Invert F in closed form: p μ up to a, then b - √((b-a)² - 2(b-a)(pμ-a)).

        Raises
        ------
        UsageError
            When a probability lies outside 0 … 1.
        """
        width = self.b - self.a
        straight = shares_of(p) * self.mean_interval_s
        beyond = np.maximum(straight - self.a, 0.0)
        root = np.sqrt(np.maximum(width**2 - 2 * width * beyond, 0.0))
        return np.asarray(np.where(straight <= self.a, straight, self.b - root))
