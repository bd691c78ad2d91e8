"""What comes from outside: opened without following a link, measured, then read.

Run directories are exchanged between strangers. A file of one is read only when it is
a regular file, is as large as a run's may be, and promises no more than it holds.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.errors import RunError
from cmhot.runs import schema

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path


LARGEST_FILE = 16 << 30
"""Bytes of a raw file: ten million publications have 2.5 GB."""
LARGEST_RUN_FILE = 64 << 20
"""Bytes of run.json: it lists pods, and 100,000 of them take 25 MB."""
LONGEST_LINE = 1 << 20
"""Bytes of a line: a row has some hundred, and a thousand with an error's text."""
MOST_ROWS = 20_000_000
"""Of a packed table: twice the publications of the largest run that we measured."""
FEW_ROWS = 100_000
"""Of a packed table, which may be packed as small as can be: they need no memory."""
MOST_TEXT = 2 << 30
"""Bytes of all texts of a packed table, unpacked: 100 for each of `MOST_ROWS`."""
MOST_DELAYS = 20_000_000
"""Updates times pods: twice those of the largest run that we measured; while they are
computed they need some 5 GB."""
MOST_GAP_STEPS = 1_000_000_000
"""Updates times gaps, of all pods: half a minute of looking into gaps."""
DEEPEST = 32
"""Levels of JSON inside one another: a run has five."""
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PIECE = 1 << 20


def opened(file: Path, *, most: int = LARGEST_FILE) -> io.BufferedReader:
    """Open a regular file of a run; what is none is refused, and nothing waits for it.

    Raises
    ------
    RunError
        When it is a link, a pipe, a device or a folder, or too large.
    OSError
        When it is not there or cannot be read.
    """
    try:
        descriptor = os.open(file, _OPEN)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        msg = (
            f"{file} is a symbolic link, which might lead anywhere: put the file "
            "itself in its place, or leave this run out"
        )
        raise RunError(msg) from error
    handle = os.fdopen(descriptor, "rb")
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        handle.close()
        msg = f"{file} is no regular file: copy the run anew, or leave this run out"
        raise RunError(msg)
    if found.st_size > most:
        handle.close()
        msg = (
            f"{file} has {found.st_size:,} bytes, and {most:,} is the most that is "
            "read of one: leave this run out"
        )
        raise RunError(msg)
    return handle


def is_there(file: Path) -> bool:
    """Tell whether anything has that name, a link that leads nowhere included."""
    return os.path.lexists(file)


def content_of(file: Path, *, most: int = LARGEST_RUN_FILE) -> bytes:
    """Read a small file whole.

    Raises
    ------
    RunError, OSError
        As `opened`.
    """
    with opened(file, most=most) as handle:
        return handle.read(most)


def lines_of(file: Path) -> Iterator[bytes]:
    """Yield the lines of a file, none of which is too long.

    Raises
    ------
    RunError, OSError
        As `opened`, and for a line of more than `LONGEST_LINE` bytes.
    """
    with opened(file) as handle:
        for number, line in enumerate(
            iter(lambda: handle.readline(LONGEST_LINE + 1), b""), start=1
        ):
            if len(line) > LONGEST_LINE:
                msg = (
                    f"{file}, line {number}, has more than {LONGEST_LINE:,} bytes, "
                    "so it is no row: repair it or leave this run out"
                )
                raise RunError(msg)
            yield line


def rows_in(file: Path) -> int:
    """Count the lines of a raw file that were written to their ends."""
    with opened(file) as handle:
        return sum(
            piece.count(b"\n") for piece in iter(lambda: handle.read(_PIECE), b"")
        )


