"""Faults, on the model: each trial comes to something, and the run says what it has."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from cmhot.cluster.model import ModelCluster
from cmhot.cluster.port import POD
from cmhot.collector.begin import collect, resume
from cmhot.collector.probes import CONFIG_MAP_NAME
from cmhot.collector.writer import PATIENCE_S, EndedError
from cmhot.errors import (
    ClusterError,
    ForbiddenError,
    NotFoundError,
    RunError,
    UnreachableError,
)
from cmhot.kubelet.settings import Setting
from cmhot.kubelet.uses import CONFIG_MAP
from cmhot.runs import schema
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import read_run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cmhot.kubelet.uses import Kind
    from cmhot.runs.rundir import Run

SETTINGS = (Setting(5),)
PLAN = Plan(pods=3, duration_s=120, seed=7)


class Faulty(ModelCluster):
    """A cluster whose ConfigMap is in trouble for a while.

    Attributes
    ----------
    trouble
        Called with the number that is being written.
    """

    def __init__(self) -> None:
        super().__init__(SETTINGS)
        self.writes = 0
        self.where: str | None = None
        self.deleted: list[str] = []

    def trouble(self, seq: int) -> None:
        """Raise what goes wrong."""

    def put(self, seq: int) -> None:
        """Write a number all the same, or as somebody else does."""
        data = {"data": {"seq": str(seq)}}
        ModelCluster.patch(
            self, CONFIG_MAP, CONFIG_MAP_NAME, data, namespace=self.where
        )

    def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
    ) -> dict[str, Any]:
        """Write, or not."""
        if kind == CONFIG_MAP:
            self.writes += 1
            self.where = namespace
            self.trouble(int(body["data"]["seq"]))
        return super().patch(kind, name, body, namespace=namespace)

    def delete(
        self,
        kind: Kind,
        name: str,
        *,
        namespace: str | None = None,
        uid: str | None = None,
    ) -> None:
        """Note what is deleted."""
        self.deleted.append(f"{kind.plural}/{name}")
        super().delete(kind, name, namespace=namespace, uid=uid)

    @property
    def second(self) -> float:
        """Seconds since the start."""
        return self.clock.monotonic()


def counts(path: Path) -> tuple[Run, dict[str, int]]:
    """Read a run, see that no trial is missing, and count what they came to."""
    run = read_run(path)
    rows = pd.read_parquet(path / "delays.parquet")
    found = rows["status"].value_counts().to_dict()
    pods = len(run.meta["pods"])
    left = run.meta["checks"]["trials_left"] * pods
    assert set(found) <= set(schema.STATUSES)
    assert sum(found.values()) + left == run.meta["planned_updates"] * pods
    return run, {str(name): int(n) for name, n in found.items() if n}


def kinds(run: Run) -> set[str]:
    """Name the kinds of a run's events."""
    return set(run.events["kind"])


