"""An anonymous copy of a run: every number is kept, every name is replaced.

Only keys and values that are listed here are kept: one that a later version of cmhot
writes into a run is not given away by mistake.

Kept: versions, settings, the schedule's seed, the checks' verdicts, and all stamps, to
the nanosecond. To hide the day they can be shifted by whole seconds, to a run that
begins in 2000: no interval and no part of a second changes by that. Only the limits of
direct delays may then differ in their third digit, since updates are grouped by a hash
of their instants (`cmhot.statistics.blocks`).

Replaced, each name always by the same one: nodes, pods, their uids, containers,
ConfigMaps and consumers that Kubernetes does not know.

Left out: texts of errors, resource versions, labels of nodes, packages' and programs'
places, the machine, namespace, images and all details of incidents but a gap's ends.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.kubelet.settings import Strategy
from cmhot.runs import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cmhot.runs.rundir import Run


BEGIN_NS = 946_684_800 * NS_PER_S
"""2000-01-01T00:00:00Z, the beginning of a run whose times are shifted."""
CONSUMERS = ("volume", "subPath", "projected", "env", "envFrom")
KINDS = (
    *("reconnect", "restart", "gap", "throttled", "late", "gone", "node_gone"),
    *("node_ready", "scramble_failed", "unseen", "resumed"),
)
"""Kinds of incidents that are kept; any other becomes ``other``."""
SOURCES = ("configz", "given", "inferred", "unknown")
_STATUSES = ("running", "complete", "interrupted", "invalid")
_VERSION = re.compile(r"v?\d+(\.\d+){1,2}")
_RUNTIME = re.compile(r"(containerd|cri-o|docker)://\d+(\.\d+){0,2}")
_TARGETS = ("testbed", "context", "in-cluster", "model")
_INSTANTS = ("measure_from_ns", "measure_until_ns", "observed_until_ns")
_COUNTS = ("seed", "planned_updates")
_PLAN = ("pods", "duration_s", "gap_s", "seed")


@dataclass(frozen=True, slots=True)
class _Names:
    """New names for old ones, which sort in the same order."""

    of: Mapping[str, Mapping[str, str]]
    shift_ns: int

    @classmethod
    def in_run(cls, run: Run, *, shift_times: bool) -> _Names:
        """Find all names in a run."""
        listed: list[dict[str, Any]] = list(run.meta.get("pods") or [])

        def named(column: str, *more: Iterable[Any]) -> set[str]:
            found: list[Iterable[Any]] = [
                run.publications[column],
                [entry.get(column) for entry in listed],
                *more,
            ]
            return {str(one) for some in found for one in some if not _is_null(one)}

        nodes = named(
            "node",
            run.clock["node"],
            run.meta.get("settings") or {},
            run.meta.get("kubelets") or {},
        )
        maps = named("configmap", run.updates["configmap"])
        consumers = named("consumer") - set(CONSUMERS)
        return cls(
            {
                "node": _numbered("node", nodes),
                "pod": _numbered("pod", named("pod")),
                "uid": _numbered("uid", named("uid")),
                "container": _numbered("container", named("container")),
                "configmap": _numbered("configmap", maps),
                "consumer": {
                    **{name: name for name in CONSUMERS},
                    **_numbered("consumer", consumers),
                },
            },
            _shift_ns(run) if shift_times else 0,
        )

    def name(self, kind: str, old: Any) -> str | None:  # noqa: ANN401 - a cell
        """Give the new name; None: there was none."""
        return None if _is_null(old) else self.of[kind].get(str(old))

    def column(self, kind: str, old: pd.Series[Any]) -> pd.Series[Any]:
        """Give new names for a column."""
        return old.map(dict(self.of[kind]), na_action="ignore").astype("str")

    def subject(self, old: Any) -> str | None:  # noqa: ANN401 - a cell
        """Rename the object of an incident: ``pod/NAME``, ``node/NAME`` or a name."""
        if _is_null(old):
            return None
        kind, slash, name = str(old).rpartition("/")
        for one in (kind,) if slash else ("pod", "node"):
            new = self.of[one].get(name) if one in {"pod", "node"} else None
            if new is not None:
                return f"{kind}{slash}{new}"
        return None

    def at(self, old: Any) -> Any:  # noqa: ANN401 - a stamp or None
        """Shift a stamp."""
        return None if _is_null(old) else int(old) + self.shift_ns


def anonymised(run: Run, *, shift_times: bool = False) -> Run:
    """Replace all names in a run, and leave out fields that no number depends on.

    A summary of it has the same numbers, but nodes have no labels any more. If
    `shift_times`, all stamps are shifted, so that the day is not given away. The result
    has the same rows; its `path` is still that of the original.
    """
    names = _Names.in_run(run, shift_times=shift_times)
    return replace(
        run,
        meta=_meta(run, names),
        updates=_shifted(run.updates, names).assign(
            configmap=names.column("configmap", run.updates["configmap"]),
            status=_statuses(run.updates),
            purpose=run.updates["purpose"].where(
                run.updates["purpose"] == "trial", "scramble"
            ),
            resource_version=_nothing(run.updates),
            error=_nothing(run.updates),
        ),
        publications=_shifted(run.publications, names).assign(
            **{
                name: names.column(name, run.publications[name])
                for name in ("node", "pod", "uid", "container", "consumer", "configmap")
            }
        ),
        clock=_shifted(run.clock, names).assign(
            node=names.column("node", run.clock["node"])
        ),
        events=_events(run.events, names),
    )


def run_id_of(run: Run) -> str:
    """Name a copy by its content: the run's owner can check that it is of the run."""
    rows = pd.util.hash_pandas_object(run.publications[["seq", "published_ns"]])
    digest = hashlib.sha256(rows.to_numpy().tobytes()).hexdigest()
    return f"anonymous-{digest[:12]}"


