"""Lists in sentences."""

from __future__ import annotations

import pytest

from cmhot.plots.words import listing


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
