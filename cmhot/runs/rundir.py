"""A run directory on disk: what was done, kept so that a crash loses nothing.

The raw files only grow, line by line. A row that only the collector knows is on the
disk before the call returns; publications, which the probes' logs keep, are there
before the next of those. A line that was torn by a crash is ignored on reading. What is
derived from them can be computed again at any time.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import weakref
from array import array
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.clock import NS_PER_S, has_one_clock
from cmhot.errors import RunError, UsageError
from cmhot.runs import disk, schema
from cmhot.runs.tables import (
    DerivedWriter,
    frame,
    packed_file,
    places_by_node,
    read_packed,
    rows_at,
    rows_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    import numpy.typing as npt

    from cmhot.kubelet.settings import Setting

    Nanoseconds = npt.NDArray[np.int64]


_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")
"""It names folders, here and in reports: no path, no option, not too long."""


def names_a_run(text: object) -> bool:
    """Tell whether a text can name a run, and so a folder."""
    return isinstance(text, str) and _RUN_ID.fullmatch(text) is not None


_RUN_ID_RULE = (
    "up to 101 letters (a to z), digits, dots, hyphens and underscores, of which "
    "the first is a letter or a digit"
)
_PACKED_LEVEL = 19
"""Of zstd: slow to write once, quick to read, a fifth smaller than the default."""


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
        Where collector and nodes share a clock that was set meanwhile, stamps made
        by it are on the run's own (`OwnClock`).
    own_clock
        What was seen of that clock; None: nothing, or it is undone.
    """

    path: Path
    meta: dict[str, Any]
    updates: pd.DataFrame
    publications: pd.DataFrame
    events: pd.DataFrame
    clock: pd.DataFrame
    own_clock: OwnClock | None = None


