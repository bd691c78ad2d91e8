"""The notebooks of a report: none stops those that follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cmhot.clock import VirtualClock
from cmhot.errors import NotFoundError
from cmhot.report import notebooks
from cmhot.report.folder import Manifest
from cmhot.report.make import ReportProgress, execute_steps
from cmhot.report.steps import COLLECT, Pace, Step

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Deed = Callable[[dict[str, Any], Path], None]

COLLECTION = Step(COLLECT, {"run_id": "r", "target": "model"})


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Manifest]:
    """Begin a report of made-up notebooks, each with what it does."""
    deeds: dict[str, Deed] = {}

    def execute(name: str, values: dict[str, Any], *, out: Path, **_: object) -> None:
        (out / f"{name}.ipynb").write_text("{}")
        deeds[name](values, tmp_path)

    monkeypatch.setattr(notebooks, "execute", execute)
    monkeypatch.setattr(notebooks, "to_html", lambda _: None)
    monkeypatch.setattr(notebooks, "title", lambda name: f"Title of {name}")

    def made(**of: Deed) -> Manifest:
        for part in ("notebooks", "figures", "runs"):
            (tmp_path / part).mkdir(exist_ok=True)
        named = {COLLECT if name == "collect" else name: of[name] for name in of}
        deeds.update(named)
        steps = [COLLECTION if name == COLLECT else Step(name, {}) for name in named]
        return Manifest.begin(
            tmp_path, steps=steps, runs=["runs/r"], order={}, left_out={}
        )

    return made


def fails(name: str, text: str) -> Deed:
    """Have a notebook end with an error of that class."""

    def deed(_values: dict[str, Any], _folder: Path) -> None:
        raise notebooks.NotebookError("long", name=name, text=text)

    return deed


def collects(_: dict[str, Any], folder: Path) -> None:
    """Leave a run with an update."""
    (folder / "runs" / "r").mkdir()
    (folder / "runs" / "r" / "updates.jsonl").write_text("{}\n")


def draws(*names: str) -> Deed:
    """Leave figures."""

    def deed(_: dict[str, Any], folder: Path) -> None:
        for name in names:
            (folder / "figures" / f"{name}.json").write_text("{}")

    return deed


def go(manifest: Manifest) -> list[str]:
    """Execute what is missing; give the lines that were told."""
    said: list[str] = []
    execute_steps(
        manifest, Pace(), progress=ReportProgress(said.append), clock=VirtualClock()
    )
    return said


def statuses(manifest: Manifest) -> list[str]:
    """Give what became of each notebook, as the disk has it."""
    return [one.status for one in Manifest.reopen(manifest.folder).entries.values()]


def resumed(manifest: Manifest, begun: Manifest) -> Manifest:
    """Have what became of the notebooks of one report in another."""
    begun.entries = manifest.entries
    begun.save()
    return Manifest.reopen(begun.folder)


def test_one_failure_stops_nobody(begin: Callable[..., Manifest]) -> None:
    """The failed one is kept with its error's first line, the rest is executed."""
    manifest = begin(
        collect=collects, b=fails("AssertionError", "too far\nmore"), c=draws("c")
    )

    go(manifest)

    assert statuses(manifest) == ["done", "failed", "done"]
    assert manifest.entries["b"].error == "AssertionError: too far"
    assert manifest.entries["c"].figures == ["c"]


def test_a_question_that_cannot_be_asked_is_no_failure(
    begin: Callable[..., Manifest],
) -> None:
    """Wrong use in a notebook, once something was done, is a reason."""
    manifest = begin(collect=collects, b=fails("UsageError", "one setting only"))

    go(manifest)

    assert statuses(manifest) == ["done", "unanswered"]
    assert manifest.entries["b"].error == "one setting only"


def test_wrong_use_at_the_very_start_is_raised(begin: Callable[..., Manifest]) -> None:
    """What only the first notebook can find out is the user's wrong use."""
    manifest = begin(collect=fails("NotFoundError", "no such namespace"), b=draws())

    with pytest.raises(NotFoundError, match="no such namespace"):
        go(manifest)

    assert statuses(manifest) == ["planned", "planned"]


