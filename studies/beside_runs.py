"""Refresh pods beside others that wait, and disturb pods beside idle ones.

``python -m studies.beside_runs --target testbed:NAME --part PART --out DIR`` makes the
runs that `studies.beside` declares, and a table of trials.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from cmhot.cluster.targets import connect
from cmhot.collector.begin import collect
from cmhot.errors import CmhotError
from cmhot.experiments.forcing import row_of, start, trial
from cmhot.experiments.stage import Stage, choose_node
from cmhot.law import longest_interval_s
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import read_meta
from studies import beside
from studies.disturbed import CALM_S, Disturbing
from studies.fronts import Telling
from studies.study import set_aside

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

_LONGEST_ROUND_S = 180.0
"""Of 50 pods, deleted and made anew among them."""


def wait_beside(target: str, pods: int, out: Path, begun: Event) -> None:
    """Collect from pods that nobody refreshes, until some time after the last trial."""
    name = beside.waiting_of(pods)
    set_aside(out / name)
    cluster: Any = Telling(connect(target), begun.set)
    longest_s = longest_interval_s(beside.SETTING)
    duration_s = beside.TRIALS_S[pods] + _LONGEST_ROUND_S + longest_s
    plan = Plan(pods=pods, duration_s=duration_s, seed=beside.SEED)
    try:
        run = collect(cluster, plan, out=out, run_id=name)
    except CmhotError as error:
        click.echo(f"{name}: {error}", err=True)
    else:
        click.echo(f"{name}: {read_meta(run)['status']}", err=True)
    finally:
        begun.set()  # whoever waits for it goes on, and finds no run


def refresh_beside(
    target: str, pods: int, out: Path
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Do the rounds of one size; give their trials, and where they were done."""
    spawn = multiprocessing.get_context("spawn")
    begun = spawn.Event()
    waiting = spawn.Process(target=wait_beside, args=(target, pods, out, begun))
    waiting.start()
    cluster = connect(target)
    rng = np.random.default_rng([beside.SEED, pods])
    node, rows, seq = choose_node(cluster), [], 0
    try:
        with Stage(cluster, node=node) as stage:
            start(stage, pods)
            begun.wait()
            ends_s = cluster.clock.monotonic() + beside.TRIALS_S[pods]
            number = 0
            while cluster.clock.monotonic() < ends_s and waiting.is_alive():
                number += 1
                for method in rng.permutation([one.value for one in beside.METHODS]):
                    cluster.clock.sleep(float(rng.uniform(*beside.PAUSE_S)))
                    seq += 1
                    called_ns = cluster.clock.utc_ns()
                    told = {"round": number, "pods": pods, "called_ns": called_ns}
                    try:
                        seen = trial(stage, method=str(method), seq=seq)
                    except CmhotError as error:
                        rows.append({**told, "method": str(method)})
                        click.echo(f"round {number}, {method}: {error}", err=True)
                        continue
                    rows.append({**row_of(seen, number), **told})
                    click.echo(
                        f"{pods} pods, round {number}, {method}: {seen.last_s:.2f} s",
                        err=True,
                    )
    finally:
        waiting.join()
    return rows, {"kubernetes": cluster.version(), "setting": str(node.setting)}


def remedies(target: str, out: Path) -> bool:
    """Refresh Deployments of each size; tell whether their trials are there."""
    rows: list[dict[str, Any]] = []
    about: dict[str, Any] = {}
    for pods in beside.SIZES:
        made, about = refresh_beside(target, pods, out)
        rows += made
    if not all((out / beside.waiting_of(pods)).is_dir() for pods in beside.SIZES):
        return False
    found = {**about, "trials": rows}
    (out / beside.TRIALS).write_text(
        json.dumps(found, indent=0) + "\n", encoding="utf-8"
    )
    return True


def collect_kind(target: str, kind: str, out: Path) -> bool:
    """Collect from one kind of pods; tell whether there is a run."""
    name = beside.run_of(kind)
    set_aside(out / name)
    cluster: Any = connect(target)
    if kind != beside.KINDS[0]:
        cluster = Disturbing(cluster, kind, stagger_s=beside.STAGGER_S)
    duration_s = CALM_S + beside.STAGGER_S + beside.WATCHED_S
    plan = Plan(pods=beside.PODS, duration_s=duration_s, seed=beside.SEED)
    try:
        run = collect(cluster, plan, out=out, run_id=name)
    except CmhotError as error:
        click.echo(f"{name}: {error}", err=True)
        return False
    click.echo(f"{name}: {read_meta(run)['status']}", err=True)
    return True


def disturbed(target: str, out: Path) -> bool:
    """Collect from all kinds at the same time; tell whether all runs are there."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(beside.KINDS), mp_context=spawn) as pool:
        made = pool.map(collect_kind, repeat(target), beside.KINDS, repeat(out))
        return all([*made])


@click.command()
@click.option("--target", required=True, help="A testbed, such as testbed:NAME.")
@click.option("--part", type=click.Choice(tuple(beside.PARTS)), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(target: str, part: str, out: Path) -> None:
    """Make the runs of a part."""
    make = {"remedies": remedies, "disturbed": disturbed}[part]
    sys.exit(0 if make(target, out) else 1)


if __name__ == "__main__":
    main()
