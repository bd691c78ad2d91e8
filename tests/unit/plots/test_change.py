"""Before and after a change, as artists' data."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from cmhot import plots
from cmhot.errors import UsageError


def curves(**more: list[float]) -> pd.DataFrame:
    """Give two distributions of two points each."""
    return pd.DataFrame(
        {
            "when": ["before", "before", "after", "after"],
            "setting": ["20 s, Watch"] * 2 + ["10 s, Watch"] * 2,
            "delay_s": [0.0, 30.0, 0.0, 15.0],
            "share": [0.0, 1.0, 0.0, 1.0],
            "low": [0.0, 0.9, 0.0, 0.8],
            "high": [0.1, 1.0, 0.2, 1.0],
            **more,
        }
    )


def test_each_side_has_its_line_and_band() -> None:
    """Before is broken, after is not, and the legend says which setting is which."""
    ax = plots.before_and_after(curves())

    after, before = ax.get_lines()
    assert (before.get_linestyle(), after.get_linestyle()) == ("--", "-")
    assert before.get_xdata()[-1] == 30.0  # type: ignore[index]
    assert after.get_xdata()[-1] == 15.0  # type: ignore[index]
    assert len(ax.collections) == 2
    legend = ax.get_legend()
    assert legend is not None
    said = [text.get_text() for text in legend.get_texts()]
    assert said == ["before: 20 s, Watch", "after: 10 s, Watch"]
    assert ax.get_xlabel() == "delay, s"
    plt.close(ax.figure)  # type: ignore[arg-type]


def test_what_was_modelled_is_marked() -> None:
    """The figure says so itself, in its language."""
    ax = plots.before_and_after(curves(), modelled=True, lang="zh")

    assert ax.get_title(loc="right").startswith("模型结果")
    plt.close(ax.figure)  # type: ignore[arg-type]


def test_another_table_is_refused() -> None:
    """A missing column is named."""
    with pytest.raises(UsageError, match="no column low"):
        plots.before_and_after(curves().drop(columns="low"))
