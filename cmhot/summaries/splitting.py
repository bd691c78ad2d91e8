"""Which rows are summarised apart, beside those of different settings.

By the value of a node's label, if that is asked for; and what was inferred of a kubelet
apart from what it, or somebody, said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.errors import UsageError
from cmhot.statistics.population import populations
from cmhot.summaries.inferring import INFERRED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NODE_LABELS = "node_labels"
"""Key of run.json: by node, the labels that were recorded."""

WEAKEST_FIRST = ("unknown", INFERRED, "given", "configz")
"""How settings are known; of rows that are pooled the weakest is told."""


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """What is told apart of nodes of one setting.

    Attributes
    ----------
    inferred
        Whether their setting was inferred.
    value
        Of the label; empty: none, or no label was asked for.
    """

    inferred: bool = False
    value: str = ""


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes of some runs, named as in pooled tables: ``<run-id>/<name>``.

    Attributes
    ----------
    metas
        run.json by run id, with settings as far as they are known.
    by
        Label whose values are told apart; None: none is.
    """

    metas: Mapping[str, Mapping[str, Any]]
    by: str | None = None

    def __post_init__(self) -> None:
        """Refuse a label that no run has recorded."""
        known = sorted({label for labels in self._labels() for label in labels})
        if self.by is None or self.by in known:
            return
        said = f"recorded are {', '.join(known)}" if known else "none was recorded"
        msg = (
            f"no node label {self.by} in {', '.join(self.metas)}: {said}; "
            "`cmhot collect --node-label` records others, where nodes may be listed"
        )
        raise UsageError(msg)

    def _labels(self) -> Iterator[Mapping[str, str]]:
        for meta in self.metas.values():
            yield from (meta.get(NODE_LABELS) or {}).values()

    def entry(self, node: str) -> Mapping[str, Any]:
        """Give what run.json's ``settings`` has of a node."""
        run_id, _, name = node.partition("/")
        return (self.metas[run_id].get("settings") or {}).get(name) or {}

    def mark(self, node: str) -> Mark:
        """Give a node's mark."""
        run_id, _, name = node.partition("/")
        labels = (self.metas[run_id].get(NODE_LABELS) or {}).get(name) or {}
        value = "" if self.by is None else str(labels.get(self.by, ""))
        return Mark(self.entry(node).get("source") == INFERRED, value)

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
        return [self.entry(str(node)) for node in rows["node"].unique()]

    def populations(
        self, table: pd.DataFrame
    ) -> Iterator[tuple[Mark, dict[str, Any], pd.DataFrame]]:
        """Go through the populations of a table, in order of setting, then mark.

        Yields
        ------
        mark, key, rows
            The latter two as `cmhot.statistics.population.populations` has them.
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
    """Sort what is not known last."""
    return tuple((pd.isna(one), "" if pd.isna(one) else one) for one in key.values())
