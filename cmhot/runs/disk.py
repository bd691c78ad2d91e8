"""Files of a run on disk: opened with care, believed if ours, written whole.

Run directories are exchanged between strangers. A file of one is read only when it is
a regular file, is as large as a run's may be, and promises no more than it holds; no
link is followed. A table or a summary that was made of a run's records saves their
reading, but in a run of somebody else it may say anything: what this user's cmhot made
itself is noted in the user's cache, and only that is believed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import stat
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import platformdirs

from cmhot.errors import RunError
from cmhot.runs import schema

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterable, Iterator, Mapping


def hold(folder: Path) -> int | None:
    """Lock a folder for this process alone, without leaving a trace in it.

    The system lets it go when the descriptor that is returned is closed, or the process
    ends in whatever way. None: it cannot be locked, for it is not there, or its file
    system locks no folders, as NFS, which wants to write to what it locks. Then it is
    written all the same: a measurement matters more. Raises `BlockingIOError` when
    somebody holds it.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def make_missing(folder: Path) -> list[Path]:
    """Make a folder and what is missing above it; what fails leaves nothing behind.

    Returns those that this very call made, the deepest first: what another process
    makes in the meantime is not ours to remove.
    """
    made: list[Path] = []
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        for path in reversed(absent):
            try:
                path.mkdir()
            except FileExistsError:
                if not path.is_dir():
                    raise
            else:
                made.insert(0, path)
    except OSError:
        remove_empty(made)
        raise
    return made


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of the folders in which nothing is, in that order."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def append(file: Path, content: bytes, *, synced: bool) -> None:
    """Put whole lines at the end of a file; what a full disk took of them is undone.

    If `synced`, they are on the disk on return; if not, they outlive the process, and
    the machine only after `sync`.
    """
    with file.open("ab", buffering=0) as handle:
        whole = handle.tell()
        try:
            _write_all(handle, content)
            if synced:
                os.fsync(handle.fileno())
        except OSError:
            # a part of a line would tear the one that comes next
            handle.truncate(whole)
            raise


def sync(file: Path) -> None:
    """Put on the disk what was written to a file."""
    with file.open("ab", buffering=0) as handle:
        os.fsync(handle.fileno())


def cut_torn_line(file: Path) -> None:
    """Cut off what follows the last end of a line: nobody finished writing it."""
    with file.open("ab+") as handle:
        size = handle.tell()
        at, tail = size, b""
        while at > 0 and b"\n" not in tail:
            at = max(0, at - (1 << 16))
            handle.seek(at)
            tail = handle.read(size - at)
        whole = at + tail.rfind(b"\n") + 1
        if whole != size:
            handle.truncate(whole)
            os.fsync(handle.fileno())


