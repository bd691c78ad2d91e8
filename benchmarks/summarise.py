"""What summarising ten million delays costs, against numpy's sort of as many.

The peer is one `numpy.sort` of the delays plus reading the columns that are needed;
both are measured in this run. Memory is that of a process of its own.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.common import CLOCK, Result, publish
from cmhot.cluster.model.simulate import simulate
from cmhot.kubelet.settings import Setting
from cmhot.runs import schema
from cmhot.runs.delays import delays
from cmhot.runs.rundir import RunWriter
from cmhot.runs.sync_intervals import REFRESH_COLUMNS, refresh_intervals
from cmhot.runs.tables import read_derived
from cmhot.statistics.summarise import NEEDED, summarise

PODS, NODES = 20, 25
UPDATES = 20_000
GAP_S = 10 / 6
ROUNDS = 3
MOST_RATIO, MOST_GIB = 10.0, 1.5


def make_run(out: Path) -> tuple[Path, int]:
    """Write a modelled run whose derived tables hold ten million delays."""
    run = simulate(
        Setting(10), pods=PODS, nodes=NODES, duration_s=UPDATES * GAP_S, gap_s=GAP_S
    )
    writer = RunWriter.create(out, meta={**run.meta, "run_id": "bench"})
    rows = delays(run)
    writer.write_derived(rows, schema.DELAYS)
    writer.write_derived(refresh_intervals(run), schema.REFRESH)
    return writer.path, len(rows)


def seconds(path: Path) -> tuple[float, float]:
    """Time a summary, and its peer: read the columns and sort the delays."""
    began = CLOCK.monotonic()
    summarise([path])
    between = CLOCK.monotonic()
    rows = read_derived(path, schema.DELAYS, NEEDED)
    read_derived(path, schema.REFRESH, REFRESH_COLUMNS)
    if rows is None:
        msg = "the bench's own run must be readable"
        raise AssertionError(msg)
    np.sort(rows["delay_s"].to_numpy())
    return between - began, CLOCK.monotonic() - between


def peak_gib(path: Path) -> float:
    """Summarise in a process of its own; return its largest resident memory."""
    command = [sys.executable, "-m", "benchmarks.summarise", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout) / 2**20


def main() -> int:
    """Measure time and memory."""
    if len(sys.argv) > 1:
        summarise([Path(sys.argv[1])])
        # not getrusage, which remembers the parent from before the exec
        status = Path("/proc/self/status").read_text()
        print(status.partition("VmHWM:")[2].split()[0])  # KiB
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path, number = make_run(Path(folder))
        times = [seconds(path) for _ in range(ROUNDS + 1)][1:]
        results = [
            Result(
                "summarise over sort and read",
                statistics.median(ours / peer for ours, peer in times),
                "",
                MOST_RATIO,
            ),
            Result("summarise", statistics.median(ours for ours, _ in times), "s"),
            Result("memory", peak_gib(path), "GiB", MOST_GIB),
        ]
    return 0 if publish("summarise", results, delays=number) else 1


if __name__ == "__main__":
    sys.exit(main())
