"""When an idle pod is synced, and when new content is read: then, or after a TTL.

Time is counted in ticks of the kubelet, one second each, since all periodic syncs
of a kubelet begin on its tick.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cmhot.errors import UsageError
from cmhot.kubelet.eras import IDEAL, JITTER, LOOP_S, LOOPS_S, TICK_S

if TYPE_CHECKING:
    import numpy.typing as npt

    from cmhot.kubelet.eras import Timing
    from cmhot.kubelet.settings import Setting

    Floats = npt.NDArray[np.float64]

_CONVERGED = 1e-10
_MOST_ROUNDS = 500
_LONGEST_TICKS = 2701
"""Most ticks on a side of the joint law, a square: 58 MB, and some seconds' work."""
_LOOPS = 4  # two looks differ by two loops each


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
    >>> from cmhot import Setting
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
    (as seen once all pods have been synced): each sync begins a fresh interval.
    Uniform draws would not achieve that.

    Returns
    -------
    array
        Seconds, each above 0 and at most the longest interval; shape (size,).
    """
    values, probabilities = interval_pmf(setting)
    weights = values * probabilities
    long = rng.choice(values, size, p=weights / weights.sum())
    return np.asarray(long * (1.0 - rng.random(size)))


@dataclass(frozen=True, slots=True, eq=False)
class FreshReads:
    """How often a node reads new content, and how long a pod then waits for it.

    An update at a random instant falls between two reads Y apart;
    it is read by the second of them, and shown by a given pod V later.

    Attributes
    ----------
    between
        Y in ticks; shape (k,).
    wait
        V in ticks: 0 for the pod whose sync was the read; shape (k,).
    probability
        Joint probability of each pair; shape (k,), sums to 1.
    """

    between: Floats
    wait: Floats
    probability: Floats

    @property
    def mean_between_s(self) -> float:
        """E[Y] in seconds."""
        return float(self.between @ self.probability)

    def spread_at(self, t: float, p: float, *, sharers: int = 1) -> float:
        """Give the variance of min(Y, (t - V)⁺) - p Y, a mean over the sharing pods.

        The precision of the interval estimator rests on it; seconds squared.
        Pods share Y, and are independent given it.
        """
        below = np.minimum(self.between, np.maximum(t - self.wait, 0.0))
        left = below - p * self.between
        y = self.between.astype(int)
        chance = np.bincount(y, self.probability)
        seen = chance > 0
        mean = np.bincount(y, self.probability * left)[seen] / chance[seen]
        square = np.bincount(y, self.probability * left**2)[seen] / chance[seen]
        among = chance[seen] @ mean**2 - (chance[seen] @ mean) ** 2
        within = chance[seen] @ (square - mean**2)
        return float(among + within / sharers)


def at_every_sync(values: Floats, probabilities: Floats) -> FreshReads:
    """Give the fresh reads of a pod each of whose syncs reads current content."""
    return FreshReads(values, np.zeros_like(values), probabilities)


@dataclass(frozen=True, slots=True, eq=False)
class _FirstReads:
    """When each pod of a node first reads after a cached entry has expired.

    Shapes are (b,): index 0 is the first tick at which the entry may be found expired.
    """

    first: int  # tick of index 0, counted from the last fetch
    fetcher: Floats  # probability at each tick, for the pod that fetched last
    other: Floats  # and for each of the others
    sharers: int


def through_cache(
    interval: tuple[Floats, Floats],
    *,
    ttl_s: float,
    sharers: int,
    timing: Timing,
    awaited: int = 0,
) -> FreshReads:
    """Give the fresh reads of a pod whose node caches content for a time to live.

    The entry is shared by the node's pods (pkg/kubelet/util/manager,
    cache_based_manager.go): the first sync of any of them that finds it older than
    the TTL fetches, and the others show what was fetched at their own next sync.

    For one pod this is exact: fetches are a renewal process whose interval is the
    first sum of sync intervals that reaches the TTL.
    For more it takes the other pods, as of a fetch, to be independent of each other
    and of the one that fetched, and finds their stationary law by iteration;
    they are indeed independent given the whole history of fetches,
    and the event-level model agrees (docs/studies/law.md).

    A fetch is stamped ``timing.staleness_s`` after the look. `awaited` is how many of
    the pods, any of them, are waited for until the last of them shows it;
    0: each pod's own wait.

    Raises
    ------
    UsageError
        For intervals beyond three quarters of an hour.
    """
    if interval[0][-1] > _LONGEST_TICKS:
        msg = (
            "the law of a shared cache is worked out for a syncFrequency of up to half "
            "an hour: simulate a longer one (cmhot.cluster.model.simulate)"
        )
        raise UsageError(msg)
    p = np.zeros(int(interval[0][-1]) + 1)
    p[interval[0].astype(int)] = interval[1]
    residual = np.append(0.0, np.cumsum(p[::-1])[::-1][1:])  # P(X ≥ k), k ≥ 1
    residual /= residual.sum()
    fetchers = [
        (weight, _FirstReads(first, _first_read(p, p, first), p[:0], sharers))
        for first, weight in _expiry(ttl_s, timing)
    ]
    for _ in range(_MOST_ROUNDS):
        reads = [
            (weight, replace(one, other=_first_read(residual, p, one.first)))
            if sharers > 1
            else (weight, one)
            for weight, one in fetchers
        ]
        joints = [(weight, one, _joint(one, p.size)) for weight, one in reads]
        if sharers == 1:
            break
        shown = sum(weight * _shown(joint, one) for weight, one, joint in joints)
        again = _residual_after(np.asarray(shown), p, sharers)
        again /= again.sum()  # rounding of the total would grow from round to round
        if np.abs(again - residual).max() < _CONVERGED:
            break
        residual = (residual + again) / 2  # damped: rotations of few pods swing
    if awaited:
        parts = [(w, one, _joint_of_last(one, awaited, p.size)) for w, one in reads]
    else:
        parts = [(w, one, _mixed(joint, one)) for w, one, joint in joints]
    return _collect(parts)


def _expiry(ttl_s: float, timing: Timing) -> list[tuple[int, float]]:
    """List the first tick after a fetch that may find it expired, with its chance.

    A read n ticks later finds it expired when n + D ≥ TTL + staleness, D being the
    difference of the two looks' loop delays; as |D| < 0.2 s, one tick is open at most.
    """
    due = ttl_s + timing.staleness_s
    if not timing.has_loops:
        first = max(math.ceil(due), 1)
        return [(first, 0.5), (first + 1, 0.5)] if due == first else [(first, 1.0)]
    first = max(math.ceil(due - LOOPS_S), 1)
    chance = 1.0 - float(loops_cdf(np.array(due - first)))
    if chance > 1 - 1e-12:
        return [(first, 1.0)]
    return [(first, chance), (first + 1, 1.0 - chance)]


def loops_cdf(seconds: Floats) -> Floats:
    """Give P(D ≤ s), D being the difference between two looks' loop delays.

    Each look comes after two loops of uniform phase,
    so D + 0.2 s is a sum of four uniforms: an Irwin-Hall distribution.
    """
    return _irwin_hall(seconds, order=0)


def loops_excess(seconds: Floats) -> Floats:
    """Give E[(s - D)⁺], seconds: the integral of `loops_cdf` from below."""
    return LOOP_S * _irwin_hall(seconds, order=1)


def _irwin_hall(seconds: Floats, *, order: int) -> Floats:
    """Integrate the distribution function of a sum of four uniforms `order` times.

    (1/(n + r)!) Σ (-1)ᵏ C(n, k) (x - k)₊ⁿ⁺ʳ, x in units of one loop.
    Above the support the polynomial would cancel badly: there it is x - n/2, or 1.
    """
    x = np.asarray(seconds / LOOP_S + _LOOPS / 2, dtype=np.float64)
    inside = np.clip(x, 0, _LOOPS)
    power = _LOOPS + order
    total = np.zeros_like(inside)
    for k in range(_LOOPS + 1):
        sign = (-1) ** k * math.comb(_LOOPS, k)
        total = total + sign * np.maximum(inside - k, 0) ** power
    found = total / math.factorial(power)
    return np.asarray(found + order * np.maximum(x - _LOOPS, 0))


def _first_read(start: Floats, p: Floats, first: int) -> Floats:
    """Give the law of the first renewal at or after a tick, from index 0 on there.

    `start` is the law of the first renewal, `p` of the intervals after it;
    index k is k ticks. u[n] = start[n] + Σ u[n - k] p[k] are the chances of a renewal.
    """
    long = max(first + p.size, start.size)
    padded = np.zeros(long)
    padded[: start.size] = start
    renewals = padded[:first].copy()
    for n in range(1, renewals.size):
        k = min(n, p.size - 1)
        renewals[n] += renewals[n - k : n] @ p[k:0:-1]
    found = padded.copy()
    after = np.convolve(renewals, p)[:long]
    found[: after.size] += after
    return np.asarray(found[first : first + p.size])


def _tail(first_read: Floats) -> Floats:
    """Give P(first read ≥ index), with one more place for none left."""
    return np.append(np.cumsum(first_read[::-1])[::-1], 0.0).clip(0.0, 1.0)


def _joint(reads: _FirstReads, size: int) -> tuple[Floats, Floats]:
    """Give P(fetch at index y, own first read v later): for the fetcher, for others.

    Each of shape (size, size), y down and v across. The fetch is the first read of any.
    """
    m = reads.sharers
    tail_f = _tail(reads.fetcher)
    tail_o = _tail(reads.other) if m > 1 else np.ones_like(tail_f)
    y = np.arange(size)
    own = y[:, None] + y[None, :]
    fits = own < size

    def pairs(first_read: Floats, at: Floats, past: Floats) -> Floats:
        """Join the own read with the others': none before y, and for v > 0 one at y."""
        read = np.where(fits, first_read[np.minimum(own, size - 1)], 0.0)
        rest = np.repeat((at - past)[:, None], size, axis=1)
        rest[:, 0] = at
        return np.asarray(read * rest)

    at, past = tail_o[:-1] ** (m - 1), tail_o[1:] ** (m - 1)
    fetcher = pairs(reads.fetcher, at, past)
    if m == 1:
        return fetcher, np.zeros_like(fetcher)
    at = tail_o[:-1] ** (m - 2) * tail_f[:-1]
    past = tail_o[1:] ** (m - 2) * tail_f[1:]
    return fetcher, pairs(reads.other, at, past)


