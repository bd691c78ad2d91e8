"""How long a testbed of four nodes takes to come and to go, with programs cached."""

from __future__ import annotations

import os
import select
import statistics
import sys
import threading
from dataclasses import dataclass

import click

from benchmarks import traces
from benchmarks.common import CLOCK, Result, publish
from cmhot.cluster.testbed import layout, lifecycle
from cmhot.cluster.testbed.status import first_process
from cmhot.kubelet.settings import parse_setting

NAME = "bench-startup"
NODES = ("sync=2s", "sync=5s", "sync=10s,strategy=Get", "sync=10s,strategy=Cache")
ROUNDS = 10

READY_MEDIAN_S, READY_WORST_S = 8.0, 15.0
"""On two idle cores; a crude script needed 4.2 to 8.8 s."""
PROCESSES_GONE_S, ALL_GONE_S = 1.0, 5.0


@dataclass(frozen=True, slots=True)
class Round:
    """One start and one end, in seconds since the command."""

    ready_s: float  # all nodes are Ready and pods can be created
    processes_gone_s: float  # the last process has ended
    all_gone_s: float  # `down` has returned: interface, cgroups and folder are gone too
    left: dict[str, list[str]]  # what was there afterwards and not before, by kind


def start_and_end(name: str, nodes: tuple[str, ...]) -> Round:
    """Start a testbed and take it down, by the clock."""
    before = traces.look(name)
    began = CLOCK.monotonic()
    lifecycle.up(layout.make_spec([parse_setting(node) for node in nodes], name=name))
    ready = CLOCK.monotonic()
    first = first_process(layout.home(name))
    assert first is not None  # noqa: S101 - it was Ready a moment ago
    # The first process of a PID namespace ends after all others; its descriptor
    # tells that without looking again and again, which would slow down what it sees.
    descriptor = os.pidfd_open(first)
    ended: list[float] = []

    def wait_for_end() -> None:
        select.select([descriptor], [], [])
        ended.append(CLOCK.monotonic())

    watcher = threading.Thread(target=wait_for_end)
    down_at = CLOCK.monotonic()
    watcher.start()
    lifecycle.down(name)
    gone = CLOCK.monotonic()
    watcher.join()
    os.close(descriptor)
    return Round(
        ready_s=ready - began,
        processes_gone_s=ended[0] - down_at,
        all_gone_s=gone - down_at,
        left=traces.look(name).added_since(before),
    )


def main() -> int:
    """Start and end it ten times."""
    rounds = []
    for number in range(1, ROUNDS + 1):
        found = start_and_end(NAME, NODES)
        rounds.append(found)
        click.echo(
            f"{number:2}: Ready after {found.ready_s:.2f} s, processes gone after "
            f"{found.processes_gone_s:.2f} s, all after {found.all_gone_s:.2f} s"
            + (f", LEFT {found.left}" if found.left else "")
        )
    ready = [found.ready_s for found in rounds]
    processes_gone = max(found.processes_gone_s for found in rounds)
    all_gone = max(found.all_gone_s for found in rounds)
    left = sum(bool(found.left) for found in rounds)
    ok = publish(
        "startup",
        [
            Result("Ready, median", statistics.median(ready), "s", READY_MEDIAN_S),
            Result("Ready, worst", max(ready), "s", READY_WORST_S),
            Result("processes gone, worst", processes_gone, "s", PROCESSES_GONE_S),
            Result("everything gone, worst", all_gone, "s", ALL_GONE_S),
            Result("rounds that left something", left, "", 0),
        ],
        ready_s=ready,
    )
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
