"""What a refresh would do, what it did, and whether it helped."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from cmhot.display import Page, Shown

if TYPE_CHECKING:
    from cmhot.consumers.owners import Owner
    from cmhot.landing.outcome import Waited


class Method(StrEnum):
    """How pods are brought to see an update at once."""

    ANNOTATE = "annotate"
    """Touch each pod: that syncs it, and a sync reads its volumes."""
    ROLLOUT = "rollout"
    """Change the template: the workload replaces its pods by its strategy."""
    RECREATE = "recreate"
    """Scale to nothing and back: there are no pods in between."""


@dataclass(frozen=True, slots=True, repr=False)
class Refreshed(Shown):
    """How a refresh went.

    Attributes
    ----------
    owner, namespace
        The workload.
    method
        How.
    dry_run
        Whether nothing was done, and `steps` says what would be.
    steps
        What was done, in order.
    warnings
        What to know about it.
    pods
        That the workload had.
    writes
        Requests that changed something.
    acted_s
        Seconds from the call until all of it was done; None: a dry run.
    seconds
        Seconds from the call until it was verified.
    restored
        Replicas that an earlier call had left at nothing, and this one brought back;
        None: there was none.
    verified
        What was seen from inside the pods afterwards, object by object.
    """

    owner: Owner
    namespace: str
    method: Method
    dry_run: bool
    steps: tuple[str, ...]
    warnings: tuple[str, ...]
    pods: int
    writes: int = 0
    acted_s: float | None = None
    seconds: float = 0.0
    restored: int | None = None
    verified: tuple[Waited, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all that was looked at has landed; a dry run is fine."""
        return all(one.landed for one in self.verified)

    def to_dict(self) -> dict[str, Any]:
        """Give it as ``refresh --json`` does."""
        return {
            "workload": str(self.owner),
            "namespace": self.namespace,
            "method": self.method.value,
            "dry_run": self.dry_run,
            "ok": self.ok,
            "steps": list(self.steps),
            "warnings": list(self.warnings),
            "pods": self.pods,
            "writes": self.writes,
            "acted_s": self.acted_s,
            "seconds": self.seconds,
            "restored": self.restored,
            "verified": [one.to_dict() for one in self.verified],
        }

    def to_text(self) -> str:
        """Write it for people."""
        would = "would " * self.dry_run
        lines = [self._heading()]
        lines += [f"  {would}{step}" for step in self.steps]
        lines += [f"! {warning}" for warning in self.warnings]
        lines += [one.to_text() for one in self.verified]
        return "\n".join([*lines, *self._durations()])

    def page(self) -> Page:
        """Show what was done, and who lags behind in spite of it."""
        would = "would " * self.dry_run
        pages = [one.page() for one in self.verified]
        notes = [
            *(f"{would}{step}" for step in self.steps),
            *self.warnings,
            *(line for one in pages for line in (one.heading, *one.notes)),
            *self._durations(),
        ]
        return Page(self._heading(), [row for one in pages for row in one.rows], notes)

    def _heading(self) -> str:
        would = "would " * self.dry_run
        return f"{self.owner} in {self.namespace}, {self.method} {would}".rstrip()

    def _durations(self) -> list[str]:
        if self.acted_s is None:
            return []
        return [f"done after {self.acted_s:.1f} s, verified after {self.seconds:.1f} s"]
