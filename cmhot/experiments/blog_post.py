"""The blog post's experiment, with which `cmhot` began, step by step, and timed.

A blog post of 2019 (Kubernetes 1.9.6, nginx:1.10) gave a ConfigMap to one Deployment as
environment and another one to a second Deployment as a volume, looked into a pod of
each, changed ``log_level`` from INFO to DEBUG, and looked again "after about 10 s".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.cluster.port import DEPLOYMENT
from cmhot.experiments.parameters import at_least
from cmhot.experiments.stage import (
    FOLDER,
    Stage,
    choose_node,
    config_map,
    origin,
    publications,
    spread_syncs,
    text_of,
    variables,
)
from cmhot.kubelet.settings import Setting
from cmhot.law import law_for, longest_interval_s, mean_interval_s
from cmhot.propagation.changes import patch
from cmhot.propagation.workload import is_rolled_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmhot.clock import Clock
    from cmhot.cluster.port import Cluster
    from cmhot.propagation.changes import Update


ENV, VOLUME = "env-config", "special-config"
"""The two ConfigMaps."""
BY_ENV, BY_VOLUME = "my-nginx", "my-nginx-2"
"""The two Deployments."""
KEY = "log_level"
NGINX = "docker.io/library/nginx:1.28"
"""Successor of the post's nginx:1.10, where a registry can be reached."""
PATIENCE_S = 300.0
"""Longest time for a Deployment to be complete: images are pulled."""


def set_stage(
    cluster: Cluster, *, node: str = "", namespace: str = "", image: str = ""
) -> Stage:
    """Make a stage on a node for the experiment; open it before use.

    The node is by default the first one with the longest `syncFrequency`, the image one
    that is on every node already, else `NGINX`.
    """
    if not image and cluster.local_image is None:
        image = NGINX
    chosen = choose_node(cluster, node)
    return Stage(cluster, node=chosen, namespace=namespace, image=image)


def manifests(stage: Stage, *, pods: int = 1, level: str = "INFO") -> list[Any]:
    """Describe the post's two ConfigMaps and two Deployments."""
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
    """Describe a pod: its program does not matter; nginx runs as itself, as root."""
    spec = stage.pod_spec(stage.container(**uses))
    if stage.image.rpartition("/")[2].startswith("nginx"):
        (container,) = spec["containers"]
        for needless in ("command", "securityContext"):
            del container[needless]
        del spec["securityContext"]
    return spec


def start(stage: Stage, *, pods: int = 1, level: str = "INFO") -> None:
    """Apply both pairs, and wait until the pods are Ready."""
    stage.apply(*manifests(stage, pods=pods, level=level))
    for name in (BY_ENV, BY_VOLUME):
        stage.await_pods(name, pods)


def scale(stage: Stage, pods: int) -> None:
    """Give both Deployments more pods, and wait until they are Ready."""
    at_least(1, pods=pods)
    for name in (BY_ENV, BY_VOLUME):
        stage.cluster.patch(
            DEPLOYMENT, name, {"spec": {"replicas": pods}}, namespace=stage.namespace
        )
    for name in (BY_ENV, BY_VOLUME):
        stage.await_pods(name, pods)


