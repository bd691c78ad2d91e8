"""What was not looked at is said to be unknown: no wait is made up, none is lost."""

from __future__ import annotations

import errno
import shutil
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from cmhot.cluster.model import ModelCluster
from cmhot.cluster.port import NAMESPACE, POD
from cmhot.cluster.probe import namespace_of
from cmhot.collector.begin import collect, resume
from cmhot.collector.writer import EndedError
from cmhot.errors import ClusterError, RunError, UnreachableError
from cmhot.kubelet.settings import Setting
from cmhot.kubelet.uses import CONFIG_MAP
from cmhot.law import law_for
from cmhot.runs import disk
from cmhot.runs.delays import delays
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import RunWriter, read_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from cmhot.kubelet.uses import Kind

SETTING = Setting(10)
LAW = law_for(SETTING)
assert LAW is not None  # of Watch it is known
LONGEST_S = LAW.max_s


class Cluster(ModelCluster):
    """A cluster with three hooks, which do nothing here."""

    def __init__(self) -> None:
        super().__init__((SETTING,))

    def any_request(self, second: float) -> None:
        """Hear of a request, seconds since the start; raise what becomes of it."""

    def writing(self, second: float) -> None:
        """Hear of an update."""

    def reading(self, second: float) -> None:
        """Hear that a log is asked for."""

    def _request(self) -> int:
        now = super()._request()
        self.any_request(self.clock.monotonic())
        return now

    def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
    ) -> dict[str, Any]:
        """Update, or not."""
        if kind == CONFIG_MAP:
            self.writing(self.clock.monotonic())
        return super().patch(kind, name, body, namespace=namespace)

    def log(
        self,
        pod: str,
        *,
        namespace: str,
        container: str,
        since_ns: int | None = None,
    ) -> str:
        """Read a log, or not."""
        self.reading(self.clock.monotonic())
        return super().log(
            pod, namespace=namespace, container=container, since_ns=since_ns
        )


def statuses(rows: pd.DataFrame) -> dict[str, int]:
    """Count what trials came to."""
    counts = rows["status"].value_counts()
    return {str(name): int(n) for name, n in counts.items() if n}


class Impatient(Cluster):
    """Ctrl-C at an update, and again while the logs are read for the last time."""

    looks: int | None = None

    def writing(self, second: float) -> None:
        """Interrupt after 150 s."""
        if second > 150 and self.looks is None:
            self.looks = 0
            raise KeyboardInterrupt

    def reading(self, second: float) -> None:  # noqa: ARG002 - named by the hook
        """Interrupt at the third of the last looks."""
        if self.looks is not None:
            self.looks += 1
            if self.looks == 3:
                raise KeyboardInterrupt


def test_who_interrupts_twice_gets_no_false_waits(tmp_path: Path) -> None:
    """What the logs that were not read any more have is unknown, not late."""
    with pytest.raises(KeyboardInterrupt):
        collect(Impatient(), Plan(pods=10, duration_s=300, seed=7), out=tmp_path)

    (path,) = tmp_path.iterdir()
    rows = pd.read_parquet(path / "delays.parquet")
    waited_s = rows.loc[rows["status"].isin(["timeout", "interrupted"]), "waited_s"]
    assert statuses(rows)["interrupted"] > 50
    assert waited_s.max() < LONGEST_S


