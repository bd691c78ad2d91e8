"""Load: many probes on a real testbed, and every trial accounted for.

``make load``: 200 probes over 4 nodes at S = 5 s for 10 minutes.
It says how late writes were and how much memory the collector took.
"""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path

import click
import numpy as np
import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.cluster.targets import connect
from cmhot.cluster.testbed import layout, lifecycle
from cmhot.collector.begin import collect
from cmhot.collector.schedule import TRIAL
from cmhot.kubelet.settings import parse_setting
from cmhot.runs import schema
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import read_run
from cmhot.statistics import coherence_by_sync

TESTBED = "load"
DETECTION = ("Watch", "Get", "Cache,ttl=0s", "Cache,ttl=15s")
"""One node each; a group of probes is the pods of a setting."""


@click.command()
@click.option("--pods", default=50, show_default=True, help="Probes a node.")
@click.option("--duration", default=600.0, show_default=True, help="Seconds.")
@click.option("--sync", default="5s", show_default=True)
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the run here.")
def main(pods: int, duration: float, sync: str, keep: Path | None) -> None:
    """Collect under load, and account for every trial."""
    nodes = [parse_setting(f"sync={sync},strategy={how}") for how in DETECTION]
    lifecycle.down(TESTBED)
    with tempfile.TemporaryDirectory() as name:
        try:
            lifecycle.up(layout.make_spec(nodes, name=TESTBED))
            plan = Plan(pods=pods, duration_s=duration, gap_s=1.0)
            path = collect(connect(f"testbed:{TESTBED}"), plan, out=keep or Path(name))
        finally:
            lifecycle.down(TESTBED)
        ok = tell(path)
    if not ok:
        raise click.exceptions.Exit(1)


def tell(path: Path) -> bool:
    """Print what became of the trials; return whether none is missing."""
    run = read_run(path)
    rows = pd.read_parquet(path / "delays.parquet")
    counts = {name: int((rows["status"] == name).sum()) for name in schema.STATUSES}
    planned = run.meta["planned_updates"] * len(run.meta["pods"])
    sent = run.updates[run.updates["sent_ns"].notna()]
    trials = sent[sent["purpose"] == TRIAL]  # those that only sync a pod may wait
    late_s = ((trials["sent_ns"] - trials["planned_ns"]) / NS_PER_S).astype(float)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    click.echo(f"status {run.meta['status']}, {len(run.meta['pods'])} probes")
    click.echo(f"planned {planned:,}: {counts}")
    for name, check in run.meta["checks"].items():
        if isinstance(check, dict):
            click.echo(f"{name}: {check['value']} (limit {check['limit']})")
    click.echo(
        f"lateness of writes: p50 {late_s.median() * 1e3:.1f} ms, "
        f"p99 {late_s.quantile(0.99) * 1e3:.1f} ms, most {late_s.max() * 1e3:.1f} ms"
    )
    ticks = coherence_by_sync(run.publications, period_s=1.0)
    for node, own in ticks.groupby("node"):
        click.echo(f"{node}: tick coherence {np.average(own['coherence']):.3f}")
    click.echo(f"collector's memory: {memory:.0f} MiB at most")
    return bool(planned == sum(counts.values()))


if __name__ == "__main__":
    main()
