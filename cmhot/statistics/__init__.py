"""Estimates with their uncertainty, from tables of delays and of refreshes.

One module a question: `population` which rows belong together, and the two
estimators; `blocks` which rows may be taken for independent;
`limits` confidence intervals; `survival` what waiting in vain says;
`all_pods` when all pods have an update; `agreement` whether settings differ, and
whether data agree with the law; `inference` what the data say of the kubelet;
`mistakes` what wrong ways of measuring find; `sample_size` how much to measure.
`summarise` puts them together, and `summary` is what comes out.

Tables that no statistic can be made of are refused by all of them with an error that
says what was found: `cmhot.errors.UsageError` where a table is empty or of several
populations, `cmhot.errors.RunError` where it is damaged, or mixed of modelled and
measured rows.
Names are imported when they are first used, so that one loads no other.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmhot.statistics.agreement import (
        compare_means,
        compare_quantiles,
        equivalence,
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
    from cmhot.statistics.inference import (
        InferredSync,
        coherence_by_sync,
        infer_sync_frequency,
        phase_coherence,
    )
    from cmhot.statistics.limits import cdf_bounds, confidence, n_eff
    from cmhot.statistics.mistakes import wrong_ways
    from cmhot.statistics.population import (
        GROUP,
        describe_delays,
        describe_intervals,
        pick,
    )
    from cmhot.statistics.survival import (
        kaplan_meier,
        never_updates,
        survival_curve,
    )

__all__ = [
    "GROUP",
    "MIN_BLOCKS",
    "MIN_RESAMPLED_BLOCKS",
    "MIN_TIME_BLOCKS",
    "Blocks",
    "InferredSync",
    "cdf_bounds",
    "coherence_by_sync",
    "compare_means",
    "compare_quantiles",
    "confidence",
    "delay_blocks",
    "describe_delays",
    "describe_intervals",
    "equivalence",
    "fleet_maximum",
    "holm",
    "infer_sync_frequency",
    "interval_blocks",
    "kaplan_meier",
    "n_eff",
    "never_updates",
    "phase_coherence",
    "pick",
    "survival_curve",
    "wrong_ways",
]
_HOMES = {
    "GROUP": "population",
    "MIN_BLOCKS": "blocks",
    "MIN_RESAMPLED_BLOCKS": "blocks",
    "MIN_TIME_BLOCKS": "blocks",
    "Blocks": "blocks",
    "InferredSync": "inference",
    "cdf_bounds": "limits",
    "coherence_by_sync": "inference",
    "compare_means": "agreement",
    "compare_quantiles": "agreement",
    "confidence": "limits",
    "delay_blocks": "blocks",
    "describe_delays": "population",
    "describe_intervals": "population",
    "equivalence": "agreement",
    "fleet_maximum": "all_pods",
    "holm": "agreement",
    "infer_sync_frequency": "inference",
    "interval_blocks": "blocks",
    "kaplan_meier": "survival",
    "n_eff": "limits",
    "never_updates": "survival",
    "phase_coherence": "inference",
    "pick": "population",
    "survival_curve": "survival",
    "wrong_ways": "mistakes",
}


def __getattr__(name: str) -> object:
    """Import a public name from the module that defines it."""
    if name not in _HOMES:
        msg = f"module 'cmhot.statistics' has no attribute {name!r}"
        raise AttributeError(msg)
    home = importlib.import_module(f"cmhot.statistics.{_HOMES[name]}")
    globals()[name] = value = getattr(home, name)
    return value


def __dir__() -> list[str]:
    """List the public names, also those not imported yet."""
    return __all__
