"""From run directories to one summary: estimates, limits, law and verdict.

Rows are summarised apart by setting and consumer; by the value of a node's label, if
that is asked for; and where a setting was inferred, apart from those that are known.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot import __version__
from cmhot.errors import RunError, UsageError
from cmhot.law import QUANTILES
from cmhot.runs import disk, schema
from cmhot.runs.delays import delays, pool
from cmhot.runs.rundir import kubelet_version, read_meta, read_run, setting_columns
from cmhot.runs.sync_intervals import REFRESH_COLUMNS, refresh_intervals
from cmhot.runs.tables import read_derived
from cmhot.statistics.agreement import contradicts, equivalence, expected_law
from cmhot.statistics.blocks import clock_bound_s, delay_blocks, interval_blocks
from cmhot.statistics.inference import INFERRED, may_lack_settings, with_inferred
from cmhot.statistics.limits import confidence
from cmhot.statistics.population import (
    GROUP,
    describe_delays,
    describe_intervals,
    populations,
)
from cmhot.statistics.summary import LOCATIONS, STATISTICS, SettingSummary, Summary
from cmhot.statistics.survival import kaplan_meier, never_updates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from cmhot.statistics.limits import Bounds

WORTH_KEEPING = 1_000_000
"""Delays; what is made of fewer is made anew in a second or two."""
NODE_LABELS = "node_labels"
"""Key of run.json: by node, the labels that were recorded."""
WEAKEST_FIRST = ("unknown", INFERRED, "given", "configz")
"""How settings are known; of rows that are pooled the weakest is given."""
NEEDED = (
    *("node", "pod", "consumer", "configmap"),
    *("acked_ns", "status", "delay_s", "clock_bound_s"),
)
"""Columns of the delays that a summary is made of; the rest is not read."""
_OF_CENSORED = ("waited_s", "published_ns")
"""Columns that are needed, too, where something was waited for in vain."""
_FIT = (
    "sup_difference",
    "upper_95",
    "equivalent",
    "p50_difference_s",
    "p99_difference_s",
    "contradicted",
)
_ANSWERS: dict[str, Summary] = {}
"""By `key_of`: what this process was asked for."""


def summarise(
    paths: Sequence[Path],
    *,
    force: bool = False,
    by: str | None = None,
    apart: bool = False,
) -> Summary:
    """Summarise runs; those of the same setting are pooled.

    What was asked for before, of the same records, is not computed again.
    The tables that a collection left are read where they fit its records,
    else they are computed from them. A setting that is not known is inferred where the
    run shows it (`cmhot.statistics.inference`), and stays apart from known ones.

    Parameters
    ----------
    paths
        Run directories.
    force
        Whether to summarise a run whose checks failed, too.
    by
        Label of nodes: each of its values is summarised by itself.
    apart
        Whether a process of its own does it, which takes its memory away with it.

    Raises
    ------
    RunError
        When a run cannot be read, is invalid or holds no trial,
        or when runs differ in what must be equal:
        a model is not pooled with a kubelet, nor one Kubernetes with another.
    UsageError
        When no run is given, or one twice, or when no node has the label.
    """
    metas = [read_meta(path) for path in paths]
    _check_together(metas)
    if not force:
        check_valid(metas)
    marks = [disk.identity(path).encode() for path in paths]
    key = key_of(marks, by)
    if key not in _ANSWERS:
        found = read_kept(disk.cache_folder(), key)
        if found is None:
            found = _computed(paths, by, apart=apart)
            keep(disk.cache_folder(), key, found)
        _ANSWERS[key] = found
    return _ANSWERS[key]


def keep_for_copies(copies: Sequence[Path], summary: Summary) -> None:
    """Keep a summary for the copies that were just made of the runs it is of."""
    marks = [disk.identity(copy).encode() for copy in copies]
    keep(disk.cache_folder(), key_of(marks, None), summary)


def _check_together(metas: Sequence[Mapping[str, Any]]) -> None:
    """Refuse to pool what was not measured under the same conditions."""
    if not metas:
        msg = "no run to summarise: give the path that cmhot collect printed"
        raise UsageError(msg)
    ids = [str(meta["run_id"]) for meta in metas]
    if len(set(ids)) < len(ids):
        msg = f"a run is given twice among {', '.join(ids)}: give each once"
        raise UsageError(msg)
    for key in schema.FIXED_METADATA:
        found = {str(meta["run_id"]): meta.get(key) for meta in metas}
        if len(set(found.values())) > 1:
            said = ", ".join(f"{name}: {value}" for name, value in found.items())
            msg = f"runs that differ in {key} ({said}) are not pooled: one at a time"
            raise RunError(msg)


def check_valid(metas: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a run that found itself invalid, and say why it did."""
    for meta in metas:
        if meta.get("status") != "invalid":
            continue
        failed = [
            name
            for name, check in (meta.get("checks") or {}).items()
            if isinstance(check, dict) and check.get("passed") is False
        ]
        why = f": {', '.join(failed)} failed" if failed else ""
        msg = (
            f"run {meta['run_id']} is invalid{why}; see checks in its run.json. "
            "`cmhot summarise --force` summarises it all the same"
        )
        raise RunError(msg)


