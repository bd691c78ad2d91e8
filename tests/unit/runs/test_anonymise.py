"""A copy for others has the numbers of a run and none of its names."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cmhot.runs import schema
from cmhot.runs.anonymise import BEGIN_NS, anonymised
from cmhot.runs.rundir import RunWriter, pack, read_run
from cmhot.runs.tables import frame
from cmhot.statistics.summarise import summarise

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from cmhot.runs.rundir import Run
    from tests.unit.conftest import SimulateRun, WriteRun

MARK = "xyzzy"


def marked(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Put a mark into every text of a JSON value, keys of names included."""
    if isinstance(value, str):
        return f"{MARK}-{value}"
    if isinstance(value, dict):
        return {key: marked(one) for key, one in value.items()}
    return [marked(one) for one in value] if isinstance(value, list) else value


@pytest.fixture
def planted(write_run: WriteRun) -> Run:
    """Give a run with a mark in every text, and in keys that none expects."""
    writer = write_run(
        updates=[(1, 1.0, 1.1), (2, 5.0, 5.1)],
        publications=[("p", 1, 4.0), ("p", 2, 9.0)],
        pods=["p"],
        target="context:prod",
        kubernetes="v1.29.3-gke.100",
        kubelets={f"{MARK}-n": "v1.29.3-gke.100"},
        node_labels={f"{MARK}-n": {f"{MARK}/zone": "z"}},
        plan={"pods": 1, "namespace": "secret", "probe_image": "registry/x"},
        host={"system": "Linux", "release": "6.1-acme"},
        packages={"cmhot": "0.1.0+acme", "other": "/home/me"},
        sources={"kubelet": {"path": "/home/me"}},
        checks={"clock": {"passed": True, "value": "a pod", "limit": 1}},
        started_utc="2026-01-01T00:00:00.000Z",
        status="complete",
        future={"what": ["nobody", "knows"]},
    )
    run = read_run(writer.path)
    meta = marked({key: one for key, one in run.meta.items() if key != "settings"})
    for key in ("kubelets", "node_labels"):
        meta[key] = {
            name.removeprefix(f"{MARK}-"): one for name, one in meta[key].items()
        }
        meta[key] = {f"{MARK}-n": next(iter(meta[key].values()))}
    meta["settings"] = {f"{MARK}-n": marked(run.meta["settings"]["n"])}
    events = [
        {"at_ns": 1, "kind": MARK, "object": f"pod/{MARK}-p", "detail": {"why": MARK}},
        {"at_ns": 2, "kind": "restart", "object": MARK, "detail": MARK},
    ]
    return replace(
        run,
        meta=meta,
        events=frame(events, schema.EVENTS),
        updates=_marked_texts(run.updates),
        publications=_marked_texts(run.publications),
        clock=frame(
            [{"node": f"{MARK}-n", "at_ns": 1, "offset_ns": 5, "bound_ns": 7}],
            schema.CLOCK,
        ),
    )


def _marked_texts(frame: pd.DataFrame) -> pd.DataFrame:
    texts = [name for name in frame if frame[name].dtype == "str" and name != "purpose"]
    return frame.assign(
        **{
            str(name): MARK + "-" + frame[name].fillna("").astype("str")
            for name in texts
        }
    )


def test_no_text_of_a_run_is_left(planted: Run, tmp_path: Path) -> None:
    """A mark in every text field, known or not, is in no file of the copy."""
    found = anonymised(planted)

    frames = (found.updates, found.publications, found.clock, found.events)
    told = [json.dumps(found.meta), *(one.to_json(orient="records") for one in frames)]
    assert MARK in json.dumps(planted.meta)
    assert [text for text in told if MARK in text] == []
    path = pack(found, tmp_path / "x")
    for file in path.iterdir():
        assert MARK.encode() not in file.read_bytes()


