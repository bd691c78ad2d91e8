"""What a report on ten million delays costs: time, memory, and the page's size.

Five runs of a setting each, modelled, two million delays a run, with their raw files,
as a collection leaves them. The report executes every notebook that lives from runs.
Memory is that of the report's process and its kernels together, at its highest.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.common import CLOCK, Result, publish
from cmhot.cluster.model.simulate import simulate
from cmhot.kubelet.settings import DEFAULT_SETTINGS
from cmhot.runs import schema
from cmhot.runs.delays import delays
from cmhot.runs.rundir import RunWriter
from cmhot.runs.sync_intervals import refresh_intervals

if TYPE_CHECKING:
    from cmhot.kubelet.settings import Setting

PODS, NODES = 20, 5
UPDATES = 20_000
"""Of each run; every pod has a delay of each."""
EVERY_S = 0.2
MOST_S, MOST_GIB, MOST_MB = 60.0, 1.5, 5.0


def make_run(out: Path, setting: Setting, run_id: str) -> int:
    """Write a modelled run of one setting; return how many delays it has."""
    gap_s = setting.sync_frequency_s / 6
    run = simulate(
        setting,
        pods=PODS,
        nodes=NODES,
        duration_s=UPDATES * gap_s,
        gap_s=gap_s,
        run_id=run_id,
    )
    writer = RunWriter.create(out, meta=run.meta)
    raw = ((schema.PUBLICATIONS, run.publications), (schema.UPDATES, run.updates))
    for table, frame in raw:
        frame.to_json(writer.path / table.file, orient="records", lines=True)
    rows = delays(run)
    writer.write_derived(rows, schema.DELAYS)
    writer.write_derived(refresh_intervals(run), schema.REFRESH)
    return len(rows)


def report_on(runs: list[Path], out: Path) -> tuple[float, float, float, Path]:
    """Make the report in processes of its own.

    Returns
    -------
    tuple
        Seconds, seconds of processor time, GiB, and the page.
    """
    given = [part for run in runs for part in ("--run", str(run))]
    began, spent_s = CLOCK.monotonic(), processor_s()
    process = subprocess.Popen(
        [sys.executable, "-m", "cmhot", "report", *given, "--out", str(out)],
        stdout=subprocess.PIPE,
        text=True,
    )
    most = 0
    while process.poll() is None:
        most = max(most, resident_kib(process.pid))
        CLOCK.sleep(EVERY_S)
    took_s = CLOCK.monotonic() - began
    said, _ = process.communicate()
    if process.returncode != 0:
        msg = f"the report ended with {process.returncode}"
        raise AssertionError(msg)
    used_s = processor_s() - spent_s
    return took_s, used_s, most / 2**20, Path(said.splitlines()[-1])


def processor_s() -> float:
    """Say how much processor time processes took that have ended, and theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def resident_kib(pid: int) -> int:
    """Add up the resident memory of a process and of all below it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0  # it has just ended
    own = status.partition("VmRSS:")[2].split()
    return int(own[0] if own else 0) + sum(resident_kib(int(one)) for one in below)


def main() -> int:
    """Make the runs, and the report on them."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder, "runs")
        number = sum(
            make_run(runs, setting, f"bench-{place}")
            for place, setting in enumerate(DEFAULT_SETTINGS)
        )
        paths = sorted(runs.iterdir())
        took_s, used_s, gib, page = report_on(paths, Path(folder, "reports"))
        results = [
            Result("report on runs", took_s, "s", MOST_S),
            # what it would be at most on a machine that does nothing else
            Result("its processor time", used_s, "s"),
            Result("memory", gib, "GiB", MOST_GIB),
            Result("page", page.stat().st_size / 1e6, "MB", MOST_MB),
        ]
    return 0 if publish("report", results, delays=number) else 1


if __name__ == "__main__":
    sys.exit(main())
