"""A pod as the modelled kubelet knows it: its volumes, its timer, its worker."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cmhot.clock import NS_PER_S
from cmhot.model.contents import NEVER

if TYPE_CHECKING:
    from cmhot.model.contents import Content

NOT_DUE = -1
"""No tick: the pod is not in the work queue."""

FIRST_BACKOFF_NS = 10 * NS_PER_S
LONGEST_BACKOFF_NS = 300 * NS_PER_S
"""A container that fails waits 10 s before it is started again, and twice as long
each time, up to five minutes (`backOffPeriod`, `MaxContainerBackOff`,
pkg/kubelet/kubelet.go)."""


@dataclass(slots=True, eq=False)
class Volume:
    """A mounted ConfigMap, and what was published in it.

    Attributes
    ----------
    content
        The ConfigMap as the pod's kubelet has it.
    shown
        Number on the disk; None: nothing yet.
    numbers, instants_ns
        Of each publication, in order: 16 bytes in all.
    """

    content: Content
    shown: int | None = None
    numbers: array[int] = field(default_factory=lambda: array("q"))
    instants_ns: array[int] = field(default_factory=lambda: array("q"))

    def publish(self, number: int, *, at_ns: int) -> None:
        """Swap ``..data``."""
        self.shown = number
        self.numbers.append(number)
        self.instants_ns.append(at_ns)


@dataclass(slots=True, eq=False)
class CrashLoop:
    """The back-off of a container that dies as soon as it starts.

    Attributes
    ----------
    died_ns
        When it died last.
    backoff_ns
        How long it then may not be started; 0: it may be at once.
    """

    died_ns: int
    backoff_ns: int = 0

    def left_ns(self, at_ns: int) -> int:
        """Tell how long the back-off lasts yet; 0: a sync starts the container."""
        return max(0, self.died_ns + self.backoff_ns - at_ns)

    def start(self, at_ns: int) -> None:
        """Start the container, which dies, and wait twice as long the next time."""
        longer = min(2 * self.backoff_ns, LONGEST_BACKOFF_NS)
        self.died_ns, self.backoff_ns = at_ns, max(longer, FIRST_BACKOFF_NS)


@dataclass(slots=True, eq=False)
class ModelPod:
    """A pod on a modelled kubelet.

    Attributes
    ----------
    volumes
        Its ConfigMap volumes, all refreshed by each sync.
    due
        Tick at which the work queue will have it ready; `NOT_DUE`: none.
    ended_ns
        When its last sync ended or the one under way will have ended:
        until then its worker is busy.
    is_pending
        Whether its busy worker has a request left to do. It keeps the last one only.
    crash_loop
        None: its containers run.
    is_gone
        Whether it was deleted, and its kubelet does nothing for it any more.
    """

    volumes: tuple[Volume, ...]
    due: int = NOT_DUE
    ended_ns: int = NEVER
    is_pending: bool = False
    crash_loop: CrashLoop | None = None
    is_gone: bool = False

    def start_anew(self) -> None:
        """Forget what a kubelet keeps in memory; volumes and containers stay."""
        self.due, self.ended_ns, self.is_pending = NOT_DUE, NEVER, False
        if self.crash_loop is not None:
            self.crash_loop.backoff_ns = 0
