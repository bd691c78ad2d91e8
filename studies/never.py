"""Consumers that never see an update, each with its bound (H9 of the protocol).

Every pod takes one ConfigMap in each of the ways at once, and by a volume as well,
which shows that the update was there to be seen.
``python -m studies.never --target testbed:NAME --out FILE`` writes what it counted.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchmarks.common import CLOCK, await_ready, fresh_namespace
from cmhot.cluster.nodes import observe_settings, probe_image
from cmhot.cluster.targets import connect
from cmhot.kubelet.settings import Setting
from cmhot.law import longest_interval_s
from cmhot.propagation.changes import patch

if TYPE_CHECKING:
    from cmhot.cluster.port import Cluster

NAME = "never"
KEY = "VALUE"
BEFORE, AFTER = "before", "after"
WAYS = ("env", "envFrom", "subPath", "subPathExpr", "volume")
PODS = 60
TIMES_LONGEST = 10
"""For how many of the longest sync intervals is waited."""
READY_S = 300.0


def manifests(node: str, pods: int, image: str, policy: str) -> list[dict[str, Any]]:
    """Make the ConfigMap, and a Deployment whose pods take it in every way."""
    labels = {"study": NAME}
    one = {"name": "v", "mountPath": "/sub", "subPath": KEY}
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": policy,
        "command": ["sleep", "86400"],
        "env": [
            {"name": "KEY", "value": KEY},
            {
                "name": "ONE",
                "valueFrom": {"configMapKeyRef": {"name": NAME, "key": KEY}},
            },
        ],
        "envFrom": [{"configMapRef": {"name": NAME}}],
        "volumeMounts": [
            {"name": "v", "mountPath": "/whole"},
            one,
            {"name": "v", "mountPath": "/expr", "subPathExpr": "$(KEY)"},
        ],
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
            "data": {KEY: BEFORE},
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


def seen_in(cluster: Cluster, pod: str, namespace: str) -> dict[str, str]:
    """Read in one pod what each of the ways shows."""

    def of(*command: str) -> bytes:
        answer = cluster.capture(pod, command, namespace=namespace, container="main")
        if answer.code != 0:
            msg = f"{pod}: {answer.complaint}"
            raise RuntimeError(msg)
        return answer.output

    environ = dict(
        one.split(b"=", 1) for one in of("cat", "/proc/1/environ").split(b"\0") if one
    )
    return {
        "env": environ[b"ONE"].decode(),
        "envFrom": environ[KEY.encode()].decode(),
        "subPath": of("cat", "/sub").decode(),
        "subPathExpr": of("cat", "/expr").decode(),
        "volume": of("cat", f"/whole/{KEY}").decode(),
    }


def count(
    cluster: Cluster, namespace: str, *, node: str, pods: int, wait_s: float
) -> list[dict[str, Any]]:
    """Update once, wait, and count by way of use the pods that see it."""
    image, policy = probe_image(cluster, None)
    for manifest in manifests(node, pods, image, policy):
        cluster.apply(manifest, namespace=namespace)
    ready = await_ready(
        cluster, namespace, count=pods, deadline_s=READY_S, labels={"study": NAME}
    )
    names = [pod["metadata"]["name"] for pod in ready]

    def look(pod: str) -> dict[str, str]:
        return seen_in(cluster, pod, namespace)

    with ThreadPoolExecutor(4) as pool:
        before = list(pool.map(look, names))
        patch(cluster, NAME, {KEY: AFTER}, namespace=namespace)
        CLOCK.sleep(wait_s)
        after = list(pool.map(look, names))
    return [
        {
            "consumer": way,
            "pods": len(names),
            "watched_s": wait_s,
            "had_before": sum(one[way] == BEFORE for one in before),
            "saw": sum(one[way] == AFTER for one in after),
        }
        for way in WAYS
    ]


@click.command()
@click.option("--target", required=True, help="A testbed, such as testbed:NAME.")
@click.option("--pods", default=PODS, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(target: str, pods: int, out: Path) -> None:
    """Count on the node of the smallest syncFrequency."""
    cluster = connect(target)
    nodes = [node for node in observe_settings(cluster) if node.setting is not None]
    node = min(nodes, key=lambda one: one.setting or Setting())
    setting = node.setting or Setting()
    with fresh_namespace(cluster, "cmhot-study") as namespace:
        rows = count(
            cluster,
            namespace,
            node=node.name,
            pods=pods,
            wait_s=TIMES_LONGEST * longest_interval_s(setting),
        )
    found = {"kubernetes": cluster.version(), "setting": str(setting), "rows": rows}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
