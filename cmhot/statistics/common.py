"""What pods of one kubelet have in common at an update: the kubelet's tick.

Their syncs begin on one tick, so an update that just missed it waits longer
in all of them. Over many updates this evens out, and pods may be taken for
independent; with few updates and many pods it is what limits the precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cmhot.statistics.population import codes_of

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    Floats = npt.NDArray[np.float64]

_BITS = 10
"""Updates are put into 1024 heaps, by a hash: few pods' neighbouring updates meet."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # Knuth, TAOCP 3, section 6.4: 2^64 / φ


@dataclass(frozen=True, slots=True, eq=False)
class Common:
    """What common updates add to the spread of sums over pods.

    Attributes
    ----------
    below, moment
        To that of the numerator of F̂ at each t, shape (g,), and of the mean.
    noise, moment_noise
        Half the variance of those two themselves: few updates leave them uncertain.
    """

    below: Floats
    moment: float
    noise: Floats
    moment_noise: float


def common_spread(rows: pd.DataFrame, waited: Floats, t: Floats) -> Common | None:
    """Find what common updates add to the variance between pods: two-way clustering.

    With residuals summed over pods on the one hand and over a node's updates on the
    other, the variance of a sum is that between pods, plus that between updates,
    less that of single rows, which both contain (Cameron, Gelbach and Miller,
    Journal of Business & Economic Statistics 29 (2011) 238-249).
    Here are the last two; below 0 they are taken as 0.

    Parameters
    ----------
    rows
        Delays of one population, with ``node`` and ``acked_ns``; shape (n, …).
    waited
        Seconds; inf: in vain. Shape (n,).
    t
        Where F̂ is looked at; shape (g,).

    Returns
    -------
    Common or None
        None where the table does not say when updates were made,
        or there is but one.
    """
    if not {"node", "acked_ns"} <= set(rows) or not t.size:
        return None
    node, nodes = codes_of(rows["node"])
    acked = rows["acked_ns"].to_numpy(dtype=np.int64)
    first = np.full(nodes, np.iinfo(np.int64).max)
    np.minimum.at(first, node, acked)  # a run at another hour has the same limits
    made = (acked - first[node] + node).astype(np.uint64)
    code = ((made * _GOLDEN) >> np.uint64(64 - _BITS)).astype(np.int64)
    used = np.bincount(code, None, 2**_BITS) > 0
    code, heaps, n = (np.cumsum(used) - 1)[code], int(used.sum()), len(waited)
    if heaps == 1:
        return None
    place = np.searchsorted(t, waited, "left") + code * (len(t) + 1)
    flat = np.bincount(place, None, heaps * (len(t) + 1)).reshape(heaps, len(t) + 1)
    below = np.cumsum(flat[:, : len(t)], axis=1, dtype=np.float64)
    total = np.bincount(code, None, heaps).astype(np.float64)
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
