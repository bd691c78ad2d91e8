"""Tables of a run, raw and derived, read and written lean: some have millions of rows.

Raw files are read line by line, all of them or those of one node; texts are held once.
Derived tables are written in pieces, and read a column at a time: one of a day with
thousands of pods has tens of millions of rows. Names in them (of pods, nodes, settings
…) are categories.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from array import array
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from cmhot.errors import RunError
from cmhot.runs import disk, schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    Places = Mapping[str, array[int]]
    Nanoseconds = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

_NODE_FIRST = re.compile(rb'\{"node":"([^"\\]*)"')
"""As we write a publication; elsewhere the node may come later."""


def rows_of(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a raw file, whose last line a crash may have torn.

    Raises `RunError` when it is missing, cannot be read or is damaged.
    """
    damaged = 0
    for number, line in enumerate(_lines(file), start=1):
        if damaged:
            raise RunError(_damage(file, f"line {damaged}"))
        row = _parsed(line)
        if row is None:
            damaged = number
        else:
            yield row


def places_by_node(file: Path) -> Places:
    """Find where the lines of each node's publications are in the file.

    By node: begin and end of each stretch of its lines, in bytes, one after the other.
    """
    found: dict[str, array[int]] = {}
    at, damaged = 0, False
    for line in _lines(file):
        if damaged:
            raise RunError(_damage(file, f"the line before byte {at}"))
        match = _NODE_FIRST.match(line) if line.endswith(b"}\n") else None
        row = _parsed(line) if match is None else {"node": match[1].decode()}
        if row is None:
            damaged = True
            at += len(line)
            continue
        node = str(row.get("node"))
        stretches = found.setdefault(node, array("q"))
        if stretches and stretches[-1] == at:
            stretches[-1] += len(line)
        else:
            stretches.extend((at, at + len(line)))
        at += len(line)
    return found


def rows_at(file: Path, stretches: array[int]) -> Iterator[dict[str, Any]]:
    """Yield the rows in some stretches of a file, as `places_by_node` gives them."""
    with disk.opened(file) as handle:
        pairs = iter(stretches)
        for begin, end in zip(pairs, pairs, strict=True):
            handle.seek(begin)
            for line in handle.read(end - begin).splitlines():
                row = _parsed(line)
                if row is None:
                    raise RunError(_damage(file, f"a line after byte {begin}"))
                yield row


def _lines(file: Path) -> Iterator[bytes]:
    """Yield the lines of a raw file; clocks and events may never have been written."""
    try:
        yield from disk.lines_of(file)
    except FileNotFoundError as error:
        if file.name not in {schema.UPDATES.file, schema.PUBLICATIONS.file}:
            return
        msg = f"{file} is missing: copy the run directory as a whole"
        raise RunError(msg) from error
    except OSError as error:
        msg = f"cannot read {file}: {error.strerror}; check its permissions"
        raise RunError(msg) from error


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _damage(file: Path, where: str) -> str:
    return f"{file}, {where}, is damaged: repair it or leave this run out"


def frame(
    rows: Iterable[Mapping[str, Any]], table: schema.Table, *, lean: bool = False
) -> pd.DataFrame:
    """Make a typed table of rows; integers stay exact and are never floats.

    Keys that the table does not know are left out: a newer writer may add some. The
    rows are taken one by one, and none is kept. If `lean`, texts become categories, a
    sixth of the memory. Raises `RunError` when a required value is absent or has the
    wrong type.
    """
    kinds: dict[str, type[_Integers | _Texts | _Objects]] = {
        "int64": _Integers,
        "Int64": _Integers,
        "str": _Texts,
    }
    columns = [kinds.get(column.dtype, _Objects)(column) for column in table.columns]
    for number, row in enumerate(rows, start=1):
        for one in columns:
            if not one.add(row.get(one.column.name)):
                schema.check(row, table, number=number)
    for one in columns:
        disk.check_known(one.known(), one.column, table)
    return pd.DataFrame({one.column.name: one.series(lean=lean) for one in columns})


