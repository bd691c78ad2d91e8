"""The folder of a report: made by one process, held by it, written as a whole."""

from __future__ import annotations

import json
import math
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmhot.errors import RunError, UsageError
from cmhot.runs import disk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class NewFolder:
    """A folder that this process made.

    Attributes
    ----------
    path
        Of the folder.
    above
        The folders above it that were made for it, the deepest first.
    """

    path: Path
    above: Sequence[Path]

    def discard(self) -> None:
        """Remove a report that came to nothing, and the folders made for it."""
        shutil.rmtree(self.path, ignore_errors=True)
        disk.remove_empty(self.above)


def make_folder(out: Path, name: str, *, parts: Sequence[str]) -> NewFolder:
    """Make a new folder for a report; when that fails, nothing is left behind.

    Parameters
    ----------
    out
        Folder of reports; made if it is not there.
    name
        Of the new one; a number is added where something of that name is there.
    parts
        Folders to make in it.

    Raises
    ------
    UsageError
        When it cannot be made.
    """
    above: list[Path] = []
    made = None
    try:
        above = disk.make_missing(out)
        made = NewFolder(_make_new(out, name), above)
        for part in parts:
            (made.path / part).mkdir()
    except OSError as error:
        if made is not None:
            made.discard()
        disk.remove_empty(above)
        raise unwritable(out / name, error) from error
    return made


def _make_new(out: Path, name: str) -> Path:
    """Make the first one that is free: whoever makes it has it."""
    folder, number = out / name, 1
    while True:
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
            folder = out / f"{name}-{number}"
        else:
            return folder


def unwritable(folder: Path, error: OSError) -> UsageError:
    """Say that no report can be made there, and what to do."""
    return UsageError(
        f"cannot write a report to {folder}: {error.strerror or error}; "
        "choose a writable folder with --out"
    )


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep others from making the same report.

    Raises
    ------
    RunError
        When somebody makes it already.
    """
    try:
        descriptor = disk.hold(folder)
    except BlockingIOError as error:
        msg = f"another cmhot is making {folder}: wait for it, or end it first"
        raise RunError(msg) from error
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def write_json(file: Path, content: Mapping[str, object]) -> None:
    """Write numbers as a whole; what is no number, as in a foreign run, is null."""
    text = json.dumps(_finite(content), indent=2, ensure_ascii=False, allow_nan=False)
    # half a pair of surrogates, which JSON may hold, stays what it was
    disk.replace(file, f"{text}\n".encode(errors="backslashreplace"))


def write_page(file: Path, page: str) -> None:
    """Write a page as a whole."""
    disk.replace(file, page.encode(errors="replace"))


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
