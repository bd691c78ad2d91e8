"""Make the study on testbeds, one part after the other; ``make study``.

What `studies.editions` declares, into a folder of runs. Resumable: a run that is there
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
from cmhot.cluster.targets import connect
from cmhot.collector.begin import collect
from cmhot.errors import CmhotError
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import read_meta, read_run
from cmhot.runs.sync_intervals import refresh_intervals
from studies import verdicts
from studies.editions import EDITIONS, node_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from studies.editions import Experiment
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


@contextmanager
def testbed(name: str, options: Sequence[str]) -> Iterator[str]:
    """Have a testbed with nodes of these options running; give it as a target."""
    name = PREFIX + name
    nodes = [part for one in options for part in ("--node", one)]
    try:
        subprocess.run([*CMHOT, "testbed", "up", "--name", name, *nodes], check=True)
        yield f"testbed:{name}"
    finally:
        subprocess.run([*CMHOT, "testbed", "down", "--name", name], check=True)


def is_complete(run: Path) -> bool:
    """Tell whether a run is there, and was not broken off."""
    return (run / "run.json").is_file() and read_meta(run)["status"] == "complete"


def is_done(run: Path, batch: Batch) -> bool:
    """Tell whether a run is not made again: complete, and not disturbed or not twice.

    One that was disturbed is made again once, where its batch says so.
    """
    if not is_complete(run) or not batch.undisturbed:
        return is_complete(run)
    earlier = (run.parent / "refused").glob(f"{run.name}-[0-9]*")
    return any(map(is_complete, earlier)) or not is_disturbed(run)


def is_disturbed(run: Path) -> bool:
    """Tell whether a kubelet was late at its tick more often than protocols allow."""
    refreshes = verdicts.by_setting(refresh_intervals(read_run(run)))
    return any(row["disturbed"] for row in verdicts.lateness(refreshes))


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
    missing = [one for one in batch.collections if not is_done(out / one.name, batch)]
    if not missing:
        say(f"{batch.name}: all there")
        return True
    for one in missing:
        set_aside(out / one.name)
    say(f"{batch.name}: {len(missing)} runs on {len(batch.nodes)} kubelets")
    # each collector in a process of its own, as separate users would have it
    spawn = multiprocessing.get_context("spawn")
    with (
        testbed(batch.name, [node_option(one) for one in batch.nodes]) as target,
        ProcessPoolExecutor(len(missing), mp_context=spawn) as pool,
    ):
        for end in pool.map(collect_one, repeat(target), missing, repeat(out)):
            say(end)
    return all(is_done(out / one.name, batch) for one in batch.collections)


def run_experiment(one: Experiment, out: Path) -> bool:
    """Make a part of the study, if it is missing; tell whether it is there."""
    missing = [name for name in one.made if not (out / name).exists()]
    if missing:
        say(f"{one.name}: on {len(one.nodes)} kubelets")
        place = out / one.made[0] if one.made[0].endswith(".json") else out
        with testbed(one.name, one.nodes) as target:
            words = [*one.command, "--target", target, "--out", str(place)]
            command = [sys.executable, "-m", *words]
            subprocess.run(command, check=False)
    say(f"{one.name}: there")
    return all((out / name).exists() for name in one.made)


@click.command()
@click.argument("names", nargs=-1, metavar="[EDITION | PART]...")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of runs; those that are there and complete stay.  "
    "[default: build/study, for the second edition build/second]",
)
def main(names: tuple[str, ...], out: Path | None) -> None:
    """Make editions of the study (default: first), or parts of them."""
    wanted, results = set(names or ("first",)), []
    parts = [name for edition in EDITIONS.values() for name in edition.parts]
    known = [*EDITIONS, *parts]
    if not wanted <= set(known):
        raise click.UsageError(f"the study has these parts: {', '.join(known)}")
    for name, edition in EDITIONS.items():
        place = out or edition.built
        place.mkdir(parents=True, exist_ok=True)
        for batch in edition.batches:
            if wanted & {name, batch.name}:
                # what was disturbed or invalid is made again at once
                attempts = 2 if batch.undisturbed else 1
                results.append(any(run_batch(batch, place) for _ in range(attempts)))
        results += [
            run_experiment(one, place)
            for one in edition.experiments
            if wanted & {name, one.name}
        ]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
