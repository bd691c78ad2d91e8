"""A probe's log: what is new, what is lost, what is not ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cmhot.clock import NS_PER_S
from cmhot.cluster.probe import ProbeLog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from cmhot.cluster.probe import News

T0 = 1_767_225_600 * NS_PER_S  # 2026-01-01T00:00:00Z


def line(second: float, seq: object, *, late: float = 0.1) -> str:
    """Give the line of a publication, seconds after T0."""
    published, read = f"{second:012.9f}", f"{second + late:012.9f}"
    return (
        f"2026-01-01T00:00:{read}Z publication {seq} "
        f"2026-01-01 00:00:{published} +0000\n"
    )


def said(second: float, text: str) -> str:
    """Give another line of the probe."""
    return f"2026-01-01T00:00:{second:012.9f}Z {text}\n"


def at(second: float) -> int:
    """Give an instant in UTC epoch nanoseconds."""
    return T0 + round(second * NS_PER_S)


def log() -> ProbeLog:
    """Give a log of which nothing is known."""
    return ProbeLog(node="n", pod="p", uid="u", configmap="probe")


def take(probe: ProbeLog, text: str, *, second: float = 59, highest: int = 99) -> News:
    """Read a log at a second after T0."""
    return probe.take(text, at_ns=at(second), highest=highest)


def test_known_lines_are_no_news() -> None:
    """Reading a log again brings what came after, and nothing twice."""
    probe = log()
    first = take(probe, said(1, "start 5") + line(1, 0) + line(7, 3))

    second = take(probe, line(7, 3) + line(13, 9))

    assert [row["seq"] for row in first.publications] == [0, 3]
    assert [row["seq"] for row in second.publications] == [9]
    assert first.incidents == second.incidents == []


def test_a_rotated_log_is_a_gap() -> None:
    """Where the last known line is gone, so may be others: up to the first there is."""
    probe = log()
    take(probe, line(1, 0) + line(7, 3), second=8)

    news = take(probe, line(20, 12) + line(26, 20), second=30)

    ((_, kind, detail),) = news.incidents
    assert kind == "gap"
    assert (detail["from_ns"], detail["to_ns"]) == (at(7.1), at(20.1))
    assert [row["seq"] for row in news.publications] == [12, 20]
    assert take(probe, line(26, 20), second=40).incidents == []


def test_a_gap_begins_at_the_last_look() -> None:
    """What was not in the log two seconds before a look came after that."""
    probe = log()
    take(probe, line(1, 0), second=1.5)
    take(probe, line(1, 0), second=15)

    news = take(probe, line(20, 12), second=30)

    assert news.incidents[0][2]["from_ns"] == at(13)


def test_a_log_rotated_away_and_silent_since_is_no_gap_yet() -> None:
    """An empty log says nothing; the gap comes with the next line."""
    probe = log()
    take(probe, line(1, 0), second=2)

    assert take(probe, "", second=10).incidents == []

    ((_, kind, detail),) = take(probe, line(20, 12), second=30).incidents
    assert (kind, detail["from_ns"]) == ("gap", at(1.1))


def test_a_container_that_starts_again_is_a_restart() -> None:
    """Its new log begins with ``start``: a gap before it, and a restart at it."""
    probe = log()
    take(probe, said(1, "start 5") + line(1, 0) + line(7, 3), second=8)

    news = take(probe, said(15, "start 19") + line(14, 8, late=1.1), second=30)

    assert [(when, kind) for when, kind, _ in news.incidents] == [
        (at(15), "gap"),
        (at(15), "restart"),
    ]
    assert [row["seq"] for row in news.publications] == [8]


def test_a_probe_that_did_not_look_says_so() -> None:
    """Its own gap lines are told once."""
    probe = log()
    text = line(1, 0) + said(9, "gap 5")

    news = take(probe, text)

    ((_, kind, detail),) = news.incidents
    assert (kind, detail["from_ns"], detail["to_ns"]) == ("gap", at(4), at(9))
    assert take(probe, text).incidents == []


def test_what_is_not_ours_is_kept_out() -> None:
    """A stranger's content hides the updates before it, until ours comes again."""
    probe = log()
    text = line(1, 0) + line(7, 3) + line(13, "hello") + line(19, 999) + line(25, 2)

    news = take(probe, text + line(31, 20), highest=20)

    assert [row["seq"] for row in news.publications] == [0, 3, 20]
    kinds = [kind for _, kind, _ in news.incidents]
    assert kinds == ["foreign", "foreign", "foreign", "gap"]
    gap = news.incidents[-1][2]
    assert (gap["from_ns"], gap["to_ns"]) == (at(13) - 1, at(31))


def test_a_log_is_taken_up_where_it_was_left() -> None:
    """A later collector that restores the record reads on without a gap or a repeat."""
    probe, again = log(), log()
    text = said(1, "start 5") + line(1, 0) + line(7, 3) + said(9, "gap 5")
    news = take(probe, text, second=10)
    events = [
        {"at_ns": when, "kind": kind, "detail": detail}
        for when, kind, detail in news.incidents
    ]

    again.restore(news.publications, events)
    later = take(again, text + line(13, 9), second=20)

    assert [row["seq"] for row in later.publications] == [9]
    assert later.incidents == []


EVENTFUL = (
    line(1, 0)
    + line(7, 3)
    + said(9, "gap 1")
    + line(13, "hello")
    + line(19, 12)
    + said(22, "start 23")
    + line(25, 14)
    + line(31, 20)
)
"""Publications with a gap, a stranger's content and a restart between them."""


def written(news: News) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the rows that a collector writes, each with its file, in its order."""
    for rows, told in news.stretches():
        yield from (("publications", row) for row in rows)
        for when, kind, detail in told:
            yield "events", {"at_ns": when, "kind": kind, "detail": detail}


@pytest.mark.parametrize("kept", range(len([*written(take(log(), EVENTFUL))]) + 1))
def test_killed_while_it_writes_down_a_look_a_collector_loses_nothing(
    kept: int,
) -> None:
    """After any number of rows the next collector adds just those that are missing."""
    every = [*written(take(log(), EVENTFUL))]
    before = every[:kept]
    again = log()

    again.restore(
        [row for file, row in before if file == "publications"],
        [row for file, row in before if file == "events"],
    )

    assert [*before, *written(take(again, EVENTFUL))] == every
