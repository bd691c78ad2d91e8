"""When each write of a collection is due, and periodic tasks between the writes.

The schedule follows from what run.json holds (seed, plan, settings, pods, the instant
at which it begins): it can be made again after the collector died, and no outcome can
change it (open loop).
"""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.clock import NS_PER_S, ns
from cmhot.kubelet.settings import Setting
from cmhot.law import equilibrium
from cmhot.runs import schema
from cmhot.runs.plan import DEFAULT_SYNC_S, Plan, burn_in_s, drain_s, update_offsets_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cmhot.clock import Clock


TRIAL, SCRAMBLE = "trial", "scramble"


@dataclass(frozen=True, slots=True)
class Write:
    """One write to the ConfigMap."""

    at_ns: int  # when it is due, UTC epoch ns
    next_ns: int  # when the next one is: its slot ends then
    seq: int  # from 1
    pod: str | None  # annotated after it, which syncs it; None: a trial

    @property
    def purpose(self) -> str:
        """Trial, or scramble: only a trial's delay counts."""
        return TRIAL if self.pod is None else SCRAMBLE


@dataclass(frozen=True, slots=True)
class Schedule:
    """All writes of a collection, and its instants (UTC epoch nanoseconds)."""

    begin_ns: int  # the first scrambling write is due after it
    measure_from_ns: int
    measure_until_ns: int
    end_ns: int  # when every pod must have the last update
    writes: tuple[Write, ...]

    @property
    def trials(self) -> int:
        """How many trials are planned."""
        return sum(write.pod is None for write in self.writes)

    @property
    def digest(self) -> str:
        """A hash by which two schedules can be compared."""
        words = [(write.at_ns, write.pod) for write in self.writes]
        return hashlib.sha256(repr(words).encode()).hexdigest()[:16]


def make_schedule(
    plan: Plan,
    settings: Sequence[Setting],
    pods: Sequence[tuple[str, Setting | None]],
    *,
    begin_ns: int,
) -> Schedule:
    """Draw all instants from the plan's seed.

    Each pod whose law is known is synced once, at an instant of its own, so that its
    phase is as of a random instant from then on. `settings` are all that are measured,
    `pods` the name of each probe and its setting (None: not known).
    """
    rng = np.random.default_rng(plan.seed)
    writes: list[Write] = []
    for pod, setting in pods:
        if setting is not None:
            (wait_s,) = equilibrium(setting, rng, 1)
            at_ns = begin_ns + ns(float(wait_s))
            writes.append(Write(at_ns=at_ns, next_ns=0, seq=0, pod=pod))
    burn_s = burn_in_s(settings, late=float(rng.random()))
    first = begin_ns + ns(burn_s)
    until = first + ns(plan.duration_s)
    end = until + ns(drain_s(settings))
    offsets = update_offsets_ns(
        rng, duration_s=plan.duration_s, gap_s=plan.mean_gap_s(settings)
    )
    writes += [
        Write(at_ns=first + offset, next_ns=0, seq=0, pod=None) for offset in offsets
    ]
    ordered = sorted(writes, key=attrgetter("at_ns"))
    next_at = [write.at_ns for write in ordered[1:]] + [end]
    numbered = (
        replace(write, seq=seq, next_ns=next_ns)
        for seq, (write, next_ns) in enumerate(
            zip(ordered, next_at, strict=True), start=1
        )
    )
    return Schedule(begin_ns, first, until, end, tuple(numbered))


def schedule_of(meta: Mapping[str, Any]) -> Schedule:
    """Make the schedule of a run again, from its run.json."""
    known = {node: schema.setting_of(entry) for node, entry in meta["settings"].items()}
    return make_schedule(
        Plan.from_dict(meta["plan"]),
        [setting or Setting(DEFAULT_SYNC_S) for setting in known.values()],
        [(entry["pod"], known.get(entry["node"])) for entry in meta["pods"]],
        begin_ns=meta["begin_ns"],
    )


STARVED_S = 30.0
"""A task that was put off for so long is done whatever is due."""


@dataclass(slots=True, order=True)
class _Task:
    at_ns: int
    number: int
    every_ns: int = field(compare=False)
    takes_ns: int = field(compare=False)
    do: Callable[[], None] = field(compare=False)


@dataclass(slots=True)
class PeriodicTasks:
    """Periodic tasks between writes, which they must not delay."""

    clock: Clock
    _heap: list[_Task] = field(default_factory=list)

    def add(
        self, do: Callable[[], None], *, first_ns: int, every_s: float, takes_s: float
    ) -> None:
        """Add a task, first due at `first_ns` (UTC epoch ns), then every `every_s`.

        It is put off when a write is due within `takes_s`.
        """
        task = _Task(
            at_ns=first_ns,
            number=len(self._heap),
            every_ns=ns(every_s),
            takes_ns=ns(takes_s),
            do=do,
        )
        heapq.heappush(self._heap, task)

    def until(self, write_ns: int) -> None:
        """Do the tasks that are due before a write, and return in time for it."""
        put_off: list[_Task] = []
        while self._heap and self._heap[0].at_ns < write_ns:
            task = heapq.heappop(self._heap)
            begin = max(task.at_ns, self.clock.utc_ns())
            starved = begin - task.at_ns > STARVED_S * NS_PER_S
            if begin + task.takes_ns > write_ns and not starved:
                put_off.append(task)
                continue
            self.clock.sleep((task.at_ns - self.clock.utc_ns()) / NS_PER_S)
            task.do()
            task.at_ns = max(task.at_ns + task.every_ns, self.clock.utc_ns())
            heapq.heappush(self._heap, task)
        for task in put_off:
            heapq.heappush(self._heap, task)
