"""What do the notebooks do on a cluster, step by step, and which runs do they need.

`loading` finds or collects the runs; `stage` is an experiment's place on a cluster.
Then one module an experiment: `blog_post`, `closed_loop` (the wrong way to measure),
`forcing` (the methods of a refresh), `matrix` (the ways to use a ConfigMap).
`parameters` checks the notebooks' values.

Names are imported when they are first used, so that one loads no other.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmhot.experiments import blog_post
    from cmhot.experiments.closed_loop import closed_loops
    from cmhot.experiments.forcing import compare_methods
    from cmhot.experiments.loading import (
        ANY_RUN,
        FRESH_READS,
        SEVERAL_PODS,
        SEVERAL_STRATEGIES,
        SEVERAL_SYNCS,
        Need,
        connect_for,
        load_runs,
    )
    from cmhot.experiments.matrix import consumer_matrix
    from cmhot.experiments.parameters import above_zero, at_least
    from cmhot.experiments.stage import Stage, choose_node, one_update, spread_syncs

__all__ = [
    "ANY_RUN",
    "FRESH_READS",
    "SEVERAL_PODS",
    "SEVERAL_STRATEGIES",
    "SEVERAL_SYNCS",
    "Need",
    "Stage",
    "above_zero",
    "at_least",
    "blog_post",
    "choose_node",
    "closed_loops",
    "compare_methods",
    "connect_for",
    "consumer_matrix",
    "load_runs",
    "one_update",
    "spread_syncs",
]

_HOMES = {
    name: module
    for module, names in {
        "closed_loop": ("closed_loops",),
        "forcing": ("compare_methods",),
        "loading": (
            *("ANY_RUN", "FRESH_READS", "SEVERAL_PODS", "SEVERAL_STRATEGIES"),
            *("SEVERAL_SYNCS", "Need", "connect_for", "load_runs"),
        ),
        "matrix": ("consumer_matrix",),
        "parameters": ("above_zero", "at_least"),
        "stage": ("Stage", "choose_node", "one_update", "spread_syncs"),
    }.items()
    for name in names
}


def __getattr__(name: str) -> object:
    """Import a public name from the module that defines it."""
    if name in _HOMES:
        home = importlib.import_module(f"cmhot.experiments.{_HOMES[name]}")
        value: object = getattr(home, name)
    elif name in __all__:
        value = importlib.import_module(f"cmhot.experiments.{name}")
    else:
        msg = f"module 'cmhot.experiments' has no attribute {name!r}"
        raise AttributeError(msg)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, also those not imported yet."""
    return __all__
