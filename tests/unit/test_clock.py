"""Clocks: stamps and durations move together, and only when somebody sleeps."""

from __future__ import annotations

from cmhot.clock import NS_PER_S, SteadyClock, SystemClock, VirtualClock, describe


def test_virtual_clock_moves_only_by_sleeping() -> None:
    """Sleeping moves stamp and duration by the same amount, exactly."""
    clock = VirtualClock(start_ns=1_000)

    clock.sleep(91.2)

    assert clock.utc_ns() == 91_200_001_000
    assert clock.monotonic() == 91.2


def test_virtual_clock_never_goes_back() -> None:
    """Sleeping for a negative time changes nothing."""
    clock = VirtualClock(start_ns=1_000)

    clock.sleep(-5)

    assert clock.utc_ns() == 1_000
    assert clock.monotonic() == 0


def test_system_clock_does_not_go_back() -> None:
    """Two looks at the monotonic clock are in order, and a sleep of 0 returns."""
    clock = SystemClock()
    before = clock.monotonic()

    clock.sleep(0)

    assert clock.monotonic() >= before
    assert clock.utc_ns() > 1_700_000_000_000_000_000  # after November 2023


def test_description_names_the_clock() -> None:
    """A run's provenance says which clock stamped it."""
    assert describe(VirtualClock())["name"] == "virtual"
    assert describe(SystemClock())["name"] == "CLOCK_REALTIME"


def test_a_clock_that_is_set_does_not_move_the_run() -> None:
    """Stamps go on as if nothing happened, and the step is known."""

    class Settable(VirtualClock):
        stepped_ns = 0

        def utc_ns(self) -> int:
            return super().utc_ns() + self.stepped_ns

    below = Settable()
    clock = SteadyClock(below)
    began = clock.utc_ns()

    below.sleep(5)
    below.stepped_ns = 3600 * NS_PER_S
    below.sleep(5)

    assert clock.utc_ns() - began == 10 * NS_PER_S
    assert clock.ahead_ns == 3600 * NS_PER_S
