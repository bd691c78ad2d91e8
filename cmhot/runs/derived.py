"""Tables that are made of a run's records, beside them: written in pieces, read lean.

A table of a day with thousands of pods has tens of millions of rows; neither who
writes it nor who reads a column of it holds more than a piece.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING, Any, Self

import pandas as pd

from cmhot.runs import disk, schema
from cmhot.runs.packed import file_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DERIVATION = 2
"""Version of what is derived from the raw files: with another one it is made anew.

History: 1 (2026) the first; 2 (2026) publications on the collector's clock.
"""

ROW_GROUP = 100_000
"""Rows that are written together: some ten megabytes, and as much while they are."""

_MADE_OF = b"cmhot.made_of"


class DerivedWriter:
    """Writes a derived table piece by piece, and replaces the old one at the end.

    As a context manager it leaves nothing behind unless `finish` was called.

    Parameters
    ----------
    path
        The run directory.
    table
        Which table.
    """

    def __init__(self, path: Path, table: schema.Table) -> None:
        import pyarrow.parquet as pq  # noqa: PLC0415 - only who derives pays for it

        self._path, self._table = path, table
        self._draft = disk.draft_of(path / table.file)
        self._schema = _arrow_schema(table)
        self._pieces: list[Any] = []
        with disk.refusals(path):
            self._file = self._draft.open("wb")
        self._writer = pq.ParquetWriter(self._file, self._schema, compression="zstd")

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Take away what was not finished."""
        with contextlib.suppress(OSError):  # of a full disk, which was told before
            self._writer.close()
        with contextlib.suppress(OSError):
            self._file.close()
        self._draft.unlink(missing_ok=True)

    def add(self, rows: pd.DataFrame) -> None:
        """Add rows, whose texts may be categories.

        Raises
        ------
        RunError
            When a value is none of those allowed, or the disk is full.
        """
        typed = schema.conform(rows, self._table)
        if len(typed):
            self._pieces.append(_arrow_table(typed, self._schema))
        if sum(map(len, self._pieces)) >= ROW_GROUP:
            self._write_pieces()

    def finish(self) -> None:
        """Put the table in place, marked with the records it is made of.

        Raises
        ------
        RunError
            When the disk is full.
        """
        self._write_pieces()
        self._writer.add_key_value_metadata({_MADE_OF: fingerprint(self._path)})
        with disk.refusals(self._path):
            self._writer.close()
            self._file.close()
            disk.sync(self._draft)
            self._draft.replace(self._path / self._table.file)

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

    Returns
    -------
    DataFrame or None
        None where the table is not there, cannot be read,
        or was made of other records than those in the directory now.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    texts = [column.name for column in table.columns if column.dtype == "str"]
    try:
        file = pq.ParquetFile(path / table.file, read_dictionary=texts)
        made_of = (file.metadata.metadata or {}).get(_MADE_OF)
        if made_of != fingerprint(path):
            return None
        # one at a time: what a column needs while it is read is free for the next
        found = {name: _column(file, name) for name in columns}
    except (OSError, pa.ArrowException):
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
    """Tell by one word whether a run's records have changed.

    Raw files only grow, so that their sizes say enough; run.json is taken whole.
    """
    files = [
        path / name
        for table in schema.RAW_TABLES
        for name in (table.file, file_of(table))
    ]
    sizes = [file.stat().st_size if file.is_file() else 0 for file in files]
    words = [DERIVATION, *sizes, (path / schema.RUN_FILE).read_bytes()]
    return hashlib.sha256(repr(words).encode()).hexdigest().encode()


def _arrow_schema(table: schema.Table) -> Any:  # noqa: ANN401
    """Give a table's columns to Arrow, the same for all pieces, whatever is in them."""
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
    """Give rows to Arrow; each piece may have categories of its own."""
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
