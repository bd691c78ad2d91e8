"""Put the study's runs into ``data/``, packed: ``python -m studies.publish``.

What identifies nothing but the machine they were made on is left out:
the paths of programs. All else is kept as it was recorded.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmhot.runs.rundir import pack, read_run
from studies.protocol import BATCHES

if TYPE_CHECKING:
    from cmhot.runs.rundir import Run

DATA = Path(__file__).parents[1] / "data" / "study-2026-11-24"
BUILT = Path("build/study")
TABLES = ("never.json", "remedies.json", "closed-loop.json")
"""What was counted otherwise than by collections."""
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


def main() -> None:
    """Pack every run that is there, in place of what was published before."""
    declared = {one.name for batch in BATCHES for one in batch.collections}
    runs = sorted(path.parent for path in BUILT.glob("*/run.json"))
    shutil.rmtree(DATA, ignore_errors=True)
    for path in runs:
        run = read_run(path)
        pack(replace(run, meta=meta_of(run)), DATA / path.name)
        click.echo(f"{path.name}: {run.meta['status']}")
    for name in TABLES:
        if (BUILT / name).is_file():
            shutil.copy(BUILT / name, DATA / name)
    missing = sorted(declared - {path.name for path in runs})
    if missing:
        click.echo(f"not there yet: {', '.join(missing)}", err=True)
    size = sum(file.stat().st_size for file in DATA.rglob("*") if file.is_file())
    click.echo(f"{size / 2**20:.1f} MiB")
    if size > _MOST_BYTES:
        msg = f"{size / 2**20:.0f} MiB are too many for a repository: at most 20"
        raise click.ClickException(msg)


if __name__ == "__main__":
    main()
