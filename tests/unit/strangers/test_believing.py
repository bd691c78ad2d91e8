"""Of a foreign run only its records are believed, and nothing is written to it."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmhot.plots.figure import Material
from cmhot.runs import disk, schema
from cmhot.runs.delays import delays
from cmhot.runs.rundir import RunWriter, read_run
from cmhot.runs.sync_intervals import refresh_intervals
from cmhot.runs.tables import fingerprint, read_derived
from cmhot.statistics import summarise as module
from cmhot.statistics.summarise import summarise

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.strangers.conftest import Told

REQUIRED = ("--require", "p50<3s")
"""What no kubelet with a syncFrequency of 10 s can hold."""


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep summaries of small runs, too; forget what this process asked."""
    monkeypatch.setattr(module, "WORTH_KEEPING", 1)
    module._ANSWERS.clear()
    yield
    module._ANSWERS.clear()


def forge(run: Path) -> None:
    """Plant tables in which every delay is short, marked as those of the records."""
    records = read_run(run)
    rows = delays(records)
    short = rows.assign(delay_s=rows["delay_s"] / 100, waited_s=rows["waited_s"] / 100)
    intervals = refresh_intervals(records)
    fast = intervals.assign(most_s=intervals["most_s"] / 100)
    for table, forged in ((schema.DELAYS, short), (schema.REFRESH, fast)):
        RunWriter(run).write_derived(forged, table)
    shutil.copytree(run, run.with_name("given"), dirs_exist_ok=True)
    shutil.rmtree(run)
    run.with_name("given").rename(run)


def test_a_forged_table_holds_no_requirement(run: Path, told: Told) -> None:
    """Whatever mark it bears: the records say that the requirement fails."""
    forge(run)
    mark = pq.ParquetFile(run / "delays.parquet").metadata.metadata[b"cmhot.made_of"]
    assert mark == fingerprint(run)

    code, _, said = told("summarise", run, *REQUIRED)

    assert (code, "FAILS" in said) == (1, True)


def test_a_figure_is_drawn_of_the_records(run: Path) -> None:
    """The numbers of a figure of a run with forged tables are those without them."""
    honest = delays(read_run(run))["delay_s"].tolist()
    forge(run)

    assert Material(paths=(run,)).delays["delay_s"].tolist() == honest


@pytest.mark.usefixtures("undrawn")
def test_a_report_gives_no_forged_table_away(
    run: Path, tmp_path: Path, told: Told
) -> None:
    """Its copy of the run has tables of the records, which others may believe in."""
    honest = delays(read_run(run))["delay_s"].tolist()
    forge(run)

    code, _, _ = told("report", "--run", run, "--out", tmp_path / "out")

    copied = pd.read_parquet(tmp_path / "out/r/runs/r/delays.parquet")
    assert code == 0
    assert copied["delay_s"].tolist() == honest


@pytest.mark.usefixtures("undrawn")
def test_the_notebooks_of_a_report_need_not_summarise_again(
    run: Path, tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copies are this user's, and their summary is that of the runs."""
    summary = module.summarise([run])
    told("report", "--run", run, "--out", tmp_path / "out")
    module._ANSWERS.clear()
    monkeypatch.setattr(module, "_computed", None)

    assert module.summarise([tmp_path / "out/r/runs/r"]) == summary


def test_a_planted_summary_is_not_believed(
    run: Path, told: Told, tmp_path: Path
) -> None:
    """A summary that lies in the run, under whatever name, is nobody's answer."""
    telling = asdict(summarise([run]))
    honest = telling["settings"][0]["upper_95"]["p50_s"]
    names = [path.name for path in disk.cache_folder().glob("summary-*")]
    assert names
    assert honest > 3
    shutil.copytree(run, tmp_path / "r")
    for name in names:
        content = (disk.cache_folder() / name).read_text()
        forged = content.replace(str(honest), "1.0")
        for folder in (run, tmp_path / "r"):
            (folder / name).write_text(forged)
        (disk.cache_folder() / name).unlink()
    module._ANSWERS.clear()

    assert told("summarise", run, *REQUIRED)[0] == 1
    assert told("summarise", tmp_path / "r", *REQUIRED)[0] == 1


def test_a_run_that_is_read_is_not_written_to(run: Path, told: Told) -> None:
    """Neither a summary nor anything else is left in it."""
    before = {path: path.read_bytes() for path in run.iterdir()}

    assert told("summarise", run)[0] == 0

    assert {path: path.read_bytes() for path in run.iterdir()} == before


def test_a_planted_link_leads_nobody_to_overwrite(
    run: Path, told: Told, tmp_path: Path
) -> None:
    """Where a summary would be put beside the records, there may be a link."""
    mine = tmp_path / "mine.txt"
    mine.write_text("keep")
    summarise([run])
    folders = (run, disk.cache_folder())
    names = [path.name for one in folders for path in one.glob("summary-*")]
    for name in names:
        for planted in (name, f"{name}.part"):
            (run / planted).unlink(missing_ok=True)
            (run / planted).symlink_to(mine)
    module._ANSWERS.clear()

    assert told("summarise", run)[0] == 0

    assert mine.read_text() == "keep"


def test_what_this_user_made_is_read_again(run: Path) -> None:
    """Tables of our own are believed, until anybody touches them or the records."""
    RunWriter(run).write_derived(delays(read_run(run)), schema.DELAYS)
    assert read_derived(run, schema.DELAYS, ["delay_s"]) is not None

    content = (run / "publications.jsonl").read_bytes()
    (run / "publications.jsonl").write_bytes(content)  # the same size, by somebody

    assert read_derived(run, schema.DELAYS, ["delay_s"]) is None


def test_a_table_in_another_place_is_not_ours(run: Path) -> None:
    """A copy may have been in any hands; a table put in place of ours, too."""
    RunWriter(run).write_derived(delays(read_run(run)), schema.DELAYS)
    shutil.copytree(run, run.with_name("copy"))
    assert read_derived(run.with_name("copy"), schema.DELAYS, ["delay_s"]) is None

    table = pq.read_table(run / "delays.parquet")
    assert isinstance(table, pa.Table)
    pq.write_table(table, run / "delays.parquet")

    assert read_derived(run, schema.DELAYS, ["delay_s"]) is None


def test_a_cache_that_others_write_to_is_not_believed(run: Path) -> None:
    """Notes are this user's own only where nobody else can put any."""
    RunWriter(run).write_derived(delays(read_run(run)), schema.DELAYS)
    disk.cache_folder().chmod(0o777)

    assert read_derived(run, schema.DELAYS, ["delay_s"]) is None


def test_the_cache_is_this_users_alone(run: Path) -> None:
    """Nobody else reads what was summarised, nor under which names."""
    summarise([run])

    assert disk.cache_folder().stat().st_mode & 0o777 == 0o700
    (kept_file,) = disk.cache_folder().glob("summary-*")
    assert kept_file.stat().st_mode & 0o077 == 0


def test_a_cache_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many notes the oldest go."""
    monkeypatch.setattr(disk, "MOST_NOTES", 10)

    for number in range(40):
        disk.write(disk.cache_folder(), f"made-{number}", b"")

    left = {path.name for path in disk.cache_folder().iterdir()}
    assert len(left) <= 10
    assert "made-39" in left


def test_no_cache_is_no_error(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing can be kept, summaries are made anew."""
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(disk, "cache_folder", lambda: tmp_path / "file" / "runs")

    RunWriter(run).write_derived(delays(read_run(run)), schema.DELAYS)

    assert summarise([run]).settings
