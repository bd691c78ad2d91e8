"""What runs measured, with its uncertainty and the law beside it.

For people, for programs, for requirements such as ``p99<90s``, which a doubtful case
does not meet, and as OpenMetrics for a monitoring system.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
from prometheus_client.core import Metric
from prometheus_client.openmetrics.exposition import generate_latest

from cmhot.display import Page, Shown
from cmhot.errors import UsageError
from cmhot.kubelet.settings import parse_duration
from cmhot.law import QUANTILES
from cmhot.runs import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


LOCATIONS = ("mean_s", *QUANTILES)
STATISTICS = (*LOCATIONS, "max_s")
DELAY = "cmhot_configmap_update_delay"
"""The delays as observed, a summary."""
ESTIMATE = "cmhot_configmap_update_delay_estimate"
"""What is concluded from them: estimates with their limits, and the law, a gauge."""
TRIALS = "cmhot_configmap_update_trials"
"""How many trials came to what, a gauge."""
TOLD_FROM_S = 0.0005
"""Bounds of clocks below this are not told: they change no number that is shown."""


def clocks_in_words(bound_s: float | None) -> str | None:
    """Write what clocks add to delays, known to a bound; None: nothing."""
    if bound_s is None:
        return "clocks were not compared, and what they differ by is in each delay"
    return None if bound_s < TOLD_FROM_S else f"clocks are known to ± {bound_s:.2g} s"


@dataclass(frozen=True, slots=True)
class SettingSummary:
    """What was measured of one consumer at one setting.

    Attributes
    ----------
    population
        ``sync_frequency_s``, ``strategy``, ``ttl_s`` and ``consumer``;
        None: not known.
    counts
        ``pods``, then ``n_delays`` (observed) and ``n_<status>`` for the rest.
    direct
        ``mean_s`` … ``max_s`` of the observed delays; None: nothing observed.
    confidence
        95 % interval of each of them but the maximum; None: too few independent
        blocks (`statistics.blocks`). An upper end None: no limit.
    intervals
        ``n_syncs`` and ``mean_s`` … ``max_s`` by the interval estimator,
        and ``confidence`` as above; all None where it does not apply.
    law
        ``mean_s`` … ``max_s`` by the law; None: no law is known.
    fit
        Agreement of the intervals with the law, as `statistics.equivalence` has it, and
        ``contradicted``: whether the delays are none that the law has, so that nothing
        agrees with it. None: not known; where the clocks decide, ``equivalent`` is
        None, too.
    upper_95
        One-sided 95 % bounds that requirements are judged by;
        None: the data set no bound.
    clock_bound_s
        By how much each delay may be wrong, since clocks of nodes and collector are
        known no better: the limits of delays are wider by it. None: not known.
    too_few
        Why there are no limits; None: there are.
    censoring
        Where something was waited for in vain: ``p50_s`` … by Kaplan and Meier as
        [value, low, high, best, worst] (None: endless, or no limit), and ``doubtful``.
    never
        Where nothing was ever seen: ``pods``, ``pods_updated``, ``waited_s`` and
        ``upper``, the one-sided 95 % bound of the share of pods that would have.
    source
        How the setting is known: ``configz`` (the kubelet said it), ``given``,
        ``inferred`` or ``unknown``; None: the run does not say.
    inferred
        What an inferred `syncFrequency` rests on: ``low_s`` and ``high_s``, its 95 %
        interval, and ``n``, the number of intervals between syncs. Its strategy is
        not known, but one under which each sync reads what there is.
        None: it was not inferred.
    by
        The label and its value (None: not there) that these nodes have;
        None: no label was asked for.
    """

    population: dict[str, Any]
    counts: dict[str, int]
    direct: dict[str, float | None]
    confidence: dict[str, list[float | None] | None]
    intervals: dict[str, Any]
    law: dict[str, float | None]
    fit: dict[str, float | bool | None]
    upper_95: dict[str, float | None]
    clock_bound_s: float | None
    too_few: str | None = None
    censoring: dict[str, Any] | None = None
    never: dict[str, Any] | None = None
    source: str | None = None
    inferred: dict[str, Any] | None = None
    by: dict[str, str | None] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Give it as ``summarise --json`` does."""
        return {
            **self.population,
            **self.counts,
            **self.direct,
            "confidence": self.confidence,
            "interval_estimator": self.intervals,
            "law": self.law,
            "fit": self.fit,
            "upper_95": self.upper_95,
            "clock_bound_s": self.clock_bound_s,
            "censoring": self.censoring,
            "never": self.never,
            "setting_source": self.source,
            "inferred": self.inferred,
            "by": self.by,
        }

    @property
    def name(self) -> str:
        """The setting in words: ``10 s, Watch``; then the label, if one was asked for.

        One that was inferred says so: ``10 s (inferred)``.
        """
        if self.inferred is not None:
            said = f"{self.population['sync_frequency_s']:g} s (inferred)"
        else:
            setting = schema.setting_of(self.population)
            said = "unknown setting" if setting is None else str(setting)
        return ", ".join(
            [said, *(f"{key}={value or ''}" for key, value in (self.by or {}).items())]
        )

    @property
    def clocks(self) -> str | None:
        """What clocks add to the delays, in words; None: nothing."""
        return clocks_in_words(self.clock_bound_s)

    @property
    def contradiction(self) -> str | None:
        """That the delays are not of the law, in a sentence; None: they may be."""
        if not self.fit.get("contradicted"):
            return None
        return (
            f"{self.name}: the delays contradict the law, with a mean of "
            f"{self.direct['mean_s']:.1f} s beside {self.law['mean_s']:.1f} s: another "
            "TTL, syncFrequency or version of the kubelet is in force than the run says"
        )


