"""Raw files of a run, line by line: one pass, or only the lines of one node.

The last line of a file may be torn, since a crash may have hit its writing.
"""

from __future__ import annotations

import json
import re
from array import array
from typing import TYPE_CHECKING, Any

from cmhot.errors import RunError
from cmhot.runs import schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    Places = Mapping[str, array[int]]

_NODE_FIRST = re.compile(rb'\{"node":"([^"\\]*)"')
"""As we write a publication; elsewhere the node may come later."""


def rows_of(file: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a raw file.

    Raises
    ------
    RunError
        When it is missing, cannot be read or is damaged.
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
    """Find where the publications of each node are: lines that follow one another.

    Returns
    -------
    dict
        By node: begin and end of each stretch of its lines, in bytes, one after
        the other.

    Raises
    ------
    RunError
        As `rows_of`.
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
    """Yield the rows in some stretches of a file, as `places_by_node` gives them.

    Raises
    ------
    RunError
        When one is damaged.
    """
    with file.open("rb") as handle:
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
        with file.open("rb") as handle:
            yield from handle
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
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _damage(file: Path, where: str) -> str:
    return f"{file}, {where}, is damaged: repair it or leave this run out"
