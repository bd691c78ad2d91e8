"""What all figures share: colours, marks, refusals, and where they say "modelled"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from cmhot.errors import UsageError
from cmhot.plots.words import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    Floats = npt.NDArray[np.float64]
    Estimates = tuple[Floats, Floats, Floats]

LINES: tuple[Literal["-", "--", "-.", ":"], ...] = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "<", ">", "P", "X", "*", "h")
"""Told apart without colour. They are no multiple of the colours, so that
a colour comes back with another marker."""
# Okabe and Ito's palette (jfly.uni-koeln.de/color), told apart by colour-blind readers.
# Of yellow on white, and of the deep blue on black, too little can be seen.
ON_LIGHT = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
ON_DARK = ("#56B4E9", "#E69F00", "#2BC79A", "#DD9BC0", "#F0E442", "#F08A4B")
_LUMA = (0.299, 0.587, 0.114)
_HALF = 0.5
_WIDE_IN = 6.0
_MARKS_FROM, _MARKS_APART = 0.04, 0.02
_FEWEST_MARKED = 8
_MARK_PT = 7
CURVE_PT = 5.0
"""Width of what was measured: the law, drawn on it, leaves its edges visible."""
_LAW_PT, _CASING_PT = 1.1, 2.4
_MARKER_PT = 8.0
_LABEL_GAP_PT = 4.0
HUES = len(ON_LIGHT)
"""So many series can have a colour each."""
_PT_PER_IN = 72
ROOM = 0.17
"""Room for a legend above the rows, as a share of their height."""


# before drawing


def need(table: pd.DataFrame, columns: Sequence[str], *, of: str) -> None:
    """Refuse a table that lacks a column or has no row; `of` names what makes it.

    Raises
    ------
    UsageError
        When it lacks one, or has no row.
    """
    absent = [name for name in columns if name not in table]
    if absent:
        msg = f"the table has no column {', '.join(absent)}: take the one of {of}"
        raise UsageError(msg)
    if table.empty:
        msg = f"the table has no row, so nothing can be drawn: take the one of {of}"
        raise UsageError(msg)


def axes_or_new(ax: Axes | None) -> Axes:
    """Give the Axes to draw on; None: new ones, of the user's pyplot."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt  # noqa: PLC0415 - it may want a window

    return plt.subplots()[1]


def column(
    table: pd.DataFrame, name: str, otherwise: Floats | float = np.nan
) -> Floats:
    """Give a column as numbers, with `otherwise` where a value or all are missing."""
    if name not in table:
        return np.full(len(table), otherwise)
    found = table[name].to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isnan(found), otherwise, found)


def estimates(rows: pd.DataFrame, name: str) -> Estimates:
    """Give a quantile of each row of `Summary.table`, by the best estimator known.

    Returns
    -------
    value, low, high
        Seconds, each of shape (n,); where a limit is not known, both are
        the value itself.
    """
    value = column(rows, f"intervals_{name}_s", column(rows, f"{name}_s"))
    low, high = (column(rows, f"intervals_{name}_s_{end}") for end in ("low", "high"))
    known = ~(np.isnan(low) | np.isnan(high))
    return value, np.where(known, low, value), np.where(known, high, value)


# colours and marks


def colour(ax: Axes, number: int) -> str:
    """Give the colour of the number-th series, from 0: a light one on dark Axes."""
    shares = zip(to_rgb(ax.get_facecolor()), _LUMA, strict=True)
    is_dark = sum(part * weight for part, weight in shares) < _HALF
    palette = ON_DARK if is_dark else ON_LIGHT
    return palette[number % len(palette)]


def marker(number: int) -> str:
    """Give the marker of the number-th series, from 0."""
    return MARKERS[number % len(MARKERS)]


def ink() -> str:
    """Give the colour of words and of laws."""
    return str(mpl.rcParams["text.color"])


def marked_curve(ax: Axes, number: int, *, of: int, kind: int) -> dict[str, Any]:
    """Give the marks of the number-th of some curves, those of the kind-th look.

    Curves that lie on each other have theirs at different places: in shares of the
    diagonal of the Axes, of which a mark is a hundredth wide.
    """
    return {
        "marker": marker(kind),
        "markeredgecolor": ax.get_facecolor(),
        "markeredgewidth": 0.7,
        "markersize": _MARKER_PT,
        "markevery": (
            _MARKS_FROM + _MARKS_APART * number,
            _MARKS_APART * max(_FEWEST_MARKED, of),
        ),
    }


# what is drawn


def draw_law(ax: Axes, t: Floats, share: Floats, *, label: str) -> None:
    """Draw the law over curves of shares, each dash edged with the paper's colour.

    So it stands out from a dark curve in print without colours, too.
    """
    edge = Stroke(linewidth=_CASING_PT, foreground=ax.get_facecolor())
    ax.plot(
        *(t, share),
        label=label,
        color=ink(),
        linewidth=_LAW_PT,
        linestyle="--",
        dash_capstyle="butt",
        path_effects=[edge, Normal()],
        zorder=3,
    )