def key_of(marks: Sequence[bytes], by: str | None) -> str:
    """Name a question by what its answer depends on.

    `marks` are the `cmhot.runs.disk.identity` of each run; `by` is a label of nodes.
    """
    words = repr((__version__, [*marks], by))
    return hashlib.sha256(words.encode()).hexdigest()[:24]


def read_kept(folder: Path, key: str) -> Summary | None:
    """Read a kept summary; None where this user's cmhot kept none."""
    content = disk.read(folder, _name(key))
    if content is None:
        return None
    try:
        found = json.loads(content)
        settings = tuple(SettingSummary(**one) for one in found.pop("settings"))
        return Summary(runs=tuple(found.pop("runs")), settings=settings, **found)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def keep(folder: Path, key: str, summary: Summary) -> None:
    """Keep a summary in the user's cache, if it was worth the time.

    A run that is read is not written to. A report's notebooks ask for the same one,
    each in a process of its own: of ten million delays it takes ten seconds and a
    gigabyte every time.
    """
    if sum(one.counts["n_delays"] for one in summary.settings) < WORTH_KEEPING:
        return
    content = json.dumps(asdict(summary)).encode()
    with contextlib.suppress(OSError):
        disk.write(folder, _name(key), content)


def _name(key: str) -> str:
    return f"summary-{key}.json"


def _computed(paths: Sequence[Path], by: str | None, *, apart: bool) -> Summary:
    if not apart:
        return _summarise(paths, by)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool_of_one:
        return pool_of_one.submit(_summarise, paths, by).result()


def _summarise(paths: Sequence[Path], by: str | None) -> Summary:
    """Summarise runs that may be pooled."""
    metas = [read_meta(path) for path in paths]
    ids = [str(meta["run_id"]) for meta in metas]
    nodes = Nodes(dict(zip(ids, metas, strict=True)), by)
    tables = [tables_of(path, meta) for path, meta in zip(paths, metas, strict=True)]
    all_delays = pool(dict(zip(ids, (own for own, _ in tables), strict=True)))
    all_refresh = pool(dict(zip(ids, (own for _, own in tables), strict=True)))
    if all_delays.empty:
        msg = f"no trial in {', '.join(ids)}: nothing was measured, so collect again"
        raise RunError(msg)
    del tables  # ten million rows are not held twice
    refreshes = {}
    if not all_refresh.empty:
        for mark, key, own in nodes.populations(all_refresh):
            refreshes[mark, _order(key)] = own
    modelled = bool(metas[0].get("modelled"))
    if modelled:  # it has but one clock
        all_delays = all_delays.assign(clock_bound_s=0.0)
    settings = tuple(
        _summarise_one(key, own, refreshes.get((mark, _order(key))), nodes)
        for mark, key, own in nodes.populations(all_delays)
    )
    return Summary(
        runs=tuple(ids),
        modelled=modelled,
        kubernetes=metas[0].get("kubernetes"),
        settings=settings,
    )


