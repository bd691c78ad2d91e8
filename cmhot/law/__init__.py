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

`distribution` has what all laws share; `reads` when a pod is synced, and when new
content is read; `delay` makes laws of that, for a kubelet's setting, one pod or many;
`price` is what a setting costs a kubelet, by a law that was fitted to measurements;
`prediction` is the answer of `cmhot.predict`.
"""

from __future__ import annotations

from cmhot.law.delay import (
    ContinuousLaw,
    fleet_law,
    fresh_reads_for,
    law_at_age,
    law_for,
    law_with_extra_syncs,
    reads_at_every_sync,
)
from cmhot.law.distribution import QUANTILES, Law, mixture
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
    "fresh_reads_for",
    "interval_pmf",
    "law_at_age",
    "law_for",
    "law_with_extra_syncs",
    "longest_interval_s",
    "mean_interval_s",
    "mixture",
    "reads_at_every_sync",
]