def replace(file: Path, content: bytes) -> None:
    """Put a file in place as a whole, and on the disk."""
    draft = draft_of(file)
    draft.unlink(missing_ok=True)  # of a crash, or a link to a file of somebody
    with draft.open("xb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    draft.replace(file)


def draft_of(file: Path) -> Path:
    """Name the file that a new content is written to before it replaces the old."""
    return file.with_name(file.name + ".part")


def _write_all(file: io.RawIOBase, content: bytes) -> None:
    """Write all of it; a disk that is nearly full takes a part, and then refuses."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) or 0 :]


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Say what to do when the disk refuses a write to a run that goes on."""
    try:
        yield
    except OSError as error:
        msg = (
            f"cannot write to {path}: {error.strerror}; what was recorded before is "
            "kept: free some space or restore the folder, then resume the run"
        )
        raise RunError(msg) from error


MOST_NOTES = 4096
"""Files of the cache; beyond them the oldest go, which costs their making anew."""
LARGEST_KEPT = 64 << 20
"""Bytes of a kept file: a summary has some hundred thousand at the most."""


def cache_folder() -> Path:
    """Say where this user's notes and summaries are kept."""
    return Path(platformdirs.user_cache_path("cmhot")) / "runs"


def identity(path: Path, derived: io.BufferedReader | None = None) -> str:
    """Name the records of a run on this disk, and a table of it, by one word.

    Whoever writes to one of the files, or copies it, has another word.

    Parameters
    ----------
    path
        The run directory.
    derived
        A table that is made of the records, opened.

    Raises
    ------
    RunError
        When run.json is none that can be read.
    """
    packed = [table.file.removesuffix("jsonl") + "parquet" for table in _RAW]
    files = [path / name for name in [*(table.file for table in _RAW), *packed]]
    try:
        about = content_of(path / schema.RUN_FILE)
    except OSError as error:
        msg = f"cannot read {path / schema.RUN_FILE}: {error.strerror}; repair it"
        raise RunError(msg) from error
    words = [about, *map(_told_of, files)]
    if derived is not None:
        words.append(_words(os.fstat(derived.fileno())))
    return hashlib.sha256(repr(words).encode()).hexdigest()


_RAW = schema.RAW_TABLES


def _told_of(file: Path) -> tuple[int, ...]:
    """Tell what a file is by what nobody else can give to another."""
    try:
        return _words(file.lstat())
    except OSError:
        return ()


def _words(found: os.stat_result) -> tuple[int, ...]:
    """Pick of a file's state what a change of it changes."""
    return (
        *(found.st_dev, found.st_ino, found.st_size),
        *(found.st_mtime_ns, found.st_ctime_ns),
    )


def note_made(path: Path, table: schema.Table) -> None:
    """Note that a table of a run was made by this user's cmhot, where that can be."""
    with contextlib.suppress(OSError, RunError):
        with opened(path / table.file) as handle:
            word = identity(path, handle)
        write(cache_folder(), f"made-{word}", b"")


def is_noted(path: Path, derived: io.BufferedReader) -> bool:
    """Tell whether a table was made by this user's cmhot, of the records as they are.

    Raises
    ------
    RunError
        As `identity`.
    """
    return read(cache_folder(), f"made-{identity(path, derived)}") is not None


def made_here(path: Path, table: schema.Table) -> bool:
    """Tell whether a run has a table that was made by this user's cmhot, as it is."""
    try:
        with opened(path / table.file) as handle:
            return is_noted(path, handle)
    except (OSError, RunError):
        return False


def write(where: Path, name: str, content: bytes) -> None:
    """Keep a file, as a whole, for this user alone.

    Raises
    ------
    OSError
        When it cannot be written.
    """
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_ours(where.lstat()):
        return
    _make_room(where)
    descriptor, draft = tempfile.mkstemp(dir=where, prefix=".part-")
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
        Path(draft).replace(where / name)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def read(where: Path, name: str) -> bytes | None:
    """Read what this user's cmhot kept; None where it kept nothing of that name."""
    try:
        if not _is_ours(where.lstat()):
            return None
        with opened(where / name, most=LARGEST_KEPT) as handle:
            if not _is_ours(os.fstat(handle.fileno())):
                return None
            return handle.read()
    except (OSError, RunError):
        return None


def _is_ours(found: os.stat_result) -> bool:
    """Tell whether nobody but this user may write there."""
    others = stat.S_IWGRP | stat.S_IWOTH
    return found.st_uid == os.geteuid() and not found.st_mode & others


def _make_room(where: Path) -> None:
    """Remove the oldest half of too many files."""
    with os.scandir(where) as entries:
        files = list(entries)
    if len(files) < MOST_NOTES:
        return
    by_age = sorted(files, key=lambda one: one.stat(follow_symlinks=False).st_mtime)
    for one in by_age[: MOST_NOTES // 2]:
        with contextlib.suppress(OSError):
            Path(one.path).unlink()


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
        told.validate(full=True)  # that texts are UTF-8, among others
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
        When they are more than are computed, or a gap has an end that is no instant.
    """
    _check_gaps(events, path)
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


def _check_gaps(events: pd.DataFrame, path: Path) -> None:
    """See that the ends of each gap are instants, where it has any."""
    for detail in events.loc[events["kind"] == "gap", "detail"]:
        known = detail if isinstance(detail, dict) else {}
        for name in known.keys() & {"from_ns", "to_ns"}:
            end = known[name]
            if type(end) is not int or not schema.is_in_range(end):
                msg = (
                    f"{path / schema.EVENTS.file} is damaged: {name} of a gap is "
                    f"{schema.short(end)}, and should be UTC epoch nanoseconds; "
                    "repair the row or leave this run out"
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