class Refusing(Faulty):
    """Every third try is refused."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status

    def trouble(self, seq: int) -> None:
        """Refuse."""
        if self.writes % 3 == 0:
            msg = f"PATCH {seq} failed ({self.status})"
            raise ClusterError(msg, status=self.status)


@pytest.mark.parametrize("status", [409, 429, 500])
def test_a_refused_write_is_tried_again_in_its_slot(
    tmp_path: Path, status: int
) -> None:
    """One refusal costs no trial: all are sent, and all observed."""
    run, found = counts(collect(Refusing(status), PLAN, out=tmp_path))

    assert set(found) == {"observed"}
    assert run.meta["status"] == "complete"
    assert ("throttled" in kinds(run)) == (status == 429)


class Mute(Faulty):
    """Answers are lost, whether the write was made or not."""

    def __init__(self, *, made: bool, takes_s: float) -> None:
        super().__init__()
        self.made, self.takes_s = made, takes_s

    def trouble(self, seq: int) -> None:
        """Write, perhaps, and do not answer."""
        if self.writes % 5 == 0:
            if self.made:
                self.put(seq)
            self.clock.sleep(self.takes_s)
            msg = "no answer"
            raise UnreachableError(msg)


@pytest.mark.parametrize("made", [True, False])
def test_a_lost_answer_is_settled_by_reading_back(
    tmp_path: Path, *, made: bool
) -> None:
    """Soon enough, its instant is known: it is a trial, made or made again."""
    run, found = counts(collect(Mute(made=made, takes_s=0.1), PLAN, out=tmp_path))

    assert set(found) == {"observed"}
    assert ("settled" in kinds(run)) == made
    told = run.updates["error"].dropna()
    assert told.str.contains("read back: it was made").all()
    assert bool(len(told)) == made


def test_a_write_made_at_an_unknown_instant_is_no_trial(tmp_path: Path) -> None:
    """An answer lost after four seconds leaves the instant open by as much."""
    run, found = counts(collect(Mute(made=True, takes_s=4), PLAN, out=tmp_path))

    assert found["failed"] > 0
    errors = run.updates.loc[run.updates["status"] == "failed", "error"]
    assert errors.str.contains("at an instant known to 4.0 s").all()
    # what fell due meanwhile was not sent in a burst afterwards
    assert found["not_sent"] > 0


class Away(Faulty):
    """The API server is away for some time, for everybody."""

    def __init__(self, since_s: float, for_s: float) -> None:
        super().__init__()
        self.since_s, self.until_s = since_s, since_s + for_s

    def _request(self) -> int:
        now = super()._request()
        if self.since_s < self.second < self.until_s:
            msg = "no answer from the API server"
            raise UnreachableError(msg)
        return now


def test_half_a_minute_without_api_server_costs_its_trials_only(
    tmp_path: Path,
) -> None:
    """Trials due meanwhile fail, looks are made later, and the run goes on.

    Those after it wait for the kubelet's watch to come back: no observations either.
    """
    run, found = counts(collect(Away(40, 30), PLAN, out=tmp_path))

    assert set(found) == {"observed", "failed", "interrupted"}
    assert found["interrupted"] < 30
    assert {"reconnect", "restart"} <= kinds(run)
    # 30 s of a mean gap of 5/6 s, three pods
    assert 70 < found["failed"] < 150
    assert run.meta["checks"]["api_errors"]["passed"] is False
    assert run.meta["status"] == "invalid"


def test_an_api_server_that_stays_away_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After ten minutes (one, here); it can be resumed when the server is back."""
    monkeypatch.setitem(PATIENCE_S, "away", 60.0)
    cluster = Away(70, 100)
    long = Plan(pods=3, duration_s=300, seed=7)

    with pytest.raises(EndedError, match=r"no write was taken for 6\d s.*--resume"):
        collect(cluster, long, out=tmp_path, run_id="r")

    run, found = counts(tmp_path / "r")
    assert run.meta["status"] == "interrupted"
    assert found["observed"] > 0
    cluster.clock.sleep(60)
    run, _ = counts(resume(cluster, tmp_path / "r"))
    assert run.meta["status"] in {"complete", "invalid"}


class Throttling(Faulty):
    """From some moment on everything is too much."""

    def trouble(self, seq: int) -> None:
        """Answer 429."""
        if self.second > 40:
            msg = f"PATCH {seq} failed (429)"
            raise ClusterError(msg, status=429)


def test_sustained_429_end_the_run(tmp_path: Path) -> None:
    """A cluster that has too much to do is not measured on; it says so."""
    cluster = Throttling()

    with pytest.raises(EndedError, match=r"fewer requests \(429\) for 3\d s") as raised:
        collect(cluster, PLAN, out=tmp_path, run_id="r")

    run, found = counts(tmp_path / "r")
    assert raised.value.exit_code == 1
    assert run.meta["status"] == "interrupted"
    assert found["observed"] > 0
    assert cluster.second < 80
    # nothing is taken away: it can be resumed
    assert cluster.deleted == []


class Revoked(Faulty):
    """The token, or the rights, are gone at some moment."""

    def _request(self) -> int:
        now = super()._request()
        if self.second > 60:
            msg = "PATCH is not allowed: Unauthorized"
            raise ForbiddenError(msg, status=401)
        return now


def test_without_rights_the_run_ends_with_what_it_has(tmp_path: Path) -> None:
    """After ten seconds of refusals, with a sentence and the data."""
    with pytest.raises(
        EndedError, match=r"refuses the writes.*Unauthorized.*r: `cmhot"
    ):
        collect(Revoked(), PLAN, out=tmp_path, run_id="r")

    run, found = counts(tmp_path / "r")
    assert run.meta["status"] == "interrupted"
    # what was sent and not seen is no timeout: nobody could look
    assert set(found) == {"observed", "failed", "interrupted"}
    assert run.meta["checks"]["phases_not_scrambled"] == 0


