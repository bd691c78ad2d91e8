"""Rows of tables: as JSON has them, and which of them belong together."""

# ruff: noqa: RUF001 - Chinese punctuation is as it should be
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.law import reads_at_every_sync
from cmhot.plots.words import setting_name
from cmhot.runs import schema
from cmhot.settings import Strategy
from cmhot.statistics import GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Row = Mapping[str, Any]


def plain(value: Any) -> Any:  # noqa: ANN401 - a cell of a table
    """Give a cell as JSON has it: None for what is not known or has no limit."""
    if pd.isna(value) or value in {math.inf, -math.inf}:
        return None
    return value.item() if isinstance(value, np.generic) else value


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Give a table's rows as JSON has them."""
    return [
        {str(name): plain(value) for name, value in row.items()}
        for row in table.to_dict("records")
    ]


def populations(table: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Give setting and consumer, and the rows of each."""
    for key, own in table.groupby(GROUP, dropna=False, observed=True):
        yield {name: plain(value) for name, value in zip(GROUP, key, strict=True)}, own


def reads_each_sync(row: Row) -> bool:
    """Tell whether each sync reads what there is, and the container sees it."""
    if row["consumer"] in schema.NEVER_UPDATED:
        return False
    setting = schema.setting_of(row)
    return setting is not None and bool(reads_at_every_sync(setting, None))


def best(row: Row, name: str) -> float:
    """Give a number of a row of `Summary.table` by the estimator that knows more.

    The row is one of `records`, where nothing is NaN.
    """
    value = row.get(f"intervals_{name}")
    return float(row[name] if value is None else value)


def distinct_names(rows: Sequence[Row], lang: str) -> list[str]:
    """Name settings, with the consumer where there are several."""
    several = len({row["consumer"] for row in rows}) > 1
    comma = ", " if lang == "en" else "，"
    return [
        setting_name(row, lang) + (f"{comma}{row['consumer']}" if several else "")
        for row in rows
    ]


def most_telling(
    found: Sequence[tuple[dict[str, Any], pd.DataFrame]],
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Pick the setting of most pods; then Watch; then the longest `syncFrequency`."""
    return max(
        found,
        key=lambda one: (
            one[1]["pod"].nunique(),
            one[0]["strategy"] == Strategy.WATCH.value,
            one[0]["sync_frequency_s"] or 0.0,
        ),
    )
