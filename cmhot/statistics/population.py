"""What rows belong together, and which rows no statistic can be made of.

A number from an empty or mixed table is worse than none,
so all statistics refuse such tables here, in the same words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.errors import RunError, UsageError
from cmhot.runs import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Codes = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

GROUP = [*schema.SETTING, "consumer"]
"""What makes rows one population."""


def populations(table: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Go through the populations of a table, in order of the setting.

    Yields
    ------
    key, rows
        The columns of `GROUP` by name (what is not known is NaN), and the rows.

    Raises
    ------
    UsageError
        When the table is empty.
    RunError
        When modelled and measured rows are mixed.
    """
    not_empty(table)
    one_origin(table)
    number: Codes | None = None
    values = []
    for name in GROUP:  # one column at a time, and of one value none: rows may be many
        codes, names = _coded(table[name])
        values.append(names)
        if len(names) > 1:
            number = codes if number is None else number * len(names) + codes
    if number is None:
        yield {name: names[0] for name, names in zip(GROUP, values, strict=True)}, table
        return
    sizes = [len(names) for names in values]
    for one in np.flatnonzero(np.bincount(number, minlength=int(np.prod(sizes)))):
        places = np.unravel_index(one, sizes)
        key = {
            name: names[place]
            for name, names, place in zip(GROUP, values, places, strict=True)
        }
        yield key, table[number == one]


def one_population(table: pd.DataFrame) -> dict[str, Any]:
    """Give the population of a table that must have but one.

    Columns that the table lacks are left out of the comparison.

    Raises
    ------
    UsageError
        When the table is empty or holds several.
    RunError
        When modelled and measured rows are mixed.
    """
    not_empty(table)
    one_origin(table)
    key = {}
    for name in GROUP:
        if name not in table:
            continue
        _, names = _coded(table[name])
        if len(names) > 1:
            said = ", ".join(map(str, names))
            msg = (
                f"rows with different {name} ({said}) are no one population: "
                "pick the rows of one setting and consumer"
            )
            raise UsageError(msg)
        key[name] = names[0]
    return key


def not_empty(table: pd.DataFrame) -> None:
    """Refuse a table without rows.

    Raises
    ------
    UsageError
        When there is none.
    """
    if table.empty:
        msg = "a table without rows has no statistics: give one with rows"
        raise UsageError(msg)


def one_origin(table: pd.DataFrame) -> None:
    """Refuse a table that says of some rows, not all, that they were modelled.

    Raises
    ------
    RunError
        When its column ``modelled``, if it has one, holds both.
    """
    if "modelled" in table and len(pd.unique(table["modelled"])) > 1:
        msg = (
            "modelled and measured rows are mixed in one table: "
            "pick those of one origin, or compare the two"
        )
        raise RunError(msg)


def observed_delays(delays: pd.DataFrame) -> tuple[Floats, Flags]:
    """Give the delays of observed rows, and which rows those are.

    Raises
    ------
    RunError
        When an observed row has no delay.
    """
    observed = (delays["status"] == "observed").to_numpy(dtype=np.bool_)
    found = delays["delay_s"].to_numpy(dtype=np.float64)
    if not observed.all():
        found = found[observed]
    if np.isnan(found).any():
        msg = (
            f"{int(np.isnan(found).sum())} observed rows have no delay: the table is "
            "damaged; compute it again from the run with cmhot.runs.delays.delays"
        )
        raise RunError(msg)
    return found, observed


def refresh_ends(refresh: pd.DataFrame) -> tuple[Floats, Floats]:
    """Give the least and most delay of each refresh in seconds, each of shape (n,).

    Raises
    ------
    RunError
        When a row has none, or a most that is not above its least.
    """
    least = refresh["least_s"].to_numpy(dtype=np.float64)
    most = refresh["most_s"].to_numpy(dtype=np.float64)
    wrong = ~(most > least)  # NaN compares as wrong, too
    if wrong.any():
        msg = (
            f"{int(wrong.sum())} refresh intervals have no length: the table is "
            "damaged; compute it again with cmhot.runs.refreshes.refresh_intervals"
        )
        raise RunError(msg)
    return least, most


def codes_of(column: pd.Series[Any]) -> tuple[Codes, int]:
    """Give the values of a column numbers from 0, and say how many there are."""
    codes, names = _coded(column)
    return codes, len(names)


def _coded(column: pd.Series[Any]) -> tuple[Codes, list[Any]]:
    """Give the values that occur numbers, in their order, what is null last."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        small = column.cat.codes.to_numpy()
        names = [*column.cat.categories, np.nan]
        if small.size and small.min() == small.max():  # of most columns
            return np.zeros(small.size, dtype=np.int64), [names[small[0]]]
        names.pop()
        raw = small.astype(np.int64)
    else:
        found, values = pd.factorize(column, sort=True)
        raw, names = found.astype(np.int64), [*values]
    raw = np.where(raw < 0, len(names), raw)
    names.append(np.nan)
    present = np.bincount(raw, minlength=len(names)) > 0
    order = sorted(np.flatnonzero(present[:-1]).tolist(), key=names.__getitem__)
    order += [len(names) - 1] * bool(present[-1])
    place = np.zeros(len(names), dtype=np.int64)
    place[order] = np.arange(len(order))
    return place[raw], [names[one] for one in order]
