"""The two estimators, against sums done by hand and against random instants."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cmhot.kubelet.settings import Setting, Strategy
from cmhot.statistics import describe_delays, describe_intervals
from cmhot.statistics.population import refresh_cdf
from studies.draws import draw_delays, draw_refresh, truth
from tests.unit.statistics.tables import POPULATION, delays, lost, refreshes


def test_the_direct_estimator_counts_and_describes() -> None:
    """Numbers are of observed delays only; each other status is counted."""
    seen = delays({"p": [1.0, 2.0, 3.0], "q": [10.0]})
    statuses = ["timeout", "timeout", "missed", "failed"]
    rest = lost(seen, "timeout", waited_s=9.0).assign(status=statuses)

    (row,) = describe_delays(pd.concat([seen, rest])).to_dict("records")

    assert row == POPULATION | {
        "pods": 2,
        "n_delays": 4,
        "n_timeout": 2,
        "n_interrupted": 0,
        "n_missed": 1,
        "n_not_sent": 0,
        "n_failed": 1,
        "mean_s": 4.0,
        "p50_s": 2.5,
        "p90_s": pytest.approx(7.9),
        "p95_s": pytest.approx(8.95),
        "p99_s": pytest.approx(9.79),
        "max_s": 10.0,
    }


def test_quantiles_are_those_of_scipy() -> None:
    """The direct quantiles are exact, as another implementation has them."""
    x = np.random.default_rng(3).uniform(0, 16, 1001)

    (row,) = describe_delays(delays({"p": x.tolist()})).to_dict("records")

    expected = stats.mstats.mquantiles(x, [0.5, 0.9, 0.95, 0.99], alphap=1, betap=1)
    assert [row[n] for n in ("p50_s", "p90_s", "p95_s", "p99_s")] == pytest.approx(
        expected
    )


def test_settings_are_kept_apart() -> None:
    """Each setting and consumer has its row, also where the setting is unknown."""
    known = delays({"p": [1.0]})
    unknown = known.assign(sync_frequency_s=math.nan, strategy=None, ttl_s=math.nan)
    env = lost(known, "timeout", waited_s=9.0).assign(consumer="env")

    found = describe_delays(pd.concat([known, env, unknown]))

    assert found["consumer"].tolist() == ["env", "volume", "volume"]
    assert found["n_delays"].tolist() == [0, 1, 1]
    assert math.isnan(found["p50_s"][0])


def test_the_interval_estimator_by_hand() -> None:
    """Intervals 11 and 13: F(t) = 2t/24 up to 11, (11 + t)/24 after it."""
    (row,) = describe_intervals(refreshes({"p": [11.0], "q": [13.0]})).to_dict(
        "records"
    )

    assert row["n_syncs"] == 2
    assert row["mean_s"] == pytest.approx((121 + 169) / 48)
    assert row["p50_s"] == pytest.approx(6.0)
    assert row["p90_s"] == pytest.approx(10.8)
    assert row["p95_s"] == pytest.approx(11.8)
    assert row["p99_s"] == pytest.approx(12.76)
    assert row["max_s"] == 13.0


def test_a_shared_fetch_by_hand() -> None:
    """Delays spread over 0 … 10 and 5 … 15: F rises by 1/20, 2/20, 1/20 a second."""
    table = refreshes({"p": [10.0, 15.0]}, least={"p": [0.0, 5.0]})

    t, share = refresh_cdf(table["least_s"].to_numpy(), table["most_s"].to_numpy())
    (row,) = describe_intervals(table).to_dict("records")

    assert t.tolist() == [0.0, 5.0, 10.0, 15.0]
    assert share.tolist() == [0.0, 0.25, 0.75, 1.0]
    assert row["mean_s"] == pytest.approx((10 * 5 + 10 * 10) / 20)
    assert row["p50_s"] == pytest.approx(7.5)


def test_the_interval_estimator_is_what_random_instants_see() -> None:
    """A random instant in the intervals waits as the estimator says."""
    rng = np.random.default_rng(5)
    x = rng.uniform(5, 9, 50)
    ends = np.cumsum(x)
    instants = rng.uniform(0, ends[-1], 200_000)
    waited = ends[np.searchsorted(ends, instants)] - instants

    (row,) = describe_intervals(refreshes({"p": x.tolist()})).to_dict("records")

    assert row["mean_s"] == pytest.approx(waited.mean(), rel=0.01)
    assert row["p95_s"] == pytest.approx(np.quantile(waited, 0.95), rel=0.01)


@pytest.mark.parametrize("sharers", [1, 10])
@pytest.mark.parametrize(
    "setting",
    [Setting(10), Setting(10, Strategy.CACHE, 60.0), Setting(10, Strategy.CACHE, 5.0)],
    ids=str,
)
def test_both_estimators_find_the_law(setting: Setting, sharers: int) -> None:
    """From delays and from refreshes, at any setting, the law's numbers come out.

    200 nodes and more: standard errors are below 0.5 % of the longest cycle
    by delays, and far smaller by refreshes; twice that is allowed.
    """
    rng = np.random.default_rng(8)
    pods = 200 * sharers
    law = truth(setting, sharers=1) if sharers == 1 else None

    delayed = draw_delays(setting, rng, pods=pods, window_s=300.0, sharers=sharers)
    refreshed = draw_refresh(setting, rng, pods=pods, window_s=300.0, sharers=sharers)
    direct = describe_delays(delayed).iloc[0]
    by_refresh = describe_intervals(refreshed).iloc[0]

    far = 0.01 * ((setting.ttl_s or 0) + 16.2)
    for name in ("mean_s", "p50_s", "p95_s", "p99_s"):
        assert direct[name] == pytest.approx(by_refresh[name], abs=2 * far)
        if law is not None:
            assert by_refresh[name] == pytest.approx(law.summary()[name], abs=far)
