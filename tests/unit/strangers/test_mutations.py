"""Whatever is changed in a run, it is read or refused in a sentence, and soon."""

from __future__ import annotations

import random
import shutil
import warnings
from typing import TYPE_CHECKING

import pytest

from cmhot.runs import schema
from cmhot.runs.delays import delays
from cmhot.runs.rundir import RunWriter, pack, read_run
from cmhot.runs.sync_intervals import refresh_intervals
from tests.unit.strangers.mutating import mutate, use

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.conftest import SimulateRun

COPIES = 50
"""Of each of four seeds."""
MOST_S = 10.0


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


@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_run_is_used_or_refused(
    seed: int, runs: list[Path], tmp_path: Path
) -> None:
    """Nothing but errors of ours, each in a line, within seconds."""
    rng = random.Random(seed)  # noqa: S311 - no secret is made of it
    said = []
    for number in range(COPIES):
        copy = tmp_path / f"copy-{number}"
        shutil.copytree(rng.choice(runs), copy)
        how = mutate(copy, rng)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                answer, took_s = use(copy)
            except BaseException as error:
                error.add_note(f"seed {seed}, copy {number}, {how}")
                raise
        assert took_s < MOST_S, (seed, number, how)
        said.append(answer)

    assert any(said)
    assert not all(said)
