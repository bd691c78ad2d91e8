"""Measure what a shorter syncFrequency costs, as `studies.cost_law` declares it.

``python -m studies.costs --target testbed:NAME --out FILE`` needs a testbed with a node
for each population. Rounds that are in FILE's ``.jsonl`` are not measured again.
"""

from __future__ import annotations

import json
import re
import signal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.common import CLOCK, await_ready, fresh_namespace, wait_until
from cmhot.clock import NS_PER_S
from cmhot.cluster import client, probe
from cmhot.cluster.port import NODE
from cmhot.cluster.targets import connect
from cmhot.cluster.testbed import layout
from cmhot.errors import ClusterError
from studies import cost_law
from studies.fault_runs import KUBELET, send

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmhot.kubelet.settings import Setting

READY_S, ANSWERS_S = 900.0, 90.0
"""Until all pods run, and until a kubelet that was started anew answers; each several
times what it took."""
TRIES = 3
"""Of a round, until all of its windows are valid."""
APART_S = 2.0
"""Of the starts of two kubelets at least. That of one may differ by a second: it is
reckoned from the boot, which the kernel tells in whole seconds."""
REQUESTS = "rest_client_requests_total"
COUNTED = {
    "process_cpu_seconds_total": "cpu_s",
    "process_start_time_seconds": "started_s",
    "kubelet_running_pods": "running",
    "kubelet_pod_worker_duration_seconds_count": "syncs",
    "kubelet_pod_worker_duration_seconds_sum": "syncing_s",
    "rest_client_rate_limiter_duration_seconds_sum": "limited_s",
}
"""Metrics of a kubelet, and what they are called here. Of pod workers only syncs count;
the rate limiter's is the time that requests waited for it, all together."""
RATES = ("cpu_s", "syncs", "syncing_s", "limited_s")
"""Those that grow."""
_WANTED = re.compile(rf"^(?:{'|'.join((*COUNTED, REQUESTS))})[ {{]")

Counters = dict[str, Any]


def counters(text: str) -> Counters:
    """Read from a kubelet's metrics what is counted.

    Returns
    -------
    dict
        The values of `COUNTED`, and ``requests`` by method.
    """
    lines = [line for line in text.splitlines() if _WANTED.match(line)]
    found: Counters = {**dict.fromkeys(COUNTED.values(), 0.0), "requests": {}}
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        for name, labels, value, *_ in family.samples:
            if name == REQUESTS:
                method = labels["method"]
                found["requests"][method] = found["requests"].get(method, 0.0) + value
            elif labels.get("operation_type", "sync") == "sync":
                found[COUNTED[name]] += value
    return found


def window(before: Counters, after: Counters, *, seconds: float) -> dict[str, Any]:
    """Give what was counted between two readings of a kubelet."""
    return {
        "seconds": seconds,
        **{name: after[name] - before[name] for name in RATES},
        "requests": {
            method: value - before["requests"].get(method, 0.0)
            for method, value in sorted(after["requests"].items())
        },
    }


def is_valid(before: Counters, after: Counters, *, pods: int) -> bool:
    """Tell whether it was one kubelet all the time, and all its pods ran."""
    running = before["running"] == after["running"] == pods
    is_same = abs(before["started_s"] - after["started_s"]) < APART_S
    return running and bool(is_same)


def workload(
    node: str, population: cost_law.Population, *, image: str
) -> dict[str, Any]:
    """Make the Deployment of a node's pods: they sleep, and mount the same maps."""
    made = probe.deployment(
        node,
        run_id="costs",
        group=node,
        configmap="",
        nodes=[node],
        replicas=population.pods,
        image=image,
        pull_policy="Never",
    )
    spec = made["spec"]["template"]["spec"]
    names = map_names(population)
    spec["volumes"] = [{"name": name, "configMap": {"name": name}} for name in names]
    (container,) = spec["containers"]
    container["command"] = ["/bin/sleep", "86400"]
    container["volumeMounts"] = [
        {"name": name, "mountPath": f"/etc/{name}", "readOnly": True} for name in names
    ]
    return made


def map_names(population: cost_law.Population) -> list[str]:
    """Name the ConfigMaps that each pod mounts."""
    return [f"map-{k}" for k in range(population.maps)]


def configured(file: str, setting: Setting) -> str:
    """Change the S and the strategy of a kubelet's configuration file."""
    changed = {
        "syncFrequency": f"{setting.sync_frequency_s:g}s",
        "configMapAndSecretChangeDetectionStrategy": setting.strategy.value,
    }
    return json.dumps({**json.loads(file), **changed})


