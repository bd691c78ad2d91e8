"""Whether a running container sees an update, and whether it does within 10 s.

The named figure ``environment-or-volume``: a volume changes, an environment never.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from cmhot.errors import UsageError
from cmhot.kubelet.settings import Setting
from cmhot.law import law_for
from cmhot.plots import drawing
from cmhot.plots.delay_distribution import delay_distribution
from cmhot.plots.figure import NamedFigure, Subject, describe, records
from cmhot.plots.words import Pair, in_both, percent, say, seconds
from cmhot.runs import schema
from cmhot.statistics.agreement import expected_law

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from cmhot.law import Law
    from cmhot.plots.figure import Description, Material, Source


FOLKLORE_S = 10.0
"""The delay of the blog post of 2019 that is repeated since: "about 10 s"."""


def _read(material: Material) -> Subject:
    """Take the table, or the delays of the runs: of volumes and of environments."""
    rows = material.delays if material.table is None else material.table
    fixed = rows["consumer"].isin(schema.NEVER_UPDATED)
    volumes, kept = rows[~fixed], rows[fixed]
    seen = volumes[volumes["status"] == "observed"]
    if seen.empty or kept.empty:
        msg = (
            "environment-or-volume needs pods that mount the ConfigMap and pods that "
            "have it in their environment: notebooks/01-environment-or-volume.ipynb "
            "measures both"
        )
        raise UsageError(msg)
    (first,) = records(seen[[*schema.SETTING]].head(1))
    setting = in_both(first)
    law = expected_law(seen)
    found = {
        "share_by_10_s": float((seen["delay_s"] <= FOLKLORE_S).sum()) / len(volumes),
        "law_share_by_10_s": None if law is None else float(law.cdf(FOLKLORE_S)),
        "default_share_by_10_s": float(_default_law().cdf(FOLKLORE_S)),
        "p50_s": float(seen["delay_s"].median()),
        "max_s": float(seen["delay_s"].max()),
        "n": len(seen),
        "pods": int(volumes["pod"].nunique()),
        "env_n": len(kept),
        "env_seen": int((kept["status"] == "observed").sum()),
        "env_watched_s": float(kept["waited_s"].fillna(0).sum()),
    }
    source = material.source_of(rows)
    return Subject(
        source=source,
        draw=partial(environment_or_volume, rows),
        numbers={"setting": setting.en, **found},
        describe=partial(_describe, found, setting, source),
    )


def _default_law() -> Law:
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

    Beside the law at the measured setting it draws that at a kubelet's default,
    and marks 10 s in both.

    Parameters
    ----------
    delays
        Rows as of `cmhot.runs.delays.delays`, of volumes and of others
        (``env``, ``envFrom`` or ``subPath``).
    ax, modelled, lang
        Where to draw (None: new Axes), whether the figure is to say that its numbers
        come from the model, and the language of its words, ``en`` or ``zh``.

    Returns
    -------
    Axes
        The Axes drawn on.

    Raises
    ------
    UsageError
        When the table lacks a column, or has no volume that saw an update.
    """
    drawing.need(
        delays,
        ["consumer", "status", "delay_s", "waited_s"],
        of="cmhot.runs.delays.delays",
    )
    ax = drawing.axes_or_new(ax)
    kept_out = delays["consumer"].isin(schema.NEVER_UPDATED)
    volumes = delays[~kept_out]
    if not (volumes["status"] == "observed").any():
        msg = "no volume of the table saw an update, so there is nothing to compare"
        raise UsageError(msg)
    delay_distribution(volumes, ax=ax, modelled=modelled, lang=lang)
    law = _default_law()
    t, share = law.t, law.share
    ax.plot(
        t,
        share,
        color=drawing.ink(),
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
            color=drawing.colour(ax, 1),
            linewidth=2.2,
            marker=drawing.marker(1),
            markevery=[1],
            clip_on=False,
            label=say("environment", lang),
        )
    ax.axvline(FOLKLORE_S, color=drawing.ink(), linewidth=0.9, alpha=0.6)
    ax.annotate(
        say("about 10 s", lang),
        (FOLKLORE_S, 0.02),
        xytext=(4, 4),
        textcoords="offset points",
        fontsize=9,
    )
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 0.05), handlelength=3.2)
    return ax


_WORDS = {
    "title": Pair(
        "Environment or volume: which of them sees an update",
        "环境变量还是卷：谁能看到更新",
    ),
    "alt": Pair(
        "Line chart: {here} of the volumes have the update within 10 s; at a kubelet's "
        "default it is {there} by the law. Of {env_n} looks into an environment "
        "{env_seen} saw it.",
        "折线图：卷中 10 秒内看到更新的比例为 {here}，默认设置下理论为 {there}；"
        "环境变量 {env_n} 次中看到 {env_seen} 次。",
    ),
    "caption": Pair(
        "Share that has the update: volumes with their law, the law at the default "
        "(60 s, Watch), and the environment; the line is at 10 s. {setting}; {n:,} "
        "delays of volumes, {env_n:,} of the environment. {source}",
        "看到更新的比例：卷（及理论分布）、默认设置（60 秒，Watch）的理论分布、"
        "环境变量；竖线为 10 秒。"
        "{setting}；卷 {n:,} 次，环境变量 {env_n:,} 次。{source}",
    ),
    "paragraph": Pair(
        "Of {env_n:,} looks into an environment (one per pod and update) {env_seen} "
        "saw the update, in {env_watched_s:,.0f} pod-seconds of watching: it never "
        "changes while a container lives. The volumes saw theirs after {p50} "
        "(median), at most {longest}. “About 10 s” is right for {here} of these "
        "delays, and at a kubelet's default for {there}, by the law.",
        "环境变量共查看 {env_n:,} 次（每个 Pod 每次更新一次），看到 {env_seen} 次，"
        "累计观察 {env_watched_s:,.0f} Pod·秒：容器启动后环境不再变化。"
        "卷的中位延迟为 {p50}，最长 {longest}；“大约 10 秒”之内的占 {here}，"
        "而在默认设置下理论上只占 {there}。",
    ),
}


def _describe(
    found: dict[str, Any], setting: Pair, source: Source, lang: str
) -> Description:
    """Describe which containers saw it, and which share did within 10 s."""
    return describe(
        _WORDS,
        lang,
        here=percent(found["share_by_10_s"]),
        there=percent(found["default_share_by_10_s"]),
        p50=seconds(found["p50_s"], lang),
        longest=seconds(found["max_s"], lang),
        setting=say(setting, lang),
        source=source.sentence(lang),
        **found,
    )


FIGURE = NamedFigure(
    name="environment-or-volume",
    question={
        "en": "Does a running container see an update, and is it after 10 s?",
        "zh": "运行中的容器能看到更新吗？是 10 秒之后吗？",
    },
    needs="trials of notebook 01, not a run",
    read=_read,
)
