"""A report on a run of somebody else holds that run, and nothing of this machine."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cmhot.runs import schema
from cmhot.runs.rundir import pack, read_run
from cmhot.statistics.summarise import summarise

if TYPE_CHECKING:
    from tests.unit.strangers.conftest import Change, Told

HIDDEN = "-----BEGIN PRIVATE KEY-----"
pytestmark = pytest.mark.usefixtures("undrawn")


def test_a_report_has_no_file_but_the_runs_own(
    run: Path, tmp_path: Path, told: Told
) -> None:
    """What lies beside the files of a run, a page or a folder, stays where it is."""
    (run / "run.html").write_text("<script>alert(1)</script>")
    (run / "more").mkdir()
    (run / "more" / "key").write_text(HIDDEN)

    code, _, _ = told("report", "--run", run, "--out", tmp_path / "out")

    assert code == 0
    copied = {path.name for path in (tmp_path / "out/r/runs/r").iterdir()}
    assert copied == {*(table.file for table in schema.RAW_TABLES), "run.json"}
    assert "run.html" not in (tmp_path / "out/r/index.html").read_text()


def test_lines_beside_a_packed_table_are_not_copied(
    run: Path, tmp_path: Path, told: Told
) -> None:
    """Only what was read is given away: nobody reads lines where there is Parquet."""
    packed = pack(read_run(run), tmp_path / "packed")
    (packed / "publications.jsonl").write_text(HIDDEN)

    code, _, _ = told("report", "--run", packed, "--out", tmp_path / "out")

    assert code == 0
    copied = {path.name for path in (tmp_path / "out/r/runs/r").iterdir()}
    assert "publications.parquet" in copied
    assert "publications.jsonl" not in copied


def test_a_link_beside_the_records_is_not_followed(
    run: Path, tmp_path: Path, told: Told
) -> None:
    """Neither a key nor a folder that a link leads to gets into a report."""
    (tmp_path / "id_ed25519").write_text(HIDDEN)
    (run / "notes.txt").symlink_to(tmp_path / "id_ed25519")
    (run / "loop").symlink_to(run)
    (run / "zero").symlink_to("/dev/zero")

    code, _, _ = told("report", "--run", run, "--out", tmp_path / "out")

    assert code == 0
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not [path for path in files if HIDDEN in path.read_text(errors="replace")]
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_symlink()]


@pytest.mark.parametrize("name", ["delays.parquet", "refresh.parquet"])
def test_a_link_in_place_of_a_derived_table_is_not_followed(
    name: str, run: Path, tmp_path: Path, told: Told
) -> None:
    """The table is made anew: the file that the link leads to is not copied."""
    (tmp_path / "id_ed25519").write_text(HIDDEN)
    (run / name).symlink_to(tmp_path / "id_ed25519")

    code, _, _ = told("report", "--run", run, "--out", tmp_path / "out")

    copy = tmp_path / "out/r/runs/r" / name
    assert code == 0
    assert not copy.is_symlink()
    assert copy.read_bytes()[:4] == b"PAR1"
    assert (tmp_path / "id_ed25519").read_text() == HIDDEN


@pytest.mark.parametrize("name", ["events.jsonl", "clock.jsonl", "updates.parquet"])
@pytest.mark.parametrize("command", ["report --run", "summarise", "figure phase --run"])
def test_a_link_in_place_of_records_is_refused(
    command: str, name: str, run: Path, tmp_path: Path, told: Told
) -> None:
    """Records lie in the run itself: the sentence names the file."""
    (tmp_path / "key").write_text("")
    (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(tmp_path / "key")

    code, _, said = told(*command.split(), run)

    assert code == 2
    assert f"{name} is a symbolic link" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("name", sorted(schema.FILES))
def test_a_pipe_does_not_keep_anybody_waiting(
    name: str, run: Path, tmp_path: Path, told: Told
) -> None:
    """A pipe that nobody writes to is refused, or no table, at once."""
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)

    code, _, said = told("report", "--run", run, "--out", tmp_path / "out")

    if name in {schema.DELAYS.file, schema.REFRESH.file}:
        assert code == 0
    else:
        assert code == 2
        assert f"{name} is no regular file" in said


def test_a_kept_summary_inside_a_run_names_no_folder(
    run: Path, tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a report is written is said by --out and by the name that run.json has."""
    monkeypatch.setattr("cmhot.statistics.summarise.WORTH_KEEPING", 1)
    summarise.__globals__["_ANSWERS"].clear()
    content = asdict(summarise([run])) | {"runs": ["../../../outside"]}
    for kept in run.glob("summary-*.json"):
        kept.write_text(json.dumps(content))
    summarise.__globals__["_ANSWERS"].clear()

    code, page, _ = told("report", "--run", run, "--out", tmp_path / "a" / "b" / "out")

    assert code == 0
    assert Path(page.strip()) == tmp_path / "a/b/out/r/index.html"
    assert not list(tmp_path.rglob("outside"))


def test_a_file_without_end_is_not_copied(
    run: Path, tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is larger than a run's can be is refused before it fills the disk."""
    monkeypatch.setattr("cmhot.runs.disk.LARGEST_FILE", 1 << 20)
    with (run / "events.jsonl").open("wb") as file:
        file.truncate((1 << 20) + 1)

    code, _, said = told("report", "--run", run, "--out", tmp_path / "out")

    assert code == 2
    assert "events.jsonl" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("key", ["runs", "notebooks"])
def test_a_report_of_a_stranger_leads_nowhere(
    key: str, run: Path, tmp_path: Path, told: Told
) -> None:
    """What goes on with a report writes into its folder, whatever report.json names."""
    told("report", "--run", run, "--out", tmp_path / "out")
    file = tmp_path / "out/r/report.json"
    content = json.loads(file.read_text())
    content["runs"] = ["../../outside"] if key == "runs" else content["runs"]
    if key == "notebooks":
        content["notebooks"] = {"../../outside": {"values": {}}}
    file.write_text(json.dumps(content))

    code, _, said = told("report", "--resume", tmp_path / "out/r")

    assert code == 2
    assert "'../../outside', which leads elsewhere" in said
    assert not list(tmp_path.rglob("outside*"))


def test_a_name_that_is_a_path_is_refused(
    run: Path, tmp_path: Path, told: Told, change: Change
) -> None:
    """A run_id becomes a folder of the report, so it is one part of a path."""
    change(run_id="../outside")

    code, _, said = told("report", "--run", run, "--out", tmp_path / "out")

    assert code == 2
    assert "cannot name a run" in said
    assert not (tmp_path / "out").exists()
