"""One table of what runs measured, with its uncertainty and the law beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot import schema
from cmhot.delays import delays, sync_intervals
from cmhot.errors import RunError, UsageError
from cmhot.law import QUANTILES, law_for
from cmhot.rundir import read_run
from cmhot.statistics import (
    GROUP,
    confidence,
    delay_blocks,
    describe_delays,
    describe_intervals,
    equivalence,
    interval_blocks,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cmhot.rundir import Run
    from cmhot.statistics import Bounds

LOCATIONS = ("mean_s", *QUANTILES)
STATISTICS = (*LOCATIONS, "max_s")
_FIT = (
    "sup_difference",
    "upper_95",
    "equivalent",
    "p50_difference_s",
    "p99_difference_s",
)


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
        95 % interval of each of them but the maximum; None: too few pods,
        or pods that are not independent. An upper end None: no limit.
    intervals
        ``n_syncs`` and ``mean_s`` … ``max_s`` by the interval estimator,
        and ``confidence`` as above; all None where it does not apply.
    law
        ``mean_s`` … ``max_s`` by the law; None: no law is known.
    fit
        Agreement of the intervals with the law, as `statistics.equivalence` has it.
    upper_95
        One-sided 95 % bounds that requirements are judged by;
        None: the data set no bound.
    """

    population: dict[str, Any]
    counts: dict[str, int]
    direct: dict[str, float | None]
    confidence: dict[str, list[float | None] | None]
    intervals: dict[str, Any]
    law: dict[str, float | None]
    fit: dict[str, float | bool | None]
    upper_95: dict[str, float | None]

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
        }

    @property
    def name(self) -> str:
        """The setting in words: ``10 s, Watch``."""
        setting = schema.setting_of(self.population)
        return "unknown setting" if setting is None else str(setting)


@dataclass(frozen=True, slots=True)
class Summary:
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
                **own.counts,
                **own.direct,
                **_prefixed("intervals", own.intervals),
                **_prefixed("law", own.law),
                **_prefixed("fit", own.fit),
            }
            for own in self.settings
        )

    def to_text(self) -> str:
        """Write it for people: a block per setting, numbers in seconds."""
        source = "Modelled, not measured" if self.modelled else "Measured"
        version = self.kubernetes or "of unknown version"
        names = ", ".join(self.runs)
        header = "".join(f"{name.removesuffix('_s'):>8}" for name in STATISTICS)
        lines = [
            f"{source}, Kubernetes {version}; run {names}",
            f"{'seconds':24}{header}",
        ]
        for own in self.settings:
            lines += ["", *_block(own)]
        return "\n".join(lines)


def summarise(paths: Sequence[Path]) -> Summary:
    """Summarise runs; those of the same setting are pooled.

    Delays are computed from the raw files each time.

    Raises
    ------
    RunError
        When a run cannot be read, or when runs differ in what must be equal:
        a model is not pooled with a kubelet, nor one Kubernetes with another.
    UsageError
        When no run is given, or one twice.
    """
    runs = [read_run(path) for path in paths]
    _check_together(runs)
    all_delays = _pool(runs, [delays(run) for run in runs])
    all_intervals = _pool(runs, [sync_intervals(run) for run in runs])
    direct = describe_delays(all_delays).to_dict("records")
    settings = tuple(
        _summarise_one(row, _same(all_delays, row), _same(all_intervals, row))
        for row in direct
    )
    return Summary(
        runs=tuple(str(run.meta["run_id"]) for run in runs),
        modelled=bool(runs[0].meta.get("modelled")),
        kubernetes=runs[0].meta.get("kubernetes"),
        settings=settings,
    )


def _check_together(runs: Sequence[Run]) -> None:
    """Refuse to pool what was not measured under the same conditions."""
    if not runs:
        msg = "no run to summarise: give the path that cmhot collect printed"
        raise UsageError(msg)
    ids = [str(run.meta["run_id"]) for run in runs]
    if len(set(ids)) < len(ids):
        msg = f"a run is given twice among {', '.join(ids)}: give each once"
        raise UsageError(msg)
    for key in schema.FIXED_METADATA:
        found = {str(run.meta["run_id"]): run.meta.get(key) for run in runs}
        if len(set(found.values())) > 1:
            said = ", ".join(f"{name}: {value}" for name, value in found.items())
            msg = f"runs that differ in {key} ({said}) are not pooled: one at a time"
            raise RunError(msg)


