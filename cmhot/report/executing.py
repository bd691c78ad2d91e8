"""The notebooks of a report, one after the other: none stops those that follow."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmhot import notebooks
from cmhot.costs import expected_duration_s
from cmhot.errors import CmhotError, UsageError
from cmhot.report.bars import minutes
from cmhot.report.following import followed
from cmhot.report.steps import COLLECT, RUNS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cmhot.clock import Clock
    from cmhot.plan import Plan
    from cmhot.report.bars import Telling
    from cmhot.report.ledger import Ledger
    from cmhot.report.steps import Step
    from cmhot.settings import Setting


POD_START_S = 0.25
"""What a probe pod takes to start, seconds: 100 of them were Ready after 18 s."""

NOTEBOOK_S = 6.0
"""What a notebook takes that only computes: most of it to start a kernel."""


_WAITS: Mapping[str, tuple[str, float, float, float]] = {
    "00-start-here": ("", 0.0, 4.0, 0.0),
    "01-environment-or-volume": ("updates", 10.0, 0.0, 2.0),
    "06-force-it": ("repeats", 20.0, 0.0, 0.5),
    "08-what-updates": ("rounds", 10.0, 4.0, 0.0),
    "09-how-to-measure-it-wrong": ("trials", 0.0, 2.5, 0.0),
}
"""What notebooks wait for on a real cluster, for each of the parameter that is named:
seconds, and how often the shortest and the longest `syncFrequency`."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long notebooks take, in seconds.

    Attributes
    ----------
    collecting_s
        `COLLECT`, beside what every notebook takes.
    shortest_s, longest_s
        The shortest and the longest `syncFrequency`: they are waited for.
    real
        Whether anything is waited for at all; the model's time is virtual.
    """

    collecting_s: float = 0.0
    shortest_s: float = 0.0
    longest_s: float = 0.0
    real: bool = False

    @classmethod
    def of(cls, plan: Plan, settings: Sequence[Setting]) -> Pace:
        """Tell it for a real cluster, with one setting for each group of nodes."""
        pods_s = POD_START_S * plan.pods * len(settings)
        frequencies_s = [one.sync_frequency_s for one in settings]
        return cls(
            collecting_s=pods_s + expected_duration_s(plan, list(settings)),
            shortest_s=min(frequencies_s),
            longest_s=max(frequencies_s),
            real=True,
        )

    def left_s(self, steps: Sequence[Step]) -> float:
        """Say how long notebooks take."""
        return sum(NOTEBOOK_S + self._waited_s(step) for step in steps)

    def _waited_s(self, step: Step) -> float:
        if not self.real or not step.asks_cluster:
            return 0.0
        if step.notebook == COLLECT:
            return self.collecting_s
        named = _WAITS.get(step.notebook, ("", 0.0, 0.0, 0.0))
        parameter, seconds, shortest, longest = named
        times = float(step.values.get(parameter, 1))
        each_s = seconds + shortest * self.shortest_s + longest * self.longest_s
        return times * each_s


def execute_steps(
    ledger: Ledger, pace: Pace, *, telling: Telling, clock: Clock
) -> None:
    """Execute what is missing of a report; the ledger has what became of it.

    A notebook whose question cannot be asked on this cluster, or of these runs,
    is not a failed one: it is kept with the reason.

    Parameters
    ----------
    ledger
        Of the report.
    pace
        How long notebooks take here.
    telling
        Where progress is told.
    clock
        Of this machine.

    Raises
    ------
    CmhotError
        For a wrong use that the first notebook found out: nothing was done by then.
    KeyboardInterrupt
        After an interrupt.
    """
    steps = ledger.missing()
    ledger.forget(steps)
    _complete_pages(ledger)
    for place, step in enumerate(steps):
        telling.line(
            f"notebook {place + 1} of {len(steps)}, {step.notebook} "
            f"({notebooks.title(step.notebook)}); "
            f"about {minutes(pace.left_s(steps[place:]))} left"
        )
        if _lacks_runs(step, ledger):
            entry = ledger.entries[step.notebook]
            entry.status, entry.error = "unanswered", "there is no run to draw it from"
            ledger.save()
        else:
            _execute(step, ledger, telling, clock)


def _lacks_runs(step: Step, ledger: Ledger) -> bool:
    """Tell whether a notebook's runs were not made; it would say no more than that."""
    runs = step.values.get("runs") or []
    return not all((ledger.folder / run).is_dir() for run in runs)


def _execute(step: Step, ledger: Ledger, telling: Telling, clock: Clock) -> None:
    entry = ledger.entries[step.notebook]
    saved = ledger.copy(step.notebook)
    saved.with_suffix(".html").unlink(missing_ok=True)
    before = _drawn(ledger.folder)
    with ExitStack() as opened:
        cells = None
        if step.notebook == COLLECT:
            run = ledger.folder / RUNS / str(step.values["run_id"])
            _set_aside(run)
            told = opened.enter_context(telling.collection())
            opened.enter_context(followed(run, clock=clock, progress=told))
        else:
            cells = opened.enter_context(telling.cells(step.notebook))
        try:
            notebooks.execute(
                step.notebook,
                step.absolute(ledger.folder),
                out=saved.parent,
                **({} if cells is None else {"progress": cells}),
            )
        except notebooks.NotebookError as error:
            wrong_use = _wrong_use(error)
            if wrong_use and not ledger.anything_done():
                raise wrong_use from error
            # without a run there is nothing to report, whatever the reason is
            open_ = wrong_use is not None and step.notebook != COLLECT
            entry.status = "unanswered" if open_ else "failed"
            entry.error = str(wrong_use) if wrong_use else _said(error)
        else:
            entry.status, entry.error = "done", None
    drawn = _drawn(ledger.folder)
    entry.figures = [name for name in drawn if drawn[name] != before.get(name)]
    ledger.save()  # before anything else: it must not be forgotten
    _complete_pages(ledger)


def _complete_pages(ledger: Ledger) -> None:
    """Make pages of the executed copies that have none."""
    for name in ledger.entries:
        copy = ledger.copy(name)
        if copy.is_file() and not copy.with_suffix(".html").is_file():
            notebooks.to_html(copy)


def _said(error: notebooks.NotebookError) -> str:
    """Give the error of a notebook in a line; its traceback is in the copy."""
    lines = [line for line in error.text.splitlines() if line.strip()]
    return ": ".join([error.name, *lines[:1]])


def _wrong_use(error: notebooks.NotebookError) -> CmhotError | None:
    """Give our own error again that a notebook ended with, if it was wrong use."""
    kinds: list[type[CmhotError]] = [CmhotError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        if kind.__name__ == error.name and kind.exit_code == UsageError.exit_code:
            return kind(error.text)
    return None


def _set_aside(run: Path) -> None:
    """Move what an interrupted collection left, which is kept, out of the way."""
    number = 1
    while run.exists():
        aside = run.with_name(f"{run.name}-interrupted-{number}")
        if not aside.exists():
            run.rename(aside)
        number += 1


def _drawn(folder: Path) -> dict[str, int]:
    """Return the figures that are there, in order of their time, with that time."""
    found = {
        path.stem: path.stat().st_mtime_ns
        for path in (folder / "figures").glob("*.json")
    }
    return dict(sorted(found.items(), key=lambda one: (one[1], one[0])))
