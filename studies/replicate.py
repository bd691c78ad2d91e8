"""Repeat the main measurement on a cluster of yours, and make the copy to hand in.

``python -m studies.replicate NAME --target context:CONTEXT`` collects for twenty
minutes, and leaves an anonymous copy in data/replications/NAME (docs/REPLICATE.md).
"""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmhot.cluster.port import NODE
from cmhot.cluster.targets import connect
from cmhot.collector.begin import collect
from cmhot.errors import CmhotError, ForbiddenError
from cmhot.kubelet.settings import parse_duration
from cmhot.runs.anonymise import anonymised
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import pack, read_run

if TYPE_CHECKING:
    from cmhot.cluster.port import Cluster

ABOUT = "about.json"
REPLICATIONS = Path(__file__).parents[1] / "data" / "replications"
RUNS = Path("runs")
SEED = 31
"""Of every replication: none chooses its schedule."""
PODS, DURATION = 30, "20m"
"""Of a replication: twenty minutes, and a few before and after, make half an hour.
At S = 60 s that is some 400 intervals, and p50 is known to within 0.6 s."""


def about(cluster: Cluster) -> dict[str, Any]:
    """Say what nodes are made of, as far as it names nobody.

    Architectures and kernels, and runtimes with their versions, each once.
    """
    try:
        infos = [
            node["status"]["nodeInfo"] for page in cluster.pages(NODE) for node in page
        ]
    except ForbiddenError:
        infos = []
    machines = set()
    for info in infos:
        kernel = re.match(r"\d+\.\d+", info.get("kernelVersion", ""))
        if kernel:
            machines.add(f"{info['architecture']}, Linux {kernel[0]}")
    return {
        "machines": sorted(machines),
        "runtimes": sorted({one["containerRuntimeVersion"] for one in infos}),
    }


@click.command()
@click.argument("name")
@click.option("--target", required=True, help="Such as context:NAME.")
@click.option("--out", type=click.Path(path_type=Path), default=REPLICATIONS)
@click.option("-n", "--namespace", help="An existing one. Default: make one.")
@click.option("--setting", help="Where kubelets may not be asked for it.")
@click.option("--probe-image", help="Where nodes cannot pull the default one.")
@click.option("--pods", default=PODS, show_default=True)
@click.option("--duration", default=DURATION, show_default=True)
def main(
    *,
    name: str,
    target: str,
    out: Path,
    namespace: str | None,
    setting: str | None,
    probe_image: str | None,
    pods: int,
    duration: str,
) -> None:
    """Collect, and leave an anonymous copy in OUT/NAME."""
    cluster = connect(target)
    plan = Plan(
        pods=pods,
        duration_s=parse_duration(duration),
        seed=SEED,
        namespace=namespace,
        setting=setting,
        probe_image=probe_image,
    )
    try:
        run = collect(cluster, plan, out=RUNS, tell=partial(click.echo, err=True))
    except CmhotError as error:
        raise click.ClickException(str(error)) from error
    copy = pack(anonymised(read_run(run), shift_times=True), out / name)
    text = json.dumps(about(cluster), indent=1) + "\n"
    (copy / ABOUT).write_text(text, encoding="utf-8")
    click.echo(copy)


if __name__ == "__main__":
    main()