def read_pods(stage: Stage) -> pd.DataFrame:
    """Read in a pod of each Deployment, as the post did by `kubectl exec`.

    Returns by Deployment the ``pod``, the ``command``, and what it ``printed`` of
    ``log_level`` (None: nothing).
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

    A pod gets a variable for each Service that its namespace has when its container
    starts: "environment of pods in a namespace accumulates". Returns one row
    per variable of a Service's name: ``variable``, and its value in a pod started
    ``before`` and ``after`` (None: it has none).
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
    # an old pod's variables now, not those from before the Service
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


ABOUT_S = 10.0
""" "After about 10 s", as every later post repeats."""
SLACK_S = 2.0
"""Beyond the longest delay: the watch, the volume loops, and a busy machine."""


def time_updates(
    stage: Stage,
    *,
    updates: int = 6,
    pods: int = 10,
    seed: int = 1,
    report: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """Time the post's experiment: change both maps again and again, look into all pods.

    In the volume an edit is timed by its publication; an environment is read after the
    longest time that a volume may take, and does not change.

    Pods that were made together are synced together; so each is touched once before, at
    a random instant, as a collection does. The gaps are longer than the longest delay,
    by a random time: no update knows anything of the syncs, and each has a publication
    of its own.

    Parameters
    ----------
    stage
        Open, with a node of known setting; `scale` has been called with `pods`.
    updates
        How many.
    pods
        Of each Deployment.
    seed
        Of the gaps.
    report
        Called with a line after each update.

    Returns
    -------
    DataFrame
        One row per update, pod and consumer, with columns of
        `cmhot.runs.delays.delays`: ``seq, configmap, node, pod, consumer, sent_ns,
        acked_ns, published_ns, delay_s, waited_s, clock_bound_s, status,
        sync_frequency_s, strategy, ttl_s``. ``delay_s`` is NaN and ``waited_s`` not
        where the pod still had the old content; ``attrs`` as of
        `cmhot.experiments.stage.origin`.
    """
    at_least(1, updates=updates, pods=pods)
    node, clock = stage.node, stage.cluster.clock
    assert node is not None, "a blog stage has a node"  # noqa: S101
    assert node.setting is not None, "choose_node knows the setting"  # noqa: S101
    setting, law = node.setting, law_for(node.setting)
    longest_s = longest_interval_s(setting) if law is None else law.max_s
    rng = np.random.default_rng(seed)
    spread_syncs(stage, BY_VOLUME, setting, seed=seed)
    rows: list[dict[str, Any]] = []
    for seq in range(1, updates + 1):
        clock.sleep(float(rng.uniform(0.0, mean_interval_s(setting))))
        level = f"DEBUG-{seq}"
        by_env, by_volume = edit(stage, level)
        clock.sleep(longest_s + SLACK_S)
        own = {
            "seq": seq,
            "node": node.name,
            "strategy": setting.strategy.value,
            "sync_frequency_s": setting.sync_frequency_s,
            "ttl_s": setting.ttl_s,
        }
        found = stage.await_pods(BY_VOLUME, pods)
        for pod, (at_ns, bound_s) in publications(stage, found, FOLDER).items():
            has_it = text_of(stage, pod, f"{FOLDER}/{KEY}") == level
            row = _row(by_volume, pod, "volume", at_ns if has_it else None, clock)
            rows.append({**own, **row, "clock_bound_s": bound_s})
        for one in stage.await_pods(BY_ENV, pods):
            pod = one["metadata"]["name"]
            # the instant at which an environment changed is not known
            has_it = variables(stage, pod).get(KEY) == level
            at = clock.utc_ns() if has_it else None
            row = _row(by_env, pod, "envFrom", at, clock)
            rows.append({**own, **row, "clock_bound_s": 0.0})
        report(f"update {seq} of {updates}")
    table = pd.DataFrame(rows)
    table.attrs.update(origin(stage.cluster, node))
    return table


def _row(
    update: Update, pod: str, consumer: str, at_ns: int | None, clock: Clock
) -> dict[str, Any]:
    """Give the row of an update that a pod had at an instant; None: not until now."""
    nan = float("nan")
    until_ns = clock.utc_ns() if at_ns is None else at_ns
    seconds = (until_ns - update.acked_ns) / NS_PER_S
    return {
        "configmap": update.configmap,
        "pod": pod,
        "consumer": consumer,
        "sent_ns": update.sent_ns,
        "acked_ns": update.acked_ns,
        "published_ns": pd.NA if at_ns is None else at_ns,
        "delay_s": nan if at_ns is None else seconds,
        "waited_s": seconds if at_ns is None else nan,
        "status": "timeout" if at_ns is None else "observed",
    }


def shares_by(
    table: pd.DataFrame, setting: Setting, *, within_s: float = ABOUT_S
) -> pd.Series[float]:
    """Give the share of pods that have an update so long after its acknowledgement.

    Returns ``measured`` (volumes), ``by the law`` at this setting, ``by the law at the
    default`` of a kubelet, and ``environment``.
    """
    own = table[table["consumer"] == "volume"]["delay_s"]
    env = table[table["consumer"] == "envFrom"]["delay_s"]
    here, default = law_for(setting), law_for(Setting())
    assert default is not None, "the default has a law"  # noqa: S101
    return pd.Series(
        {
            "measured": float((own <= within_s).mean()),
            "by the law": float("nan") if here is None else float(here.cdf(within_s)),
            "by the law at the default": float(default.cdf(within_s)),
            "environment": float((env <= within_s).mean()),
        },
        name=f"share of pods that have it by {within_s:g} s",
    )
