"""Questions of one setting get one: the one asked for, or the one with most to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cmhot.errors import RunError, UsageError
from cmhot.kubelet.settings import Setting
from cmhot.statistics.population import pick

if TYPE_CHECKING:
    from tests.unit.conftest import SimulateRun

FOUR = ("sync=2s", "sync=5s", "sync=20s", "sync=30s,strategy=Cache,ttl=60")


def test_shortest_or_longest(simulate_run: SimulateRun) -> None:
    """Of 2, 5 and 20 s it is 5 s or 20 s; where a TTL works, no question is asked."""
    path = simulate_run("a", settings=FOUR, pods=2).path

    assert pick([path]).setting == Setting(5)
    assert pick([path], longest=True).setting == Setting(20)


def test_a_short_one_where_there_is_no_other(simulate_run: SimulateRun) -> None:
    """Below 5 s is better than nothing."""
    path = simulate_run("a", settings=("sync=2s",), pods=2).path

    assert pick([path]).setting == Setting(2)


def test_what_was_asked_for(simulate_run: SimulateRun) -> None:
    """It comes with its refreshes only, its run and the version of its kubelets."""
    path = simulate_run("a", settings=FOUR, pods=2).path

    found = pick([path], at="sync=20s")

    assert (found.setting, found.run, found.pods) == (Setting(20), "a", 2)
    assert (found.kubernetes, found.modelled) == ("v1.37.1", True)
    assert found.refresh["sync_frequency_s"].unique().tolist() == [20.0]
    seen = found.delays()
    assert seen["sync_frequency_s"].unique().tolist() == [20.0]
    assert sorted(seen["pod"].unique()) == sorted(found.refresh["pod"].unique())


def test_one_run_with_the_most_pods(simulate_run: SimulateRun) -> None:
    """Pods of two runs are not watched at the same instants: never taken together."""
    paths = [
        simulate_run(name, settings=("sync=5s",), pods=pods).path
        for name, pods in (("few", 2), ("many", 3), ("more-of-few", 2))
    ]

    found = pick(paths)

    assert (found.run, found.pods) == ("many", 3)


def test_what_is_not_there(simulate_run: SimulateRun) -> None:
    """A setting that was not measured, or under which a TTL works, is refused."""
    path = simulate_run("a", settings=FOUR, pods=2).path

    with pytest.raises(RunError, match=r"no refreshes at 60 s, Watch in a, .*20 s, W"):
        pick([path], at="sync=60s")
    with pytest.raises(RunError, match="no refreshes at 30 s, Cache"):
        pick([path], at=FOUR[-1])
    with pytest.raises(UsageError, match="cannot read 'fast'"):
        pick([path], at="fast")
