"""Progress in a terminal and in a notebook: of a collection, of a notebook's cells."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from typing import Never, TextIO

    from cmhot.collector.loop import Progress

    CollectBar = Callable[[], AbstractContextManager[Callable[[Progress], None]]]
    CellsBar = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]

_PHASES = {
    "pods": "waiting for the probe pods",
    "phases": "scrambling the phases",
    "updates": "updates sent",
    "drain": "waiting for the last delays",
    "done": "collected",
}


def minutes(seconds: float) -> str:
    """Write a duration for people: ``40 s``, ``4 min``, ``1 h 5 min``."""
    if seconds < 100:  # noqa: PLR2004 - up to here seconds are easier to grasp
        return f"{max(0, round(seconds))} s"
    hours, rest = divmod(max(1, round(seconds / 60)), 60)
    return f"{hours} h {rest} min" if hours else f"{rest} min"


@contextmanager
def no_bar() -> Iterator[Callable[[Progress], None]]:
    """Show nothing."""
    yield lambda _: None


@contextmanager
def collect_bar(file: TextIO | None = None) -> Iterator[Callable[[Progress], None]]:
    """Show trials done, the expected end and the last delay.

    Parameters
    ----------
    file
        Where to draw; None: the standard output.

    Yields
    ------
    callable
        To be given to `cmhot.collector.begin.collect` as its ``progress``.
    """
    # The end is what the plan says, not what tqdm would guess from the rate.
    form = "{desc}: {n_fmt}/{total_fmt} |{bar}|{postfix}"
    out = sys.stdout if file is None else file
    with ExitStack() as opened:
        bar: tqdm[Never] | None = None

        def show(progress: Progress) -> None:
            nonlocal bar
            if bar is None:  # an error before the first trial needs no bar above it
                bar = opened.enter_context(
                    tqdm(
                        file=out,
                        bar_format=form,
                        ncols=100,
                        total=progress.total,
                        desc=_PHASES[progress.phase],
                    )
                )
            bar.total, bar.n = progress.total, progress.done
            bar.set_description_str(_PHASES[progress.phase], refresh=False)
            said = [f"{minutes(progress.remaining_s)} left"]
            if progress.last_delay_s is not None:
                said.append(f"last delay {progress.last_delay_s:.1f} s")
            if progress.phase == "pods":
                said = [f"{said[0]} at most"]
            bar.set_postfix_str(", ".join(said), refresh=False)
            bar.update(0)
            if progress.phase == "done":
                bar.refresh()

        yield show


@contextmanager
def no_cells(notebook: str) -> Iterator[Callable[[int, int], None]]:  # noqa: ARG001 - a form
    """Show nothing."""
    yield lambda _begun, _total: None


@contextmanager
def cells_bar(notebook: str) -> Iterator[Callable[[int, int], None]]:
    """Show how many cells of a notebook have begun, on a terminal; then vanish.

    Parameters
    ----------
    notebook
        Its name.

    Yields
    ------
    callable
        To be given to `cmhot.report.notebooks.execute` as its ``progress``.
    """
    form = "{desc}: cell {n_fmt}/{total_fmt} |{bar}| {elapsed}"
    with tqdm(
        file=sys.stderr,
        bar_format=form,
        ncols=100,
        desc=notebook,
        leave=False,
        disable=None,  # where nobody watches, lines say enough
    ) as bar:

        def show(begun: int, total: int) -> None:
            bar.total, bar.n = total, begun
            bar.refresh()

        yield show


@dataclass(frozen=True, slots=True)
class Telling:
    """Where the progress of a report is told.

    Attributes
    ----------
    line
        Told what is being done, a sentence at a time.
    collection
        Opened while a run is collected; what it gives is told about once a second
        how far that is.
    cells
        Opened for each other notebook; what it gives is told how many cells have
        begun, and how many there are.
    """

    line: Callable[[str], None] = lambda _: None
    collection: CollectBar = no_bar
    cells: CellsBar = no_cells