def test_only_what_is_missing_is_executed(begin: Callable[..., Manifest]) -> None:
    """The second time only the failed one is; its error is gone then."""
    manifest = begin(collect=collects, b=fails("ValueError", "no"))
    go(manifest)
    (manifest.folder / "runs" / "r" / "mark").write_text("")
    begin_again = begin(collect=fails("ValueError", "again"), b=draws("f"))
    again = Manifest.reopen(begin_again.folder)
    again.entries = {**manifest.entries}

    said = go(again)

    assert len(said) == 1
    assert said[0].startswith("notebook 1 of 1, b (Title of b); about 6 s left")
    assert statuses(again) == ["done", "done"]
    assert again.entries["b"].error is None
    assert (manifest.folder / "runs" / "r" / "mark").exists()


def test_figures_of_the_old_run_do_not_stay(begin: Callable[..., Manifest]) -> None:
    """A collection that is repeated takes with it what was drawn from the first."""

    def halfway(values: dict[str, Any], folder: Path) -> None:
        collects(values, folder)
        fails("ValueError", "halfway")(values, folder)

    manifest = begin(collect=halfway, b=draws("old", "same"))
    manifest.entries["b"].values = {"runs": ["runs/r"]}
    go(manifest)
    before = statuses(manifest)

    def interrupted(values: dict[str, Any], folder: Path) -> None:
        collects(values, folder)
        raise KeyboardInterrupt

    again = resumed(manifest, begin(collect=interrupted, b=draws("same")))
    with pytest.raises(KeyboardInterrupt):
        go(again)
    meanwhile = statuses(again)
    again = resumed(again, begin(collect=collects, b=draws("same")))
    go(again)

    assert before == ["failed", "done"]
    assert meanwhile == ["failed", "planned"]
    assert statuses(again) == ["done", "done"]
    assert again.entries["b"].figures == ["same"]
    assert [file.name for file in (manifest.folder / "figures").iterdir()] == [
        "same.json"
    ]


def test_what_is_done_is_known_before_its_page_is_made(
    begin: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Ctrl-C at that moment loses no collection; resumed, the page is made."""
    manifest = begin(collect=collects)
    pages: list[str] = []

    def interrupted(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(notebooks, "to_html", interrupted)
    with pytest.raises(KeyboardInterrupt):
        go(manifest)
    monkeypatch.setattr(notebooks, "to_html", lambda copy: pages.append(copy.name))

    again = Manifest.reopen(manifest.folder)

    assert again.missing() == []
    assert go(again) == []
    assert pages == [f"{COLLECT}.ipynb"]


def test_a_page_is_of_the_last_execution(begin: Callable[..., Manifest]) -> None:
    """One of an earlier execution does not stay beside a new copy."""
    manifest = begin(a=draws())
    page = manifest.folder / "notebooks" / "a.html"
    page.write_text("old")

    go(manifest)

    assert not page.exists()


def test_an_interrupted_collection_is_set_aside(begin: Callable[..., Manifest]) -> None:
    """What it left is kept under another name, and the run is made anew."""
    manifest = begin(collect=collects)
    (manifest.folder / "runs" / "r").mkdir()
    (manifest.folder / "runs" / "r" / "old").write_text("")

    go(manifest)

    assert (manifest.folder / "runs" / "r-interrupted-1" / "old").exists()
    assert not (manifest.folder / "runs" / "r" / "old").exists()


def test_progress_of_the_whole_is_told(begin: Callable[..., Manifest]) -> None:
    """Each notebook is announced with its title and what is left, 6 s each."""
    said = go(begin(a=draws(), b=draws()))

    assert said == [
        "notebook 1 of 2, a (Title of a); about 12 s left",
        "notebook 2 of 2, b (Title of b); about 6 s left",
    ]


def test_without_a_run_there_is_a_failure(begin: Callable[..., Manifest]) -> None:
    """A collection that cannot be made fails, and what lives from it is left open."""
    manifest = begin(a=draws(), collect=fails("UsageError", "no"), b=draws())
    manifest.entries["b"].values = {"runs": ["runs/r"]}

    go(manifest)

    assert statuses(manifest) == ["done", "failed", "unanswered"]
    assert manifest.entries["b"].error == "there is no run to draw it from"
    assert [step.notebook for step in manifest.missing()] == [COLLECT, "b"]