class RunWriter:
    """Writes one run directory, and keeps other writers out until it is closed.

    `create` and `reopen` make one. What is not closed holds its directory until nobody
    refers to it any more, or the process ends.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made: list[Path] = []
        self._unsynced = False
        self._release: Callable[[], object] = lambda: None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @classmethod
    def create(cls, out: Path, *, meta: Mapping[str, Any]) -> RunWriter:
        """Make the directory ``<out>/<run_id>/`` with its run.json and empty raw files.

        When that fails, nothing of it is left behind. Raises `UsageError` when the
        directory exists already, cannot be written, or the ``run_id`` in `meta` cannot
        name one; `RunError` when another writer came in between.
        """
        run_id = str(meta["run_id"])
        if not names_a_run(run_id):
            msg = f"{run_id!r} cannot name a run: use {_RUN_ID_RULE}"
            raise UsageError(msg)
        writer = cls(out / run_id)
        writer._make()
        path = writer.path
        try:
            writer._hold()
            for table in schema.RAW_TABLES:
                (path / table.file).touch()
            disk.replace(path / schema.RUN_FILE, _run_json(meta))
        except OSError as error:
            writer.discard()
            raise _unwritable(path, error) from error
        return writer

    def _make(self) -> None:
        """Make the directory, which nobody else may have made."""
        out = self.path.parent
        try:
            self._made = disk.make_missing(out)
            self.path.mkdir()
        except OSError as error:
            disk.remove_empty(self._made)
            if isinstance(error, FileExistsError) and out.is_dir():
                msg = (
                    f"{self.path} exists already, and a run is never overwritten: "
                    "choose another folder with --out"
                )
                raise UsageError(msg) from error
            raise _unwritable(self.path, error) from error

    @classmethod
    def reopen(cls, path: Path) -> RunWriter:
        """Take over a run whose writer has died; nothing of it is changed yet.

        Raises `RunError` when its writer lives.
        """
        writer = cls(path)
        writer._hold()
        return writer

    def _hold(self) -> None:
        try:
            descriptor = disk.hold(self.path)
        except BlockingIOError as error:
            msg = (
                f"another cmhot is collecting into {self.path}: wait for it, or end it "
                "first"
            )
            raise RunError(msg) from error
        if descriptor is not None:
            self._release = weakref.finalize(self, os.close, descriptor)

    def close(self) -> None:
        """Let others write; a second call does nothing."""
        self._release()

    def cut_torn_lines(self) -> None:
        """Cut off last lines that a crash tore, before anything is added to them."""
        with disk.refusals(self.path):
            for table in schema.RAW_TABLES:
                disk.cut_torn_line(self.path / table.file)

    def discard(self) -> None:
        """Remove a run in which nothing was done, and the folders made for it."""
        self.close()
        shutil.rmtree(self.path, ignore_errors=True)
        disk.remove_empty(self._made)

    def append_update(self, row: Mapping[str, Any]) -> None:
        """Add one row to updates.jsonl; it is on the disk on return."""
        self._append([row], schema.UPDATES, synced=True)

    def append_publications(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows to publications.jsonl; the next row of another file syncs them.

        Until then they outlive the process, and what the machine took with it is
        read again: the probes' logs have it.
        """
        self._append(rows, schema.PUBLICATIONS, synced=False)

    def append_event(self, row: Mapping[str, Any]) -> None:
        """Add one row to events.jsonl."""
        self._append([row], schema.EVENTS, synced=True)

    def append_clock(self, row: Mapping[str, Any]) -> None:
        """Add one row to clock.jsonl."""
        self._append([row], schema.CLOCK, synced=True)

    def rows(self) -> dict[str, int]:
        """Count the rows of each raw file, by which a copy can tell that it is whole.

        Raises
        ------
        RunError
            When one cannot be read.
        """
        with disk.refusals(self.path):
            return {
                table.file: disk.rows_in(self.path / table.file)
                for table in schema.RAW_TABLES
            }

    def write_run(self, meta: Mapping[str, Any]) -> None:
        """Replace run.json as a whole: a reader sees the old or the new one."""
        with disk.refusals(self.path):
            disk.replace(self.path / schema.RUN_FILE, _run_json(meta))

    def write_derived(self, rows: pd.DataFrame, table: schema.Table) -> None:
        """Replace a derived table as a whole, marked with the records it is made of."""
        with DerivedWriter(self.path, table) as derived:
            derived.add(rows)
            derived.finish()

    def _append(
        self, rows: Iterable[Mapping[str, Any]], table: schema.Table, *, synced: bool
    ) -> None:
        content = b"".join(_line(schema.record(row, table)) for row in rows)
        if not content:
            return
        with disk.refusals(self.path):
            if synced and self._unsynced:
                disk.sync(self.path / schema.PUBLICATIONS.file)
                self._unsynced = False
            disk.append(self.path / table.file, content, synced=synced)
            self._unsynced = self._unsynced or not synced


def read_run(path: Path) -> Run:
    """Read a run directory, whoever wrote it.

    Raises
    ------
    RunError
        When it is missing, damaged or of another format.
    """
    outline = read_outline(path)
    publications = _on_time(
        _once(_read_whole(path, outline.meta, schema.PUBLICATIONS)), outline.own_clock
    )
    disk.check_product(
        outline.meta, outline.updates, publications, outline.events, path=path
    )
    _check_scrambled(path, outline.meta, publications)
    return replace(outline, publications=publications)


def read_outline(path: Path, *, raw: bool = False) -> Run:
    """Read all of a run but its publications, which may be millions.

    If `raw`, stamps stay as they were made, though the clock was set meanwhile.
    """
    meta = read_meta(path)
    updates, clock, events = (
        _read_whole(path, meta, table)
        for table in (schema.UPDATES, schema.CLOCK, schema.EVENTS)
    )
    updates["purpose"] = updates["purpose"].fillna("trial")
    updates = updates.drop_duplicates(["configmap", "seq"], keep="last")
    _check_sent(path, meta, updates)
    own_clock = None if raw else OwnClock.of(meta, events)
    return Run(
        path=path,
        meta=meta,
        updates=updates,
        publications=frame((), schema.PUBLICATIONS),
        events=events if own_clock is None else own_clock.undone(meta, events),
        clock=clock,
        own_clock=own_clock,
    )


