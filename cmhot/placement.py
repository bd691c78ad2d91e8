"""Where probes may run, and with which credentials their image is pulled.

Written on the command line as `kubectl` writes it:
a toleration as ``KEY[=VALUE][:EFFECT]``, a node selector as ``LABEL=VALUE``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KEEPING_OUT = ("NoSchedule", "NoExecute")
"""Effects of a taint that keep a pod off a node; PreferNoSchedule only asks."""
EFFECTS = (*KEEPING_OUT, "PreferNoSchedule")


@dataclass(frozen=True, slots=True)
class Toleration:
    """A taint that the probes do not mind.

    Attributes
    ----------
    key
        Of the taint; None: any.
    value
        Of the taint; None: any.
    effect
        One of `EFFECTS`; None: any.
    """

    key: str | None = None
    value: str | None = None
    effect: str | None = None

    def to_dict(self) -> dict[str, str]:
        """Return the toleration as a pod's specification has it."""
        said = {"key": self.key, "value": self.value, "effect": self.effect}
        return {
            **{name: text for name, text in said.items() if text is not None},
            "operator": "Exists" if self.value is None else "Equal",
        }

    def covers(self, taint: Mapping[str, Any]) -> bool:
        """Tell whether a pod with it may run beside a taint of a node."""
        return (
            self.key in {None, taint["key"]}
            and self.value in {None, taint.get("value", "")}
            and self.effect in {None, taint["effect"]}
        )


def parse_toleration(text: str) -> Toleration:
    """Read ``KEY[=VALUE][:EFFECT]``; ``*`` tolerates every taint.

    Raises
    ------
    UsageError
        Without a key, or with an effect that Kubernetes does not know.
    """
    if text == "*":
        return Toleration()
    pair, colon, effect = text.partition(":")
    key, equals, value = pair.partition("=")
    if not key or (colon and effect not in EFFECTS):
        msg = (
            f"cannot read the toleration {text!r}: write KEY[=VALUE][:EFFECT] with an "
            f"effect of {', '.join(EFFECTS)}, or * for every taint"
        )
        raise UsageError(msg)
    return Toleration(key, value if equals else None, effect or None)


def parse_label(text: str) -> tuple[str, str]:
    """Read ``LABEL=VALUE``.

    Raises
    ------
    UsageError
        When it is something else.
    """
    key, equals, value = text.partition("=")
    if not key or not equals:
        msg = f"cannot read the node selector {text!r}: write LABEL=VALUE"
        raise UsageError(msg)
    return key, value


@dataclass(frozen=True, slots=True)
class Placement:
    """Where probes may run.

    Attributes
    ----------
    node_selector
        Labels that a node must have, as pairs.
    tolerations
        Taints that a node may have.
    image_pull_secret
        Secret of the namespace with which the image is pulled; None: none is needed.
    """

    node_selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    image_pull_secret: str | None = None

    def takes(self, node: Mapping[str, Any]) -> bool:
        """Tell whether a probe may be scheduled to a Node."""
        spec, labels = node["spec"], node["metadata"].get("labels") or {}
        return (
            not spec.get("unschedulable")
            and all(labels.get(key) == value for key, value in self.node_selector)
            and not self.untolerated(node)
        )

    def untolerated(self, node: Mapping[str, Any]) -> list[str]:
        """List the taints that keep the probes off a node, as `kubectl` writes them."""
        return [
            f"{taint['key']}={taint.get('value', '')}:{taint['effect']}"
            for taint in node["spec"].get("taints") or []
            if taint["effect"] in KEEPING_OUT
            and not any(one.covers(taint) for one in self.tolerations)
        ]

    def to_pod_spec(self) -> dict[str, Any]:
        """Return the fields of a pod's specification that say so."""
        spec: dict[str, Any] = {}
        if self.node_selector:
            spec["nodeSelector"] = dict(self.node_selector)
        if self.tolerations:
            spec["tolerations"] = [one.to_dict() for one in self.tolerations]
        if self.image_pull_secret is not None:
            spec["imagePullSecrets"] = [{"name": self.image_pull_secret}]
        return spec


ANYWHERE = Placement()
"""On every node that takes pods without being asked to."""


def make_placement(
    *,
    node_selector: Iterable[str] = (),
    tolerations: Iterable[str] = (),
    image_pull_secret: str | None = None,
) -> Placement:
    """Make a placement from what the command line gives.

    Raises
    ------
    UsageError
        When a part cannot be read.
    """
    return Placement(
        node_selector=tuple(parse_label(text) for text in node_selector),
        tolerations=tuple(parse_toleration(text) for text in tolerations),
        image_pull_secret=image_pull_secret,
    )
