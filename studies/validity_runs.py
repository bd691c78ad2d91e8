"""Collect from kubelets under load, as `studies.validity` declares it.

``python -m studies.validity_runs --target testbed:NAME --part PART --out FILE`` leaves
the runs of a part beside FILE, and in FILE what its kubelets counted meanwhile.
"""

from __future__ import annotations

import copy
import json
import multiprocessing
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from benchmarks.common import CLOCK, wait_until
from cmhot.cluster.port import MANAGED_BY, NODE
from cmhot.cluster.targets import connect
from cmhot.cluster.testbed import host, layout
from cmhot.cluster.testbed.status import first_process, is_ready
from cmhot.collector.begin import collect
from cmhot.errors import NotReadyError
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import read_meta
from studies import cost_law, costs
from studies.editions import node_option
from studies.fault_runs import KUBELET, pids
from studies.fronts import Telling
from studies.study import set_aside
from studies.validity import PARTS, SEED, WINDOW_S

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from cmhot.cluster.port import Cluster
    from studies.validity import Condition

LABEL = "cmhot.dev/condition"
PERIOD_US = 100_000
"""Of the kernel's bandwidth control, its default."""
READY_S = 120.0
"""Longest time for a node to be Ready after its kubelet was restarted."""
FIRST_PORT = 7000
"""Of the connections that are answered late, inside the testbed's network."""


