"""Which way of using a ConfigMap sees an update, and after which event.

The named figure ``consumers``.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from matplotlib.patches import Rectangle

from cmhot.errors import UsageError
from cmhot.plots import drawing
from cmhot.plots.figure import NamedFigure, Subject, describe, records
from cmhot.plots.words import Pair, listing, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from cmhot.plots.figure import Description, Material, Row, Source


SEES = ("at once", "later", "never")
"""The values of a cell; null: there is no such case."""
_COLOURS = {"at once": (2, 0.2), "later": (0, 0.35), "never": (1, 0.5)}
# green, blue, red; in black and white a light, a middle and a dark grey,
# and what is written on them is readable on each


def _read(material: Material) -> Subject:
    """Take the table of cells."""
    table = material.table_of(
        "the consumers are measured by notebooks/08-what-updates.ipynb"
    )
    cells, source = records(table), material.source
    return Subject(
        source=source,
        draw=partial(consumer_matrix, table),
        numbers={"setting": source.setting, "cells": cells},
        describe=partial(_describe, cells, source),
    )


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
        When the table lacks a column, or a cell says something else.
    """
    drawing.need(
        table, ["consumer", "event", "sees"], of="cells: consumer, event and sees"
    )
    unknown = set(table["sees"].dropna()) - set(SEES)
    if unknown:
        msg = f"a cell says {min(unknown)!r}: it has to be one of {', '.join(SEES)}"
        raise UsageError(msg)
    ax = drawing.axes_or_new(ax)
    consumers = [str(one) for one in table["consumer"].unique()]
    events = [str(one) for one in table["event"].unique()]
    for cell in records(table):
        x, y = events.index(cell["event"]), consumers.index(cell["consumer"])
        if cell["sees"] is None:
            ax.annotate(say("none such", lang), (x, y), ha="center", va="center")
            continue
        number, tint = _COLOURS[cell["sees"]]
        ax.add_patch(
            Rectangle(
                (x - 0.48, y - 0.45),
                0.96,
                0.9,
                facecolor=(drawing.colour(ax, number), tint),
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
    drawing.note_origin(ax, modelled=modelled, lang=lang)
    return ax


_WORDS = {
    "title": Pair(
        "Which way of using a ConfigMap sees an update", "哪种使用方式能看到更新"
    ),
    "alt": Pair(
        "Matrix: a row for each way of using the object, a column for each event; the "
        "cells say when the new content is seen. Seen without a restart: {sees}. Not "
        "seen: {never}.",
        "矩阵：行为使用方式，列为事件，格内为何时看到新内容。"
        "更新后无需重启即可看到：{sees}；看不到：{never}。",
    ),
    "caption": Pair(
        "Whether each way of using the object sees new content after an update, after "
        "a restart of the container, and of the pod. {kinds} ways, {cases} cases. "
        "{setting}{source}",
        "每种使用方式在更新、容器重启、Pod 重建之后能否看到新内容。"
        "{kinds} 种方式，{cases} 格。{setting}{source}",
    ),
    "paragraph": Pair(
        "Of {kinds} ways {n_sees} see an update in a running container ({sees}); "
        "{n_never} do not ({never}) and keep what they started with until something "
        "restarts.",
        "{kinds} 种使用方式中，{n_sees} 种在运行中的容器里能看到更新（{sees}），"
        "{n_never} 种看不到（{never}），要等重启。",
    ),
}


def _describe(cells: Sequence[Row], source: Source, lang: str) -> Description:
    """Describe which ways see an update in place, and what the others need."""
    updates = [cell for cell in cells if cell["event"] == cells[0]["event"]]
    sees, never = (
        [say(cell["consumer"], lang) for cell in updates if cell["sees"] in those]
        for those in (SEES[:2], SEES[2:])
    )
    return describe(
        _WORDS,
        lang,
        sees=listing(sees, lang),
        n_sees=len(sees),
        never=listing(never, lang),
        n_never=len(never),
        kinds=len(updates),
        cases=sum(cell["sees"] is not None for cell in cells),
        setting=source.setting_sentence(lang),
        source=source.sentence(lang),
    )


FIGURE = NamedFigure(
    name="consumers",
    question={
        "en": "Which way of using a ConfigMap sees an update, and after what?",
        "zh": "ConfigMap 的哪种使用方式能看到更新？在什么之后？",
    },
    needs="cells of notebook 08, not a run",
    read=_read,
    wide=(8.0, 6.0),
    narrow=(4.2, 6.4),
)