def is_deep(value: object) -> bool:
    """Tell whether JSON goes deeper than anything in a run."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


def copy_run(run: Path, copy: Path, *, left_out: frozenset[str] = frozenset()) -> None:
    """Copy the files that a run is made of, and nothing else that lies beside them.

    Parameters
    ----------
    run
        The run directory.
    copy
        The new one, whose folder is there.
    left_out
        Names of files that are not copied.

    Raises
    ------
    RunError
        When one of them is no regular file, or grows without end.
    OSError
        When it cannot be read or written.
    """
    copy.mkdir()
    packed = {table.file for table in schema.RAW_TABLES if _is_packed(run, table)}
    for name in schema.FILES:
        if name in left_out or name in packed:  # nobody reads lines beside Parquet
            continue
        try:
            source = opened(run / name)
        except FileNotFoundError:
            continue
        with source, (copy / name).open("xb") as target:
            left = LARGEST_FILE
            while piece := source.read(min(_PIECE, left)):
                target.write(piece)
                left -= len(piece)
            if source.read(1):
                msg = f"{run / name} grows while it is copied: wait for its end"
                raise RunError(msg)


def _is_packed(run: Path, table: schema.Table) -> bool:
    """Tell whether a raw table of a run is read as Parquet."""
    return is_there(run / f"{table.file.removesuffix('.jsonl')}.parquet")


def read_packed_table(
    handle: io.BufferedReader, file: Path, table: schema.Table
) -> pd.DataFrame:
    """Read the columns of a packed table, once its footer says that they fit.

    Raises
    ------
    RunError
        When it promises more than it holds, or is no table of that kind.
    """
    import pyarrow as pa  # noqa: PLC0415 - half a second that only who unpacks pays
    import pyarrow.parquet as pq  # noqa: PLC0415

    names = [column.name for column in table.columns]
    texts = [one.name for one in table.columns if one.dtype not in _NUMBERS]
    try:
        packed = pq.ParquetFile(handle, read_dictionary=texts)
        _check_footer(packed, handle, file, table)
        told = packed.read(columns=texts)
        size = sum(_text_bytes(told.column(name)) for name in texts)
        del told
        if size > MOST_TEXT:
            msg = (
                f"{file} has {size:,} bytes of text once it is unpacked, and "
                f"{MOST_TEXT:,} is the most that is read: leave this run out"
            )
            raise RunError(msg)
        handle.seek(0)
        return pd.read_parquet(handle, columns=names)
    except (
        *(OSError, ValueError, TypeError, KeyError, IndexError, OverflowError),
        *(MemoryError, NotImplementedError, RecursionError, pa.ArrowException),
    ) as error:
        raise unreadable(file, error) from error


_NUMBERS = ("int64", "Int64")


def unreadable(file: Path, error: Exception) -> RunError:
    """Say in a line that a file is not what its name says."""
    why = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
    return RunError(f"cannot read {file}: {why}; copy the run directory anew")


def _check_footer(
    packed: Any,  # noqa: ANN401 - pyarrow ships no types
    handle: io.BufferedReader,
    file: Path,
    table: schema.Table,
) -> None:
    """Refuse a table by what its footer says of it, before anything is unpacked."""
    import pyarrow as pa  # noqa: PLC0415

    size = os.fstat(handle.fileno()).st_size
    rows = packed.metadata.num_rows
    most = min(max(FEW_ROWS, size), MOST_ROWS)
    if rows > most:
        msg = (
            f"{file} says it has {rows:,} rows, and {most:,} is the most that is "
            f"believed of {size:,} bytes: leave this run out"
        )
        raise RunError(msg)
    names = packed.schema_arrow.names
    for column in table.columns:
        if names.count(column.name) != 1:
            msg = f"{file} has {names.count(column.name)} columns {column.name}, not 1"
            raise RunError(f"{msg}: copy the run directory anew")
        kind = packed.schema_arrow.field(column.name).type
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        fits = pa.types.is_null(plain) or (
            pa.types.is_integer(plain)
            if column.dtype in _NUMBERS
            else pa.types.is_string(plain) or pa.types.is_large_string(plain)
        )
        if not fits:
            msg = (
                f"{file} is damaged: {column.name} is {plain}, and should be "
                f"{column.dtype} ({column.meaning}); leave this run out"
            )
            raise RunError(msg)
    groups = (
        packed.metadata.row_group(number)
        for number in range(packed.metadata.num_row_groups)
    )
    unpacked = sum(group.total_byte_size for group in groups)
    if unpacked > MOST_TEXT:
        msg = (
            f"{file} says it has {unpacked:,} bytes unpacked, and {MOST_TEXT:,} is "
            "the most that is read: leave this run out"
        )
        raise RunError(msg)


def _text_bytes(column: Any) -> int:  # noqa: ANN401
    """Add up the texts of a column as long as they are once each stands for itself."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    found = 0
    for chunk in column.chunks:
        if not pa.types.is_dictionary(chunk.type):
            continue
        lengths = pc.binary_length(chunk.dictionary)
        found += pc.sum(lengths.take(chunk.indices)).as_py() or 0
    return found


