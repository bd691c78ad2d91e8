"""A clock for one run: the machine's, without its steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmhot.clock import NS_PER_S

if TYPE_CHECKING:
    from cmhot.clock import Clock


class SteadyClock:
    """UTC as it was at the beginning, and what has passed since without jumps.

    Somebody who sets the machine's clock in the middle of a run neither hurries its
    schedule nor lengthens its delays. A clock that is slewed is followed.

    Parameters
    ----------
    clock
        The clock beneath.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start_ns = clock.utc_ns()
        self._start_s = clock.monotonic()

    def utc_ns(self) -> int:
        """Return the instant now as UTC epoch nanoseconds."""
        passed_s = self._clock.monotonic() - self._start_s
        return self._start_ns + round(passed_s * NS_PER_S)

    def monotonic(self) -> float:
        """Return seconds that never jump."""
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait; zero or less returns at once."""
        self._clock.sleep(seconds)

    def stepped_ns(self) -> int:
        """Tell how far the clock beneath was set since the beginning, nanoseconds."""
        return self._clock.utc_ns() - self.utc_ns()
