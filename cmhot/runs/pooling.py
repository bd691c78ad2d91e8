"""Tables of several runs as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def pool(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Join tables of several runs; pods and nodes of different runs are different.

    Parameters
    ----------
    tables
        By run id; all from `cmhot.runs.delays.delays`, or all from
        `cmhot.runs.refreshes.refresh_intervals`.

    Returns
    -------
    DataFrame
        Their rows, with pods and nodes named ``<run-id>/<name>``.

    Raises
    ------
    UsageError
        When there is no table.
    """
    if not tables:
        msg = "no table to pool: give those of one run at least"
        raise UsageError(msg)
    renamed = [
        table.assign(
            pod=_prefixed(table["pod"], run_id), node=_prefixed(table["node"], run_id)
        )
        for run_id, table in tables.items()
    ]
    joined: dict[str, Any] = {}
    for name in renamed[0]:
        columns = [table[name] for table in renamed]
        if len(columns) == 1:
            joined[str(name)] = columns[0]
        elif isinstance(columns[0].dtype, pd.CategoricalDtype):
            joined[str(name)] = _union(columns)
        else:
            joined[str(name)] = pd.concat(columns, ignore_index=True)
    return pd.DataFrame(joined, copy=False)


def _union(columns: Sequence[pd.Series[Any]]) -> pd.Categorical:
    """Join columns of categories, whatever those of each are."""
    kinds = [pd.Categorical(column) for column in columns]
    names = pd.Index([name for one in kinds for name in one.categories]).unique()
    codes = [one.set_categories(names).codes for one in kinds]
    return pd.Categorical.from_codes(np.concatenate(codes), categories=names)


def _prefixed(column: pd.Series[Any], run_id: str) -> pd.Categorical:
    """Name a run's pods or nodes so that they differ from those of other runs."""
    kind = pd.Categorical(column)
    return kind.rename_categories({old: f"{run_id}/{old}" for old in kind.categories})