def _mixed(joint: tuple[Floats, Floats], reads: _FirstReads) -> Floats:
    """Give the joint law for any one of the pods."""
    fetcher, other = joint
    m = reads.sharers
    return np.asarray((fetcher + (m - 1) * other) / m)


def _shown(joint: tuple[Floats, Floats], reads: _FirstReads) -> Floats:
    """Give the expected number of pods that show the fetch v ticks after it."""
    return np.asarray(_mixed(joint, reads).sum(axis=0) * reads.sharers)


def _residual_after(shown: Floats, p: Floats, sharers: int) -> Floats:
    """Give the law of another pod's next read, from a fetch on.

    One of the pods that read at the fetch is called the fetcher; the others of them
    begin a fresh interval, as it does.
    """
    after = shown.copy()
    also = after[0] - 1.0
    after[0] = 0.0
    after += also * p
    return np.asarray(after / (sharers - 1))


def _joint_of_last(reads: _FirstReads, awaited: int, size: int) -> Floats:
    """Give P(fetch at index y, first read of the last of some pods v later).

    The one that fetched before is among them with the chance awaited / sharers.
    """
    m, n = reads.sharers, awaited
    tail_f = _tail(reads.fetcher)
    tail_o = _tail(reads.other) if m > 1 else np.zeros_like(tail_f)
    y = np.arange(size)
    end = np.minimum(y[:, None] + y[None, :], size - 1) + 1

    def within(begin: npt.NDArray[np.int_]) -> Floats:
        """Give P(no first read before begin, theirs up to y + v)."""
        from_f, from_o = tail_f[begin][:, None], tail_o[begin][:, None]
        fetcher = np.maximum(from_f - tail_f[end], 0.0)
        if m == 1:
            return np.asarray(fetcher)
        other = np.maximum(from_o - tail_o[end], 0.0)
        found = n / m * fetcher * other ** (n - 1) * from_o ** (m - n)
        if n < m:
            found += (1 - n / m) * from_f * other**n * from_o ** (m - n - 1)
        return np.asarray(found)

    up_to = within(y) - within(y + 1)
    return np.diff(up_to, axis=1, prepend=0.0)


def _collect(parts: list[tuple[float, _FirstReads, Floats]]) -> FreshReads:
    """Put the joint laws after each possible expiry together."""
    between, wait, probability = [], [], []
    for weight, reads, joint in parts:
        y, v = np.nonzero(joint > 0)
        between.append(y + float(reads.first))
        wait.append(v.astype(np.float64))
        probability.append(weight * joint[y, v])
    chance = np.concatenate(probability)
    return FreshReads(
        np.concatenate(between), np.concatenate(wait), chance / chance.sum()
    )
