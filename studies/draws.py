"""Tables of which the truth is known, with the dependence that kubelets make."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.kubelet.eras import IDEAL, JITTER, LOOP_S, TICK_S, Timing
from cmhot.law import (
    Law,
    equilibrium,
    fresh_reads_for,
    interval_pmf,
    law_for,
    longest_interval_s,
    reads_at_every_sync,
)
from cmhot.statistics.population import refresh_cdf, refresh_ends

if TYPE_CHECKING:
    import numpy.typing as npt

    from cmhot.kubelet.settings import Setting

    Floats = npt.NDArray[np.float64]
    Codes = npt.NDArray[np.int64]

TIMING = Timing(sync_s=0.01)
"""Of the simulated kubelets: ticks, volume loops and a sync's own 10 ms."""

T0 = 1_767_225_600_000_000_000

LONG_NODES, LONG_S = 400, 7200.0
"""Size of the draw that is the truth where pods share a cache."""
_BURN_CYCLES = 12
"""Longest cycles that pods sharing a cache are drawn before the window,
from a first fetch at random in a cycle: they vary little, and phases fade slowly."""


@lru_cache(maxsize=16)
def truth(setting: Setting, *, sharers: int = 1) -> Law:
    """Give the law that the tables are drawn from.

    Of pods that share a cache `law_for` is an approximation, good to 0.5 %;
    long tables have narrower intervals, so there the truth is a long draw.
    """
    if sharers > 1 and not reads_at_every_sync(setting):
        rng = np.random.default_rng(0)
        tables = [
            draw_refresh(setting, rng, pods=sharers, window_s=LONG_S, sharers=sharers)
            for _ in range(LONG_NODES)
        ]
        least, most = refresh_ends(pd.concat(tables))
        t, share = refresh_cdf(least, most)
        every = np.linspace(0, len(t) - 1, 4001).astype(np.int64)
        return Law(t[every], share[every], float(t[-1]))
    law = law_for(setting, sharers=sharers, timing=TIMING)
    if law is None:
        msg = f"no law at {setting}"
        raise ValueError(msg)
    return law


def draw_refresh(
    setting: Setting,
    rng: np.random.Generator,
    *,
    pods: int,
    window_s: float,
    sharers: int = 1,
) -> pd.DataFrame:
    """Draw the refresh intervals that begin in a window, as a run gives them."""
    entry = _entries(setting, pods, sharers)
    looks, current = draw_looks(
        setting, rng, entry=entry, until_s=window_s, timing=TIMING
    )
    shows = np.diff(current, axis=1, prepend=np.nan) > 0  # a look with something new
    shows[:, 0] = True
    pod, place = np.nonzero(shows)
    same = pod[1:] == pod[:-1]
    start, pod = current[pod, place][:-1][same], pod[1:][same]
    published = looks[shows][1:][same]
    shown = current[shows][1:][same]
    kept = (start >= 0) & (start < window_s)
    if not reads_at_every_sync(setting):
        published = np.where(published > shown, published, shown)
    return pd.DataFrame(
        {
            **_names(setting, pod[kept], entry),
            "start_ns": _ns(start[kept]),
            "published_ns": _ns(published[kept]),
            "least_s": published[kept] - shown[kept],
            "most_s": published[kept] - start[kept],
        }
    )


def draw_delays(
    setting: Setting,
    rng: np.random.Generator,
    *,
    pods: int,
    window_s: float,
    sharers: int = 1,
    gaps_s: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Draw the delays of updates that all pods see; each is observed.

    Gaps between updates are uniform, by default from S/12 to S/4, as a plan has them.
    """
    s = setting.sync_frequency_s
    low, high = gaps_s or (s / 12, s / 4)
    made = np.cumsum(rng.uniform(low, high, int(window_s / low) + 1))
    made = made[made < window_s]
    entry = _entries(setting, pods, sharers)
    looks, current = draw_looks(
        setting, rng, entry=entry, until_s=window_s, timing=TIMING
    )
    sync = np.array([np.searchsorted(own, made, "left") for own in current])
    delay = np.take_along_axis(looks, sync, axis=1) - made
    pod = np.repeat(np.arange(pods), len(made))
    acked = _ns(np.tile(made, pods))
    return pd.DataFrame(
        {
            **_names(setting, pod, entry),
            "seq": np.tile(np.arange(1, len(made) + 1), pods),
            "acked_ns": acked,
            "published_ns": acked + _ns(delay.ravel()) - T0,
            "delay_s": delay.ravel(),
            "waited_s": delay.ravel(),
            "status": pd.Categorical(["observed"] * pod.size),
            "sync": sync.ravel(),
        }
    )


def draw_in_step(
    setting: Setting,
    rng: np.random.Generator,
    *,
    every_s: float,
    window_s: float,
    pods: int = 10,
) -> tuple[Floats, Floats]:
    """Draw the delays of pods that are also synced together, every so often.

    The common syncs come `every_s` apart, give or take a half, in each pod up to 5 s
    later; each of them starts the pod's timer anew.

    Returns
    -------
    waits, made_s
        Delays, of shape (pods, updates), and when updates were made: gaps as a plan
        has them, S/12 to S/4. Seconds.
    """
    s = setting.sync_frequency_s
    before, end = 5 * s, window_s + 2 * s
    gaps = rng.uniform(0.5, 1.5, int((before + end) / every_s * 2) + 2) * every_s
    common = np.cumsum(gaps) - before
    made = np.cumsum(rng.uniform(s / 12, s / 4, int(window_s * 12 / s) + 1))
    made = made[made < window_s]
    waits = np.empty((pods, len(made)))
    for pod in range(pods):
        extra = np.sort(common + rng.uniform(0, 5, len(common)))
        now, place, syncs = -before - rng.uniform(0, s), 0, []
        while now < end:
            timer = now + np.floor(s * (1 + JITTER * rng.random())) + TICK_S
            while place < len(extra) - 1 and extra[place] <= now:
                place += 1
            now = min(timer, extra[place]) if extra[place] > now else timer
            syncs.append(now)
        instants = np.array(syncs)
        waits[pod] = instants[np.searchsorted(instants, made)] - made
    return waits, made


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
        reads = fresh_reads_for(
            setting, sharers=int(own.sum()), kubernetes=kubernetes, timing=timing
        )
        cycle_s = reads.mean_between_s if reads else ttl_s + longest
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


def _entries(setting: Setting, pods: int, sharers: int) -> Codes:
    """Put pods on nodes: all on one, or so many that so many share each cache."""
    if reads_at_every_sync(setting):
        return np.zeros(pods, dtype=np.int64)
    return np.arange(pods) // sharers


def _names(setting: Setting, pod: Codes, entry: Codes) -> dict[str, Any]:
    """Say whose rows they are."""
    return {
        "sync_frequency_s": setting.sync_frequency_s,
        "strategy": setting.strategy.value,
        "ttl_s": setting.ttl_s,
        "consumer": "volume",
        "node": _coded("n", entry[pod]),
        "pod": _coded("p", pod),
        "configmap": "probe",
    }


def _coded(letter: str, codes: Codes) -> pd.Categorical[str]:
    most = int(codes.max(initial=0)) + 1
    names = pd.Index([f"{letter}{k}" for k in range(most)])
    return pd.Categorical.from_codes(codes, categories=names)


def _ns(seconds: Floats) -> Codes:
    return T0 + (seconds * NS_PER_S).round().astype(np.int64)