class _Integers:
    """Whole numbers, eight bytes each."""

    __slots__ = ("_absent", "_values", "column")

    def __init__(self, column: schema.Column) -> None:
        self.column = column
        self._values, self._absent = array("q"), bytearray()

    def add(self, value: object) -> bool:
        """Take a value; False when it does not fit."""
        if type(value) is int:
            try:
                self._values.append(value)
            except OverflowError:  # of more than 64 bits
                return False
            self._absent.append(0)
            return True
        self._values.append(0)
        self._absent.append(1)
        return value is None and not self.column.required

    def known(self) -> Iterable[object]:
        """Give the least and the largest."""
        if not self._values:
            return ()
        values = np.frombuffer(self._values, dtype=np.int64)
        return int(values.min()), int(values.max())

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

    def known(self) -> Iterable[object]:
        """Give the different ones."""
        return [text for text in self._known if text is not None]

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

    def known(self) -> Iterable[object]:
        """Give all of them."""
        return self._values

    def series(self, *, lean: bool) -> pd.Series[Any]:  # noqa: ARG002 - as others
        """Give all of them."""
        return pd.Series(self._values, dtype=self.column.dtype)


def packed_file(table: schema.Table) -> str:
    """Name the file that a raw table has in a packed run: ``updates.parquet``."""
    return table.file.removesuffix(".jsonl") + ".parquet"


def read_packed(path: Path, table: schema.Table) -> pd.DataFrame | None:
    """Read a raw table of a packed run; None where the run is not packed."""
    file = path / packed_file(table)
    try:
        with disk.opened(file) as handle:
            rows = disk.read_packed_table(handle, file, table)
        free = [one.name for one in table.columns if one.dtype == "object"]
        told = {name: rows[name].map(disk.loaded) for name in free}
        typed = schema.conform(rows.assign(**told), table)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise disk.unreadable(file, error) from error
    disk.check_values(typed, table)
    return typed


def repeated(names: Sequence[str | None], sizes: Nanoseconds) -> pd.Categorical:
    """Repeat names, each as often as its size says, as categories."""
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


DERIVATION = 3
"""Version of what is derived from the raw files: with another one it is made anew.

History: 1 (2026) the first; 2 (2026) publications on the collector's clock;
3 (2026) steps of a testbed's clock undone.
"""
ROW_GROUP = 100_000
"""Rows that are written together: some ten megabytes, and as much while they are."""
_MADE_OF = b"cmhot.made_of"


class DerivedWriter:
    """Writes a derived table piece by piece, and replaces the old one at the end.

    As a context manager it leaves nothing behind unless `finish` was called.
    """

    def __init__(self, path: Path, table: schema.Table) -> None:
        import pyarrow.parquet as pq  # noqa: PLC0415 - only who derives pays for it

        self._path, self._table = path, table
        self._draft = disk.draft_of(path / table.file)
        self._schema = _arrow_schema(table)
        self._pieces: list[Any] = []
        with disk.refusals(path):
            self._draft.unlink(missing_ok=True)  # whatever it may link to
            self._file = self._draft.open("xb")
        self._writer = pq.ParquetWriter(self._file, self._schema, compression="zstd")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # of a full disk, which was raised before
            self._writer.close()
        with contextlib.suppress(OSError):
            self._file.close()
        self._draft.unlink(missing_ok=True)

    def add(self, rows: pd.DataFrame) -> None:
        """Add rows, whose texts may be categories."""
        typed = schema.conform(rows, self._table)
        if len(typed):
            self._pieces.append(_arrow_table(typed, self._schema))
        if sum(map(len, self._pieces)) >= ROW_GROUP:
            self._write_pieces()

    def finish(self) -> None:
        """Put the table in place, marked with the records it is made of."""
        self._write_pieces()
        self._writer.add_key_value_metadata({_MADE_OF: fingerprint(self._path)})
        with disk.refusals(self._path):
            self._writer.close()
            self._file.close()
            disk.sync(self._draft)
            self._draft.replace(self._path / self._table.file)
        disk.note_made(self._path, self._table)

    def _write_pieces(self) -> None:
        import pyarrow as pa  # noqa: PLC0415

        if self._pieces:
            content = pa.concat_tables(self._pieces).unify_dictionaries()
            self._pieces = []
            with disk.refusals(self._path):
                self._writer.write_table(content, row_group_size=len(content))
            del content
            pa.default_memory_pool().release_unused()


