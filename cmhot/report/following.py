"""How far a collection in another process is, seen from its run directory.

The directory is the only thing that the two share, and it only grows:
following it cannot disturb the measurement, nor be out of step with it.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cmhot.clock import NS_PER_S
from cmhot.collecting import Progress
from cmhot.pods import READY_TIMEOUT_S
from cmhot.runs import schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cmhot.clock import Clock

EVERY_S = 1.0
"""Looks at the directory; each costs a millisecond."""
_TAIL = 4096
"""Bytes of publications.jsonl to read for the last delay: some ten lines."""


def read_progress(path: Path, *, clock: Clock) -> Progress | None:
    """Read how far the run in a directory is.

    Parameters
    ----------
    path
        The run directory, which another process writes, or is about to make.
    clock
        That of this machine, for the time that is left.

    Returns
    -------
    Progress or None
        None: the run has not begun.
    """
    try:
        meta = json.loads((path / schema.RUN_FILE).read_bytes())
        rows = _rows((path / schema.UPDATES.file).read_bytes())
        with (path / schema.PUBLICATIONS.file).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL))
            tail = file.read()
    except FileNotFoundError:
        return None
    total = int(meta.get("planned_updates") or 0)
    done = sum(row.get("purpose") == "trial" for row in rows)
    acked = {row["seq"]: row["acked_ns"] for row in rows if row["acked_ns"]}
    shown = [row for row in _rows(tail) if row["seq"] in acked]
    last_s = None
    if shown:
        last_s = (shown[-1]["published_ns"] - acked[shown[-1]["seq"]]) / NS_PER_S
    remaining_s = READY_TIMEOUT_S
    if total:
        remaining_s = (_end_ns(meta) - clock.utc_ns()) / NS_PER_S
    if meta["status"] != "running":
        phase, remaining_s = "done", 0.0
    elif not total:
        phase = "pods"
    elif not done:
        phase = "phases"
    else:
        phase = "updates" if done < total else "drain"
    return Progress(phase, done, total, max(0.0, remaining_s), last_s)


def _end_ns(meta: dict[str, Any]) -> int:
    """Tell when the last look is due; a run that goes on knows it as planned only."""
    return int(meta.get("observed_until_ns") or meta["ends_ns"])


def _rows(content: bytes) -> list[dict[str, Any]]:
    """Parse the lines that are whole: the first and the last may be torn."""
    lines = content.split(b"\n")[:-1]
    return [json.loads(line) for line in lines if line.startswith(b"{")]


@contextmanager
def followed(
    path: Path, *, clock: Clock, progress: Callable[[Progress], None]
) -> Iterator[None]:
    """Report the progress of a run from a thread, for as long as the context lasts."""
    over = threading.Event()

    def look() -> str | None:
        seen = read_progress(path, clock=clock)
        if seen is None:
            return None
        progress(seen)
        return seen.phase

    def follow() -> None:
        while not over.wait(EVERY_S) and look() != "done":
            pass

    thread = threading.Thread(target=follow, name="cmhot-follow", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
