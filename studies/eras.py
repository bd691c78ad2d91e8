"""The same measurement on kubelets of three eras (H7 of the protocol).

``python -m studies.eras --target testbed:NAME --out DIR`` collects from the nodes of
each version at the same time, each into a run of its own, ``era-VERSION``.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import click

from cmhot.cluster.port import NODE
from cmhot.cluster.targets import connect
from cmhot.collector.begin import collect
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import read_meta

VERSIONS = ("v1.20.15", "v1.26.15", "v1.37.1")
SETTINGS = (Setting(10), Setting(10, Strategy.CACHE, 60.0))
PODS, DURATION_S, SEED = 20, 600.0, 13
LABEL = "cmhot.dev/era"


def collect_era(target: str, version: str, out: Path) -> str:
    """Collect from the nodes of one version of the kubelet."""
    selector = (f"{LABEL}={version}",)
    plan = Plan(pods=PODS, duration_s=DURATION_S, seed=SEED, node_selector=selector)
    run = collect(connect(target), plan, out=out, run_id=f"era-{version}")
    return f"{run.name}: {read_meta(run)['status']}"


@click.command()
@click.option("--target", required=True, help="A testbed with nodes of these versions.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(target: str, out: Path) -> None:
    """Label each node by its kubelet's version, and collect from all of them."""
    cluster = connect(target)
    for node in cluster.list(NODE)[0]:
        version = node["status"]["nodeInfo"]["kubeletVersion"]
        labels = {"metadata": {"labels": {LABEL: version}}}
        cluster.patch(NODE, node["metadata"]["name"], labels)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(VERSIONS), mp_context=spawn) as pool:
        for end in pool.map(collect_era, repeat(target), VERSIONS, repeat(out)):
            click.echo(end, err=True)


if __name__ == "__main__":
    main()
