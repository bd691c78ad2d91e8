"""Amounts as Kubernetes writes them: ``100m``, ``32Mi``, ``1e3``.

https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re

from cmhot.errors import UsageError

_QUANTITY = re.compile(r"([+-]?\d*\.?\d+(?:[eE][+-]?\d+)?)([numkMGTPE]|[KMGTPE]i)?")
_DECIMAL = {unit: 10.0**power for unit, power in zip("num", (-9, -6, -3), strict=True)}
_LARGE = {unit: 1000.0**power for power, unit in enumerate("kMGTPE", start=1)}
_BINARY = {f"{unit}i": 1024.0**power for power, unit in enumerate("KMGTPE", start=1)}
_FACTOR = {"": 1.0, **_DECIMAL, **_LARGE, **_BINARY}


def parse_quantity(text: str | float) -> float:
    """Read an amount.

    Raises
    ------
    UsageError
        When it is none.
    """
    match = _QUANTITY.fullmatch(str(text))
    if match is None:
        msg = f"{text!r} is no quantity: Kubernetes writes 100m, 32Mi, 5"
        raise UsageError(msg)
    return float(match[1]) * _FACTOR[match[2] or ""]