def draw_estimates(
    ax: Axes,
    number: int,
    at: Floats,
    found: Estimates,
    *,
    upright: bool = True,
    **look: Any,  # noqa: ANN401 - as of Axes.errorbar
) -> None:
    """Draw values with their limits, as the number-th series.

    Upright ones stand above `at`, on the x axis; the others lie beside it, on the y.
    """
    value, low, high = found
    reach = np.abs(np.array([value - low, high - value]))
    own: dict[str, Any] = {
        "color": colour(ax, number),
        "linestyle": "none",
        "marker": marker(number),
        "capsize": 4,
        "zorder": 3,
    }
    look = own | look
    if upright:
        ax.errorbar(at, value, yerr=reach, markersize=7, **look)
    else:
        ax.errorbar(value, at, xerr=reach, markersize=8, **look)


def label_shares(ax: Axes, end: float, *, along: str = "delay", lang: str) -> None:
    """Set the y axis to shares up to 1, and the x axis to `along`, up to `end`."""
    ax.set_xlim(0, end)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel(say(along, lang))
    ax.set_ylabel(say("share", lang))


def label_decades(axis: Axis, *, at: Sequence[float] = (1, 2, 5)) -> None:
    """Label a logarithmic axis by plain numbers, at these multiples of ten's powers."""
    axis.set_major_locator(LogLocator(subs=at))
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def note_origin(ax: Axes, *, modelled: bool, lang: str) -> None:
    """Write on the figure that its numbers were modelled, if they were."""
    text = say("modelled, not measured", lang) if modelled else ""
    ax.set_title(text, loc="right", style="italic")


# words and legends


def behind(ax: Axes) -> dict[str, Any]:
    """Make the box behind a word that lines may cross."""
    return {"facecolor": ax.get_facecolor(), "alpha": 0.7, "pad": 1, "lw": 0}


def name_rows(
    ax: Axes, names: Sequence[str], *, up: float = 0.0, gap_pt: float = _MARK_PT
) -> None:
    """Name rows y = 0, 1 … inside the Axes, above each: there is no room beside.

    A name stands `up` rows and `gap_pt` points, a mark's height, above its row.
    """
    for y, name in enumerate(names):
        ax.annotate(
            name,
            (0.01, y - up),
            xycoords=ax.get_yaxis_transform(),
            xytext=(0, gap_pt),
            textcoords="offset points",
            va="bottom",
            linespacing=1.35,
            bbox=behind(ax),
        )
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.grid(visible=False, axis="y")


def place_above(
    ax: Axes, words: Sequence[str], at: Sequence[float]
) -> list[float] | None:
    """Say by how many points to move each word, so that they stand side by side.

    They begin centred on `at`, in shares of the width of the Axes, from left to right;
    none is moved further than it is wide. None: there is no room for that.
    """
    figure = ax.get_figure(root=True)
    if figure is None:
        return None
    per_px = _PT_PER_IN / figure.dpi
    whole_pt = ax.get_window_extent().width * per_px
    moves, end_pt = [], 0.0
    for word, share in zip(words, at, strict=True):
        text = ax.text(0, 0, word)
        wide_pt = text.get_window_extent().width * per_px
        text.remove()
        wanted_pt = min(share * whole_pt, whole_pt) - wide_pt / 2
        begin_pt = max(min(wanted_pt, whole_pt - wide_pt), end_pt)
        end_pt = begin_pt + wide_pt + _LABEL_GAP_PT
        moves.append(begin_pt + wide_pt / 2 - share * whole_pt)
        if abs(moves[-1]) > wide_pt or begin_pt + wide_pt > whole_pt:
            return None
    return moves


def law_entry(rows: pd.DataFrame, lang: str) -> list[Line2D]:
    """Give the legend's entry of the dashed lines, if a law is known."""
    laws = [name for name in rows if "law" in str(name).split("_")]
    if rows[laws].isna().all(axis=None):
        return []
    return [Line2D([], [], color="grey", linestyle="--", label=say("law", lang))]


def entries(ax: Axes, syncs: Sequence[str], ways: Sequence[str]) -> list[Line2D]:
    """Give a legend's entries of colours, a setting each, and of markers."""
    lines = [
        Line2D([], [], color=colour(ax, number), linewidth=CURVE_PT, label=sync)
        for number, sync in enumerate(syncs)
    ]
    return lines + [
        Line2D(
            *([], []),
            color="grey",
            linestyle="none",
            marker=marker(number),
            markersize=_MARKER_PT,
            label=way,
        )
        for number, way in enumerate(ways)
    ]


def legend_below(ax: Axes, *args: Any) -> None:  # noqa: ANN401 - as of Axes.legend
    """Put a legend where rising curves leave room; it pales the curves behind it."""
    ax.legend(
        *args,
        loc="lower right",
        handlelength=3.2,
        labelspacing=0.35,
        frameon=True,
        facecolor=ax.get_facecolor(),
        edgecolor="none",
        framealpha=0.8,
    )


def legend_above(
    ax: Axes, rows: int, *, handles: Sequence[Artist], columns: int
) -> None:
    """Leave room above rows y = 0, 1 … for a legend, and put it there.

    It has that many columns where the figure is wide, else two.
    """
    ax.set_ylim(rows - 0.4, -0.7 - ROOM * rows)
    figure = ax.get_figure(root=True)
    wide = figure is not None and figure.get_figwidth() >= _WIDE_IN
    ax.legend(
        handles=handles,
        loc="upper left",
        ncols=columns if wide else 2,
        borderaxespad=0.2,
        columnspacing=1.4,
        handletextpad=0.5,
    )
