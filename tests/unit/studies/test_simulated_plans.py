"""Folk laws and the law, judged by simulating the whole plan."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cmhot.clock import NS_PER_S
from cmhot.errors import RunError, UsageError
from cmhot.kubelet.eras import Timing
from cmhot.kubelet.settings import Setting, Strategy
from studies.draws import TIMING, draw_delays
from studies.simulated_plans import (
    Design,
    EveryPeriod,
    FixedDelay,
    KubeletLaw,
    folk_laws,
    judge_hypotheses,
)
from tests.unit.statistics.tables import T0, delays, lost

if TYPE_CHECKING:
    from studies.simulated_plans import Hypothesis

CACHE = Setting(10, Strategy.CACHE, 60.0)


def uniform(shares: np.ndarray) -> float:
    """Give Kolmogorov's p-value that F of the delays is uniform, as it must be."""
    return float(stats.kstest(shares, "uniform").pvalue)


def spread(pods: int, updates: int, rng: np.random.Generator) -> Design:
    """Give a plan in which all pods of all nodes see the same updates."""
    made = np.sort(rng.uniform(0, 500, updates))
    return Design(
        pod=np.repeat(np.arange(pods), updates),
        made_s=np.tile(made, pods),
        entry=np.arange(pods),
    )


def drawn(one: Hypothesis, rng: np.random.Generator) -> pd.DataFrame:
    """Give the delays that a hypothesis makes of 12 pods and 60 updates."""
    design = spread(12, 60, rng)
    waited = one.draw(design, rng)
    table = delays({f"p{k:02}": [1.0] * 60 for k in range(12)})
    return table.assign(
        delay_s=waited, waited_s=waited, acked_ns=T0 + (design.made_s * 1e9).astype(int)
    )


@pytest.mark.parametrize(
    "one",
    [
        EveryPeriod(60.0),
        FixedDelay(10.0),
        KubeletLaw(Setting(2), None, Timing(staleness_s=0.5, write_s=0.1)),
        KubeletLaw(CACHE, None, TIMING),
        KubeletLaw(CACHE, "v1.27.0", TIMING),
    ],
    ids=["period", "fixed", "late", "Cache", "Cache, TTL without effect"],
)
def test_a_hypothesis_draws_what_it_says(one: Hypothesis) -> None:
    """One update of each of 3000 pods follows its F: Kolmogorov's test at 1 %."""
    rng = np.random.default_rng(1)
    design = spread(3000, 1, rng)

    waited = one.draw(design, rng)

    assert waited.min() >= 0
    assert waited.max() <= one.max_s
    assert uniform(one.cdf(waited)) > 0.01


def test_a_period_is_kept_by_hand() -> None:
    """Updates 7 s apart wait 7 s less, or that and a period: the phase is the pod's."""
    design = Design(
        np.zeros(3, dtype=np.int64), np.array([0.0, 7.0, 14.0]), np.zeros(1, int)
    )

    first, second, third = EveryPeriod(10.0).draw(design, np.random.default_rng(2))

    assert (first - second) % 10 == pytest.approx(7.0)
    assert (second - third) % 10 == pytest.approx(7.0)


def test_the_law_is_not_rejected() -> None:
    """Delays that the law made have a distance as simulated plans have."""
    table = draw_delays(Setting(10), np.random.default_rng(3), pods=10, window_s=180.0)

    (row,) = judge_hypotheses(
        table, [KubeletLaw(Setting(10), None, TIMING)], replicates=199
    ).to_dict("records")

    assert row["hypothesis"] == "the law at 10 s, Watch"
    assert row["n"] == len(table)
    assert row["p_value"] > 0.05
    again = judge_hypotheses(
        table, [KubeletLaw(Setting(10), None, TIMING)], replicates=199
    )
    assert again["p_value"][0] == row["p_value"]


