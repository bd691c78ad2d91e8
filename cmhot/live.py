"""Something that changes while one watches: one display in a notebook, or lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol

from cmhot.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

    from cmhot.clock import Clock
    from cmhot.display import Shown

EVERY_S = 0.25
"""A notebook's display changes no more often: each change is a message to a browser."""


class Board(Protocol):
    """Where to show it."""

    def show(self, now: Shown, news: Sequence[str], *, is_last: bool = False) -> None:
        """Show how it is, and what has happened since the last time."""


class Silence:
    """A board that shows nothing."""

    def show(self, now: Shown, news: Sequence[str], *, is_last: bool = False) -> None:
        """Do nothing."""


class Terminal:
    """A board of lines: what happened, one after the other, and the end.

    Parameters
    ----------
    out
        Where to write; None: the standard output, as it is at that time.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out
        self._has_begun = False

    def show(self, now: Shown, news: Sequence[str], *, is_last: bool = False) -> None:
        """Write the beginning, each piece of news, and the end."""
        out = sys.stdout if self._out is None else self._out
        lines = list(news)
        if is_last or not self._has_begun:
            lines.append(now.page().heading)
        self._has_begun = True
        for line in lines:
            out.write(f"{line}\n")
        out.flush()


class Notebook:
    """A board that is one display, changed in place.

    Parameters
    ----------
    clock
        By which it is not changed too often: not the model's, but the viewer's.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = SystemClock() if clock is None else clock
        self._handle: Any = None
        self._next = 0.0

    def show(self, now: Shown, news: Sequence[str], *, is_last: bool = False) -> None:
        """Make the display, or change it; the end is never left out."""
        del news
        from IPython.display import display  # noqa: PLC0415 - slow, and only needed here

        instant = self._clock.monotonic()
        if self._handle is None:
            self._handle = display(now, display_id=True)  # type: ignore[no-untyped-call]
        elif is_last or instant >= self._next:
            self._handle.update(now)
        else:
            return
        self._next = instant + EVERY_S


def board() -> Board:
    """Choose by where we run: a Jupyter kernel, or anything else."""
    return Notebook() if in_notebook() else Terminal()


def in_notebook() -> bool:
    """Tell whether a Jupyter kernel runs us; IPython in a terminal is none."""
    module = sys.modules.get("IPython")
    shell = None if module is None else module.get_ipython()
    return getattr(shell, "kernel", None) is not None
