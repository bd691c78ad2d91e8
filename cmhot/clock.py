"""Time: nothing else in `cmhot` reads a clock or sleeps.

Code that waits takes a `Clock`, so that a two-minute kubelet delay is a one-millisecond
unit test.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol

NS_PER_S = 1_000_000_000


def ns(seconds: float) -> int:
    """Give seconds in whole nanoseconds."""
    return round(seconds * NS_PER_S)


class Clock(Protocol):
    """The three uses of time: stamps, durations, waiting."""

    def utc_ns(self) -> int:
        """Return the instant now as UTC epoch nanoseconds: for stamps."""

    def monotonic(self) -> float:
        """Return seconds that never jump: for durations and deadlines."""

    def sleep(self, seconds: float) -> None:
        """Wait; zero or less returns at once."""


class SystemClock:
    """The clock of this machine."""

    def utc_ns(self) -> int:
        """Return `time.time_ns()`."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Return `time.monotonic()`."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Sleep in real time."""
        if seconds > 0:
            time.sleep(seconds)


class VirtualClock:
    """A clock that moves only when somebody sleeps on it; the model cluster has one.

    It starts at `start_ns`, UTC epoch nanoseconds; the default is an arbitrary round
    instant, 2026-01-01T00:00:00Z.
    """

    def __init__(self, start_ns: int = 1_767_225_600 * NS_PER_S) -> None:
        self._start_ns = start_ns
        self._elapsed_ns = 0
        self._lock = threading.Lock()  # many pods are inspected in threads

    def utc_ns(self) -> int:
        """Return the virtual instant."""
        return self._start_ns + self._elapsed_ns

    def monotonic(self) -> float:
        """Return the virtual seconds since the start."""
        return self._elapsed_ns / NS_PER_S

    def sleep(self, seconds: float) -> None:
        """Move the clock on; time never goes backwards."""
        if seconds > 0:
            with self._lock:
                self._elapsed_ns += ns(seconds)


class SteadyClock:
    """A clock for one run: UTC at its beginning, and the time that has passed since.

    Setting the machine's clock in the middle of a run neither hurries its schedule nor
    lengthens its delays. A clock that is slewed is followed.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start_ns = clock.utc_ns()
        self._start_s = clock.monotonic()

    def utc_ns(self) -> int:
        """Return the instant now as UTC epoch nanoseconds."""
        passed_s = self._clock.monotonic() - self._start_s
        return self._start_ns + ns(passed_s)

    def monotonic(self) -> float:
        """Return seconds that never jump."""
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait; zero or less returns at once."""
        self._clock.sleep(seconds)

    def stepped_ns(self) -> int:
        """Return by how much the clock beneath was set since the beginning."""
        return self._clock.utc_ns() - self.utc_ns()


def describe(clock: Clock) -> dict[str, object]:
    """Give name, implementation and resolution of the clock that stamped a run.

    ``resolution_s`` is what the operating system claims, not what was measured.
    """
    if isinstance(clock, SystemClock):
        info = time.get_clock_info("time")
        return {
            "name": "CLOCK_REALTIME",
            "implementation": info.implementation,
            "resolution_s": info.resolution,
        }
    return {"name": "virtual", "implementation": "counter", "resolution_s": 1e-9}
