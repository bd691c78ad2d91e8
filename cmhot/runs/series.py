"""The publications of each consumer in each pod, and what broke their record off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.runs.columns import integers, repeated
from cmhot.runs.meta import setting_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt
    import pandas as pd

    from cmhot.runs.rundir import Run

    Nanoseconds = npt.NDArray[np.int64]

NEVER = int(np.iinfo(np.int64).max)
"""After every instant."""


@dataclass(frozen=True, slots=True)
class Series:
    """The publications of one consumer in one pod, in order.

    Attributes
    ----------
    node, pod, consumer
        Whose they are.
    configmap
        What it mounts; None: the only ConfigMap of the run.
    seq
        The largest number published so far; shape (n,).
    published_ns
        Node clock; shape (n,).
    restarts_ns
        When the pod or its node was restarted or went away, ascending; shape (r,).
    gaps_ns
        First and last instant of each stretch in which the probe did not look,
        so that it saw the last publication in it only; shape (g, 2).
    gone_ns
        After which nothing is known of the pod for good, collector's clock;
        `NEVER`: it lived.
    """

    node: str
    pod: str
    consumer: str
    configmap: str | None
    seq: Nanoseconds
    published_ns: Nanoseconds
    restarts_ns: Nanoseconds
    gaps_ns: Nanoseconds
    gone_ns: int


def all_series(run: Run) -> list[Series]:
    """List the consumers in pods: those that run.json lists, or all seen."""
    keys = ["pod", "container", "consumer"]
    seq = integers(run.publications["seq"])
    at_ns = integers(run.publications["published_ns"])
    published = run.publications[[*keys, "node", "configmap"]]
    published = published.assign(
        container=published["container"].astype("str").fillna("")
    )
    where = published.groupby(keys).indices
    incidents = _Incidents.of(run.events)
    listed = run.meta.get("pods")
    if listed is None:
        in_order = published.iloc[np.lexsort((seq, at_ns))]
        listed = in_order.drop_duplicates(keys).to_dict("records")
    found = []
    for entry in listed:
        key = (entry["pod"], entry.get("container") or "", entry["consumer"])
        own = np.asarray(where.get(key, []), dtype=np.int64)
        own = own[np.lexsort((seq[own], at_ns[own]))]
        configmap = entry.get("configmap")
        pod, node = str(entry["pod"]), str(entry["node"])
        found.append(
            Series(
                node=node,
                pod=pod,
                consumer=str(entry["consumer"]),
                configmap=configmap if isinstance(configmap, str) else None,
                seq=np.maximum.accumulate(seq[own]),
                published_ns=at_ns[own],
                **incidents.concerning(pod, node),
            )
        )
    return found


def names_of(
    meta: Mapping[str, Any], all_series: Sequence[Series], sizes: Nanoseconds
) -> dict[str, Any]:
    """Say of each row whose it is and at which setting.

    Parameters
    ----------
    meta
        run.json.
    all_series
        Whose rows follow one another.
    sizes
        How many rows each has; shape (series,).
    """
    settings = [setting_columns(meta, one.node) for one in all_series]
    return {
        **{
            name: np.repeat(np.array([one[name] for one in settings], float), sizes)
            for name in ("sync_frequency_s", "ttl_s")
        },
        "strategy": repeated([one["strategy"] for one in settings], sizes),
        "consumer": repeated([one.consumer for one in all_series], sizes),
        "node": repeated([one.node for one in all_series], sizes),
        "pod": repeated([one.pod for one in all_series], sizes),
    }


def of_map(updates: pd.DataFrame, configmap: str | None) -> pd.DataFrame:
    """Pick the updates of one ConfigMap; what names none is of any."""
    if configmap is None:
        return updates
    return updates[updates["configmap"].fillna(configmap) == configmap]


@dataclass(frozen=True, slots=True)
class _Incidents:
    """When records break off, for good or for a while, by the object concerned."""

    by_object: Mapping[str, list[tuple[str, int, Any]]]

    @classmethod
    def of(cls, events: pd.DataFrame) -> _Incidents:
        """Sort a run's events by their objects."""
        own = events[events["kind"].isin(["restart", "gap", "gone", "unseen"])]
        # who resumed a run has read what was unseen when it ended before
        resumed = np.flatnonzero(events["kind"] == "resumed")
        again = own.index.isin(events.index[: resumed[-1]]) if resumed.size else False
        own = own[~((own["kind"] == "unseen") & again)]
        found: dict[str, list[tuple[str, int, Any]]] = {}
        columns = (own[name] for name in ("object", "kind", "at_ns", "detail"))
        for name, kind, at_ns, detail in zip(*columns, strict=True):
            found.setdefault(str(name), []).append((kind, int(at_ns), detail))
        return cls(found)

    def concerning(self, pod: str, node: str) -> dict[str, Any]:
        """Give what concerns a pod, as fields of `Series`."""
        names = {pod, f"pod/{pod}", node, f"node/{node}"}
        own = [event for name in names for event in self.by_object.get(name, ())]
        gaps = [
            (detail["from_ns"], detail["to_ns"])
            for kind, _, detail in own
            if kind == "gap"
            and isinstance(detail, dict)
            and {"from_ns", "to_ns"} <= set(detail)
        ]
        return {
            "restarts_ns": _ascending(at for kind, at, _ in own if kind != "gap"),
            "gaps_ns": np.array(sorted(gaps), dtype=np.int64).reshape(-1, 2),
            "gone_ns": min(
                (at for kind, at, _ in own if kind in {"gone", "unseen"}), default=NEVER
            ),
        }


def _ascending(instants: Iterable[int]) -> Nanoseconds:
    return np.array(sorted(instants), dtype=np.int64)
