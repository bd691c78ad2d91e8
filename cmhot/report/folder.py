"""The folder of a report: made by one process, locked by it, written as a whole.

Its manifest, report.json, has what was done, so that the report can go on later.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from cmhot.display import visible
from cmhot.errors import RunError, UsageError
from cmhot.report.steps import COLLECT, RUNS, Step
from cmhot.runs import disk
from cmhot.runs.rundir import names_a_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path


FILE = "report.json"
FORMAT = 1
PARTS = ("figures", "notebooks", "runs")
"""Folders of a report."""
_OVER = {"done", "unanswered"}


@dataclass(frozen=True, slots=True)
class NewFolder:
    """A folder that this process made."""

    path: Path
    above: Sequence[Path]  # those made for it, the deepest first

    def discard(self) -> None:
        """Remove a report that came to nothing, and the folders made for it."""
        shutil.rmtree(self.path, ignore_errors=True)
        disk.remove_empty(self.above)

    @contextmanager
    def or_nothing(self) -> Iterator[None]:
        """Discard it when the disk refuses, and say what to do."""
        try:
            yield
        except OSError as error:
            self.discard()
            raise _unwritable(self.path, error) from error


def make_folder(out: Path, name: str, *, parts: Sequence[str]) -> NewFolder:
    """Make the folder of a report; when that fails, nothing is left behind.

    A number is added to the name where something of that name is there.
    """
    above: list[Path] = []
    made = None
    try:
        above = disk.make_missing(out)
        made = NewFolder(_make_new(out, name), above)
        for part in parts:
            (made.path / part).mkdir()
    except OSError as error:
        if made is not None:
            made.discard()
        disk.remove_empty(above)
        raise _unwritable(out / name, error) from error
    return made


def _make_new(out: Path, name: str) -> Path:
    """Make the first one that is free: whoever makes it has it."""
    folder, number = out / name, 1
    while True:
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
            folder = out / f"{name}-{number}"
        else:
            return folder


def _unwritable(folder: Path, error: OSError) -> UsageError:
    """Say that no report can be made there, and what to do."""
    return UsageError(
        f"cannot write a report to {folder}: {error.strerror or error}; "
        "choose a writable folder with --out"
    )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep others from making the same report."""
    try:
        descriptor = disk.hold(folder)
    except BlockingIOError as error:
        msg = f"another cmhot is making {folder}: wait for it, or end it first"
        raise RunError(msg) from error
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def write_json(file: Path, content: Mapping[str, object]) -> None:
    """Write numbers; what is no number, as in a foreign run, is null."""
    text = json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False)
    # half a pair of surrogates, which JSON may hold, stays what it was
    disk.replace(file, f"{text}\n".encode(errors="backslashreplace"))


def write_page(file: Path, page: str) -> None:
    """Write a page as a whole."""
    disk.replace(file, visible(page).encode())


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


@dataclass(slots=True)
class Entry:
    """A notebook of a report, and what became of it.

    `status` is ``planned``, ``done``, ``failed``,
    or ``unanswered`` where its question cannot be asked here.
    """

    values: Mapping[str, Any]  # as `cmhot.report.steps.Step` has them
    status: str = "planned"
    figures: list[str] = field(default_factory=list)  # names of those that it drew
    error: str | None = None  # what ended it, or why it cannot be asked


