"""One update's life: written once, and seen by each pod in its turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from cmhot.clock import NS_PER_S
from cmhot.errors import UsageError
from cmhot.plots.look import ROOM, axes_or_new, colour, ink, marker, need, note_origin
from cmhot.plots.words import say

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STAMPS = ("planned_ns", "sent_ns", "acked_ns")
_MS_PER_S = 1000


def update_timeline(
    updates: pd.DataFrame,
    publications: pd.DataFrame,
    *,
    seq: int,
    ax: Axes | None = None,
    modelled: bool = False,
    lang: str = "en",
) -> Axes:
    """Draw when one update was planned, sent and acknowledged, and when pods had it.

    A pod has update i from its first publication with number i or a later one on.

    Parameters
    ----------
    updates, publications
        As `cmhot.runs.rundir.Run` has them.
    seq
        Number of the update.
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
        When a table lacks a column, or there is no such update,
        or it was not acknowledged, or no pod published it.
    """
    need(updates, ["seq", *_STAMPS], of="cmhot.runs.rundir.read_run(…).updates")
    need(
        publications,
        ["node", "pod", "consumer", "seq", "published_ns"],
        of="cmhot.runs.rundir.read_run(…).publications",
    )
    own = updates[updates["seq"] == seq]
    if own.empty or pd.isna(own["acked_ns"].iloc[0]):
        msg = (
            f"update {seq} was not acknowledged or does not exist: "
            f"choose one of {updates['seq'].min()} … {updates['seq'].max()}"
        )
        raise UsageError(msg)
    acked_ns = int(own["acked_ns"].iloc[0])
    seen = _seen(publications, seq, acked_ns)
    if seen.empty:
        msg = f"no pod published update {seq}: choose an earlier one"
        raise UsageError(msg)
    ax = axes_or_new(ax)
    groups = seen.groupby("node", observed=True)
    for number, (node, rows) in enumerate(groups):
        hue = colour(ax, number)
        ax.hlines(rows["turn"], 0, rows["since_s"], color=hue, alpha=0.35, linewidth=1)
        ax.plot(
            rows["since_s"],
            rows["turn"],
            color=hue,
            linestyle="none",
            marker=marker(number),
            markersize=6,
            label=str(node),
        )
    ax.axvline(0, color=ink(), linewidth=1.2)
    room = max(1.0, ROOM * len(seen))
    ax.annotate(
        _written(own, acked_ns, lang),
        (0.015, 0.985),
        xycoords="axes fraction",
        va="top",
        linespacing=1.35,
    )
    ax.set_xlim(min(0.0, float(seen["since_s"].min())), seen["since_s"].max() * 1.05)
    ax.set_ylim(len(seen) + 0.8, 0.2 - room)
    ticks = MaxNLocator(integer=True).tick_values(1, len(seen))
    ax.set_yticks([tick for tick in ticks if 1 <= tick <= len(seen)])
    ax.set_xlabel(say("since", lang))
    ax.set_ylabel(say("pods by turn", lang))
    note_origin(ax, modelled=modelled, lang=lang)
    if len(groups) > 1:
        ax.legend(loc="upper right", bbox_to_anchor=(1.0, 1.0 - ROOM))
    return ax


def _seen(publications: pd.DataFrame, seq: int, acked_ns: int) -> pd.DataFrame:
    """Give when each pod first had an update, in seconds since it was acknowledged.

    Returns
    -------
    DataFrame
        ``node``, ``since_s``, ascending, and ``turn``, from 1.
    """
    enough = publications[publications["seq"] >= seq]
    keys = ["node", "pod", "consumer"]
    first = enough.groupby(keys, observed=True)["published_ns"].min().sort_values()
    since = (first.to_numpy(dtype=np.int64) - acked_ns) / NS_PER_S
    return first.reset_index()[["node"]].assign(
        since_s=since, turn=np.arange(1, len(since) + 1)
    )


def _written(own: pd.DataFrame, acked_ns: int, lang: str) -> str:
    """Say when an update was planned and sent, before it was acknowledged."""
    found = {}
    for name in ("planned", "sent"):
        stamp = own[f"{name}_ns"].iloc[0]
        if pd.isna(stamp):
            found[name] = say("none such", lang)
            continue
        ms = (acked_ns - int(stamp)) / NS_PER_S * _MS_PER_S
        key = "minus ms" if ms > 0 else "ms"
        found[name] = say(key, lang, value=abs(ms))
    return say("write", lang, **found)
