"""The written schema of a run directory: files, columns, units, allowed values.

All columns that end in ``_ns`` are UTC epoch nanoseconds, held as exact integers; all
that end in ``_s`` are seconds.
"""

from __future__ import annotations

import re
import reprlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from cmhot.errors import RunError, UsageError
from cmhot.kubelet.settings import Setting, parse_strategy

if TYPE_CHECKING:
    from collections.abc import Mapping


FORMAT = 1
"""Version of the run directory, written to run.json.

History: 1 (2026) the first.
"""
RUN_FILE = "run.json"
DELAYS_FILE = "delays.parquet"
NEVER_UPDATED = ("env", "envFrom", "subPath")
"""Consumers that keep the content they started with, for a container's life."""
DEAD_ENDS = ("timeout", "interrupted", "missed")
"""Status of a delay that was waited for and not seen: censored, never dropped."""
STATUSES = ("observed", *DEAD_ENDS, "not_sent", "failed")
"""All that an update can come to in one pod."""
SETTING = ("sync_frequency_s", "strategy", "ttl_s")
"""The columns that make up a kubelet's setting."""
FIXED_METADATA = ("modelled", "kubernetes")
"""Keys of run.json that runs must share to be pooled."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    name: str
    dtype: str  # of pandas, in memory; Int64 and float64 may be null
    unit: str  # empty for what has none
    meaning: str  # one sentence
    required: bool = field(default=False, kw_only=True)  # a row without it is damaged
    allowed: tuple[str, ...] = field(default=(), kw_only=True)  # empty: no such list


@dataclass(frozen=True, slots=True)
class Table:
    """One file of rows in a run directory."""

    file: str
    columns: tuple[Column, ...]


_SEQ = Column(
    "seq", "int64", "", "number of the update; monotone in a run", required=True
)
_CONFIGMAP = Column("configmap", "str", "", "name of the ConfigMap")
_NODE = Column("node", "str", "", "name of the node", required=True)
_POD = Column("pod", "str", "", "name of the pod", required=True)
_CONSUMER = Column(
    "consumer", "str", "", "volume, subPath, projected, env or envFrom", required=True
)
_AT = Column(
    "at_ns", "int64", "ns", "when it was noted, collector's clock", required=True
)
UPDATES = Table(
    "updates.jsonl",
    (
        _SEQ,
        _CONFIGMAP,
        Column("planned_ns", "Int64", "ns", "when the schedule wanted the write"),
        Column("sent_ns", "Int64", "ns", "when the write left; null: never"),
        Column("acked_ns", "Int64", "ns", "when the API server had answered it"),
        Column("resource_version", "str", "", "the ConfigMap's version after it"),
        Column(
            "status",
            "str",
            "",
            "what became of the write",
            allowed=("acked", "not_sent", "failed"),
        ),
        Column("error", "str", "", "why it failed; null: it did not"),
        Column(
            "purpose",
            "str",
            "",
            "whether its delay counts; absent means trial",
            allowed=("trial", "scramble"),
        ),
    ),
)
PUBLICATIONS = Table(
    "publications.jsonl",
    (
        _NODE,
        _POD,
        Column("uid", "str", "", "UID of the pod"),
        Column("container", "str", "", "name of the container"),
        _CONSUMER,
        _CONFIGMAP,
        Column("seq", "int64", "", "number of the update that appeared", required=True),
        Column(
            "published_ns",
            "int64",
            "ns",
            "lstat mtime of ..data, node clock",
            required=True,
        ),
        Column("read_ns", "Int64", "ns", "when the probe noticed it, node clock"),
    ),
)
CLOCK = Table(
    "clock.jsonl",
    (
        _NODE,
        _AT,
        Column(
            "offset_ns",
            "int64",
            "ns",
            "node clock less collector's clock",
            required=True,
        ),
        Column(
            "bound_ns", "int64", "ns", "largest error of that offset", required=True
        ),
    ),
)
EVENTS = Table(
    "events.jsonl",
    (
        _AT,
        Column(
            "kind",
            "str",
            "",
            "reconnect, restart, gap, gone, unseen (until resumed), throttled …",
            required=True,
        ),
        Column("object", "str", "", "pod/NAME or node/NAME, where it has one"),
        Column(
            "detail",
            "object",
            "",
            "gap: from_ns and to_ns; clock_step: by_s and after_ns; else free",
        ),
    ),
)
RAW_TABLES = (UPDATES, PUBLICATIONS, CLOCK, EVENTS)
DELAYS = Table(
    DELAYS_FILE,
    (
        Column("sync_frequency_s", "float64", "s", "syncFrequency; null: unknown"),
        Column("strategy", "str", "", "Watch, Get or Cache; null: unknown"),
        Column("ttl_s", "float64", "s", "TTL of the Cache strategy; null: unknown"),
        _SEQ,
        _CONFIGMAP,
        _NODE,
        _POD,
        _CONSUMER,
        Column("sent_ns", "Int64", "ns", "of the update, collector's clock"),
        Column("acked_ns", "Int64", "ns", "of the update, collector's clock"),
        Column(
            "published_ns",
            "Int64",
            "ns",
            "of the first publication with this number or a later one, translated "
            "to the collector's clock",
        ),
        Column("delay_s", "float64", "s", "published less acked; null: not observed"),
        Column("waited_s", "float64", "s", "how long the pod surely had old content"),
        Column(
            "status",
            "str",
            "",
            "what the update came to",
            required=True,
            allowed=STATUSES,
        ),
        Column("sync", "Int64", "", "number of the publication in its pod, from 1"),
        Column("clock_bound_s", "float64", "s", "largest error of that translation"),
    ),
)
REFRESH = Table(
    "refresh.parquet",
    (
        *DELAYS.columns[:3],
        _CONSUMER,
        _NODE,
        _POD,
        _CONFIGMAP,
        Column(
            "start_ns",
            "int64",
            "ns",
            "last instant whose content the publication before had",
            required=True,
        ),
        Column("published_ns", "int64", "ns", "of the publication", required=True),
        Column(
            "least_s",
            "float64",
            "s",
            "delay of the last update that it brought",
            required=True,
        ),
        Column(
            "most_s",
            "float64",
            "s",
            "delay of the first update that it might have brought",
            required=True,
        ),
    ),
)
"""Per publication, the delays of the updates that it brought, as of any instant."""
FILES = (
    RUN_FILE,
    *(table.file for table in RAW_TABLES),
    *(table.file.removesuffix(".jsonl") + ".parquet" for table in RAW_TABLES),
    DELAYS.file,
    REFRESH.file,
)
"""All that a run directory may hold; what lies beside them is not of the run."""
LARGEST = 1 << 62
"""Of whole numbers: the difference of two is still one of 64 bits (stamps: 2116)."""
LONGEST_NAME = 1024
"""Characters: four times what Kubernetes allows."""
FREE_TEXTS = ("error",)
"""Columns that hold what somebody said, in as many lines as it took."""


def setting_of(row: Mapping[str, Any]) -> Setting | None:
    """Read the setting in a row of a table; None when it is not known.

    A TTL may be unknown where the rest is known. Raises `UsageError` when it is one
    that no kubelet has.
    """
    sync, strategy, ttl = (row[name] for name in SETTING)
    if pd.isna(sync) or pd.isna(strategy):
        return None
    try:
        sync_s, ttl_s = float(sync), None if pd.isna(ttl) else float(ttl)
    except ValueError as error:
        msg = (
            f"a sync_frequency_s of {sync!r} with a ttl_s of {ttl!r} is no setting, "
            "both are seconds: repair the run or leave it out"
        )
        raise UsageError(msg) from error
    return Setting(
        sync_frequency_s=sync_s, strategy=parse_strategy(strategy), ttl_s=ttl_s
    )


def record(row: Mapping[str, Any], table: Table) -> dict[str, Any]:
    """Order a row as its table has it, to be written as one JSON line.

    Raises `RunError` when the row has a key that the table does not know, lacks a
    required value or holds one of the wrong type.
    """
    known = [column.name for column in table.columns]
    strangers = sorted(set(row) - set(known))
    if strangers:
        msg = f"{table.file} has no column {', '.join(strangers)}: see runs.schema"
        raise RunError(msg)
    check(row, table)
    return {name: row.get(name) for name in known}


def conform(derived: pd.DataFrame, table: Table) -> pd.DataFrame:
    """Put a derived table's columns in order, with their dtypes.

    Texts may be categories, which stay so. Raises `RunError` when a value is none of
    those allowed.
    """
    ordered = derived[[column.name for column in table.columns]]
    typed = ordered.astype(
        {
            column.name: column.dtype
            for column in table.columns
            if not (column.dtype == "str" and ordered[column.name].dtype == "category")
        }
    )
    for column in table.columns:
        if column.allowed and not typed[column.name].isin(column.allowed).all():
            msg = f"{column.name} of {table.file} is one of {', '.join(column.allowed)}"
            raise RunError(msg)
    return typed


def check(row: Mapping[str, Any], table: Table, *, number: int | None = None) -> None:
    """Raise `RunError` for a row that does not fit its table.

    `number` is that of the row in its file, from 1; None: it is to be written.
    """
    for column in table.columns:
        value = row.get(column.name)
        if not _fits(value, column):
            where = "a row" if number is None else f"row {number}"
            msg = (
                f"{where} of {table.file} is damaged: {column.name} is {short(value)}, "
                f"and should be {column.dtype} ({column.meaning}); "
                "repair the row or leave this run out"
            )
            raise RunError(msg)


def _fits(value: object, column: Column) -> bool:
    """Say whether a value, as JSON has it, belongs in a column."""
    if value is None:
        return not column.required
    if column.dtype in {"int64", "Int64"}:
        return type(value) is int and is_in_range(value)
    return column.dtype == "object" or isinstance(value, str)


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80


def short(value: object) -> str:
    """Write a value as Python does; of a long or deep one only a part."""
    return _SHORT.repr(value)


def is_in_range(number: int) -> bool:
    """Tell whether a whole number can be subtracted from another."""
    return -LARGEST <= number <= LARGEST


def is_word(text: object) -> bool:
    """Tell whether a text is a name that means nothing to a page, a figure, Markdown.

    Kubernetes allows less: letters, digits, dots and hyphens.
    """
    return is_name(text) and _WORD.fullmatch(str(text)) is not None


_WORD = re.compile(r"[\w .,:;/+()@=~-]*")


def is_name(text: object) -> bool:
    """Tell whether a text can be shown in a line, wherever that is."""
    return isinstance(text, str) and len(text) <= LONGEST_NAME and text.isprintable()
