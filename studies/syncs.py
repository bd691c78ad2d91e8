"""Draw the instants of very many syncs at once, where no events are needed.

Where each sync reads current content, a pod is a renewal process and nothing else:
its instants are sums of independent intervals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cmhot.errors import UsageError
from cmhot.kubelet.eras import JITTER, LOOP_S, TICK_S, TYPICAL
from cmhot.law import equilibrium, reads_at_every_sync

if TYPE_CHECKING:
    import numpy.typing as npt

    from cmhot.kubelet.eras import Timing
    from cmhot.kubelet.settings import Setting

    Floats = npt.NDArray[np.float64]

WIDE, DEEP = 1024, 16
"""Pods and syncs at a time: three uniforms of each stay in a core's cache, and
sums over syncs are sums of rows, which are long enough to be quick."""


def sync_instants(
    setting: Setting,
    *,
    pods: int,
    syncs: int,
    rng: np.random.Generator,
    timing: Timing = TYPICAL,
) -> Floats:
    """Draw the instants at which pods look at their content, from stationarity on.

    Each pod is on a node of its own, so that pods are independent; as of instant 0
    each is in equilibrium. The first sync follows `equilibrium`; the intervals after
    it are those of `interval_pmf`, whole seconds; a look is later than its sync by
    the two volume loops. (So of the looks before 0.2 s some are missing:
    those of syncs before 0.)

    Parameters
    ----------
    setting
        Where each sync reads current content.
    pods, syncs
        How many pods, and syncs of each.
    rng
        Three uniform numbers are drawn per sync; without loops one.
    timing
        Only its ``sync_s`` and ``has_loops`` count.

    Returns
    -------
    array
        Seconds, ascending along each row; shape (pods, syncs).

    Raises
    ------
    UsageError
        For a setting at which syncs share what one of them fetched.
    """
    if not reads_at_every_sync(setting):
        msg = (
            f"at {setting} a sync may find what another one fetched, and pods are "
            "not independent: use cmhot.cluster.model.simulate, which knows the cache"
        )
        raise UsageError(msg)
    first = equilibrium(setting, rng, pods)
    found = np.empty((syncs, pods))
    for left in range(0, pods, WIDE):
        strip = found[:, left : left + WIDE]
        before = np.zeros(strip.shape[1])
        for top in range(0, syncs, DEEP):
            part = strip[top : top + DEEP]
            _draw_gaps(part, setting, rng, timing)
            if top == 0:
                part[0] = first[left : left + WIDE]
            for row in part:
                before = np.add(row, before, out=row)
            before = before.copy()  # since the rows are put later by the loops
            if timing.has_loops:
                _add_loops(part, rng)
    return found.T


def _draw_gaps(
    part: Floats, setting: Setting, rng: np.random.Generator, timing: Timing
) -> None:
    """Fill with intervals between two syncs: ⌊S (1 + U/2) + ε⌋ + 1 ticks of 1 s."""
    gaps = rng.random(part.shape)
    gaps *= setting.sync_frequency_s * JITTER
    gaps += setting.sync_frequency_s + timing.sync_s + TICK_S
    np.floor(gaps, out=part)


def _add_loops(part: Floats, rng: np.random.Generator) -> None:
    """Put each look after its sync by the rest of the two volume loops' pauses."""
    loops = rng.random((2, *part.shape))
    both = loops[0]
    both += loops[1]
    both *= LOOP_S
    part += both
