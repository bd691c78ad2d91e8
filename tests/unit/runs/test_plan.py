"""The schedule is fixed beforehand, bounded and jittered."""

import json
from typing import Any

import numpy as np
import pytest

from cmhot.errors import UsageError
from cmhot.kubelet.settings import Setting
from cmhot.runs.plan import Plan, update_offsets_ns


def test_gaps_are_bounded_and_the_seed_decides() -> None:
    """Every gap lies in [0.5, 1.5] of the mean, and a seed gives one schedule."""
    offsets = update_offsets_ns(np.random.default_rng(3), duration_s=600, gap_s=2)
    again = update_offsets_ns(np.random.default_rng(3), duration_s=600, gap_s=2)
    gaps = np.diff(offsets) / 1e9

    assert offsets == again
    assert gaps.min() >= 1
    assert gaps.max() <= 3
    # 300 gaps of sd 0.58 s: four standard errors of their mean
    assert abs(gaps.mean() - 2) < 4 * 0.58 / np.sqrt(300)
    assert 0 <= offsets[0] <= 3e9
    assert 597e9 < offsets[-1] < 600e9


def test_a_window_shorter_than_a_gap_has_one_update() -> None:
    """Some trial is always made."""
    rng = np.random.default_rng(1)
    assert len(update_offsets_ns(rng, duration_s=0.1, gap_s=60)) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"pods": 0}, "at least one"),
        ({"pods": -3}, "at least one"),
        ({"duration_s": 0.0}, "--duration"),
        ({"duration_s": -5.0}, "--duration"),
        ({"gap_s": 0.01}, "at least 0.2 s"),
    ],
)
def test_impossible_plans_are_refused(given: dict[str, float], said: str) -> None:
    """A plan that cannot be carried out says what would be possible."""
    with pytest.raises(UsageError, match=said):
        Plan(**given)  # type: ignore[arg-type] # parametrised


def test_the_longest_gap_is_a_quarter_of_the_shortest_setting() -> None:
    """1.5 g ≤ S/4, so that no sync finds nothing new."""
    settings = [Setting(60), Setting(12)]

    assert Plan().mean_gap_s(settings) == 2
    assert Plan(gap_s=7).mean_gap_s(settings) == 7
    assert Plan().mean_gap_s([Setting(1)]) == 0.2


def test_a_plan_survives_its_record() -> None:
    """As JSON gives it back, it is the same plan, tuples included."""
    plan = Plan(
        setting="sync=10s",
        node_selector=("pool=a",),
        tolerations=("gpu", "*"),
        node_labels=("pool",),
    )

    kept = json.loads(json.dumps(plan.to_dict()))

    assert Plan.from_dict(kept) == plan
    assert plan.given_setting == Setting(10)
    assert plan.placement.node_selector == (("pool", "a"),)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"setting": "often"}, "cannot read 'often'"),
        ({"tolerations": ("gpu:Maybe",)}, "cannot read the toleration"),
        ({"node_selector": ("pool",)}, "LABEL=VALUE"),
    ],
)
def test_what_cannot_be_read_is_refused_at_once(
    wrong: dict[str, Any], said: str
) -> None:
    """Before anything is asked of a cluster."""
    with pytest.raises(UsageError, match=said):
        Plan(**wrong)


def test_a_plan_comes_back_from_run_json() -> None:
    """As it was; one with unknown keys is of another cmhot."""
    plan = Plan(pods=3, gap_s=0.5, node_selector=("a=b",))

    assert Plan.from_dict(plan.to_dict()) == plan
    with pytest.raises(UsageError, match="of another cmhot"):
        Plan.from_dict({**plan.to_dict(), "new": 1})


def test_pods_of_one_sync_frequency_are_another_number() -> None:
    """Only settings of exactly that `syncFrequency` have it; run.json keeps it."""
    plan = Plan(pods=16, pods_at=("60s=80",))

    again = Plan.from_dict(json.loads(json.dumps(plan.to_dict())))

    assert [again.pods_of(Setting(sync_s)) for sync_s in (60, 5)] == [80, 16]
    assert again.pods_of(None) == 16


@pytest.mark.parametrize("text", ["60s", "60s=", "60s=many", "=3", "60s=0"])
def test_an_unreadable_number_of_pods_is_refused(text: str) -> None:
    """It is wrong use, before anything is created."""
    with pytest.raises(UsageError, match=r"60s=80|is not a duration|at least one"):
        Plan(pods_at=(text,))
