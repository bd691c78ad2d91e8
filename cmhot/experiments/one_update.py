"""One update, live: a ConfigMap, a small Deployment, and each pod as it turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.experiments.parameters import at_least
from cmhot.experiments.stage import config_map, publications

if TYPE_CHECKING:
    from typing import Any

    from cmhot.experiments.stage import Stage
    from cmhot.propagation.changes import Update


NAME = "start-here"
FOLDER = "/etc/config"


def manifests(stage: Stage, *, pods: int) -> list[dict[str, Any]]:
    """Describe a ConfigMap and a Deployment that mounts it."""
    at_least(1, pods=pods)
    mounts = [{"name": "config", "mountPath": FOLDER}]
    spec = stage.pod_spec(
        stage.container(volumeMounts=mounts),
        volumes=[{"name": "config", "configMap": {"name": NAME}}],
    )
    return [
        config_map(NAME, greeting="hello"),
        stage.deployment(NAME, pods=pods, spec=spec),
    ]


def one_update(stage: Stage, update: Update) -> pd.DataFrame:
    """Read in each pod when it got an update.

    Returns
    -------
    DataFrame
        One row per pod, in the order of their publications: ``node, pod, consumer,
        configmap, seq, published_ns``, and ``delay_s`` from the acknowledgement on;
        ``planned_ns, sent_ns, acked_ns`` of the update are the same in each.
    """
    pods = stage.pods(NAME)
    homes = {one["metadata"]["name"]: one["spec"]["nodeName"] for one in pods}
    written = {
        name: getattr(update, name)
        for name in ("configmap", "planned_ns", "sent_ns", "acked_ns")
    }
    rows = [
        {
            **written,
            "node": homes[pod],
            "pod": pod,
            "consumer": "volume",
            "seq": 1,
            "published_ns": at_ns,
            "delay_s": (at_ns - update.acked_ns) / NS_PER_S,
        }
        for pod, at_ns in publications(stage, pods, FOLDER).items()
    ]
    return pd.DataFrame(rows).sort_values("published_ns", ignore_index=True)
