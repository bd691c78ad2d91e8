"""A run made small, to be given away: its raw records as Parquet instead of lines.

A run that is being made has to survive a crash after every line;
one that is published has to be short. `cmhot.runs.rundir.read_run` reads both.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pandas as pd

from cmhot.errors import RunError, UsageError
from cmhot.runs import schema

if TYPE_CHECKING:
    from pathlib import Path

    from cmhot.runs.rundir import Run

_LEVEL = 19
"""Of zstd: slow to write once, quick to read, a fifth smaller than the default."""


_NUMBERS = ("int64", "Int64")


def file_of(table: schema.Table) -> str:
    """Name the file that a raw table has in a packed run: ``updates.parquet``."""
    return table.file.removesuffix(".jsonl") + ".parquet"


def pack(run: Run, out: Path) -> Path:
    """Write a packed copy of a run; derived tables are left out, being derivable.

    Parameters
    ----------
    run
        As read.
    out
        The new run directory; it must not exist.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    UsageError
        When `out` exists or cannot be written.
    """
    import pyarrow as pa  # noqa: PLC0415 - half a second that only who packs pays
    import pyarrow.parquet as pq  # noqa: PLC0415

    frames = zip(
        schema.RAW_TABLES,
        (run.updates, run.publications, run.clock, run.events),
        strict=True,
    )
    try:
        out.mkdir(parents=True)
        for table, rows in frames:
            texts = [one.name for one in table.columns if one.dtype == "str"]
            numbers = [one.name for one in table.columns if one.dtype in _NUMBERS]
            free = [one.name for one in table.columns if one.dtype == "object"]
            told = {name: rows[name].map(json.dumps) for name in free}
            content = pa.Table.from_pandas(rows.assign(**told), preserve_index=False)
            pq.write_table(
                content.replace_schema_metadata(None),
                out / file_of(table),
                compression="zstd",
                compression_level=_LEVEL,
                use_dictionary=texts,
                # stamps that follow each other differ little
                column_encoding=dict.fromkeys(numbers, "DELTA_BINARY_PACKED"),
            )
        text = json.dumps(run.meta, indent=1, ensure_ascii=False) + "\n"
        (out / schema.RUN_FILE).write_text(text, encoding="utf-8")
    except OSError as error:
        msg = f"cannot pack into {out}: {error.strerror}; name a new folder"
        raise UsageError(msg) from error
    return out


def read_packed(path: Path, table: schema.Table) -> pd.DataFrame | None:
    """Read a raw table of a packed run.

    Parameters
    ----------
    path
        The run directory.
    table
        One of the raw tables.

    Returns
    -------
    DataFrame or None
        None where the run is not packed.

    Raises
    ------
    RunError
        When the file is damaged.
    """
    file = path / file_of(table)
    if not file.is_file():
        return None
    try:
        rows = pd.read_parquet(file)
        free = [one.name for one in table.columns if one.dtype == "object"]
        told = {name: rows[name].map(json.loads) for name in free}
        return schema.conform(rows.assign(**told), table)
    except (OSError, ValueError) as error:
        msg = f"cannot read {file}: {error}; copy the run directory anew"
        raise RunError(msg) from error
