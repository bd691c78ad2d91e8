"""Put the study's runs into ``data/``, packed: ``python -m studies.publish``.

What is not in ``build/`` stays as it was published: an edition may be made part by
part, on machines that have only their own. What was refused is published beside the
others, so that nothing is left out unseen. What identifies nothing but the machine they
were made on is left out: the paths of programs. All else is kept as it was recorded.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from cmhot.runs.rundir import pack, read_run
from studies.editions import EDITIONS

if TYPE_CHECKING:
    from pathlib import Path

    from cmhot.runs.rundir import Run
    from studies.editions import Edition

_MOST_BYTES = 20 * 2**20


def without_paths(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Leave out, at any depth, what is an absolute path."""
    if isinstance(value, dict):
        return {
            key: without_paths(one)
            for key, one in value.items()
            if not (isinstance(one, str) and one.startswith("/"))
        }
    if isinstance(value, list):
        return [without_paths(one) for one in value]
    return value


def meta_of(run: Run) -> dict[str, Any]:
    """Give what is published of a run.json; a run that was renamed has its new name."""
    return {**without_paths(run.meta), "run_id": run.path.name}


def publish(edition: Edition) -> None:
    """Pack every run of an edition that was made here, in place of an earlier one."""
    for path in runs_of(edition.built):
        run = read_run(path)
        shutil.rmtree(edition.data / path.name, ignore_errors=True)
        pack(replace(run, meta=meta_of(run)), edition.data / path.name)
        click.echo(f"{path.name}: {run.meta['status']}")
    for name in edition.tables:
        if (edition.built / name).is_file():
            edition.data.mkdir(parents=True, exist_ok=True)
            shutil.copy(edition.built / name, edition.data / name)
    missing = [one for one in edition.made if not (edition.data / one).exists()]
    if missing:
        click.echo(f"not there yet: {', '.join(missing)}", err=True)


def runs_of(built: Path) -> list[Path]:
    """List the runs that were made, those that were set aside among them."""
    found = [*built.glob("*/run.json"), *built.glob("refused/*/run.json")]
    return sorted(path.parent for path in found)


def main() -> None:
    """Publish each edition that was made here."""
    for name, edition in EDITIONS.items():
        tables = [edition.built / one for one in edition.tables]
        if runs_of(edition.built) or any(map(os.path.isfile, tables)):
            publish(edition)
        else:
            click.echo(f"{name} edition: nothing in build/, data/ stays", err=True)
    files = [one for edition in EDITIONS.values() for one in edition.data.rglob("*")]
    size = sum(file.stat().st_size for file in files if file.is_file())
    click.echo(f"{size / 2**20:.1f} MiB")
    if size > _MOST_BYTES:
        msg = f"{size / 2**20:.0f} MiB are too many for a repository: at most 20"
        raise click.ClickException(msg)


if __name__ == "__main__":
    main()
