"""What is done between writes, where it delays none: looks, lists, clocks."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cmhot.clock import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmhot.clock import Clock

STARVED_S = 30.0
"""An errand that found no room for so long takes it."""


@dataclass(slots=True, order=True)
class _Errand:
    at_ns: int
    number: int
    every_ns: int = field(compare=False)
    takes_ns: int = field(compare=False)
    do: Callable[[], None] = field(compare=False)


@dataclass(slots=True)
class Errands:
    """Things to be done again and again.

    Attributes
    ----------
    clock
        By which they are due.
    """

    clock: Clock
    _heap: list[_Errand] = field(default_factory=list)

    def add(
        self, do: Callable[[], None], *, first_ns: int, every_s: float, takes_s: float
    ) -> None:
        """Put an errand on the list.

        Parameters
        ----------
        do
            What.
        first_ns
            When first, UTC epoch nanoseconds.
        every_s
            How often.
        takes_s
            It is put off when a write is due sooner than this.
        """
        errand = _Errand(
            at_ns=first_ns,
            number=len(self._heap),
            every_ns=round(every_s * NS_PER_S),
            takes_ns=round(takes_s * NS_PER_S),
            do=do,
        )
        heapq.heappush(self._heap, errand)

    def until(self, write_ns: int) -> None:
        """Do what is due before a write, and return in time for it."""
        put_off: list[_Errand] = []
        while self._heap and self._heap[0].at_ns < write_ns:
            errand = heapq.heappop(self._heap)
            begin = max(errand.at_ns, self.clock.utc_ns())
            starved = begin - errand.at_ns > STARVED_S * NS_PER_S
            if begin + errand.takes_ns > write_ns and not starved:
                put_off.append(errand)
                continue
            self.clock.sleep((errand.at_ns - self.clock.utc_ns()) / NS_PER_S)
            errand.do()
            errand.at_ns = max(errand.at_ns + errand.every_ns, self.clock.utc_ns())
            heapq.heappush(self._heap, errand)
        for errand in put_off:
            heapq.heappush(self._heap, errand)
