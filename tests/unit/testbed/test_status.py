"""The processes of a testbed are found by their arguments, and none is overlooked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from cmhot.clock import VirtualClock
from cmhot.cluster.testbed import status
from cmhot.cluster.testbed.status import FoundProcess

if TYPE_CHECKING:
    import pytest

RUN = Path("/state/testbed/x/run")


def test_one_scan_that_finds_nothing_proves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process between two programs shows no arguments; the next scan ends it."""
    scans = [[], [FoundProcess(pid=7, is_first=False)], [], [], [], []]
    killed: list[int] = []
    monkeypatch.setattr(status, "find_processes", lambda _: iter(scans.pop(0)))
    monkeypatch.setattr(os, "kill", lambda pid, _: killed.append(pid))

    left = status.kill_testbed(RUN, clock=VirtualClock(), deadline_s=5)

    assert (left, killed) == ([], [7])


def test_what_does_not_end_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the deadline the processes that live are named."""
    monkeypatch.setattr(
        status, "find_processes", lambda _: iter([FoundProcess(pid=7, is_first=False)])
    )
    monkeypatch.setattr(os, "kill", lambda *_: None)

    assert status.kill_testbed(RUN, clock=VirtualClock(), deadline_s=0.1) == [7]


def test_arguments_make_a_testbed(tmp_path: Path) -> None:
    """A process that only runs in the folder is none of the testbed's."""
    assert list(status.find_processes(tmp_path)) == []
