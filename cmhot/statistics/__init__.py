"""Estimates with their uncertainty, from tables of delays and of refreshes.

One module a question: `population` which rows belong together,
`blocks` which of them may be taken for independent,
`describe` the two estimators, `limits` their confidence intervals,
`exact` what can be said exactly, `survival` what waiting in vain says,
`fleet` when all pods have an update,
`comparison` whether settings differ, `agreement` whether two distributions agree,
`hypotheses` whether a law could have made the data,
`inference` what the data say of the kubelet, `phase` whether pods sync together.

Tables that no statistic can be made of are refused with an error
that says what was found; no function makes a number of them.
"""

from __future__ import annotations

from cmhot.statistics.agreement import (
    MARGIN_P50,
    MARGIN_P99,
    MARGIN_SUP,
    compare_means,
    compare_quantiles,
    equivalence,
    equivalence_of_samples,
    holm,
)
from cmhot.statistics.all_pods import fleet_maximum
from cmhot.statistics.blocks import (
    MIN_BLOCKS,
    MIN_RESAMPLED_BLOCKS,
    MIN_TIME_BLOCKS,
    Blocks,
    delay_blocks,
    interval_blocks,
)
from cmhot.statistics.hypotheses import (
    Design,
    EveryPeriod,
    FixedDelay,
    Hypothesis,
    KubeletLaw,
    folk_laws,
    judge_hypotheses,
)
from cmhot.statistics.inference import (
    InferredSync,
    LatticeTest,
    coherence_by_sync,
    infer_sync_frequency,
    lattice_test,
    phase_coherence,
)
from cmhot.statistics.limits import bootstrap_confidence, cdf_bounds, confidence, n_eff
from cmhot.statistics.population import GROUP, describe_delays, describe_intervals
from cmhot.statistics.survival import (
    exact_quantile,
    kaplan_meier,
    never_updates,
    smallest_n,
    survival_curve,
)

Bounds = tuple[float, float]
"""Low and high end of a confidence interval; NaN or inf: no limit on that side."""
__all__ = [
    "GROUP",
    "MARGIN_P50",
    "MARGIN_P99",
    "MARGIN_SUP",
    "MIN_BLOCKS",
    "MIN_RESAMPLED_BLOCKS",
    "MIN_TIME_BLOCKS",
    "Blocks",
    "Bounds",
    "Design",
    "EveryPeriod",
    "FixedDelay",
    "Hypothesis",
    "InferredSync",
    "KubeletLaw",
    "LatticeTest",
    "bootstrap_confidence",
    "cdf_bounds",
    "coherence_by_sync",
    "compare_means",
    "compare_quantiles",
    "confidence",
    "delay_blocks",
    "describe_delays",
    "describe_intervals",
    "equivalence",
    "equivalence_of_samples",
    "exact_quantile",
    "fleet_maximum",
    "folk_laws",
    "holm",
    "infer_sync_frequency",
    "interval_blocks",
    "judge_hypotheses",
    "kaplan_meier",
    "lattice_test",
    "n_eff",
    "never_updates",
    "phase_coherence",
    "smallest_n",
    "survival_curve",
]
