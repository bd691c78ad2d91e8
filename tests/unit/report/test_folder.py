"""The folder of a report: of one process, never in a run, whole whatever happens."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cmhot.clock import VirtualClock
from cmhot.errors import CmhotError, RunError, UsageError
from cmhot.report import notebooks
from cmhot.report.comparison_page import compare_report
from cmhot.report.folder import Manifest, locked, make_folder, write_json, write_page
from cmhot.report.make import finish, make_report, report_on_runs, resume_report
from cmhot.report.steps import Order
from cmhot.runs import disk

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.conftest import SimulateRun

MODEL = Order(target="model", pods=2, duration_s=60.0)
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(autouse=True)
def executed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have notebooks that do nothing; give those that were executed."""
    done: list[str] = []

    def execute(name: str, _values: object, *, out: Path, **_: object) -> None:
        done.append(name)
        (out / f"{name}.ipynb").write_text("{}")

    monkeypatch.setattr(notebooks, "execute", execute)
    monkeypatch.setattr(notebooks, "to_html", lambda _: None)
    return done


def everything(folder: Path) -> list[Path]:
    """List all that is in a folder, however deep."""
    return sorted(folder.rglob("*"))


@pytest.fixture
def run(simulate_run: SimulateRun) -> Path:
    """Write a run from which a report can be made."""
    return simulate_run("r").path


def rewritten(run: Path, **meta: Any) -> Path:  # noqa: ANN401 - any key of run.json
    """Change a run as somebody else might have."""
    content = json.loads((run / "run.json").read_text()) | meta
    (run / "run.json").write_text(json.dumps(content))
    return run


@pytest.mark.parametrize("name", ["..", "../work", "a/b", "x" * 300, "", None])
def test_a_foreign_run_leads_nowhere(name: str | None, run: Path) -> None:
    """A run's name that would lead out of the folder of reports is refused."""
    work = run.parents[1] / "work"
    work.mkdir()
    (work / "mine.txt").write_text("keep")
    rewritten(run, run_id=name)
    before = everything(work)

    with pytest.raises(RunError, match=r"run\.json has the run_id .*cannot name a run"):
        report_on_runs([run], out=work / "reports")

    assert everything(work) == before


def test_whoever_makes_a_folder_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What appears at the last moment is another's: it stays, and a number is added."""
    mkdir, other = Path.mkdir, tmp_path / "r"

    def late(path: Path, *rest: Any, **more: Any) -> None:  # noqa: ANN401 - as Path's
        if path.is_relative_to(other) and not other.exists():
            mkdir(other)
            (other / "mine").write_text("keep")
        mkdir(path, *rest, **more)

    monkeypatch.setattr(Path, "mkdir", late)

    made = make_folder(tmp_path, "r", parts=["runs"])

    assert made.path == tmp_path / "r-2"
    made.discard()
    assert everything(tmp_path) == [other, other / "mine"]


def test_what_others_put_above_stays(tmp_path: Path) -> None:
    """A folder made for a report goes with it only when nothing else is in it."""
    made = make_folder(tmp_path / "new" / "out", "r", parts=[])
    (tmp_path / "new" / "theirs").write_text("keep")

    made.discard()

    assert everything(tmp_path) == [tmp_path / "new", tmp_path / "new" / "theirs"]


