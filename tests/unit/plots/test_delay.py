"""The share of updates seen within t, by what the figure's artists hold."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from cmhot.errors import UsageError
from cmhot.plots import delay_distribution
from cmhot.plots.drawing import colour, marker
from cmhot.statistics import cdf_bounds, confidence, delay_blocks, survival_curve
from tests.unit.plots.tables import curves, delays, legend, texts


def test_the_curve_is_the_share_seen_so_far() -> None:
    """The curve starts at 0, steps at each delay and ends at 1."""
    ax = delay_distribution(delays([3.0, 1.0, 7.0, 5.0]))

    assert curves(ax)["10 s, Watch"] == ([0, 1, 3, 5, 7], [0, 0.25, 0.5, 0.75, 1])
    assert ax.get_lines()[0].get_drawstyle() == "steps-post"


def test_the_law_lies_over_the_curve() -> None:
    """The law is drawn from 0 to the longest interval, above the data."""
    ax = delay_distribution(delays([3.0]))

    t, share = curves(ax)["law"]
    data, law = ax.get_lines()
    assert t == [0, 11, 12, 13, 14, 15]
    assert share == pytest.approx([0, 11 / 13, 11.8 / 13, 12.4 / 13, 12.8 / 13, 1])
    assert law.get_zorder() > data.get_zorder()
    assert law.get_color() == "black"


def test_the_law_can_be_left_out() -> None:
    """Without laws there is one line per setting."""
    assert list(curves(delay_distribution(delays([3.0]), laws=False))) == [
        "10 s, Watch"
    ]


def test_a_timeout_keeps_the_curve_below_one() -> None:
    """What never came counts as not seen, to the end of the axis."""
    ax = delay_distribution(delays([2.0, math.nan]))

    assert curves(ax)["10 s, Watch"] == ([0, 2, 15, 16.2], [0, 0.5, 0.5, 0.5])


def test_what_was_waited_for_a_while_is_censored_not_dropped() -> None:
    """With a timeout after 2 s, the curve is the product-limit estimate."""
    table = delays([1.0, math.nan, 3.0, 5.0], waited_s=2.0)

    ax = delay_distribution(table, laws=False)

    t, share = curves(ax)["10 s, Watch"]
    assert t == [0, 1, 2, 3, 5]
    # one of four at 1 s; then of the three at risk one left unseen, and two remain
    assert share == pytest.approx([0, 1 / 4, 1 / 4, 5 / 8, 1])
    assert share[1:] == pytest.approx(survival_curve(table)["share"].tolist())


def test_the_band_is_where_the_summarys_intervals_come_from() -> None:
    """Read across at a half, the band's ends are the interval of the median."""
    rng = np.random.default_rng(1)
    table = delays(rng.uniform(0, 12, 400).tolist(), pods=8)

    ax = delay_distribution(table, laws=False)

    blocks = delay_blocks(table)
    low, high = cdf_bounds(blocks)
    (band,) = ax.collections
    (path,) = band.get_paths()
    inside = [*zip(blocks.t[1:-1] + 1e-6, ((low + high) / 2)[1:-1], strict=True)]
    assert path.contains_points(inside).all()
    ends = confidence(blocks)["p50_s"]
    assert ends is not None
    across = [x for x in np.linspace(0, 12, 2401) if path.contains_point((x, 0.5))]
    step = float(np.diff(blocks.t).max())  # an end may lie one step beside
    assert (across[0], across[-1]) == pytest.approx(ends, abs=step)
    assert legend(ax) == ["10 s, Watch", "95 % confidence"]


@pytest.mark.parametrize(
    "table",
    [
        delays([float(k % 12) for k in range(100)], pods=5),
        delays([1.0] * 100, pods=8),
        delays([*map(float, range(12)), math.nan], pods=8),
    ],
    ids=["five pods", "all equal", "a timeout"],
)
def test_there_is_no_band_where_an_interval_is_refused(table: pd.DataFrame) -> None:
    """Too few pods, equal delays or a timeout: a curve alone."""
    ax = delay_distribution(table, laws=False)

    assert [*ax.collections] == []
    assert legend(ax) == ["10 s, Watch"]


