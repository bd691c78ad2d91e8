"""The versions, settings and machine that a run records, and whether they changed."""

from __future__ import annotations

import platform
import secrets
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot import __version__
from cmhot import clock as clocks
from cmhot.clock import NS_PER_S
from cmhot.runs import schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmhot.cluster.nodes import ObservedNode
    from cmhot.cluster.port import Cluster
    from cmhot.runs.plan import Plan


PACKAGES = ("kubernetes", "numpy", "pandas", "scipy", "papermill", "matplotlib")
SAME = ("target", "kubernetes")
"""Keys of run.json that a resumed run must find as they were."""
FACTS = ("kubelet", "runtime")
"""Keys of a node's entry from the kubelet itself, and from the Node object."""


def new_run_id(clock: clocks.Clock) -> str:
    """Name a run by its beginning, with random letters that keep two apart."""
    seconds = clock.utc_ns() // NS_PER_S
    stamp = np.datetime64(int(seconds), "s").astype(str)
    return f"{stamp.replace('-', '').replace(':', '').lower()}-{secrets.token_hex(2)}"


def utc_text(at_ns: int) -> str:
    """Write an instant as ISO 8601 in UTC, to the millisecond."""
    return f"{np.datetime64(at_ns // 1_000_000, 'ms')}Z"


def first_meta(
    cluster: Cluster, plan: Plan, observed: Sequence[ObservedNode], *, run_id: str
) -> dict[str, Any]:
    """Make the first content of run.json."""
    return {
        "format": schema.FORMAT,
        "run_id": run_id,
        "target": cluster.target,
        "modelled": cluster.modelled,
        "plan": plan.to_dict(),
        "seed": plan.seed,
        "started_utc": utc_text(cluster.clock.utc_ns()),
        "ended_utc": None,
        "status": "running",
        **circumstances(cluster, observed),
        "clock": clocks.describe(cluster.clock),
        "packages": {
            "cmhot": __version__,
            **{name: metadata.version(name) for name in PACKAGES},
        },
        "host": {
            "system": platform.system(),
            "release": platform.release(),
            "machine": platform.machine(),
            "python": platform.python_version(),
        },
        "sources": cluster.sources(),
        "checks": {},
    }


def circumstances(cluster: Cluster, observed: Sequence[ObservedNode]) -> dict[str, Any]:
    """Give the present versions and settings, as run.json has them."""
    return {
        "kubernetes": cluster.version(),
        "kubelets": {node.name: node.kubelet for node in observed},
        "settings": {node.name: node.to_dict() for node in observed},
        "node_labels": {node.name: {**node.labels} for node in observed if node.labels},
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """List in words the circumstances that differ from those at a run's beginning.

    `before` is run.json with its ``pods``, `now` comes from `circumstances`, with the
    ``target``. Of nodes only those count that have probes and still exist (one that
    went away is an incident). A value that could not be read, then or now, counts as
    unchanged.
    """
    found = [
        f"{key} (was {before.get(key)}, is {now.get(key)})"
        for key in SAME
        if before.get(key) != now.get(key)
    ]
    measured = {entry["node"] for entry in before["pods"]}
    for key, changed in (("kubelets", _changed), ("settings", _changed_entry)):
        old, new = before.get(key) or {}, now.get(key) or {}
        both = sorted(measured & old.keys() & new.keys())
        found += [f"{key} of {name}" for name in both if changed(old[name], new[name])]
    return found


def _changed(old: object, new: object) -> bool:
    """Compare two values; one that is not known (None) has not changed."""
    return old is not None and new is not None and old != new


def _changed_entry(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Compare two entries of a node; its settings only if they can still be read."""
    unread = old["source"] == "configz" != new["source"]
    keys = FACTS if unread else (*schema.SETTING, *FACTS)
    return any(_changed(old.get(key), new.get(key)) for key in keys)