def test_an_interrupt_before_news_are_written_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last look finds them new again."""
    cluster = Cluster()
    append = RunWriter.append_publications
    interrupted: list[str] = []

    def append_once_interrupted(
        self: RunWriter, rows: Iterable[Mapping[str, Any]]
    ) -> None:
        some = list(rows)
        if some and not interrupted and cluster.clock.monotonic() > 200:
            interrupted.append(str(some[0]["pod"]))
            raise KeyboardInterrupt
        append(self, some)

    monkeypatch.setattr(RunWriter, "append_publications", append_once_interrupted)
    with pytest.raises(KeyboardInterrupt):
        collect(cluster, Plan(pods=3, duration_s=400, seed=7), out=tmp_path)

    (path,) = tmp_path.iterdir()
    rows = pd.read_parquet(path / "delays.parquet")
    own = rows[rows["pod"].astype(str) == interrupted[0]]
    assert own.loc[own["status"] == "timeout", "waited_s"].max() < LONGEST_S


class Throttling(Cluster):
    """For a minute every update and every look is refused with 429."""

    def writing(self, second: float) -> None:
        """Refuse for a minute."""
        if 200 < second < 260:
            msg = "too many requests"
            raise ClusterError(msg, status=429)

    reading = writing


def test_what_was_unseen_at_an_end_is_seen_after_a_resume(tmp_path: Path) -> None:
    """The logs kept it: no trial is interrupted then, and none waited longer."""
    cluster = Throttling()
    with pytest.raises(EndedError):
        collect(cluster, Plan(pods=20, duration_s=400, seed=7), out=tmp_path)
    (path,) = tmp_path.iterdir()
    before = pd.read_parquet(path / "delays.parquet")

    cluster.clock.sleep(40)
    resume(cluster, path)

    rows = pd.read_parquet(path / "delays.parquet")
    unseen = before["status"] == "interrupted"
    assert before.loc[unseen, "waited_s"].max() < LONGEST_S
    assert statuses(before)["interrupted"] > 0
    assert set(statuses(rows)) == {"observed", "failed", "not_sent"}
    pd.testing.assert_series_equal(
        delays(read_run(path))["delay_s"], rows["delay_s"], check_index=False
    )


class Away(Cluster):
    """After 200 s the API server does not answer any more."""

    def any_request(self, second: float) -> None:
        """Do not answer."""
        if second > 200:
            msg = "no answer"
            raise UnreachableError(msg)


def test_nothing_is_known_of_a_wait_that_nobody_saw(tmp_path: Path) -> None:
    """A run gives up after ten minutes: that is no wait of a pod."""
    with pytest.raises(EndedError):
        collect(Away(), Plan(pods=20, duration_s=1800, seed=7), out=tmp_path)

    (path,) = tmp_path.iterdir()
    rows = pd.read_parquet(path / "delays.parquet")
    waited_s = rows.loc[rows["status"] == "interrupted", "waited_s"]
    assert len(waited_s) > 100
    assert waited_s.max() < LONGEST_S


class Killed(BaseException):
    """The collector dies here."""


class Mortal(Cluster):
    """After 100 s the collector dies, and its run stays as it was then."""

    run_dir: Path
    dies_at_s = 100.0

    def any_request(self, second: float) -> None:
        """Die."""
        if second > self.dies_at_s:
            kept = self.run_dir.with_suffix(".kept")
            if not kept.exists():
                shutil.copytree(self.run_dir, kept)
            raise Killed


def test_a_pod_that_went_while_no_collector_was_there_keeps_its_trials(
    tmp_path: Path,
) -> None:
    """What had been seen of it was seen."""
    cluster = Mortal()
    cluster.run_dir = path = tmp_path / "r"
    with pytest.raises(Killed):
        collect(cluster, Plan(pods=3, duration_s=200, seed=7), out=tmp_path, run_id="r")
    cluster.dies_at_s = float("inf")
    shutil.rmtree(path)
    path.with_suffix(".kept").rename(path)
    run = read_run(path)
    pod = str(run.meta["pods"][0]["pod"])
    before = delays(run)
    before = before[(before["pod"] == pod) & (before["status"] == "observed")]
    cluster.delete(POD, pod, namespace=namespace_of("r"))
    cluster.clock.sleep(60)

    resume(cluster, path)

    rows = pd.read_parquet(path / "delays.parquet")
    own = rows[(rows["pod"].astype(str) == pod) & rows["seq"].isin(before["seq"])]
    assert len(before) > 20
    assert statuses(own) == {"observed": len(before)}


class Slow(Cluster):
    """A log takes 0.4 s; the one that is read last fails once in the last round."""

    failed = False
    last_s = 0.0

    def reading(self, second: float) -> None:
        """Take long, and fail once after the end of the window."""
        self.clock.sleep(0.4)
        if second > self.last_s and not self.failed:
            self.failed = True
            msg = "internal error"
            raise ClusterError(msg, status=500)


def test_patience_begins_when_every_log_was_asked_for(tmp_path: Path) -> None:
    """A round of many logs takes longer than patience lasts, and is not to use it up.

    60 logs take 24 s; patience is 15 s.
    """
    cluster = Slow()
    cluster.last_s = 265.0  # in the first third of the last round, as seen
    path = collect(cluster, Plan(pods=60, duration_s=200, seed=7), out=tmp_path)

    run = read_run(path)
    assert cluster.failed
    assert run.meta["checks"]["pods_lost"] == 0


def full(*_: object) -> None:
    """Refuse to write."""
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_is_full_at_the_end_leaves_a_run_to_be_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probes stay until the run is resumed, which closes it."""
    cluster = Cluster()
    replace = disk.replace

    def replace_until_the_end(file: Path, content: bytes) -> None:
        if b'"observed_until_ns"' in content:
            full()
        replace(file, content)

    monkeypatch.setattr(disk, "replace", replace_until_the_end)
    with pytest.raises(RunError, match="free some space"):
        collect(cluster, Plan(pods=3, duration_s=60, seed=7), out=tmp_path)
    monkeypatch.undo()
    (path,) = tmp_path.iterdir()
    assert read_run(path).meta["status"] == "running"
    assert cluster.list(NAMESPACE)[0]

    resume(cluster, path)

    run = read_run(path)
    assert run.meta["status"] == "complete"
    assert set(statuses(pd.read_parquet(path / "delays.parquet"))) == {"observed"}


def test_a_run_is_whole_without_its_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When only they do not fit on the disk, they can be made again at any time."""
    sync = disk.sync

    def sync_but_tables(file: Path) -> None:
        if ".parquet" in file.name:
            full()
        sync(file)

    monkeypatch.setattr(disk, "sync", sync_but_tables)
    path = collect(Cluster(), Plan(pods=3, duration_s=60, seed=7), out=tmp_path)

    assert not (path / "delays.parquet").exists()
    assert read_run(path).meta["status"] == "complete"
    assert set(statuses(delays(read_run(path)))) == {"observed"}
