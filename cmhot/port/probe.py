"""The probe: pods that note each publication of a ConfigMap, and how to read them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.placement import ANYWHERE
from cmhot.port.cluster import MANAGED_BY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cmhot.placement import Placement

CONTAINER = "probe"
FOLDER = "/etc/cmhot"
POLL_S = 0.25
"""How often a probe looks. The instant that it reports does not depend on this;
a second publication within it would be overlooked, which a sync interval
of at least a second excludes."""

DEFAULT_IMAGE = (
    "docker.io/library/busybox:1.36.1"
    "@sha256:73aaf090f3d85aa34ee199857f03fa3a95c8ede2ffd4cc2cdb5b94e566b11662"
)
"""On clusters that can pull, with the digest of the multi-architecture index
as public repositories pin it;
the testbed and ``--probe-image`` bring their own."""

RUN_LABEL = "cmhot.dev/run"
GROUP_LABEL = "cmhot.dev/group"
SCRAMBLE_ANNOTATION = "cmhot.dev/scramble"

_STAMPED = re.compile(r"(\S+Z) (start|publication|gap|unsupported) (.*)")
_UTC = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z| \+0000)")
_OURS = re.compile(r"[0-9]{1,18}")
"""A content of ours: a number below 10^18, which 64 bits hold."""
_PUBLICATION = re.compile(r"(.*) (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{9} [+-]\d{4})")


def script() -> str:
    """Return the probe's shell program, which ships with the package."""
    return resources.files("cmhot.port").joinpath("probe.sh").read_text()


def namespace_of(run_id: str) -> str:
    """Name the namespace that a run makes for itself: a label of RFC 1123."""
    words = re.sub(r"[^a-z0-9]+", "-", run_id.lower()).strip("-")
    return f"cmhot-{words}"[:63].rstrip("-")


def config_map(name: str, *, run_id: str) -> dict[str, Any]:
    """Make the ConfigMap that all probes share; its content is a number."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {**MANAGED_BY, RUN_LABEL: run_id}},
        "data": {"seq": "0"},
    }


def deployment(
    name: str,
    *,
    run_id: str,
    group: str,
    configmap: str,
    nodes: Sequence[str],
    replicas: int,
    image: str,
    pull_policy: str,
    placement: Placement = ANYWHERE,
) -> dict[str, Any]:
    """Make the Deployment of one group's probes.

    It satisfies the Pod Security standard *restricted*,
    asks for little and is held to little,
    and keeps sidecar injectors away, whose containers would add syncs.

    Parameters
    ----------
    name
        Name of the Deployment.
    run_id, group
        Label values.
    configmap
        The shared ConfigMap.
    nodes
        Host names of the nodes on which the probes may run, spread evenly over them;
        none: wherever the scheduler puts them.
    replicas
        Number of probes.
    image, pull_policy
        The image has ``sh``, ``stat`` and ``mkfifo``.
    placement
        Node selector, tolerations and pull secret.
    """
    labels = {**MANAGED_BY, RUN_LABEL: run_id, GROUP_LABEL: group}
    container = {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": pull_policy,
        "command": ["/bin/sh", "-c", script(), "probe", FOLDER, str(POLL_S)],
        "resources": {
            "requests": {"cpu": "2m", "memory": "4Mi"},
            "limits": {"cpu": "100m", "memory": "32Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "config", "mountPath": FOLDER, "readOnly": True}],
    }
    affinity = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {
                        "matchExpressions": [
                            {
                                "key": "kubernetes.io/hostname",
                                "operator": "In",
                                "values": list(nodes),
                            }
                        ]
                    }
                ]
            }
        }
    }
    pod = {
        "metadata": {
            "labels": labels,
            "annotations": {
                "sidecar.istio.io/inject": "false",
                "linkerd.io/inject": "disabled",
            },
        },
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            **({"affinity": affinity} if nodes else {}),
            **placement.to_pod_spec(),
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {
                        "matchLabels": {RUN_LABEL: run_id, GROUP_LABEL: group}
                    },
                }
            ],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "config", "configMap": {"name": configmap}}],
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {RUN_LABEL: run_id, GROUP_LABEL: group}},
            "template": pod,
        },
    }


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a probe's log.

    Attributes
    ----------
    kind
        ``start``, ``publication``, ``gap`` or ``unsupported``.
    read_ns
        When the runtime took the line, node clock, UTC epoch nanoseconds.
    seq
        Number that appeared (publications only); None: something else, not ours.
    published_ns
        lstat mtime of ``..data``, node clock, UTC epoch ns (publications only).
    detail
        The rest of the line.
    """

    kind: str
    read_ns: int
    seq: int | None = None
    published_ns: int | None = None
    detail: str = ""


def epoch_ns(text: str) -> int:
    """Read an instant with up to nine decimals exactly.

    Raises
    ------
    ValueError
        When it is none.
    """
    match = _UTC.fullmatch(text)
    if match is None:
        return int(pd.Timestamp(text).as_unit("ns").value)
    minute, second, decimals = match.groups()
    fraction_ns = int((decimals or "").ljust(9, "0"))
    return _minute_ns(minute) + int(second) * NS_PER_S + fraction_ns


@lru_cache(maxsize=1024)
def _minute_ns(text: str) -> int:
    """Read an instant to the minute; lines that follow each other share it."""
    return int(pd.Timestamp(text).as_unit("ns").value)


def parse_log(text: str) -> Iterator[Line]:
    """Read a probe's log as the API server gives it, with time stamps.

    Lines that are no probe's, and a last line that is torn, are passed over.
    """
    for line in text.splitlines():
        match = _STAMPED.fullmatch(line)
        if match is None:
            continue
        stamp, kind, rest = match.groups()
        if kind != "publication":
            yield Line(kind=kind, read_ns=epoch_ns(stamp), detail=rest)
            continue
        published = _PUBLICATION.fullmatch(rest)
        if published is not None:
            content = published[1]
            yield Line(
                kind=kind,
                read_ns=epoch_ns(stamp),
                seq=int(content) if _OURS.fullmatch(content) else None,
                published_ns=epoch_ns(published[2]),
                detail=content,
            )


def gap_bounds(line: Line) -> tuple[int, int]:
    """Return the first and last instant at which the probe did not look, in ns."""
    return line.read_ns - int(line.detail) * NS_PER_S, line.read_ns
