"""Figures of rows one above the other, by what their artists hold."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from cmhot.errors import UsageError
from cmhot.plots import (
    change_detection,
    consumer_matrix,
    publication_phase,
    remedies,
    wrong_ways,
)
from tests.unit.plots.tables import S, bars, curves, legend, summary, texts


def test_strategies_stand_one_above_the_other() -> None:
    """Watch, Get, then Cache by its TTL: named, with limits, and the law's ticks."""
    table = pd.concat(
        [
            summary(strategy="Cache", ttl_s=60.0),
            summary(strategy="Cache", ttl_s=15.0, law_p50_s=13.0),
            summary(strategy="Get"),
            summary(),
        ]
    )

    ax = change_detection(table)

    assert texts(ax) == [
        "10 s, Watch",
        "10 s, Get",
        "10 s, Cache (TTL 15 s)",
        "10 s, Cache (TTL 60 s)",
    ]
    assert bars(ax, 0)[0] == [[5.5, 0], [6.25, 0]]
    law, *_ = (line for line in ax.get_lines() if line.get_markersize() == 14)
    assert np.asarray(law.get_xdata()).tolist() == [6.125, 6.125, 13.0, 6.125]
    assert legend(ax) == ["median (p50)", "p90", "p99", "law"]
    assert ax.get_xlabel() == "delay, s"


def test_an_environment_is_no_strategy() -> None:
    """Consumers that never update are left out; alone they are refused."""
    assert (
        len(texts(change_detection(pd.concat([summary(), summary(consumer="env")]))))
        == 1
    )
    with pytest.raises(UsageError, match="no consumer that saw an update"):
        change_detection(summary(consumer="env"))


def test_cells_say_when_a_consumer_sees_it() -> None:
    """Each cell has its word, and in black and white its grey; absent ones a dash."""
    table = pd.DataFrame(
        [
            ("volume", "update", "later"),
            ("volume", "pod restart", "at once"),
            ("env", "update", "never"),
            ("env", "pod restart", None),
        ],
        columns=["consumer", "event", "sees"],
    )

    ax = consumer_matrix(table)

    assert texts(ax) == ["later", "at once", "never", "–"]  # noqa: RUF001 - a dash
    places = [text.xy for text in ax.texts]  # type: ignore[attr-defined]
    assert places == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert len(ax.patches) == 3
    greys = [to_rgba(patch.get_facecolor())[3] for patch in ax.patches]
    assert greys == [0.35, 0.2, 0.5]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["volume", "env"]


def test_a_cell_that_says_something_else_is_refused() -> None:
    """What is drawn has a meaning; the message lists the three."""
    table = pd.DataFrame([{"consumer": "env", "event": "update", "sees": "yes"}])

    with pytest.raises(UsageError, match="'yes': it has to be one of at once, later"):
        consumer_matrix(table)


def trials() -> pd.DataFrame:
    """Give two rollouts and one annotation of unknown cost."""
    return pd.DataFrame(
        {
            "method": ["rollout", "annotate", "rollout"],
            "seconds": [18.0, 0.7, 22.0],
            "restarted": [50, 0, 50],
            "min_ready_share": [0.8, 1.0, 0.76],
            "requests": [1, math.nan, 1],
        }
    )


def test_trials_of_a_remedy_stand_on_a_log_scale() -> None:
    """A dot a trial, a bar at the median, and in words the median and the costs."""
    ax = remedies(trials())

    assert ax.get_xscale() == "log"
    assert curves(ax)["rollout"][0] == [18, 22]
    (bar,) = ax.collections  # of a single trial none
    median = bar.get_paths()[0]
    assert np.asarray(median.vertices)[:, 0].tolist() == [20, 20]
    costs = "{} pods replaced, {} % ready at worst, API writes: {}"
    assert texts(ax) == [
        "rollout: 20 s (median of 2)\n" + costs.format(50, 78, 1),
        "annotate the pods: 0.7 s (one trial)\n" + costs.format(0, 100, "–"),  # noqa: RUF001 - a dash
    ]
    assert ax.get_xlabel() == "seconds until all pods have it (log scale)"


def test_the_scale_is_labelled_without_powers() -> None:
    """1, 2, 5, 10 and 20 are written so; within a decade, too, and nothing else."""
    table = trials()
    for rows, numbers in (
        (table, {"1", "2", "5", "10", "20"}),
        (table.assign(seconds=[1.0, 3.0, 8.0]), {"1", "2", "5"}),
    ):
        ax = remedies(rows)
        ax.figure.canvas.draw()
        written = {label.get_text() for label in ax.get_xticklabels()}
        assert numbers <= written
        assert not any(one.get_text() for one in ax.get_xticklabels(minor=True))


def test_each_way_of_measuring_stands_beside_the_truth() -> None:
    """The right way and the wrong ones have other marks; the truth is a line."""
    table = pd.DataFrame(
        {
            "method": ["open loop", "closed loop"],
            "pause_s": [math.nan, 5.0],
            "mean_s": [38.1, 70.0],
            "low_s": [37.0, math.nan],
            "high_s": [39.5, math.nan],
            "truth_s": 38.25,
        }
    )

    ax = wrong_ways(table)

    assert texts(ax) == [
        "38.1 s",
        "70.0 s",
        "truth: 38.2 s",
        "open loop",
        "closed loop, pause of 5 s",
    ]
    assert bars(ax, 0) == [[[37, 0], [39.5, 0]]]
    assert bars(ax, 1) == [[[70, 1], [70, 1]]]
    markers = {container.lines[0].get_marker() for container in ax.containers}  # type: ignore[attr-defined]
    assert len(markers) == 2
    assert 38.25 in [np.asarray(line.get_xdata())[0] for line in ax.get_lines()]


def test_ways_need_no_pause() -> None:
    """A table of methods and means alone is enough."""
    table = pd.DataFrame({"method": ["by hand"], "mean_s": [10.0], "truth_s": [38.25]})

    assert texts(wrong_ways(table))[-1] == "by hand"


def test_phases_pile_up_on_the_tick() -> None:
    """A row a node: bars of the shares of each 20 ms, down from their line."""
    table = pd.DataFrame(
        {
            "node": ["a", "a", "a", "a", "b"],
            "published_ns": [
                T + 5 * S for T in (850 * S // 1000, 850 * S // 1000 + S, 10, 0, 0)
            ],
        }
    )

    ax = publication_phase(table)

    (values, edges, line), (other, _, other_line) = (
        patch.get_data()  # type: ignore[attr-defined]
        for patch in ax.patches
    )
    height = line - values
    assert np.flatnonzero(height > 1e-9).tolist() == [0, 42]
    assert height[0] == height[42] == pytest.approx(0.5 / 2)  # b's are all in one
    assert (other_line - other).max() == pytest.approx(0.5)
    assert edges[42] == pytest.approx(0.84)
    assert texts(ax)[1] == "b: coherence 1.00"
    assert "0 to 100 %" in ax.get_ylabel()
    assert legend(ax) == ["if spread evenly"]


def test_of_many_nodes_eight_are_shown_and_counted() -> None:
    """Those with most publications, and the figure says that there are more."""
    nodes = [f"n{number:02}" for number in range(10) for _ in range(number + 1)]
    table = pd.DataFrame({"node": nodes, "published_ns": 0})

    ax = publication_phase(table)

    assert ax.get_title(loc="left") == "8 of 10 nodes"
    assert texts(ax)[0] == "n02: coherence 1.00"
