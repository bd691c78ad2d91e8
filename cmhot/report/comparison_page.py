"""How a change affected the delay: two runs side by side, before and after it.

The page of a comparison begins with the answer in one sentence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot import plots
from cmhot.clock import SystemClock
from cmhot.collector.circumstances import utc_text
from cmhot.errors import RunError
from cmhot.law import QUANTILES
from cmhot.plots.figure import Material
from cmhot.plots.files import NARROW, WIDE, new_figure, save_figure
from cmhot.plots.words import listing, seconds
from cmhot.report.folder import make_folder, write_json, write_page
from cmhot.report.page import (
    Figure,
    HtmlPage,
    HtmlRow,
    HtmlTable,
    Links,
    Points,
    Section,
    Text,
    build_page,
)
from cmhot.report.sections import DASH, Origin, cell, kubelets_of, name_some, origins
from cmhot.runs import schema
from cmhot.statistics import (
    GROUP,
    cdf_bounds,
    compare_means,
    compare_quantiles,
    delay_blocks,
    interval_blocks,
)
from cmhot.statistics.agreement import expected_law
from cmhot.statistics.blocks import clock_bound_s
from cmhot.statistics.limits import quantiles_of
from cmhot.statistics.summary import clocks_in_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from cmhot.clock import Clock
    from cmhot.report.page import Block
    from cmhot.statistics import Blocks


_SIZES = {"": WIDE, "-narrow": NARROW}
COMPARED = {
    "mean_s": "the mean",
    "p50_s": "the median",
    "p95_s": "the 95 % point",
    "p99_s": "the 99 % point",
}
"""The numbers that are compared, in words."""
DIFFER = {
    "target": "the target",
    "kubernetes": "the version of Kubernetes",
    "kubelets": "the kubelets' versions",
    "seed": "the schedule's seed",
    "plan": "the plan (pods, duration or gap)",
    "host": "the collector's machine",
}
"""Keys of run.json that show whether something else changed, in words."""
_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True, slots=True)
class Difference:
    """A number before and after the change; None: it was not reached."""

    before_s: float | None
    after_s: float | None
    difference_s: float | None  # after less before
    low_s: float | None  # its 95 % interval; None: too few independent blocks
    high_s: float | None

    @property
    def shown(self) -> bool:
        """Whether the interval excludes that nothing changed."""
        if self.low_s is None or self.high_s is None:
            return False
        return self.low_s > 0 or self.high_s < 0


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of the two runs, restricted to some nodes and one consumer."""

    setting: str  # its name: ``10 s, Watch``
    population: Mapping[str, Any]  # as a `SettingSummary` has it
    pods: int
    n_delays: int
    clock_bound_s: float | None  # what clocks may add to each delay; None: not known
    blocks: Blocks  # what is known of the distribution


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """How the delay of some pods changed, which use the ConfigMap in one way."""

    consumer: str
    nodes: tuple[str, ...]  # empty: the two runs were on different ones
    before: Side
    after: Side
    estimator: str  # ``intervals`` between refreshes; no law known: ``delays``
    differences: Mapping[str, Difference]  # by `COMPARED`
    too_few: str | None  # why there are no intervals

    @property
    def name(self) -> str:
        """The change in words: ``20 s, Watch → 10 s, Watch``."""
        if self.before.setting == self.after.setting:
            return f"{self.before.setting}, before and after"
        return f"{self.before.setting} → {self.after.setting}"

    def curves(self) -> pd.DataFrame:
        """Give the two distributions, as `cmhot.plots.before_and_after` draws them."""
        parts = []
        for when, side in (("before", self.before), ("after", self.after)):
            blocks = side.blocks
            few = blocks.shortfall() is not None
            low, high = (np.nan, np.nan) if few else cdf_bounds(blocks)
            parts.append(
                pd.DataFrame(
                    {
                        "when": when,
                        "setting": side.setting,
                        "delay_s": blocks.t,
                        "share": blocks.cdf(),
                        "low": low,
                        "high": high,
                    }
                )
            )
        return pd.concat(parts, ignore_index=True)

    def to_dict(self) -> dict[str, Any]:
        """Give it as ``report --compare --json`` does."""
        return {
            "consumer": self.consumer,
            "nodes": list(self.nodes),
            "estimator": self.estimator,
            **{
                when: {
                    **{key: side.population[key] for key in schema.SETTING},
                    "pods": side.pods,
                    "n_delays": side.n_delays,
                    "clock_bound_s": side.clock_bound_s,
                }
                for when, side in (("before", self.before), ("after", self.after))
            },
            "too_few": self.too_few,
            **{
                name: {
                    "before_s": one.before_s,
                    "after_s": one.after_s,
                    "difference_s": one.difference_s,
                    "confidence": None
                    if one.low_s is None
                    else [one.low_s, one.high_s],
                }
                for name, one in self.differences.items()
            },
        }


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two runs side by side."""

    before: str  # their ids
    after: str
    modelled: bool
    changes: Sequence[Change]  # one for each group of nodes and consumer
    differing: Mapping[str, tuple[Any, Any]]  # what else is different, by its key

    def to_dict(self) -> dict[str, Any]:
        """Give it as ``report --compare --json`` does."""
        return {
            "before": self.before,
            "after": self.after,
            "modelled": self.modelled,
            "changes": [change.to_dict() for change in self.changes],
            "differing": {key: list(pair) for key, pair in self.differing.items()},
        }


def compare_runs(before: Path, after: Path) -> Comparison:
    """Compare the delays of two runs.

    Where each has one setting, these are compared; else each node with itself,
    nodes of the same change together.
    """
    first, second = Material((before,)), Material((after,))
    (was,), (now,) = first.metas, second.metas
    if bool(was.get("modelled")) != bool(now.get("modelled")):
        modelled = before if was.get("modelled") else after
        msg = (
            f"{modelled} is modelled and the other run is measured: "
            "that is no change of a setting; compare two runs of a kind"
        )
        raise RunError(msg)
    groups = _groups(first.delays, second.delays)
    if not groups:
        msg = (
            f"{was['run_id']} and {now['run_id']} have several settings and no node "
            "in common, so nobody knows what was changed into what: "
            "compare runs of the same nodes, or of one setting each"
        )
        raise RunError(msg)
    return Comparison(
        before=str(was["run_id"]),
        after=str(now["run_id"]),
        modelled=bool(was.get("modelled")),
        changes=[
            _change(first, second, consumer=consumer, nodes=nodes)
            for consumer, nodes in groups
        ],
        differing={
            key: (was.get(key), now.get(key))
            for key in DIFFER
            if was.get(key) != now.get(key)
        },
    )


def _groups(
    before: pd.DataFrame, after: pd.DataFrame
) -> list[tuple[str, tuple[str, ...]]]:
    """List the groups to compare: consumer and nodes (empty: all nodes)."""
    old, new = _settings_of(before), _settings_of(after)
    found: list[tuple[str, tuple[str, ...]]] = []
    for consumer in sorted(set(old) & set(new)):
        was, now = old[consumer], new[consumer]
        if len(set(was.values())) == len(set(now.values())) == 1:
            found.append((consumer, ()))
            continue
        changes: dict[tuple[str, str], list[str]] = {}
        for node in sorted(set(was) & set(now)):
            changes.setdefault((was[node], now[node]), []).append(node)
        found += [(consumer, tuple(nodes)) for nodes in changes.values()]
    return found


def _settings_of(delays: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Give each node's setting in words, by consumer; without the run in its name."""
    seen = delays[delays["status"] == "observed"][["consumer", "node", *schema.SETTING]]
    found: dict[str, dict[str, str]] = {}
    for row in seen.drop_duplicates().to_dict("records"):
        name = str(row["node"]).partition("/")[2]
        found.setdefault(str(row["consumer"]), {})[name] = _named(row)
    return found