def test_folk_laws_are_rejected() -> None:
    """Of what is said of the delay nothing survives, together, at 5 %."""
    table = draw_delays(Setting(60), np.random.default_rng(4), pods=20, window_s=900.0)

    found = judge_hypotheses(table, folk_laws(Setting(60)), replicates=199)

    assert found["hypothesis"].tolist() == [
        "always 10 s",
        "U(0, 60 s)",
        "U(0, 90 s)",
        "always 60 s",
    ]
    assert found["p_value"].tolist() == [1 / 200] * 4  # none of 199 is as far
    assert found["p_holm"].tolist() == pytest.approx([4 / 200] * 4)


def test_a_folk_law_that_holds_is_not_rejected() -> None:
    """A kubelet that did refresh each 60 s would pass: the test is no rubber stamp."""
    rng = np.random.default_rng(5)

    found = judge_hypotheses(
        drawn(EveryPeriod(60.0), rng),
        [EveryPeriod(60.0), EveryPeriod(90.0)],
        replicates=199,
    )

    assert found["p_value"][0] > 0.05
    assert found["p_value"][1] <= 0.01


def test_the_distance_by_hand() -> None:
    """All delays 5 s against U(0, 10): F̂ jumps to 1 where F is 1/2."""
    table = delays({f"p{k}": [5.0] * 3 for k in range(4)})

    found = judge_hypotheses(table, [EveryPeriod(10.0)], replicates=9)

    assert found["distance"][0] == pytest.approx(0.5, abs=0.01)


def test_folk_laws_name_each_once() -> None:
    """At S + TTL = 10 s "fixed 10 s" is said once."""
    assert len(folk_laws(Setting(10))) == 3
    assert folk_laws(CACHE)[-1] == FixedDelay(70.0)


def test_large_tables_are_thinned_by_updates() -> None:
    """Of 40,000 rows at most 5000 are taken, from all pods."""
    table = delays({f"p{k}": [float(k % 10)] * 400 for k in range(100)})

    found = judge_hypotheses(table, [EveryPeriod(10.0)], replicates=9)

    assert found["n"][0] == 100 * 50


def test_many_lost_delays_cannot_be_judged() -> None:
    """With more than 1 % waited for in vain the distribution is not known."""
    table = delays({f"p{k}": [1.0] * 10 for k in range(8)})
    table = pd.concat([table[2:], lost(table[:2], "timeout", waited_s=99.0)])

    with pytest.raises(RunError, match=r"2\.5% of the delays were waited for in vain"):
        judge_hypotheses(table, folk_laws(Setting(10)))


def test_an_empty_family_judges_nothing() -> None:
    """The family is declared, so there is one."""
    with pytest.raises(UsageError, match="no hypothesis"):
        judge_hypotheses(delays({"p": [1.0]}), [])


def test_a_law_without_its_ttl_is_unknown() -> None:
    """Cache with an unknown TTL has no law to hold data against."""
    one = KubeletLaw(Setting(10, Strategy.CACHE, None))

    with pytest.raises(UsageError, match="without the TTL"):
        one.cdf(np.array([1.0]))


def test_shared_updates_are_dependent() -> None:
    """Updates of one interval share its end: their publications are the same."""
    design = Design(
        np.zeros(2, dtype=np.int64), np.array([0.0, 0.5]), np.zeros(1, dtype=np.int64)
    )
    rng = np.random.default_rng(6)

    pairs = np.array(
        [KubeletLaw(Setting(60)).draw(design, rng) + design.made_s for _ in range(200)]
    )

    same = float(np.mean(np.isclose(pairs[:, 0], pairs[:, 1])))
    assert math.isclose(same, 1 - 0.5 / 75.5, abs_tol=0.02)


def test_absolute_time_is_no_matter() -> None:
    """Stamps are counted from the first update: absolute time changes nothing."""
    table = delays({f"p{k}": [1.0, 5.0, 9.0] for k in range(8)})
    later = table.assign(acked_ns=table["acked_ns"] + 10**6 * NS_PER_S)

    one, other = (
        judge_hypotheses(t, [EveryPeriod(10.0)], replicates=99) for t in (table, later)
    )

    assert one.equals(other)
