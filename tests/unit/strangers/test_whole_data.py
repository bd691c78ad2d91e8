"""Whole data of an odd kind: fewer rows than there were, or one pod that saw any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cmhot.errors import RunError
from cmhot.runs.anonymise import anonymised
from cmhot.runs.delays import delays
from cmhot.runs.rundir import pack, read_run
from cmhot.statistics.survival import kaplan_meier

if TYPE_CHECKING:
    from tests.unit.conftest import WriteRun
    from tests.unit.strangers.conftest import Change, Told

DATA = Path(__file__).parents[3] / "data"


def shorten(file: Path, lines: int) -> int:
    """Leave some lines of a file; give how many it had."""
    all_lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(all_lines[:lines]))
    return len(all_lines)


@pytest.fixture
def collected(told: Told, tmp_path: Path) -> Path:
    """Collect a run from the model."""
    plan = ("--target", "model", "--pods", 2, "--duration", "40s", "--seed", 7)
    code, path, _ = told("collect", *plan, "--out", tmp_path / "runs")
    assert code in {0, 1}
    return Path(path.strip())


def test_a_run_says_how_many_rows_it_has(collected: Path) -> None:
    """run.json counts the lines of each raw file as they are when it is closed."""
    rows = json.loads((collected / "run.json").read_text())["rows"]

    assert rows == {
        name: len((collected / name).read_bytes().splitlines())
        for name in (
            *("updates.jsonl", "publications.jsonl", "clock.jsonl", "events.jsonl"),
        )
    }


@pytest.mark.parametrize("name", ["publications.jsonl", "updates.jsonl"])
def test_a_shorter_copy_is_noticed(name: str, collected: Path, told: Told) -> None:
    """What is left of it looks whole, but is less than was measured."""
    had = shorten(collected / name, 5)

    code, _, said = told("summarise", "--force", collected)

    assert code == 2
    assert f"{name} has 5 rows of {had}: the copy is incomplete" in said


def test_a_longer_one_is_read(collected: Path, told: Told) -> None:
    """A run that was resumed has more rows than when it was closed before."""
    with (collected / "publications.jsonl").open("ab") as file:
        file.write((collected / "publications.jsonl").read_bytes())

    assert told("summarise", "--force", collected)[0] == 0


def test_a_packed_copy_is_whole(collected: Path, tmp_path: Path) -> None:
    """Its files know themselves how many rows they have, each of which stands once."""
    copies = (
        pack(read_run(collected), tmp_path / "a"),
        pack(anonymised(read_run(collected)), tmp_path / "b"),
    )

    for copy in copies:
        assert len(read_run(copy).updates) == len(read_run(collected).updates)


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """Copy a run of before rows were counted."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in (DATA / "testbed-2026-11-24" / "start-1").iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def test_an_older_run_counts_its_updates(told: Told, older: Path) -> None:
    """Its checks say how many were sent."""
    shorten(older / "updates.jsonl", 40)

    code, _, said = told("summarise", older)

    assert code == 2
    assert "that were sent: the copy is incomplete" in said


@pytest.mark.parametrize(("lines", "pods"), [(0, 0), (358, 74)])
def test_an_older_run_counts_the_pods_that_published(
    told: Told, older: Path, lines: int, pods: int
) -> None:
    """Its checks say how many were scrambled: each was seen to publish."""
    shorten(older / "publications.jsonl", lines)

    code, _, said = told("summarise", older)

    assert code == 2
    assert f"of {pods} pods, and 96 were seen to publish: the copy is" in said


def test_a_run_that_goes_on_says_nothing(run: Path, change: Change) -> None:
    """Without counts a run is read as it is."""
    change(checks={}, rows=None)

    assert len(read_run(run).updates)


def test_one_pod_of_many_that_saw_an_update(write_run: WriteRun, told: Told) -> None:
    """One block has no spread: there is a number, no interval, and the reason."""
    pods = [f"p{number}" for number in range(15)]
    path = write_run(
        updates=[(1, 10.0, 10.0), (2, 30.0, 30.0)],
        publications=[("p0", 1, 15.0), ("p0", 2, 38.0)],
        pods=pods,
        kubernetes="v1.37.1",
        observed_until_ns=1_767_225_600_000_000_000 + 100_000_000_000,
    ).path

    code, out, said = told("summarise", path)

    assert (code, said) == (0, "")
    assert "too few independent pods: 1, and 6 are needed" in out
    table = kaplan_meier(delays(read_run(path)))
    assert table[["low_s", "high_s"]].isna().all(axis=None)


def test_nobody_counts_below_nothing(run: Path, change: Change) -> None:
    """A count that is none is a fault of run.json."""
    change(rows={"updates.jsonl": -1})

    with pytest.raises(RunError, match=r"rows\.updates\.jsonl is -1, and should be"):
        read_run(run)


def test_a_part_of_a_run_has_the_pods_that_it_lists() -> None:
    """The data that are shipped are of a hundred pods of three hundred."""
    part = DATA.parent / "cmhot" / "plots" / "shipped" / "runs" / "slow"

    run = read_run(part)

    checks = run.meta["checks"]
    assert run.publications["pod"].nunique() < checks["phases_scrambled"]