def test_the_band_can_be_left_out() -> None:
    """Without a band the update's instants need not be known."""
    table = delays([*map(float, range(12))], pods=8).drop(columns="acked_ns")

    assert [*delay_distribution(table, band=False).collections] == []
    with pytest.raises(UsageError, match=r"no column acked_ns: take the one of cmhot"):
        delay_distribution(table)


def test_it_speaks_chinese() -> None:
    """Axes, settings and origin are in Chinese, and names of Kubernetes stay."""
    ax = delay_distribution(
        pd.concat([delays([1.0]), delays([math.nan], consumer="env")]),
        modelled=True,
        lang="zh",
    )

    assert ax.get_xlabel() == "延迟（秒）"  # noqa: RUF001 - Chinese punctuation
    assert ax.get_title(loc="right") == "模型结果，非实测"  # noqa: RUF001 - the same
    assert legend(ax)[0] == "10 秒，Watch，env"  # noqa: RUF001 - the same


def test_an_environment_stays_at_zero_and_has_no_law() -> None:
    """A consumer that never updates is drawn as a line at 0."""
    ax = delay_distribution(delays([math.nan], consumer="env"))

    assert curves(ax) == {"10 s, Watch": ([0, 1], [0, 0])}


def test_the_curve_begins_where_a_negative_delay_lies() -> None:
    """A delay below 0 is not cut off."""
    ax = delay_distribution(delays([-0.5, 1.0]), laws=False)

    assert curves(ax)["10 s, Watch"] == ([-0.5, -0.5, 1], [0, 0.5, 1])


def test_axes_have_units() -> None:
    """Axes say what they show, with units; only the model is called modelled."""
    ax = delay_distribution(delays([3.0]))

    assert ax.get_xlabel() == "delay, s"
    assert ax.get_ylabel() == "share of pods\nthat have the update"
    assert ax.get_title(loc="right") == ""

    modelled = delay_distribution(delays([3.0]), modelled=True)

    assert modelled.get_title(loc="right") == "modelled, not measured"


def test_it_draws_on_the_axes_given() -> None:
    """The Axes that come in go out."""
    _, ax = plt.subplots()

    assert delay_distribution(delays([3.0]), ax=ax) is ax


def test_the_law_stands_out_without_colour() -> None:
    """Its dashes are edged with the paper's colour, within a curve that is wider."""
    data, law = delay_distribution(delays([3.0])).get_lines()

    edge: Any
    edge, _ = law.get_path_effects()
    assert edge._gc["foreground"] == (1, 1, 1, 1)
    assert law.get_linewidth() < edge._gc["linewidth"] < data.get_linewidth()


def even(sync_frequency_s: float, strategy: str = "Watch") -> pd.DataFrame:
    """Give delays that are spread from 0 to one and a half times `syncFrequency`."""
    spread = np.linspace(0, 1.5 * sync_frequency_s, 50).tolist()
    return delays(spread, sync_frequency_s=sync_frequency_s, strategy=strategy)


def test_curves_have_their_names_beside_them() -> None:
    """Where there is room a name stands above each curve, and needs no marker."""
    ax = delay_distribution(pd.concat([even(sync) for sync in (5, 10, 20, 60)]))

    assert texts(ax) == [f"{sync} s, Watch" for sync in (5, 10, 20, 60)]
    boxes = [text.get_window_extent() for text in ax.texts]
    assert all(one.x1 < other.x0 for one, other in pairwise(boxes))
    assert legend(ax) == ["law"]
    lines = ax.get_lines()[:4]
    assert {line.get_marker() for line in lines} == {"None"}
    assert len({line.get_color() for line in lines}) == 4


def test_curves_that_lie_on_each_other_have_one_name() -> None:
    """A colour is a `syncFrequency`, a marker a strategy, which the legend tells."""
    ways = ("Watch", "Get", "Cache")
    ax = delay_distribution(pd.concat([even(s, way) for s in (10, 60) for way in ways]))

    assert texts(ax) == ["10 s", "60 s"]
    assert legend(ax) == ["Cache (TTL 0 s)", "Get", "Watch", "law"]
    looks = {
        str(line.get_label()): (line.get_color(), line.get_marker())
        for line in ax.get_lines()[:6]
    }
    assert len(set(looks.values())) == 6
    assert looks["10 s, Get"][0] == looks["10 s, Watch"][0] != looks["60 s, Watch"][0]
    assert looks["10 s, Get"][1] == looks["60 s, Get"][1] != looks["60 s, Watch"][1]