class Vanishing(Faulty):
    """The ConfigMap is deleted once."""

    def trouble(self, seq: int) -> None:
        """Delete it."""
        if seq == 50:
            ModelCluster.delete(self, CONFIG_MAP, CONFIG_MAP_NAME, namespace=self.where)


def test_a_deleted_configmap_is_made_again(tmp_path: Path) -> None:
    """The write that finds it gone makes it, with its number: no trial is lost."""
    run, found = counts(collect(Vanishing(), PLAN, out=tmp_path))

    assert set(found) == {"observed"}
    ((seq, kind),) = [
        (event["detail"]["seq"], event["kind"])
        for event in run.events.to_dict("records")
        if event["kind"] == "recreated"
    ]
    assert (seq, kind) == (50, "recreated")


class Deleted(Faulty):
    """The namespace is deleted, with all that is in it."""

    def _request(self) -> int:
        now = super()._request()
        if self.second > 60:
            msg = "namespace not found"
            raise NotFoundError(msg, status=404)
        return now


def test_a_deleted_namespace_ends_the_run_for_good(tmp_path: Path) -> None:
    """The probes are gone with it: there is nothing to resume."""
    with pytest.raises(EndedError, match="namespace not found") as raised:
        collect(Deleted(), PLAN, out=tmp_path, run_id="r")

    assert "--resume" not in str(raised.value)
    run, found = counts(tmp_path / "r")
    assert run.meta["status"] == "interrupted"
    assert found["observed"] > 0


