"""Annotate, rollout and recreate on the same pods: seconds, and what they cost.

``python -m studies.remedies --target testbed:NAME`` writes docs/studies/remedies.md,
from the node of the largest syncFrequency. By publication instants: the mtime of
``..data`` in each pod, or, for pods that are new, the second in which they were Ready.
"""

from __future__ import annotations

import datetime as dt
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from benchmarks.common import CLOCK, await_ready, fresh_namespace
from cmhot.clock import NS_PER_S
from cmhot.explaining import inspectable
from cmhot.nodes import observe_settings, probe_image
from cmhot.objects import patch
from cmhot.port.cluster import POD
from cmhot.port.probe import epoch_ns
from cmhot.prediction import predict
from cmhot.refreshing import refresh
from cmhot.settings import Setting
from cmhot.targets import connect
from studies import pages

if TYPE_CHECKING:
    from cmhot.port.cluster import Cluster
    from cmhot.refreshing.outcome import Refreshed

NAME = "remedies"
FOLDER = "/etc/v"
PUBLISHED_WITHIN_S = 2.0
"""What annotate must reach: a second for a sync that has just been, the volume loops'
0.2 s, and the time that the writes take."""
READY_S = 300.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One method on all pods.

    Attributes
    ----------
    refreshed
        What `cmhot refresh` says.
    first_s, last_s
        From the call until the first and the last pod had it.
    replaced
        Pods that are others than before.
    """

    refreshed: Refreshed
    first_s: float
    last_s: float
    replaced: int


def manifests(node: str, pods: int, image: str, policy: str) -> list[dict[str, Any]]:
    """Make the ConfigMap, and a Deployment that mounts it."""
    labels = {"study": NAME}
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": policy,
        "command": ["sleep", "86400"],
        "volumeMounts": [{"name": "v", "mountPath": FOLDER}],
    }
    spec = {
        "nodeName": node,
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": "v", "configMap": {"name": NAME}}],
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME},
            "data": {"seq": "0"},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": NAME},
            "spec": {
                "replicas": pods,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        },
    ]


def start(cluster: Cluster, namespace: str, *, node: str, pods: int) -> None:
    """Make them, and wait until all pods are Ready."""
    image, policy = probe_image(cluster, None)
    for manifest in manifests(node, pods, image, policy):
        cluster.apply(manifest, namespace=namespace)
    ready(cluster, namespace, pods)


def ready(cluster: Cluster, namespace: str, pods: int) -> list[dict[str, Any]]:
    """Wait until all pods are Ready."""
    return await_ready(
        cluster, namespace, count=pods, deadline_s=READY_S, labels={"study": NAME}
    )


def publications(
    cluster: Cluster, namespace: str, pods: list[dict[str, Any]]
) -> list[int]:
    """Read in each pod when its files were last published, UTC epoch nanoseconds."""
    door = inspectable(cluster)

    def one(pod: dict[str, Any]) -> int:
        answer = door.capture(
            pod["metadata"]["name"],
            ["stat", "-c", "%y", f"{FOLDER}/..data"],
            namespace=namespace,
            container="main",
        )
        return epoch_ns(answer.output.decode().strip())

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(one, pods))


def since_ready(pod: dict[str, Any]) -> int:
    """Give the second in which a pod became Ready, UTC epoch nanoseconds."""
    (stamp,) = [
        one["lastTransitionTime"]
        for one in pod["status"]["conditions"]
        if one["type"] == "Ready"
    ]
    return round(dt.datetime.fromisoformat(stamp).timestamp()) * NS_PER_S


def trial(cluster: Cluster, namespace: str, *, method: str, seq: int) -> Trial:
    """Update the ConfigMap, refresh, and see when each pod had it."""
    before = cluster.list(POD, namespace=namespace, labels={"study": NAME})[0]
    known = {pod["metadata"]["uid"] for pod in before}
    patch(cluster, NAME, {"seq": str(seq)}, namespace=namespace)
    called = CLOCK.utc_ns()
    done = refresh(cluster, f"deployment/{NAME}", method=method, namespace=namespace)
    after = ready(cluster, namespace, done.pods)
    new = [pod for pod in after if pod["metadata"]["uid"] not in known]
    had = [since_ready(pod) for pod in new]
    had += publications(cluster, namespace, [pod for pod in after if pod not in new])
    seconds = sorted((at - called) / NS_PER_S for at in had)
    return Trial(done, seconds[0], seconds[-1], len(new))


def page(trials: list[Trial], *, kubernetes: str, setting: Setting, pods: int) -> str:
    """Write the page."""
    law = predict(setting, pods=pods, sharers=pods).to_dict()
    rows: list[list[object]] = [
        [
            "nothing (by the law)",
            f"p50 {law['p50_s']:.0f}, p99 {law['p99_s']:.0f}",
            None,
            0,
            0,
            None,
        ]
    ]
    rows += [
        [
            f"`--method {one.refreshed.method}`",
            f"{one.last_s:.2f}",
            f"{one.first_s:.2f}",
            one.replaced,
            one.refreshed.writes,
            f"{one.refreshed.seconds:.1f}",
        ]
        for one in trials
    ]
    heads = ["method", "last pod has it, s", "first pod has it, s"]
    heads += ["pods replaced", "writes of ours", "verified after, s"]
    return f"""# Remedies beside each other

Made by `python -m studies.remedies` on Kubernetes {kubernetes}: {pods} pods of one
Deployment on one node of {setting}. Each trial updates the ConfigMap and calls
`cmhot refresh` at once. Seconds are from the call: to the publication instant
(mtime of `..data`) where pods stay, to the second in which the pod was Ready where
they are replaced (up to 1 s too small). "Verified" is when `refresh` had looked into
all pods.

{pages.table(heads, rows)}

After annotate the pods are synced in phase; each later trial found them so.
"""


@click.command()
@click.option("--target", required=True, help="A testbed, such as testbed:NAME.")
@click.option("--pods", default=50, show_default=True)
def main(target: str, pods: int) -> None:
    """Try each method, and write the page."""
    cluster = connect(target)
    nodes = [node for node in observe_settings(cluster) if node.setting is not None]
    node = max(nodes, key=lambda one: one.setting or Setting())
    setting = node.setting or Setting()
    with fresh_namespace(cluster, "cmhot-study", gone_within_s=90) as namespace:
        start(cluster, namespace, node=node.name, pods=pods)
        CLOCK.sleep(5)  # syncs of the start are over
        methods = ["annotate", "rollout", "recreate", "annotate"]
        trials = [
            trial(cluster, namespace, method=method, seq=seq)
            for seq, method in enumerate(methods, start=1)
        ]
    holds = all(one.refreshed.ok for one in trials) and all(
        one.last_s <= PUBLISHED_WITHIN_S
        for one in trials
        if one.refreshed.method == "annotate"
    )
    numbers = {
        "kubernetes": cluster.version(),
        "setting": str(setting),
        "pods": pods,
        "holds": holds,
        "trials": [
            {
                "method": one.refreshed.method,
                "first_s": one.first_s,
                "last_s": one.last_s,
                "replaced": one.replaced,
                "writes": one.refreshed.writes,
                "acted_s": one.refreshed.acted_s,
                "verified_s": one.refreshed.seconds,
            }
            for one in trials
        ],
    }
    text = page(trials, kubernetes=cluster.version(), setting=setting, pods=pods)
    sys.exit(not pages.write("remedies", text=text, numbers=numbers))


if __name__ == "__main__":
    main()
