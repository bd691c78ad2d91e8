"""Figures, by what their artists hold."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from cmhot.errors import UsageError
from cmhot.figures import save_figure, style
from cmhot.plots import delay_by_setting, delay_distribution

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.axes import Axes


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    """Draw without a window, and leave no figure open."""
    mpl.use("Agg")
    yield
    plt.close("all")


def table(
    delay_s: list[float],
    *,
    sync_frequency_s: float = 10.0,
    strategy: str = "Watch",
    consumer: str = "volume",
) -> pd.DataFrame:
    """Give delays of one setting; NaN is a timeout."""
    frame = pd.DataFrame({"delay_s": delay_s})
    return frame.assign(
        sync_frequency_s=sync_frequency_s,
        strategy=strategy,
        ttl_s=0.0,
        consumer=consumer,
        node="n",
        pod="p",
        configmap="probe",
        status=["timeout" if math.isnan(value) else "observed" for value in delay_s],
    )


def curves(ax: Axes) -> dict[str, tuple[list[float], list[float]]]:
    """Give the data of the labelled lines."""
    return {
        str(line.get_label()): (
            np.asarray(line.get_xdata(), dtype=float).tolist(),
            np.asarray(line.get_ydata(), dtype=float).tolist(),
        )
        for line in ax.get_lines()
        if not str(line.get_label()).startswith("_")
    }


def test_the_curve_is_the_share_seen_so_far() -> None:
    """The curve starts at 0, steps at each delay and ends at 1."""
    ax = delay_distribution(table([3.0, 1.0, 7.0, 5.0]))

    assert curves(ax)["10 s, Watch"] == ([0, 1, 3, 5, 7], [0, 0.25, 0.5, 0.75, 1])
    assert ax.get_lines()[0].get_drawstyle() == "steps-post"


def test_the_law_lies_over_the_curve() -> None:
    """The law is drawn from 0 to the longest interval, above the data."""
    ax = delay_distribution(table([3.0]))

    t, share = curves(ax)["law"]
    data, law = ax.get_lines()
    assert t == [0, 11, 12, 13, 14, 15]
    assert share == pytest.approx([0, 11 / 13, 11.8 / 13, 12.4 / 13, 12.8 / 13, 1])
    assert law.get_zorder() > data.get_zorder()
    assert law.get_color() == "black"


def test_the_law_can_be_left_out() -> None:
    """Without laws there is one line per setting."""
    assert list(curves(delay_distribution(table([3.0]), laws=False))) == ["10 s, Watch"]


def test_a_timeout_keeps_the_curve_below_one() -> None:
    """What never came counts as not seen, to the end of the axis."""
    ax = delay_distribution(table([2.0, math.nan]))

    assert curves(ax)["10 s, Watch"] == ([0, 2, 16.2], [0, 0.5, 0.5])


def test_an_environment_stays_at_zero_and_has_no_law() -> None:
    """A consumer that never updates is drawn as a line at 0."""
    ax = delay_distribution(table([math.nan], consumer="env"))

    assert curves(ax) == {"10 s, Watch": ([0, 1], [0, 0])}


def test_the_curve_begins_where_a_negative_delay_lies() -> None:
    """A delay below 0 is not cut off."""
    ax = delay_distribution(table([-0.5, 1.0]), laws=False)

    assert curves(ax)["10 s, Watch"] == ([-0.5, -0.5, 1], [0, 0.5, 1])


def test_axes_have_units() -> None:
    """Axes say what they show, with units; only the model is called modelled."""
    ax = delay_distribution(table([3.0]))

    assert ax.get_xlabel() == "delay, s"
    assert ax.get_ylabel() == "share of pods\nthat have the update"
    assert ax.get_title(loc="right") == ""

    modelled = delay_distribution(table([3.0]), modelled=True)

    assert modelled.get_title(loc="right") == "modelled, not measured"


def test_it_draws_on_the_axes_given() -> None:
    """The Axes that come in go out."""
    _, ax = plt.subplots()

    assert delay_distribution(table([3.0]), ax=ax) is ax


def test_settings_are_told_apart_without_colour() -> None:
    """Each setting has its own colour and marker, and the law one entry for all."""
    delays = pd.concat(
        [table([1.0], sync_frequency_s=sync) for sync in (5, 10, 20, 30, 60)]
    )

    ax = delay_distribution(delays)

    lines = ax.get_lines()[:5]
    assert len({line.get_marker() for line in lines}) == 5
    assert len({line.get_color() for line in lines}) == 5
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "5 s, Watch",
        "10 s, Watch",
        "20 s, Watch",
        "30 s, Watch",
        "60 s, Watch",
        "law",
    ]


def test_consumers_are_named_where_there_are_several() -> None:
    """The legend names the consumer only when it matters."""
    ax = delay_distribution(
        pd.concat([table([1.0]), table([math.nan], consumer="env")])
    )

    assert {"10 s, Watch, volume", "10 s, Watch, env"} <= set(curves(ax))


def test_many_delays_are_drawn_with_few_corners() -> None:
    """A curve of 5,000 delays keeps its ends and its shape in 501 corners."""
    ax = delay_distribution(table([k / 500 for k in range(5000)]), laws=False)

    x, share = curves(ax)["10 s, Watch"]
    assert len(x) == 501
    assert (x[0], share[0]) == (0, 0)
    assert (x[-1], share[-1]) == (9.998, 1)
    assert max(np.diff(share)) < 0.0021


def test_nothing_to_draw_is_refused() -> None:
    """A table of unsent updates has no distribution."""
    with pytest.raises(UsageError, match="no delays to draw"):
        delay_distribution(table([1.0]).assign(status="not_sent"))


def test_each_setting_has_its_panel() -> None:
    """Panels come in order of the setting, each with its own scale and its law."""
    delays = pd.concat([table([4.0, 8.0], sync_frequency_s=sync) for sync in (60, 10)])

    first, second = delay_by_setting(delays)

    assert first.get_title(loc="left") == "10 s, Watch"
    assert second.get_title(loc="left") == "60 s, Watch"
    assert first.get_xlim()[1] == pytest.approx(16.2 * 1.02)
    assert second.get_xlim()[1] == pytest.approx(91.2 * 1.02)
    assert curves(first)["measured"] == ([0, 4, 8], [0, 0.5, 1])
    assert "law" in curves(second)
    assert [text.get_text() for text in first.texts] == [
        "half by 4.0 s",
        "99 % by 8.0 s",
    ]
    assert second.get_ylabel() == ""


def test_panels_say_modelled() -> None:
    """Each panel of a model's figure says so; a law may be left out."""
    (ax,) = delay_by_setting(table([4.0]), modelled=True, laws=False)

    assert ax.get_title(loc="left") == "10 s, Watch (modelled)"
    assert list(curves(ax)) == ["modelled"]


