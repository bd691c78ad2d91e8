"""Every word on a figure in both languages, and every refusal of a table."""

from __future__ import annotations

import string
from importlib import import_module
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from cmhot import plots
from cmhot.errors import UsageError
from cmhot.plots.publishing import FIGURES
from cmhot.plots.words import LANGUAGES, WORDS, Pair, listing, say, setting_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes


@pytest.mark.parametrize("key", WORDS)
def test_a_phrase_has_the_same_blanks_in_each_language(key: str) -> None:
    """A number that the English figure says, the Chinese one says too."""
    english, chinese = blanks(WORDS[key])

    assert english == chinese


ONE_SAYS_MORE = {
    "phase.paragraph": ({"shares"}, {"listed"}),
    "remedies._TRIED": ({"trials"}, set()),
    "timeline.alt": ({"pods"}, set()),
}
"""Blanks that one language only has."""


@pytest.mark.parametrize(
    "figure", sorted({one.read.__module__ for one in FIGURES.values()})
)
def test_a_description_has_the_same_blanks_in_each_language(figure: str) -> None:
    """A number of the English caption, text or paragraph is in the Chinese one too."""
    module = figure.rpartition(".")[2]
    found: dict[str, tuple[str, str]] = {}
    for name, value in vars(import_module(figure)).items():
        if isinstance(value, Pair):
            found[f"{module}.{name}"] = value
        elif isinstance(value, dict) and "title" in value:
            found |= {f"{module}.{key}": pair for key, pair in value.items()}

    assert len(found) > 3
    for name, pair in found.items():
        english, chinese = (set(one) for one in blanks(pair))
        assert (english - chinese, chinese - english) == ONE_SAYS_MORE.get(
            name, (set(), set())
        ), name


def blanks(pair: tuple[str, str]) -> list[list[str]]:
    """Give the names of the blanks in each of two templates."""
    return [
        sorted(name for _, name, _, _ in string.Formatter().parse(text) if name)
        for text in pair
    ]


def test_what_is_not_known_is_given_as_it_is() -> None:
    """Names of nodes, or of methods that somebody else made up, are not translated."""
    assert [say("subPath", lang) for lang in LANGUAGES] == ["subPath", "subPath"]


def test_a_third_language_is_refused() -> None:
    """The message says which there are."""
    with pytest.raises(UsageError, match="speak no 'de': choose one of en, zh"):
        say("delay", "de")


@pytest.mark.parametrize(
    ("setting", "english", "chinese"),
    [
        ((10.0, "Watch", 0.0), "10 s, Watch", "10 秒，Watch"),  # noqa: RUF001
        (
            (10.0, "Cache", 15.0),
            "10 s, Cache (TTL 15 s)",
            "10 秒，Cache（TTL 15 秒）",  # noqa: RUF001
        ),
        ((10.0, "Cache", None), "10 s, Cache", "10 秒，Cache"),  # noqa: RUF001
        ((10.0, None, None), "10 s (inferred)", "10 秒（推断）"),  # noqa: RUF001
        ((None, None, None), "unknown setting", "设置未知"),
    ],
    ids=["watch", "cache", "cache of unknown TTL", "inferred", "unknown"],
)
def test_settings_have_names(
    setting: tuple[float | None, str | None, float | None], english: str, chinese: str
) -> None:
    """As a summary names them, and in Chinese."""
    row = dict(zip(["sync_frequency_s", "strategy", "ttl_s"], setting, strict=True))

    assert [setting_name(row, lang) for lang in LANGUAGES] == [english, chinese]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (["slow"], "slow"),
        (["slow", "usual"], "slow 和 usual"),
        (["1.20", "1.26", "1.37"], "1.20、1.26 和 1.37"),
        (["5.0 秒", "6.0 秒"], "5.0 秒和 6.0 秒"),
        (["卷", "环境变量"], "卷和环境变量"),
    ],
)
def test_latin_words_have_room_in_chinese(parts: list[str], said: str) -> None:
    """Between a Chinese character and a Latin letter or figure there is a space."""
    assert listing(parts, "zh") == said


TABLES: list[tuple[Callable[..., Axes], str, str]] = [
    (plots.delay_distribution, "sync_frequency_s", "runs.delays.delays"),
    (plots.delay_by_sync_frequency, "p50_s", r"Summary.table\(\)"),
    (plots.collapse, "least_s", "refresh_intervals"),
    (plots.change_detection, "p99_s", r"Summary.table\(\)"),
    (plots.fleet_maximum, "pods", "statistics.fleet_maximum"),
    (plots.consumer_matrix, "sees", "cells"),
    (plots.remedies, "min_ready_share", "trials of cmhot refresh"),
    (plots.wrong_ways, "truth_s", "ways of measuring"),
    (plots.publication_phase, "published_ns", "a run's publications"),
    (plots.law_limits, "answer", "where the law ends"),
    (plots.sync_costs, "syncs_per_s", "what a shorter syncFrequency costs"),
]


@pytest.mark.parametrize(
    ("draw", "column", "source"), TABLES, ids=[draw.__name__ for draw, _, _ in TABLES]
)
def test_a_table_without_its_columns_is_refused(
    draw: Callable[..., Axes], column: str, source: str
) -> None:
    """The message names the column, and where such a table is to be had."""
    with pytest.raises(UsageError, match=rf"no column .*{column}.*: take .*{source}"):
        draw(pd.DataFrame({"else": [1]}))


def test_a_timelines_tables_are_both_looked_at() -> None:
    """Updates first, then publications."""
    updates = pd.DataFrame(
        {"seq": [1], "planned_ns": [0], "sent_ns": [0], "acked_ns": [0]}
    )

    with pytest.raises(UsageError, match=r"no column node, .*\.publications"):
        plots.update_timeline(updates, pd.DataFrame({"seq": [1]}), seq=1)
    with pytest.raises(UsageError, match=r"no column seq, .*\.updates"):
        plots.update_timeline(pd.DataFrame(), pd.DataFrame(), seq=1)


def test_a_table_without_rows_is_refused() -> None:
    """There is nothing to draw, and no empty figure of it."""
    with pytest.raises(UsageError, match="has no row"):
        plots.publication_phase(pd.DataFrame({"node": [], "published_ns": []}))
