"""Which runs a notebook's question gets: given, found, or collected."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from cmhot.errors import RunError, UsageError
from cmhot.experiments.loading import (
    ANY_RUN,
    FRESH_READS,
    SEVERAL_PODS,
    SEVERAL_STRATEGIES,
    SEVERAL_SYNCS,
    load_runs,
)
from cmhot.kubelet.settings import parse_setting
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import RunWriter, read_meta

if TYPE_CHECKING:
    from pathlib import Path

    from cmhot.experiments.loading import Need

TINY = Plan(pods=2, duration_s=20.0)


def write(
    out: Path,
    run_id: str,
    *settings: str,
    age: int = 0,
    **meta: Any,  # noqa: ANN401
) -> Path:
    """Write the outline of a complete run with a pod at each setting."""
    nodes = {f"n{turn}": parse_setting(text) for turn, text in enumerate(settings)}
    writer = RunWriter.create(
        out,
        meta={
            "format": 1,
            "run_id": run_id,
            "target": "testbed",
            "status": "complete",
            "settings": {
                node: {
                    "sync_frequency_s": setting.sync_frequency_s,
                    "strategy": str(setting.strategy),
                    "ttl_s": setting.ttl_s,
                }
                for node, setting in nodes.items()
            },
            "pods": [
                {"node": node, "pod": f"p-{node}", "consumer": "volume"}
                for node in nodes
            ],
            **meta,
        },
    )
    stamp = 1_800_000_000 - age
    os.utime(writer.path / "run.json", (stamp, stamp))
    return writer.path


@pytest.mark.parametrize(
    ("need", "settings", "fits"),
    [
        (ANY_RUN, [], True),
        (ANY_RUN, ["sync=60s"], True),
        (SEVERAL_SYNCS, ["sync=5s", "sync=5s,strategy=Get"], False),
        (SEVERAL_SYNCS, ["sync=5s", "sync=10s"], True),
        (SEVERAL_SYNCS, ["sync=5s", "sync=10s,strategy=Cache,ttl=60"], False),
        (SEVERAL_STRATEGIES, ["sync=5s", "sync=10s,strategy=Get"], False),
        (SEVERAL_STRATEGIES, ["sync=5s", "sync=5s,strategy=Get"], True),
        (
            SEVERAL_STRATEGIES,
            ["sync=5s,strategy=Cache", "sync=5s,strategy=Cache,ttl=60"],
            True,
        ),
        (SEVERAL_PODS, ["sync=5s", "sync=10s"], False),
        (SEVERAL_PODS, ["sync=5s", "sync=5s"], True),
        (FRESH_READS, ["sync=10s,strategy=Cache,ttl=60"], False),
        (FRESH_READS, ["sync=10s,strategy=Cache"], True),
    ],
)
def test_what_a_question_needs(need: Need, settings: list[str], fits: bool) -> None:  # noqa: FBT001
    """Each question says which pods it can be answered from."""
    assert need.fits([parse_setting(text) for text in settings]) is fits


@pytest.mark.parametrize("need", [SEVERAL_SYNCS, SEVERAL_STRATEGIES, SEVERAL_PODS])
def test_unknown_settings_answer_nothing(need: Need) -> None:
    """Pods whose setting nobody knows cannot be compared."""
    assert not need.fits([None, None])


def test_needs_name_nodes_that_have_it() -> None:
    """What a testbed is to be started with would do."""
    for need in (ANY_RUN, SEVERAL_SYNCS, SEVERAL_STRATEGIES, FRESH_READS):
        assert need.fits(need.nodes)


def load(out: Path, need: Need, *runs: Path, target: str = "testbed") -> list[Path]:
    """Load without collecting more than a little."""
    return load_runs(runs, need=need, target=target, plan=TINY, out=out)


def test_given_runs_are_taken(tmp_path: Path) -> None:
    """No target is asked, and two runs may have together what one has not."""
    runs = [write(tmp_path, "a", "sync=5s"), write(tmp_path, "b", "sync=10s")]

    assert load(tmp_path, SEVERAL_SYNCS, *runs, target="context:none") == runs


def test_a_run_that_does_not_list_its_pods(tmp_path: Path) -> None:
    """Somebody else's run is taken, too: its nodes have several pods each."""
    run = write(tmp_path, "a", "sync=5s", pods=None)

    assert load(tmp_path, ANY_RUN, run) == [run]
    assert load(tmp_path, SEVERAL_PODS, run) == [run]
    with pytest.raises(RunError, match="needs nodes of two or more syncFrequency"):
        load(tmp_path, SEVERAL_SYNCS, run)


def test_given_runs_that_cannot_answer(tmp_path: Path) -> None:
    """They are refused, with what is needed and what they have."""
    run = write(tmp_path, "a", "sync=5s", "sync=5s")

    with pytest.raises(
        RunError,
        match=r"needs nodes of two or more syncFrequency, and a has 2 probe pods "
        r"\(2 at 5 s, Watch\)",
    ):
        load(tmp_path, SEVERAL_SYNCS, run)


def test_the_newest_that_fits_is_found(tmp_path: Path) -> None:
    """Older ones, unfinished ones, other targets and other settings are passed over."""
    write(tmp_path, "older", "sync=5s", "sync=10s", age=9)
    wanted = write(tmp_path, "wanted", "sync=5s", "sync=10s", age=8)
    write(tmp_path, "unfinished", "sync=5s", "sync=10s", status="interrupted")
    write(tmp_path, "elsewhere", "sync=5s", "sync=10s", target="context:x")
    write(tmp_path, "one-setting", "sync=5s", "sync=5s")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")

    assert load(tmp_path, SEVERAL_SYNCS, target="testbed:other") == [wanted]


def test_else_a_small_one_is_collected(tmp_path: Path) -> None:
    """On the model at the settings that are needed; the next time it is found."""
    (run,) = load(tmp_path / "runs", SEVERAL_STRATEGIES, target="model")

    meta = read_meta(run)
    assert (meta["status"], meta["target"], meta["plan"]["pods"]) == (
        "complete",
        "model",
        2,
    )
    assert {
        (one["strategy"], one["sync_frequency_s"], one["ttl_s"])
        for one in meta["settings"].values()
    } == {("Watch", 10, 0), ("Get", 10, 0), ("Cache", 10, 0), ("Cache", 10, 30)}
    assert load(tmp_path / "runs", SEVERAL_STRATEGIES, target="model") == [run]


def test_nodes_that_would_not_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the target has not what is needed nothing is created; the remedy is said."""
    from cmhot.cluster.model import ModelCluster  # noqa: PLC0415
    from cmhot.experiments import loading  # noqa: PLC0415

    monkeypatch.setattr(loading, "connect", lambda _: ModelCluster())

    with pytest.raises(
        UsageError,
        match=r"needs two or more pods .*, and testbed has 6 probe pods .*"
        r"cmhot testbed up --node sync=5s,strategy=Watch --node",
    ):
        load_runs(
            [],
            need=SEVERAL_PODS,
            target="testbed",
            plan=Plan(pods=1),
            out=tmp_path / "runs",
        )
    assert not (tmp_path / "runs").exists()