def test_names_are_replaced_alike_everywhere(planted: Run) -> None:
    """A node and a pod have one new name in settings, rows, clock and incidents."""
    found = anonymised(planted)

    assert list(found.meta["settings"]) == ["node-1"]
    assert found.meta["pods"][0]["pod"] == "pod-1"
    assert set(found.publications["node"]) == {"node-1"}
    assert set(found.publications["pod"]) == {"pod-1"}
    assert set(found.clock["node"]) == {"node-1"}
    assert list(found.events["object"].fillna("-")) == ["pod/pod-1", "-"]
    assert list(found.events["kind"]) == ["other", "restart"]


def test_a_summary_has_the_same_numbers(
    simulate_run: SimulateRun, tmp_path: Path
) -> None:
    """Every number of `summarise` is equal, bit by bit."""
    run = simulate_run(
        "r",
        settings=("sync=5s", "sync=10s", "sync=10s,strategy=Cache,ttl=20"),
        modelled=False,
        pods=12,
        window_s=60,
    )
    before = summarise([run.path]).to_dict()

    copy = pack(anonymised(read_run(run.path)), tmp_path / "copy")

    after = summarise([copy]).to_dict()
    assert after.pop("runs")[0].startswith("anonymous-")
    assert before.pop("runs") == ["r"]
    assert after == before


def test_lost_delays_stay_lost(write_run: WriteRun, tmp_path: Path) -> None:
    """Restarts and gaps of a pod count in the copy as they did."""
    gap = {"from_ns": 1_767_225_612_000_000_000, "to_ns": 1_767_225_640_000_000_000}
    writer = write_run(
        updates=[(1, 1, 1), (2, 11, 11), (3, 50, 50)],
        publications=[("p", 1, 9), ("p", 2, 41)],
        events=[
            {"at_ns": gap["to_ns"], "kind": "gap", "object": "pod/p", "detail": gap},
            {
                "at_ns": 1_767_225_655_000_000_000,
                "kind": "restart",
                "object": "node/n",
                "detail": {"why": "the node booted"},
            },
        ],
        pods=["p"],
    )
    before = summarise([writer.path]).settings[0].counts

    copy = pack(anonymised(read_run(writer.path)), tmp_path / "copy")

    assert before["n_interrupted"] == 1
    assert summarise([copy]).settings[0].counts == before


def test_times_are_shifted_by_whole_seconds(simulate_run: SimulateRun) -> None:
    """If asked for a copy begins in 2000; every part of a second stays as it was."""
    run = read_run(simulate_run("r", window_s=60).path)

    moved, kept = anonymised(run, shift_times=True), anonymised(run)

    by = moved.updates["sent_ns"] - run.updates["sent_ns"]
    assert len(by.unique()) == 1
    assert by.iloc[0] % 1_000_000_000 == 0
    first = min(
        moved.updates["sent_ns"].min(), moved.publications["published_ns"].min()
    )
    assert BEGIN_NS <= first < BEGIN_NS + 1_000_000_000
    assert moved.meta["measure_from_ns"] - run.meta["measure_from_ns"] == by.iloc[0]
    assert list(kept.updates["sent_ns"]) == list(run.updates["sent_ns"])


def test_shifted_times_change_no_delay(
    simulate_run: SimulateRun, tmp_path: Path
) -> None:
    """Estimates of a copy whose times are shifted are those of the run."""
    run = simulate_run("r", window_s=60)

    copy = pack(anonymised(read_run(run.path), shift_times=True), tmp_path / "copy")

    before, after = (summarise([path]).settings[0] for path in (run.path, copy))
    assert after.direct == before.direct
    assert after.intervals == before.intervals
    assert after.counts == before.counts


def test_versions_lose_what_names_their_maker(planted: Run) -> None:
    """Of a version its numbers are kept: ``-gke.100`` tells whose cluster it was."""
    run = replace(planted, meta={**planted.meta, "kubernetes": "v1.29.3-gke.100"})

    assert anonymised(run).meta["kubernetes"] == "v1.29.3"


def test_an_empty_run_can_be_copied(tmp_path: Path) -> None:
    """A run that saw nothing has a copy, too."""
    writer = RunWriter.create(tmp_path / "runs", meta={"run_id": "e"})

    found = anonymised(read_run(writer.path))

    assert found.meta["settings"] == {}
    assert len(found.updates) == 0