def read_by_node(outline: Run) -> Iterator[Run]:
    """Read a run's publications node by node; no more than those of one are held.

    Each run has the pods and publications of one node, and all else of the `outline`
    from `read_outline`. Texts of publications are categories. Every node that run.json
    names pods of has its turn, and where it names none every node that published.
    """
    file = outline.path / schema.PUBLICATIONS.file
    places = places_by_node(file)
    listed = outline.meta.get("pods")
    pods: dict[str, list[Any]] = {}
    for entry in listed or ():
        pods.setdefault(str(entry["node"]), []).append(entry)
    for node in places if listed is None else pods:
        meta = outline.meta if listed is None else {**outline.meta, "pods": pods[node]}
        rows = rows_at(file, places.get(node, array("q")))
        # nothing of it stays here: the next node's are read when this one's are gone
        yield replace(
            outline,
            meta=meta,
            publications=_on_time(
                _once(frame(rows, schema.PUBLICATIONS, lean=True)), outline.own_clock
            ),
        )


def _read_whole(
    path: Path, meta: Mapping[str, Any], table: schema.Table
) -> pd.DataFrame:
    """Read a raw table, and see that it is as long as it was when the run ended.

    A packed one has its end in itself, and fewer rows: each stands there once.

    Raises
    ------
    RunError
        When it is shorter, or as `read_run`.
    """
    packed = read_packed(path, table)
    if packed is not None:
        return packed
    rows = frame(rows_of(path / table.file), table)
    ended_with = (meta.get("rows") or {}).get(table.file)
    if ended_with is not None and len(rows) < ended_with:
        msg = (
            f"{path / table.file} has {len(rows)} rows of {ended_with}: "
            "the copy is incomplete, copy the run directory anew"
        )
        raise RunError(msg)
    return rows


def _check_sent(path: Path, meta: Mapping[str, Any], updates: pd.DataFrame) -> None:
    """See that the updates are there that the run's checks counted: older runs too.

    Raises
    ------
    RunError
        When there are fewer.
    """
    sent = (meta.get("checks") or {}).get("trials_sent")
    own = (updates["purpose"] == "trial") & updates["sent_ns"].notna()
    if isinstance(sent, int) and own.sum() < sent:
        msg = (
            f"{path / schema.UPDATES.file} has {own.sum()} updates of {sent} that "
            "were sent: the copy is incomplete, copy the run directory anew"
        )
        raise RunError(msg)


def _check_scrambled(
    path: Path, meta: Mapping[str, Any], publications: pd.DataFrame
) -> None:
    """See that the pods are there that were seen to publish before any trial.

    Of runs that do not count their rows, which say how many pods these were.

    Raises
    ------
    RunError
        When there are fewer.
    """
    checks = meta.get("checks") or {}
    all_, missed = (
        checks.get(f"phases_{name}") for name in ("scrambled", "not_scrambled")
    )
    if meta.get("rows") or not isinstance(all_, int) or not isinstance(missed, int):
        return
    listed = {str(one["pod"]) for one in meta.get("pods") or ()}
    seen = min(all_, len(listed)) - missed  # a part of a run lists those of its pods
    there = publications["pod"].nunique()
    if there < seen:
        msg = (
            f"{path / schema.PUBLICATIONS.file} has publications of {there} pods, and "
            f"{seen} were seen to publish: the copy is incomplete, copy the run "
            "directory anew"
        )
        raise RunError(msg)


def _once(publications: pd.DataFrame) -> pd.DataFrame:
    """Leave a publication once that was read twice."""
    seen = ["pod", "container", "consumer", "configmap", "seq", "published_ns"]
    again = publications.duplicated(seen)
    return publications[~again] if again.any() else publications  # a copy costs


