"""A setting given by hand that is not the kubelet's: told, recorded, and not used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from cmhot.cli import cli
from cmhot.cluster.nodes import ObservedNode, conflict_warning, setting_conflicts
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.runs.rundir import read_run

if TYPE_CHECKING:
    from pathlib import Path


def node(name: str, setting: Setting | None, source: str = "configz") -> ObservedNode:
    """Make an observed node."""
    return ObservedNode(name, name, "v1.37.1", "containerd://2", setting, source)


@pytest.mark.parametrize(
    ("setting", "source", "given", "named"),
    [
        (Setting(10), "configz", Setting(20), ["a"]),
        (Setting(10), "configz", Setting(10, Strategy.GET), ["a"]),
        (Setting(10), "configz", Setting(10), []),
        (Setting(10), "configz", None, []),
        (Setting(10), "configz", Setting(10, ttl_s=30), []),
        (
            Setting(10, Strategy.CACHE, 0),
            "configz",
            Setting(10, Strategy.CACHE, 5),
            "a",
        ),
        (Setting(20), "given", Setting(20), []),
        (None, "unknown", Setting(20), []),
    ],
)
def test_the_kubelets_word_against_the_users(
    setting: Setting | None, source: str, given: Setting | None, named: list[str]
) -> None:
    """Only what a kubelet itself says contradicts; a TTL only under Cache."""
    found = setting_conflicts([node("a", setting, source)], given)

    assert [one.node for one in found] == list(named)


def test_a_thousand_nodes_are_one_sentence() -> None:
    """Nodes are counted by what they say."""
    nodes = [node(f"n{k}", Setting(10)) for k in range(999)] + [node("m", Setting(5))]

    said = conflict_warning(setting_conflicts(nodes, Setting(20)))

    assert said.startswith(
        "--setting gives 20 s, Watch, but kubelets say 5 s, Watch on 1 node; "
        "10 s, Watch on 999 nodes: the kubelets' word counts"
    )


def test_collect_warns_and_records(tmp_path: Path) -> None:
    """A line on standard error, an event for each node, and the kubelets' settings."""
    answer = CliRunner().invoke(
        cli,
        [
            *("collect", "--target", "model", "--pods", "1", "--duration", "20s"),
            *("--setting", "sync=10s", "--out", str(tmp_path)),
        ],
    )

    assert answer.exit_code == 0, answer.stderr
    assert (
        "--setting gives 10 s, Watch, but kubelets say 5 s, Watch on" in answer.stderr
    )
    (path,) = tmp_path.iterdir()
    assert answer.stdout == f"{path}\n"
    run = read_run(path)
    told = run.events[run.events["kind"] == "setting_contradicted"]
    # of the model's six nodes one is at 10 s under Watch
    assert told["object"].tolist() == [f"node/model-{n}" for n in (1, 3, 4, 5, 6)]
    assert told["detail"].iloc[0] == {
        "kubelet": "sync-5s.watch.ttl-0",
        "given": "sync-10s.watch.ttl-0",
    }
    known = run.meta["settings"]["model-1"]
    assert (known["sync_frequency_s"], known["source"]) == (5, "configz")


def test_who_agrees_is_not_warned(tmp_path: Path) -> None:
    """Without --setting there is nothing to contradict."""
    answer = CliRunner().invoke(
        cli,
        [
            *("collect", "--target", "model", "--pods", "1", "--duration", "20s"),
            *("--out", str(tmp_path)),
        ],
    )

    assert answer.exit_code == 0
    assert "--setting" not in answer.stderr
