"""A replication is one command, and what comes back names nobody."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from click.testing import CliRunner

from cmhot.runs.rundir import read_meta, read_run
from studies import replicate, verdicts

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_replication_is_collected_and_made_anonymous(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the model: the copy is read beside the law, and has no name of a node."""
    monkeypatch.chdir(tmp_path)
    words = ["mine", "--target", "model", "--out", "kept", "--pods", "6"]
    words += ["--probe-image", "own:1"]

    done = CliRunner().invoke(replicate.main, [*words, "--duration", "60s"])

    assert done.exit_code == 0, done.output
    copy = tmp_path / "kept" / "mine"
    assert set(json.loads((copy / replicate.ABOUT).read_bytes())) == {
        "machines",
        "runtimes",
    }
    (made,) = (tmp_path / "runs").iterdir()
    assert read_meta(made)["plan"]["probe_image"] == "own:1"
    run = read_run(copy)
    assert {str(node) for node in run.meta["settings"]} <= {
        f"node-{k}" for k in range(9)
    }
    rows = verdicts.beside_law(run)
    assert {row["run"] for row in rows} == {"mine"}
    assert len(rows) == len(run.meta["settings"])
