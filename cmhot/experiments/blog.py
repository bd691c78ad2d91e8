"""The experiment that all this began with, as it was; `timing` then times it.

A blog post of 2019 (Kubernetes 1.9.6, nginx:1.10) gave a ConfigMap to one Deployment as
environment and another one to a second Deployment as a volume, looked into a pod of
each, changed ``log_level`` from INFO to DEBUG, and looked again "after about 10 s".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from cmhot.experiments.looking import text_of, variables
from cmhot.experiments.stage import Stage, choose_node, config_map
from cmhot.objects import patch
from cmhot.parameters import at_least
from cmhot.port.cluster import DEPLOYMENT
from cmhot.refreshing.circumstances import is_rolled_out

if TYPE_CHECKING:
    from cmhot.objects import Update
    from cmhot.port.cluster import Cluster

ENV, VOLUME = "env-config", "special-config"
"""The two ConfigMaps."""
BY_ENV, BY_VOLUME = "my-nginx", "my-nginx-2"
"""The two Deployments."""
FOLDER = "/etc/config"
KEY = "log_level"
NGINX = "docker.io/library/nginx:1.28"
"""Successor of the post's nginx:1.10, where a registry can be reached."""
PATIENCE_S = 300.0
"""Longest time for a Deployment to be complete: images are pulled."""


def set_stage(
    cluster: Cluster, *, node: str = "", namespace: str = "", image: str = ""
) -> Stage:
    """Make a place for the experiment; open it before use.

    Parameters
    ----------
    cluster
        Where.
    node
        On which the pods run; empty: the first one of the longest `syncFrequency`.
    namespace
        As of `Stage`.
    image
        Of the containers; empty: what is on every node already, else `NGINX`.
    """
    if not image and cluster.local_image is None:
        image = NGINX
    chosen = choose_node(cluster, node)
    return Stage(cluster, node=chosen, namespace=namespace, image=image)


def manifests(stage: Stage, *, pods: int = 1, level: str = "INFO") -> list[Any]:
    """Describe the post's two ConfigMaps and two Deployments.

    Parameters
    ----------
    stage
        Where.
    pods
        Of each Deployment.
    level
        Value of ``log_level``.
    """
    at_least(1, pods=pods)
    taken = [{"configMapRef": {"name": ENV}}]
    mounts = [{"name": "config", "mountPath": FOLDER}]
    volumes = [{"name": "config", "configMap": {"name": VOLUME}}]
    with_env = _spec(stage, envFrom=taken)
    with_volume = {**_spec(stage, volumeMounts=mounts), "volumes": volumes}
    return [
        config_map(ENV, **{KEY: level}),
        config_map(VOLUME, **{KEY: level}),
        stage.deployment(BY_ENV, pods=pods, spec=with_env),
        stage.deployment(BY_VOLUME, pods=pods, spec=with_volume),
    ]


def _spec(stage: Stage, **uses: object) -> dict[str, Any]:
    """Describe a pod: what it runs is no matter; nginx wants to be root for it."""
    spec = stage.pod_spec(stage.container(**uses))
    if stage.image.rpartition("/")[2].startswith("nginx"):
        (container,) = spec["containers"]
        for needless in ("command", "securityContext"):
            del container[needless]
        del spec["securityContext"]
    return spec


def begin(stage: Stage, *, pods: int = 1, level: str = "INFO") -> None:
    """Apply both pairs, and wait until the pods are Ready."""
    stage.apply(*manifests(stage, pods=pods, level=level))
    for name in (BY_ENV, BY_VOLUME):
        stage.await_pods(name, pods)


def widen(stage: Stage, pods: int) -> None:
    """Give both Deployments more pods, and wait until they are Ready."""
    at_least(1, pods=pods)
    for name in (BY_ENV, BY_VOLUME):
        stage.cluster.patch(
            DEPLOYMENT, name, {"spec": {"replicas": pods}}, namespace=stage.namespace
        )
    for name in (BY_ENV, BY_VOLUME):
        stage.await_pods(name, pods)


def looks(stage: Stage) -> pd.DataFrame:
    """Look into a pod of each Deployment, as the post did by `kubectl exec`.

    Returns
    -------
    DataFrame
        By Deployment: ``pod``, ``command`` and what it ``printed`` of ``log_level``;
        None: nothing.
    """
    by_env, by_volume = (
        stage.await_pods(name, 1)[0]["metadata"]["name"] for name in (BY_ENV, BY_VOLUME)
    )
    path = f"{FOLDER}/{KEY}"
    rows = [
        (BY_ENV, by_env, "env", variables(stage, by_env).get(KEY)),
        (BY_VOLUME, by_volume, f"cat {path}", text_of(stage, by_volume, path)),
    ]
    table = pd.DataFrame(rows, columns=["deployment", "pod", "command", "printed"])
    return table.set_index("deployment")


def edit(stage: Stage, level: str) -> tuple[Update, Update]:
    """Change ``log_level`` in both ConfigMaps, as the post did by `kubectl edit`."""
    by_env, by_volume = (
        patch(stage.cluster, name, {KEY: level}, namespace=stage.namespace)
        for name in (ENV, VOLUME)
    )
    return by_env, by_volume


def roll_out(stage: Stage) -> None:
    """Change the template's annotation, as the post did, and wait for the new pods."""
    stamp = str(stage.cluster.clock.utc_ns())
    changed = {"metadata": {"annotations": {"version/config": stamp}}}
    for name in (BY_ENV, BY_VOLUME):
        stage.cluster.patch(
            DEPLOYMENT,
            name,
            {"spec": {"template": changed}},
            namespace=stage.namespace,
        )

    def are_complete() -> bool:
        found = [
            stage.cluster.get(DEPLOYMENT, name, namespace=stage.namespace)
            for name in (BY_ENV, BY_VOLUME)
        ]
        return all(is_rolled_out(one, "Deployment") for one in found)

    stage.until(are_complete, within_s=PATIENCE_S)


def service_variables(stage: Stage, *, service: str = "later") -> pd.DataFrame:
    """Add a Service, and compare the environments of pods from before and after.

    A pod gets a variable for each Service that there is in its namespace when its
    container starts: "environment of pods in a namespace accumulates".

    Returns
    -------
    DataFrame
        One row per variable of a Service's name: ``variable``, and what it is in a pod
        started ``before`` and ``after``; None: it is not there.
    """
    spec = stage.pod_spec(stage.container())
    if stage.image.rpartition("/")[2].startswith("nginx"):
        spec = _spec(stage)
    found = []
    for name in ("before", "after"):
        stage.apply(stage.deployment(name, pods=1, spec=spec))
        (pod,) = stage.await_pods(name, 1)
        found.append(variables(stage, pod["metadata"]["name"]))
        if name == "before":
            stage.apply(_service(service))
    # what a pod of before sees now, not what it saw before there was a Service
    (pod,) = stage.await_pods("before", 1)
    found[0] = variables(stage, pod["metadata"]["name"])
    prefix = f"{service.upper().replace('-', '_')}_"
    names = sorted({one for pods in found for one in pods if one.startswith(prefix)})
    rows = [(name, found[0].get(name), found[1].get(name)) for name in names]
    return pd.DataFrame(rows, columns=["variable", "before", "after"])


def _service(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}]},
    }