def test_a_quantile_that_was_not_reached_is_not_marked() -> None:
    """Where half never came, no dot claims otherwise."""
    (ax,) = delay_by_setting(table([4.0, math.nan, math.nan]))

    assert list(ax.texts) == []


def test_panels_are_drawn_on_the_axes_given() -> None:
    """Axes may be given, but not too few."""
    _, axes = plt.subplots(1, 2)
    delays = pd.concat([table([4.0], sync_frequency_s=sync) for sync in (10, 20)])

    assert [*delay_by_setting(delays, axes=[*axes])] == [*axes]
    with pytest.raises(UsageError, match="2 settings need as many Axes, and 1"):
        delay_by_setting(delays, axes=[axes[0]])


def test_five_settings_leave_no_empty_panel() -> None:
    """Unused places of the grid are removed."""
    delays = pd.concat([table([1.0], sync_frequency_s=s) for s in (5, 10, 20, 30, 60)])

    panels = delay_by_setting(delays)

    assert len(panels) == 5
    assert len(panels[0].figure.axes) == 5


def test_the_same_figure_gives_the_same_files(tmp_path: Path) -> None:
    """SVG keeps its text as text, and files differ only where data do."""
    for name in ("a", "b"):
        with style():
            fig, ax = plt.subplots()
            delay_distribution(table([3.0, 9.0]), ax=ax)
            svg, png = save_figure(fig, tmp_path / name)

    assert (svg.name, png.name) == ("b.svg", "b.png")
    assert (tmp_path / "a.svg").read_bytes() == svg.read_bytes()
    assert (tmp_path / "a.png").read_bytes() == png.read_bytes()
    assert "delay, s</text>" in svg.read_text()
    assert "<dc:date>" not in svg.read_text()
    width = int.from_bytes(png.read_bytes()[16:20], "big")
    assert width == 1152  # 8 inches at 144 dots


def test_the_style_does_not_leak() -> None:
    """Drawing in the report's style leaves the user's own settings alone."""
    before = dict(mpl.rcParams)

    with style():
        pass

    assert dict(mpl.rcParams) == before