@dataclass(frozen=True, slots=True, repr=False)
class Summary(Shown):
    """What runs measured, per setting and consumer.

    Attributes
    ----------
    runs
        Their ids.
    modelled
        Whether they come from the model, not from a kubelet.
    kubernetes
        Version that they ran on; None: not known.
    settings
        One entry per setting and consumer, in order of the setting.
    """

    runs: tuple[str, ...]
    modelled: bool
    kubernetes: str | None
    settings: tuple[SettingSummary, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give it as ``summarise --json`` does; what is not known is None."""
        return {
            "runs": list(self.runs),
            "modelled": self.modelled,
            "kubernetes": self.kubernetes,
            "settings": [setting.to_dict() for setting in self.settings],
        }

    def table(self) -> pd.DataFrame:
        """Give one row per setting and consumer, a column per number.

        The direct estimator is ``mean_s`` …, the others have a prefix:
        ``intervals_``, ``law_`` and ``fit_``.
        """
        return pd.DataFrame(
            {
                **own.population,
                "setting_source": own.source,
                **(own.by or {}),
                **own.counts,
                **own.direct,
                **_prefixed("intervals", own.intervals),
                **_prefixed("law", own.law),
                **_prefixed("fit", own.fit),
                "clock_bound_s": own.clock_bound_s,
            }
            for own in self.settings
        )

    def page(self) -> Page:
        """Show what was measured, with intervals, and the law's value below it."""
        rows = [row for own in self.settings for row in _rows(own)]
        told = [own.contradiction or own.clocks for own in self.settings]
        notes = dict.fromkeys(note for note in told if note is not None)
        heading = self._heading()
        return Page(heading, rows, ("seconds; 95 % intervals in brackets", *notes))

    def _heading(self) -> str:
        source = "Modelled, not measured" if self.modelled else "Measured"
        version = self.kubernetes or "of unknown version"
        return f"{source}, Kubernetes {version}; run {', '.join(self.runs)}"

    def to_text(self) -> str:
        """Write it for people: a block per setting, numbers in seconds."""
        header = "".join(f"{name.removesuffix('_s'):>8}" for name in STATISTICS)
        lines = [
            self._heading(),
            f"{'seconds':24}{header}",
        ]
        for own in self.settings:
            lines += ["", *_block(own)]
        return "\n".join(lines)


def _prefixed(prefix: str, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten numbers for a table; pairs become a column for each end."""
    flat = {}
    for name, value in numbers.items():
        if name == "confidence":
            for statistic, pair in value.items():
                low, high = pair or (None, None)
                flat[f"{prefix}_{statistic}_low"] = low
                flat[f"{prefix}_{statistic}_high"] = high
        else:
            flat[f"{prefix}_{name}"] = value
    return flat


def _rows(own: SettingSummary) -> list[dict[str, str]]:
    """Show one setting: what was measured, and the law where there is one."""
    counts = own.counts
    measured = f"{counts['pods']:,} pods, {counts['n_delays']:,} delays"
    lost = sum(counts[f"n_{name}"] for name in schema.STATUSES[1:])
    rows = [
        {
            "setting": own.name,
            "consumer": str(own.population["consumer"]),
            "": measured + (f", {lost:,} not observed" if lost else ""),
            **{
                name.removesuffix("_s"): _with_limits(
                    own.direct[name], own.confidence.get(name)
                )
                for name in STATISTICS
            },
        }
    ]
    if own.law["mean_s"] is not None:
        law = {name.removesuffix("_s"): _number(own.law[name]) for name in STATISTICS}
        rows.append({"setting": "", "consumer": "", "": "law", **law})
    return rows


def _with_limits(value: float | None, limits: list[float | None] | None) -> str:
    if limits is None:
        return _number(value)
    return f"{_number(value)} ({_number(limits[0])} to {_number(limits[1])})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _block(own: SettingSummary) -> list[str]:
    """Write one setting's numbers as lines."""
    counts = own.counts
    said = [f"{counts['pods']} pod{'s' * (counts['pods'] != 1)}"]
    said += [f"{counts['n_delays']} delays"]
    said += [
        f"{counts[f'n_{name}']} {name.replace('_', ' ')}"
        for name in schema.STATUSES[1:]
        if counts[f"n_{name}"]
    ]
    lines = [f"{own.name}, {own.population['consumer']}: {', '.join(said)}"]
    if own.inferred is not None:
        lines.append(
            "    syncFrequency inferred from {n} intervals between syncs: {low_s:.2f} "
            "to {high_s:.2f} s (95 %); strategy unknown".format(**own.inferred)
        )
    if own.clocks is not None:
        lines.append(f"    {own.clocks}")
    lines += [_line("delays", own.direct), *_limits(own.confidence, own.too_few)]
    lines += _censored(own)
    syncs = own.intervals["n_syncs"]
    if syncs is not None:
        lines.append(_line(f"{syncs} refreshes", own.intervals))
        lines += _limits(own.intervals["confidence"], own.too_few)
    if own.law["mean_s"] is not None:
        lines.append(_line("law", own.law))
    if own.contradiction is not None:
        lines.append(f"  {own.contradiction}")
    elif own.fit["upper_95"] is not None:
        lines.append(f"  against the law: {_verdict(own)}")
    return lines


def _verdict(own: SettingSummary) -> str:
    """Say whether intervals and law were shown to agree."""
    if own.fit["equivalent"] is None:
        return f"not decided: {own.clocks}"
    said = "" if own.fit["equivalent"] else "not shown to be "
    return (
        f"{said}equivalent; largest difference of the shares "
        f"{own.fit['sup_difference']:.3f}, at most {own.fit['upper_95']:.3f} (95 %)"
    )


def _censored(own: SettingSummary) -> list[str]:
    """Write what was waited for in vain, as lines; none where nothing was."""
    if own.never is not None:
        line = (
            f"    none of {own.never['pods']} pods saw an update within "
            f"{own.never['waited_s']:.1f} s: fewer than {own.never['upper']:.0%} would "
            "have (95 %)"
        )
        return [line]
    if own.censoring is None:
        return []
    rows = {"Kaplan-Meier": 0, "  best case": 3, "  worst case": 4}
    lines = [
        _line(name, {key: own.censoring[key][place] for key in QUANTILES})
        for name, place in rows.items()
    ]
    if own.censoring["doubtful"]:
        lines.append("    best and worst case differ by more than the 95 % interval")
    return lines


def _limits(
    limits: Mapping[str, list[float | None] | None], too_few: str | None
) -> list[str]:
    if not any(limits.values()):
        return [f"    no 95 % limits: {too_few or 'all rows are equal'}"]
    lines = []
    for end, name in enumerate(["low", "high"]):
        ends = {key: pair[end] if pair else None for key, pair in limits.items()}
        lines.append(_line(f"  95 % {name}", ends))
    return lines


def _line(name: str, numbers: Mapping[str, float | None]) -> str:
    cells = [numbers.get(statistic) for statistic in STATISTICS]
    text = "".join(f"{'-' if cell is None else f'{cell:.2f}':>8}" for cell in cells)
    return f"  {name:22}{text}".rstrip()


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a requirement held at one setting."""

    requirement: str  # as it was asked for
    ok: bool | None  # whether the one-sided 95 % bound keeps it; None: clocks decide
    detail: str  # the bound, or why there is none, in a sentence


def check_requirements(
    summary: Summary, requirements: Iterable[str]
) -> tuple[Judgement, ...]:
    """Judge requirements such as ``p99<90s``, at each setting of a summary.

    A requirement holds when the one-sided 95 % bound keeps it:
    the data must show it, so too little data fails.
    Where the clocks, known no better, might decide, nothing is.
    """
    return tuple(
        _judge(own, requirement, *_parse_requirement(requirement))
        for requirement in requirements
        for own in summary.settings
    )


def _parse_requirement(text: str) -> tuple[str, float]:
    names = [name.removesuffix("_s") for name in LOCATIONS]
    match = re.fullmatch(rf"\s*({'|'.join(names)})\s*<([^<=]+)", text)
    if match is None:
        msg = (
            f"cannot read the requirement {text!r}: write one of {', '.join(names)}, "
            "then < and a duration, such as 'p99<90s' "
            "(a maximum only grows with the number of trials, so it cannot be required)"
        )
        raise UsageError(msg)
    return f"{match[1]}_s", parse_duration(match[2])


def _judge(
    own: SettingSummary, requirement: str, statistic: str, limit_s: float
) -> Judgement:
    bound = own.upper_95[statistic]
    where = f"{own.name}, {own.population['consumer']}"
    lost = sum(own.counts[f"n_{name}"] for name in schema.DEAD_ENDS)
    if bound is not None:
        clock_s = own.clock_bound_s
        ok = bound < limit_s
        decided = clock_s is not None and (ok or bound - 2 * clock_s >= limit_s)
        sign = "<" if ok else "≥"
        detail = f"{where}: 95 % upper bound {bound:.2f} s {sign} {limit_s:g} s"
        if not decided:
            return Judgement(requirement, None, f"{detail}, but {own.clocks}")
        return Judgement(requirement, ok, detail)
    why = own.too_few or "no upper limit follows from them"
    detail = (
        f"{where}: too little data for a bound: {why}; {own.counts['n_delays']} delays "
        f"observed, {lost} waited for in vain"
    )
    return Judgement(requirement, ok=False, detail=detail)


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
