"""The share of updates seen within t, in one panel or in one for each setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np

from cmhot.errors import UsageError
from cmhot.runs import schema
from cmhot.runs.expected import expected_law
from cmhot.statistics import GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt
    import pandas as pd
    from matplotlib.axes import Axes

    from cmhot.law import Law

    Floats = npt.NDArray[np.float64]

# Okabe and Ito's palette: told apart by colour-blind readers,
# and with the markers also in black and white. Its yellow is too pale for a line.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_CORNERS = 501  # of a curve: more cannot be seen, and make a large SVG
_MARKERS = ("o", "s", "^", "D", "v")


def delay_distribution(
    delays: pd.DataFrame,
    *,
    ax: Axes | None = None,
    laws: bool = True,
    modelled: bool = False,
) -> Axes:
    """Draw the share of updates seen within t, a curve per setting and consumer.

    An update that was waited for until the end counts as not seen,
    so a curve may end below 1.
    For settings that differ much in S, `delay_by_setting` shows the shapes better.

    Parameters
    ----------
    delays
        As `cmhot.runs.delays.delays` gives it.
    ax
        Where to draw; None: new Axes.
    laws
        Whether to draw the law over each curve, where one is known.
    modelled
        Whether the delays come from the model; the figure then says so.

    Returns
    -------
    Axes
        The Axes drawn on.

    Raises
    ------
    UsageError
        When the table has no delay that was observed or waited for.
    """
    if ax is None:
        _, ax = plt.subplots()
    curves = list(_curves(delays))
    end_s = max(_end_s(law, delay_s) for _, law, delay_s, _ in curves)
    for number, (label, _, delay_s, waited) in enumerate(curves):
        x, share = _ecdf(delay_s, waited, end_s=end_s)
        ax.step(
            x,
            share,
            where="post",
            color=_COLOURS[number % len(_COLOURS)],
            linewidth=2.4,
            marker=_MARKERS[number % len(_MARKERS)],
            markeredgecolor="white",
            markersize=7,
            markevery=(0.05 + 0.02 * number, 0.16),  # of the axes: never on each other
            label=label,
        )
    for _, law, _, _ in curves if laws else []:
        if law is not None:
            _draw_law(ax, law)
    _dress(ax, end_s=end_s)
    ax.set_title("modelled, not measured" if modelled else "", loc="right")
    handles, labels = ax.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    ax.legend(once.values(), once.keys(), loc="lower right", handlelength=3.2)
    return ax


def delay_by_setting(
    delays: pd.DataFrame,
    *,
    axes: Sequence[Axes] | None = None,
    laws: bool = True,
    modelled: bool = False,
) -> npt.NDArray[np.object_]:
    """Draw small multiples: a panel per setting and consumer, each with its own scale.

    The dots say by when half, and by when 99 %, of the updates were seen.

    Parameters
    ----------
    delays
        As `cmhot.runs.delays.delays` gives it.
    axes
        Where to draw, at least one per setting and consumer; None: new Axes.
    laws
        Whether to draw the law over each curve, where one is known.
    modelled
        Whether the delays come from the model; the figure then says so.

    Returns
    -------
    array
        The Axes drawn on, in order of the setting.

    Raises
    ------
    UsageError
        When the table has no delay that was observed or waited for,
        or there are fewer Axes than panels.
    """
    curves = list(_curves(delays))
    panels = _panels(len(curves)) if axes is None else axes
    if len(panels) < len(curves):
        msg = f"{len(curves)} settings need as many Axes, and {len(panels)} were given"
        raise UsageError(msg)
    for ax, (label, law, delay_s, waited) in zip(panels, curves, strict=False):
        end_s = _end_s(law, delay_s)
        x, share = _ecdf(delay_s, waited, end_s=end_s)
        source = "modelled" if modelled else "measured"
        ax.step(x, share, where="post", color=_COLOURS[0], linewidth=3, label=source)
        if laws and law is not None:
            _draw_law(ax, law)
        _dress(ax, end_s=end_s)
        _mark(ax, x, share, p=0.5, words="half by", offset=(12, -4))
        _mark(ax, x, share, p=0.99, words="99 % by", offset=(-48, -38))
        ax.set_title(f"{label} (modelled)" if modelled else label, loc="left")
        place = ax.get_subplotspec()
        if place is not None and not place.is_first_col():
            ax.set_ylabel("")
    panels[0].legend(loc="lower right")
    return np.array([*panels[: len(curves)]], dtype=object)


def _curves(
    delays: pd.DataFrame,
) -> Iterator[tuple[str, Law | None, Floats, int]]:
    """Give label, law, observed delays in seconds, and how many were waited for."""
    kept = delays[delays["status"].isin(["observed", "timeout"])]
    if kept.empty:
        msg = "no delays to draw: the table has no row that is observed or a timeout"
        raise UsageError(msg)
    several = len(kept["consumer"].unique()) > 1
    for key, own in kept.groupby(GROUP, dropna=False):
        population = dict(zip(GROUP, key, strict=True))
        setting = schema.setting_of(population)
        label = "unknown setting" if setting is None else str(setting)
        yield (
            f"{label}, {population['consumer']}" if several else label,
            expected_law(own),
            np.sort(own["delay_s"].dropna().to_numpy(dtype=np.float64)),
            len(own),
        )


def _ecdf(delay_s: Floats, waited: int, *, end_s: float) -> tuple[Floats, Floats]:
    """Give the corners of the share seen, from 0 on; of many, an even choice.

    A curve that does not reach 1 goes on to the end: its delays are longer.
    """
    x = np.concatenate([[0.0], delay_s])
    x[0] = x.min()
    share = np.arange(len(x)) / waited
    shown = np.unique(np.linspace(0, len(x) - 1, _CORNERS).round().astype(int))
    if len(x) > _CORNERS:
        x, share = x[shown], share[shown]
    if share[-1] < 1:
        x, share = np.append(x, end_s), np.append(share, share[-1])
    return x, share


def _end_s(law: Law | None, delay_s: Floats) -> float:
    """Tell how far the axis goes: the law's support and all that was observed."""
    seen_s = float(delay_s.max(initial=1.0))
    return seen_s if law is None else max(seen_s, law.max_s)


def _draw_law(ax: Axes, law: Law) -> None:
    t, share = law.knots()
    ax.plot(
        t, share, label="law", color="black", linewidth=1.0, linestyle="--", zorder=3
    )


def _dress(ax: Axes, *, end_s: float) -> None:
    ax.set_xlim(0, end_s * 1.02)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("delay, s")
    ax.set_ylabel("share of pods\nthat have the update")


def _mark(
    ax: Axes, x: Floats, share: Floats, *, p: float, words: str, offset: tuple[int, int]
) -> None:
    """Put a dot with its delay where the curve reaches a share, if it does."""
    at = int(np.searchsorted(share, p))
    if at < len(x):
        ax.plot(x[at], p, marker="o", markersize=6, color=_COLOURS[0], zorder=4)
        ax.annotate(
            f"{words} {x[at]:.1f} s",
            (x[at], p),
            xytext=offset,  # points: right of the dot, or under the curve
            textcoords="offset points",
            fontsize=9,
            arrowprops={"arrowstyle": "-", "color": "grey", "linewidth": 0.8},
        )


def _panels(number: int) -> list[Axes]:
    columns = min(number, 3)
    rows = -(-number // columns)
    _, grid = plt.subplots(rows, columns, sharey=True, squeeze=False)
    panels = list(grid.flat)
    for unused in panels[number:]:
        unused.remove()
    return panels[:number]
