"""The share of updates seen within t, in one panel or in one for each setting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Patch

from cmhot.errors import UsageError
from cmhot.plots.look import (
    axes_or_new,
    colour,
    ink,
    legend_below,
    mark_every,
    marker,
    need,
    note_origin,
)
from cmhot.plots.words import say, setting_name
from cmhot.runs import schema
from cmhot.runs.expected import expected_law
from cmhot.statistics import (
    GROUP,
    cdf_bounds,
    delay_blocks,
    survival_curve,
)
from cmhot.statistics.population import populations

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt
    import pandas as pd
    from matplotlib.axes import Axes

    from cmhot.law import Law

    Floats = npt.NDArray[np.float64]
    Band = tuple[Floats, Floats, Floats]

_TABLE = "cmhot.runs.delays.delays"
_CORNERS = 501  # of a curve: more cannot be seen, and make a large SVG
_BAND_CORNERS = 201
_NEEDED = (*GROUP, "node", "pod", "configmap", "status", "delay_s")
_WAITED = ("acked_ns", "published_ns", "waited_s")


@dataclass(frozen=True, slots=True, eq=False)
class _Curve:
    """What is drawn of one setting and consumer.

    Attributes
    ----------
    label
        Its name.
    law
        None: no law is known.
    t, share
        Corners of the share that has the update, steps to the right of each.
    band
        Delays, and the lower and upper limit of the share there; None: no interval.
    end_s
        How far the axis has to go.
    """

    label: str
    law: Law | None
    t: Floats
    share: Floats
    band: Band | None
    end_s: float


def delay_distribution(
    delays: pd.DataFrame,
    *,
    ax: Axes | None = None,
    laws: bool = True,
    band: bool = True,
    kubernetes: str | None = None,
    modelled: bool = False,
    lang: str = "en",
) -> Axes:
    """Draw the share of updates seen within t, a curve per setting and consumer.

    Where something was waited for in vain the curve is the product-limit estimate
    (`cmhot.statistics.survival_curve`), and it may end below 1.
    For settings that differ much in S, `delay_by_setting` shows the shapes better.

    Parameters
    ----------
    delays
        As `cmhot.runs.delays.delays` gives it.
    ax
        Where to draw; None: new Axes.
    laws
        Whether to draw the law over each curve, where one is known.
    band
        Whether to draw the pointwise 95 % confidence band of each curve;
        there is none where there are too few independent blocks for an interval,
        or where something was waited for in vain.
    kubernetes
        Version of the kubelets, which decides what a TTL does; None: current.
    modelled
        Whether the delays come from the model; the figure then says so.
    lang
        Language of the words, ``en`` or ``zh``.

    Returns
    -------
    Axes
        The Axes drawn on.

    Raises
    ------
    UsageError
        When the table lacks a column,
        or has no delay that was observed or waited for.
    """
    ax = axes_or_new(ax)
    curves = list(_curves(delays, band=band, kubernetes=kubernetes, lang=lang))
    end_s = max(curve.end_s for curve in curves)
    for number, curve in enumerate(curves):
        hue = colour(ax, number)
        _draw_band(ax, curve, hue, lang)
        ax.step(
            *_prolonged(curve, end_s),
            where="post",
            color=hue,
            linewidth=2.2,
            marker=marker(number),
            markeredgecolor=ax.get_facecolor(),
            markeredgewidth=0.7,
            markersize=8,
            markevery=mark_every(number, of=len(curves)),
            label=curve.label,
        )
    for curve in curves if laws else []:
        if curve.law is not None:
            _draw_law(ax, curve.law, lang)
    _dress(ax, end_s=end_s, lang=lang)
    note_origin(ax, modelled=modelled, lang=lang)
    _legend(ax, several=len(curves) > 1, lang=lang)
    return ax


def delay_by_setting(
    delays: pd.DataFrame,
    *,
    axes: Sequence[Axes] | None = None,
    laws: bool = True,
    band: bool = True,
    kubernetes: str | None = None,
    modelled: bool = False,
    lang: str = "en",
) -> npt.NDArray[np.object_]:
    """Draw small multiples: a panel per setting and consumer, each with its own scale.

    The dots say by when half, and by when 99 %, of the updates were seen.

    Parameters
    ----------
    delays
        As `cmhot.runs.delays.delays` gives it.
    axes
        Where to draw, at least one per setting and consumer; None: new Axes.
    laws, band, kubernetes, modelled, lang
        As of `delay_distribution`.

    Returns
    -------
    array
        The Axes drawn on, in order of the setting.

    Raises
    ------
    UsageError
        When the table lacks a column,
        or has no delay that was observed or waited for,
        or there are fewer Axes than panels.
    """
    curves = list(_curves(delays, band=band, kubernetes=kubernetes, lang=lang))
    panels = _panels(len(curves)) if axes is None else axes
    if len(panels) < len(curves):
        msg = f"{len(curves)} settings need as many Axes, and {len(panels)} were given"
        raise UsageError(msg)
    for ax, curve in zip(panels, curves, strict=False):
        hue = colour(ax, 0)
        _draw_band(ax, curve, hue, lang)
        t, share = _prolonged(curve, curve.end_s)
        source = say("modelled" if modelled else "measured", lang)
        ax.step(t, share, where="post", color=hue, linewidth=2.6, label=source)
        if laws and curve.law is not None:
            _draw_law(ax, curve.law, lang)
        _dress(ax, end_s=curve.end_s, lang=lang)
        _mark(ax, curve, p=0.5, words="half by", offset=(12, -4), lang=lang)
        _mark(ax, curve, p=0.99, words="most by", offset=(-48, -38), lang=lang)
        ax.set_title(
            say("named modelled", lang, name=curve.label) if modelled else curve.label,
            loc="left",
        )
        place = ax.get_subplotspec()
        if place is not None and not place.is_first_col():
            ax.set_ylabel("")
    panels[0].legend(loc="lower right")
    return np.array([*panels[: len(curves)]], dtype=object)


def _curves(
    delays: pd.DataFrame, *, band: bool, kubernetes: str | None, lang: str
) -> Iterator[_Curve]:
    """Give what is drawn of each setting and consumer."""
    need(delays, _NEEDED, of=_TABLE)
    lost = delays["status"].isin(schema.DEAD_ENDS)
    more = [*_WAITED] if lost.any() else ["acked_ns"] if band else []
    need(delays, more, of=_TABLE)
    more += [name for name in delays if name == "modelled"]  # never mixed
    drawn = lost | (delays["status"] == "observed")
    kept = delays[[*_NEEDED, *more]]
    if not drawn.all():  # ten million rows are copied for a reason only
        kept = kept[drawn]
    if kept.empty:
        msg = "no delays to draw: the table has no row that was observed or waited for"
        raise UsageError(msg)
    several = len(kept["consumer"].unique()) > 1
    for population, own in populations(kept):
        label = setting_name(population, lang)
        if several:
            label = say(
                "with", lang, name=label, more=say(str(population["consumer"]), lang)
            )
        law = expected_law(own)
        t, share = _share_seen(own)
        furthest_s = max(float(t[-1]), 1.0 if len(t) == 1 else 0.0)
        yield _Curve(
            label=label,
            law=law,
            t=t,
            share=share,
            band=_band(own, kubernetes) if band else None,
            end_s=furthest_s if law is None else max(furthest_s, law.max_s),
        )


def _share_seen(own: pd.DataFrame) -> tuple[Floats, Floats]:
    """Give the corners of the share seen, from 0 on; of many, an even choice."""
    status = own["status"]
    if not status.isin(["observed", "missed"]).any():
        return np.zeros(1), np.zeros(1)
    if (status == "observed").all():
        t = np.sort(own["delay_s"].to_numpy(dtype=np.float64))
        share = np.arange(1, len(t) + 1) / len(t)
    else:
        found = survival_curve(own)
        t, share = found["delay_s"].to_numpy(), found["share"].to_numpy()
    t = np.concatenate([[min(0.0, float(t[0]))], t])
    share = np.concatenate([[0.0], share])
    if len(t) > _CORNERS:
        shown = np.unique(np.linspace(0, len(t) - 1, _CORNERS).round().astype(int))
        t, share = t[shown], share[shown]
    return t, share


def _prolonged(curve: _Curve, end_s: float) -> tuple[Floats, Floats]:
    """Lead a curve that does not reach 1 to the end: its delays are longer."""
    if curve.share[-1] < 1:
        return np.append(curve.t, end_s), np.append(curve.share, curve.share[-1])
    return curve.t, curve.share


def _band(own: pd.DataFrame, kubernetes: str | None) -> Band | None:
    """Give the 95 % limits of the share at each delay; None: not to be had."""
    if (own["status"] != "observed").any():
        return None
    blocks = delay_blocks(own, kubernetes=kubernetes)
    if blocks.shortfall() is not None or len(blocks.t) < 2:  # noqa: PLR2004 - as `statistics.confidence` has it
        return None
    low, high = cdf_bounds(blocks)
    # a distribution function rises; so do the limits that quantiles are read from
    low, high = np.minimum.accumulate(low[::-1])[::-1], np.maximum.accumulate(high)
    shown = np.unique(np.linspace(0, len(low) - 1, _BAND_CORNERS).round().astype(int))
    return blocks.t[shown], low[shown], high[shown]


def _draw_band(ax: Axes, curve: _Curve, hue: str, lang: str) -> None:
    if curve.band is not None:
        t, low, high = curve.band
        ax.fill_between(
            *(t, low, high),
            step="post",
            color=hue,
            alpha=0.25,
            linewidth=0,
            label=say("band", lang),
        )


def _draw_law(ax: Axes, law: Law, lang: str) -> None:
    t, share = law.knots()
    ax.plot(
        t,
        share,
        label=say("law", lang),
        color=ink(),
        linewidth=1.0,
        linestyle="--",
        zorder=3,
    )


def _legend(ax: Axes, *, several: bool, lang: str) -> None:
    """Name each curve once, and the laws and the bands once together."""
    handles, labels = ax.get_legend_handles_labels()
    once: dict[str, Any] = dict(zip(labels, handles, strict=True))
    band = once.pop(say("band", lang), None)
    if band is not None:  # the last entry, of no curve's colour if it is of several
        grey = Patch(color="grey", alpha=0.4, linewidth=0)
        once[say("band", lang)] = grey if several else band
    legend_below(ax, once.values(), once.keys())


def _dress(ax: Axes, *, end_s: float, lang: str) -> None:
    ax.set_xlim(0, end_s * 1.02)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel(say("delay", lang))
    ax.set_ylabel(say("share", lang))


def _mark(
    ax: Axes,
    curve: _Curve,
    *,
    p: float,
    words: str,
    offset: tuple[int, int],
    lang: str,
) -> None:
    """Put a dot with its delay where the curve reaches a share, if it does."""
    at = int(np.searchsorted(curve.share, p))
    if at < len(curve.t):
        x = curve.t[at]
        ax.plot(x, p, marker="o", markersize=6, color=colour(ax, 0), zorder=4)
        ax.annotate(
            say(words, lang, value=x),
            (x, p),
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