class Immutable(Faulty):
    """Somebody makes the ConfigMap immutable."""

    def trouble(self, seq: int) -> None:
        """Refuse."""
        if seq > 50:
            msg = f"PATCH {seq} failed (422): field is immutable"
            raise ClusterError(msg, status=422)

    def get(
        self, kind: Kind, name: str, *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Say so."""
        return {**super().get(kind, name, namespace=namespace), "immutable": True}


def test_an_immutable_configmap_ends_the_run_for_good(tmp_path: Path) -> None:
    """It cannot be undone: the run says so, keeps what it has, and cleans up."""
    cluster = Immutable()

    with pytest.raises(EndedError, match=r"made ConfigMap .* immutable") as raised:
        collect(cluster, PLAN, out=tmp_path, run_id="r")

    assert "--resume" not in str(raised.value)
    assert counts(tmp_path / "r")[1]["observed"] > 0
    assert cluster.deleted == ["namespaces/cmhot-r"]


class Meddled(Faulty):
    """Somebody else writes to the ConfigMap now and then."""

    def trouble(self, seq: int) -> None:
        """Write something after an earlier write of ours, before this one."""
        if seq % 20 == 0:
            self.put(seq * 1000)
            self.clock.sleep(2)


def test_what_somebody_else_wrote_is_no_publication_of_ours(tmp_path: Path) -> None:
    """It is told, hides what came before it, and never counts as a later number."""
    run, found = counts(collect(Meddled(), PLAN, out=tmp_path))

    assert "foreign" in kinds(run)
    assert run.publications["seq"].max() == run.updates["seq"].max()
    assert found["missed"] > 0
    assert set(found) <= {"observed", "missed", "not_sent"}


class Losing(Faulty):
    """A pod is deleted at some moment, and another takes its place."""

    victim = "cmhot-sync-5s.watch.ttl-0-1"
    new = "cmhot-sync-5s.watch.ttl-0-9"

    def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[list[dict[str, Any]], str]:
        """List the one that is there."""
        objects, version = super().list(kind, namespace=namespace, labels=labels)
        if kind == POD and self.second > 70:
            for one in objects:
                if one["metadata"]["name"] == self.victim:
                    one["metadata"] |= {"name": self.new, "uid": "another"}
        return objects, version

    def log(
        self,
        pod: str,
        *,
        namespace: str,
        container: str,
        since_ns: int | None = None,
    ) -> str:
        """Forget its log."""
        if pod == self.victim and self.second > 70:
            msg = f"no pod {pod}"
            raise ClusterError(msg, status=404)
        return super().log(
            pod, namespace=namespace, container=container, since_ns=since_ns
        )


def test_a_lost_pod_interrupts_its_trials(tmp_path: Path) -> None:
    """What it was waiting for and all later trials; its substitute is left out."""
    run, found = counts(collect(Losing(), PLAN, out=tmp_path))

    rows = pd.read_parquet(run.path / "delays.parquet")
    lost = rows[rows["pod"] == Losing.victim]
    assert set(found) == {"observed", "interrupted"}
    assert set(lost["status"]) == {"observed", "interrupted"}
    assert found["interrupted"] == (lost["status"] == "interrupted").sum()
    events = run.events.set_index("kind")["object"]
    assert events["gone"] == f"pod/{Losing.victim}"
    assert events["left_out"] == f"pod/{Losing.new}"
    assert run.meta["checks"]["pods_lost"] == 1


class Silent(Faulty):
    """A node's kubelet answers no more: each question takes half a minute."""

    def __init__(self) -> None:
        ModelCluster.__init__(self, (Setting(5), Setting(10)))
        self.writes = 0
        self.deleted: list[str] = []

    def log(
        self,
        pod: str,
        *,
        namespace: str,
        container: str,
        since_ns: int | None = None,
    ) -> str:
        """Say nothing for long."""
        node = self._world.pods[namespace, pod].node.name
        if node == "model-1" and self.second > 100:
            self.clock.sleep(30)
            msg = f"no answer from the kubelet of {pod}"
            raise ClusterError(msg, status=500)
        return super().log(
            pod, namespace=namespace, container=container, since_ns=since_ns
        )


def test_a_silent_node_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """It costs the updates of one answer in ten minutes, and its own pods' trials."""
    run, found = counts(collect(Silent(), Plan(pods=4, duration_s=300), out=tmp_path))

    rows = pd.read_parquet(run.path / "delays.parquet")
    others = rows[rows["node"] == "model-2"]["status"].value_counts(normalize=True)
    assert set(found) == {"observed", "interrupted", "not_sent"}
    assert others["observed"] > 0.85
    assert others["interrupted"] == 0
    assert set(run.events.loc[run.events["kind"] == "gone", "object"]) == {
        f"pod/cmhot-sync-5s.watch.ttl-0-{number}" for number in range(4)
    }


def test_a_restarted_kubelet_makes_nobody_lucky(tmp_path: Path) -> None:
    """It syncs all pods at once: what waited for it is interrupted."""

    class Restarting(Faulty):
        def trouble(self, seq: int) -> None:
            if seq == 80:
                now_ns = self.clock.utc_ns() - self._start_ns
                self._nodes[0].kubelet.restart(at_ns=now_ns)

    cluster = Restarting()
    plan = Plan(pods=8, duration_s=120, seed=7)

    run, found = counts(collect(cluster, plan, out=tmp_path))

    restarts = run.events[run.events["kind"] == "restart"]
    assert "node/model-1" in set(restarts["object"])
    assert found["interrupted"] > 20
    assert set(found) == {"observed", "interrupted"}


def test_a_full_disk_ends_with_one_sentence_and_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was on the disk is readable, and the run goes on when there is room."""
    cluster = Faulty()
    fsync = os.fsync

    def full(descriptor: int) -> None:
        if cluster.second > 60:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"cannot write to .*: No space left.*resume"):
        collect(cluster, PLAN, out=tmp_path, run_id="r")
    monkeypatch.setattr(os, "fsync", fsync)

    left = read_run(tmp_path / "r")
    assert left.meta["status"] == "running"
    assert len(left.updates) > 20
    assert cluster.deleted == []
    _, found = counts(resume(cluster, tmp_path / "r"))
    assert set(found) <= {"observed", "not_sent", "failed"}


def test_no_secret_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the environment gets into a run directory."""
    monkeypatch.setenv("CMHOT_MARKER", "s3cr3t-marker")
    monkeypatch.setenv("KUBECONFIG", "/nowhere/s3cr3t-marker")

    path = collect(Refusing(500), PLAN, out=tmp_path)

    for file in path.iterdir():
        assert b"s3cr3t-marker" not in file.read_bytes(), file