def read_meta(path: Path) -> dict[str, Any]:
    """Read run.json and check that it is one that we know, of a run with a name.

    Raises `RunError` when it is missing, damaged, of another format, or its ``run_id``
    cannot name a folder: a foreign one might lead out of the folder of reports.
    """
    file = path / schema.RUN_FILE
    try:
        meta = disk.loaded(disk.content_of(file))
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
    run_id = meta.get("run_id")
    if not names_a_run(run_id):
        msg = (
            f"{file} has the run_id {run_id!r}, which cannot name a run: give it "
            f"{_RUN_ID_RULE}, or leave this run out"
        )
        raise RunError(msg)
    from cmhot.runs import runjson  # noqa: PLC0415 - who writes a run needs no check

    runjson.check(meta, file)
    return dict(meta)


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"cannot write a run to {path}: {error.strerror}; "
        "choose a writable folder with --out"
    )


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _run_json(meta: Mapping[str, Any]) -> bytes:
    content = {"format": schema.FORMAT, **meta}
    return json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n"


def pack(run: Run, out: Path) -> Path:
    """Write a packed copy of a run to a new folder `out`: Parquet instead of lines.

    A run that is being made has to survive a crash after every line; one that is
    published has to be short. `read_run` reads both. Derived tables are left out.
    Raises `UsageError` when `out` exists or cannot be written.
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
            numbers = [
                one.name for one in table.columns if one.dtype in ("int64", "Int64")
            ]
            free = [one.name for one in table.columns if one.dtype == "object"]
            dumped = {name: rows[name].map(json.dumps) for name in free}
            content = pa.Table.from_pandas(rows.assign(**dumped), preserve_index=False)
            pq.write_table(
                content.replace_schema_metadata(None),
                out / packed_file(table),
                compression="zstd",
                compression_level=_PACKED_LEVEL,
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


def without_nodes(run: Run, nodes: Collection[str]) -> Run:
    """Leave nodes out of a run, with their pods and all that was seen of both."""
    meta = dict(run.meta)
    for key in ("settings", "kubelets"):
        meta[key] = {name: x for name, x in meta[key].items() if name not in nodes}
    meta["pods"] = [pod for pod in meta["pods"] if pod["node"] not in nodes]
    pods = {f"pod/{pod['pod']}" for pod in run.meta["pods"] if pod["node"] in nodes}
    gone = pods | {f"node/{node}" for node in nodes}
    return replace(
        run,
        meta=meta,
        publications=run.publications[~run.publications["node"].isin(nodes)],
        clock=run.clock[~run.clock["node"].isin(nodes)],
        events=run.events[~run.events["object"].isin(gone)],
    )


def observed_until_ns(run: Run) -> int:
    """Say until when publications would have been seen, in UTC epoch nanoseconds.

    That is ``observed_until_ns`` of run.json, or else the last stamp of any file: a run
    that was killed has no other end.
    """
    given = run.meta.get("observed_until_ns")
    if given is not None:
        return int(given)
    stamps = [
        frame[name].max()
        for frame in (run.updates, run.publications, run.events, run.clock)
        for name in map(str, frame)
        if name.endswith("_ns") and name not in {"planned_ns", "offset_ns", "bound_ns"}
    ]
    return max((int(stamp) for stamp in stamps if pd.notna(stamp)), default=0)


CLOCK_STEP = "clock_step"
"""Kind of the event that the collector's machine had its clock set."""
UNCLEAR = "the clock was set: stamps of this time may be of another"
MOST_STEPS = 2000
"""Of a clock in one run: a machine whose clock is set by 10 ms every two seconds, as
some hosts correct that of their guests, has 1,800 an hour."""
_LOOKED_EVERY_S, _LOOKED_LATE_S = 45.0, 30.0
"""Where an event does not say when the clock was looked at before: a run of n pods did
so every 45 s / n, and not later than 30 s after that."""
_LONGEST_STEP_S = 1e9
"""Thirty years."""
_ALWAYS_NS = schema.LARGEST // 2


