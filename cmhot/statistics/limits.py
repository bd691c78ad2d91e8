"""Confidence intervals from blocks: of F, of its quantiles and of the mean.

They are binomial intervals with the effective sample size. Where there is none,
`agreement` and `survival` resample whole blocks, with the tools for that at
the end of this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy

from cmhot.law import QUANTILES

if TYPE_CHECKING:
    import numpy.typing as npt

    from cmhot.statistics.blocks import Blocks

    Floats = npt.NDArray[np.float64]

Bounds = tuple[float, float]
"""Low and high end of a confidence interval; NaN or inf: no limit on that side."""
RESAMPLES = 2000
"""Resamples of a bootstrap: enough for the outermost shares that few blocks need."""
_MOST_EFFECTIVE = 1e8  # where blocks agree to rounding, the beta law needs a number
_TINY = 1e-12  # the beta law has no parameter 0
_ROWS = 250  # resamples at a time: bounds the memory


def n_eff(blocks: Blocks) -> Floats:
    """Give the number of independent delays that would determine F as well, at each t.

    n_eff = F̂ (1 - F̂) / v, where v = m / (m - 1) · Σ (Aᵢ - F̂ Bᵢ)² / (Σ B)²
    is the variance of a ratio of sums over m blocks
    (Cochran, Sampling Techniques, 1977, section 6.3),
    and the variance that blocks have in common is added (`Blocks.spread`).
    Where F̂ is 0 or 1, v is 0: there the size at the nearest inner t is taken.

    Returns
    -------
    array
        Of the shape of ``blocks.t``; NaN with fewer than two blocks.
    """
    m, total, f = len(blocks.total), blocks.total.sum(), blocks.cdf()
    binomial = f * (1 - f)
    inner = binomial > 0
    if m < 2 or not inner.any():  # noqa: PLR2004 - one block has no variance
        return np.full(len(f), np.nan)
    v = blocks.spread()[0] / total**2
    size = binomial / np.maximum(v, binomial / _MOST_EFFECTIVE + ~inner)
    places = np.flatnonzero(inner)
    return np.asarray(np.interp(np.arange(len(f)), places, size[inner]))


def cdf_bounds(blocks: Blocks, *, level: float = 0.95) -> tuple[Floats, Floats]:
    """Give pointwise confidence limits of F at each t of the blocks.

    Clopper-Pearson with the effective sample size (`n_eff`),
    reduced for the few blocks that this size itself rests on
    (Korn and Graubard, Survey Methodology 24 (1998) 193-201).
    Where clocks may have moved each delay (``blocks.clock_s``), the limits at t are the
    lower one of as much before it and the upper one of as much after.

    Returns
    -------
    low, high
        Each of the shape of ``blocks.t``.
    """
    low, high = _of_sampling(blocks, level)
    if not blocks.clock_s:
        return low, high
    t, by = blocks.t, blocks.clock_s
    before = np.searchsorted(t, t - by, "right")
    after = np.searchsorted(t, t + by, "left")
    return np.append(0.0, low)[before], np.append(high, high[-1])[after]


def _of_sampling(blocks: Blocks, level: float) -> tuple[Floats, Floats]:
    """Give the limits of F by the spread of blocks alone."""
    f = blocks.cdf()
    tail = (1 - level) / 2
    _, degrees = blocks.spread()
    size = (
        n_eff(blocks)
        * (scipy.stats.norm.ppf(tail) / scipy.stats.t.ppf(tail, degrees)) ** 2
    )
    yes, no = size * f, size * (1 - f)
    low = np.where(
        f > 0, scipy.stats.beta.ppf(tail, np.maximum(yes, _TINY), no + 1), 0.0
    )
    high = np.where(
        f < 1, scipy.stats.beta.isf(tail, yes + 1, np.maximum(no, _TINY)), 1.0
    )
    return low, high


def confidence(blocks: Blocks, *, level: float = 0.95) -> dict[str, Bounds | None]:
    """Give confidence intervals of the mean and the quantiles.

    A quantile's interval holds each t where limits of F enclose the quantile's share;
    the mean's is that of a ratio of sums, with m - 1 degrees of freedom.
    Both are widened by what clocks may have added to each delay (``blocks.clock_s``).

    Returns
    -------
    dict
        ``mean_s``, ``p50_s`` … to (low, high) in seconds;
        high is NaN where the data set no upper limit.
        None with too few blocks (``blocks.shortfall()`` says so),
        or where all rows are equal.
    """
    m, total = len(blocks.total), blocks.total.sum()
    if m < blocks.least or len(blocks.t) < 2:  # noqa: PLR2004 - two differ
        return dict.fromkeys(["mean_s", *QUANTILES])
    mean = blocks.mean_s()
    spread, degrees = blocks.spread_of_mean()
    half = float(scipy.stats.t.ppf((1 + level) / 2, degrees) * np.sqrt(spread) / total)
    found = {"mean_s": (mean - half, mean + half)}
    low, high = _of_sampling(blocks, level)
    rising = np.maximum.accumulate(high), np.minimum.accumulate(low[::-1])[::-1]
    for name, p in QUANTILES.items():
        found[name] = _crossings(blocks, *rising, p)
    by = blocks.clock_s
    return {name: (first - by, last + by) for name, (first, last) in found.items()}


def _crossings(blocks: Blocks, high: Floats, low: Floats, p: float) -> Bounds:
    """Find the first and the last t at which the limits of F enclose a share.

    Where F̂ is a step function the ends are steps; else the limits, as F̂ itself,
    are straight between the t that were looked at.
    """
    t = blocks.t
    if low[-1] <= p:
        end = float("nan")
    elif blocks.steps:
        end = float(t[np.searchsorted(low, p, "right")])
    else:
        end = float(np.interp(p, low, t))
    if blocks.steps:
        first = max(int(np.searchsorted(high, p)) - 1, 0)
        return float(t[first]), end
    return float(np.interp(p, high, t)), end


def widening(blocks: Blocks, at_s: Floats, *, tail: float = 0.025) -> list[float]:
    """Give factors that widen intervals from resampled blocks.

    Resampling pods leaves out the variance that they share at an update:
    the factors are √(all / own), times the ratio of Student's quantiles,
    of the mean first and then of the quantiles that are estimated to be at some t.
    """
    if blocks.common is None:
        return [1.0] * (1 + len(at_s))
    below, moment = blocks.common.below, blocks.common.moment
    all_, degrees = blocks.spread()
    mean, mean_degrees = blocks.spread_of_mean()
    places = np.minimum(np.searchsorted(blocks.t, at_s), len(blocks.t) - 1)
    both = np.array([mean, *all_[places]])
    own = both - np.array([moment, *below[places]])
    scattered = own > _TINY * both  # NaN, the mean of endless delays, is not
    ratio = np.where(scattered, both, 1.0) / np.where(scattered, own, 1.0)
    df = np.array([mean_degrees, *degrees[places]])
    student = scipy.stats.t.ppf(tail, df) / scipy.stats.t.ppf(
        tail, len(blocks.total) - 1
    )
    return [float(one) for one in np.sqrt(ratio) * student]


def widened(ends: Floats, at: float | Floats, factor: float | Floats) -> Floats:
    """Move the ends of an interval away from a finite estimate, by a factor."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(at), at + factor * (ends - at), ends)


