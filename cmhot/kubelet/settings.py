"""A kubelet's setting: the three knobs that decide when a pod sees an update."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from cmhot.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


class Strategy(StrEnum):
    """`configMapAndSecretChangeDetectionStrategy` of the kubelet configuration.

    Spelt as Kubernetes spells it (kubelet.config.k8s.io/v1beta1).
    """

    WATCH = "Watch"
    """The kubelet watches every ConfigMap that its pods use; the default."""
    GET = "Get"
    """The kubelet asks the API server at every sync of a pod."""
    CACHE = "Cache"
    """The kubelet keeps what it read for a time to live (TTL)."""


_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)")
_UNIT_S = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def parse_duration(text: str) -> float:
    """Read a duration as Go writes it (``1m30s``, ``500ms``), or bare seconds.

    Seconds, never negative.
    """
    stripped = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", stripped):
        return float(stripped)
    parts = _DURATION_PART.findall(stripped)
    if not parts or "".join(number + unit for number, unit in parts) != stripped:
        msg = (
            f"{text!r} is not a duration: write seconds or a Go duration, "
            "such as 10s, 1m30s or 500ms; it cannot be negative"
        )
        raise UsageError(msg)
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)


def format_seconds(seconds: float) -> str:
    """Write seconds without a needless decimal: ``10s``, ``0.5s``."""
    return f"{seconds:g}s"


MAX_PODS = 110
"""A kubelet's maxPods, by default."""
TTL_ANNOTATION = "node.alpha.kubernetes.io/ttl"
"""On a Node: written by the TTL controller (on a testbed by its start),
read by kubelets under the Cache strategy."""


@dataclass(frozen=True, slots=True, order=True)
class Setting:
    """The setting of one kubelet.

    Attributes
    ----------
    sync_frequency_s
        `syncFrequency` in seconds: the *least* time between two syncs of a pod.
    strategy
        How the kubelet learns that a ConfigMap changed.
    ttl_s
        Time to live of the Cache strategy's entries in seconds,
        from the node annotation ``node.alpha.kubernetes.io/ttl``.
        Without effect under Watch and Get.
        None: not known.
    """

    sync_frequency_s: float = 60.0
    strategy: Strategy = Strategy.WATCH
    ttl_s: float | None = 0.0

    def __post_init__(self) -> None:
        """Refuse what no kubelet accepts."""
        if not 0 < self.sync_frequency_s < math.inf:
            msg = (
                f"sync={self.sync_frequency_s:g} is not possible: a kubelet needs a "
                "syncFrequency above zero, such as sync=10s"
            )
            raise UsageError(msg)
        if self.ttl_s is not None and not 0 <= self.ttl_s < math.inf:
            msg = f"ttl={self.ttl_s:g} is not possible: a TTL is zero or more seconds"
            raise UsageError(msg)

    @property
    def label(self) -> str:
        """The node label ``cmhot.dev/setting``: ``sync-10s.watch.ttl-0``."""
        ttl = "unknown" if self.ttl_s is None else f"{self.ttl_s:g}"
        sync = format_seconds(self.sync_frequency_s)
        return f"sync-{sync}.{self.strategy.value.lower()}.ttl-{ttl}"

    def __str__(self) -> str:
        """Say it in the words of a figure's legend: ``10 s, Watch``."""
        text = f"{self.sync_frequency_s:g} s, {self.strategy.value}"
        if self.strategy is Strategy.CACHE and self.ttl_s is not None:
            text += f" (TTL {self.ttl_s:g} s)"
        return text


DEFAULT_SETTINGS = (
    Setting(5, Strategy.WATCH),
    Setting(10, Strategy.WATCH),
    Setting(20, Strategy.WATCH),
    Setting(10, Strategy.GET),
    Setting(10, Strategy.CACHE),
    Setting(),
)
"""What a testbed and the model have unless told otherwise: a sweep of `syncFrequency`
under Watch, the three strategies at 10 s, and last the kubelet's own default."""


def longest_below_default_s(settings: Iterable[Setting]) -> float:
    """Return the longest `syncFrequency` below the default, else the longest, seconds.

    What is tried many times is tried there: at the default it would take an hour.
    """
    known_s = [setting.sync_frequency_s for setting in settings]
    below_s = [one_s for one_s in known_s if one_s < Setting().sync_frequency_s]
    return max(below_s or known_s)


def parse_strategy(text: str) -> Strategy:
    """Find the strategy of that name, whatever its case."""
    for strategy in Strategy:
        if text.strip().lower() == strategy.value.lower():
            return strategy
    known = ", ".join(strategy.value for strategy in Strategy)
    msg = f"unknown strategy {text!r}: the kubelet knows {known}"
    raise UsageError(msg)


def parse_setting(text: str) -> Setting:
    """Read ``sync=10s,strategy=Cache,ttl=60`` as the command line gives it.

    Parts that are left out have the kubelet's defaults
    (60 s, Watch) and a TTL of 0, as on any cluster of up to 100 nodes.

    Raises
    ------
    UsageError
        For an unknown key, a key given twice or an impossible value.
    """
    given: dict[str, str] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        key = key.strip()
        if not equals or key not in {"sync", "strategy", "ttl"}:
            msg = (
                f"cannot read {part!r} in {text!r}: a node is written as "
                "sync=10s,strategy=Watch with an optional ttl=60"
            )
            raise UsageError(msg)
        if key in given:
            msg = f"{key!r} is given twice in {text!r}: keep one of them"
            raise UsageError(msg)
        given[key] = value
    return Setting(
        sync_frequency_s=parse_duration(given.get("sync", "60s")),
        strategy=parse_strategy(given.get("strategy", "Watch")),
        ttl_s=parse_duration(given.get("ttl", "0")),
    )