@dataclass(frozen=True, slots=True)
class OwnClock:
    """The clock of a machine that has collector and nodes, against that of the run.

    Nodes stamp by the machine's clock. The run's goes on when that one is set, or the
    machine sleeps. Between two steps the one is ahead of the other by the same time,
    a level; each array has an entry for each level, in their order.
    """

    ahead_ns: Nanoseconds
    from_ns: Nanoseconds  # first instant that may be of this level, run's clock
    until_ns: Nanoseconds  # last such instant

    @classmethod
    def of(cls, meta: Mapping[str, Any], events: pd.DataFrame) -> OwnClock | None:
        """Take what was seen from a run's events; None: nothing that is not undone.

        Raises
        ------
        RunError
            When there are too many steps.
        """
        if not has_one_clock(meta.get("target")):
            return None
        pods = len(meta.get("pods") or ()) or 1
        looked_ns = round((_LOOKED_EVERY_S / pods + _LOOKED_LATE_S) * NS_PER_S)
        ahead, begins, ends = [0], [-_ALWAYS_NS], []
        own = events[events["kind"].isin([CLOCK_STEP, "resumed"])]
        rows = (own[name] for name in ("kind", "at_ns", "detail"))
        for kind, at_ns, detail in zip(*rows, strict=True):
            told = detail if isinstance(detail, dict) else {}
            if kind == "resumed":  # older collectors then began their clock anew
                by_ns, after_ns = 0 if told.get("steady") else -ahead[-1], at_ns
            else:
                by_ns = 0 if told.get("undone") else _by_ns(told.get("by_s"))
                after_ns = told.get("after_ns")
            if not by_ns:
                continue
            known = type(after_ns) is int and after_ns <= at_ns
            begins.append(after_ns if known else at_ns - looked_ns)
            ends.append(int(at_ns))
            ahead.append(ahead[-1] + by_ns)
        if len(ahead) == 1:
            return None
        if len(ahead) > MOST_STEPS:
            msg = (
                f"run {meta['run_id']} has {len(ahead) - 1} steps of its clock, and "
                f"{MOST_STEPS} are the most that are undone: leave this run out"
            )
            raise RunError(msg)
        return cls(
            *(np.array(one, np.int64) for one in (ahead, begins, [*ends, _ALWAYS_NS]))
        )

    @property
    def back_ns(self) -> int:
        """By how much the clock was set back, all in all."""
        return int(np.maximum(-np.diff(self.ahead_ns), 0).sum())

    def on_time(self, stamps_ns: Nanoseconds) -> Nanoseconds:
        """Translate stamps of the machine's clock to the run's.

        One that may be of two levels comes to the earlier one: `unclear_ns` has it.
        """
        first, last = self.from_ns + self.ahead_ns, self.until_ns + self.ahead_ns
        level = np.searchsorted(np.maximum.accumulate(last), stamps_ns, "left")
        best = stamps_ns - self.ahead_ns[level]
        # a stamp of no level comes to the one that it is nearest to
        between = first[level] > stamps_ns
        for place in np.flatnonzero(between):
            at = stamps_ns[place] - self.ahead_ns
            outside = np.maximum(self.from_ns - at, at - self.until_ns)
            best[place] = at[np.argmin(np.maximum(outside, 0))]
        return np.asarray(best, np.int64)

    def unclear_ns(self) -> Nanoseconds:
        """Find from when until when stamps may be of two levels; shape (n, 2).

        A clock that is set back shows some instants twice; one that is set forward by
        less than the time between two looks may have shown either. The times are in
        their order, and do not overlap.
        """
        first, last = self.from_ns + self.ahead_ns, self.until_ns + self.ahead_ns
        found = []
        for early, ahead in enumerate(self.ahead_ns[:-1]):
            later = slice(early + 1, None)
            begin = np.maximum(first[early], first[later])
            end = np.minimum(last[early], last[later])
            both = begin <= end
            begin = begin - np.maximum(ahead, self.ahead_ns[later])
            end = end - np.minimum(ahead, self.ahead_ns[later])
            found.append(np.stack([begin[both], end[both]], axis=1))
        merged: list[list[int]] = []
        for start, stop in sorted(np.concatenate(found).tolist()):
            if merged and start <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], stop)
            else:
                merged.append([start, stop])
        return np.array(merged, np.int64).reshape(-1, 2)

    def undone(self, meta: Mapping[str, Any], events: pd.DataFrame) -> pd.DataFrame:
        """Give a run's events on its clock, and the unclear times as gaps of its nodes.

        Of the events those are stamped by nodes that a probe's log tells: gaps, and
        restarts with a line of it.
        """
        instants, details = [], []
        rows = (events[name] for name in ("kind", "at_ns", "detail"))
        for kind, at_ns, detail in zip(*rows, strict=True):
            told = dict(detail) if isinstance(detail, dict) else {}
            if kind == "gap" or (kind == "restart" and "line" in told):
                stamps = {
                    name: told[name]
                    for name in ("from_ns", "to_ns")
                    if type(told.get(name)) is int
                }
                here = self.on_time(np.array([at_ns, *stamps.values()], np.int64))
                at_ns, *ends = here.tolist()  # noqa: PLW2901 - the same instant
                told |= dict(zip(stamps, ends, strict=True))
            elif kind == CLOCK_STEP:
                told["undone"] = True
            instants.append(at_ns)
            details.append(told or detail)
        nodes = sorted({str(one["node"]) for one in meta.get("pods") or ()})
        unclear = [
            {
                "at_ns": to_ns,
                "kind": "gap",
                "object": f"node/{node}",
                "detail": {"from_ns": from_ns, "to_ns": to_ns, "why": UNCLEAR},
            }
            for from_ns, to_ns in self.unclear_ns().tolist()
            for node in nodes or [*(meta.get("settings") or ())]
        ]
        own = events.assign(
            at_ns=np.array(instants, np.int64),
            detail=pd.Series(details, index=events.index, dtype="object"),
        )
        return pd.concat([own, frame(unclear, schema.EVENTS)], ignore_index=True)


