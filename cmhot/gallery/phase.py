"""``phase``: at which part of a second kubelets publish."""

# ruff: noqa: RUF001 - Chinese punctuation is as it should be
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot import plots
from cmhot.clock import NS_PER_S
from cmhot.errors import UsageError
from cmhot.gallery.named import NamedFigure, Telling
from cmhot.gallery.words import listing, percent

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from cmhot.gallery.material import Material, Source


@dataclass(frozen=True, slots=True, eq=False)
class _Phase:
    """Publications, and where in the second those of each node that is drawn fall."""

    publications: pd.DataFrame
    nodes: list[dict[str, Any]]
    all_nodes: int
    source: Source

    @classmethod
    def of(cls, material: Material) -> _Phase:
        """Take all nodes, and tell of those that are drawn."""
        rows = material.refresh if material.table is None else material.table
        if rows.empty:
            msg = "phase needs a run with publications, and there is none"
            raise UsageError(msg)
        source = material.source
        if material.table is None:
            source = material.source_of(plots.nodes_shown(rows))
        plain = rows["node"].astype(str)
        if len(material.source.runs) == 1:  # pooled tables name a node <run>/<node>
            plain = plain.str.rpartition("/")[2]
        rows = rows.assign(node=plain)
        shown = plots.nodes_shown(rows)["node"]
        nodes = [{"node": node, **_tick(rows, node)} for node in shown]
        return cls(rows, nodes, rows["node"].nunique(), source)

    def draw(self, ax: Axes, lang: str) -> object:
        """Draw a histogram of each node."""
        return plots.publication_phase(
            self.publications, ax=ax, modelled=self.source.modelled, lang=lang
        )

    def numbers(self) -> dict[str, Any]:
        """Give each node's phase."""
        return {"nodes": self.nodes}

    def tell(self, lang: str) -> Telling:
        """Say where each node's publications fall, and how close together."""
        n = sum(one["n"] for one in self.nodes)
        some, every = len(self.nodes), self.all_nodes
        shares = [f"{percent(one['within_100_ms'])}" for one in self.nodes]
        source = self.source.sentence(lang)
        if lang == "zh":
            points = [
                f"{one['node']} 在 {one['phase_s']:.2f} 秒附近"
                f"（{percent(one['within_100_ms'])} 落在 0.1 秒内）"
                for one in self.nodes
            ]
            return Telling(
                title="kubelet 在一秒中的哪一刻发布更新",
                alt="直方图：横轴为发布时刻对 1 秒取模，每个节点一行。"
                f"{'；'.join(points)}。",
                caption="各节点的发布时刻对 1 秒取模；虚线：若均匀分布。"
                f"{f'{every} 个节点中的 ' if some < every else ''}"
                f"{some} 个节点上的 {n:,} 次发布。{source}",
                paragraph="kubelet 每秒检查一次哪些 Pod 需要同步，"
                "因此同一节点上的发布集中在"
                f"一秒中的同一时刻：{listing(points, lang)}。"
                "所以两次同步的间隔总是整秒。",
            )
        points = [
            f"{one['node']} about {one['phase_s']:.2f} s "
            f"({percent(one['within_100_ms'])} within 0.1 s)"
            for one in self.nodes
        ]
        return Telling(
            title="The part of a second at which kubelets publish",
            alt="Histogram of publication instants modulo one second, a row for each "
            f"node. {'; '.join(points)}.",
            caption="Publication instants modulo 1 s on each node; dashed: if they "
            "were "
            f"spread evenly. {n:,} publications on {some}"
            f"{f' of {every}' if some < every else ''} nodes. {source}",
            paragraph="A kubelet looks once a second for pods that are due, so what it "
            "publishes falls at one part of the second: "
            f"{listing(shares)} of each node's publications lie within 0.1 s. That is "
            "why the intervals between two syncs are whole seconds.",
        )


def _tick(rows: pd.DataFrame, node: str) -> dict[str, Any]:
    """Give the phase about which a node's publications fall, and how many do."""
    stamps = rows.loc[rows["node"] == node, "published_ns"].to_numpy(dtype=np.int64)
    phase = (stamps % NS_PER_S) / NS_PER_S
    mean = float(np.angle(np.exp(2j * np.pi * phase).mean()) / (2 * np.pi) % 1)
    apart = np.abs((phase - mean + 0.5) % 1 - 0.5)
    return {
        "n": len(phase),
        "phase_s": mean,
        "within_100_ms": float((apart <= 0.05).mean()),  # noqa: PLR2004 - half of it
    }


FIGURE = NamedFigure(
    name="phase",
    question={
        "en": "At which part of a second do kubelets publish an update?",
        "zh": "kubelet 在一秒中的哪一刻发布更新？",
    },
    needs="a run with a known setting",
    read=_Phase.of,
    wide=(8.0, 5.2),
)
