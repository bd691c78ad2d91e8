"""The programs of a testbed: where each comes from, and how it gets here."""

from __future__ import annotations

from cmhot.cluster.testbed.programs.ensure import (
    Outlook,
    ensure_older_kubelet,
    ensure_programs,
    known_sources,
)
from cmhot.cluster.testbed.programs.search import Programs, Source

__all__ = [
    "Outlook",
    "Programs",
    "Source",
    "ensure_older_kubelet",
    "ensure_programs",
    "known_sources",
]
