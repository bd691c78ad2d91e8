"""Check values of a notebook's parameters; errors use the parameters' names."""

from __future__ import annotations

import math
import numbers
from pathlib import Path
from typing import TYPE_CHECKING

from cmhot.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _text(value: object) -> bool:
    return isinstance(value, (str, Path))


def _whole(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _number(value: object) -> bool:
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return real and math.isfinite(float(value))  # type: ignore[arg-type]


def _list_of(one: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: (
        isinstance(value, (list, tuple)) and all(one(item) for item in value)
    )


_FITS: Mapping[str, Callable[[object], bool]] = {
    "str": _text,
    "int": _whole,
    "float": _number,
    "bool": lambda value: isinstance(value, bool),
    "list[str]": _list_of(_text),
    "list[int]": _list_of(_whole),
    "list[float]": _list_of(_number),
}
"""Types by annotation. A whole number fits a number, and a path a text; no other type
is converted."""


def check_types(
    given: Mapping[str, object], annotations: Mapping[str, str], *, of: str
) -> None:
    """Compare values with the annotations of the parameters that they are for.

    An unknown name or a value of another type is refused, with all parameters that
    ``of`` (``notebook 02-collect``) has; an annotation not in `_FITS` takes anything.
    """
    unknown = sorted(set(given) - set(annotations))
    if unknown:
        named = ", ".join(unknown)
        msg = f"{of} has no parameter {named}: it knows {listed(annotations)}"
        raise UsageError(msg)
    for name, value in given.items():
        fits = _FITS.get(annotations[name])
        if fits is not None and not fits(value):
            msg = (
                f"{of} takes {name} as {annotations[name]}, and {value!r} is none: "
                f"its parameters are {listed(annotations)}"
            )
            raise UsageError(msg)


def listed(annotations: Mapping[str, str]) -> str:
    """Name parameters with their types: ``target: str, pods: int``."""
    return ", ".join(f"{name}: {kind}" for name, kind in annotations.items())


def above_zero(**values: float) -> None:
    """Refuse numbers that are not above 0, by the names of their parameters."""
    _refuse(values, lambda value: value > 0, "it must be above 0")


def at_least(least: float, **values: float) -> None:
    """Refuse numbers that are below a bound, by the names of their parameters."""
    _refuse(values, lambda value: value >= least, f"it must be at least {least:g}")


def _refuse(
    values: Mapping[str, float], allowed: Callable[[float], bool], why: str
) -> None:
    for name, value in values.items():
        if not (_number(value) and allowed(value)):
            msg = f"{name} = {value!r} is not possible: {why}"
            raise UsageError(msg)
