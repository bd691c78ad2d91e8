"""Rows as typed tables, lean while they are read: a raw file may have millions."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.runs import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def frame(
    rows: Iterable[Mapping[str, Any]], table: schema.Table, *, lean: bool = False
) -> pd.DataFrame:
    """Make a typed table of rows; integers stay exact and are never floats.

    Keys that the table does not know are left out: a newer writer may add some.
    The rows are taken one by one, and none is kept.

    Parameters
    ----------
    rows
        By name of the column.
    table
        Which columns there are.
    lean
        Whether texts become categories, a sixth of the memory.

    Raises
    ------
    RunError
        When a required value is absent or a value has the wrong type.
    """
    kinds: dict[str, type[_Integers | _Texts | _Objects]] = {
        "int64": _Integers,
        "Int64": _Integers,
        "str": _Texts,
    }
    columns = [kinds.get(column.dtype, _Objects)(column) for column in table.columns]
    for number, row in enumerate(rows, start=1):
        for own in columns:
            if not own.add(row.get(own.column.name)):
                schema.check(row, table, number=number)
    return pd.DataFrame({own.column.name: own.series(lean=lean) for own in columns})


class _Integers:
    """Whole numbers, eight bytes each."""

    __slots__ = ("_absent", "_values", "column")

    def __init__(self, column: schema.Column) -> None:
        self.column = column
        self._values, self._absent = array("q"), bytearray()

    def add(self, value: object) -> bool:
        """Take a value; False when it does not fit."""
        if type(value) is int:
            self._values.append(value)
            self._absent.append(0)
            return True
        self._values.append(0)
        self._absent.append(1)
        return value is None and not self.column.required

    def series(self, *, lean: bool) -> pd.Series[Any]:  # noqa: ARG002 - as others
        """Give all of them."""
        values = np.array(self._values, dtype=np.int64)
        if self.column.dtype == "int64":
            return pd.Series(values)
        absent = np.array(self._absent, dtype=np.bool_)
        return pd.Series(pd.arrays.IntegerArray(values, absent))


class _Texts:
    """Texts, each different one held once."""

    __slots__ = ("_codes", "_known", "column")

    def __init__(self, column: schema.Column) -> None:
        self.column = column
        self._codes, self._known = array("i"), dict[str | None, int]()

    def add(self, value: object) -> bool:
        """Take a value; False when it does not fit."""
        fits = isinstance(value, str) or (value is None and not self.column.required)
        if fits:
            known = self._known
            self._codes.append(known.setdefault(value, len(known)))  # type: ignore[arg-type]
        return fits

    def series(self, *, lean: bool) -> pd.Series[Any]:
        """Give all of them."""
        codes = np.array(self._codes, dtype=np.int32)
        if lean:
            kept = [name for name in self._known if name is not None]
            absent = self._known.get(None, len(self._known))
            codes = np.where(codes == absent, -1, codes - (codes > absent))
            return pd.Series(pd.Categorical.from_codes(codes, pd.Index(kept)))
        names = pd.array([*self._known], dtype="str")
        return pd.Series(names.take(codes))


class _Objects:
    """Whatever JSON has."""

    __slots__ = ("_values", "column")

    def __init__(self, column: schema.Column) -> None:
        self.column = column
        self._values: list[object] = []

    def add(self, value: object) -> bool:
        """Take a value."""
        self._values.append(value)
        return value is not None or not self.column.required

    def series(self, *, lean: bool) -> pd.Series[Any]:  # noqa: ARG002 - as others
        """Give all of them."""
        return pd.Series(self._values, dtype=self.column.dtype)