class Kubelets:
    """The kubelets of a testbed, started anew with other settings and asked.

    Parameters
    ----------
    target
        Such as ``testbed:NAME``.
    """

    def __init__(self, target: str) -> None:
        cluster = connect(target)
        assert isinstance(cluster, client.Kube)  # noqa: S101 - a testbed is one
        self.cluster = cluster
        self.nodes = sorted(node["metadata"]["name"] for node in cluster.list(NODE)[0])
        self._testbed = target.removeprefix("testbed:")

    def read(self, node: str) -> Counters:
        """Ask a kubelet for its metrics."""
        path = f"/api/v1/nodes/{node}/proxy/metrics"
        # a request that the package never makes
        return counters(self.cluster._request("GET", path).decode())  # noqa: SLF001

    def restart(self, settings: Mapping[str, Setting]) -> None:
        """Start kubelets anew with other settings, and wait until each answers.

        Raises
        ------
        TimeoutError
            When one does not.
        """
        run = layout.home(self._testbed).run
        began_s = CLOCK.utc_ns() / NS_PER_S
        for node, setting in settings.items():
            file = run / node / "kubelet.json"
            file.write_text(configured(file.read_text(), setting))
            send(signal.SIGKILL, self._testbed, KUBELET, f"/{node}/kubelet.json")
        for node in settings:
            answers = partial(self._answers, node, began_s)
            if not wait_until(answers, deadline_s=ANSWERS_S):
                msg = f"{node} did not answer within {ANSWERS_S:g} s of its restart"
                raise TimeoutError(msg)

    def _answers(self, node: str, since_s: float) -> bool:
        try:
            # a start is known to the second below
            return bool(self.read(node)["started_s"] >= since_s - 1)
        except ClusterError:
            return False


def measure(
    kubelets: Kubelets,
    settings: Sequence[Setting],
    populations: Sequence[cost_law.Population],
) -> list[dict[str, Any]] | None:
    """Measure one window on each node at the same time; None: one was not valid."""
    nodes = kubelets.nodes[: len(populations)]
    kubelets.restart(dict(zip(nodes, settings, strict=True)))
    CLOCK.sleep(cost_law.SETTLE_S)
    before = [(kubelets.read(node), CLOCK.monotonic()) for node in nodes]
    CLOCK.sleep(cost_law.WINDOW_S)
    after = [(kubelets.read(node), CLOCK.monotonic()) for node in nodes]
    found = []
    for node, setting, own, (first, began), (last, ended) in zip(
        nodes, settings, populations, before, after, strict=True
    ):
        if not is_valid(first, last, pods=own.pods):
            click.echo(f"{node} at {setting}: not valid", err=True)
            return None
        found.append(
            {
                "node": node,
                "pods": own.pods,
                "maps": own.maps,
                "sync_frequency_s": setting.sync_frequency_s,
                "strategy": str(setting.strategy),
                **window(first, last, seconds=ended - began),
            }
        )
    return found


def read_rounds(file: Path) -> dict[int, list[dict[str, Any]]]:
    """Read the rounds that were measured; a line that was broken off is none."""
    found = {}
    for line in file.read_text().splitlines() if file.exists() else []:
        try:
            one = json.loads(line)
        except ValueError:
            continue
        found[one["round"]] = one["windows"]
    return found


def populate(
    kubelets: Kubelets, namespace: str, populations: Sequence[cost_law.Population]
) -> None:
    """Have all pods running, node by node, so that none waits for its start long."""
    cluster = kubelets.cluster
    image = cluster.local_image
    assert image is not None  # noqa: S101 - a testbed has one
    for name in map_names(max(populations, key=lambda one: one.maps)):
        manifest: Mapping[str, Any] = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name},
            "data": {"key": "value"},
        }
        cluster.apply(manifest, namespace=namespace)
    count = 0
    for node, own in zip(kubelets.nodes, populations, strict=False):
        if own.pods:
            made = workload(node, own, image=image)
            cluster.apply(made, namespace=namespace)
            count += own.pods
            await_ready(cluster, namespace, count=count, deadline_s=READY_S)


@click.command()
@click.option("--target", required=True, help="A testbed, such as testbed:NAME.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(target: str, out: Path) -> None:
    """Measure the rounds that are missing, and write all of them."""
    rounds, done = cost_law.schedule(), out.with_suffix(".jsonl")
    known = read_rounds(done)
    run(target, rounds, cost_law.POPULATIONS, done, known)
    known = read_rounds(done)
    missing = [number for number in range(len(rounds)) if number not in known]
    if missing:
        msg = f"rounds {missing} are not valid: call this again"
        raise click.ClickException(msg)
    windows = [
        {"round": number, **one} for number in sorted(known) for one in known[number]
    ]
    found = {"kubernetes": connect(target).version(), "windows": windows}
    out.write_text(json.dumps(found, indent=0) + "\n", encoding="utf-8")


def run(
    target: str,
    rounds: Sequence[Sequence[Setting]],
    populations: Sequence[cost_law.Population],
    done: Path,
    known: Mapping[int, Any],
) -> None:
    """Measure rounds into a file, a line each."""
    kubelets = Kubelets(target)
    with fresh_namespace(kubelets.cluster, "cmhot-costs") as namespace:
        populate(kubelets, namespace, populations)
        for number, settings in enumerate(rounds):
            if number in known:
                continue
            for _ in range(TRIES):
                windows = measure(kubelets, settings, populations)
                if windows is not None:
                    break
            else:
                continue
            line = json.dumps({"round": number, "windows": windows})
            with done.open("a", encoding="utf-8") as file:
                file.write(f"\n{line}\n")  # the line before may be broken off
            click.echo(f"round {number + 1} of {len(rounds)}", err=True)


if __name__ == "__main__":
    main()
