"""What run.json says of a run: settings, versions, the end of observation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from cmhot.runs import schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmhot.runs.rundir import Run


def observed_until_ns(run: Run) -> int:
    """Tell until when publications would have been seen, in UTC epoch nanoseconds.

    That is ``observed_until_ns`` of run.json, or else the last stamp of any file:
    a run that was killed has no other end.
    """
    given = run.meta.get("observed_until_ns")
    if given is not None:
        return int(given)
    stamps = [
        frame[name].max()
        for frame in (run.updates, run.publications, run.events, run.clock)
        for name in map(str, frame)
        if name.endswith("_ns") and name not in {"planned_ns", "offset_ns", "bound_ns"}
    ]
    return max((int(stamp) for stamp in stamps if pd.notna(stamp)), default=0)


def has_one_clock(meta: Mapping[str, Any]) -> bool:
    """Tell whether nodes and collector share one clock: on a testbed they do."""
    return str(meta.get("target")).split(":")[0] == "testbed"


def setting_columns(meta: Mapping[str, Any], node: str) -> dict[str, Any]:
    """Find the setting of a node in run.json; None for what is not known."""
    known = meta.get("settings", {}).get(node, {})
    return {name: known.get(name) for name in schema.SETTING}


def kubelet_version(meta: Mapping[str, Any], node: str) -> str | None:
    """Find the version of a node's kubelet, else the cluster's; None: not known."""
    own = (meta.get("kubelets") or {}).get(node) or meta.get("kubernetes")
    return own if isinstance(own, str) else None
