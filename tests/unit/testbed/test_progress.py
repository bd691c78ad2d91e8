"""Whoever waits is told how far it is, and a log is not filled with it."""

from __future__ import annotations

import io
import sys

import pytest

from cmhot.clock import VirtualClock
from cmhot.cluster.testbed.programs.download import bar, lines, suitable


def test_a_line_every_half_minute() -> None:
    """Eight minutes that advance each second are told in sixteen lines."""
    clock, said = VirtualClock(), list[str]()
    with lines(said.append, clock=clock)("compiling pair", unit="packages") as advance:
        for second in range(1, 481):
            clock.sleep(1)
            advance(second, total=1000)

    assert len(said) == 16
    assert said[0] == "compiling pair: 30 of 1000 packages"
    assert said[-1] == "compiling pair: 480 of 1000 packages"


def test_quick_work_says_nothing() -> None:
    """What is done within half a minute needs no line."""
    clock, said = VirtualClock(), list[str]()
    with lines(said.append, clock=clock)("compiling pair", unit="packages") as advance:
        clock.sleep(29.9)
        advance(5, total=5)

    assert said == []


@pytest.mark.parametrize(
    ("unit", "done", "total", "line"),
    [
        pytest.param("B", 12_999_999, 340_000_000, "it: 12 of 340 MB", id="bytes"),
        pytest.param("B", 12_000_000, None, "it: 12 MB", id="bytes-of-unknown"),
        pytest.param("modules", 7, None, "it: 7 modules", id="things-of-unknown"),
    ],
)
def test_amounts(unit: str, done: int, total: int | None, line: str) -> None:
    """Bytes are told in megabytes, and a total that is not known is left out."""
    clock, said = VirtualClock(), list[str]()
    with lines(said.append, clock=clock)("it", unit=unit) as advance:
        clock.sleep(30)
        advance(done, total=total)

    assert said == [line]


def test_terminal_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars are for terminals; elsewhere lines go where all reports go."""
    terminal, file = io.StringIO(), io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)

    monkeypatch.setattr(sys, "stderr", terminal)
    assert suitable(print) is bar
    monkeypatch.setattr(sys, "stderr", file)
    assert suitable(print) is not bar


def test_bar_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Logs of a CI job are not filled with bars."""
    with bar("downloading", unit="B") as advance:
        advance(1, total=2)

    assert capsys.readouterr() == ("", "")
