"""From what modelled kubelets did to the tables of a run, without rows in between."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from cmhot.model.pods import Volume
    from cmhot.runs.schema import Table

    Integers = npt.NDArray[np.int64]


def frame_of(columns: Mapping[str, Any], table: Table, *, rows: int) -> pd.DataFrame:
    """Make a table of whole columns: all that the schema has, with its dtypes.

    Parameters
    ----------
    columns
        By name: an array of as many values as there are rows, or one text for all.
        What is absent is null.
    table
        Which table.
    rows
        How many.
    """
    typed: dict[str, pd.Series[Any]] = {}
    for column in table.columns:
        value = columns.get(column.name)
        if value is None or isinstance(value, str):
            value = repeated([value], [rows])
        typed[column.name] = pd.Series(value, dtype=column.dtype)
    return pd.DataFrame(typed)


def repeated(names: Sequence[str | None], sizes: Sequence[int] | Integers) -> Any:  # noqa: ANN401
    """Repeat names, each as often as its size says; an array of pandas' texts."""
    return pd.array(names, dtype="str").repeat(sizes)


def published(
    volumes: Sequence[Volume], *, until_ns: int
) -> tuple[Integers, Integers, Integers]:
    """Put the publications of volumes one behind the other, up to an instant.

    Returns
    -------
    sizes
        How many each volume has; shape (volumes,).
    numbers, instants_ns
        Of each publication: what it brought, and when since the model's start.
    """
    sizes = [bisect_right(volume.instants_ns, until_ns) for volume in volumes]
    numbers, instants = array("q"), array("q")
    for volume, size in zip(volumes, sizes, strict=True):
        numbers += volume.numbers[:size]
        instants += volume.instants_ns[:size]
    return (
        np.array(sizes, dtype=np.int64),
        np.frombuffer(numbers, dtype=np.int64),
        np.frombuffer(instants, dtype=np.int64),
    )