def _by_ns(seconds: object) -> int:
    """Read by how much a clock was set; 0 for what is no such time."""
    if not isinstance(seconds, int | float) or not abs(seconds) < _LONGEST_STEP_S:
        return 0
    return round(seconds * NS_PER_S)


def _on_time(rows: pd.DataFrame, clock: OwnClock | None) -> pd.DataFrame:
    """Give publications whose stamps are on the run's clock."""
    if clock is None or rows.empty:
        return rows
    shifted = {}
    for name in ("published_ns", "read_ns"):
        stamps = rows[name].copy()
        known = stamps.notna()
        stamps[known] = clock.on_time(stamps[known].to_numpy(dtype=np.int64))
        shifted[name] = stamps
    return rows.assign(**shifted)


def setting_columns(meta: Mapping[str, Any], node: str) -> dict[str, Any]:
    """Find the setting of a node in run.json; None for what is not known."""
    known = (meta.get("settings") or {}).get(node) or {}
    return {name: known.get(name) for name in schema.SETTING}


def node_setting(meta: Mapping[str, Any], node: str) -> Setting | None:
    """Find the setting of a node in run.json; None: not known."""
    return schema.setting_of(setting_columns(meta, node))


def kubelet_version(meta: Mapping[str, Any], node: str) -> str | None:
    """Find the version of a node's kubelet, else the cluster's; None: not known."""
    own = (meta.get("kubelets") or {}).get(node) or meta.get("kubernetes")
    return own if isinstance(own, str) else None
