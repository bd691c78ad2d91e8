"""Blocks: what may be taken for independent when rows are not.

Updates within one interval share a publication, so rows depend on each other.
Where each sync reads what there is, pods do not: a block is a pod.
Under Cache with a TTL the pods of a node share what one of them fetched:
there a block is a stretch of time of one node's cache entry,
long against the time from one fetch to the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.clock import NS_PER_S
from cmhot.kubelet.settings import Strategy
from cmhot.law import longest_interval_s, reads_at_every_sync
from cmhot.runs import schema
from cmhot.statistics.population import (
    codes_of,
    observed_delays,
    one_population,
    refresh_ends,
)

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from cmhot.kubelet.settings import Setting
    from cmhot.law import Law

    Floats = npt.NDArray[np.float64]
    Codes = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

MIN_BLOCKS = 6
"""Fewest pods for an interval, a bound or a verdict; below it there is none.
Found by simulation: docs/studies/coverage.md."""
MIN_TIME_BLOCKS = 10
"""Fewest stretches of time of cache entries; found by simulation likewise."""
MIN_RESAMPLED_BLOCKS = 15
"""Fewest blocks, of either kind, for an interval by percentiles of a bootstrap."""
TIME_BLOCKS = 20
"""How many of them are made where time allows: few and long rather than many."""
CYCLES = 2.0
"""Length of a stretch of time at least, in longest times between two fetches."""
MOST_BLOCKS = 1000
"""Pods beyond these are put together in blocks of several, to save memory."""
PODS = "pods"
"""The unit of blocks where each sync of a pod reads what there is."""
_GRID = 1001
_BITS = 10
"""Updates are put into 1024 heaps, by a hash: few pods' neighbouring updates meet."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # Knuth, TAOCP 3, section 6.4: 2^64 / φ


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
    common
        What the blocks have in common; None: nothing.
    steps
        Whether F̂ is a step function with all its steps at t; else it is taken to be
        straight between them.
    unit
        What a block is, in the plural: for messages.
    least
        Fewest blocks that an interval is given for.
    clock_s
        By how much each delay may be wrong, since clocks are known no better; seconds.
    """

    t: Floats
    below: Floats
    total: Floats
    moment: Floats
    common: Common | None = None
    steps: bool = False
    unit: str = PODS
    least: int = MIN_BLOCKS
    clock_s: float = 0.0

    def cdf(self) -> Floats:
        """Estimate F at each t."""
        return np.asarray(self.below.sum(axis=0) / self.total.sum())

    def mean_s(self) -> float:
        """Estimate the mean, in seconds."""
        return float(self.moment.sum() / self.total.sum())

    def spread(self) -> tuple[Floats, Floats]:
        """Give the variance of the numerator less F̂ times the denominator, at each t.

        m / (m - 1) · Σ (Aᵢ - F̂ Bᵢ)², and what the blocks have in common.

        Returns
        -------
        variance, degrees
            Each of shape (g,); the degrees of freedom are Satterthwaite's
            (Biometrics Bulletin 2 (1946) 110-114), and m - 1 at most;
            both are NaN for one block, which has no spread.
        """
        m = len(self.total)
        if m == 1:
            return np.full(len(self.t), np.nan), np.full(len(self.t), np.nan)
        residual = self.below - np.outer(self.total, self.cdf())
        own = np.asarray(m / (m - 1) * (residual**2).sum(axis=0))
        if self.common is None:
            return own, np.full(len(own), m - 1.0)
        return _together(own, m, self.common.below, self.common.noise)

    def spread_of_mean(self) -> tuple[float, float]:
        """Give the same for the mean; NaN where it is not known."""
        m = len(self.total)
        if m == 1:
            return math.nan, math.nan
        with np.errstate(invalid="ignore"):  # the mean of endless delays is unknown
            residual = self.moment - self.mean_s() * self.total
        own = float(m / (m - 1) * (residual**2).sum())
        if self.common is None:
            return own, m - 1.0
        both = (self.common.moment, self.common.moment_noise)
        variance, degrees = _together(np.array(own), m, *map(np.array, both))
        return float(variance), float(degrees)

    def shortfall(self) -> str | None:
        """Say why there is no interval; None: there are blocks enough."""
        m = len(self.total)
        if m >= self.least:
            return None
        return f"too few independent {self.unit}: {m}, and {self.least} are needed"

    def at(self, weights: Floats) -> Floats:
        """Estimate F with each block as often as its weight says: (…, m) → (…, g)."""
        return np.asarray((weights @ self.below) / (weights @ self.total)[..., None])


def _together(
    own: Floats, m: int, common: Floats, noise: Floats
) -> tuple[Floats, Floats]:
    """Add two variances, and combine their degrees of freedom."""
    both = own + common
    with np.errstate(invalid="ignore", divide="ignore"):  # no variance, no doubt
        degrees = both**2 / (own**2 / (m - 1) + noise)
    degrees = np.where(np.isfinite(degrees), np.clip(degrees, 1.0, m - 1), m - 1.0)
    return both, degrees


def interval_blocks(
    refresh: pd.DataFrame,
    *,
    law: Law | None = None,
    kubernetes: str | None = None,
    clock_s: float = 0.0,
) -> Blocks:
    """Cut the refresh intervals of one setting into blocks.

    F̂ is looked at on an even grid up to the largest delay,
    and at the corners of the law it is to be compared with.

    Parameters
    ----------
    refresh
        Rows of one setting and consumer, as `cmhot.runs.sync_intervals` gives them.
    law
        Whose corners are looked at too.
    kubernetes
        Version of the kubelets, which decides what a TTL does; None: current.
    clock_s
        By how much clocks may have moved delays, seconds. It goes along where fetches
        are placed by two clocks: an interval between two stamps of a node is by one.
    """
    key = one_population(refresh)
    least, most = refresh_ends(refresh)
    t = np.linspace(0.0, most.max(), _GRID)
    if law is not None:
        t = np.union1d(t, law.t[law.t >= 0])
    blocks = assign(refresh, key, "start_ns", kubernetes).of_waits(least, most, t)
    return replace(blocks, clock_s=clock_s) if least.any() else blocks


def delay_blocks(
    delays: pd.DataFrame,
    *,
    worst_case: bool = False,
    kubernetes: str | None = None,
) -> Blocks:
    """Cut the delays of one setting into blocks.

    F̂ is looked at at each delay that occurs, or at 1001 quantiles of them.
    Without any observed delay there is nothing to look at: ``t`` is empty.
    The largest ``clock_bound_s`` of the table, if it has them, goes along.

    Parameters
    ----------
    delays
        Rows of one setting and consumer.
    worst_case
        Whether a delay that was waited for in vain counts as endless;
        else only observed delays count.
    kubernetes
        Version of the kubelets, which decides what a TTL does; None: current.
    """
    key = one_population(delays)
    observed, seen = observed_delays(delays)
    t = _looked_at(observed)
    kept = seen
    if worst_case:
        kept = seen | delays["status"].isin(schema.DEAD_ENDS).to_numpy()
    rows = delays if kept.all() else delays[kept]
    if rows.empty:
        nothing = np.zeros(0)
        return Blocks(nothing, np.zeros((0, 0)), nothing, nothing)
    waited = observed
    if worst_case and not seen.all():
        waited = rows["delay_s"].to_numpy(dtype=np.float64, na_value=np.nan)
        waited = np.where(seen[kept], waited, np.inf)
    block = assign(rows, key, "acked_ns", kubernetes)
    return Blocks(
        t=t,
        below=block.counts(waited, t),
        total=block.sums(None),
        moment=block.sums(waited),
        common=common_spread(rows, waited, t) if block.unit == PODS else None,
        steps=len(t) < _GRID,
        unit=block.unit,
        least=block.least,
        clock_s=clock_bound_s(delays) or 0.0,
    )


def clock_bound_s(delays: pd.DataFrame) -> float | None:
    """Give the largest error that clocks make in delays, seconds; None: not known."""
    if "clock_bound_s" not in delays:
        return None
    largest = float(delays["clock_bound_s"].max(skipna=False))
    return None if math.isnan(largest) else largest


def _looked_at(observed: Floats) -> Floats:
    """Choose where F̂ is looked at: everywhere, or at quantiles of many delays."""
    t = np.sort(observed)
    if len(t) > _GRID:
        places = np.ceil(np.linspace(0, len(t) - 1, _GRID)).astype(np.int64)
        return np.unique(t[places])
    return np.unique(t)


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """Which block each row is in: ``code`` of shape (n,), from 0 to ``number`` - 1."""

    code: Codes
    number: int
    unit: str
    least: int

    def sums(self, values: Floats | None) -> Floats:
        """Sum values per block, or count rows; shape (m,)."""
        return np.bincount(self.code, values, self.number).astype(np.float64)

    def histogram(self, values: Floats, t: Floats, rows: Flags | None) -> Floats:
        """Count, per block, the values of some rows between each t and the one before.

        `values` are of those `rows` (None: all); t ascends. Of shape (m, g):
        what lies beyond the last t is left out.
        """
        code = self.code if rows is None else self.code[rows]
        place = np.searchsorted(t, values, "left") + code * (len(t) + 1)
        flat = np.bincount(place, None, self.number * (len(t) + 1))
        return flat.reshape(self.number, len(t) + 1)[:, : len(t)].astype(np.float64)

    def counts(self, values: Floats, t: Floats) -> Floats:
        """Count, per block, the values up to each t; shape (m, g)."""
        return np.cumsum(self.histogram(values, t, None), axis=1)

    def of_waits(self, least: Floats, most: Floats, t: Floats) -> Blocks:
        """Give blocks of waits that fall evenly from most to least, seconds.

        The numerators of F̂ are Σ [min(t, most) - min(t, least)]⁺.
        """
        below = self.area(most, t)
        if least.any():
            below -= self.area(least, t)
        return Blocks(
            t=t,
            below=below,
            total=self.sums(most - least),
            moment=self.sums((most**2 - least**2) / 2),
            unit=self.unit,
            least=self.least,
        )

    def area(self, values: Floats, t: Floats) -> Floats:
        """Sum min(value, t) per block at each t; shape (m, g)."""
        place = np.searchsorted(t, values, "left") + self.code * (len(t) + 1)
        flat = np.bincount(place, values, self.number * (len(t) + 1))
        sums = flat.reshape(self.number, len(t) + 1)[:, : len(t)]
        longer = self.sums(None)[:, None] - self.counts(values, t)
        return np.asarray(np.cumsum(sums, axis=1) + t * longer)


def assign(
    rows: pd.DataFrame, key: dict[str, Any], stamp: str, kubernetes: str | None
) -> Assignment:
    """Put rows into blocks, by what their setting makes independent."""
    setting = schema.setting_of(key) if set(schema.SETTING) <= set(key) else None
    if (
        setting is None
        or setting.strategy is not Strategy.CACHE
        or reads_at_every_sync(setting, kubernetes)
    ):
        code, number = codes_of(rows["pod"])
        if number > MOST_BLOCKS:
            code, number = code % MOST_BLOCKS, MOST_BLOCKS
        return Assignment(code, number, PODS, MIN_BLOCKS)
    entry, entries = _entries(rows)
    stamps = rows[stamp].to_numpy(dtype=np.int64)
    at_s = (stamps - stamps.min()) / NS_PER_S
    begin, end = np.full(entries, np.inf), np.zeros(entries)
    np.minimum.at(begin, entry, at_s)
    np.maximum.at(end, entry, at_s)
    durations = (end - begin).tolist()
    each = np.array([stretches(one, setting, entries=entries) for one in durations])
    length = np.maximum((end - begin) / each, 1e-9)  # of one row it is none
    part = ((at_s - begin[entry]) / length[entry]).astype(np.int64)
    code, number = _dense(entry * TIME_BLOCKS + np.minimum(part, each[entry] - 1))
    return Assignment(
        code, number, "stretches of time of cache entries", MIN_TIME_BLOCKS
    )


def stretches(duration_s: float, setting: Setting, *, entries: int) -> int:
    """Say into how many stretches of time each cache entry's rows are cut.

    As many as make `TIME_BLOCKS` of them together, unless they would be shorter than
    `CYCLES` longest times between two fetches, each T + 1.5 S + 1 s.
    With an unknown TTL nothing is known of that time: one.
    """
    if setting.ttl_s is None:
        return 1
    cycle = setting.ttl_s + longest_interval_s(setting)
    longest = math.floor(duration_s / (CYCLES * cycle))
    return max(1, min(math.ceil(TIME_BLOCKS / entries), longest))


def _entries(rows: pd.DataFrame) -> tuple[Codes, int]:
    """Give each cache entry a number: one per node and ConfigMap."""
    node, number = codes_of(rows["node"])
    if "configmap" not in rows:
        return node, number
    configmap, maps = codes_of(rows["configmap"])
    return _dense(node * maps + configmap)


def _dense(code: Codes) -> tuple[Codes, int]:
    """Give new numbers, leaving out what does not occur."""
    occurs = np.bincount(code) > 0
    return (np.cumsum(occurs) - 1)[code], int(occurs.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Common:
    """What common updates add to the spread of sums over pods.

    Syncs of one kubelet begin on one tick, so an update that just missed it waits
    longer in all of its pods. Over many updates this evens out; with few updates and
    many pods it is what limits the precision.
    """

    below: Floats  # added to the variance of the numerator of F̂ at each t, shape (g,)
    moment: float  # and to that of the mean's
    noise: Floats  # half the variance of `below` itself: few updates leave it uncertain
    moment_noise: float  # and of `moment`


def common_spread(rows: pd.DataFrame, waited: Floats, t: Floats) -> Common | None:
    """Find what common updates add to the variance between pods: two-way clustering.

    With residuals summed over pods on the one hand and over a node's updates on the
    other, the variance of a sum is that between pods, plus that between updates,
    less that of single rows, which both contain (Cameron, Gelbach and Miller,
    Journal of Business & Economic Statistics 29 (2011) 238-249).
    Here are the last two; below 0 they are taken as 0.
    `waited` is in seconds, inf where in vain. None where the table does not say when
    updates were made (``acked_ns`` of each ``node``), or there is but one.
    """
    if not {"node", "acked_ns"} <= set(rows) or not t.size:
        return None
    node, nodes = codes_of(rows["node"])
    acked = rows["acked_ns"].to_numpy(dtype=np.int64)
    first = np.full(nodes, np.iinfo(np.int64).max)
    np.minimum.at(first, node, acked)  # a run at another hour has the same limits
    made = (acked - first[node] + node).astype(np.uint64)
    code = ((made * _GOLDEN) >> np.uint64(64 - _BITS)).astype(np.int64)
    code, heaps = _dense(code)
    if heaps == 1:
        return None
    heap, n = Assignment(code, heaps, "heaps", 1), len(waited)
    below, total = heap.counts(waited, t), heap.sums(None)
    f = below.sum(axis=0) / n
    between = ((below - np.outer(total, f)) ** 2).sum(axis=0)
    mean = waited.mean()
    with np.errstate(invalid="ignore"):  # of endless delays there is no mean
        moment = (np.bincount(code, waited - mean, heaps) ** 2).sum()
        more = moment - ((waited - mean) ** 2).sum()
    return Common(
        below=np.maximum(between - n * f * (1 - f), 0.0),
        moment=float(np.maximum(more, 0.0)),
        noise=between**2 / (heaps - 1),
        moment_noise=float(moment**2 / (heaps - 1)),
    )
