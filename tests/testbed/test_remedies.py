"""Explain, wait and refresh on real kubelets: what they say is what is seen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.common import await_ready, wait_until
from cmhot.cluster.port import DEPLOYMENT
from cmhot.cluster.testbed import layout
from cmhot.cluster.testbed.image import IMAGE_NAME
from cmhot.experiments import forcing
from cmhot.experiments.matrix import EVENTS, Matrix, cases
from cmhot.experiments.stage import Stage, choose_node
from cmhot.propagation.changes import patch
from cmhot.propagation.explain import explain
from cmhot.propagation.wait import wait
from cmhot.propagation.workload import REMEMBERED
from studies.remedies import PUBLISHED_WITHIN_S
from tests.testbed.command import run, start

if TYPE_CHECKING:
    from cmhot.cluster.port import Cluster
    from cmhot.cluster.testbed.status import Status

USER = "cmhot"
READY_S = 60.0
READING = {"get", "list"}


def manifests(node: str, *, pods: int, env: bool, blind: bool) -> list[dict[str, Any]]:
    """Make a ConfigMap and a Deployment that mounts it, on a node."""
    container: dict[str, Any] = {
        "name": "main",
        "image": IMAGE_NAME,
        "imagePullPolicy": "Never",
        "command": ["/bin/sleep", "86400"],
        "volumeMounts": [{"name": "v", "mountPath": "/etc/v"}],
    }
    spec: dict[str, Any] = {
        "nodeName": node,
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
        "volumes": [{"name": "v", "configMap": {"name": "app"}}],
    }
    if env:
        container["envFrom"] = [{"configMapRef": {"name": "app"}}]
    if blind:
        # all that is left in /bin is a program that sleeps
        spec["volumes"].append({"name": "bin", "emptyDir": {}})
        spec["initContainers"] = [
            {
                **{key: container[key] for key in ("image", "imagePullPolicy")},
                "name": "copy",
                "command": ["cp", "/bin/busybox", "/there/sleep"],
                "volumeMounts": [{"name": "bin", "mountPath": "/there"}],
            }
        ]
        container["volumeMounts"].append({"name": "bin", "mountPath": "/bin"})
    labels = {"app": "web"}
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "app"},
            "data": {"log-level": "info"},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web"},
            "spec": {
                "replicas": pods,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        },
    ]


def deploy(
    cluster: Cluster,
    namespace: str,
    node: str,
    *,
    pods: int = 3,
    env: bool = False,
    blind: bool = False,
) -> None:
    """Start it, and wait until its pods are Ready."""
    for manifest in manifests(node, pods=pods, env=env, blind=blind):
        cluster.apply(manifest, namespace=namespace)
    await_ready(cluster, namespace, count=pods, deadline_s=READY_S)


def test_what_explain_predicts_is_what_is_seen(
    cluster: Cluster, testbed: Status, namespace: str
) -> None:
    """In every cell: each way to use an object, against each event."""
    of_2_s = testbed.nodes[0]  # so that a delay is short
    node = choose_node(cluster, of_2_s.name)

    with Stage(cluster, node=node, namespace=namespace) as stage:
        cells = Matrix(stage, setting=of_2_s.setting).run()

    different = [
        f"{cell.case.title}, {cell.event}: predicted {cell.predicted}, "
        f"seen {cell.seen} of {cell.looks}"
        for cell in cells
        if not cell.agrees
    ]
    assert different == []
    assert len(cells) == len(cases()) * len(EVENTS)
    assert len(cases()) >= 10
    # not all the same either
    assert {cell.observed for cell in cells} == {True, False, None}


def test_annotate_is_quick(cluster: Cluster, testbed: Status, namespace: str) -> None:
    """All pods have it within 2 s of the call, by their publication instants."""
    of_10_s = testbed.nodes[3]  # by itself, the last of 8 takes about 12 s
    node = choose_node(cluster, of_10_s.name)

    with Stage(cluster, node=node, namespace=namespace) as stage:
        forcing.start(stage, 8)
        seen = forcing.trial(stage, method="annotate", seq=1)
    print(f"annotate: first {seen.first_s:.2f} s, last {seen.last_s:.2f} s")  # noqa: T201

    assert seen.refreshed.ok
    assert seen.replaced == 0
    assert 0 < seen.first_s <= seen.last_s <= PUBLISHED_WITHIN_S


@pytest.mark.parametrize("method", ["rollout", "recreate"])
def test_new_pods_have_it(
    cluster: Cluster, testbed: Status, namespace: str, method: str
) -> None:
    """All pods are others, also what they hold in their environment."""
    deploy(cluster, namespace, testbed.nodes[0].name, env=True)
    patch(cluster, "app", {"log-level": "debug"}, namespace=namespace)

    code, output, _ = run(
        *("refresh", "deployment/web", "--method", method, "--json"),
        *("--target", f"testbed:{testbed.name}", "-n", namespace),
    )

    answer = json.loads(output)
    assert code == 0
    assert answer["verified"][0]["fresh"] == 3
    assert answer["acted_s"] <= answer["seconds"]


def test_a_killed_recreate_is_restored(
    cluster: Cluster, testbed: Status, namespace: str
) -> None:
    """By the next call, from what the workload itself remembers."""
    deploy(cluster, namespace, testbed.nodes[0].name, pods=2)
    command = ("refresh", "deployment/web", "--method", "recreate", "--json")
    where = ("--target", f"testbed:{testbed.name}", "-n", namespace)

    def replicas() -> int:
        found = cluster.get(DEPLOYMENT, "web", namespace=namespace)
        return int(found["spec"]["replicas"])

    with start(*command, *where) as running:
        assert wait_until(lambda: replicas() == 0, deadline_s=READY_S, poll_s=0.01)
        running.kill_group()
    left = cluster.get(DEPLOYMENT, "web", namespace=namespace)
    code, output, _ = run(*command, *where)
    after = cluster.get(DEPLOYMENT, "web", namespace=namespace)

    assert left["spec"]["replicas"] == 0
    noted = f"2@{left['metadata']['generation']}"
    assert left["metadata"]["annotations"][REMEMBERED] == noted
    assert code == 0
    assert json.loads(output)["restored"] == 2
    assert after["spec"]["replicas"] == 2
    assert after["status"]["availableReplicas"] == 2
    assert REMEMBERED not in after["metadata"]["annotations"]


def test_wait_looks_inside(cluster: Cluster, testbed: Status, namespace: str) -> None:
    """What never updates ends it at once; the rest lands within the law's longest."""
    deploy(cluster, namespace, testbed.nodes[0].name, env=True)
    where = ("--target", f"testbed:{testbed.name}", "-n", namespace)
    patch(cluster, "app", {"log-level": "debug"}, namespace=namespace)

    stuck, output, _ = run("wait", "cm/app", "--json", *where)
    landed, _, messages = run("wait", "cm/app", "--updatable-only", *where)
    wrong, _, complaint = run("wait", "cm/ap", *where)

    answer = json.loads(output)
    assert (stuck, landed, wrong) == (1, 0, 2)
    reasons = {one["why"] for one in answer["stale"] if not one["updates"]}
    assert reasons == {"its environment has another log-level; no update reaches it"}
    assert "3 of 3 pods" in messages
    assert complaint.startswith("cmhot: ")


