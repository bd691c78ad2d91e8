"""Methods compared on the model, and what is made of samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cmhot.cluster.port import NAMESPACE
from cmhot.errors import CheckError, UsageError
from cmhot.experiments.forcing import (
    ReadySample,
    RequestCounter,
    capacity,
    compare_methods,
    first_ready,
)
from cmhot.experiments.stage import (
    Stage,
)

if TYPE_CHECKING:
    from cmhot.cluster.model import ModelCluster


def namespaces(cluster: ModelCluster) -> int:
    """Count what is there."""
    return len(cluster.list(NAMESPACE)[0])


def samples(*ready: str) -> list[ReadySample]:
    """Make samples a second apart; each letter is a pod that was Ready."""
    return [ReadySample(float(at), frozenset(pods)) for at, pods in enumerate(ready)]


def test_capacity_is_what_was_missing() -> None:
    """Of 4 replicas: 2 missing for a second, 4 for one, then all are there."""
    found = capacity(samples("abcd", "ab", "", "efgh", "efgh"), 4)

    assert found == (0.0, 6.0)


def test_more_than_the_replicas_are_no_gain() -> None:
    """A surge makes up for nothing."""
    assert capacity(samples("abcdef", "abc", "abcd"), 4) == (0.75, 1.0)


def test_a_pod_is_ready_from_its_first_look_on() -> None:
    """One that was never Ready is an error, since the refresh had said it was."""
    seen = samples("a", "ab", "abc")

    assert first_ready(seen, {"b", "c"}) == [1.0, 2.0]
    with pytest.raises(CheckError, match="pod d was not seen"):
        first_ready(seen, {"d"})


def test_each_remedy_has_its_price(cluster: ModelCluster) -> None:
    """To annotate replaces nobody, rollout keeps three quarters, recreate nothing."""
    told: list[str] = []
    table = compare_methods(cluster, repeats=2, pods=8, report=told.append)

    by = table.groupby("method")
    assert by.size().to_dict() == dict.fromkeys(
        ["nothing", "annotate", "rollout", "recreate"], 2
    )
    costs = by[["restarted", "min_ready_share", "requests"]].first()
    assert costs.T.to_dict("list") == {
        "nothing": [0, 1.0, 0],
        "annotate": [0, 1.0, 8],
        "rollout": [8, 0.75, 1],
        "recreate": [8, 0.0, 2],
    }
    seconds = by["seconds"].max()
    # the volume loops' 0.2 s, the watch, and 8 writes of 5 ms
    assert 0.01 < seconds["annotate"] < 0.3
    assert seconds["annotate"] < seconds["rollout"] < seconds["recreate"]
    lost = by["pod_seconds_lost"].first()
    assert lost["annotate"] == 0 < lost["rollout"] < lost["recreate"]
    assert (by["api_requests"].first() >= by["requests"].first()).all()
    assert len(told) == 6
    # five seconds before each of six trials, which take some 20 s together
    assert cluster.clock.monotonic() > 45
    assert namespaces(cluster) == 0


def test_looks_are_not_counted(cluster: ModelCluster) -> None:
    """What is asked for through it is; a sleep of a second looks five times."""
    with Stage(cluster) as stage:
        labels = {"a": "b"}
        counter = RequestCounter(cluster, namespace=stage.namespace, labels=labels)
        counter.get(NAMESPACE, stage.namespace)
        limited = counter.until(60.0)  # as `refresh` asks for
        limited.get(NAMESPACE, stage.namespace)
        # each look takes a request of 5 ms of the second
        limited.clock.sleep(1.0)

    assert counter.requests == 2
    assert len(counter.samples) == 5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"repeats": -1}, "repeats = -1 is not possible"),
        ({"pods": 0}, "pods = 0 is not possible"),
        ({"methods": ["restart"]}, "'restart' is none; choose of annotate, rollout"),
        ({"methods": []}, "none is given"),
        ({"node": "moon"}, "node = 'moon'"),
    ],
    ids=["repeats", "pods", "method", "no-method", "node"],
)
def test_what_cannot_be_compared_makes_nothing(
    cluster: ModelCluster, values: dict[str, object], message: str
) -> None:
    """A wrong value is named, before there is a namespace."""
    before = cluster._store.version

    with pytest.raises(UsageError, match=message):
        compare_methods(cluster, **values)  # type: ignore[arg-type]

    assert cluster._store.version == before
