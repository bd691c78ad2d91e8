"""Draws of what kubelets would do again: the dependence that rows really have.

A null distribution, or the coverage of an interval, is only as good as this;
it is drawn from the law's own intervals, for many pods at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cmhot.kubelet import IDEAL, LOOP_S
from cmhot.law import (
    equilibrium,
    interval_pmf,
    longest_interval_s,
    reads_at_every_sync,
    refresh_for,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from cmhot.kubelet import Timing
    from cmhot.settings import Setting

    Floats = npt.NDArray[np.float64]
    Codes = npt.NDArray[np.int64]

_BURN_CYCLES = 12
"""Longest cycles that pods sharing a cache are drawn before the window,
from a first fetch at random in a cycle: they vary little, and phases fade slowly."""


def draw_looks(
    setting: Setting,
    rng: np.random.Generator,
    *,
    entry: Codes,
    until_s: float,
    kubernetes: str | None = None,
    timing: Timing = IDEAL,
) -> tuple[Floats, Floats]:
    """Draw when pods look at their content, and of when the content is they see.

    Pods are in equilibrium at 0, and on the tick of their node.

    Parameters
    ----------
    setting
        Of the kubelets.
    rng
        Source of chance.
    entry
        Node and ConfigMap of each pod, by number from 0: pods of one entry share
        what was fetched, under Cache with an effective TTL. Shape (pods,).
    until_s
        End of the window that begins at 0; looks go on for a longest delay beyond it.
    kubernetes
        Version of the kubelets; None: current.
    timing
        What their work costs; its loops blur the looks.

    Returns
    -------
    looks, current
        Seconds, ascending for each pod; each of shape (pods, k).
        Those below 0 are of before the window.
    """
    every = bool(reads_at_every_sync(setting, kubernetes))
    longest = longest_interval_s(setting)
    ttl_s = 0.0 if every else (setting.ttl_s or 0.0)
    burn_s = 0.0 if every else _BURN_CYCLES * (ttl_s + longest)
    values, probabilities = interval_pmf(setting, timing=timing)
    number = int((until_s + 2 * longest + ttl_s + burn_s) / values[0]) + 2
    lives = rng.choice(values, p=probabilities, size=(len(entry), number))
    tick = rng.random(int(entry.max()) + 1)[entry]
    lives[:, 0] = np.ceil(equilibrium(setting, rng, len(entry))) - tick
    looks = np.cumsum(lives, axis=1) - burn_s
    if timing.has_loops:
        looks += rng.uniform(0, LOOP_S, (2, *looks.shape)).sum(axis=0)
    if every:
        return looks, looks
    current = np.empty_like(looks)
    for one in np.unique(entry):
        own = entry == one
        refresh = refresh_for(
            setting, sharers=int(own.sum()), kubernetes=kubernetes, timing=timing
        )
        cycle_s = refresh.mean_between_s if refresh else ttl_s + longest
        begin = looks.min() + rng.uniform(0, cycle_s)
        current[own] = _fetched(looks[own], begin, ttl_s + timing.staleness_s)
    return looks, current


def _fetched(looks: Floats, begin: float, ttl_s: float) -> Floats:
    """Say when the content that each look of a node's pods saw was fetched.

    The first look of any pod at or after the entry's expiry fetches.

    Parameters
    ----------
    looks
        Of the pods that share the entry; shape (pods, k).
    begin
        The first look from here on fetches; what was before is of no matter.
    ttl_s
        For how long a fetch is kept.

    Returns
    -------
    array
        Same shape.
    """
    ordered = np.sort(looks, axis=None)
    place = int(np.searchsorted(ordered, begin, "left"))
    fetches = [float(ordered[0]) - 1.0]
    while place < len(ordered):
        fetches.append(float(ordered[place]))
        after = int(np.searchsorted(ordered, fetches[-1] + ttl_s, "left"))
        place = max(after, place + 1)
    at = np.array(fetches)
    return at[np.searchsorted(at, looks, "right") - 1]