@pytest.mark.parametrize("out", [".", "reports", "reports/deep"])
def test_a_run_is_not_copied_into_itself(
    out: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report in a run that it copies would have no end."""
    monkeypatch.chdir(run)
    monkeypatch.setattr(shutil, "copytree", lambda *_: pytest.fail("copied"))
    before = everything(run)

    with pytest.raises(UsageError, match=r"is in the run \., .*elsewhere with --out"):
        report_on_runs([Path()], out=Path(out))

    assert everything(run) == before


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (FULL, "No space left on device"),
        (KeyboardInterrupt(), None),
    ],
    ids=["full", "interrupt"],
)
def test_a_failed_copy_leaves_nothing(
    error: BaseException,
    why: str | None,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half a copy of a run goes again, with the folders made for it."""

    def fails(_run: Path, to: Path, **_: object) -> None:
        to.mkdir()
        raise error

    monkeypatch.setattr(disk, "copy_run", fails)

    with pytest.raises((CmhotError, KeyboardInterrupt), match=why):
        report_on_runs([run], out=tmp_path / "new" / "reports")

    assert not (tmp_path / "new").exists()


def test_a_report_is_made_by_one(tmp_path: Path) -> None:
    """While one makes it, another is refused, and touches nothing."""
    (tmp_path / "report.json").write_text("{}")

    with (
        locked(tmp_path),
        pytest.raises(RunError, match=r"another cmhot is making .*: wait for it, or"),
    ):
        resume_report(tmp_path)

    with locked(tmp_path):
        pass
    assert [path.name for path in everything(tmp_path)] == ["report.json"]


def test_a_report_is_held_while_it_is_made(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its first notebook on, whether it is new, on runs or resumed."""
    refused: list[str] = []

    def execute(_name: str, _values: object, *, out: Path, **_: object) -> None:
        with pytest.raises(RunError, match="another cmhot is making"):
            resume_report(out.parent)
        refused.append(out.parent.name)

    monkeypatch.setattr(notebooks, "execute", execute)

    page = report_on_runs([run], out=tmp_path / "reports")
    on_runs = len(refused)
    resume_report(page.parent)
    resumed = len(refused)
    with pytest.raises(CmhotError, match="the page shows what there is"):
        make_report(MODEL, out=tmp_path / "reports")

    assert 0 < on_runs < resumed < len(refused)


def full_at(name: str) -> Callable[[Path, bytes], None]:
    """Have a disk that takes no file of that name."""
    replace_ = disk.replace

    def full(file: Path, content: bytes) -> None:
        if file.name == name:
            raise FULL
        replace_(file, content)

    return full


@pytest.mark.parametrize("file", ["numbers.json", "index.html"])
def test_a_full_disk_says_how_to_go_on(
    file: str,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    executed: list[str],
) -> None:
    """What was done is kept; resumed with some space, only the page is written."""
    with monkeypatch.context() as patched:
        patched.setattr(disk, "replace", full_at(file))
        with pytest.raises(
            RunError,
            match=r"No space left on device; what was done is kept: .*report --resume",
        ):
            report_on_runs([run], out=tmp_path / "reports")
    done = len(executed)

    page = resume_report(tmp_path / "reports" / "r")

    assert page.is_file()
    assert len(executed) == done


def test_a_report_that_cannot_begin_leaves_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that does not even take the list of notebooks leaves no folder."""
    monkeypatch.setattr(disk, "replace", full_at("report.json"))

    with pytest.raises(UsageError, match="No space left on device; choose a writable"):
        report_on_runs([run], out=tmp_path / "new")
    with pytest.raises(UsageError, match="No space left on device; choose a writable"):
        make_report(MODEL, out=tmp_path / "new")

    assert not (tmp_path / "new").exists()


def test_a_disk_that_is_full_at_once_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where not even the first notebook can be kept there is nothing to resume."""

    def full(*_: object, **__: object) -> None:
        raise FULL

    monkeypatch.setattr(notebooks, "execute", full)

    with pytest.raises(UsageError, match="No space left on device; choose a writable"):
        make_report(MODEL, out=tmp_path / "new")

    assert not (tmp_path / "new").exists()


def test_a_disk_that_fills_up_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done before is kept, and the user is told how to go on."""
    done: list[str] = []

    def full(name: str, _values: object, *, out: Path, **_: object) -> None:
        if done:
            raise FULL
        done.append(name)
        (out / f"{name}.ipynb").write_text("{}")

    monkeypatch.setattr(notebooks, "execute", full)

    with pytest.raises(RunError, match=r"No space left .*cmhot report --resume"):
        make_report(MODEL, out=tmp_path)

    (folder,) = tmp_path.iterdir()
    assert Manifest.reopen(folder).entries[done[0]].status == "done"


def test_a_comparison_that_fails_leaves_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is told, without a traceback or half a page."""
    monkeypatch.setattr(disk, "replace", full_at("index.html"))

    with pytest.raises(UsageError, match="No space left on device; choose a writable"):
        compare_report(run, run, out=tmp_path / "new")

    assert not (tmp_path / "new").exists()


def test_a_setting_of_text_is_told(run: Path, tmp_path: Path) -> None:
    """A foreign run whose settings are no numbers is refused in a sentence."""
    setting = {"sync_frequency_s": "10s", "strategy": "Watch", "ttl_s": 0.0}
    rewritten(run, settings={"n0": setting})

    with pytest.raises(RunError, match=r"sync_frequency_s is '10s', and should be sec"):
        report_on_runs([run], out=tmp_path / "new")

    assert not (tmp_path / "new").exists()


def test_what_is_no_number_is_null(run: Path, tmp_path: Path) -> None:
    """JSON knows no NaN: a foreign run that has one ends no report."""
    rewritten(run, clock={"resolution_s": float("nan")}, plan={"gap_s": float("inf")})

    page = report_on_runs([run], out=tmp_path)

    numbers = json.loads((page.parent / "numbers.json").read_text())
    assert numbers["provenance"]["r"]["clock"] == {"resolution_s": None}
    assert numbers["provenance"]["r"]["plan"] == {"gap_s": None}


def test_half_a_character_is_written(tmp_path: Path) -> None:
    """JSON may hold half a surrogate pair, which UTF-8 does not."""
    write_json(tmp_path / "a.json", {"name": "a\ud800b", "low": [1.5, float("nan")]})
    write_page(tmp_path / "a.html", "a\ud800b")

    content = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(content) == {"name": "a\ud800b", "low": [1.5, None]}
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == r"a\ud800b"


def test_an_old_page_outlives_a_full_disk(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page is replaced as a whole: what was there stays until then."""
    page = report_on_runs([run], out=tmp_path)
    manifest = Manifest.reopen(page.parent)
    before = page.read_bytes()

    def full(*_: object) -> None:
        raise FULL

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        finish(manifest, None, VirtualClock(), why="no reason")

    assert page.read_bytes() == before
