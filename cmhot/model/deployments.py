"""What a Deployment's controller does next: which pods it makes, and which it ends.

As upstream's `rolling.go` and `recreate.go` do, with one ReplicaSet for each template
(pkg/controller/deployment); a pod counts as available as soon as it is Ready.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmhot.model.running import Running

HASH = "pod-template-hash"
"""Label that tells pods of one template from those of another."""
QUARTER = "25%"
"""Default of maxSurge and maxUnavailable."""


@dataclass(frozen=True, slots=True)
class Steps:
    """What is to be done now.

    Attributes
    ----------
    make
        How many pods of the present template.
    end
        Which pods.
    """

    make: int
    end: tuple[Running, ...]


def template_hash(template: Mapping[str, Any]) -> str:
    """Name a pod template by its content."""
    text = json.dumps(template, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def next_steps(
    deployment: Mapping[str, Any], pods: Sequence[Running], *, at_ns: int
) -> Steps:
    """Decide as the controller would.

    Parameters
    ----------
    deployment
        With its ``spec``.
    pods
        Of the Deployment, those that are ending as well.
    at_ns
        Now: who is Ready by then is available.
    """
    spec = deployment["spec"]
    wanted = int(spec.get("replicas", 1))
    own = template_hash(spec["template"])
    stay = [pod for pod in pods if pod.leaving_ns is None]
    new = [pod for pod in stay if pod.meta["labels"][HASH] == own]
    old = [pod for pod in stay if pod.meta["labels"][HASH] != own]
    if (spec.get("strategy") or {}).get("type") == "Recreate":
        gone = len(new) == len(pods)  # the last old one has ended
        return Steps(
            make=max(wanted - len(new), 0) if gone else 0,
            end=(*old, *_surplus(new, wanted, at_ns)),
        )
    surge, missing = _limits(spec, wanted)
    make = min(wanted - len(new), wanted + surge - len(stay))
    if not old:
        return Steps(make=max(wanted - len(new), 0), end=_surplus(new, wanted, at_ns))
    available = sum(pod.is_ready(at_ns) for pod in stay)
    unready = [pod for pod in old if not pod.is_ready(at_ns)]
    ready = [pod for pod in old if pod.is_ready(at_ns)]
    spare = max(available - (wanted - missing), 0)
    return Steps(make=max(make, 0), end=(*unready, *ready[:spare]))


def status_of(
    deployment: Mapping[str, Any], pods: Sequence[Running], *, at_ns: int
) -> dict[str, int]:
    """Write a Deployment's status: what ends is counted no more."""
    own = template_hash(deployment["spec"]["template"])
    stay = [pod for pod in pods if pod.leaving_ns is None]
    ready = sum(pod.is_ready(at_ns) for pod in stay)
    return {
        "observedGeneration": deployment["metadata"]["generation"],
        "replicas": len(stay),
        "updatedReplicas": sum(pod.meta["labels"][HASH] == own for pod in stay),
        "readyReplicas": ready,
        "availableReplicas": ready,
    }


def _surplus(pods: Sequence[Running], wanted: int, at_ns: int) -> tuple[Running, ...]:
    """Choose those to end when there are too many: first who is not Ready yet."""
    ordered = sorted(pods, key=lambda pod: pod.is_ready(at_ns))
    return tuple(ordered[: max(len(pods) - wanted, 0)])


def _limits(spec: Mapping[str, Any], wanted: int) -> tuple[int, int]:
    """Give maxSurge, rounded up, and maxUnavailable, rounded down; never both 0."""
    update = (spec.get("strategy") or {}).get("rollingUpdate") or {}
    surge = math.ceil(_share(update.get("maxSurge", QUARTER), wanted))
    missing = math.floor(_share(update.get("maxUnavailable", QUARTER), wanted))
    return surge, missing if surge or missing else 1


def _share(limit: int | str, wanted: int) -> float:
    if isinstance(limit, str):
        return int(limit.removesuffix("%")) * wanted / 100
    return limit
