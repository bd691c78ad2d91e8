"""Show something long while it lasts: a bar in a terminal, else a line at times."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Protocol

from tqdm import tqdm

from cmhot.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cmhot.clock import Clock

    Report = Callable[[str], None]

LINE_S = 30.0
"""Between two lines: a log stays readable, and nobody takes a build for dead."""
_BYTES_PER_MB = 1_000_000


class Advance(Protocol):
    """Told how far something is."""

    def __call__(self, done: int, *, total: int | None) -> None:
        """Take the amount done so far; a total of None is not known yet."""


class Progress(Protocol):
    """Shows something long while it lasts."""

    def __call__(
        self, what: str, *, unit: str
    ) -> contextlib.AbstractContextManager[Advance]:
        """Begin to show `what`, counted in `unit` (``B`` for bytes)."""


@contextlib.contextmanager
def bar(what: str, *, unit: str) -> Iterator[Advance]:
    """Show a bar on standard error where that is a terminal, else nothing."""
    with tqdm(
        desc=what, unit=unit, unit_scale=unit == "B", disable=None, leave=False
    ) as shown:

        def advance(done: int, *, total: int | None) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield advance


def lines(report: Report, *, clock: Clock) -> Progress:
    """Tell `report` how far it is, at most every `LINE_S`; what is quick says nothing.

    A line is told when something advances: there is no thread that would tell it.
    """

    @contextlib.contextmanager
    def show(what: str, *, unit: str) -> Iterator[Advance]:
        told = clock.monotonic()

        def advance(done: int, *, total: int | None) -> None:
            nonlocal told
            now = clock.monotonic()
            if now - told >= LINE_S:
                told = now
                report(f"{what}: {_amount(done, total=total, unit=unit)}")

        yield advance

    return show


def _amount(done: int, *, total: int | None, unit: str) -> str:
    """Say in words how much is done."""
    if unit == "B":
        unit = "MB"
        done //= _BYTES_PER_MB
        total = None if total is None else total // _BYTES_PER_MB
    return f"{done} {unit}" if total is None else f"{done} of {total} {unit}"


def suitable(report: Report) -> Progress:
    """Choose bars where standard error is a terminal, else lines through `report`."""
    return bar if sys.stderr.isatty() else lines(report, clock=SystemClock())
