"""How far a collection is, for whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a collection is.

    Attributes
    ----------
    phase
        ``pods``, ``phases``, ``updates``, ``drain`` or ``done``.
    done, total
        Trials dealt with, of all planned.
    remaining_s
        Seconds until the last look.
    last_delay_s
        The newest delay seen so far; None before the first.
    """

    phase: str
    done: int
    total: int
    remaining_s: float
    last_delay_s: float | None
