"""How are results drawn: a table in, Axes out.

Drawing functions draw on the Axes they are given and change nothing else:
no file is written, no window opened, no style set (`cmhot.plots.files` does that).
Each figure says what was modelled, in English or in Chinese (`words`).

`figure` is what every named figure is; `publishing` lists them, and writes one with its
words and numbers. Each has a module of its own, such as `fleet`; `drawing` is what
these share, and `change` draws the page of a comparison.
"""

from __future__ import annotations

from cmhot.plots.change import before_and_after
from cmhot.plots.consumers import consumer_matrix
from cmhot.plots.costs import sync_costs
from cmhot.plots.delay_distribution import delay_distribution
from cmhot.plots.environment import environment_or_volume
from cmhot.plots.explorer import explore, measured_at, what_if
from cmhot.plots.figure import Description, Material, NamedFigure, Source
from cmhot.plots.fleet import fleet_maximum
from cmhot.plots.loads import law_limits
from cmhot.plots.phase import nodes_shown, publication_phase
from cmhot.plots.publishing import FIGURES, NAMES, Published, named, publish
from cmhot.plots.remedy_prices import remedies
from cmhot.plots.strategies import change_detection
from cmhot.plots.sweep import collapse, delay_by_sync_frequency
from cmhot.plots.timeline import update_timeline
from cmhot.plots.wrong_ways import wrong_ways

__all__ = [
    "FIGURES",
    "NAMES",
    "Description",
    "Material",
    "NamedFigure",
    "Published",
    "Source",
    "before_and_after",
    "change_detection",
    "collapse",
    "consumer_matrix",
    "delay_by_sync_frequency",
    "delay_distribution",
    "environment_or_volume",
    "explore",
    "fleet_maximum",
    "law_limits",
    "measured_at",
    "named",
    "nodes_shown",
    "publication_phase",
    "publish",
    "remedies",
    "sync_costs",
    "update_timeline",
    "what_if",
    "wrong_ways",
]
