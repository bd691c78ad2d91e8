"""The programs of a testbed: where each comes from, and how it gets here."""

from cmhot.testbed.programs.ensure import ensure_older_kubelet, ensure_programs
from cmhot.testbed.programs.outlook import Outlook, known_sources
from cmhot.testbed.programs.search import Programs, Source

__all__ = [
    "Outlook",
    "Programs",
    "Source",
    "ensure_older_kubelet",
    "ensure_programs",
    "known_sources",
]
