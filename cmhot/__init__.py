"""When do pods see a changed ConfigMap? Measured on real kubelets.

>>> import cmhot
>>> cmhot.law.law_for(cmhot.Setting(60)).mean_s
38.25...

Names are imported when they are first used, so that ``import cmhot`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from cmhot import errors, experiments, law, plots, statistics
    from cmhot.cluster.nodes import observe_settings
    from cmhot.cluster.targets import connect
    from cmhot.collector.begin import collect
    from cmhot.collector.progress import progress_bar
    from cmhot.kubelet.settings import Setting, Strategy, parse_setting
    from cmhot.law.prediction import predict
    from cmhot.propagation.changes import apply, patch
    from cmhot.propagation.explain import explain
    from cmhot.propagation.observe import observe
    from cmhot.propagation.refresh import refresh
    from cmhot.propagation.wait import wait
    from cmhot.runs.delays import delays
    from cmhot.runs.plan import Plan
    from cmhot.runs.rundir import read_run
    from cmhot.statistics.summarise import summarise

__all__ = [
    "Plan",
    "Setting",
    "Strategy",
    "__version__",
    "apply",
    "collect",
    "connect",
    "delays",
    "errors",
    "experiments",
    "explain",
    "law",
    "observe",
    "observe_settings",
    "parse_setting",
    "patch",
    "plots",
    "predict",
    "progress_bar",
    "read_run",
    "refresh",
    "statistics",
    "summarise",
    "wait",
]

_HOMES = {
    "Plan": "runs.plan",
    "Setting": "kubelet.settings",
    "Strategy": "kubelet.settings",
    "apply": "propagation.changes",
    "collect": "collector.begin",
    "connect": "cluster.targets",
    "delays": "runs.delays",
    "explain": "propagation.explain",
    "observe": "propagation.observe",
    "observe_settings": "cluster.nodes",
    "parse_setting": "kubelet.settings",
    "patch": "propagation.changes",
    "predict": "law.prediction",
    "progress_bar": "collector.progress",
    "read_run": "runs.rundir",
    "refresh": "propagation.refresh",
    "summarise": "statistics.summarise",
    "wait": "propagation.wait",
}
"""The module of each name that is not a module or a package itself."""


def __getattr__(name: str) -> object:
    """Import a public name from the module that defines it."""
    if name in _HOMES:
        value: object = getattr(importlib.import_module(f"cmhot.{_HOMES[name]}"), name)
    elif name in __all__:
        value = importlib.import_module(f"cmhot.{name}")
    else:
        msg = f"module 'cmhot' has no attribute {name!r}"
        raise AttributeError(msg)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, also those not imported yet."""
    return __all__
