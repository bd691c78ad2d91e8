"""Two runs side by side, before and after a change: what it did to the delay."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.errors import RunError
from cmhot.gallery import Material
from cmhot.law import QUANTILES
from cmhot.runs import schema
from cmhot.runs.expected import expected_law
from cmhot.statistics import (
    GROUP,
    cdf_bounds,
    compare_means,
    compare_quantiles,
    delay_blocks,
    interval_blocks,
)
from cmhot.statistics.limits import quantiles_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cmhot.statistics import Blocks

COMPARED = ("mean_s", "p50_s", "p95_s", "p99_s")
"""What is compared."""

DIFFER = ("target", "kubernetes", "kubelets", "seed", "plan", "host")
"""Keys of run.json that say whether something else changed, too."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A number before and after.

    Attributes
    ----------
    before_s, after_s
        Seconds; None: not reached.
    difference_s
        After less before.
    low_s, high_s
        Its 95 % interval; None: too few independent blocks.
    """

    before_s: float | None
    after_s: float | None
    difference_s: float | None
    low_s: float | None
    high_s: float | None

    @property
    def shown(self) -> bool:
        """Whether the interval leaves out that nothing changed."""
        if self.low_s is None or self.high_s is None:
            return False
        return self.low_s > 0 or self.high_s < 0


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of the two runs, as far as some nodes and one consumer go.

    Attributes
    ----------
    setting
        Its name: ``10 s, Watch``.
    population
        As `cmhot.summaries.summary.SettingSummary` has it.
    pods, n_delays
        How many.
    blocks
        What is known of the distribution.
    """

    setting: str
    population: Mapping[str, Any]
    pods: int
    n_delays: int
    blocks: Blocks


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What became of the delay of some pods.

    Attributes
    ----------
    consumer
        How they use the ConfigMap.
    nodes
        On which nodes they are; empty: the two runs were on different ones.
    before, after
        The two runs.
    estimator
        ``intervals`` between refreshes, or ``delays`` where no law is known.
    differences
        By `COMPARED`.
    too_few
        Why there are no intervals; None: there are.
    """

    consumer: str
    nodes: tuple[str, ...]
    before: Side
    after: Side
    estimator: str
    differences: Mapping[str, Difference]
    too_few: str | None

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
    """Two runs side by side.

    Attributes
    ----------
    before, after
        Their ids.
    modelled
        Whether nothing was measured.
    changes
        One for each group of nodes and consumer.
    differing
        What else is different between them, by its key in run.json.
    """

    before: str
    after: str
    modelled: bool
    changes: Sequence[Change]
    differing: Mapping[str, tuple[Any, Any]]

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

    Raises
    ------
    RunError
        When a run cannot be read, when only one of them is modelled,
        or when they have nothing in common to compare.
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
    """List what is compared with each other: consumer and nodes (empty: all)."""
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
        _side(rows, refresh if by_interval else None, material.kubernetes)
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


def _side(
    rows: pd.DataFrame, refresh: pd.DataFrame | None, kubernetes: str | None
) -> Side:
    first = rows.iloc[0]
    population = {name: None if pd.isna(first[name]) else first[name] for name in GROUP}
    if refresh is None:
        blocks = delay_blocks(rows, kubernetes=kubernetes)
    else:
        law = expected_law(rows, version_of=lambda _: kubernetes)
        blocks = interval_blocks(refresh, law=law, kubernetes=kubernetes)
    return Side(
        setting=_named(population),
        population=population,
        pods=int(rows["pod"].nunique()),
        n_delays=int((rows["status"] == "observed").sum()),
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
