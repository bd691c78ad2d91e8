"""Pages to look at: a report and a comparison, of a run that was really measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cmhot.clock import VirtualClock
from cmhot.errors import CheckError
from cmhot.plots.publishing import publish
from cmhot.report.comparison_page import compare_report
from cmhot.report.folder import PARTS, Manifest
from cmhot.report.make import finish
from cmhot.report.steps import Step
from cmhot.statistics.summarise import summarise

if TYPE_CHECKING:
    from collections.abc import Sequence

RUN = Path(__file__).parents[2] / "data" / "testbed-2026-11-24" / "main"
FIGURES = (
    "delay-distribution",
    "sync-frequency",
    "collapse",
    "change-detection",
    "fleet",
    "timeline",
    "phase",
)
"""Those that a run alone gives."""


def make_report_page(folder: Path, *, names: Sequence[str] = FIGURES) -> Path:
    """Make a report's page with every kind of block, a failed notebook included.

    No notebook is executed: what they would have left is put in place.
    """
    made = folder / "report"
    for part in PARTS:
        (made / part).mkdir(parents=True)
    (made / "runs" / "main").symlink_to(RUN)
    manifest = Manifest.begin(
        made,
        steps=[Step(f"0{number}-a", {}) for number in range(3)],
        runs=["runs/main"],
        order={},
        left_out={"06-force-it": "it takes long; the full profile includes it."},
    )
    for name in names:
        publish(name, out=made / "figures", runs=[RUN])
    done, failed, unanswered = manifest.entries.values()
    done.status, done.figures = "done", list(names)
    failed.status, failed.error = "failed", "AssertionError: the law does not hold"
    unanswered.status, unanswered.error = "unanswered", "one syncFrequency only"
    with pytest.raises(CheckError, match="the law does not hold"):
        finish(manifest, summarise([RUN]), VirtualClock())
    return made / "index.html"


def make_comparison_page(folder: Path) -> Path:
    """Make a comparison's page, of a run with itself."""
    return compare_report(RUN, RUN, out=folder, clock=VirtualClock())
