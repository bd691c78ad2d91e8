"""How far a collection in another process is, seen from its run directory.

The directory is the only thing that the two share, and it only grows:
following it cannot disturb the measurement, nor be out of step with it.

The notebooks of a report, one after the other: none stops those that follow.
"""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.clock import NS_PER_S
from cmhot.cluster.workspace import READY_TIMEOUT_S
from cmhot.collector.loop import Progress
from cmhot.errors import CmhotError, UsageError
from cmhot.report import notebooks
from cmhot.report.progress_bars import minutes
from cmhot.report.steps import COLLECT, RUNS
from cmhot.runs import schema
from cmhot.runs.plan import expected_duration_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from cmhot.clock import Clock
    from cmhot.kubelet.settings import Setting
    from cmhot.report.folder import Ledger
    from cmhot.report.progress_bars import Telling
    from cmhot.report.steps import Step
    from cmhot.runs.plan import Plan


EVERY_S = 1.0
"""Looks at the directory; each costs a millisecond."""
_TAIL = 4096
"""Bytes of publications.jsonl to read for the last delay: some ten lines."""


def read_progress(path: Path, *, clock: Clock) -> Progress | None:
    """Read how far the run in a directory is.

    Parameters
    ----------
    path
        The run directory, which another process writes, or is about to make.
    clock
        That of this machine, for the time that is left.

    Returns
    -------
    Progress or None
        None: the run has not begun.
    """
    try:
        meta = json.loads((path / schema.RUN_FILE).read_bytes())
        rows = _rows((path / schema.UPDATES.file).read_bytes())
        with (path / schema.PUBLICATIONS.file).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL))
            tail = file.read()
    except FileNotFoundError:
        return None
    total = int(meta.get("planned_updates") or 0)
    done = sum(row.get("purpose") == "trial" for row in rows)
    acked = {row["seq"]: row["acked_ns"] for row in rows if row["acked_ns"]}
    shown = [row for row in _rows(tail) if row["seq"] in acked]
    last_s = None
    if shown:
        last_s = (shown[-1]["published_ns"] - acked[shown[-1]["seq"]]) / NS_PER_S
    remaining_s = READY_TIMEOUT_S
    if total:
        remaining_s = (_end_ns(meta) - clock.utc_ns()) / NS_PER_S
    if meta["status"] != "running":
        phase, remaining_s = "done", 0.0
    elif not total:
        phase = "pods"
    elif not done:
        phase = "phases"
    else:
        phase = "updates" if done < total else "drain"
    return Progress(phase, done, total, max(0.0, remaining_s), last_s)


def _end_ns(meta: dict[str, Any]) -> int:
    """Tell when the last look is due; a run that goes on knows it as planned only."""
    return int(meta.get("observed_until_ns") or meta["ends_ns"])


def _rows(content: bytes) -> list[dict[str, Any]]:
    """Parse the lines that are whole: the first and the last may be torn."""
    lines = content.split(b"\n")[:-1]
    return [json.loads(line) for line in lines if line.startswith(b"{")]


@contextmanager
def followed(
    path: Path, *, clock: Clock, progress: Callable[[Progress], None]
) -> Iterator[None]:
    """Report the progress of a run from a thread, for as long as the context lasts."""
    over = threading.Event()

    def look() -> str | None:
        seen = read_progress(path, clock=clock)
        if seen is None:
            return None
        progress(seen)
        return seen.phase

    def follow() -> None:
        while not over.wait(EVERY_S) and look() != "done":
            pass

    thread = threading.Thread(target=follow, name="cmhot-follow", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


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