def _named(row: Mapping[Any, Any]) -> str:
    setting = schema.setting_of({str(key): value for key, value in row.items()})
    return "unknown setting" if setting is None else str(setting)


def _change(
    first: Material, second: Material, *, consumer: str, nodes: tuple[str, ...]
) -> Change:
    sides = [
        _tables(material, consumer=consumer, nodes=nodes)
        for material in (first, second)
    ]
    by_interval = all(not refresh.empty for _, refresh in sides)
    before, after = (
        _side(rows, refresh if by_interval else None, material)
        for (rows, refresh), material in zip(sides, (first, second), strict=True)
    )
    blocks = {"before": before.blocks, "after": after.blocks}
    why = [blocks[when].shortfall() for when in ("before", "after")]
    return Change(
        consumer=consumer,
        nodes=nodes,
        before=before,
        after=after,
        estimator="intervals" if by_interval else "delays",
        differences=_differences(blocks, limits=not any(why)),
        too_few=next((one for one in why if one), None),
    )


def _tables(
    material: Material, *, consumer: str, nodes: tuple[str, ...]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pick the delays and refreshes of some nodes and one consumer."""
    found = []
    for table in (material.delays, material.refresh):
        own = table["consumer"] == consumer
        if nodes:
            wanted = {f"{material.metas[0]['run_id']}/{name}" for name in nodes}
            own &= table["node"].isin(wanted)
        found.append(table[own])
    return found[0], found[1]


def _side(rows: pd.DataFrame, refresh: pd.DataFrame | None, material: Material) -> Side:
    first, kubernetes = rows.iloc[0], material.kubernetes
    population = {name: None if pd.isna(first[name]) else first[name] for name in GROUP}
    # an interval between two stamps of a node is by one clock, unless it has a fetch
    between = refresh is None or refresh["least_s"].any()
    bound_s = clock_bound_s(rows) if between and not material.source.modelled else 0.0
    if refresh is None:
        blocks = delay_blocks(rows, kubernetes=kubernetes)
    else:
        law = expected_law(rows, version_of=lambda _: kubernetes)
        blocks = interval_blocks(
            refresh, law=law, kubernetes=kubernetes, clock_s=bound_s or 0.0
        )
    return Side(
        setting=_named(population),
        population=population,
        pods=int(rows["pod"].nunique()),
        n_delays=int((rows["status"] == "observed").sum()),
        clock_bound_s=bound_s,
        blocks=blocks,
    )


def _differences(
    blocks: Mapping[str, Blocks], *, limits: bool
) -> dict[str, Difference]:
    shares = {name: QUANTILES[name] for name in COMPARED if name in QUANTILES}
    values = {
        when: [one.mean_s(), *quantiles_of(one.t, one.cdf(), [*shares.values()])]
        for when, one in blocks.items()
    }
    bounds = [(math.nan, math.nan)] * len(COMPARED)
    if limits:
        family = [("after", "before")]
        tables = (
            compare_means(blocks, family=family),
            compare_quantiles(blocks, family=family, quantiles=[*shares.values()]),
        )
        bounds = [
            pair
            for table in tables
            for pair in zip(table["low_s"], table["high_s"], strict=True)
        ]
    return {
        name: Difference(
            _known(before),
            _known(after),
            _known(after - before),
            _known(low),
            _known(high),
        )
        for name, before, after, (low, high) in zip(
            COMPARED, values["before"], values["after"], bounds, strict=True
        )
    }


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def compare_report(
    before: Path, after: Path, *, out: Path, clock: Clock | None = None
) -> Path:
    """Compare two runs on a page of its own, with figures and numbers beside it.

    It gets a new folder in `out`; the path of the page is returned.
    """
    clock = SystemClock() if clock is None else clock
    comparison = compare_runs(before, after)
    name = f"compare-{comparison.before}-{comparison.after}"
    new = make_folder(out, name, parts=["figures"])
    with new.or_nothing():
        return _write(comparison, before, after, folder=new.path, clock=clock)


def _write(
    comparison: Comparison, before: Path, after: Path, *, folder: Path, clock: Clock
) -> Path:
    """Draw the comparison, and write its page and numbers."""
    runs = [Origin.read(before), Origin.read(after)]
    made = utc_text(clock.utc_ns())
    sections = [
        _section(comparison, change, folder / "figures" / f"change-{number}")
        for number, change in enumerate(comparison.changes, start=1)
    ]
    page = HtmlPage(
        title=f"ConfigMap update delay, {comparison.before} and {comparison.after}",
        headline=headline(comparison, kubelets=kubelets_of(runs)),
        byline=(
            f"cmhot report --compare {comparison.before} {comparison.after}, "
            f"made {made[:16].replace('T', ' ')} UTC"
        ),
        modelled=comparison.modelled,
        sections=[
            *sections,
            Section("The differences", [_table(comparison)]),
            Section("What else to know", [Points(_limits(comparison))]),
            Section("Where the numbers before come from", origins(runs[:1])),
            Section("Where the numbers after come from", origins(runs[1:])),
            Section(
                "Files", [Links([("numbers.json", "numbers.json", "all numbers")])]
            ),
        ],
    )
    numbers: dict[str, Any] = {
        "report": folder.name,
        "created_utc": made,
        "headline": page.headline,
        **comparison.to_dict(),
        "provenance": {
            when: origin.provenance
            for when, origin in zip(("before", "after"), runs, strict=True)
        },
    }
    write_json(folder / "numbers.json", numbers)
    write_page(folder / "index.html", build_page(page))
    return folder / "index.html"


def headline(comparison: Comparison, *, kubelets: list[str]) -> str:
    """Describe the effect of the largest change in one sentence."""
    change = max(comparison.changes, key=_size)
    one = change.differences["p95_s"]
    where = "" if comparison.modelled else f" (kubelet {listing(kubelets)})"
    said = change.name
    if change.before.setting != change.after.setting:
        said = f"from {change.before.setting} to {change.after.setting}"
    if comparison.modelled:
        return f"Modelled, not measured: {said}: {_verdict(one)}{where}."
    return f"{said[0].upper()}{said[1:]}: {_verdict(one)}{where}."


def _verdict(one: Difference) -> str:
    """Describe the change of the time within which 95 % of the pods have an update."""
    now = f"95 % of the pods have a changed ConfigMap within {seconds(one.after_s)}"
    if one.difference_s is None or one.low_s is None or one.high_s is None:
        return f"{now}, {seconds(one.before_s)} before; whether that is chance is open"
    ends = (
        f"95 % confidence {seconds(min(abs(one.low_s), abs(one.high_s)))} to "
        f"{seconds(max(abs(one.low_s), abs(one.high_s)))}"
    )
    if not one.shown:
        return (
            f"no difference was shown; {now}, {seconds(one.before_s)} before "
            f"(difference {_signed(one.difference_s)}, 95 % confidence "
            f"{_signed(one.low_s)} to {_signed(one.high_s)})"
        )
    word = "sooner" if one.difference_s < 0 else "later"
    return f"{now}, {seconds(abs(one.difference_s))} {word} than before ({ends})"


def _size(change: Change) -> float:
    return abs(change.differences["p95_s"].difference_s or 0.0)


def _section(comparison: Comparison, change: Change, stem: Path) -> Section:
    """Draw a change, and describe its effect."""
    curves = change.curves()
    for suffix, size in _SIZES.items():
        with new_figure(size) as (fig, ax):
            plots.before_and_after(curves, ax=ax, modelled=comparison.modelled)
            save_figure(fig, stem.with_name(stem.name + suffix))
    source = "Modelled, not measured" if comparison.modelled else "Measured"
    where = f" on {name_some(change.nodes)}" if change.nodes else ""
    figure = Figure(
        wide=stem.with_name(f"{stem.name}.svg"),
        narrow=stem.with_name(f"{stem.name}-narrow.svg"),
        alt=(
            f"Line chart, {source.lower()}: the share of pods that have the update "
            f"against the delay in seconds, before ({change.before.setting}, dashed) "
            f"and after ({change.after.setting}). {_sentences(change)}"
        ),
        caption=(
            f"Share of pods that have the update{where}, against the time since the "
            "API server acknowledged it; shaded: 95 % confidence. "
            f"{source}; {change.before.n_delays:,} delays in {change.before.pods} pods "
            f"before (run {comparison.before}), {change.after.n_delays:,} in "
            f"{change.after.pods} after (run {comparison.after})."
            + "".join(f" {one}" for one in _clocks(comparison, change))
        ),
        links=[
            (form, f"figures/{stem.name}.{form.lower()}") for form in ("SVG", "PNG")
        ],
    )
    blocks: list[Block] = [figure, Text([_sentences(change)])]
    return Section(_title(comparison, change), blocks)


def _title(comparison: Comparison, change: Change) -> str:
    consumers = {one.consumer for one in comparison.changes}
    several = f", {change.consumer}" if len(consumers) > 1 else ""
    return f"{change.name}{several}"


def _sentences(change: Change) -> str:
    """Say in a sentence each how quantities moved from the run before to that after."""
    said = []
    for name, one in change.differences.items():
        what = COMPARED[name]
        if one.before_s is None or one.after_s is None or one.difference_s is None:
            said.append(f"{what} was not reached in one of the runs")
            continue
        moved = f"{what} went from {seconds(one.before_s)} to {seconds(one.after_s)}"
        if one.low_s is None or one.high_s is None:
            said.append(moved)
        else:
            verdict = "" if one.shown else ", which may be chance"
            said.append(
                f"{moved} ({_signed(one.difference_s)}, 95 % confidence "
                f"{_signed(one.low_s)} to {_signed(one.high_s)}{verdict})"
            )
    text = "; ".join(said)
    why = f" No interval is given: {change.too_few}." if change.too_few else ""
    return f"{text[0].upper()}{text[1:]}.{why}"


def _signed(value: float) -> str:
    sign = _MINUS if round(value, 1) < 0 else "+" if round(value, 1) > 0 else ""
    return f"{sign}{abs(value):.1f} s"


def _table(comparison: Comparison) -> HtmlTable:
    heads = [name.removesuffix("_s") for name in COMPARED]
    rows = [row for change in comparison.changes for row in _rows(comparison, change)]
    source = "Modelled, not measured" if comparison.modelled else "Measured"
    return HtmlTable(
        columns=["setting", *heads, "pods", "delays"],
        rows=rows,
        caption=(
            f"{source}: delay from the API server's answer to the new file in the pod, "
            "in seconds, before and after; below them the difference (after less "
            "before) and its 95 % confidence interval."
        ),
    )


def _rows(comparison: Comparison, change: Change) -> list[HtmlRow]:
    ones = change.differences.values()

    def counts(when: str) -> list[str]:
        side = change.before if when == "before" else change.after
        return [str(side.pods), f"{side.n_delays:,}"]

    rows = [
        HtmlRow(
            f"{_title(comparison, change)}: before",
            [cell(one.before_s) for one in ones] + counts("before"),
        ),
        HtmlRow(
            "after", [cell(one.after_s) for one in ones] + counts("after"), first=False
        ),
        HtmlRow(
            "difference",
            [_signed_cell(one.difference_s) for one in ones] + ["", ""],
            first=False,
        ),
    ]
    if change.too_few is None:
        limits = [_pair(one) for one in ones]
        rows.append(
            HtmlRow("95 % interval", [*limits, "", ""], tone="aside", first=False)
        )
    return rows


def _signed_cell(value: float | None) -> str:
    """Write a difference in a table."""
    if value is None:
        return DASH
    return f"{_MINUS if value < 0 else '+'}{abs(value):.2f}"


def _pair(one: Difference) -> str:
    if one.low_s is None or one.high_s is None:
        return DASH
    return f"{_signed_cell(one.low_s)} … {_signed_cell(one.high_s)}"


def _limits(comparison: Comparison) -> list[str]:
    """List conclusions that a reader may wrongly draw from the page."""
    said = [
        (
            "The two runs were made one after the other: whatever else changed "
            "between them is in the difference, too."
        )
    ]
    said += [
        f"Between them {DIFFER[key]} changed as well{_change_of(key, pair)}."
        for key, pair in comparison.differing.items()
    ]
    told = [one for change in comparison.changes for one in _clocks(comparison, change)]
    said += dict.fromkeys(told)
    if any(change.estimator == "intervals" for change in comparison.changes):
        said.append(
            "The numbers are estimated from the intervals between refreshes, which "
            "tell more than the delays of the updates themselves."
        )
    said.append(
        "Each interval stands for itself; with many of them one in twenty misses."
    )
    return said


def _clocks(comparison: Comparison, change: Change) -> Iterator[str]:
    """Write what clocks add to the delays of each run, where they add something."""
    sides = {comparison.before: change.before, comparison.after: change.after}
    for run, side in sides.items():
        told = clocks_in_words(side.clock_bound_s)
        if told is not None:
            wider = ", by which intervals are wider" if side.clock_bound_s else ""
            yield f"In run {run} {told}{wider}."


def _change_of(key: str, pair: tuple[Any, Any]) -> str:
    plain = all(isinstance(one, str | int) for one in pair)
    return f", from {pair[0]} to {pair[1]}" if plain and key != "seed" else ""
