"""Where does each program of a testbed come from, and how does it get here.

Start at `ensure`, which tries the sources in turn: `cache` looks on this machine and
keeps what was fetched, `download` fetches pinned files, `build` compiles Go modules.
"""

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
