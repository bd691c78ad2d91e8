"""When do pods see a changed ConfigMap? Measured on real kubelets.

>>> import cmhot
>>> cmhot.law.law_for(cmhot.Setting(60)).mean_s
38.25...

Names are imported when they are first used, so that ``import cmhot`` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from cmhot._version import __version__

if TYPE_CHECKING:
    from cmhot import law, plots
    from cmhot.collecting import collect
    from cmhot.explaining import explain
    from cmhot.objects import apply, patch
    from cmhot.observing import observe
    from cmhot.plan import Plan
    from cmhot.prediction import predict
    from cmhot.refreshing import refresh
    from cmhot.settings import Setting, Strategy
    from cmhot.summaries.summarising import summarise
    from cmhot.targets import connect
    from cmhot.waiting import wait

__all__ = [
    "Plan",
    "Setting",
    "Strategy",
    "__version__",
    "apply",
    "collect",
    "connect",
    "explain",
    "law",
    "observe",
    "patch",
    "plots",
    "predict",
    "refresh",
    "summarise",
    "wait",
]

_HOMES = {
    "Plan": "plan",
    "Setting": "settings",
    "Strategy": "settings",
    "apply": "objects",
    "collect": "collecting",
    "connect": "targets",
    "explain": "explaining",
    "observe": "observing",
    "patch": "objects",
    "predict": "prediction",
    "refresh": "refreshing",
    "summarise": "summaries.summarising",
    "wait": "waiting",
}


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
