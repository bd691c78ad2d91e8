"""A volume beside the environment: one turns, the other never does."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from cmhot.errors import UsageError
from cmhot.law import law_for
from cmhot.plots.distribution import delay_distribution
from cmhot.plots.look import axes_or_new, colour, ink, marker, need
from cmhot.plots.words import say
from cmhot.runs import schema
from cmhot.settings import Setting

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from cmhot.law import Law

FOLKLORE_S = 10.0
"""The delay of the blog post of 2019 that is repeated since: "about 10 s"."""


def default_law() -> Law:
    """Give the law at a kubelet's default: 60 s, Watch."""
    return cast("Law", law_for(Setting()))  # None is for an unknown TTL only


def environment_or_volume(
    delays: pd.DataFrame,
    *,
    ax: Axes | None = None,
    modelled: bool = False,
    lang: str = "en",
) -> Axes:
    """Draw the share that has the update: in volumes, and in environments.

    Beside the law at the setting that was measured it has that of a kubelet's
    default, and a mark where 10 s lie in both.

    Parameters
    ----------
    delays
        Rows as of `cmhot.runs.delays.delays`, of volumes and of others
        (``env``, ``envFrom`` or ``subPath``).
    ax
        Where to draw; None: new Axes.
    modelled
        Whether the rows come from the model; the figure then says so.
    lang
        Language of the words, ``en`` or ``zh``.

    Returns
    -------
    Axes
        The Axes drawn on.

    Raises
    ------
    UsageError
        When the table lacks a column, or has no volume that saw an update.
    """
    need(
        delays,
        ["consumer", "status", "delay_s", "waited_s"],
        of="cmhot.runs.delays.delays",
    )
    ax = axes_or_new(ax)
    kept_out = delays["consumer"].isin(schema.NEVER_UPDATED)
    volumes = delays[~kept_out]
    if not (volumes["status"] == "observed").any():
        msg = "no volume of the table saw an update, so there is nothing to compare"
        raise UsageError(msg)
    delay_distribution(volumes, ax=ax, modelled=modelled, lang=lang)
    law = default_law()
    t, share = law.knots()
    ax.plot(
        t,
        share,
        color=ink(),
        linestyle=":",
        linewidth=1.4,
        label=say("default law", lang),
    )
    ax.set_xlim(0, law.max_s * 1.02)
    if kept_out.any():
        seen = (delays.loc[kept_out, "status"] == "observed").mean()
        ax.plot(
            np.array([0.0, delays.loc[kept_out, "waited_s"].max()]),
            [seen, seen],
            color=colour(ax, 1),
            linewidth=2.2,
            marker=marker(1),
            markevery=[1],
            clip_on=False,
            label=say("environment", lang),
        )
    ax.axvline(FOLKLORE_S, color=ink(), linewidth=0.9, alpha=0.6)
    ax.annotate(
        say("about 10 s", lang),
        (FOLKLORE_S, 0.02),
        xytext=(4, 4),
        textcoords="offset points",
        fontsize=9,
    )
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 0.05), handlelength=3.2)
    return ax
