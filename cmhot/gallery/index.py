"""Which figures have a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmhot.errors import UsageError
from cmhot.gallery import (
    consumers,
    distribution,
    environment,
    fleet,
    mistakes,
    phase,
    remedies,
    strategies,
    sweep,
    timeline,
)

if TYPE_CHECKING:
    from cmhot.gallery.named import NamedFigure

FIGURES: dict[str, NamedFigure] = {
    figure.name: figure
    for figure in (
        distribution.FIGURE,
        environment.FIGURE,
        timeline.FIGURE,
        sweep.SYNC_FREQUENCY,
        sweep.COLLAPSE,
        strategies.FIGURE,
        remedies.FIGURE,
        fleet.FIGURE,
        consumers.FIGURE,
        mistakes.FIGURE,
        phase.FIGURE,
    )
}
"""All of them by name, in the notebooks' order."""

ALIASES = {"headline": "delay-distribution"}

NAMES = tuple(FIGURES)


def named(name: str) -> NamedFigure:
    """Find a figure by its name or an alias.

    Raises
    ------
    UsageError
        When there is none; the message lists those that there are.
    """
    found = FIGURES.get(ALIASES.get(name, name))
    if found is None:
        known = ", ".join([*NAMES, *ALIASES])
        msg = f"there is no figure {name!r}: choose one of {known}"
        raise UsageError(msg)
    return found
