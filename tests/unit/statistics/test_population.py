"""Which rows belong together, and what is refused."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from cmhot.errors import RunError, UsageError
from cmhot.kubelet.settings import Setting
from cmhot.statistics import (
    confidence,
    delay_blocks,
    describe_delays,
    describe_intervals,
    fleet_maximum,
    interval_blocks,
    kaplan_meier,
    never_updates,
    phase_coherence,
    survival_curve,
)
from cmhot.statistics.population import codes_of, one_population, populations
from studies.checks import exact_quantile
from studies.simulated_plans import folk_laws, judge_hypotheses
from tests.unit.statistics.tables import POPULATION, delays, lost, refreshes

if TYPE_CHECKING:
    from collections.abc import Callable

    Statistic = Callable[[pd.DataFrame], object]

OF_DELAYS: dict[str, Statistic] = {
    "describe_delays": describe_delays,
    "delay_blocks": delay_blocks,
    "kaplan_meier": kaplan_meier,
    "survival_curve": survival_curve,
    "exact_quantile": lambda table: exact_quantile(table, quantile=0.5),
    "never_updates": never_updates,
    "judge_hypotheses": lambda table: judge_hypotheses(table, folk_laws(Setting(10))),
}
OF_REFRESHES: dict[str, Statistic] = {
    "describe_intervals": describe_intervals,
    "interval_blocks": interval_blocks,
    "fleet_maximum": fleet_maximum,
    "phase_coherence": phase_coherence,
}
OF_ONE = ["delay_blocks", "kaplan_meier", "survival_curve", "exact_quantile"]


def test_populations_come_in_the_order_of_the_setting() -> None:
    """Each setting and consumer has its rows; what is not known comes last."""
    ten = delays({"p": [1.0, 2.0]})
    two = ten.assign(sync_frequency_s=2.0)
    unknown = ten.assign(sync_frequency_s=math.nan, strategy=None, ttl_s=math.nan)
    env = ten.assign(consumer="env")

    found = [*populations(pd.concat([unknown, ten, two, env]))]

    assert [(key["sync_frequency_s"], key["consumer"]) for key, _ in found[:3]] == [
        (2.0, "volume"),
        (10.0, "env"),
        (10.0, "volume"),
    ]
    last, rows = found[3]
    assert math.isnan(last["sync_frequency_s"])
    assert math.isnan(last["strategy"])
    assert len(rows) == 2


def test_categories_make_the_same_populations_as_text() -> None:
    """Names may be categories, some of which do not occur."""
    text = pd.concat(
        [delays({"p": [1.0]}), delays({"q": [2.0]}).assign(consumer="env")]
    )
    coded = text.assign(
        **{
            name: pd.Categorical(text[name], ["zz", *sorted(set(text[name]))[::-1]])
            for name in ("strategy", "consumer", "pod", "node")
        }
    )

    assert [key for key, _ in populations(coded)] == [
        key for key, _ in populations(text)
    ]
    assert codes_of(coded["pod"])[1] == 2


def test_one_population_says_which() -> None:
    """The key of a table with a single population is its setting and consumer."""
    assert one_population(delays({"p": [1.0]})) == POPULATION


@pytest.mark.parametrize("name", OF_DELAYS)
def test_no_delays_have_no_statistics(name: str) -> None:
    """An empty table is refused, and the message says what to give."""
    with pytest.raises(UsageError, match="without rows"):
        OF_DELAYS[name](delays({"p": [1.0]})[:0])


@pytest.mark.parametrize("name", OF_REFRESHES)
def test_no_refreshes_have_no_statistics(name: str) -> None:
    """An empty table is refused, and the message says what to give."""
    with pytest.raises(UsageError, match="without rows"):
        OF_REFRESHES[name](refreshes({"p": [1.0]})[:0])


@pytest.mark.parametrize("name", [n for n in OF_DELAYS if n != "never_updates"])
def test_an_observed_row_has_a_delay(name: str) -> None:
    """An observed row without a delay is damage, and never a number."""
    table = delays({f"p{k}": [1.0, 2.0] for k in range(8)})
    table.loc[3, "delay_s"] = np.nan

    with pytest.raises(RunError, match="1 observed rows have no delay"):
        OF_DELAYS[name](table)


@pytest.mark.parametrize(
    "name", [n for n in OF_DELAYS if n not in {"describe_delays", "delay_blocks"}]
)
def test_all_censored_is_no_number(name: str) -> None:
    """Where no delay was observed, no quantile is made up; never_updates bounds."""
    table = lost(delays({f"p{k}": [1.0] for k in range(8)}), "timeout", waited_s=20.0)

    if name == "never_updates":
        assert never_updates(table)["pods_updated"].tolist() == [0]
    else:
        with pytest.raises(RunError, match="none of 8 updates was seen"):
            OF_DELAYS[name](table)


def test_all_censored_has_no_limits() -> None:
    """Blocks of nothing observed give no interval, and the table says so with NaN."""
    table = lost(delays({f"p{k}": [1.0] for k in range(8)}), "timeout", waited_s=20.0)

    assert set(confidence(delay_blocks(table, worst_case=True)).values()) == {None}
    assert set(confidence(delay_blocks(table)).values()) == {None}
    assert math.isnan(describe_delays(table)["p50_s"][0])


@pytest.mark.parametrize("name", OF_ONE)
def test_several_settings_are_no_one_population(name: str) -> None:
    """Where one setting is expected, two are refused by name."""
    table = delays({"p": [1.0] * 8})
    two = pd.concat([table, table.assign(sync_frequency_s=60.0)])

    with pytest.raises(UsageError, match=r"different sync_frequency_s \(10.0, 60.0\)"):
        OF_DELAYS[name](two)


@pytest.mark.parametrize("name", OF_DELAYS)
def test_modelled_and_measured_are_not_mixed(name: str) -> None:
    """A table that says of some rows that they were modelled is refused."""
    table = delays({"p": [1.0] * 8}).assign(modelled=False)

    with pytest.raises(RunError, match="modelled and measured"):
        OF_DELAYS[name](pd.concat([table, table.assign(modelled=True)]))


@pytest.mark.parametrize("name", [n for n in OF_REFRESHES if n != "phase_coherence"])
def test_a_refresh_has_a_length(name: str) -> None:
    """A refresh without a length is damage."""
    table = refreshes({"p": [11.0, 12.0]}, least={"p": [0.0, 12.0]})

    with pytest.raises(RunError, match="1 refresh intervals have no length"):
        OF_REFRESHES[name](table)
