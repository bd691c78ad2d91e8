"""A run directory on disk: what was done, kept so that a crash loses nothing.

The raw files only grow, line by line, and each append is on the disk
before the call returns. A line that was torn by a crash is ignored on reading.
What is derived from them can be computed again at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from cmhot.errors import RunError, UsageError
from cmhot.runs import schema
from cmhot.runs.packed import file_of, read_packed

if TYPE_CHECKING:
    import io
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path


DERIVATION = 1
"""Version of what is derived from the raw files: with another one it is made anew."""

_MADE_OF = b"cmhot.made_of"


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What a run directory holds.

    Attributes
    ----------
    path
        The directory.
    meta
        run.json as it is.
    updates, publications, events, clock
        The raw files, typed as `cmhot.runs.schema` says.
        Of two updates with the same number for the same ConfigMap the later row
        holds (a write that was settled afterwards);
        a publication that was read twice appears once.
    """

    path: Path
    meta: dict[str, Any]
    updates: pd.DataFrame
    publications: pd.DataFrame
    events: pd.DataFrame
    clock: pd.DataFrame


class RunWriter:
    """Writes one run directory.

    Parameters
    ----------
    path
        An existing run directory; `create` makes a new one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made: list[Path] = []

    @classmethod
    def create(cls, out: Path, *, meta: Mapping[str, Any]) -> RunWriter:
        """Make the directory ``<out>/<run_id>/`` with its run.json and empty raw files.

        When that fails, nothing of it is left behind.

        Parameters
        ----------
        out
            Folder of runs; made if it is not there.
        meta
            First content of run.json; ``run_id`` names the directory.

        Raises
        ------
        UsageError
            When the directory exists already or cannot be written.
        """
        path = out / str(meta["run_id"])
        absent = [folder for folder in (out, *out.parents) if not folder.exists()]
        if path.exists():
            msg = (
                f"{path} exists already, and a run is never overwritten: "
                "choose another folder with --out"
            )
            raise UsageError(msg)
        writer = cls(path)
        writer._made = absent
        try:
            path.mkdir(parents=True)
            for table in schema.RAW_TABLES:
                (path / table.file).touch()
            _replace(path / schema.RUN_FILE, _run_json(meta))
        except OSError as error:
            writer.discard()
            msg = (
                f"cannot write a run to {path}: {error.strerror}; "
                "choose a writable folder with --out"
            )
            raise UsageError(msg) from error
        return writer

    @classmethod
    def reopen(cls, path: Path) -> RunWriter:
        """Go on with a run; a last line that a crash tore is cut off first.

        Raises
        ------
        RunError
            When it cannot be written.
        """
        with _disk(path):
            for table in schema.RAW_TABLES:
                _cut_torn_line(path / table.file)
        return cls(path)

    def discard(self) -> None:
        """Remove a run in which nothing was done, and the folders made for it."""
        shutil.rmtree(self.path, ignore_errors=True)
        for folder in self._made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()

    def append_update(self, row: Mapping[str, Any]) -> None:
        """Add one row to updates.jsonl; it is on the disk on return."""
        self._append([row], schema.UPDATES)

    def append_publications(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows to publications.jsonl, with one fsync for all of them."""
        self._append(rows, schema.PUBLICATIONS)

    def append_event(self, row: Mapping[str, Any]) -> None:
        """Add one row to events.jsonl."""
        self._append([row], schema.EVENTS)

    def append_clock(self, row: Mapping[str, Any]) -> None:
        """Add one row to clock.jsonl."""
        self._append([row], schema.CLOCK)

    def write_run(self, meta: Mapping[str, Any]) -> None:
        """Replace run.json as a whole: a reader sees the old or the new one."""
        with _disk(self.path):
            _replace(self.path / schema.RUN_FILE, _run_json(meta))

    def write_derived(self, rows: pd.DataFrame, table: schema.Table) -> None:
        """Replace a derived table as a whole, marked with the records it is made of."""
        import pyarrow as pa  # noqa: PLC0415 - half a second that only who derives pays
        import pyarrow.parquet as pq  # noqa: PLC0415

        typed = schema.conform(rows, table)
        content = pa.Table.from_pandas(typed, preserve_index=False)
        content = content.replace_schema_metadata(
            {**(content.schema.metadata or {}), _MADE_OF: _fingerprint(self.path)}
        )
        sink = pa.BufferOutputStream()
        pq.write_table(content, sink, compression="zstd")
        with _disk(self.path):
            _replace(self.path / table.file, sink.getvalue())

    def _append(self, rows: Iterable[Mapping[str, Any]], table: schema.Table) -> None:
        lines = [_line(schema.record(row, table)) for row in rows]
        if not lines:
            return
        with (
            _disk(self.path),
            (self.path / table.file).open("ab", buffering=0) as file,
        ):
            whole = file.tell()
            try:
                _write_all(file, b"".join(lines))
                os.fsync(file.fileno())
            except OSError:
                # what a full disk took of it would tear the line that comes next
                file.truncate(whole)
                raise


