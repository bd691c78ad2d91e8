"""What happened to pods and kubelets is found, and nobody else is accused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.cluster.probe import ProbeLog
from cmhot.collector import incidents
from cmhot.collector.incidents import extra_syncs

T0 = 1_767_225_600 * NS_PER_S


def at(second: float) -> int:
    """Give an instant in UTC epoch nanoseconds."""
    return T0 + round(second * NS_PER_S)


def published(pods: dict[str, list[float]], *, noticed_s: float = 0.1) -> pd.DataFrame:
    """Make publications of pods on one node, at seconds after T0, noticed later."""
    return pd.DataFrame(
        [
            {
                "node": "n",
                "pod": pod,
                "published_ns": at(second),
                "read_ns": at(second + noticed_s),
            }
            for pod, seconds in pods.items()
            for second in seconds
        ]
    )


META: dict[str, Any] = {
    "settings": {"n": {"sync_frequency_s": 5.0, "strategy": "Watch", "ttl_s": 0.0}}
}


def test_a_kubelet_that_starts_is_recognised_by_its_pods() -> None:
    """All of its pods publish within seconds, most of them before their time."""
    table = published(
        {
            "a": [0, 6, 12, 14.2, 21],
            "b": [1, 7.0, 14.1, 20],  # its time had come anyway
            "c": [2, 8, 14.3, 20],
            "d": [4, 11, 14.4, 21],
            "e": [4.5, 10.5, 14.6, 20.6],
        }
    )

    found = extra_syncs(table, META, from_ns=T0)

    assert [(one.kind, one.object) for one in found[:1]] == [("restart", "node/n")]
    assert found[0].at_ns == at(14.1) - 1
    # each pod's own publication ends what it waited for; the first is the node's
    assert {(one.object, one.at_ns) for one in found[1:]} == {
        ("pod/a", at(14.2) - 1),
        ("pod/c", at(14.3) - 1),
        ("pod/d", at(14.4) - 1),
        ("pod/e", at(14.6) - 1),
    }


def test_a_crowd_is_no_chance_though_nobody_is_early() -> None:
    """A kubelet that was away for three seconds finds most of its pods due."""
    pods = {f"p{number}": [number % 7, number % 7 + 7.0, 18.0] for number in range(20)}

    found = extra_syncs(published(pods), META, from_ns=T0)

    assert found[0].object == "node/n"
    assert found[0].at_ns == at(18.0) - 1


def test_one_pod_that_is_synced_early_is_its_own_affair() -> None:
    """Somebody edited it."""
    table = published({"a": [0, 6, 8, 14], "b": [1, 7, 13], "c": [2, 9, 15]})

    (found,) = extra_syncs(table, META, from_ns=T0)

    assert (found.object, found.at_ns) == ("pod/a", at(8) - 1)


def test_healthy_pods_are_never_accused() -> None:
    """Intervals of S + 1 to 1.5 S + 1, some tenths early or late."""
    rng = np.random.default_rng(1)
    pods = {
        f"p{number}": np.cumsum(rng.integers(6, 9, 500) + rng.uniform(-0.3, 0.3, 500))
        for number in range(20)
    }
    table = published({pod: seconds.tolist() for pod, seconds in pods.items()})

    assert extra_syncs(table, META, from_ns=T0) == []


def test_a_node_with_too_much_to_do_is_not_accused() -> None:
    """Publications that come late and together were no extra syncs, nor the next ones.

    Syncs are 6 to 8 s apart; 60 s after the start the node is held up for six
    seconds, in which probes notice nothing either.
    """
    rng = np.random.default_rng(3)
    pods = {}
    for number in range(20):
        syncs = rng.uniform(0, 8) + np.cumsum(rng.integers(6, 9, 30))
        held_up = (syncs > 60) & (syncs < 66)
        pods[f"p{number}"] = np.where(held_up, 66.0, syncs).tolist()
    healthy, behind = published(pods), published(pods, noticed_s=6.2)
    mixed = healthy.where(healthy["published_ns"] != at(66.0), behind)

    assert extra_syncs(mixed, META, from_ns=T0) == []
    # seen by probes that were not held up, it was the kubelet alone
    assert extra_syncs(healthy, META, from_ns=T0)[0].object == "node/n"


def test_what_was_synced_on_purpose_is_no_incident() -> None:
    """Before the window every pod is."""
    table = published({"a": [0, 6, 8, 14]})

    assert extra_syncs(table, META, from_ns=at(9)) == []


def test_pods_that_end_are_gone() -> None:
    """Deleted, on their way out, or evicted; each with its reason, and once."""
    names = ("there", "away", "leaving", "evicted")
    logs = [ProbeLog(node="n", pod=name, uid=name, configmap="m") for name in names]
    listed = [
        {"metadata": {"name": "there", "uid": "there"}},
        {"metadata": {"name": "x", "uid": "leaving", "deletionTimestamp": "now"}},
        {
            "metadata": {"name": "x", "uid": "evicted"},
            "status": {"phase": "Failed", "reason": "Evicted"},
        },
        {"metadata": {"name": "new", "uid": "new"}},
    ]

    found = {one.pod: why for one, why in incidents.gone_probes(logs, listed)}

    assert found == {
        "away": "it was deleted",
        "leaving": "it is being deleted",
        "evicted": "it ended: Evicted",
    }
    assert incidents.replacements(logs, listed) == ["new"]


def node(boot: str, ready: str) -> dict[str, Any]:
    """Make a Node."""
    return {
        "metadata": {"name": "n"},
        "status": {
            "nodeInfo": {"bootID": boot},
            "conditions": [{"type": "Ready", "status": ready}],
        },
    }


def test_nodes_that_boot_or_fall_silent_are_recorded() -> None:
    """A boot interrupts; silence is told, and so is the end."""
    before = incidents.node_states([node("1", "True")])

    def change(*nodes: dict[str, Any]) -> list[str]:
        now = incidents.node_states(nodes)
        return [one.kind for one in incidents.node_changes(before, now, at_ns=T0)]

    assert change(node("1", "True")) == []
    assert change(node("2", "True")) == ["restart"]
    assert change(node("1", "Unknown")) == ["node_ready"]
    assert change() == ["node_gone"]
