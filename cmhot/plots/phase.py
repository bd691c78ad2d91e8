"""When in the second kubelets publish: on the tick of their process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cmhot.clock import NS_PER_S
from cmhot.plots.look import (
    axes_or_new,
    colour,
    ink,
    legend_above,
    name_rows,
    need,
    note_origin,
    rows_of,
)
from cmhot.plots.words import say
from cmhot.statistics import phase_coherence

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from matplotlib.axes import Axes

    Floats = npt.NDArray[np.float64]

_BINS = 50
_MOST_ROWS = 8
_HEIGHT = 0.5  # of a row


def publication_phase(
    publications: pd.DataFrame,
    *,
    ax: Axes | None = None,
    modelled: bool = False,
    lang: str = "en",
) -> Axes:
    """Draw when in their second publications fall, a row per node.

    Of many nodes the eight with most publications are shown, and the figure says so.

    Parameters
    ----------
    publications
        With columns ``node`` and ``published_ns``: publications of a run,
        or its refresh intervals.
    ax
        Where to draw; None: new Axes.
    modelled
        Whether the run is of the model; the figure then says so.
    lang
        Language of the words, ``en`` or ``zh``.

    Returns
    -------
    Axes
        The Axes drawn on.

    Raises
    ------
    UsageError
        When the table lacks a column, or has no row.
    """
    need(publications, ["node", "published_ns"], of="a run's publications")
    ax = axes_or_new(ax)
    edges = np.linspace(0, 1, _BINS + 1)
    shown, nodes = nodes_shown(publications), publications["node"].nunique()
    by_node = dict(iter(publications.groupby("node", observed=True)["published_ns"]))
    shares = [_shares(by_node[node], edges) for node in shown["node"]]
    top = max(float(one.max()) for one in shares)
    names = []
    for y, (row, share) in enumerate(zip(rows_of(shown), shares, strict=True)):
        height = share / top * _HEIGHT
        ax.stairs(y - height, edges, baseline=y, fill=True, color=colour(ax, 0))
        ax.hlines(y, 0, 1, color=ink(), linewidth=0.8)
        ax.hlines(
            y - _HEIGHT / _BINS / top,
            0,
            1,
            color=ink(),
            linewidth=1,
            linestyle="--",
            label="" if y else say("even", lang),
        )
        names.append(
            say("coherence", lang, name=str(row["node"]), value=row["coherence"])
        )
    ax.set_xlim(0, 1)
    name_rows(ax, names, up=_HEIGHT, gap_pt=1)
    ax.set_xlabel(say("phase", lang))
    ax.set_ylabel(say("rows of phases", lang, top=100 * top))
    if len(shown) < nodes:
        some = say("some of", lang, some=len(shown), all=nodes)
        ax.set_title(some, loc="left")
    note_origin(ax, modelled=modelled, lang=lang)
    handles, _ = ax.get_legend_handles_labels()
    legend_above(ax, len(shown), handles=handles, columns=1)
    ax.set_ylim(bottom=len(shown) - 0.85)
    return ax


def nodes_shown(publications: pd.DataFrame) -> pd.DataFrame:
    """Pick the nodes that `publication_phase` shows: those with most publications.

    Returns
    -------
    DataFrame
        As `cmhot.statistics.phase_coherence` gives it, at most eight rows, by name.
    """
    coherence = phase_coherence(publications)
    return coherence.nlargest(_MOST_ROWS, "n").sort_values("node", kind="stable")


def _shares(stamps: pd.Series[int], edges: Floats) -> Floats:
    """Give the share of instants in each part of the second."""
    phase = (stamps.to_numpy(dtype=np.int64) % NS_PER_S) / NS_PER_S
    return np.histogram(phase, edges)[0] / len(phase)