def test_a_strategy_that_is_slower_has_its_own_name() -> None:
    """The name stands above each of the curves of 10 s that end apart."""
    slow = even(60, "Cache").assign(sync_frequency_s=10.0, ttl_s=60.0)
    ax = delay_distribution(pd.concat([even(10), slow, even(40)]), laws=False)

    assert texts(ax) == ["10 s", "40 s", "10 s"]


@pytest.mark.parametrize(
    "table",
    [
        pd.concat([even(sync) for sync in (50, 51, 52, 60)]),
        pd.concat([even(10), delays([3.0, math.nan], sync_frequency_s=60.0)]),
        even(10),
    ],
    ids=["no room", "a curve below 1", "one curve"],
)
def test_else_the_legend_names_them(table: pd.DataFrame) -> None:
    """Where names have no room, or no place, each curve has its marker and entry."""
    ax = delay_distribution(table, laws=False)

    assert texts(ax) == []
    lines = ax.get_lines()
    assert legend(ax) == [line.get_label() for line in lines]
    assert len({line.get_marker() for line in lines} - {"None"}) == len(lines)


def test_settings_are_told_apart_without_colour() -> None:
    """Each setting has its own colour and marker, and the law one entry for all."""
    both = pd.concat(
        [delays([1.0], sync_frequency_s=sync) for sync in (5, 10, 20, 30, 60)]
    )

    ax = delay_distribution(both)

    lines = ax.get_lines()[:5]
    assert len({line.get_marker() for line in lines}) == 5
    assert len({line.get_color() for line in lines}) == 5
    assert legend(ax) == [
        "5 s, Watch",
        "10 s, Watch",
        "20 s, Watch",
        "30 s, Watch",
        "60 s, Watch",
        "law",
    ]


def test_twelve_settings_have_twelve_looks() -> None:
    """Colour and marker differ, and eight markers at least; no two marks coincide."""
    many = pd.concat(
        [
            delays([1.0], sync_frequency_s=sync, strategy=way)
            for sync in (5, 10, 20, 60)
            for way in ("Watch", "Get", "Cache")
        ]
    )

    lines = delay_distribution(many).get_lines()[:12]

    assert len({(line.get_color(), line.get_marker()) for line in lines}) == 12
    assert len({line.get_marker() for line in lines}) >= 8
    marks = [line.get_markevery() for line in lines]
    (every,) = {step for _, step in marks}  # type: ignore[misc]
    starts = sorted(start % every for start, _ in marks)  # type: ignore[misc]
    apart = [b - a for a, b in pairwise([*starts, starts[0] + every])]
    assert min(apart) > 0.015  # of the diagonal of 8.5 inches: a mark is 8 pt wide


def test_no_look_returns_below_36() -> None:
    """Colours and markers have different periods."""
    _, ax = plt.subplots()

    looks = {(colour(ax, number), marker(number)) for number in range(36)}

    assert len(looks) == 36


def test_consumers_are_named_where_there_are_several() -> None:
    """The legend names the consumer only when it matters."""
    ax = delay_distribution(
        pd.concat([delays([1.0]), delays([math.nan], consumer="env")])
    )

    assert {"10 s, Watch, volume", "10 s, Watch, env"} <= set(curves(ax))


def test_many_delays_are_drawn_with_few_corners() -> None:
    """A curve of 5,000 delays keeps its ends and its shape in 501 corners."""
    ax = delay_distribution(delays([k / 500 for k in range(5000)]), laws=False)

    x, share = curves(ax)["10 s, Watch"]
    assert len(x) == 501
    assert (x[0], share[0]) == (0, 0)
    assert (x[-1], share[-1]) == (9.998, 1)
    assert max(np.diff(share)) < 0.0021


def test_nothing_to_draw_is_refused() -> None:
    """A table of unsent updates has no distribution."""
    with pytest.raises(UsageError, match="no delays to draw"):
        delay_distribution(delays([1.0]).assign(status="not_sent"))
