"""``consumers``: which way of using a ConfigMap sees an update."""

# ruff: noqa: RUF001 - Chinese punctuation is as it should be
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot import plots
from cmhot.errors import UsageError
from cmhot.gallery.named import NamedFigure, Telling
from cmhot.gallery.tables import records
from cmhot.gallery.words import listing
from cmhot.plots.words import say

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from cmhot.gallery.material import Material, Source

_NEVER = "never"


@dataclass(frozen=True, slots=True, eq=False)
class _Consumers:
    """What each kind of consumer sees after each event."""

    table: pd.DataFrame
    source: Source

    @classmethod
    def of(cls, material: Material) -> _Consumers:
        """Take the table of cells."""
        if material.table is None:
            msg = (
                "the consumers are measured by notebooks/08-what-updates.ipynb, not by "
                "a run: leave out --run for those that come with cmhot"
            )
            raise UsageError(msg)
        return cls(material.table, material.source)

    def draw(self, ax: Axes, lang: str) -> object:
        """Draw the matrix."""
        return plots.consumer_matrix(
            self.table, ax=ax, modelled=self.source.modelled, lang=lang
        )

    def numbers(self) -> dict[str, Any]:
        """Give the cells."""
        return {"setting": self.source.setting, "cells": records(self.table)}

    def tell(self, lang: str) -> Telling:
        """Say who sees an update in place, and who needs what."""
        cells = records(self.table)
        first = cells[0]["event"]
        updates = [cell for cell in cells if cell["event"] == first]
        sees = [
            say(cell["consumer"], lang)
            for cell in updates
            if cell["sees"] not in {None, _NEVER}
        ]
        never = [
            say(cell["consumer"], lang) for cell in updates if cell["sees"] == _NEVER
        ]
        kinds, cases = len(updates), sum(cell["sees"] is not None for cell in cells)
        source = self.source.sentence(lang)
        setting = f"{self.source.setting}. " if self.source.setting else ""
        if lang == "zh":
            setting = setting.replace(". ", "。")
            return Telling(
                title="哪种使用方式能看到更新",
                alt="矩阵：行为使用方式，列为事件，格内为何时看到新内容。"
                f"更新后无需重启即可看到：{listing(sees, lang)}；"
                f"看不到：{listing(never, lang)}。",
                caption="每种使用方式在更新、容器重启、Pod 重建之后能否看到新内容。"
                f"{kinds} 种方式，{cases} 格。{setting}{source}",
                paragraph=f"{kinds} 种使用方式中，{len(sees)} "
                "种在运行中的容器里能看到更新"
                f"（{listing(sees, lang)}），{len(never)} 种看不到"
                f"（{listing(never, lang)}），要等重启。",
            )
        return Telling(
            title="Which way of using a ConfigMap sees an update",
            alt="Matrix: a row for each way of using the object, a column for each "
            "event; the cells say when the new content is seen. Seen without a "
            "restart: "
            f"{listing(sees)}. Not seen: {listing(never)}.",
            caption="Whether each way of using the object sees new content after an "
            "update, after a restart of the container, and of the pod. "
            f"{kinds} ways, {cases} cases. {setting}{source}",
            paragraph=f"Of {kinds} ways {len(sees)} see an update in a running "
            "container "
            f"({listing(sees)}); {len(never)} do not ({listing(never)}) and keep what "
            "they started with until something restarts.",
        )


FIGURE = NamedFigure(
    name="consumers",
    question={
        "en": "Which way of using a ConfigMap sees an update, and after what?",
        "zh": "ConfigMap 的哪种使用方式能看到更新？在什么之后？",
    },
    needs="cells of notebook 08, not a run",
    read=_Consumers.of,
    wide=(8.0, 6.0),
    narrow=(4.2, 6.4),
)
