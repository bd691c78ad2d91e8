"""The law of the delay: what a kubelet's code says before anything is measured.

A pod's volumes are read again only when the kubelet syncs the pod.
An update at an instant that knows nothing of the syncs
waits for the next one that reads new content,
so its delay is the *residual life* of the interval between two such reads:

    F(t) = (1 / E[X]) · ∫₀ᵗ P(X > u) du

(the renewal theorem's limit; Feller, An Introduction to Probability Theory,
volume II, chapter XI.4).
It holds for a healthy, idle pod in equilibrium, that is,
long after its start or after its phase was scrambled (`equilibrium`).

`distribution` is what all laws are; `syncs` says when a pod is synced;
`refresh` when new content is read; `residual` makes laws of both;
`fleet` is about many pods, `continuous` forgets the tick,
`setting` chooses the law of a kubelet's setting.
"""

from __future__ import annotations

from cmhot.law.delay import (
    ContinuousLaw,
    law_at_age,
    law_for,
    law_with_extra_syncs,
    reads_at_every_sync,
    refresh_for,
)
from cmhot.law.distribution import QUANTILES, Law, mixture
from cmhot.law.many_pods import fleet_law
from cmhot.law.reads import (
    equilibrium,
    interval_pmf,
    longest_interval_s,
    mean_interval_s,
)

__all__ = [
    "QUANTILES",
    "ContinuousLaw",
    "Law",
    "equilibrium",
    "fleet_law",
    "interval_pmf",
    "law_at_age",
    "law_for",
    "law_with_extra_syncs",
    "longest_interval_s",
    "mean_interval_s",
    "mixture",
    "reads_at_every_sync",
    "refresh_for",
]
