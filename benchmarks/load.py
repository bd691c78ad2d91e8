"""The collector at scale, on modelled nodes: its memory, and its time by publication.

A day of 5,000 pods at S = 60 s is ``python -m benchmarks.load --pods 5000 --hours 24``;
without options smaller runs show that time is linear. What is counted is the time of
the processor, since others use the machine as well; the modelled kubelets live in the
same process, and of memory what their logs hold is subtracted.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from benchmarks.common import Result, publish
from cmhot.cli import LEAN

SYNC_S = 60.0
PODS_PER_NODE = 100
SIZES = ((625, 1.0), (2500, 1.0), (2500, 4.0))
"""Pods, and hours of trials: each run has about four times the publications before."""
MEMORY_MIB = 300.0
LOGGED_BYTES = 16
"""What a modelled pod keeps of a publication: its instant and its number."""
TIMES_LINEAR = 1.5
"""What a further publication takes between the larger sizes, over the smaller ones."""


def collect_here(pods: int, hours: float, out: Path) -> dict[str, Any]:
    """Collect in this process, and say what it took."""
    from cmhot.cluster.model import ModelCluster  # noqa: PLC0415
    from cmhot.collector.begin import collect  # noqa: PLC0415 - in the child only
    from cmhot.kubelet.settings import Setting  # noqa: PLC0415
    from cmhot.runs.plan import Plan  # noqa: PLC0415

    began = resource.getrusage(resource.RUSAGE_SELF)
    nodes = -(-pods // PODS_PER_NODE)
    cluster = ModelCluster([Setting(SYNC_S)] * nodes)
    plan = Plan(pods=pods, duration_s=hours * 3600, seed=1)
    path = collect(cluster, plan, out=out)
    took = resource.getrusage(resource.RUSAGE_SELF)
    return {"path": str(path), "cpu_s": _cpu_s(took) - _cpu_s(began)} | {
        "memory_mib": took.ru_maxrss / 1024
    }


def _cpu_s(used: resource.struct_rusage) -> float:
    return used.ru_utime + used.ru_stime


def measure(pods: int, hours: float) -> dict[str, Any]:
    """Collect in a process of its own, and account for every trial."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as name:
        here = [sys.executable, "-m", "benchmarks.load", "--into", name]
        options = ["--pods", str(pods), "--hours", str(hours)]
        done = subprocess.run(
            [*here, *options],
            check=True,
            stdout=subprocess.PIPE,
            env={**os.environ, **LEAN},
        )
        found: dict[str, Any] = json.loads(done.stdout)
        path = Path(found.pop("path"))
        with (path / "publications.jsonl").open("rb") as file:
            publications = sum(1 for _ in file)
        table = pq.ParquetFile(path / "delays.parquet").metadata
        meta = json.loads((path / "run.json").read_text())
        planned = meta["planned_updates"] * len(meta["pods"])
        return found | {
            "pods": pods,
            "hours": hours,
            "status": meta["status"],
            "publications": publications,
            "planned": planned,
            "unaccounted": planned - table.num_rows,
            "row_groups": table.num_row_groups,
            "delays_mib": (path / "delays.parquet").stat().st_size / 2**20,
            "collector_mib": found["memory_mib"] - publications * LOGGED_BYTES / 2**20,
            "us_per_publication": found["cpu_s"] / publications * 1e6,
        }


@click.command()
@click.option("--pods", type=int, help="Instead of all sizes; together with --hours.")
@click.option("--hours", type=float)
@click.option("--into", type=click.Path(path_type=Path), hidden=True)
def main(pods: int | None, hours: float | None, into: Path | None) -> None:
    """Measure all sizes, or one."""
    if into is not None and pods and hours:
        click.echo(json.dumps(collect_here(pods, hours, into)))
        return
    runs = []
    for size in [(pods, hours)] if pods and hours else SIZES:
        runs.append(measure(*size))
        click.echo(json.dumps(runs[-1]), err=True)
    further = [
        (large["cpu_s"] - small["cpu_s"])
        / (large["publications"] - small["publications"])
        for small, large in pairwise(runs)
    ]
    results = [
        *(
            Result(
                f"memory, {run['pods']:,} pods, {run['hours']:g} h",
                run["collector_mib"],
                "MiB",
                MEMORY_MIB,
            )
            for run in runs
        ),
        *(
            Result(
                f"processor, {run['pods']:,} pods, {run['hours']:g} h",
                run["us_per_publication"],
                "µs/publication",
            )
            for run in runs
        ),
        *(
            Result("a further publication, later over first", one, "", TIMES_LINEAR)
            for one in [one / further[0] for one in further[1:]]
        ),
        Result("unaccounted", sum(run["unaccounted"] for run in runs), "", 0),
    ]
    if not publish("load", results, runs=runs):
        raise click.exceptions.Exit(1)


if __name__ == "__main__":
    main()
