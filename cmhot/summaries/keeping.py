"""A summary that took long, kept beside the records that it was made of.

A report's notebooks ask for the same one, each in a process of its own:
of ten million delays it takes ten seconds and a gigabyte every time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from cmhot._version import __version__
from cmhot.errors import CmhotError
from cmhot.runs.disk import replace
from cmhot.summaries.summary import SettingSummary, Summary

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WORTH_KEEPING = 1_000_000
"""Delays; what is made of fewer is made anew in a second or two."""


def key_of(marks: Sequence[bytes], by: str | None) -> str:
    """Name a question by what its answer depends on.

    Parameters
    ----------
    marks
        One for the records of each run: `cmhot.runs.derived.fingerprint`.
    by
        The label of nodes that the runs are split by.
    """
    words = repr((__version__, [*marks], by))
    return hashlib.sha256(words.encode()).hexdigest()[:24]


def read_kept(folder: Path, key: str) -> Summary | None:
    """Read a kept summary; None where there is none that can be read."""
    try:
        told = json.loads(_file(folder, key).read_bytes())
        settings = tuple(SettingSummary(**one) for one in told.pop("settings"))
        return Summary(runs=tuple(told.pop("runs")), settings=settings, **told)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def keep(folder: Path, key: str, summary: Summary) -> None:
    """Keep a summary, if it was worth the time and the folder can be written."""
    if sum(one.counts["n_delays"] for one in summary.settings) < WORTH_KEEPING:
        return
    content = json.dumps(asdict(summary)).encode()
    with contextlib.suppress(OSError, CmhotError):
        replace(_file(folder, key), content)


def _file(folder: Path, key: str) -> Path:
    return folder / f"summary-{key}.json"
