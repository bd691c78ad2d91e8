"""``cmhot rbac``: the least rights that a collection needs, for who grants them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cmhot.port.rights import Configz


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
def rbac(
    namespace: str,
    account: str,
    create_namespace: bool,
    nodes: bool,
    configz: Configz | None,
    clean: bool,
) -> None:
    """Print the least Role for a whole collection, as YAML.

    It is enough for `cmhot collect --namespace NAMESPACE` with the kubelets' setting
    given by hand (--setting). Each rule has its reason beside it. Nothing is applied.

    \b
      cmhot rbac -n measuring | kubectl apply -f -
      cmhot doctor --context NAME -n measuring     # is anything missing?
    """
    from cmhot.visiting.roles import roles, to_yaml

    manifests = roles(
        namespace=namespace,
        account=account,
        create_namespace=create_namespace,
        nodes=nodes,
        configz=configz,
        clean=clean,
    )
    click.echo(to_yaml(manifests), nl=False)