def tables_of(path: Path, meta: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read delays and refreshes as they were left, or derive them from the records.

    What is inferred is added to the settings in `meta`.
    """
    if may_lack_settings(meta):
        run = with_inferred(read_run(path))
        meta["settings"] = run.meta["settings"]
        return delays(run), refresh_intervals(run)
    rows = read_derived(path, schema.DELAYS, NEEDED)
    refresh = read_derived(path, schema.REFRESH, REFRESH_COLUMNS)
    if rows is not None and rows["status"].isin(schema.DEAD_ENDS).any():
        more = read_derived(path, schema.DELAYS, _OF_CENSORED)
        rows = None if more is None else rows.assign(**more)
    if rows is None or refresh is None:
        run = read_run(path)
        return delays(run), refresh_intervals(run)
    return _with_setting(rows, meta), refresh


def _with_setting(rows: pd.DataFrame, meta: Mapping[str, Any]) -> pd.DataFrame:
    """Add the setting's columns, which follow from the node, as categories."""
    nodes = rows["node"].cat
    found = [setting_columns(dict(meta), str(name)) for name in nodes.categories]
    columns = {}
    for name in schema.SETTING:
        codes, values = pd.factorize(pd.Series([one[name] for one in found]))
        column = np.append(codes, -1).astype(np.int16)[nodes.codes]
        columns[name] = pd.Categorical.from_codes(column, categories=values)
    return rows.assign(**columns)


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """What nodes of one setting are told apart by."""

    inferred: bool = False  # whether their setting was
    value: str = ""  # of the label; empty: none, or no label was asked for


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes of some runs, named as in pooled tables: ``<run-id>/<name>``."""

    metas: Mapping[str, Mapping[str, Any]]  # run.json by run id, with known settings
    by: str | None = None  # label whose values are told apart; None: none is

    def __post_init__(self) -> None:
        """Refuse a label that no run has recorded."""
        by_node = [meta.get(NODE_LABELS) or {} for meta in self.metas.values()]
        known = sorted(
            {name for one in by_node for own in one.values() for name in own}
        )
        if self.by is None or self.by in known:
            return
        said = f"recorded are {', '.join(known)}" if known else "none was recorded"
        msg = (
            f"no node label {self.by} in {', '.join(self.metas)}: {said}; "
            "`cmhot collect --node-label` records others, where nodes may be listed"
        )
        raise UsageError(msg)

    def _of(self, node: str, key: str) -> Mapping[str, Any]:
        run_id, _, name = node.partition("/")
        return (self.metas[run_id].get(key) or {}).get(name) or {}

    def version(self, node: str) -> str | None:
        """Give the version of a node's kubelet."""
        run_id, _, name = node.partition("/")
        return kubelet_version(dict(self.metas[run_id]), name)

    def mark(self, node: str) -> Mark:
        """Give a node's mark."""
        labels = self._of(node, NODE_LABELS)
        value = "" if self.by is None else str(labels.get(self.by, ""))
        return Mark(self._of(node, "settings").get("source") == INFERRED, value)

    def source(self, rows: pd.DataFrame) -> str | None:
        """Say how the setting of rows is known: the weakest way; None: nobody said."""
        sources = {entry.get("source") for entry in self._entries(rows)}
        return next((one for one in WEAKEST_FIRST if one in sources), None)

    def inferred(self, rows: pd.DataFrame) -> dict[str, Any] | None:
        """Join what was inferred of their nodes; None: nothing was."""
        found = {
            tuple(entry[INFERRED].values()): entry[INFERRED]
            for entry in self._entries(rows)
            if INFERRED in entry
        }.values()
        if not found:
            return None
        return {
            "low_s": min(one["low_s"] for one in found),
            "high_s": max(one["high_s"] for one in found),
            "n": sum(one["n"] for one in found),
        }

    def _entries(self, rows: pd.DataFrame) -> list[Mapping[str, Any]]:
        return [self._of(str(node), "settings") for node in rows["node"].unique()]

    def populations(
        self, table: pd.DataFrame
    ) -> Iterator[tuple[Mark, dict[str, Any], pd.DataFrame]]:
        """Go through the populations of a table, in order of setting, then mark.

        Yields the mark, and key and rows as `cmhot.statistics.population.populations`.
        """
        parts = list(self._parts(table))
        found = (
            (mark, key, rows) for mark, part in parts for key, rows in populations(part)
        )
        if len(parts) == 1:  # in order already; of a long table one at a time
            yield from found
        else:
            yield from sorted(found, key=lambda one: (_order(one[1]), one[0]))

    def _parts(self, table: pd.DataFrame) -> Iterator[tuple[Mark, pd.DataFrame]]:
        nodes = pd.Categorical(table["node"])
        marks = [self.mark(str(name)) for name in nodes.categories]
        numbers = {mark: number for number, mark in enumerate(sorted(set(marks)))}
        if len(numbers) <= 1:  # of most tables, which may be long
            yield (marks[0] if marks else Mark()), table
            return
        of_node = np.array([numbers[mark] for mark in marks], dtype=np.int64)
        of_row = of_node[nodes.codes]
        for mark, number in numbers.items():
            rows = of_row == number
            if rows.any():
                yield mark, table[rows]


def _order(key: Mapping[str, Any]) -> tuple[tuple[bool, Any], ...]:
    """Order keys: what is not known comes last, and equals itself."""
    return tuple((pd.isna(one), "" if pd.isna(one) else one) for one in key.values())


def _summarise_one(
    key: Mapping[str, Any],
    own: pd.DataFrame,
    refresh: pd.DataFrame | None,
    nodes: Nodes,
) -> SettingSummary:
    population = {name: _known(key[name]) for name in GROUP}
    (row,) = describe_delays(own).to_dict("records")
    counts = {
        str(name): int(row[name])
        for name in row
        if name == "pods" or str(name).startswith("n_")
    }
    setting = schema.setting_of(population)
    source = nodes.source(own)
    first = str(own["node"].iloc[0])
    version = nodes.version(first)
    law = expected_law(own, version_of=nodes.version)
    clock_s = clock_bound_s(own)
    nothing: dict[str, Bounds | None] = dict.fromkeys(LOCATIONS)
    described: dict[str, Any] = dict.fromkeys(["n_syncs", *STATISTICS])
    fit: dict[str, float | bool | None] = dict.fromkeys(_FIT)
    limits = nothing
    lost = any(counts[f"n_{name}"] for name in schema.DEAD_ENDS)
    direct = delay_blocks(own, kubernetes=version)
    seen = confidence(direct)
    worst = delay_blocks(own, worst_case=True, kubernetes=version) if lost else direct
    bounds = confidence(worst, level=0.90)
    if setting is not None and law is not None and refresh is not None:
        (estimate,) = describe_intervals(refresh).to_dict("records")
        described = {name: _known(estimate[name]) for name in described}
        blocks = interval_blocks(
            refresh, law=law, kubernetes=version, clock_s=direct.clock_s
        )
        exact = limits = confidence(blocks)
        if blocks.clock_s:
            exact = confidence(replace(blocks, clock_s=0.0))
        if source != INFERRED:  # a law made from the data cannot be held against them
            fit |= equivalence(
                refresh,
                law,
                sync_frequency_s=setting.sync_frequency_s,
                kubernetes=version,
                clock_s=direct.clock_s,
            )
        # what the clocks may hide of old content is in the bound
        if not lost and not _is_stale(confidence(replace(direct, clock_s=0.0)), exact):
            within = replace(blocks, clock_s=direct.clock_s)
            bounds = confidence(within, level=0.90)
    mean = seen["mean_s"]
    if law is not None and mean and clock_s is not None and source != INFERRED:
        wrong = contradicts(law, mean, clock_s=clock_s, complete=not lost)
        fit["contradicted"] = wrong
        if fit["equivalent"] and wrong is not False:
            fit["equivalent"] = None if wrong is None else False
    inferred = nodes.inferred(own)
    if inferred is not None:  # any strategy under which each sync reads has this law
        population |= dict.fromkeys(("strategy", "ttl_s"))
    return SettingSummary(
        population=population,
        counts=counts,
        direct={name: _known(row[name]) for name in STATISTICS},
        confidence=_pairs(seen),
        intervals={**described, "confidence": _pairs(limits)},
        law=dict.fromkeys(STATISTICS) if law is None else {**law.summary()},
        fit=fit,
        upper_95={name: _known(pair and pair[1]) for name, pair in bounds.items()},
        clock_bound_s=clock_s,
        too_few=direct.shortfall(),
        censoring=_censoring(own, version) if lost and counts["n_delays"] else None,
        never=_never(own) if lost and not counts["n_delays"] else None,
        source=source,
        inferred=inferred,
        by=None if nodes.by is None else {nodes.by: nodes.mark(first).value or None},
    )


def _is_stale(
    direct: Mapping[str, Bounds | None], intervals: Mapping[str, Bounds | None]
) -> bool:
    """Tell whether delays are longer than the intervals between syncs make them.

    Syncs then read content that is older than it should be, as where the watch is slow:
    a bound from the intervals alone would be too low.
    """
    seen, said = direct["mean_s"], intervals["mean_s"]
    return seen is not None and said is not None and seen[0] > said[1]


def _censoring(own: pd.DataFrame, version: str | None) -> dict[str, Any]:
    """Say what the delays that were waited for in vain leave open."""
    table = kaplan_meier(own, kubernetes=version)
    columns = ["value_s", "low_s", "high_s", "best_s", "worst_s"]
    found: dict[str, Any] = {
        name: [_known(value) for value in row]
        for name, row in zip(QUANTILES, table[columns].to_numpy(), strict=True)
    }
    return {**found, "doubtful": bool(table["doubtful"].any())}


def _never(own: pd.DataFrame) -> dict[str, Any]:
    """Bound how many pods would have seen an update where none did."""
    (row,) = never_updates(own).to_dict("records")
    names = ("pods", "pods_updated", "waited_s", "upper")
    return {name: _known(row[name]) for name in names}


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