def read_derived(
    path: Path, table: schema.Table, columns: Sequence[str]
) -> pd.DataFrame | None:
    """Read columns of a derived table; texts are categories, which is lean and quick.

    None where the table is not there, cannot be read, was made by somebody else
    (`cmhot.runs.disk`), or of other records than those in the directory now.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    texts = [column.name for column in table.columns if column.dtype == "str"]
    try:
        with disk.opened(path / table.file) as handle:
            if not disk.is_noted(path, handle):
                return None
            file = pq.ParquetFile(handle, read_dictionary=texts)
            made_of = (file.metadata.metadata or {}).get(_MADE_OF)
            if made_of != fingerprint(path):
                return None
            # one at a time: what a column needs while it is read is free for the next
            found = {name: _column(file, name) for name in columns}
    except (OSError, RunError, pa.ArrowException):
        return None
    return pd.DataFrame(found, copy=False)


def _column(file: Any, name: str) -> Any:  # noqa: ANN401 - pyarrow ships no types
    """Read one column of a Parquet file, and let go of what that took."""
    import pyarrow as pa  # noqa: PLC0415

    content = file.read(columns=[name]).to_pandas(
        self_destruct=True, ignore_metadata=True
    )
    pa.default_memory_pool().release_unused()
    return content[name]


def fingerprint(path: Path) -> bytes:
    """Hash a run's records, to see whether they have changed.

    Raw files only grow, so that their sizes say enough; run.json is taken whole.
    """
    files = [
        path / name
        for table in schema.RAW_TABLES
        for name in (table.file, packed_file(table))
    ]
    sizes = [file.stat().st_size if file.is_file() else 0 for file in files]
    words = [DERIVATION, *sizes, disk.content_of(path / schema.RUN_FILE)]
    return hashlib.sha256(repr(words).encode()).hexdigest().encode()


def _arrow_schema(table: schema.Table) -> Any:  # noqa: ANN401
    """Give Arrow's schema of a table, the same for all pieces, whatever is in them."""
    import pyarrow as pa  # noqa: PLC0415

    kinds = {"str": pa.dictionary(pa.int32(), pa.string()), "float64": pa.float64()}
    fields = [
        pa.field(column.name, kinds.get(column.dtype, pa.int64()))
        for column in table.columns
    ]
    # pandas then finds its own integers and categories again
    empty = pd.DataFrame(
        {
            column.name: pd.Series(
                [], dtype="category" if column.dtype == "str" else column.dtype
            )
            for column in table.columns
        }
    )
    known = pa.Schema.from_pandas(empty, preserve_index=False).metadata
    return pa.schema(fields, metadata=known)


def _arrow_table(typed: pd.DataFrame, wanted: Any) -> Any:  # noqa: ANN401
    """Convert rows to Arrow; each piece may have categories of its own."""
    import pyarrow as pa  # noqa: PLC0415

    arrays = []
    for name, column in typed.items():
        kind = wanted.field(str(name)).type
        if pa.types.is_dictionary(kind):
            codes = column.astype("category").cat
            arrays.append(
                pa.DictionaryArray.from_arrays(
                    pa.array(codes.codes, pa.int32(), mask=codes.codes == -1),
                    pa.array(list(codes.categories), pa.string()),
                )
            )
        else:
            arrays.append(pa.Array.from_pandas(column, type=kind))
    return pa.Table.from_arrays(arrays, schema=wanted)
