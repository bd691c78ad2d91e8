"""How far a run in another process is, by its directory; durations in words."""

from __future__ import annotations

import io
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from cmhot.clock import VirtualClock
from cmhot.cluster.model import ModelCluster
from cmhot.collector.progress import (
    Progress,
    minutes,
    progress_bar,
    read_progress,
    tail_run,
)
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import RunWriter

if TYPE_CHECKING:
    from pathlib import Path

T0 = VirtualClock().utc_ns()
S = 1_000_000_000


def begin(folder: Path, **meta: Any) -> RunWriter:  # noqa: ANN401 - keys of run.json
    """Make a run directory."""
    known = {"run_id": "r", "status": "running", **meta}
    return RunWriter.create(folder, meta=known)


def update(seq: int, *, purpose: str = "trial") -> dict[str, Any]:
    """Give a row of updates.jsonl, acknowledged `seq` seconds after T0."""
    at = T0 + seq * S
    return {"seq": seq, "sent_ns": at, "acked_ns": at, "purpose": purpose}


def published(seq: int, at_s: float) -> dict[str, Any]:
    """Give a row of publications.jsonl."""
    row = {"node": "n", "pod": "p", "consumer": "volume", "configmap": "c", "seq": seq}
    return {**row, "published_ns": T0 + round(at_s * S)}


def test_no_run_yet(tmp_path: Path) -> None:
    """Before the run directory is there, there is no progress."""
    assert read_progress(tmp_path / "r", clock=VirtualClock()) is None


def test_waiting_for_pods(tmp_path: Path) -> None:
    """Before the schedule is made, it waits for pods, for 300 s at most."""
    path = begin(tmp_path).path

    progress = read_progress(path, clock=VirtualClock())

    assert progress is not None
    assert (progress.phase, progress.total, progress.remaining_s) == ("pods", 0, 300.0)


def test_trials_are_counted(tmp_path: Path) -> None:
    """Only trials count; the end is the plan's; the delay is the newest one."""
    writer = begin(tmp_path, planned_updates=3, observed_until_ns=T0 + 60 * S)
    clock = VirtualClock()
    clock.sleep(20)
    writer.append_update(update(1, purpose="scramble"))
    scrambling = read_progress(writer.path, clock=clock)
    writer.append_update(update(2))
    writer.append_update(update(3))
    writer.append_publications([published(2, 6.0), published(3, 7.5)])

    progress = read_progress(writer.path, clock=clock)

    assert scrambling is not None
    assert scrambling.phase == "phases"
    assert progress is not None
    assert (progress.phase, progress.done, progress.total) == ("updates", 2, 3)
    assert progress.remaining_s == 40.0
    assert progress.last_delay_s == 4.5


def test_torn_lines_are_left_out(tmp_path: Path) -> None:
    """A line that is being written is not read yet."""
    writer = begin(tmp_path, planned_updates=1, observed_until_ns=T0)
    writer.append_update(update(1))
    with (writer.path / "updates.jsonl").open("ab") as file:
        file.write(b'{"seq": 2, "acked')

    progress = read_progress(writer.path, clock=VirtualClock())

    assert progress is not None
    assert (progress.phase, progress.done) == ("drain", 1)


def test_follows_until_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last progress told is that it is done, and then no more."""
    from cmhot.collector.begin import collect  # noqa: PLC0415 - shadowed by the package's name

    monkeypatch.setattr("cmhot.collector.progress.EVERY_S", 0.0)
    told: list[Progress] = []
    cluster = ModelCluster()
    with tail_run(tmp_path / "r", clock=cluster.clock, progress=told.append):
        plan = Plan(pods=2, duration_s=20)
        collect(cluster, plan, out=tmp_path, run_id="r")

    assert [seen.phase for seen in told].count("done") == 1
    assert told[-1].phase == "done"
    assert told[-1].done == told[-1].total


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (40.4, "40 s"), (240, "4 min"), (3900, "1 h 5 min")],
)
def test_minutes(seconds: float, text: str) -> None:
    """Durations are written as people say them."""
    assert minutes(seconds) == text


def test_a_log_gets_few_states_of_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a file or a pipe each one stays: the first, one a minute, and the last."""
    seconds = itertools.count()
    monkeypatch.setattr("tqdm.std.time", lambda: float(next(seconds)))
    log = io.StringIO()

    with progress_bar(log) as show:
        for done in range(300):
            show(Progress("updates", done, 300, 60.0, -0.01))
        show(Progress("done", 300, 300, 0.0, 1.5))

    states = [one for one in log.getvalue().split("\r") if one.strip()]
    assert 3 <= len(states) < 20
    assert "300/300" in states[-1]
    assert "-0.0" not in log.getvalue()
