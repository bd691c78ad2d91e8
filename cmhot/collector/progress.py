"""The progress of a collection, read and shown while it lasts."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from cmhot.clock import NS_PER_S
from cmhot.cluster.workspace import READY_TIMEOUT_S
from cmhot.runs import schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Never, TextIO

    from cmhot.clock import Clock


EVERY_S = 1.0
"""Pause between two reads of a run directory; each read costs a millisecond."""
_TAIL = 4096
"""Bytes of publications.jsonl to read for the last delay: some ten lines."""
_IN_A_LOG_S = 60.0
"""Between two states of a bar in a file or a pipe, where each one stays."""
_PHASES = {
    "pods": "waiting for the probe pods",
    "phases": "scrambling the phases",
    "updates": "updates sent",
    "drain": "waiting for the last delays",
    "done": "collected",
}


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a collection."""

    phase: str  # pods, phases, updates, drain or done
    done: int  # trials dealt with
    total: int  # trials planned
    remaining_s: float
    last_delay_s: float | None  # the newest delay seen so far; None before the first


def minutes(seconds: float) -> str:
    """Write a duration for people: ``40 s``, ``4 min``, ``1 h 5 min``."""
    if seconds < 100:  # noqa: PLR2004 - up to here seconds are easier to grasp
        return f"{max(0, round(seconds))} s"
    hours, rest = divmod(max(1, round(seconds / 60)), 60)
    return f"{hours} h {rest} min" if hours else f"{rest} min"


@contextmanager
def progress_bar(file: TextIO | None = None) -> Iterator[Callable[[Progress], None]]:
    """Show trials done, the expected end and the last delay.

    Parameters
    ----------
    file
        Where to draw; None: the standard output.

    Yields
    ------
    callable
        To be given to `cmhot.collect` as its ``progress``.
    """
    # The end is what the plan says, not what tqdm would guess from the rate.
    form = "{desc}: {n_fmt}/{total_fmt} |{bar}|{postfix}"
    out = sys.stdout if file is None else file
    is_log = file is not None and not file.isatty()
    with ExitStack() as opened:
        bar: tqdm[Never] | None = None

        def show(progress: Progress) -> None:
            nonlocal bar
            if bar is None:  # an error before the first trial needs no bar above it
                bar = opened.enter_context(
                    tqdm(
                        file=out,
                        mininterval=_IN_A_LOG_S if is_log else 0.1,
                        bar_format=form,
                        ncols=100,
                        total=progress.total,
                        desc=_PHASES[progress.phase],
                    )
                )
            bar.total, bar.n = progress.total, progress.done
            bar.set_description_str(_PHASES[progress.phase], refresh=False)
            said = [f"{minutes(progress.remaining_s)} left"]
            if progress.last_delay_s is not None:
                said.append(f"last delay {max(0.0, progress.last_delay_s):.1f} s")
            if progress.phase == "pods":
                said = [f"{said[0]} at most"]
            bar.set_postfix_str(", ".join(said), refresh=False)
            bar.update(0)
            if progress.phase == "done":
                bar.refresh()

        yield show


def read_progress(path: Path, *, clock: Clock) -> Progress | None:
    """Read the progress of the run in a directory; None: it has not begun.

    Another process writes it. The directory only grows, and is all that the two
    processes share: reading it cannot disturb the measurement.
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
        # a run that goes on knows its end as planned only
        ends_ns = int(meta.get("observed_until_ns") or meta["ends_ns"])
        remaining_s = (ends_ns - clock.utc_ns()) / NS_PER_S
    if meta["status"] != "running":
        phase, remaining_s = "done", 0.0
    elif not total:
        phase = "pods"
    elif not done:
        phase = "phases"
    else:
        phase = "updates" if done < total else "drain"
    return Progress(phase, done, total, max(0.0, remaining_s), last_s)


def _rows(content: bytes) -> list[dict[str, Any]]:
    """Parse the lines that are whole: the first and the last may be torn."""
    lines = content.split(b"\n")[:-1]
    return [json.loads(line) for line in lines if line.startswith(b"{")]


@contextmanager
def tail_run(
    path: Path, *, clock: Clock, progress: Callable[[Progress], None]
) -> Iterator[None]:
    """Report the progress of a run from a thread, for as long as the context lasts."""
    over = threading.Event()

    def read_once() -> str | None:
        seen = read_progress(path, clock=clock)
        if seen is None:
            return None
        progress(seen)
        return seen.phase

    def tail() -> None:
        while not over.wait(EVERY_S) and read_once() != "done":
            pass

    thread = threading.Thread(target=tail, name="cmhot-tail", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
