"""What was done of a report is known when it goes on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cmhot.errors import RunError, UsageError
from cmhot.report.folder import Manifest
from cmhot.report.steps import Step

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Begin a report of two notebooks."""
    (tmp_path / "notebooks").mkdir()
    return Manifest.begin(
        tmp_path,
        steps=[Step("02-x", {"pods": 20}), Step("03-y", {"runs": ["runs/r"]})],
        runs=["runs/r"],
        order={"target": "model", "profile": "quick", "pods": None},
        left_out={"06-z": "too long"},
    )


def finish(manifest: Manifest, name: str, status: str) -> None:
    """Have a notebook executed."""
    manifest.copy(name).write_text("{}")
    manifest.entries[name].status = status
    manifest.save()


def test_what_is_done_is_not_missing(manifest: Manifest) -> None:
    """A finished notebook is done, and it is known with what parameters."""
    finish(manifest, "02-x", "done")

    again = Manifest.reopen(manifest.folder)

    assert [step.notebook for step in again.missing()] == ["03-y"]
    assert again.entries["02-x"].values == {"pods": 20}
    assert (again.runs, again.left_out) == (["runs/r"], {"06-z": "too long"})


@pytest.mark.parametrize(
    ("status", "missing"),
    [("failed", True), ("planned", True), ("unanswered", False), ("done", False)],
)
def test_what_failed_is_missing(
    manifest: Manifest, status: str, *, missing: bool
) -> None:
    """A failed notebook is executed again; one that cannot be asked is not."""
    finish(manifest, "02-x", status)

    names = [step.notebook for step in Manifest.reopen(manifest.folder).missing()]

    assert ("02-x" in names) is missing


def test_a_lost_copy_is_missing(manifest: Manifest) -> None:
    """Who deletes an executed copy has it executed again."""
    finish(manifest, "02-x", "done")
    manifest.copy("02-x").unlink()

    assert len(Manifest.reopen(manifest.folder).missing()) == 2


def test_a_run_that_is_made_anew_has_all_made_anew(tmp_path: Path) -> None:
    """When the collection is missing, so is what lives from its run, and no more."""
    (tmp_path / "notebooks").mkdir()
    manifest = Manifest.begin(
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
        finish(manifest, name, status)
    finish(manifest, "04-z", "unanswered")

    names = [step.notebook for step in manifest.missing()]
    finish(manifest, "02-collect", "done")

    assert names == ["02-collect", "03-y", "04-z"]
    assert manifest.missing() == []


def test_figures_that_are_drawn_anew_go_first(manifest: Manifest) -> None:
    """Those of that notebook, in all forms; what was over is planned again."""
    figures = manifest.folder / "figures"
    figures.mkdir()
    for file in ("a.svg", "a-narrow.svg", "a.json", "ab.svg", "b.svg"):
        (figures / file).write_text("")
    (manifest.folder / "a.svg").write_text("")
    finish(manifest, "03-y", "done")
    manifest.entries["03-y"].figures = ["a", "../a"]
    manifest.entries["02-x"].figures = ["b"]

    manifest.forget([Step("03-y", {})])

    assert sorted(file.name for file in figures.iterdir()) == ["ab.svg", "b.svg"]
    assert (manifest.folder / "a.svg").exists()
    again = Manifest.reopen(manifest.folder).entries
    assert (again["03-y"].status, again["03-y"].figures) == ("planned", [])
    assert again["02-x"].figures == ["b"]


def test_another_order_is_refused(manifest: Manifest) -> None:
    """Changed parameters are named with both values, and what was done with them."""
    finish(manifest, "02-x", "done")

    with pytest.raises(
        UsageError,
        match=r"begun with pods not given \(done: 02-x\), and now it would be 40",
    ):
        manifest.refuse_changes({"pods": 40})
    with pytest.raises(UsageError, match="begun with profile quick"):
        manifest.refuse_changes({"profile": "full"})


def test_the_same_order_is_not_refused(manifest: Manifest) -> None:
    """What is said again, or not said, is no change."""
    manifest.refuse_changes({"profile": "quick", "target": None, "pods": None})


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
        Manifest.reopen(tmp_path)


def test_something_is_done_once_an_update_was_sent(manifest: Manifest) -> None:
    """Until a notebook is over, only a sent update is worth keeping."""
    run = manifest.folder / "runs" / "r"
    run.mkdir(parents=True)
    updates = run / "updates.jsonl"
    updates.touch()
    before = manifest.anything_done()
    updates.write_text("{}\n")

    assert (before, manifest.anything_done()) == (False, True)
