"""``cmhot collect``: an invalid run is told, and one that was killed goes on."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from cmhot.cli import cli
from cmhot.cluster.model import ModelCluster
from cmhot.errors import RunError
from cmhot.kubelet.settings import Setting
from cmhot.runs.rundir import read_run

if TYPE_CHECKING:
    from pathlib import Path

COLLECT = ("collect", "--target", "model", "--pods", "1", "--duration", "20s")


class Killed(BaseException):
    """The collector dies."""


class Cluster(ModelCluster):
    """A cluster that may be configured anew, and in front of which one may die."""

    def __init__(self) -> None:
        super().__init__([Setting(5)])
        self.kept: Path | None = None
        self.new_sync: str | None = None

    def kubelet_configuration(self, node: str) -> dict[str, Any]:
        """Report another setting once time has passed."""
        found = super().kubelet_configuration(node)
        if self.new_sync is not None and self.clock.monotonic() > 20:
            found["syncFrequency"] = self.new_sync
        return found

    def _request(self) -> int:
        """Keep the run as it is when the collector dies."""
        if self.kept is not None and self.clock.monotonic() > 20:
            (run_dir,) = self.kept.parent.glob("runs/*")
            if not self.kept.exists():
                shutil.copytree(run_dir, self.kept)
            raise Killed
        return super()._request()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Stand in for the model."""
    made = Cluster()

    def connect(target: str | None) -> Cluster:
        assert target == "model"
        return made

    monkeypatch.setattr("cmhot.cluster.targets.connect", connect)
    return made


def test_an_invalid_run_ends_with_1_and_names_the_check(
    tmp_path: Path, cluster: Cluster
) -> None:
    """Its path is printed all the same: the data are there."""
    cluster.new_sync = "7s"

    answer = CliRunner().invoke(cli, [*COLLECT, "--out", str(tmp_path)])

    (path,) = tmp_path.iterdir()
    assert answer.exit_code == 1
    assert answer.stdout == f"{path}\n"
    assert "the run is invalid, settings failed: see checks" in answer.stderr


def test_a_killed_run_goes_on(tmp_path: Path, cluster: Cluster) -> None:
    """``--resume`` needs no option: the run says on which target it was begun."""
    cluster.kept = tmp_path / "kept"
    with pytest.raises(Killed):
        CliRunner().invoke(
            cli, [*COLLECT, "--out", str(tmp_path / "runs")], catch_exceptions=False
        )
    cluster.kept = None

    answer = CliRunner().invoke(cli, ["collect", "--resume", str(tmp_path / "kept")])

    assert answer.exit_code == 0, answer.stderr
    assert answer.stdout == f"{tmp_path / 'kept'}\n"
    run = read_run(tmp_path / "kept")
    assert run.meta["status"] == "complete"
    assert run.events["kind"].tolist() == ["resumed"]


@pytest.mark.usefixtures("cluster")
def test_what_cannot_be_resumed_says_why(tmp_path: Path) -> None:
    """A run that ended before its probes were ready has no schedule."""
    meta = {"format": 1, "run_id": "r", "status": "interrupted"}
    (tmp_path / "run.json").write_text(json.dumps(meta))

    with pytest.raises(RunError, match="ended before its probes were ready"):
        CliRunner().invoke(
            cli,
            ["collect", "--target", "model", "--resume", str(tmp_path)],
            catch_exceptions=False,
        )