def _pool(runs: Sequence[Run], tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join tables; pods of different runs are different pods."""
    return pd.concat(
        [
            table.assign(pod=f"{run.meta['run_id']}/" + table["pod"])
            for run, table in zip(runs, tables, strict=True)
        ],
        ignore_index=True,
    )


def _same(table: pd.DataFrame, population: Mapping[Any, Any]) -> pd.DataFrame:
    """Pick the rows of one population; unknown equals unknown."""
    keep = pd.Series(data=True, index=table.index)
    for name in GROUP:
        value = population[name]
        keep &= table[name].isna() if pd.isna(value) else table[name] == value
    return table[keep]


def _summarise_one(
    row: Mapping[Any, Any], own: pd.DataFrame, intervals: pd.DataFrame
) -> SettingSummary:
    population = {name: _known(row[name]) for name in GROUP}
    counts = {
        name: int(row[name]) for name in row if name == "pods" or name[:2] == "n_"
    }
    setting = schema.setting_of(population)
    law = None if setting is None else law_for(setting)
    shared = setting is not None and law is None  # pods share what the node cached
    if population["consumer"] in schema.NEVER_UPDATED:
        law = None
    nothing: dict[str, Bounds | None] = dict.fromkeys(LOCATIONS)
    described: dict[str, Any] = dict.fromkeys(["n_syncs", *STATISTICS])
    fit: dict[str, float | bool | None] = dict.fromkeys(_FIT)
    limits, bounds = nothing, nothing
    if not shared:
        bounds = confidence(delay_blocks(own, worst_case=True), level=0.90)
    if setting is not None and law is not None and not intervals.empty:
        (estimate,) = describe_intervals(intervals).to_dict("records")
        described = {name: _known(estimate[name]) for name in described}
        blocks = interval_blocks(intervals, law=law)
        limits = confidence(blocks)
        fit = equivalence(intervals, law, sync_frequency_s=setting.sync_frequency_s)
        if not any(counts[f"n_{name}"] for name in schema.DEAD_ENDS):
            bounds = confidence(blocks, level=0.90)
    return SettingSummary(
        population=population,
        counts=counts,
        direct={name: _known(row[name]) for name in STATISTICS},
        confidence=_pairs(nothing if shared else confidence(delay_blocks(own))),
        intervals={**described, "confidence": _pairs(limits)},
        law=dict.fromkeys(STATISTICS) if law is None else {**law.summary()},
        fit=fit,
        upper_95={name: _known(pair and pair[1]) for name, pair in bounds.items()},
    )


def _known(value: Any) -> Any:  # noqa: ANN401 - a cell of a table
    """Give a cell as JSON has it: None for what is missing or has no limit."""
    if pd.isna(value) or value == math.inf:
        return None
    return value.item() if isinstance(value, np.generic) else value


def _pairs(
    limits: Mapping[str, Bounds | None],
) -> dict[str, list[float | None] | None]:
    return {
        name: None if pair is None else [_known(end) for end in pair]
        for name, pair in limits.items()
    }


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


def _block(own: SettingSummary) -> list[str]:
    """Write one setting's numbers as lines."""
    lost = [
        f"{own.counts[f'n_{name}']} {name.replace('_', ' ')}"
        for name in schema.STATUSES[1:]
        if own.counts[f"n_{name}"]
    ]
    pods = own.counts["pods"]
    lines = [
        f"{own.name}, {own.population['consumer']}: "
        + ", ".join(
            [
                f"{pods} pod{'s' * (pods != 1)}",
                f"{own.counts['n_delays']} delays",
                *lost,
            ]
        ),
        _line("delays", own.direct),
        *_limits(own.confidence),
    ]
    syncs = own.intervals["n_syncs"]
    if syncs is not None:
        lines.append(_line(f"{syncs} sync intervals", own.intervals))
        lines += _limits(own.intervals["confidence"])
    if own.law["mean_s"] is not None:
        lines.append(_line("law", own.law))
    if own.fit["upper_95"] is not None:
        verdict = (
            "equivalent" if own.fit["equivalent"] else "not shown to be equivalent"
        )
        lines.append(
            f"  against the law: {verdict}; largest difference of the shares "
            f"{own.fit['sup_difference']:.3f}, at most {own.fit['upper_95']:.3f} (95 %)"
        )
    return lines


def _limits(limits: Mapping[str, list[float | None] | None]) -> list[str]:
    if not any(limits.values()):
        return ["    no 95 % limits: too few independent pods"]
    lines = []
    for end, name in enumerate(["low", "high"]):
        ends = {key: pair[end] if pair else None for key, pair in limits.items()}
        lines.append(_line(f"  95 % {name}", ends))
    return lines


def _line(name: str, numbers: Mapping[str, float | None]) -> str:
    cells = [numbers.get(statistic) for statistic in STATISTICS]
    text = "".join(f"{'-' if cell is None else f'{cell:.2f}':>8}" for cell in cells)
    return f"  {name:22}{text}".rstrip()
