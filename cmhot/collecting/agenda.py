"""What is to be done when: every write of a collection, before the first is made.

The agenda is a function of what run.json holds (seed, plan, settings, pods, the
instant at which it begins), so that it can be made again after the collector died,
and no outcome can change it (open loop).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.clock import NS_PER_S
from cmhot.law import equilibrium
from cmhot.plan import (
    DEFAULT_SYNC_S,
    Plan,
    burn_in_s,
    drain_s,
    update_offsets_ns,
)
from cmhot.runs import schema
from cmhot.settings import Setting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TRIAL, SCRAMBLE = "trial", "scramble"


@dataclass(frozen=True, slots=True)
class Write:
    """One write to the ConfigMap.

    Attributes
    ----------
    at_ns
        When it is due, UTC epoch nanoseconds.
    next_ns
        When the next one is: its slot ends then.
    seq
        Its number, from 1.
    pod
        The pod that is annotated after it, which syncs it; None: a trial.
    """

    at_ns: int
    next_ns: int
    seq: int
    pod: str | None

    @property
    def purpose(self) -> str:
        """Whether its delay counts."""
        return TRIAL if self.pod is None else SCRAMBLE


@dataclass(frozen=True, slots=True)
class Agenda:
    """All writes of a collection, and its instants (UTC epoch nanoseconds).

    Attributes
    ----------
    begin_ns
        The first scrambling write is due after it.
    measure_from_ns, measure_until_ns
        The measuring window.
    end_ns
        When every pod must have the last update.
    writes
        In their order.
    """

    begin_ns: int
    measure_from_ns: int
    measure_until_ns: int
    end_ns: int
    writes: tuple[Write, ...]

    @property
    def trials(self) -> int:
        """How many trials are planned."""
        return sum(write.pod is None for write in self.writes)

    @property
    def digest(self) -> str:
        """Tell by one word whether two agendas are the same."""
        words = [(write.at_ns, write.pod) for write in self.writes]
        return hashlib.sha256(repr(words).encode()).hexdigest()[:16]


def make_agenda(
    plan: Plan,
    settings: Sequence[Setting],
    pods: Sequence[tuple[str, Setting | None]],
    *,
    begin_ns: int,
) -> Agenda:
    """Draw all instants from the plan's seed.

    Each pod whose law is known is synced once, at an instant of its own,
    so that its phase is as of a random instant from then on.

    Parameters
    ----------
    plan
        With the seed.
    settings
        All that are measured.
    pods
        Name and setting of each probe; None: not known.
    begin_ns
        UTC epoch nanoseconds.
    """
    rng = np.random.default_rng(plan.seed)
    writes: list[Write] = []
    for pod, setting in pods:
        if setting is not None:
            (wait_s,) = equilibrium(setting, rng, 1)
            at_ns = begin_ns + round(float(wait_s) * NS_PER_S)
            writes.append(Write(at_ns=at_ns, next_ns=0, seq=0, pod=pod))
    burn_s = burn_in_s(settings, late=float(rng.random()))
    first = begin_ns + round(burn_s * NS_PER_S)
    until = first + round(plan.duration_s * NS_PER_S)
    end = until + round(drain_s(settings) * NS_PER_S)
    offsets = update_offsets_ns(
        rng, duration_s=plan.duration_s, gap_s=plan.mean_gap_s(settings)
    )
    writes += [
        Write(at_ns=first + offset, next_ns=0, seq=0, pod=None) for offset in offsets
    ]
    ordered = sorted(writes, key=attrgetter("at_ns"))
    following = [write.at_ns for write in ordered[1:]] + [end]
    numbered = (
        replace(write, seq=seq, next_ns=next_ns)
        for seq, (write, next_ns) in enumerate(
            zip(ordered, following, strict=True), start=1
        )
    )
    return Agenda(begin_ns, first, until, end, tuple(numbered))


def agenda_of(meta: Mapping[str, Any]) -> Agenda:
    """Make the agenda of a run again, from its run.json."""
    known = {node: schema.setting_of(entry) for node, entry in meta["settings"].items()}
    return make_agenda(
        Plan.from_dict(meta["plan"]),
        [setting or Setting(DEFAULT_SYNC_S) for setting in known.values()],
        [(entry["pod"], known.get(entry["node"])) for entry in meta["pods"]],
        begin_ns=meta["begin_ns"],
    )
