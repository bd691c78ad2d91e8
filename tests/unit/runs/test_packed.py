"""A packed run says the same as the run it was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from cmhot.cluster.model import ModelCluster
from cmhot.collector.begin import collect
from cmhot.errors import RunError, UsageError
from cmhot.kubelet.settings import Setting
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import RunWriter, pack, read_run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a small run of the model, with an incident whose detail is free."""
    out = tmp_path_factory.mktemp("runs")
    run = collect(ModelCluster([Setting(10)]), Plan(pods=20, duration_s=300.0), out=out)
    RunWriter(run).append_event(
        {"at_ns": 5, "kind": "gap", "object": None, "detail": {"from_ns": 1}}
    )
    return run


def test_every_table_is_the_same(made: Path, tmp_path: Path) -> None:
    """Raw tables of a packed run are those of the run, and run.json too."""
    run = read_run(made)
    packed = read_run(pack(run, tmp_path / "packed"))

    assert packed.meta == run.meta
    for name in ("updates", "publications", "events", "clock"):
        own, other = getattr(run, name), getattr(packed, name)
        pd.testing.assert_frame_equal(
            own.reset_index(drop=True), other.reset_index(drop=True)
        )
    assert packed.events["detail"].iloc[-1] == {"from_ns": 1}


def test_it_is_a_quarter_as_large(made: Path, tmp_path: Path) -> None:
    """Packed records take less than a quarter of the lines."""
    packed = pack(read_run(made), tmp_path / "packed")
    small = sum(file.stat().st_size for file in packed.glob("*.parquet"))
    large = sum(file.stat().st_size for file in made.glob("*.jsonl"))

    assert small < large / 4


def test_nothing_is_overwritten(made: Path, tmp_path: Path) -> None:
    """A folder that is there is refused."""
    with pytest.raises(UsageError, match="name a new folder"):
        pack(read_run(made), tmp_path)


def test_a_damaged_file_is_named(made: Path, tmp_path: Path) -> None:
    """A packed table that is no Parquet is an error that names the file."""
    packed = pack(read_run(made), tmp_path / "packed")
    (packed / "updates.parquet").write_bytes(b"no Parquet")

    with pytest.raises(RunError, match=r"updates\.parquet"):
        read_run(packed)
