"""One update, live: a ConfigMap, a small Deployment, and each pod as it turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.experiments.looking import publications
from cmhot.experiments.stage import config_map
from cmhot.parameters import at_least

if TYPE_CHECKING:
    from typing import Any

    from cmhot.experiments.stage import Stage
    from cmhot.objects import Update

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


def as_publications(stage: Stage, update: Update) -> pd.DataFrame:
    """Read in each pod when it got its update, as a table of publications.

    Returns
    -------
    DataFrame
        One row per pod, in the order of their publications: ``node, pod, consumer,
        seq, published_ns``, and ``delay_s`` from the acknowledgement on.
    """
    pods = stage.pods(NAME)
    homes = {one["metadata"]["name"]: one["spec"]["nodeName"] for one in pods}
    rows = [
        {
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


def as_updates(update: Update) -> pd.DataFrame:
    """Give one update as a table of updates, with the columns of a run's."""
    columns = {
        name: [getattr(update, name)]
        for name in ("configmap", "planned_ns", "sent_ns", "acked_ns")
    }
    return pd.DataFrame({"seq": [1], **columns})


def alt_text(publications: pd.DataFrame, *, modelled: bool) -> str:
    """Say what the figure shows, for who cannot see it."""
    source = "modelled, not measured" if modelled else "measured"
    delays_s = publications["delay_s"]
    return (
        f"Timeline of one update, {source}: {len(publications)} pods had it after "
        f"{delays_s.min():.1f} s (the first) to {delays_s.max():.1f} s (the last)."
    )
