"""What run.json may hold: the types of its keys, stated once.

Keys that are not named here may be there: a newer writer adds some. What a shape
allows to be absent may be null, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cmhot.errors import RunError
from cmhot.runs.schema import LARGEST, is_name, is_word, short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path


LONGEST_PERIOD_S = 14_400.0
"""Of a kubelet: its law takes a time that grows with the square, here some seconds."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value: what it is called, and how it is told."""

    said: str
    fits: Callable[[object], bool]


@dataclass(frozen=True, slots=True)
class Keyed:
    """An object whose keys are named, some of which have to be there."""

    keys: Mapping[str, Shape]
    required: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class ByName:
    """An object of any keys, all of one shape."""

    each: Shape


@dataclass(frozen=True, slots=True)
class Every:
    """A list of one shape."""

    each: Shape


Shape = Value | Keyed | ByName | Every


def _is_number(value: object) -> bool:
    """Tell whether a value is a finite number."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -LARGEST <= value <= LARGEST
        and math.isfinite(value)
    )


def _is_whole(value: object) -> bool:
    """Tell whether a value is a whole number of 63 bits."""
    return isinstance(value, int) and _is_number(value)


def _is_count(value: object) -> bool:
    """Tell whether a value counts something."""
    return isinstance(value, int) and _is_number(value) and value >= 0


def _is_period(value: object) -> bool:
    """Tell whether a value may be a kubelet's period; 0 is refused with the setting."""
    return (
        isinstance(value, int | float)
        and _is_number(value)
        and value <= LONGEST_PERIOD_S
    )


def _is_shown(value: object) -> bool:
    """Tell whether a value is a number, or none (NaN): nothing is computed with it."""
    return isinstance(value, int | float) and not isinstance(value, bool)


WHOLE = Value("a whole number", _is_whole)
COUNT = Value("a number of things", _is_count)
INSTANT = Value("UTC epoch nanoseconds", _is_count)
NUMBER = Value("a number", _is_number)
SHOWN = Value("a number", _is_shown)
PERIOD = Value(f"seconds, {LONGEST_PERIOD_S:g} at most", _is_period)
TEXT = Value("a text of one line", is_name)
WORD = Value("a name", is_word)
FLAG = Value("true or false", lambda value: isinstance(value, bool))
ANYTHING = Value("anything", lambda _: True)
_POD = ("node", "pod", "consumer")
_INFERRED = ("low_s", "high_s", "n")
SETTING = Keyed(
    {
        "sync_frequency_s": PERIOD,
        "strategy": TEXT,
        "ttl_s": PERIOD,
        **dict.fromkeys(("source", "kubelet", "runtime"), TEXT),
        "inferred": Keyed(dict.fromkeys(_INFERRED, NUMBER), required=_INFERRED),
    }
)
RUN = Keyed(
    {
        "run_id": TEXT,
        **dict.fromkeys(("target", "status", "agenda"), TEXT),
        "kubernetes": WORD,
        **dict.fromkeys(("started_utc", "ended_utc"), TEXT),
        **dict.fromkeys(("modelled", "anonymised"), FLAG),
        "seed": WHOLE,
        "planned_updates": COUNT,
        **dict.fromkeys(("begin_ns", "ends_ns", "observed_until_ns"), INSTANT),
        **dict.fromkeys(("measure_from_ns", "measure_until_ns"), INSTANT),
        "plan": Keyed(
            {
                **dict.fromkeys(("pods", "seed"), WHOLE),
                **dict.fromkeys(("duration_s", "gap_s"), SHOWN),
                "pods_at": Every(TEXT),
            }
        ),
        "pods": Every(
            Keyed(
                dict.fromkeys((*_POD, "container", "configmap", "uid"), WORD),
                required=_POD,
            )
        ),
        "settings": ByName(SETTING),
        "kubelets": ByName(WORD),
        "node_labels": ByName(ByName(TEXT)),
        "checks": ByName(ANYTHING),
        "clock": Keyed({"name": TEXT, "resolution_s": SHOWN}),
        "host": ByName(TEXT),
        "packages": ByName(TEXT),
        "sources": ByName(
            Keyed(dict.fromkeys(("version", "step", "origin", "why"), ANYTHING))
        ),
        "rows": ByName(COUNT),
    },
    required=("run_id",),
)


def check(meta: Mapping[str, object], file: Path) -> None:
    """Refuse a run.json in which a key has a value of another kind.

    Parameters
    ----------
    meta
        As read.
    file
        Where it was read, for the message.

    Raises
    ------
    RunError
        With the key, what it is and what it should be.
    """
    wrong = _wrong(meta, RUN, "")
    wrong = wrong or _twice(meta.get("pods"))
    if wrong is not None:
        msg = f"{file} is damaged: {wrong}; repair it or leave this run out"
        raise RunError(msg)


def _wrong(value: object, shape: Shape, where: str) -> str | None:
    """Say what is wrong first; None: nothing is."""
    if isinstance(shape, Value):
        if shape.fits(value):
            return None
        return f"{where} is {short(value)}, and should be {shape.said}"
    if isinstance(shape, Every):
        if not isinstance(value, list):
            return f"{where} is {short(value)}, and should be a list"
        found = _in_list(value, shape, where)
    elif not isinstance(value, dict):
        return f"{where} is {short(value)}, and should be an object"
    else:
        found = (
            _in_record(value, shape, where)
            if isinstance(shape, Keyed)
            else _by_name(value, shape, where)
        )
    return next((one for one in found if one is not None), None)


def _in_list(value: Sequence[object], shape: Every, where: str) -> Iterator[str | None]:
    """Say what is wrong of each."""
    for number, one in enumerate(value):
        yield _wrong(one, shape.each, f"{where}[{number}]")


def _by_name(
    value: Mapping[object, object], shape: ByName, where: str
) -> Iterator[str | None]:
    """Say what is wrong of each; a value that is not known may be null."""
    for name, one in value.items():
        if not is_name(name):
            yield f"{where} has the key {short(name)}, which is no name"
        elif one is not None or not isinstance(shape.each, Value):
            yield _wrong(one, shape.each, f"{where}.{name}")


def _in_record(
    value: Mapping[str, object], shape: Keyed, where: str
) -> Iterator[str | None]:
    """Say what is wrong of each named key; null stands for what is absent."""
    for name, inner in shape.keys.items():
        place = f"{where}.{name}" if where else name
        one = value.get(name)
        if one is not None:
            yield _wrong(one, inner, place)
        elif name in shape.required:
            yield f"{place} is missing"


def _twice(pods: object) -> str | None:
    """Say which consumer is listed twice, which would count its delays twice."""
    known = set()
    for one in pods if isinstance(pods, list) else ():
        key = tuple(one.get(name) for name in ("pod", "container", "consumer"))
        own = (*key, one.get("configmap"))
        if own in known:
            return f"pods has {short(one['pod'])} twice"
        known.add(own)
    return None
