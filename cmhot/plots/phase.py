"""In which part of a second kubelets publish: on the tick of their process.

The named figure ``phase``.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.clock import NS_PER_S
from cmhot.errors import UsageError
from cmhot.plots import drawing
from cmhot.plots.figure import NamedFigure, Subject, describe, records
from cmhot.plots.words import Pair, listing, percent, say, semicolons
from cmhot.statistics import phase_coherence

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from matplotlib.axes import Axes

    from cmhot.plots.figure import Description, Material, Source

    Floats = npt.NDArray[np.float64]

_BINS = 50
_MOST_ROWS = 8
_HEIGHT = 0.5  # of a row


def _read(material: Material) -> Subject:
    """Take all nodes; the numbers are those of the nodes that are drawn."""
    rows = material.refresh if material.table is None else material.table
    if rows.empty:
        msg = "phase needs a run with publications, and there is none"
        raise UsageError(msg)
    source = material.source_of(nodes_shown(rows))
    names = rows["node"].astype(str)
    if len(material.source.runs) == 1:  # pooled tables name a node <run>/<node>
        names = names.str.rpartition("/")[2]
    rows = rows.assign(node=names)
    nodes = [{"node": node, **_tick(rows, node)} for node in nodes_shown(rows)["node"]]
    return Subject(
        source=source,
        draw=partial(publication_phase, rows),
        numbers={"nodes": nodes},
        describe=partial(_describe, nodes, rows["node"].nunique(), source),
    )


def _tick(rows: pd.DataFrame, node: str) -> dict[str, Any]:
    """Give the phase around which a node's publications fall, and their number."""
    phase = _phase(rows.loc[rows["node"] == node, "published_ns"])
    mean = float(np.angle(np.exp(2j * np.pi * phase).mean()) / (2 * np.pi) % 1)
    apart = np.abs((phase - mean + 0.5) % 1 - 0.5)
    return {
        "n": len(phase),
        "phase_s": mean,
        "within_100_ms": float((apart <= 0.05).mean()),  # noqa: PLR2004 - half of it
    }


def _phase(stamps: pd.Series[int]) -> Floats:
    """Give where in their second instants fall, from 0 to 1."""
    found: Floats = (stamps.to_numpy(dtype=np.int64) % NS_PER_S) / NS_PER_S
    return found


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
        When the table lacks a column, or has no row.
    """
    drawing.need(publications, ["node", "published_ns"], of="a run's publications")
    ax = drawing.axes_or_new(ax)
    edges = np.linspace(0, 1, _BINS + 1)
    shown, nodes = nodes_shown(publications), publications["node"].nunique()
    by_node = dict(iter(publications.groupby("node", observed=True)["published_ns"]))
    shares = [_shares(by_node[node], edges) for node in shown["node"]]
    top = max(float(one.max()) for one in shares)
    names = []
    for y, (row, share) in enumerate(zip(records(shown), shares, strict=True)):
        height = share / top * _HEIGHT
        ax.stairs(y - height, edges, baseline=y, fill=True, color=drawing.colour(ax, 0))
        ax.hlines(y, 0, 1, color=drawing.ink(), linewidth=0.8)
        ax.hlines(
            y - _HEIGHT / _BINS / top,
            0,
            1,
            color=drawing.ink(),
            linewidth=1,
            linestyle="--",
            label="" if y else say("even", lang),
        )
        names.append(
            say("coherence", lang, name=str(row["node"]), value=row["coherence"])
        )
    ax.set_xlim(0, 1)
    drawing.name_rows(ax, names, up=_HEIGHT, gap_pt=1)
    ax.set_xlabel(say("phase", lang))
    ax.set_ylabel(say("rows of phases", lang, top=100 * top))
    if len(shown) < nodes:
        some = say("some of", lang, some=len(shown), all=nodes)
        ax.set_title(some, loc="left")
    drawing.note_origin(ax, modelled=modelled, lang=lang)
    handles, _ = ax.get_legend_handles_labels()
    drawing.legend_above(ax, len(shown), handles=handles, columns=1)
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
    phase = _phase(stamps)
    return np.histogram(phase, edges)[0] / len(phase)


_WORDS = {
    "title": Pair(
        "The part of a second at which kubelets publish",
        "kubelet 在一秒中的哪一刻发布更新",
    ),
    "alt": Pair(
        "Histogram of publication instants modulo one second, a row for each node. "
        "{points}.",
        "直方图：横轴为发布时刻对 1 秒取模，每个节点一行。{points}。",
    ),
    "caption": Pair(
        "Publication instants modulo 1 s on each node; dashed: if they were spread "
        "evenly. {n:,} publications on {some}{of_all} nodes. {source}",
        "各节点的发布时刻对 1 秒取模；虚线：若均匀分布。"
        "{of_all}{some} 个节点上的 {n:,} 次发布。{source}",
    ),
    "paragraph": Pair(
        "A kubelet looks once a second for pods that are due, so what it publishes "
        "falls at one part of the second: {shares} of each node's publications lie "
        "within 0.1 s. That is why the intervals between two syncs are whole seconds.",
        "kubelet 每秒检查一次哪些 Pod 需要同步，"
        "因此同一节点上的发布集中在一秒中的同一时刻：{listed}。"
        "所以两次同步的间隔总是整秒。",
    ),
}
_POINT = Pair(
    "{node} about {phase_s:.2f} s ({share} within 0.1 s)",
    "{node} 在 {phase_s:.2f} 秒附近（{share} 落在 0.1 秒内）",
)
_OF_ALL = Pair(" of {nodes}", "{nodes} 个节点中的 ")


def _describe(
    nodes: list[dict[str, Any]], all_nodes: int, source: Source, lang: str
) -> Description:
    """Describe where each node's publications fall, and how close together."""
    shares = [percent(one["within_100_ms"]) for one in nodes]
    points = [
        say(_POINT, lang, node=one["node"], phase_s=one["phase_s"], share=share)
        for one, share in zip(nodes, shares, strict=True)
    ]
    some = len(nodes)
    return describe(
        _WORDS,
        lang,
        points=semicolons(points, lang),
        listed=listing(points, lang),
        shares=listing(shares, lang),
        some=some,
        of_all=say(_OF_ALL, lang, nodes=all_nodes) if some < all_nodes else "",
        n=sum(one["n"] for one in nodes),
        source=source.sentence(lang),
    )


FIGURE = NamedFigure(
    name="phase",
    question={
        "en": "At which part of a second do kubelets publish an update?",
        "zh": "kubelet 在一秒中的哪一刻发布更新？",
    },
    needs="a run with a known setting",
    read=_read,
    wide=(8.0, 5.2),
)
