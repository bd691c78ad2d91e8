"""What this user's cmhot made itself: only that is believed without its records.

A table that is made of a run's records, or a summary of them, saves their reading.
In a run of somebody else it may say anything, so that it is made anew there.
What is ours is noted in the user's cache, by the very files that it was made of:
where they lie on this disk, how large they are and when they were changed last.
A copy is therefore nobody's, and costs its reading once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from cmhot.errors import RunError
from cmhot.runs import foreign, schema

if TYPE_CHECKING:
    import io


MOST_NOTES = 4096
"""Files of the cache; beyond them the oldest go, which costs their making anew."""
LARGEST_KEPT = 64 << 20
"""Bytes of a kept file: a summary has some hundred thousand at the most."""


def folder() -> Path:
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
        about = foreign.content_of(path / schema.RUN_FILE)
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


def note(path: Path, table: schema.Table) -> None:
    """Note that a table of a run was made by this user's cmhot, where that can be."""
    with contextlib.suppress(OSError, RunError):
        with foreign.opened(path / table.file) as handle:
            word = identity(path, handle)
        write(folder(), f"made-{word}", b"")


def is_noted(path: Path, derived: io.BufferedReader) -> bool:
    """Tell whether a table was made by this user's cmhot, of the records as they are.

    Raises
    ------
    RunError
        As `identity`.
    """
    return read(folder(), f"made-{identity(path, derived)}") is not None


def made(path: Path, table: schema.Table) -> bool:
    """Tell whether a run has a table that was made by this user's cmhot, as it is."""
    try:
        with foreign.opened(path / table.file) as handle:
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
        with foreign.opened(where / name, most=LARGEST_KEPT) as handle:
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
