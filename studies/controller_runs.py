"""Let the real TTL controller write the TTL, as `studies.more_settings` declares it.

``python -m studies.controller_runs --target testbed:NAME --out DIR`` leaves a run for
each measured number of Node objects, and a table of when the TTL changed.
"""

from __future__ import annotations

import json
import subprocess
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.common import CLOCK, wait_until
from cmhot.cluster.port import MANAGED_BY, NODE
from cmhot.cluster.targets import connect
from cmhot.cluster.testbed import layout
from cmhot.collector.begin import collect
from cmhot.kubelet.settings import TTL_ANNOTATION
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import read_meta
from studies import more_settings
from studies.fault_runs import pids
from studies.study import set_aside

if TYPE_CHECKING:
    from cmhot.cluster.port import Cluster

MANAGER = "bin/kube-controller-manager"
PORT = 10260
"""Of this one; the testbed's own has another."""
SELECTOR = "cmhot.dev/watched=yes"
WRITTEN_WITHIN_S = 900.0
"""Three reports of a node that does not change."""


def start_ttl_controller(testbed: str) -> subprocess.Popen[bytes]:
    """Start upstream's TTL controller beside the testbed's manager, which has none.

    It ends with the testbed, whose process namespace it is in.
    """
    (pid,) = pids(testbed, MANAGER)
    command = []
    for word in Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0"):
        name, _, _ = word.partition("=")
        given = {"--controllers": "ttl-controller", "--secure-port": str(PORT)}
        command.append(f"{name}={given[name]}" if name in given else word)
    enter = ["nsenter", f"--target={pid}", "--all", "--"]
    with (layout.home(testbed).logs / "ttl-controller.log").open("wb") as log:
        return subprocess.Popen([*enter, *command], stderr=log, start_new_session=True)


def name_of(number: int) -> str:
    """Name a Node object that no machine backs."""
    return f"no-machine-{number:04}"


def have(cluster: Cluster, nodes: int, made: int) -> int:
    """Make or delete Node objects until there are so many; give how many are made."""
    wanted = nodes - more_settings.NODES
    for number in range(made, wanted):
        meta = {"name": name_of(number), "labels": dict(MANAGED_BY)}
        cluster.create({"apiVersion": "v1", "kind": "Node", "metadata": meta})
    for number in range(wanted, made):
        cluster.delete(NODE, name_of(number))
    return wanted


def ttls(cluster: Cluster, watched: list[str]) -> set[str | None]:
    """Read the TTLs of the nodes that kubelets back."""
    found = [cluster.get(NODE, name)["metadata"] for name in watched]
    return {(one.get("annotations") or {}).get(TTL_ANNOTATION) for one in found}


def have_ttl(cluster: Cluster, watched: list[str], wanted: str) -> bool:
    """Tell whether all of them have that TTL."""
    return ttls(cluster, watched) == {wanted}


@click.command()
@click.option("--target", required=True, help="A testbed, such as testbed:NAME.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(target: str, out: Path) -> None:
    """Change the number of Node objects step by step, and collect at the first ones."""
    cluster: Any = connect(target)
    watched = [one["metadata"]["name"] for one in cluster.list(NODE)[0]]
    key, value = SELECTOR.split("=")
    for name in watched:
        cluster.patch(NODE, name, {"metadata": {"labels": {key: value}}})
    controller = start_ttl_controller(target.removeprefix("testbed:"))
    rows, made = [], 0
    for nodes, expected in more_settings.STEPS:
        made = have(cluster, nodes, made)
        since = CLOCK.monotonic()
        is_written = wait_until(
            partial(have_ttl, cluster, watched, str(expected)),
            deadline_s=WRITTEN_WITHIN_S,
        )
        seconds = CLOCK.monotonic() - since if is_written else None
        row = {"nodes": nodes, "expected_s": expected, "seconds": seconds}
        rows.append({**row, "ttl_s": sorted(map(str, ttls(cluster, watched)))})
        click.echo(f"{nodes} nodes: {rows[-1]}", err=True)
        if (nodes, expected) not in more_settings.MEASURED_AT:
            continue
        name = more_settings.run_at(nodes)
        set_aside(out / name)
        plan = Plan(
            pods=more_settings.NODES * more_settings.WRITTEN_SHARERS,
            duration_s=more_settings.WRITTEN_WINDOW_S,
            seed=more_settings.WRITTEN_SEED,
            node_selector=(SELECTOR,),
        )
        run = collect(cluster, plan, out=out, run_id=name)
        click.echo(f"{name}: {read_meta(run)['status']}", err=True)
    if controller.poll() is not None:
        msg = f"the TTL controller ended with {controller.returncode}"
        raise click.ClickException(msg)
    text = json.dumps({"kubernetes": cluster.version(), "steps": rows}, indent=1)
    (out / more_settings.TABLE).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