def read_run(path: Path) -> Run:
    """Read a run directory, whoever wrote it.

    Raises
    ------
    RunError
        When it is missing, damaged or of another format.
    """
    meta = read_meta(path)
    updates, publications, clock, events = (
        _read_raw(path, table) for table in schema.RAW_TABLES
    )
    updates["purpose"] = updates["purpose"].fillna("trial")
    seen = ["pod", "container", "consumer", "configmap", "seq", "published_ns"]
    return Run(
        path=path,
        meta=meta,
        updates=updates.drop_duplicates(["configmap", "seq"], keep="last"),
        publications=publications.drop_duplicates(seen),
        events=events,
        clock=clock,
    )


def _read_raw(path: Path, table: schema.Table) -> pd.DataFrame:
    """Read a raw table, as it was written line by line or as it was packed."""
    packed = read_packed(path, table)
    if packed is not None:
        return packed
    return schema.frame(_read_lines(path / table.file), table)


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
        made_of = (file.schema_arrow.metadata or {}).get(_MADE_OF)
        if made_of != _fingerprint(path):
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


def _fingerprint(path: Path) -> bytes:
    """Tell by one word whether a run's records have changed.

    Raw files only grow, so that their sizes say enough; run.json is taken whole.
    """
    sizes = [
        file.stat().st_size if file.is_file() else 0
        for table in schema.RAW_TABLES
        for file in (path / table.file, path / file_of(table))
    ]
    words = [DERIVATION, *sizes, (path / schema.RUN_FILE).read_bytes()]
    return hashlib.sha256(repr(words).encode()).hexdigest().encode()


def read_meta(path: Path) -> dict[str, Any]:
    """Read run.json and see that it is one that we know."""
    file = path / schema.RUN_FILE
    try:
        meta = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        msg = (
            f"{path} is no run directory, it has no {schema.RUN_FILE}: "
            "give the path that cmhot collect printed"
        )
        raise RunError(msg) from error
    except (OSError, ValueError) as error:
        msg = f"cannot read {file}: {error}; repair it or leave this run out"
        raise RunError(msg) from error
    found = meta.get("format") if isinstance(meta, dict) else None
    if found != schema.FORMAT:
        msg = (
            f"{path} has format {found!r}, and this cmhot reads format "
            f"{schema.FORMAT}: use the cmhot that wrote it"
        )
        raise RunError(msg)
    return dict(meta)


def _read_lines(file: Path) -> list[dict[str, Any]]:
    """Read a raw file; its last line may be torn."""
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError as error:
        if file.name not in {schema.UPDATES.file, schema.PUBLICATIONS.file}:
            return []
        msg = f"{file} is missing: copy the run directory as a whole"
        raise RunError(msg) from error
    except OSError as error:
        msg = f"cannot read {file}: {error.strerror}; check its permissions"
        raise RunError(msg) from error
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict):
            rows.append(row)
        elif number < len(lines):
            msg = f"{file}, line {number}, is damaged: repair it or leave this run out"
            raise RunError(msg)
    return rows


def _cut_torn_line(file: Path) -> None:
    """Cut off what follows the last end of a line: nobody finished writing it."""
    with file.open("ab+") as handle:
        handle.seek(0)
        content = handle.read()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            handle.truncate(whole)
            os.fsync(handle.fileno())


def _write_all(file: io.RawIOBase, content: bytes) -> None:
    """Write all of it; a disk that is nearly full takes a part, and then refuses."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) or 0 :]


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _run_json(meta: Mapping[str, Any]) -> bytes:
    content = {"format": schema.FORMAT, **meta}
    return json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n"


def _replace(file: Path, content: bytes) -> None:
    """Put a file in place as a whole, and on the disk."""
    draft = file.with_name(file.name + ".part")
    with draft.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    draft.replace(file)


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Say what to do when the disk refuses a write to a run that goes on."""
    try:
        yield
    except OSError as error:
        msg = (
            f"cannot write to {path}: {error.strerror}; what was recorded before is "
            "kept: free some space or restore the folder, then resume the run"
        )
        raise RunError(msg) from error
