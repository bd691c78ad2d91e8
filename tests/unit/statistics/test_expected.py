"""Which law a table should follow: by sharers, versions and consumers."""

from __future__ import annotations

import pandas as pd
import pytest

from cmhot.statistics.agreement import expected_law


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