def _meta(run: Run, names: _Names) -> dict[str, Any]:
    """Pick the keys of run.json that may be given away."""
    meta = run.meta
    nodes = names.of["node"]
    plan, host = meta.get("plan") or {}, meta.get("host") or {}
    kept: dict[str, Any] = {
        "format": schema.FORMAT,
        "run_id": run_id_of(run),
        "target": _one_of(str(meta.get("target")).partition(":")[0], _TARGETS),
        "modelled": bool(meta.get("modelled")),
        "plan": {name: _number(plan.get(name)) for name in _PLAN},
        **{name: _number(meta[name]) for name in _COUNTS if name in meta},
        "started_utc": _utc(meta.get("started_utc"), names),
        "ended_utc": _utc(meta.get("ended_utc"), names),
        "status": _one_of(meta.get("status"), _STATUSES),
        "kubernetes": _matching(meta.get("kubernetes"), _VERSION),
        "kubelets": {
            nodes[node]: _matching(version, _VERSION)
            for node, version in (meta.get("kubelets") or {}).items()
        },
        "settings": {
            nodes[node]: _setting(entry)
            for node, entry in (meta.get("settings") or {}).items()
        },
        "packages": {
            "cmhot": _matching((meta.get("packages") or {}).get("cmhot"), _VERSION)
        },
        "host": {"system": _one_of(host.get("system"), ("Linux", "Darwin"))},
        "checks": {
            name: _check(found)
            for name, found in (meta.get("checks") or {}).items()
            if re.fullmatch(r"[a-z_]+", name)
        },
        **{name: names.at(meta[name]) for name in _INSTANTS if name in meta},
    }
    if meta.get("pods") is not None:
        kept["pods"] = [
            {
                name: names.name(name, entry[name])
                for name in names.of
                if not _is_null(entry.get(name))
            }
            for entry in meta["pods"]
        ]
    return {**kept, "anonymised": True}


def _statuses(updates: pd.DataFrame) -> pd.Series[Any]:
    """Give the status of each write; an unknown one is derived from its stamps."""
    status = updates["status"]
    by_stamps = np.select(
        [updates["acked_ns"].notna(), updates["sent_ns"].notna()],
        ["acked", "failed"],
        "not_sent",
    )
    known = status.isin(["acked", "failed", "not_sent"])
    return status.where(known, pd.Series(by_stamps, index=status.index)).astype("str")