@dataclass(slots=True)
class Manifest:
    """A report's notebooks, and what became of them; each change is on the disk."""

    folder: Path  # of the report; it may be moved
    order: Mapping[str, Any]  # fields of an `Order`; empty: existing runs are reported
    runs: Sequence[str]  # those that the page is about, relative to the folder
    left_out: Mapping[str, str]  # notebooks that are not executed: why, in a sentence
    entries: dict[str, Entry]  # by notebook, in their order

    @classmethod
    def begin(
        cls,
        folder: Path,
        *,
        steps: Sequence[Step],
        runs: Sequence[str],
        order: Mapping[str, Any],
        left_out: Mapping[str, str],
    ) -> Manifest:
        """Write down what is to be done."""
        entries = {step.notebook: Entry(step.values) for step in steps}
        made = cls(folder, order, runs, left_out, entries)
        made.save()
        return made

    @classmethod
    def reopen(cls, folder: Path) -> Manifest:
        """Read what was done."""
        file = folder / FILE
        try:
            content = json.loads(file.read_bytes())
        except FileNotFoundError as error:
            msg = (
                f"{folder} is no report, it has no {FILE}: "
                "give the folder that cmhot report made"
            )
            raise RunError(msg) from error
        except (OSError, ValueError) as error:
            msg = f"cannot read {file}: {error}; make a new report"
            raise RunError(msg) from error
        if content.get("format") != FORMAT:
            msg = (
                f"{folder} is a report of format {content.get('format')!r}, and this "
                f"cmhot goes on with format {FORMAT}: make a new report"
            )
            raise RunError(msg)
        _check_names(content, file)
        entries = {name: Entry(**one) for name, one in content["notebooks"].items()}
        return cls(
            folder=folder,
            order=content["order"],
            runs=content["runs"],
            left_out=content["left_out"],
            entries=entries,
        )

    def save(self) -> None:
        """Put it on the disk as a whole."""
        content = {
            "format": FORMAT,
            "order": self.order,
            "runs": self.runs,
            "left_out": self.left_out,
            "notebooks": {name: asdict(entry) for name, entry in self.entries.items()},
        }
        write_json(self.folder / FILE, content)

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Say how to go on when the disk refuses what a report writes."""
        try:
            yield
        except BrokenPipeError:
            raise  # of the reader of standard output
        except OSError as error:
            msg = (
                f"cannot write the report {self.folder}: {error.strerror or error}; "
                "what was done is kept: free some space or restore the folder, then "
                f"`cmhot report --resume {self.folder}`"
            )
            raise RunError(msg) from error

    def missing(self) -> list[Step]:
        """List what is still to be executed: not over, or its copy is gone.

        When the run is to be collected anew, so is all that reads it.
        """
        lacking = {
            name
            for name, entry in self.entries.items()
            if entry.status not in _OVER or not self.copy(name).is_file()
        }
        anew = COLLECT in lacking
        return [
            Step(name, entry.values)
            for name, entry in self.entries.items()
            if name in lacking or (anew and entry.values.get("runs"))
        ]

    def forget(self, steps: Sequence[Step]) -> None:
        """Take back what is over and is to be executed again, with its figures."""
        for step in steps:
            entry = self.entries[step.notebook]
            if entry.status in _OVER:
                entry.status, entry.error = "planned", None
            self._remove_figures(entry)
        self.save()

    def _remove_figures(self, entry: Entry) -> None:
        stems = {stem for name in entry.figures for stem in (name, f"{name}-narrow")}
        for file in (self.folder / "figures").glob("*.*"):
            if file.stem in stems:
                file.unlink()
        entry.figures = []

    def anything_done(self) -> bool:
        """Tell whether a notebook is over, or an update of a run was sent."""
        if any(entry.status != "planned" for entry in self.entries.values()):
            return True
        files = (self.folder / "runs").glob("*/updates.jsonl")
        return any(file.stat().st_size for file in files)

    def copy(self, notebook: str) -> Path:
        """Return where the executed copy of a notebook is, or will be."""
        return self.folder / "notebooks" / f"{notebook}.ipynb"

    def refuse_changes(self, asked: Mapping[str, Any]) -> None:
        """See that what is asked for now is what was asked for then; None: nothing.

        With another value, what was done would not fit the rest.
        """
        for name, value in asked.items():
            was = self.order.get(name)
            if value is not None and value != was:
                done = [n for n, one in self.entries.items() if one.status == "done"]
                said = ", ".join(done) or "nothing yet"
                msg = (
                    f"{self.folder} was begun with {name} "
                    f"{'not given' if was is None else was} (done: {said}), and now "
                    f"it would be {value}: leave it out, or make a new report"
                )
                raise UsageError(msg)


def _check_names(content: Mapping[str, Any], file: Path) -> None:
    """See that what becomes a path leads nowhere out of the folder of the report.

    Raises
    ------
    RunError
        With the first that does.
    """
    runs = [str(one) for one in content["runs"]]
    wrong = [one for one in runs if not names_a_run(one.removeprefix(f"{RUNS}/"))]
    wrong += [str(one) for one in content["notebooks"] if not names_a_run(one)]
    if wrong:
        msg = f"{file} names {wrong[0]!r}, which leads elsewhere: make a new report"
        raise RunError(msg)
