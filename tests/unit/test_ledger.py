"""What was done of a report is known when it goes on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cmhot.errors import RunError, UsageError
from cmhot.report.folder import Ledger
from cmhot.report.steps import Step

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Begin a report of two notebooks."""
    (tmp_path / "notebooks").mkdir()
    return Ledger.begin(
        tmp_path,
        steps=[Step("02-x", {"pods": 20}), Step("03-y", {"runs": ["runs/r"]})],
        runs=["runs/r"],
        order={"target": "model", "profile": "quick", "pods": None},
        left_out={"06-z": "too long"},
    )


def finish(ledger: Ledger, name: str, status: str) -> None:
    """Have a notebook executed."""
    ledger.copy(name).write_text("{}")
    ledger.entries[name].status = status
    ledger.save()


def test_what_is_done_is_not_missing(ledger: Ledger) -> None:
    """A finished notebook is done, and it is known with what parameters."""
    finish(ledger, "02-x", "done")

    again = Ledger.reopen(ledger.folder)

    assert [step.notebook for step in again.missing()] == ["03-y"]
    assert again.entries["02-x"].values == {"pods": 20}
    assert (again.runs, again.left_out) == (["runs/r"], {"06-z": "too long"})


@pytest.mark.parametrize(
    ("status", "missing"),
    [("failed", True), ("planned", True), ("unanswered", False), ("done", False)],
)
def test_what_failed_is_missing(ledger: Ledger, status: str, *, missing: bool) -> None:
    """A failed notebook is executed again; one that cannot be asked is not."""
    finish(ledger, "02-x", status)

    names = [step.notebook for step in Ledger.reopen(ledger.folder).missing()]

    assert ("02-x" in names) is missing


def test_a_lost_copy_is_missing(ledger: Ledger) -> None:
    """Who deletes an executed copy has it executed again."""
    finish(ledger, "02-x", "done")
    ledger.copy("02-x").unlink()

    assert len(Ledger.reopen(ledger.folder).missing()) == 2


def test_a_run_that_is_made_anew_has_all_made_anew(tmp_path: Path) -> None:
    """When the collection is missing, so is what lives from its run, and no more."""
    (tmp_path / "notebooks").mkdir()
    ledger = Ledger.begin(
        tmp_path,
        steps=[
            Step("00-a", {"target": "model"}),
            Step("02-collect", {"run_id": "r"}),
            Step("03-y", {"runs": ["runs/r"]}),
            Step("04-z", {"runs": ["runs/r"]}),
        ],
        runs=["runs/r"],
        order={},
        left_out={},
    )
    for name, status in [("00-a", "done"), ("02-collect", "failed"), ("03-y", "done")]:
        finish(ledger, name, status)
    finish(ledger, "04-z", "unanswered")

    names = [step.notebook for step in ledger.missing()]
    finish(ledger, "02-collect", "done")

    assert names == ["02-collect", "03-y", "04-z"]
    assert ledger.missing() == []


def test_figures_that_are_drawn_anew_go_first(ledger: Ledger) -> None:
    """Those of that notebook, in all forms; what was over is planned again."""
    figures = ledger.folder / "figures"
    figures.mkdir()
    for file in ("a.svg", "a-narrow.svg", "a.json", "ab.svg", "b.svg"):
        (figures / file).write_text("")
    (ledger.folder / "a.svg").write_text("")
    finish(ledger, "03-y", "done")
    ledger.entries["03-y"].figures = ["a", "../a"]
    ledger.entries["02-x"].figures = ["b"]

    ledger.forget([Step("03-y", {})])

    assert sorted(file.name for file in figures.iterdir()) == ["ab.svg", "b.svg"]
    assert (ledger.folder / "a.svg").exists()
    again = Ledger.reopen(ledger.folder).entries
    assert (again["03-y"].status, again["03-y"].figures) == ("planned", [])
    assert again["02-x"].figures == ["b"]


def test_another_order_is_refused(ledger: Ledger) -> None:
    """Changed parameters are named with both values, and what was done with them."""
    finish(ledger, "02-x", "done")

    with pytest.raises(
        UsageError,
        match=r"begun with pods not given \(done: 02-x\), and now it would be 40",
    ):
        ledger.refuse_changes({"pods": 40})
    with pytest.raises(UsageError, match="begun with profile quick"):
        ledger.refuse_changes({"profile": "full"})


def test_the_same_order_is_not_refused(ledger: Ledger) -> None:
    """What is said again, or not said, is no change."""
    ledger.refuse_changes({"profile": "quick", "target": None, "pods": None})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is no report, it has no report.json"),
        ("{", "cannot read"),
        (json.dumps({"format": 9}), "report of format 9"),
    ],
    ids=["no-report", "damaged", "newer"],
)
def test_what_is_no_report(content: str | None, message: str, tmp_path: Path) -> None:
    """A folder that cannot go on says why, and what to do."""
    if content is not None:
        (tmp_path / "report.json").write_text(content)

    with pytest.raises(RunError, match=message):
        Ledger.reopen(tmp_path)


def test_something_is_done_once_an_update_was_sent(ledger: Ledger) -> None:
    """Until a notebook is over, only a sent update is worth keeping."""
    run = ledger.folder / "runs" / "r"
    run.mkdir(parents=True)
    updates = run / "updates.jsonl"
    updates.touch()
    before = ledger.anything_done()
    updates.write_text("{}\n")

    assert (before, ledger.anything_done()) == (False, True)
