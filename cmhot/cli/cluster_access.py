"""Access to a cluster: ``cmhot doctor``, ``rbac``, ``job`` and ``clean``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Literal

import click

from cmhot.cli.options import (
    Duration,
    as_json,
    choose_target,
    probe_options,
    target_options,
)
from cmhot.display import one_line
from cmhot.errors import UsageError

if TYPE_CHECKING:
    from cmhot.cluster.rights import Command, Configz


@click.command()
@target_options
@probe_options
@as_json
def doctor(
    target: str | None, context: str | None, probes: dict[str, Any], as_json: bool
) -> None:
    """Say what works here and what is missing; changes nothing.

    Without a target it looks at this machine: can it run a testbed, and where would
    the testbed's programs come from? With one it asks that cluster whether a
    collection with these options could run there: which rights are missing, how the
    kubelets' settings will be known, whether there is room for the probes.
    """
    from cmhot.collector.preflight import examine
    from cmhot.runs.plan import Plan

    checks = examine(choose_target(target, context), Plan(**probes))
    ok = all(check.ok for check in checks)
    if as_json:
        rows = [
            {
                "name": check.name,
                "ok": check.ok,
                "detail": check.detail,
                "remedy": None if check.ok else check.remedy,
            }
            for check in checks
        ]
        click.echo(json.dumps({"ok": ok, "checks": rows}, indent=2))
    else:
        for check, following in zip(checks, [*checks[1:], None], strict=True):
            found = f"{'ok  ' if check.ok else 'MISS'}  {check.name}: {check.detail}"
            click.echo(one_line(found))
            # a remedy of several checks is printed once, after the last of them
            is_last = not following or following.remedy != check.remedy
            if not check.ok and check.remedy and is_last:
                click.echo(one_line(f"      {check.remedy}"))
    if not ok:
        raise click.exceptions.Exit(1)


@click.command()
@click.option(
    "-n",
    "--namespace",
    default="cmhot",
    show_default=True,
    help="The existing namespace of the account and, unless it may create others, "
    "of the probes.",
)
@click.option(
    "--account", default="cmhot", show_default=True, help="Name of the ServiceAccount."
)
@click.option(
    "--create-namespace",
    is_flag=True,
    help="Also what a collection without --namespace needs. Beware: it is granted in "
    "every namespace: delete namespaces and Deployments, run commands in pods, change "
    "pods, read logs.",
)
@click.option(
    "--nodes",
    is_flag=True,
    help="Also to list nodes: versions, taints, groups by setting.",
)
@click.option(
    "--configz",
    type=click.Choice(["kubelet", "proxy"]),
    help="Also to read each kubelet's setting: from itself (nodes/configz, Kubernetes "
    "1.33 on), which is sent the token of whoever measures, or through the API server "
    "(nodes/proxy, which opens much more). "
    "Includes --nodes.",
)
@click.option("--clean", is_flag=True, help="Also for cmhot clean.")
@click.option(
    "--for",
    "purpose",
    type=click.Choice(["collect", "explain", "wait", "refresh"]),
    default="collect",
    show_default=True,
    help="What the account is to do; all but collect concerns what is in the "
    "namespace already.",
)
@click.option(
    "--ephemeral",
    is_flag=True,
    help="With --for wait: also for cmhot wait --ephemeral.",
)
def rbac(
    namespace: str,
    account: str,
    create_namespace: bool,
    nodes: bool,
    configz: Configz | None,
    clean: bool,
    purpose: Command | Literal["collect"],
    ephemeral: bool,
) -> None:
    """Print the least Role for a whole collection, or for another command, as YAML.

    For a collection it is enough for `cmhot collect --namespace NAMESPACE` with the
    kubelets' setting given by hand (--setting); for the others, in that namespace.
    Each rule has its reason beside it. Nothing is applied.

    \b
      cmhot rbac -n measuring | kubectl apply -f -
      cmhot doctor --context NAME -n measuring     # is anything missing?
      cmhot rbac -n shop --for wait | kubectl apply -f -
    """
    from cmhot.cluster.rights import roles, to_yaml

    if purpose != "collect" and (create_namespace or clean):
        msg = "--create-namespace and --clean are for collections: leave out --for"
        raise click.UsageError(msg)
    if ephemeral and purpose != "wait":
        msg = "--ephemeral is cmhot wait's: give --for wait with it"
        raise click.UsageError(msg)
    command = None if purpose == "collect" else purpose
    manifests = roles(
        namespace=namespace,
        account=account,
        create_namespace=create_namespace,
        nodes=nodes,
        configz=configz,
        clean=clean,
        command=command,
        ephemeral=ephemeral,
    )
    click.echo(to_yaml(manifests, command=command), nl=False)


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
    from cmhot.cluster.rights import to_yaml
    from cmhot.collector.job import make_job
    from cmhot.runs.plan import Plan

    plan = Plan(**probes, duration_s=duration, gap_s=gap, seed=seed)
    manifests = make_job(
        plan, image=image, name=name, claim=claim, nodes=nodes, configz=configz
    )
    click.echo(to_yaml(manifests), nl=False)


def is_terminal() -> bool:
    """Report whether a user can be asked: standard input is a terminal."""
    return sys.stdin.isatty()


@click.command()
@target_options
@click.option(
    "-n",
    "--namespace",
    help="Look only in this namespace, which stays. Default: in all of them, and at "
    "those that a collection made.",
)
@click.option(
    "--idle",
    type=Duration(),
    default="0s",
    show_default=True,
    help="Leave what was written to in this time: a run may be under way.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def clean(
    target: str | None,
    context: str | None,
    namespace: str | None,
    idle: float,
    yes: bool,
) -> None:
    """Find what a killed collection left on a cluster, and remove it after asking.

    Only what `cmhot` itself has created and labelled is touched. A collection that is
    under way is found as well: its last write was seconds ago.
    """
    from cmhot.cluster.targets import connect
    from cmhot.collector.cleanup import find_leftovers, remove

    cluster = connect(choose_target(target, context))
    leftovers = find_leftovers(cluster, namespace=namespace, idle_s=idle)
    for one in leftovers:
        click.echo(one_line(one))
    if not leftovers:
        click.echo("nothing of ours is left")
        return
    if not yes and not is_terminal():
        msg = "nothing was removed, since there is nobody to ask: say --yes"
        raise UsageError(msg)
    if yes or click.confirm("Remove it?", err=True):
        remove(cluster, leftovers)
        click.echo(f"removed {len(leftovers)}")
