"""Where a collection writes down what happens, and by which clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.collecting.incidents import Incident

if TYPE_CHECKING:
    from cmhot.collecting.steady import SteadyClock
    from cmhot.runs.rundir import RunWriter


@dataclass(frozen=True, slots=True)
class Record:
    """A run directory under way.

    Attributes
    ----------
    writer
        Of the run directory.
    clock
        Of the run.
    """

    writer: RunWriter
    clock: SteadyClock

    def event(self, kind: str, name: str, detail: dict[str, Any]) -> None:
        """Tell of an incident now."""
        self.add(Incident(self.clock.utc_ns(), kind, name, detail))

    def add(self, incident: Incident) -> None:
        """Tell of an incident."""
        self.writer.append_event(incident.row())
