"""Time: nothing else in `cmhot` reads a clock or sleeps.

Code that waits takes a `Clock`, so that a two-minute kubelet delay is a one-millisecond
unit test.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

NS_PER_S = 1_000_000_000
STEP_NS = 10_000_000
"""The machine's clock was set if it deviates by more from the monotonic one. A file's
stamp may be early by as much: the kernel's clock for files moves on every 10 ms."""
LOOK_EVERY_S = 1.0
"""Seconds between two looks at the machine's clock while a run sleeps."""
LOOKS = 3
"""So many looks at both clocks: in one of them nothing comes between."""
CLOCK_LIMIT_S = 0.25
"""A run whose clocks are known worse than this is invalid."""


def ns(seconds: float) -> int:
    """Give seconds in whole nanoseconds."""
    return round(seconds * NS_PER_S)


def has_one_clock(target: object) -> bool:
    """Say whether nodes and collector share one clock: on a testbed they do.

    It may be set in the middle of a run: `cmhot.runs.rundir.OwnClock`.
    """
    return str(target).partition(":")[0] == "testbed"


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


@dataclass(frozen=True, slots=True)
class ClockStep:
    """That a machine's clock was set between two looks at it, or that it slept.

    The looks, `after_ns` and `at_ns`, are of a clock that did not follow; UTC epoch ns.
    """

    after_ns: int
    at_ns: int
    by_ns: int  # above zero: forward


class SteadyClock:
    """A clock for one run: UTC at its beginning, and the time that has passed since.

    Setting the machine's clock in the middle of a run neither hurries its schedule nor
    lengthens its delays, and a machine that slept has not aged. The clock is looked at
    whenever it is read, and each second of a sleep: `take_steps` has what was seen. A
    clock that is slewed is followed: the kernel slews both of its clocks alike.

    Parameters
    ----------
    clock
        The machine's.
    origin
        `origin` of an earlier one on the same boot of the machine, which this one
        continues; None: it begins now.
    ahead_ns, seen_ns
        How far the machine's clock was ahead of the earlier one when last looked at,
        and when that was.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        origin: tuple[int, float] | None = None,
        ahead_ns: int = 0,
        seen_ns: int = 0,
    ) -> None:
        self._clock = clock
        self.origin = origin or (clock.utc_ns(), clock.monotonic())
        self._ahead_ns = ahead_ns  # of the machine's clock, when the last step was seen
        self._seen_ns = seen_ns if origin else self.origin[0]
        self._steps: list[ClockStep] = []
        self.utc_ns()

    def utc_ns(self) -> int:
        """Return the instant now as UTC epoch nanoseconds."""
        now, ahead = self._look()
        if abs(ahead - self._ahead_ns) > STEP_NS:
            # it may be this process that was away between the two clocks
            now, ahead = min((self._look() for _ in range(LOOKS)), key=self._change)
            if abs(ahead - self._ahead_ns) > STEP_NS:
                step = ClockStep(self._seen_ns, now, ahead - self._ahead_ns)
                self._steps.append(step)
                self._ahead_ns = ahead
        self._seen_ns = now
        return now

    def _look(self) -> tuple[int, int]:
        """Return the instant now, and how far the machine's clock is ahead."""
        there = self._clock.utc_ns()
        start_ns, start_s = self.origin
        now = start_ns + ns(self._clock.monotonic() - start_s)
        return now, there - now

    def _change(self, look: tuple[int, int]) -> int:
        return abs(look[1] - self._ahead_ns)

    def monotonic(self) -> float:
        """Return seconds that never jump."""
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait, and look at the clock each second; zero or less returns at once."""
        until_s = self.monotonic() + seconds
        while (left_s := until_s - self.monotonic()) > LOOK_EVERY_S:
            self._clock.sleep(LOOK_EVERY_S)
            self.utc_ns()
        self._clock.sleep(left_s)

    @property
    def ahead_ns(self) -> int:
        """By how much the clock beneath was set since the beginning."""
        return self._ahead_ns

    def take_steps(self) -> list[ClockStep]:
        """Give the steps that were seen since this was asked last."""
        self.utc_ns()
        seen, self._steps = self._steps, []
        return seen


def boot_id() -> str | None:
    """Name this boot of the machine: its monotonic clock is the same all along.

    None where the system has no such name (other than Linux).
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return None


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
