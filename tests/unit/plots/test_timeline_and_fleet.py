"""One update's life, and a fleet's, by what the figures' artists hold."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from cmhot.errors import UsageError
from cmhot.plots import fleet_maximum, update_timeline
from tests.unit.plots.tables import S, bars, curves, dashed, legend, texts

MS = S // 1000


def run(*, planned_ns: int | None = 100 * S) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give two updates, and three pods of two nodes; one skips the first update."""
    updates = pd.DataFrame(
        {
            "seq": [1, 2],
            "planned_ns": pd.array([planned_ns, 110 * S], dtype="Int64"),
            "sent_ns": pd.array([100 * S + 3 * MS, 110 * S], dtype="Int64"),
            "acked_ns": pd.array([100 * S + 9 * MS, None], dtype="Int64"),
        }
    )
    publications = pd.DataFrame(
        [
            ("a", "a1", 1, 104 * S + 9 * MS),
            ("a", "a1", 2, 115 * S),
            ("a", "a2", 0, 99 * S),
            ("a", "a2", 2, 112 * S + 9 * MS),
            ("b", "b1", 1, 102 * S + 9 * MS),
        ],
        columns=["node", "pod", "seq", "published_ns"],
    ).assign(consumer="volume")
    return updates, publications


def test_each_pod_has_its_turn() -> None:
    """Seconds from the acknowledgement to a pod's first publication that has it."""
    ax = update_timeline(*run(), seq=1)

    assert curves(ax)["a"] == ([4, 12], [2, 3])
    assert curves(ax)["b"] == ([2], [1])
    assert legend(ax) == ["a", "b"]
    assert texts(ax) == ["update planned −9 ms, sent −6 ms,\nacknowledged 0 ms"]  # noqa: RUF001 - minus
    assert ax.get_xlabel() == "seconds since the API server's answer"
    assert ax.get_ylabel() == "pods, in the order they saw it"
    bottom, top = ax.get_ylim()
    assert bottom > 3
    assert top < 1


def test_one_node_needs_no_legend() -> None:
    """The pods of one node are all alike."""
    updates, publications = run()

    ax = update_timeline(updates, publications[publications["node"] == "a"], seq=1)

    assert legend(ax) == []


def test_a_plan_that_is_not_known_is_a_dash() -> None:
    """A run that somebody else wrote need not say what was planned."""
    ax = update_timeline(*run(planned_ns=None), seq=1)

    assert "planned –, sent −6 ms" in texts(ax)[0]  # noqa: RUF001 - dash and minus


@pytest.mark.parametrize("seq", [2, 7], ids=["not acknowledged", "not there"])
def test_an_update_without_an_answer_has_no_timeline(seq: int) -> None:
    """The message says which there are."""
    with pytest.raises(UsageError, match=rf"update {seq} .* choose one of 1 … 2"):
        update_timeline(*run(), seq=seq)


def test_an_update_that_nobody_published_is_refused() -> None:
    """Without a publication there is nothing to draw."""
    updates, publications = run()

    with pytest.raises(UsageError, match="no pod published update 1"):
        update_timeline(updates, publications[publications["seq"] < 1], seq=1)


def fleet() -> pd.DataFrame:
    """Give fleets of 1, 10 and 12 pods; of 12 without limits."""
    table = pd.DataFrame({"pods": [1, 10, 12]})
    for name, value in {"p50": 6.0, "p95": 12.0, "p99": 14.0}.items():
        table[f"{name}_s"] = value
        table[f"{name}_low_s"] = [value - 1, value - 1, math.nan]
        table[f"{name}_high_s"] = [value + 2, value + 2, math.nan]
        table[f"{name}_law_s"] = value + 0.5
    return table


def test_a_fleets_quantiles_stand_over_its_size() -> None:
    """With limits where there are, and the law as a dashed line through."""
    ax = fleet_maximum(fleet())

    assert ax.get_xscale() == "log"
    assert bars(ax, 0) == [[[1, 5], [1, 8]], [[10, 5], [10, 8]], [[12, 6], [12, 6]]]
    assert dashed(ax) == [6.5, 12.5, 14.5]
    assert legend(ax) == ["p99", "p95", "median (p50)", "law"]


def test_ticks_of_near_sizes_do_not_touch() -> None:
    """Of 10 and 12 the last is labelled."""
    ax = fleet_maximum(fleet())

    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "12"]


def test_a_fleet_without_a_law_has_none() -> None:
    """Pods that share a cache: the law is not known, and no line is drawn."""
    laws = {f"{name}_law_s": math.nan for name in ("p50", "p95", "p99")}

    ax = fleet_maximum(fleet().assign(**laws))

    assert dashed(ax) == []
    assert legend(ax) == ["p99", "p95", "median (p50)"]