def tail_share(m: int, share: float) -> float:
    """Move a bootstrap's tail share outwards for m blocks: Φ(√(m / (m - 1)) t).

    t is Student's with m - 1 degrees of freedom
    (Hesterberg, The American Statistician 69 (2015) 371-386, section 4.4).
    """
    student = scipy.stats.t.ppf(share, m - 1)
    return float(scipy.stats.norm.cdf(np.sqrt(m / (m - 1)) * student))


def resamples(m: int, *, seed: int, number: int = RESAMPLES) -> list[Floats]:
    """Draw how often each of m blocks is taken, in parts of shape (≤ 250, m)."""
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(m, np.full(m, 1 / m), number).astype(np.float64)
    return [weights[at : at + _ROWS] for at in range(0, number, _ROWS)]


def quantiles_of(t: Floats, f: Floats, shares: list[float]) -> Floats:
    """Invert distribution functions: the least t at which F̂ is as large as a share.

    Between two t, which ascend, a straight line is taken; inf where F̂ stays below.
    Shapes (g,), (…, g) and (q,) give (…, q).
    """
    found = np.empty((*f.shape[:-1], len(shares)))
    for column, share in enumerate(shares):
        place = first_reaching(f, share)
        last = np.minimum(place, len(t) - 1)
        first = np.maximum(last - 1, 0)
        low = np.take_along_axis(f, first[..., None], -1)[..., 0]
        high = np.take_along_axis(f, last[..., None], -1)[..., 0]
        rise = np.where(high > low, high - low, 1.0)
        part = np.where(high > low, np.clip((share - low) / rise, 0, 1), 1.0)
        value = t[first] + part * (t[last] - t[first])
        found[..., column] = np.where(place < len(t), value, np.inf)
    return found


def first_reaching(f: Floats, share: float) -> npt.NDArray[np.int64]:
    """Find where rising functions, of shape (…, g), first are as large as a share.

    Places from 0 to g, g where it stays below; shape (…,).
    """
    return np.asarray((f < share).sum(axis=-1), dtype=np.int64)
