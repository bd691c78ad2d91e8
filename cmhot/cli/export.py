"""``cmhot export``: a run that others may check."""

from __future__ import annotations

from pathlib import Path

import click

from cmhot.cli.options import RunFolder
from cmhot.errors import UsageError


@click.command()
@click.argument("run", type=RunFolder())
@click.option(
    "--anonymise",
    is_flag=True,
    help="Replace every name. Needed: a copy that keeps them is `cp -r RUN DIR`.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="The copy's directory; it must not exist.",
)
@click.option(
    "--shift-times",
    is_flag=True,
    help="Do not tell the day: shift all stamps by whole seconds, to a run of the year "
    "2000. Every delay stays as it was; the limits of delays may differ a little.",
)
def export(run: Path, anonymise: bool, out: Path, shift_times: bool) -> None:
    """Copy a run for others to check, without its names. Needs no cluster.

    \b
    Kept        every number: stamps, settings, versions, seed, verdicts of checks.
    Replaced    names of nodes, pods, uids, containers and ConfigMaps (node-1, …),
                each always by the same one.
    Left out    namespace, cluster and context, node labels, machine, images,
                places of programs, texts of errors, details of incidents.

    `cmhot summarise` of the copy gives the same numbers (without --by: it has no
    labels). The copy is run.json and Parquet, which pandas reads: look into them
    before you publish them. The path of the copy is printed.

    \b
    Example:
      cmhot export --anonymise runs/20261124t163148-2bdd --out my-run
      cmhot summarise my-run
    """
    from cmhot.runs.anonymise import anonymised
    from cmhot.runs.packed import pack
    from cmhot.runs.rundir import read_run

    if not anonymise:
        msg = (
            "export is there to replace names: give --anonymise, "
            f"or keep them with `cp -r {run} {out}`"
        )
        raise UsageError(msg)
    click.echo(pack(anonymised(read_run(run), shift_times=shift_times), out))
