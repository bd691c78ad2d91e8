"""Agreement is shown by bounds within margins, not by a test that did not reject."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cmhot.kubelet.settings import Setting
from cmhot.law import Law
from cmhot.statistics import (
    equivalence,
    interval_blocks,
)
from cmhot.statistics.agreement import expected_law
from studies.checks import bootstrap_confidence
from studies.draws import draw_refresh
from tests.unit.statistics.tables import known_law, refreshes


def test_data_that_obey_the_law_are_shown_equivalent() -> None:
    """With enough syncs the bounds lie within the margins, each time the same."""
    table = draw_refresh(
        Setting(10), np.random.default_rng(8), pods=20, window_s=1800.0
    )

    fit = equivalence(table, known_law(), sync_frequency_s=10)

    assert fit["equivalent"] is True
    assert fit == equivalence(table, known_law(), sync_frequency_s=10)
    assert isinstance(fit["sup_difference"], float)
    assert isinstance(fit["upper_95"], float)
    assert fit["sup_difference"] <= fit["upper_95"] <= 0.02


def test_too_little_data_do_not_show_equivalence() -> None:
    """A fit that looks good on few syncs is no agreement."""
    table = draw_refresh(Setting(10), np.random.default_rng(8), pods=8, window_s=60.0)

    fit = equivalence(table, known_law(), sync_frequency_s=10)

    assert fit["equivalent"] is False


def test_few_pods_have_no_verdict() -> None:
    """Below the stated minimum of blocks there is none, however long."""
    table = draw_refresh(Setting(10), np.random.default_rng(1), pods=5, window_s=2000.0)

    fit = equivalence(table, known_law(), sync_frequency_s=10)

    assert fit["upper_95"] is None
    assert fit["equivalent"] is None


@pytest.mark.parametrize("interval_s", [10.0, 16.0, 90.0])
def test_other_periods_are_not_equivalent(interval_s: float) -> None:
    """A fixed period, of whatever length, is told from the law."""
    table = refreshes({f"p{k}": [interval_s] * 100 for k in range(20)})

    fit = equivalence(table, known_law(), sync_frequency_s=10)

    assert fit["equivalent"] is False


def test_the_distance_from_the_law_by_hand() -> None:
    """A fixed period of 13 s has the law's mean interval: they part at t = 13.

    There F̂ = 1 and F = (11 + 0.8 + 0.6) / 13; before, the law is never ahead by more.
    """
    fit = equivalence(refreshes({"p": [13.0] * 3}), known_law(), sync_frequency_s=10)

    assert fit["sup_difference"] == pytest.approx(0.6 / 13, abs=1e-6)
    assert fit["p50_difference_s"] == pytest.approx(0.0, abs=1e-9)
    assert fit["p99_difference_s"] == pytest.approx(12.87 - 14.35, abs=0.001)


def test_the_bounds_are_those_of_the_bootstrap() -> None:
    """Where p50 alone decides, the verdict is whether its 90 % limits keep the margin.

    The law is moved up and down until the bootstrap's limit of the median touches it,
    which is known to 0.2 s: resamples differ, and the tail is moved for few blocks.
    """
    table = draw_refresh(
        Setting(60), np.random.default_rng(2), pods=30, window_s=6000.0
    )
    pair = bootstrap_confidence(interval_blocks(table), level=0.90)["p50_s"]
    assert pair is not None
    for end, sign in ((pair[1], 1), (pair[0], -1)):
        for extra, expected in ((0.2, True), (-0.2, False)):
            median = end - sign * (0.5 - extra)
            fit = equivalence(table, moved_law(median), sync_frequency_s=60)
            assert fit["equivalent"] is expected


def moved_law(median_s: float) -> Law:
    """Give the law at 60 s with another median, and all else moved alike."""
    law = known_law(60)
    t = law.t + median_s - float(law.quantile(0.5))
    return Law(np.append(-100.0, t), np.append(0.0, law.share), law.max_s)


def test_a_tail_that_differs_is_no_agreement() -> None:
    """The last tenth twice as wide moves p99 beyond its margin, and little else."""
    table = draw_refresh(
        Setting(60), np.random.default_rng(2), pods=30, window_s=6000.0
    )
    law = known_law(60)
    p97 = float(law.quantile(0.97))
    t = np.union1d(law.t, p97)
    wide = Law(t + np.maximum(t - p97, 0), law.cdf(t), 2 * law.max_s)

    fit = equivalence(table, wide, sync_frequency_s=60)

    assert isinstance(fit["upper_95"], float)
    assert fit["upper_95"] <= 0.02
    assert fit["equivalent"] is False


def table(
    pods: dict[str, list[str]], *, ttl_s: float | None = 60.0, **columns: object
) -> pd.DataFrame:
    """Give a row for each pod of each node, at S = 60 s under Cache."""
    rows = [
        {
            "sync_frequency_s": 60.0,
            "strategy": "Cache",
            "ttl_s": ttl_s,
            "consumer": "volume",
            "node": node,
            "pod": pod,
            "configmap": "probe",
            **columns,
        }
        for node, names in pods.items()
        for pod in names
    ]
    return pd.DataFrame(rows)


FIVE = {"n": [*"abcde"]}


def mean_s(rows: pd.DataFrame, version: str | None = None) -> float:
    """Give the mean of the law that is expected."""
    law = expected_law(rows, version_of=lambda _: version)
    assert law is not None
    return law.mean_s


def test_pods_of_a_node_share_its_cache() -> None:
    """Five pods of one node wait 59.4 s on average, one alone 38.2 s."""
    assert mean_s(table(FIVE)) == pytest.approx(59.43, abs=0.01)
    assert mean_s(table({"n": ["a"]})) == pytest.approx(38.25, abs=0.01)


def test_a_map_per_pod_is_not_shared() -> None:
    """Five pods with a ConfigMap each are alone."""
    rows = table(FIVE).assign(configmap=[*"vwxyz"])

    assert mean_s(rows) == pytest.approx(38.25, abs=0.01)


def test_nodes_count_by_their_pods() -> None:
    """Five pods on one node and one on another: (5 · 59.43 + 38.25) / 6."""
    assert mean_s(table({**FIVE, "m": ["f"]})) == pytest.approx(55.90, abs=0.02)


def test_nodes_count_by_how_long_they_were_watched() -> None:
    """The lone pod has 20 updates and the five have one: (5 · 59.43 + 20 · 38.25) / 25.

    Both estimators weigh rows so; runs that are pooled differ in length.
    """
    rows = table({**FIVE, "m": ["f"] * 20})

    assert mean_s(rows) == pytest.approx(42.49, abs=0.02)


def test_the_version_counts() -> None:
    """Where no TTL works, sharing is without effect."""
    assert mean_s(table(FIVE), "v1.28.15") == pytest.approx(38.25, abs=0.01)


@pytest.mark.parametrize(
    "unknown",
    [{"ttl_s": None}, {"consumer": "env"}, {"sync_frequency_s": None}],
    ids=["ttl", "consumer", "setting"],
)
def test_where_none_is_known(unknown: dict[str, object]) -> None:
    """Without a TTL or a setting, or where nothing ever updates, there is no law."""
    assert expected_law(table(FIVE).assign(**unknown)) is None  # type: ignore[arg-type]
