"""Runs changed at random are used, or refused in a line: nothing else happens.

A short look at each; `make fuzz` takes thousands.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmhot.plots.publishing import NAMES
from cmhot.runs import disk, schema
from cmhot.runs.delays import delays
from cmhot.runs.rundir import RunWriter, pack, read_run
from cmhot.runs.sync_intervals import refresh_intervals
from cmhot.statistics import summarise as module
from tests.unit.strangers.mutating import mutate
from tests.unit.strangers.watching import SECRET, WATCH, call, check

if TYPE_CHECKING:
    import random

    from tests.unit.conftest import SimulateRun


@pytest.fixture
def runs(simulate_run: SimulateRun, tmp_path: Path) -> list[Path]:
    """Write one run as lines, as lines with tables, and packed."""
    plain = simulate_run("r", settings=["sync=5s", "sync=9s"], pods=3, window_s=25)
    incident = {"at_ns": 1, "kind": "gap", "object": "node/n0"}
    plain.append_event({**incident, "detail": {"from_ns": 1, "to_ns": 2}})
    plain.append_clock({"node": "n0", "at_ns": 1, "offset_ns": 5, "bound_ns": 9})
    run = read_run(plain.path)
    shutil.copytree(plain.path, tmp_path / "derived")
    writer = RunWriter(tmp_path / "derived")
    writer.write_derived(delays(run), schema.DELAYS)
    writer.write_derived(refresh_intervals(run), schema.REFRESH)
    return [plain.path, writer.path, pack(run, tmp_path / "packed")]


def state(box: Path) -> dict[str, object]:
    """Tell what is in a folder but `out`, and whether anybody has touched it."""
    found: dict[str, object] = {}
    for folder, folders, files in os.walk(box):
        if Path(folder) == box:
            folders.remove("out")
        for name in [*folders, *files]:
            about = os.lstat(Path(folder, name))
            found[str(Path(folder, name))] = (about.st_mode, about.st_ctime_ns)
    return found


def use(box: Path, figure: str) -> list[int]:
    """Give a run to all commands that take one; return their exit codes."""
    run, out = box / "run", box / "out"
    commands = (
        ("summarise", run),
        ("summarise", run, "--json", "--force"),
        ("figure", figure, "--run", run, "--out", out),
        ("export", run, "--anonymise", "--shift-times", "--out", out / "copy"),
        ("report", "--run", run, "--out", out / "reports"),
    )
    before, codes = state(box), []
    for command in commands:
        with WATCH() as touched:
            answer = call(*command)
        check(answer)
        # and what `call` measures the memory by
        ours = (str(out), str(disk.cache_folder()), os.devnull, f"/proc/{os.getpid()}/")
        assert [one for one in touched if not one.startswith(ours)] == []
        codes.append(answer.code)
    assert state(box) == before
    assert (box / "private" / "key").stat().st_atime_ns == 0
    for path in out.rglob("*"):
        assert not path.is_symlink()
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path
    return codes


@pytest.mark.usefixtures("undrawn")
def test_a_mutated_run_is_used_or_refused(
    runs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read, and nothing else; nothing is written but the answer."""
    monkeypatch.chdir(runs[0].parent)
    # in this process, whose memory and files are watched
    monkeypatch.setattr(
        module, "_computed", lambda paths, by, **_: module._summarise(paths, by)
    )
    seen = Counter[bool]()

    @given(st.randoms(use_true_random=False))
    def one(rng: random.Random) -> None:
        module._ANSWERS.clear()
        with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
            warnings.simplefilter("error")
            box = Path(name)
            (box / "private").mkdir()
            (box / "out").mkdir()
            (box / "private" / "key").write_text(SECRET)
            shutil.copytree(rng.choice(runs), box / "run")
            mutate(box / "run", rng)
            os.utime(box / "private" / "key", ns=(0, 1))
            seen.update([0 in use(box, rng.choice(NAMES))])

    for path in runs:  # what is imported and drawn first takes longer
        call("report", "--run", path, "--out", path / "reports")
    one()

    assert set(seen) == {False, True}
