"""Which way of using a ConfigMap sees an update, and after what.

``consumers``: which way of using a ConfigMap sees an update.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.patches import Rectangle

from cmhot.errors import UsageError
from cmhot.plots.figure import NamedFigure, Telling, records
from cmhot.plots.style import axes_or_new, colour, need, note_origin, rows_of
from cmhot.plots.words import listing, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from cmhot.plots.figure import Material, Source


SEES = ("at once", "later", "never")
"""What a cell may say; null: there is no such case."""
_COLOURS = {"at once": (2, 0.2), "later": (0, 0.35), "never": (1, 0.5)}


# green, blue, red; in black and white a light, a middle and a dark grey,
# and what is written on them is readable on each
def consumer_matrix(
    table: pd.DataFrame,
    *,
    ax: Axes | None = None,
    modelled: bool = False,
    lang: str = "en",
) -> Axes:
    """Draw which consumer sees new content after which event: at once, later, never.

    Parameters
    ----------
    table
        One row per cell: ``consumer``, ``event`` and ``sees``, one of `SEES` or null.
    ax
        Where to draw; None: new Axes.
    modelled
        Whether the cells come from the model; the figure then says so.
    lang
        Language of the words, ``en`` or ``zh``.

    Returns
    -------
    Axes
        The Axes drawn on.

    Raises
    ------
    UsageError
        When the table lacks a column, or a cell says something else.
    """
    need(table, ["consumer", "event", "sees"], of="cells: consumer, event and sees")
    unknown = set(table["sees"].dropna()) - set(SEES)
    if unknown:
        msg = f"a cell says {min(unknown)!r}: it has to be one of {', '.join(SEES)}"
        raise UsageError(msg)
    ax = axes_or_new(ax)
    consumers = [str(one) for one in table["consumer"].unique()]
    events = [str(one) for one in table["event"].unique()]
    for cell in rows_of(table):
        x, y = events.index(cell["event"]), consumers.index(cell["consumer"])
        if pd.isna(cell["sees"]):
            ax.annotate(say("none such", lang), (x, y), ha="center", va="center")
            continue
        number, tint = _COLOURS[cell["sees"]]
        ax.add_patch(
            Rectangle(
                (x - 0.48, y - 0.45),
                0.96,
                0.9,
                facecolor=(colour(ax, number), tint),
                linewidth=0,
            )
        )
        ax.annotate(say(cell["sees"], lang), (x, y), ha="center", va="center")
    ax.set_xticks(range(len(events)), [say(one, lang) for one in events])
    ax.set_yticks(range(len(consumers)), [say(one, lang) for one in consumers])
    ax.set_xlim(-0.5, len(events) - 0.5)
    ax.set_ylim(len(consumers) - 0.5, -0.5)
    ax.grid(visible=False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    note_origin(ax, modelled=modelled, lang=lang)
    return ax


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
        return consumer_matrix(
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
