"""What a collection is to do, fixed before it begins: the plan and its schedule."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.clock import NS_PER_S
from cmhot.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmhot.settings import Setting

GAP_SHARE = 1 / 6
"""Mean gap over the shortest `syncFrequency`: the longest gap is then a quarter of it,
so that no sync finds nothing new and two intervals do not look like one."""

SHORTEST_GAP_S = 0.2
"""A write takes some milliseconds; closer together they would queue."""

DEFAULT_SYNC_S = 60.0
"""Assumed for the gap where no setting is known: the kubelet's default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to collect.

    Attributes
    ----------
    pods
        Probe pods per setting.
    duration_s
        Length of the measuring window, from the first trial to the last, in seconds.
    gap_s
        Mean gap between updates in seconds; None: a sixth of the shortest
        `syncFrequency` measured.
    seed
        Of the schedule and of the phases; recorded, so that both can be made again.
    namespace
        An existing namespace to work in, which is not deleted;
        None: one of our own, deleted at the end.
    probe_image
        Image of the probes; None: the testbed's own, else a pinned busybox.
    """

    pods: int = 20
    duration_s: float = 180.0
    gap_s: float | None = None
    seed: int = 1
    namespace: str | None = None
    probe_image: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        if self.pods < 1:
            msg = f"{self.pods} pods cannot measure anything: ask for at least one"
            raise UsageError(msg)
        if not self.duration_s > 0:
            msg = f"a duration of {self.duration_s:g} s is empty: try --duration 3m"
            raise UsageError(msg)
        if self.gap_s is not None and self.gap_s < SHORTEST_GAP_S:
            msg = (
                f"updates every {self.gap_s:g} s would queue at the API server: "
                f"the gap is at least {SHORTEST_GAP_S:g} s"
            )
            raise UsageError(msg)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as run.json keeps it."""
        return asdict(self)

    def mean_gap_s(self, settings: Sequence[Setting]) -> float:
        """Return the mean gap between updates for these settings, in seconds."""
        if self.gap_s is not None:
            return self.gap_s
        shortest = min(
            (setting.sync_frequency_s for setting in settings), default=DEFAULT_SYNC_S
        )
        return max(shortest * GAP_SHARE, SHORTEST_GAP_S)


def update_offsets_ns(
    rng: np.random.Generator, *, duration_s: float, gap_s: float
) -> list[int]:
    """Draw the instants of the updates, before anything is known of their outcome.

    Gaps are independent and uniform on [0.5, 1.5]·``gap_s``: bounded, so that
    every sync finds something new, and jittered, so that the updates do not lock
    onto the kubelets' ticks.

    Returns
    -------
    list of int
        Nanoseconds after the beginning of the window, ascending, within it;
        at least one.
    """
    most = int(2 * duration_s / gap_s) + 2
    gaps = rng.uniform(0.5 * gap_s, 1.5 * gap_s, size=most)
    instants = np.cumsum(gaps) - gaps[0] * rng.uniform()
    inside = instants[instants < duration_s]
    if inside.size == 0:
        inside = np.array([duration_s / 2])
    return [round(instant * NS_PER_S) for instant in inside]
