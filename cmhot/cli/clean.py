"""``cmhot clean``: remove what a collection left when it could not do so itself."""

from __future__ import annotations

import sys

import click

from cmhot.cli.options import Duration, choose_target, target_options
from cmhot.errors import UsageError


def is_terminal() -> bool:
    """Tell whether there is somebody to ask."""
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
    from cmhot.targets import connect
    from cmhot.visiting.clean import find_leftovers, remove

    cluster = connect(choose_target(target, context))
    leftovers = find_leftovers(cluster, namespace=namespace, idle_s=idle)
    for one in leftovers:
        click.echo(str(one))
    if not leftovers:
        click.echo("nothing of ours is left")
        return
    if not yes and not is_terminal():
        msg = "nothing was removed, since there is nobody to ask: say --yes"
        raise UsageError(msg)
    if yes or click.confirm("Remove it?", err=True):
        remove(cluster, leftovers)
        click.echo(f"removed {len(leftovers)}")
