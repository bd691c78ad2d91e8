"""``cmhot job``: measure from within a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cmhot.cli.options import Duration
from cmhot.cli.probes import probe_options

if TYPE_CHECKING:
    from cmhot.port.rights import Configz


@click.command()
@click.option(
    "--image", required=True, help="With cmhot in it, as the Dockerfile makes it."
)
@probe_options
@click.option(
    "--duration",
    type=Duration(),
    default="3m",
    show_default=True,
    help="From the first trial to the last.",
)
@click.option("--gap", type=Duration(), help="Mean time between updates.")
@click.option("--seed", default=1, show_default=True, help="Of the random schedule.")
@click.option(
    "--name", default="cmhot", show_default=True, help="Of the Job and its account."
)
@click.option(
    "--claim",
    metavar="NAME",
    help="PersistentVolumeClaim that takes the run directory. "
    "Default: it ends in the pod's log, for cmhot collect --fetch.",
)
@click.option("--nodes", is_flag=True, help="It may list nodes (in all the cluster).")
@click.option(
    "--configz",
    type=click.Choice(["kubelet", "proxy"]),
    help="It may read each kubelet's setting; see cmhot rbac. Includes --nodes.",
)
def job(
    image: str,
    probes: dict[str, Any],
    duration: float,
    gap: float | None,
    seed: int,
    name: str,
    claim: str | None,
    nodes: bool,
    configz: Configz | None,
) -> None:
    """Print a Job that measures from within the cluster, with the rights it needs.

    Nothing is applied. The namespace must exist, and stays.

    \b
      cmhot job --image IMAGE -n measuring | kubectl apply -f -
      cmhot collect --fetch cmhot --context NAME -n measuring   # when it has ended
    """
    from cmhot.plan import Plan
    from cmhot.visiting.job import job as make_job
    from cmhot.visiting.roles import to_yaml

    plan = Plan(**probes, duration_s=duration, gap_s=gap, seed=seed)
    manifests = make_job(
        plan, image=image, name=name, claim=claim, nodes=nodes, configz=configz
    )
    click.echo(to_yaml(manifests), nl=False)
