"""Many pods: when all of them, or the k-th of them, have the update."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betainc

from cmhot.errors import UsageError
from cmhot.kubelet.eras import IDEAL
from cmhot.law.delay import law_for, law_of_node, reads_at_every_sync
from cmhot.law.distribution import Law

if TYPE_CHECKING:
    import numpy.typing as npt

    from cmhot.kubelet.eras import Timing
    from cmhot.kubelet.settings import Setting

    Floats = npt.NDArray[np.float64]

_POINTS = 4001
"""Corners of a law that is no straight line anywhere:
its mean and quantiles are then good to a thousandth of its support."""


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
    setting
        Of the kubelets.
    pods
        N, at least 1.
    rank
        k; None: N, all of them.
    sharers
        Pods per node. A last node, if N is no multiple of it, holds what is left;
        of fewer pods than one node has, the others share the cache all the same.
    kubernetes
        Version of the kubelets; None: current.
    timing
        Of the kubelets.

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


def _ranked(share: Floats, rank: int, pods: int) -> Floats:
    """Give the distribution function of the rank-th of independent pods."""
    return np.asarray(betainc(rank, pods - rank + 1, share))


def _on_one_tick(one: Law, rank: int, pods: int, timing: Timing) -> Law:
    """Give the law of a rank among pods of one kubelet, straight within a second."""
    shift = timing.staleness_s + timing.write_s
    t = np.arange(0.0, np.ceil(one.t[-1] - shift) + 1) + shift
    return Law(t, _ranked(one.cdf(t), rank, pods), one.max_s)


def _grid(law: Law) -> Floats:
    """Cut a law's support finely, and at its own corners."""
    t, _ = law.knots()
    return np.union1d(t, np.linspace(t[0], t[-1], _POINTS))
