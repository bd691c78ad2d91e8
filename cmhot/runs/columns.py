"""Columns of the tables that are made of a run: lean ones, of very many rows.

Names (of pods, nodes, settings …) are categories in them, since a table of
ten million rows has few different ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.clock import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    Nanoseconds = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]


def repeated(names: Sequence[str | None], sizes: Nanoseconds) -> pd.Categorical:
    """Repeat names, each as often as its size says."""
    short = pd.Categorical(list(names))
    return pd.Categorical.from_codes(np.repeat(short.codes, sizes), dtype=short.dtype)


def joined(parts: Iterable[dict[str, Any]], name: str, dtype: Any) -> Any:  # noqa: ANN401
    """Join one column of all parts, and take it out of them: there may be many rows."""
    columns = [part.pop(name) for part in parts]
    return np.concatenate([np.array([], dtype=dtype), *columns], dtype=dtype)


def flags(column: pd.Series[Any]) -> Flags:
    """Give a column without nulls as truth values."""
    return column.to_numpy(dtype=np.bool_)


def integers(column: pd.Series[Any]) -> Nanoseconds:
    """Give a column without nulls as whole numbers."""
    return column.to_numpy(dtype=np.int64)


def ns(seconds: float) -> int:
    """Give seconds in whole nanoseconds."""
    return round(seconds * NS_PER_S)
