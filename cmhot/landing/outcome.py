"""How a wait goes, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.consumers.owners import REFRESHED
from cmhot.display import Page, Shown
from cmhot.landing.looking import State

if TYPE_CHECKING:
    from cmhot.consumers.owners import Owner
    from cmhot.consumers.reference import Reference
    from cmhot.landing.looking import Look, Part


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is.

    Attributes
    ----------
    pods, fresh
        That use the object; that hold its content in every container.
    within_s
        Seconds within which the others almost surely have it, by the law;
        None: not known.
    left_s
        Until the time is over.
    """

    pods: int
    fresh: int
    within_s: float | None
    left_s: float

    def __str__(self) -> str:
        """Say it for people: ``17 of 20 pods, expected within 41 s``."""
        text = f"{self.fresh} of {self.pods} pods"
        if self.within_s is None or self.fresh == self.pods:
            return text
        if self.within_s == 0:
            return f"{text}, later than the law allows for idle healthy pods"
        return f"{text}, expected within {self.within_s:.0f} s"


@dataclass(frozen=True, slots=True)
class Laggard:
    """A container that does not hold the content, or may not.

    Attributes
    ----------
    owner, pod, node, container
        Where.
    consumer, where
        Ways and places of the use, one after the other.
    updates
        Whether an update reaches it while it runs.
    why
        What was found.
    remedy
        What helps.
    """

    owner: Owner
    pod: str
    node: str | None
    container: str
    consumer: str
    where: str
    updates: bool
    why: str
    remedy: str

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"{self.pod}, container {self.container} "
            f"({self.consumer} {self.where}): {self.why}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Give it as an entry of ``wait --json``."""
        return {
            "workload": str(self.owner),
            "pod": self.pod,
            "node": self.node,
            "container": self.container,
            "consumer": self.consumer,
            "where": self.where,
            "updates": self.updates,
            "why": self.why,
            "remedy": self.remedy,
        }


@dataclass(frozen=True, slots=True, repr=False)
class Waited(Shown):
    """How it ended.

    Attributes
    ----------
    reference, namespace
        The object.
    landed
        Every consuming container holds the current content, as was seen from inside.
    pods, fresh
        That use it; that hold it in every container.
    stale
        Containers that hold something else.
    unknown
        Containers that cannot be looked into; they are never assumed to be fresh.
    ignored
        Containers that an update never reaches, left out on request.
    seconds
        That it took.
    changed
        Pods that were changed by looking (`ephemeral`).
    """

    reference: Reference
    namespace: str
    landed: bool
    pods: int
    fresh: int
    stale: tuple[Laggard, ...]
    unknown: tuple[Laggard, ...]
    ignored: int
    seconds: float
    changed: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Give it as ``wait --json`` does."""
        return {
            "object": str(self.reference),
            "namespace": self.namespace,
            "landed": self.landed,
            "pods": self.pods,
            "fresh": self.fresh,
            "stale": [one.to_dict() for one in self.stale],
            "unknown": [one.to_dict() for one in self.unknown],
            "ignored": self.ignored,
            "seconds": self.seconds,
            "changed": list(self.changed),
        }

    def to_text(self) -> str:
        """Write it for people."""
        lines = [self.heading]
        for title, some in (("stale", self.stale), ("unknown", self.unknown)):
            lines += [f"{title}: {one}" for one in some]
        return "\n".join([*lines, *self._notes()])

    @property
    def heading(self) -> str:
        """The verdict in a sentence."""
        verdict = "has landed in" if self.landed else "has NOT landed: it is in"
        return (
            f"{self.reference} {verdict} {self.fresh} of {self.pods} pods, "
            f"seen from inside after {self.seconds:.1f} s"
        )

    def page(self) -> Page:
        """Show the verdict, who lags behind, and what helps."""
        rows = [
            {
                "": title,
                "pod": one.pod,
                "node": one.node or "",
                "container": one.container,
                "consumer": one.consumer,
                "where": one.where,
                "why": one.why,
            }
            for title, some in (("stale", self.stale), ("unknown", self.unknown))
            for one in some
        ]
        return Page(self.heading, rows, self._notes())

    def _notes(self) -> list[str]:
        laggards = (*self.stale, *self.unknown)
        notes = [] if self.pods or self.landed else ["no running pod uses it now"]
        notes += [
            f"remedy: {one}" for one in dict.fromkeys(one.remedy for one in laggards)
        ]
        if self.ignored:
            notes.append(
                f"left out: {self.ignored} uses that no update reaches (env, subPath)"
            )
        if self.changed:
            notes.append(
                f"changed by looking: {', '.join(self.changed)} got an ephemeral "
                "container, which synced the pod and stays until it goes"
            )
        return notes


def laggard_of(owner: Owner, part: Part, seen: Look, namespace: str) -> Laggard:
    """Say who lags behind, why, and what helps."""
    return Laggard(
        owner=owner,
        pod=part.name,
        node=part.pod["spec"].get("nodeName"),
        container=part.container,
        consumer=", ".join(dict.fromkeys(use.way.value for use in part.uses)),
        where=", ".join(use.key_or_path for use in part.uses),
        updates=part.updates,
        why=seen.why if part.updates else f"{seen.why}; no update reaches it",
        remedy=seen.remedy or _remedy(owner, part, seen, namespace),
    )


def _remedy(owner: Owner, part: Part, seen: Look, namespace: str) -> str:
    if seen.state is State.BLIND:
        return (
            "look through an ephemeral container (--ephemeral, which changes the pod), "
            "or take an image with cat"
        )
    if seen.state is State.WAITING:
        return f"see why it does not run: kubectl describe pod {part.name}"
    known = owner.kind in REFRESHED
    if not part.updates and known:
        return f"cmhot refresh {owner} -n {namespace} --method rollout"
    if not part.updates:
        return f"delete the pod: kubectl delete pod {part.name} -n {namespace}"
    if known:
        return (
            f"wait longer, or: cmhot refresh {owner} -n {namespace} --method annotate"
        )
    return f"wait longer, or: kubectl annotate pod {part.name} cmhot.dev/refreshed=now"