def test_a_container_without_cat(
    cluster: Cluster, testbed: Status, namespace: str
) -> None:
    """It is unknown, until an ephemeral container looks; that is told as a change."""
    deploy(cluster, namespace, testbed.nodes[0].name, pods=1, blind=True)

    unknown = wait(cluster, "configmap/app", namespace=namespace)
    seen = wait(cluster, "configmap/app", namespace=namespace, ephemeral=True)
    patch(cluster, "app", {"log-level": "debug"}, namespace=namespace)
    again = wait(cluster, "configmap/app", namespace=namespace, ephemeral=True)

    assert not unknown.landed
    assert len(unknown.unknown) == 1
    assert unknown.changed == ()
    assert seen.landed
    assert len(seen.changed) == 1
    assert again.landed


def test_explain_and_wait_write_nothing(
    cluster: Cluster, testbed: Status, namespace: str
) -> None:
    """By the API server's own audit log; `pods/exec` is how one looks inside."""
    deploy(cluster, namespace, testbed.nodes[0].name)
    audit = layout.home(testbed.name).logs / "audit.jsonl"
    before = len(audit.read_text().splitlines())

    explain(cluster, "configmap/app", namespace=namespace)
    waited = wait(cluster, "configmap/app", namespace=namespace)

    events = [json.loads(line) for line in audit.read_text().splitlines()[before:]]
    ours = [event for event in events if event["user"]["username"] == USER]
    written = [
        (event["verb"], event["objectRef"])
        for event in ours
        if event["verb"] not in READING
        and event["objectRef"].get("subresource") != "exec"
    ]
    assert waited.landed
    assert written == []
    assert len(ours) >= 8  # the log is that of these calls


def test_a_typo_names_the_nearest(
    cluster: Cluster, testbed: Status, namespace: str
) -> None:
    """Also when a template has the wrong name, and its pods would wait for it."""
    _, web = manifests(testbed.nodes[0].name, pods=0, env=False, blind=False)
    cluster.apply(web, namespace=namespace)
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "app-config"},
            "data": {},
        },
        namespace=namespace,
    )
    code, output, messages = run(
        *("explain", "configmap/app-confg"),
        *("--target", f"testbed:{testbed.name}", "-n", namespace),
    )

    assert (code, output) == (2, "")
    assert "is 'app-config' meant?" in messages
    absent = explain(cluster, "configmap/app", namespace=namespace)
    assert [one.kind for one in absent.mistakes] == ["absent"]
