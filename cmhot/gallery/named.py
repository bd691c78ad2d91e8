"""What makes a figure a named one: its question, its numbers, its words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from cmhot.figures import NARROW, WIDE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from matplotlib.axes import Axes

    from cmhot.gallery.material import Material, Source


@dataclass(frozen=True, slots=True)
class Telling:
    """What is said of a figure, in one language, as plain text.

    Attributes
    ----------
    title
        What it shows, in a few words.
    alt
        What it shows, with its numbers, for who cannot see it.
    caption
        What is drawn, how many, at which setting, from where.
    paragraph
        What follows from it; each number is that of the data.
    """

    title: str
    alt: str
    caption: str
    paragraph: str


class Subject(Protocol):
    """What one figure shows, ready to be drawn and told."""

    @property
    def source(self) -> Source:
        """Where what is drawn comes from."""

    def draw(self, ax: Axes, lang: str) -> object:
        """Draw it."""

    def numbers(self) -> dict[str, Any]:
        """Give what it shows, for programs; as JSON has it."""

    def tell(self, lang: str) -> Telling:
        """Say what it shows."""


@dataclass(frozen=True, slots=True)
class NamedFigure:
    """A figure that can be asked for by its name.

    Attributes
    ----------
    name
        Of the figure and its files.
    question
        What it answers, by language.
    needs
        What it is drawn from, in words that follow "it needs".
    read
        Takes from the material what is drawn; it raises where that is not in it.
    wide, narrow
        Width and height in inches, on a page and on a phone.
    """

    name: str
    question: Mapping[str, str]
    needs: str
    read: Callable[[Material], Subject]
    wide: tuple[float, float] = WIDE
    narrow: tuple[float, float] = NARROW