def check_values(rows: pd.DataFrame, table: schema.Table) -> None:
    """Refuse a table with numbers that cannot be subtracted, or names with no form.

    Raises
    ------
    RunError
        With the first of them.
    """
    for column in table.columns:
        if column.dtype in _NUMBERS:
            known = rows[column.name].dropna().to_numpy(dtype=np.int64)
            ends = [int(known.min()), int(known.max())] if len(known) else []
            check_known(ends, column, table)
        else:
            known_texts = rows[column.name]
            if column.dtype == "str":
                known_texts = known_texts.dropna().drop_duplicates()
            check_known(known_texts, column, table)


def check_known(
    values: Iterable[object], column: schema.Column, table: schema.Table
) -> None:
    """Refuse values of the right type that a column cannot have all the same.

    Parameters
    ----------
    values
        Of the column: of whole numbers the least and the largest will do.
    column, table
        Where they stand.

    Raises
    ------
    RunError
        With the first of them.
    """
    if column.dtype in _NUMBERS:
        fits: Callable[[Any], bool] = schema.is_in_range
    elif column.dtype == "object":
        fits = _is_shallow
    else:
        fits = _is_storable if column.name in schema.FREE_TEXTS else schema.is_word
    for value in values:
        if not fits(value):
            msg = (
                f"{table.file} is damaged: a {column.name} is {schema.short(value)}, "
                f"which cannot be ({column.meaning}); "
                "repair the row or leave this run out"
            )
            raise RunError(msg)


def _is_shallow(value: object) -> bool:
    """Tell whether JSON goes no deeper than anything in a run."""
    return not isinstance(value, dict | list) or not is_deep(value)


def _is_storable(text: str) -> bool:
    """Tell whether a text has whole characters only: half of a pair is none."""
    return text.isascii() or text.encode(errors="replace").decode() == text


def check_product(
    meta: Mapping[str, Any],
    updates: pd.DataFrame,
    publications: pd.DataFrame,
    events: pd.DataFrame,
    *,
    path: Path,
) -> None:
    """Refuse a run whose few rows multiply: updates by pods, or those by gaps.

    Raises
    ------
    RunError
        When they are more than are computed.
    """
    trials = int((updates["purpose"] == "trial").sum())
    listed = meta.get("pods")
    if listed is None:
        keys = ["pod", "container", "consumer", "node"]
        listed = publications[keys].drop_duplicates().to_dict("records")
    if len(listed) * trials > MOST_DELAYS:
        msg = (
            f"{path} has {trials:,} updates for each of {len(listed):,} pods, and "
            f"{MOST_DELAYS:,} delays are the most that are computed: leave this run "
            "out, or summarise it where it was collected"
        )
        raise RunError(msg)
    gaps = events.loc[events["kind"] == "gap", "object"].value_counts().to_dict()
    if not gaps:
        return
    looks = sum(
        gaps.get(name, 0)
        for one in listed
        for name in {
            one["pod"],
            f"pod/{one['pod']}",
            one["node"],
            f"node/{one['node']}",
        }
    )
    if looks * trials > MOST_GAP_STEPS:
        msg = (
            f"{path} has {sum(gaps.values()):,} gaps for {trials:,} updates of "
            f"{len(listed):,} pods, more than are looked into: leave this run out"
        )
        raise RunError(msg)


def loaded(content: bytes) -> Any:  # noqa: ANN401 - whatever JSON has
    """Read JSON; what goes too deep is none.

    Raises
    ------
    ValueError
        When it is none.
    """
    try:
        found = json.loads(content)
    except RecursionError as error:
        raise ValueError(_DEEP) from error
    if is_deep(found):
        raise ValueError(_DEEP)
    return found


_DEEP = f"it goes deeper than {DEEPEST} levels"
