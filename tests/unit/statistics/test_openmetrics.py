"""OpenMetrics: what a monitoring system reads of a summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from cmhot.statistics.summarise import summarise
from cmhot.statistics.summary import to_openmetrics

if TYPE_CHECKING:
    from tests.unit.conftest import SimulateRun


def test_a_parser_reads_what_the_summary_says(simulate_run: SimulateRun) -> None:
    """Delays, estimates and trials come back with their labels and numbers."""
    summary = summarise([simulate_run("r").path])
    (own,) = summary.settings

    parsed = text_string_to_metric_families(  # type: ignore[no-untyped-call]
        to_openmetrics(summary)
    )
    families = {family.name: family for family in parsed}

    delay = families["cmhot_configmap_update_delay_seconds"]
    assert (delay.type, delay.unit) == ("summary", "seconds")
    assert "modelled, not measured" in delay.documentation
    setting = {"sync_frequency": "10", "strategy": "Watch", "ttl": "0"}
    labels = {**setting, "consumer": "volume", "source": "modelled"}
    found = {
        one.labels.get("quantile", one.name.rpartition("_")[2]): one.value
        for one in delay.samples
        if labels.items() <= one.labels.items()
    }
    assert found["0.99"] == own.direct["p99_s"]
    assert found["count"] == own.counts["n_delays"] == 576
    assert found["sum"] / found["count"] == pytest.approx(own.direct["mean_s"])
    estimates = {
        (one.labels["statistic"], one.labels["estimate"]): one.value
        for one in families["cmhot_configmap_update_delay_estimate_seconds"].samples
    }
    assert estimates["p95", "law"] == own.law["p95_s"]
    assert (
        estimates["p95", "low"] < estimates["p95", "value"] < estimates["p95", "high"]
    )
    assert estimates["p95", "upper_95"] == own.upper_95["p95_s"]
    trials = families["cmhot_configmap_update_trials"].samples
    assert {one.labels["outcome"]: one.value for one in trials}["observed"] == 576
    assert len(trials) == 6
