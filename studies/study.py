"""Make the study's runs on testbeds, one batch after the other; ``make study``.

What `studies.protocol` declares, into a folder of runs. Resumable: a run that is there
and complete is not made again; what was broken off or invalid is set aside,
and stays there under ``refused/``, so that nothing is left out unseen.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cmhot.clock import SystemClock
from cmhot.collecting import collect
from cmhot.errors import CmhotError
from cmhot.plan import Plan
from cmhot.runs.rundir import read_meta
from cmhot.targets import connect
from studies.protocol import BATCHES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cmhot.settings import Setting
    from studies.protocol import Batch, Collection

CMHOT = (sys.executable, "-m", "cmhot")
PREFIX = "study-"
"""Of the testbeds' names."""


def say(text: str) -> None:
    """Say what is being done, and when it began."""
    now = SystemClock().utc_ns() // 10**9
    click.echo(
        f"{now % 86400 // 3600:02d}:{now % 3600 // 60:02d} UTC  {text}", err=True
    )


def node_option(setting: Setting) -> str:
    """Write a setting as ``cmhot testbed up --node`` reads it."""
    ttl = "" if setting.ttl_s is None else f",ttl={setting.ttl_s:g}"
    return f"sync={setting.sync_frequency_s:g}s,strategy={setting.strategy}{ttl}"


@contextmanager
def testbed(batch: Batch) -> Iterator[str]:
    """Have the testbed of a batch running; give it as a target."""
    name = PREFIX + batch.name
    nodes = [part for one in batch.nodes for part in ("--node", node_option(one))]
    try:
        subprocess.run([*CMHOT, "testbed", "up", "--name", name, *nodes], check=True)
        yield f"testbed:{name}"
    finally:
        subprocess.run([*CMHOT, "testbed", "down", "--name", name], check=True)


def is_complete(run: Path) -> bool:
    """Tell whether a run is there, and was not broken off."""
    return (run / "run.json").is_file() and read_meta(run)["status"] == "complete"


def set_aside(run: Path) -> None:
    """Keep a refused run where it is seen, and out of the way."""
    if run.exists():
        refused = run.parent / "refused"
        refused.mkdir(exist_ok=True)
        number = len(list(refused.glob(f"{run.name}-*"))) + 1
        run.rename(refused / f"{run.name}-{number}")


def collect_one(target: str, one: Collection, out: Path) -> str:
    """Make one run into ``out/<its name>``; say how it ended."""
    plan = Plan(pods=one.pods, duration_s=one.duration_s, seed=one.seed)
    try:
        run = collect(connect(target), plan, out=out, run_id=one.name)
    except CmhotError as error:
        return f"{one.name}: {error}"
    return f"{one.name}: {read_meta(run)['status']}"


def run_batch(batch: Batch, out: Path) -> bool:
    """Make the runs of a batch that are missing; tell whether all are there."""
    missing = [one for one in batch.collections if not is_complete(out / one.name)]
    if not missing:
        say(f"{batch.name}: all there")
        return True
    for one in missing:
        set_aside(out / one.name)
    say(f"{batch.name}: {len(missing)} runs on {len(batch.nodes)} kubelets")
    # each collector in a process of its own, as separate users would have it
    spawn = multiprocessing.get_context("spawn")
    with (
        testbed(batch) as target,
        ProcessPoolExecutor(len(missing), mp_context=spawn) as pool,
    ):
        for end in pool.map(collect_one, repeat(target), missing, repeat(out)):
            say(end)
    return all(is_complete(out / one.name) for one in batch.collections)


@click.command()
@click.argument("names", nargs=-1, metavar="[BATCH]...")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("build/study"),
    show_default=True,
    help="Folder of runs; those that are there and complete stay.",
)
def main(names: tuple[str, ...], out: Path) -> None:
    """Make the runs of all batches, or of some."""
    out.mkdir(parents=True, exist_ok=True)
    chosen = [one for one in BATCHES if not names or one.name in names]
    if len(chosen) < len(names):
        known = ", ".join(one.name for one in BATCHES)
        raise click.UsageError(f"there are these batches: {known}")
    results = [run_batch(one, out) for one in chosen]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