class Loaded(Telling):
    """A cluster in which a collection's objects are made to a condition on the way.

    Parameters
    ----------
    cluster
        The real one.
    condition
        What the probes and their ConfigMap are to be.
    begun, ended
        As of `Telling`.
    """

    def __init__(
        self,
        cluster: Cluster,
        condition: Condition,
        begun: Callable[[], None],
        ended: Callable[[], None],
    ) -> None:
        super().__init__(cluster, begun, ended)
        self._condition = condition

    def apply(
        self, manifest: Mapping[str, Any], *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Apply an object, and what the condition adds to it."""
        made = copy.deepcopy(dict(manifest))
        if made["kind"] == "ConfigMap":
            made["data"] |= ballast(self._condition)
            for name in more_maps(self._condition):
                more = {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": name, "labels": dict(MANAGED_BY)},
                    "data": {"key": "value"},
                }
                self.inner.apply(more, namespace=namespace)
        elif made["kind"] == "Deployment":
            mount_more(made["spec"]["template"]["spec"], self._condition)
        return self.inner.apply(made, namespace=namespace)


def ballast(condition: Condition) -> dict[str, str]:
    """Give the keys that make the ConfigMap as large as the condition says."""
    if not condition.size:
        return {}
    each, more = divmod(condition.size, condition.keys)
    return {f"key-{k:04}": "x" * (each + (k < more)) for k in range(condition.keys)}


def more_maps(condition: Condition) -> list[str]:
    """Name the ConfigMaps that each probe mounts beside the measured one."""
    return [f"more-{k}" for k in range(1, condition.maps)]


def mount_more(spec: dict[str, Any], condition: Condition) -> None:
    """Let the pods of a template mount all of them."""
    (container,) = spec["containers"]
    for name in more_maps(condition):
        spec["volumes"].append({"name": name, "configMap": {"name": name}})
        container["volumeMounts"].append(
            {"name": name, "mountPath": f"/more/{name}", "readOnly": True}
        )


def hold(testbed: str, node: str, share: float) -> None:
    """Let a kubelet use no more than this share of a core, in a cgroup of its own."""
    quota = round(share * PERIOD_US)
    held = pids(testbed, KUBELET, f"/{node}/kubelet.json")
    for root in host.cgroup_roots(layout.cgroup_name(testbed)):
        folder = root / f"held-{node}"
        host._make_cgroup(root.parent, folder)  # noqa: SLF001 - for studies alone
        v1, v2 = folder / "cpu.cfs_quota_us", folder / "cpu.max"
        if v1.exists():
            v1.write_text(str(quota))
        elif v2.exists():
            v2.write_text(f"{quota} {PERIOD_US}")
        else:
            folder.rmdir()
            continue
        for pid in held:
            (folder / "cgroup.procs").write_text(str(pid))


def answer_late(testbed: str, node: str, port: int, late_s: float) -> None:
    """Have the API server answer a kubelet late from its next start on.

    What stands between them ends with the testbed.
    """
    home = layout.home(testbed)
    command = ["nsenter", f"--target={first_process(home)}", "--net", "--pid"]
    command += [sys.executable, "-m", "studies.delaying"]
    command += [str(port), str(layout.API_PORT), str(late_s)]
    subprocess.Popen(command, start_new_session=True)
    file = home.run / node / "kubeconfig"
    config = yaml.safe_load(file.read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
    file.write_text(yaml.safe_dump(config))


def collect_under(
    target: str, node: str, condition: Condition, out: Path
) -> dict[str, Any]:
    """Make the run of a condition; give what its kubelet counted, JSON.

    Where no number was written, since the pods were not Ready in time under the load,
    it is told from the beginning on, with ``refused``. All else that ends a collection
    is raised: it says nothing of the load.
    """
    testbed = target.removeprefix("testbed:")
    kubelets = costs.Kubelets(target)
    looks: list[tuple[costs.Counters, float]] = []

    def look() -> None:
        looks.append((kubelets.read(node), CLOCK.monotonic()))

    def begun() -> None:
        if condition.core is not None:
            hold(testbed, node, condition.core)
        look()

    set_aside(out / condition.run)
    look()
    cluster: Any = Loaded(connect(target), condition, begun, look)
    plan = Plan(
        pods=condition.pods,
        duration_s=WINDOW_S,
        seed=SEED,
        node_selector=(f"{LABEL}={condition.name}",),
    )
    try:
        run = collect(cluster, plan, out=out, run_id=condition.run)
    except NotReadyError as error:
        click.echo(f"{condition.run}: {error}", err=True)
        look()
        refused = {"refused": str(error)}
    else:
        click.echo(f"{condition.run}: {read_meta(run)['status']}", err=True)
        refused = {}
    (first, began), (last, ended) = looks[-2:]
    return {**costs.window(first, last, seconds=ended - began), **refused}


def await_nodes(cluster: Cluster, nodes: Collection[str]) -> None:
    """Wait until nodes whose kubelets were restarted take pods, and go on to.

    A kubelet that starts first says that it is not ready.
    """
    if not nodes:
        return
    CLOCK.sleep(cost_law.SETTLE_S)

    def are_ready() -> bool:
        return all(is_ready(cluster.get(NODE, node)) for node in nodes)

    if not wait_until(are_ready, deadline_s=READY_S):
        sys.exit(f"not Ready within {READY_S:g} s of its restart: one of {nodes}")


def nodes_of(conditions: Sequence[Condition]) -> list[str]:
    """Name the node of each condition, as ``cmhot testbed up`` names it."""
    asked = [layout.parse_node(node_option(one.setting))[0] for one in conditions]
    return [node.name for node in layout.make_spec(asked).nodes]


@click.command()
@click.option("--target", required=True, help="A testbed, such as testbed:NAME.")
@click.option("--part", type=click.Choice(tuple(PARTS)), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(target: str, part: str, out: Path) -> None:
    """Give each condition of a part a node, and collect from all at the same time."""
    conditions = PARTS[part]
    kubelets = costs.Kubelets(target)
    nodes = nodes_of(conditions)
    late = {}
    for number, (node, one) in enumerate(zip(nodes, conditions, strict=True)):
        labels = {"metadata": {"labels": {LABEL: one.name}}}
        kubelets.cluster.patch(NODE, node, labels)
        if one.late_s:
            testbed = target.removeprefix("testbed:")
            answer_late(testbed, node, FIRST_PORT + number, one.late_s)
            late[node] = one.setting
    kubelets.restart(late)
    await_nodes(kubelets.cluster, late)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(conditions), mp_context=spawn) as pool:
        found = pool.map(
            collect_under, repeat(target), nodes, conditions, repeat(out.parent)
        )
        counted = dict(zip((one.name for one in conditions), found, strict=True))
    out.write_text(json.dumps(counted, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
