"""For sharing: ``cmhot figure`` for a blog, ``cmhot export`` for reviewers of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cmhot.cli.options import RunFolder
from cmhot.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


_PICTURES = {
    *(".svg", ".png", ".pdf", ".eps", ".ps", ".jpg", ".jpeg", ".gif", ".webp"),
    *(".tif", ".tiff", ".bmp"),
}
"""Extensions that mean a file, not a folder; the first two can be drawn."""


@click.command()
@click.argument("name", required=False)
@click.option(
    "--run",
    "runs",
    multiple=True,
    type=RunFolder(),
    help="A run to draw it from. Repeat it for more. "
    "Default: measured data that come with cmhot.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["svg", "png"]),
    help="Default: svg, or what --out ends in. An SVG is sharp at every size.",
)
@click.option(
    "--width",
    type=int,
    default=800,
    show_default=True,
    help="Pixels. Under 560 it has the form for a phone.",
)
@click.option(
    "--theme", type=click.Choice(["light", "dark"]), default="light", show_default=True
)
@click.option(
    "--lang",
    type=click.Choice(["en", "zh"]),
    default="en",
    show_default=True,
    help="Of labels, caption and alternative text; zh needs a Chinese font.",
)
@click.option(
    "--licence",
    default="CC BY 4.0",
    show_default=True,
    help="What the snippet says of it; of a run of your own that is yours to choose.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(),
    help="A folder, or a file that ends in .svg or .png. Default: this folder.",
)
@click.option("--list", "listing", is_flag=True, help="Name the figures there are.")
def figure(
    name: str | None,
    runs: tuple[Path, ...],
    form: str | None,
    width: int,
    theme: str,
    lang: str,
    licence: str,
    out: Path,
    listing: bool,
) -> None:
    """Draw one figure, ready for a blog. Needs no cluster and no network.

    Writes three files of one name, and prints their paths: the picture; a .json with
    its numbers, caption and alternative text; a .md to paste, with the image, its
    caption, source and licence. Without NAME it lists the figures.

    \b
    Examples:
      cmhot figure headline
      cmhot figure headline --format png --width 1600 --theme dark
      cmhot figure sync-frequency --run runs/20261124t163148-2bdd --lang zh
    """
    from cmhot.plots.figure import Material, shipped
    from cmhot.plots.publishing import named, render

    if name is None or listing:
        for line in _names(lang):
            click.echo(line)
        return
    material = Material(paths=runs) if runs else shipped(named(name).name)
    picture = _picture(out, name, form)
    rendered = render(
        name,
        material,
        picture=picture,
        width=width,
        theme=theme,
        lang=lang,
        licence=licence,
    )
    for path in (rendered.picture, rendered.numbers, rendered.snippet):
        click.echo(path)


def _picture(out: Path, name: str, form: str | None) -> Path:
    """Choose the file of the picture."""
    if out.is_dir() or out.suffix.lower() not in _PICTURES:
        return out / f"{name}.{form or 'svg'}"
    if out.suffix not in {".svg", ".png"}:
        msg = f"--out {out} has to end in .svg or .png, or to be a folder"
        raise UsageError(msg)
    if form not in {None, out.suffix[1:]}:
        msg = (
            f"--out {out} and --format {form} contradict each other: "
            "leave one of them out"
        )
        raise UsageError(msg)
    return out


def _names(lang: str) -> Iterator[str]:
    """List the figures, each with its question, and where their data come from."""
    from cmhot.plots.figure import shipped
    from cmhot.plots.publishing import FIGURES, NAMES

    yield "cmhot figure NAME draws one of:"
    yield ""
    width = max(map(len, NAMES)) + 2
    for name, one in FIGURES.items():
        yield f"  {name:{width}}{one.question[lang]}"
        yield f"  {'':{width}}needs {one.needs}"
    yield ""
    yield (
        "Without --run it is drawn from data that come with cmhot: "
        f"{shipped('headline').source.short()}."
    )


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
    from cmhot.runs.rundir import pack, read_run

    if not anonymise:
        msg = (
            "export is there to replace names: give --anonymise, "
            f"or keep them with `cp -r {run} {out}`"
        )
        raise UsageError(msg)
    click.echo(pack(anonymised(read_run(run), shift_times=shift_times), out))