def _events(events: pd.DataFrame, names: _Names) -> pd.DataFrame:
    """Keep an incident's instant, kind and object, and the ends of a gap."""
    details = [
        {name: names.at(detail[name]) for name in ("from_ns", "to_ns")}
        if isinstance(detail, dict)
        and all(isinstance(detail.get(name), int) for name in ("from_ns", "to_ns"))
        else None
        for detail in events["detail"]
    ]
    return _shifted(events, names).assign(
        kind=events["kind"].where(events["kind"].isin(KINDS), "other"),
        object=pd.Series([names.subject(one) for one in events["object"]], dtype="str"),
        detail=pd.Series(details, dtype="object"),
    )


def _setting(entry: Mapping[str, Any]) -> dict[str, Any]:
    strategies = tuple(one.value for one in Strategy)
    found = {
        "sync_frequency_s": _number(entry.get("sync_frequency_s")),
        "strategy": _one_of(entry.get("strategy"), strategies),
        "ttl_s": _number(entry.get("ttl_s")),
        "source": _one_of(entry.get("source"), SOURCES),
        "kubelet": _matching(entry.get("kubelet"), _VERSION),
        "runtime": _matching(entry.get("runtime"), _RUNTIME),
    }
    optional = ("kubelet", "runtime", "source")
    return {k: v for k, v in found.items() if v is not None or k not in optional}


def _check(found: Any) -> Any:  # noqa: ANN401 - a verdict, or a count of older runs
    if isinstance(found, dict):
        return {
            name: found.get(name) if name == "passed" else _number(found.get(name))
            for name in ("passed", "value", "limit")
            if name != "passed" or isinstance(found.get(name), bool | None)
        }
    return _number(found)


def _shifted(frame: pd.DataFrame, names: _Names) -> pd.DataFrame:
    """Shift the instants of a table; offsets and bounds are not instants."""
    instants = [
        str(name)
        for name in frame
        if str(name).endswith("_ns") and name not in {"offset_ns", "bound_ns"}
    ]
    return frame.assign(**{name: frame[name] + names.shift_ns for name in instants})


def _shift_ns(run: Run) -> int:
    """Give the whole seconds from a run's beginning to `BEGIN_NS`, in ns."""
    stamps = [run.updates["sent_ns"].min(), run.publications["published_ns"].min()]
    known = [int(stamp) for stamp in stamps if not _is_null(stamp)]
    first_s = min(known, default=BEGIN_NS) // NS_PER_S
    return BEGIN_NS - first_s * NS_PER_S


def _numbered(kind: str, names: set[str]) -> dict[str, str]:
    """Give numbers for names, so that the new ones sort as the old ones."""
    width = len(str(len(names)))
    return {
        name: f"{kind}-{number:0{width}d}"
        for number, name in enumerate(sorted(names), start=1)
    }


def _nothing(frame: pd.DataFrame) -> pd.Series[Any]:
    return pd.Series([None] * len(frame), index=frame.index, dtype="str")


def _utc(value: Any, names: _Names) -> str | None:  # noqa: ANN401 - a value of run.json
    try:
        at = np.datetime64(str(value).removesuffix("Z"), "ms")
    except ValueError:
        return None
    return f"{at + np.timedelta64(names.shift_ns // 1_000_000, 'ms')}Z"


def _one_of(value: Any, known: tuple[str, ...]) -> str | None:  # noqa: ANN401
    return value if value in known else None


def _matching(value: Any, form: re.Pattern[str]) -> str | None:  # noqa: ANN401
    found = form.match(value) if isinstance(value, str) else None
    return None if found is None else found.group()


def _number(value: Any) -> float | int | bool | None:  # noqa: ANN401
    return value if isinstance(value, int | float) else None


def _is_null(value: Any) -> bool:  # noqa: ANN401
    return value is None or bool(pd.isna(value))
