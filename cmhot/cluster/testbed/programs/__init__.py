"""The programs of a testbed: where each comes from, and how it gets here."""

from __future__ import annotations

from cmhot.cluster.testbed.programs.ensure import (
    Availability,
    Programs,
    ProgramSource,
    ensure_older_kubelet,
    ensure_programs,
    known_sources,
)

__all__ = [
    "Availability",
    "ProgramSource",
    "Programs",
    "ensure_older_kubelet",
    "ensure_programs",
    "known_sources",
]
