"""A run comes home in a log, whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cmhot.cluster.model import ModelCluster
from cmhot.cluster.port import POD
from cmhot.collector.job import WIDTH, fetch, pack, unpack
from cmhot.errors import ClusterError, NotFoundError, RunError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cmhot.kubelet.uses import Kind


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Write a run directory that takes several lines."""
    path = tmp_path / "there" / "20260101t000000-abcd"
    path.mkdir(parents=True)
    (path / "run.json").write_text('{"format": 1, "run_id": "r", "status": "complete"}')
    noise = bytes(byte * byte % 251 for byte in range(50_000))
    (path / "delays.parquet").write_bytes(noise[::-1] + bytes(range(256)) * 40)
    (path / "events.jsonl").write_bytes(b"")
    return path


def contents(path: Path) -> dict[str, bytes]:
    """Read all files of a folder."""
    return {file.name: file.read_bytes() for file in path.iterdir()}


def as_log(run_dir: Path) -> list[str]:
    """Write the log of a Job: stamped lines, other lines before and between them."""
    lines = ["collecting …", *pack(run_dir)]
    lines.insert(2, "a warning of somebody's")
    return [f"2026-11-24T17:16:27.343746650Z {line}" for line in lines]


def test_a_run_comes_home_as_it_was(run_dir: Path, tmp_path: Path) -> None:
    """Every file has the bytes it had; lines are short enough for any runtime."""
    log = as_log(run_dir)

    path = unpack("\n".join(log), tmp_path / "here")

    assert path == tmp_path / "here" / run_dir.name
    assert contents(path) == contents(run_dir)
    assert max(len(line) for line in log) < WIDTH + 100


def test_a_run_of_another_format_is_kept_and_refused(
    run_dir: Path, tmp_path: Path
) -> None:
    """In the words in which a run directory is: its log may soon be gone."""
    (run_dir / "run.json").write_text('{"format": 2}')

    with pytest.raises(RunError, match=r"has format 2, and .* reads format 1: use the"):
        unpack("\n".join(as_log(run_dir)), tmp_path / "here")

    assert contents(tmp_path / "here" / run_dir.name) == contents(run_dir)


@pytest.mark.parametrize("lost", [slice(1, 2), slice(2, 4), slice(-1, None)])
def test_a_log_that_lost_lines_is_refused(
    run_dir: Path, tmp_path: Path, lost: slice
) -> None:
    """The head, the first or the last line: nothing is written then."""
    (run_dir / "more").write_bytes(bytes(i * i * i % 253 for i in range(40_000)))
    log = as_log(run_dir)
    del log[lost]

    with pytest.raises(RunError, match="no longer in the log"):
        unpack("\n".join(log), tmp_path / "here")

    assert not (tmp_path / "here").exists()


def test_a_run_that_is_there_is_kept(run_dir: Path, tmp_path: Path) -> None:
    """Fetching twice overwrites nothing."""
    text = "\n".join(as_log(run_dir))
    unpack(text, tmp_path / "here")

    with pytest.raises(RunError, match="there already"):
        unpack(text, tmp_path / "here")


def test_another_log_has_no_run(tmp_path: Path) -> None:
    """The message asks the right questions."""
    with pytest.raises(RunError, match="no run in the log"):
        unpack("2026 hello\n", tmp_path)


class Jobs(ModelCluster):
    """A cluster with pods of Jobs."""

    def __init__(self, *pods: tuple[str, str, str]) -> None:
        super().__init__()
        self.pods = [
            {
                "metadata": {"name": name, "creationTimestamp": created},
                "status": {"phase": phase},
            }
            for name, created, phase in pods
        ]
        self.logs: dict[str, str] = {}

    def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[list[dict[str, Any]], str]:
        """List the pods of Job ``j``."""
        assert (kind, namespace) == (POD, "n")
        wanted = labels == {"job-name": "j"}
        return (self.pods if wanted else []), "1"

    def log(
        self,
        pod: str,
        *,
        namespace: str,
        container: str,
        since_ns: int | None = None,
    ) -> str:
        """Give its log."""
        assert (namespace, container, since_ns) == ("n", "collect", None)
        return self.logs[pod]


def test_the_newest_pod_of_a_job_is_asked(run_dir: Path, tmp_path: Path) -> None:
    """A Job that was made again has its last run."""
    cluster = Jobs(("old", "2026-01-01", "Failed"), ("new", "2026-01-02", "Succeeded"))
    cluster.logs["new"] = "\n".join(as_log(run_dir))

    path = fetch(cluster, "j", namespace="n", out=tmp_path / "here")

    assert contents(path) == contents(run_dir)


def test_a_job_that_runs_is_waited_for(tmp_path: Path) -> None:
    """Its log has no run yet."""
    with pytest.raises(ClusterError, match="p of the Job is Running"):
        fetch(Jobs(("p", "2026", "Running")), "j", namespace="n", out=tmp_path)


def test_a_missing_job_is_named(tmp_path: Path) -> None:
    """A wrong name is an error of use."""
    with pytest.raises(NotFoundError, match="Job 'other' in n"):
        fetch(Jobs(), "other", namespace="n", out=tmp_path)
