"""Options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cmhot.errors import UsageError
from cmhot.settings import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable


class Duration(click.ParamType[float]):
    """Seconds, or a duration as Go writes it."""

    name = "duration"

    def convert(
        self,
        value: str | float,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Read it; what is no duration is wrong use."""
        if isinstance(value, int | float):
            return float(value)
        try:
            return parse_duration(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


def target_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--target`` and its short form ``--context``."""
    function = click.option(
        "--context", metavar="NAME", help="Short for --target context:NAME."
    )(function)
    return click.option(
        "--target",
        metavar="TARGET",
        help="Where: testbed, testbed:NAME, context:NAME (of your kubeconfig), or "
        "model (virtual kubelets; everything made from it says so).",
    )(function)


def choose_target(target: str | None, context: str | None) -> str | None:
    """Combine the two options.

    Raises
    ------
    UsageError
        When both are given.
    """
    if target is not None and context is not None:
        msg = "--context is short for --target context:NAME: give one of them"
        raise UsageError(msg)
    return target if context is None else f"context:{context}"


as_json = click.option("--json", "as_json", is_flag=True, help="For programs.")


def say(line: str) -> None:
    """Tell a step on standard error; results alone go to standard output."""
    click.echo(line, err=True)
