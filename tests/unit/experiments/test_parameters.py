"""Values of parameters: of the type that is written beside them, and possible."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmhot.errors import UsageError
from cmhot.experiments import parameters

KINDS = {
    "target": "str",
    "pods": "int",
    "gap_s": "float",
    "live": "bool",
    "runs": "list[str]",
}


@pytest.mark.parametrize(
    "given",
    [
        {"target": "model", "pods": 3, "gap_s": 0.5, "live": False, "runs": ["a"]},
        {"target": Path("a"), "gap_s": 2, "runs": [Path("a"), "b"]},
        {"runs": ()},
        {},
    ],
    ids=["all", "wider", "empty", "none"],
)
def test_values_that_fit(given: dict[str, object]) -> None:
    """A whole number is a number, a path is a text, and what is not given is fine."""
    parameters.check_types(given, KINDS, of="notebook x")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("pods", "3", "takes pods as int, and '3' is none"),
        ("pods", 3.0, "takes pods as int, and 3.0 is none"),
        ("pods", True, "takes pods as int, and True is none"),
        ("gap_s", "2s", "takes gap_s as float, and '2s' is none"),
        ("gap_s", float("nan"), "takes gap_s as float, and nan is none"),
        ("target", None, "takes target as str, and None is none"),
        ("live", 1, "takes live as bool, and 1 is none"),
        ("runs", "a", r"takes runs as list\[str\], and 'a' is none"),
        ("runs", [1], r"takes runs as list\[str\], and \[1\] is none"),
    ],
)
def test_values_of_another_type(name: str, value: object, message: str) -> None:
    """A value is never taken for what it is not; the message names all parameters."""
    with pytest.raises(UsageError, match=message) as caught:
        parameters.check_types({name: value}, KINDS, of="notebook x")

    assert "its parameters are target: str, pods: int, gap_s: float" in str(
        caught.value
    )


def test_a_misspelt_name() -> None:
    """It is named, and so are those that there are."""
    with pytest.raises(UsageError, match="x has no parameter podz: it knows target: "):
        parameters.check_types({"podz": 3}, KINDS, of="x")


def test_an_unknown_annotation_takes_anything() -> None:
    """What cannot be compared is left to the notebook."""
    parameters.check_types({"a": object()}, {"a": "None"}, of="x")


def test_impossible_numbers_are_named() -> None:
    """The message says which parameter, which value, and what would be possible."""
    parameters.above_zero(a=0.1, b=1)
    parameters.at_least(0, trials=0)

    with pytest.raises(
        UsageError, match="tolerance = 0 is not possible: it must be ab"
    ):
        parameters.above_zero(a=1, tolerance=0)
    with pytest.raises(UsageError, match="trials = -1 is not possible: it must be at "):
        parameters.at_least(0, trials=-1)
    with pytest.raises(UsageError, match="a = nan is not possible"):
        parameters.above_zero(a=float("nan"))
