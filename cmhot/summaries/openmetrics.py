"""A summary as OpenMetrics text, for a monitoring system that watches the delay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client.core import Metric
from prometheus_client.openmetrics.exposition import generate_latest

from cmhot.law import QUANTILES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cmhot.summaries.summary import SettingSummary, Summary

DELAY = "cmhot_configmap_update_delay"
"""The delays as observed, a summary."""
ESTIMATE = "cmhot_configmap_update_delay_estimate"
"""What is concluded from them: estimates with their limits, and the law, a gauge."""
TRIALS = "cmhot_configmap_update_trials"
"""How many trials came to what, a gauge."""


def to_openmetrics(summary: Summary) -> str:
    """Write a summary in the text format of OpenMetrics 1.0.

    What is not known has no sample. Labels are the setting's parts, the consumer,
    and ``source``: ``measured`` or ``modelled``; ``setting_source`` where the setting
    was inferred, and ``node_label`` where populations were split by one.
    """
    return str(generate_latest(_Metrics(summary)).decode())  # type: ignore[no-untyped-call]


class _Metrics:
    """What prometheus_client asks for the metrics; a registry to it."""

    def __init__(self, summary: Summary) -> None:
        self._summary = summary

    def collect(self) -> Iterator[Metric]:
        summary = self._summary
        source = "modelled, not measured" if summary.modelled else "measured"
        delay = Metric(DELAY, f"Update to publication, {source}.", "summary", "seconds")
        estimate = Metric(
            ESTIMATE, f"Estimate, its 95 % limits, law; {source}.", "gauge", "seconds"
        )
        trials = Metric(TRIALS, f"Trials by outcome, {source}.", "gauge")
        for own in summary.settings:
            labels = _labels(own) | {"source": source.partition(",")[0]}
            _add_delays(delay, own, labels)
            _add_estimates(estimate, own, labels)
            _add_trials(trials, own, labels)
        yield from (delay, estimate, trials)


def _labels(own: SettingSummary) -> dict[str, str]:
    labels = {
        name.removesuffix("_s"): f"{value:g}"
        if isinstance(value, float)
        else str(value)
        for name, value in own.population.items()
        if value is not None
    }
    if own.inferred is not None:
        labels["setting_source"] = str(own.source)
    for key, value in (own.by or {}).items():
        labels["node_label"] = f"{key}={value or ''}"
    return labels


def _add_delays(metric: Metric, own: SettingSummary, labels: dict[str, str]) -> None:
    name = f"{DELAY}_seconds"
    count, mean = own.counts["n_delays"], own.direct["mean_s"]
    for key, share in QUANTILES.items():
        value = own.direct[key]
        if value is not None:
            metric.add_sample(name, labels | {"quantile": f"{share:g}"}, value)
    metric.add_sample(f"{name}_count", labels, count)
    if mean is not None:
        metric.add_sample(f"{name}_sum", labels, mean * count)


def _add_estimates(metric: Metric, own: SettingSummary, labels: dict[str, str]) -> None:
    limits: dict[str, Any] = own.intervals["confidence"]
    for key, bound in own.upper_95.items():
        low, high = limits[key] or (None, None)
        parts = {
            "value": own.intervals[key],
            "low": low,
            "high": high,
            "upper_95": bound,
            "law": own.law[key],
        }
        for part, value in parts.items():
            if value is not None:
                more = {"statistic": key.removesuffix("_s"), "estimate": part}
                metric.add_sample(f"{ESTIMATE}_seconds", labels | more, value)


def _add_trials(metric: Metric, own: SettingSummary, labels: dict[str, str]) -> None:
    for name, number in own.counts.items():
        if name != "pods":
            outcome = "observed" if name == "n_delays" else name.removeprefix("n_")
            metric.add_sample(TRIALS, labels | {"outcome": outcome}, number)
