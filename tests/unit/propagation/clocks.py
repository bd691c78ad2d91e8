"""A clock on which somebody loses patience."""

from __future__ import annotations

from dataclasses import dataclass

from cmhot.clock import VirtualClock


@dataclass(slots=True)
class Interrupted(VirtualClock):
    """A clock on which somebody presses Ctrl-C."""

    at_s: float = 5.0

    def __post_init__(self) -> None:
        """Start."""
        VirtualClock.__init__(self)

    def sleep(self, seconds: float) -> None:
        """Sleep, or be interrupted."""
        VirtualClock.sleep(self, seconds)
        if self.monotonic() >= self.at_s:
            raise KeyboardInterrupt
