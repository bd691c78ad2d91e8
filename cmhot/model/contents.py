"""What a kubelet finds when it looks at a ConfigMap, by its strategy.

All instants are whole nanoseconds since the model's start, so that ties are exact.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right

NEVER = -(1 << 62)
"""Before every instant, in nanoseconds; small enough that sums stay integers of C."""


class History:
    """What a ConfigMap contained, and from when on: the API server's side.

    A content is its number: two contents are equal when their numbers are.

    Attributes
    ----------
    instants_ns
        When each write was acknowledged, ascending.
    numbers
        What each of them wrote.
    """

    __slots__ = ("instants_ns", "numbers")

    def __init__(self) -> None:
        self.instants_ns = array("q")
        self.numbers = array("q")

    def write(self, number: int, *, at_ns: int) -> None:
        """Note a write; none is earlier than the one before."""
        self.instants_ns.append(at_ns)
        self.numbers.append(number)


class Content:
    """A ConfigMap as one kubelet has it, where each look finds what there is.

    So it is under Watch, whose store is late by the watch's latency,
    under Get, and under Cache where the TTL is without effect,
    whose requests find what was written some milliseconds before.

    Looks come in the order of their instants.

    Parameters
    ----------
    history
        The ConfigMap.
    staleness_ns
        How old a write must be to be found.
    """

    __slots__ = ("_history", "_staleness_ns", "_written")

    def __init__(self, history: History, *, staleness_ns: int) -> None:
        self._history = history
        self._staleness_ns = staleness_ns
        self._written = 0

    def read(self, at_ns: int) -> int | None:
        """Return the number that a look finds; None: there is no ConfigMap yet."""
        instants = self._history.instants_ns
        due = at_ns - self._staleness_ns
        if self._written < len(instants) and instants[self._written] <= due:
            self._written = bisect_right(instants, due, self._written)
        return self._history.numbers[self._written - 1] if self._written else None

    def forget(self) -> None:
        """Do nothing: no look relies on an earlier one."""


class CachedContent(Content):
    """A ConfigMap in the Cache strategy's store: fetched again when its TTL is over.

    One entry serves all pods of the node. A look fetches if and only if the TTL
    has passed since the last fetch ended (`isObjectFresh`,
    pkg/kubelet/util/manager/cache_based_manager.go), or the entry was forgotten.

    Parameters
    ----------
    history, staleness_ns
        As of `Content`; a fetch takes as long as a write needs to be found.
    ttl_ns
        Time to live, above 0.
    """

    __slots__ = ("_fetched_ns", "_found", "_ttl_ns")

    def __init__(self, history: History, *, staleness_ns: int, ttl_ns: int) -> None:
        super().__init__(history, staleness_ns=staleness_ns)
        self._ttl_ns = ttl_ns
        self._fetched_ns = NEVER
        self._found: int | None = None

    def read(self, at_ns: int) -> int | None:
        """Return what the entry holds, fetched anew when it is due."""
        if at_ns >= self._fetched_ns + self._ttl_ns:
            self._found = super().read(at_ns)
            self._fetched_ns = at_ns + self._staleness_ns
        return self._found

    def forget(self) -> None:
        """Let the next look fetch."""
        self._fetched_ns = NEVER
