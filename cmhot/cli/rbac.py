"""``cmhot rbac``: the least rights that a command needs, for who grants them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

if TYPE_CHECKING:
    from cmhot.port.rights import Configz, Verb


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
    help="Also what a collection without --namespace needs, in the whole cluster.",
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
    "1.33 on), or through the API server (nodes/proxy, which opens much more). "
    "Includes --nodes.",
)
@click.option("--clean", is_flag=True, help="Also for cmhot clean.")
@click.option(
    "--for",
    "verb",
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
    verb: Verb | Literal["collect"],
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
    from cmhot.visiting.roles import roles, to_yaml

    if verb != "collect" and (create_namespace or clean):
        msg = "--create-namespace and --clean are for collections: leave out --for"
        raise click.UsageError(msg)
    if ephemeral and verb != "wait":
        msg = "--ephemeral is cmhot wait's: give --for wait with it"
        raise click.UsageError(msg)
    command = None if verb == "collect" else verb
    manifests = roles(
        namespace=namespace,
        account=account,
        create_namespace=create_namespace,
        nodes=nodes,
        configz=configz,
        clean=clean,
        verb=command,
        ephemeral=ephemeral,
    )
    click.echo(to_yaml(manifests, verb=command), nl=False)
