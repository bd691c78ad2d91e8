"""Delays under a TTL that pods share, computed once more for `studies.recomputation`.

Like that, it has nothing in common with `cmhot`: delays from the raw records instead of
intervals, and the law drawn from what a kubelet does instead of integrated.
"""

from __future__ import annotations

import heapq
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from studies.recomputed_delays import load, waits

if TYPE_CHECKING:
    from pathlib import Path

    from studies.recomputed_delays import Checks

SHARES = {"p50": 0.5, "p95": 0.95}
DRAWN_S, SLACK_LAW = 1_000_000, 0.02  # seconds of one kubelet; of S + TTL, see `law`
APART = 1.0  # half widths of its limits by which the delays' own quantile may differ


def under_ttl(published: dict[str, Any], folder: Path) -> Checks:
    """Compare each quantile, and the law."""
    delays = {
        **{("H22", n): direct(folder, f"shared-{n}-*", 60) for n in (1, 5, 20)},
        **{("H23", n): direct(folder, f"controller-{n}", 10) for n in (3, 101, 501)},
    }
    runs = {0: 3, 15: 101, 30: 501}
    for name in ("H22", "H23"):
        for row in published[name]:
            sync_s, ttl_s = numbers(row["setting"])
            own = delays[name, row["sharers"] if name == "H22" else runs[ttl_s]]
            what = f"{row['setting']}, {row['sharers']} pods: {row['quantile']}"
            low, high = row["limits_s"]
            value = float(np.quantile(own, SHARES[row["quantile"]]))
            yield what, row["measured_s"], value, APART * (high - low) / 2
            drawn = law(sync_s, ttl_s, row["sharers"])[row["quantile"]]
            yield f"{what}, law", row["law_s"], drawn, SLACK_LAW * (sync_s + ttl_s)


def numbers(setting: str) -> tuple[int, int]:
    """Read S and the TTL, seconds, from a setting's name."""
    sync, ttl = setting.split(" s, Cache (TTL ")
    return int(sync), int(ttl.removesuffix(" s)"))


def direct(folder: Path, pattern: str, sync_s: int) -> np.ndarray:
    """Give the delays of pods on cached nodes of this S, of all runs of a name."""
    found = []
    for path in sorted(folder.glob(pattern)):
        meta, tables = load(path)
        nodes = [
            node
            for node, one in meta["settings"].items()
            if one["sync_frequency_s"] == sync_s
        ]
        pods = [one["pod"] for one in meta["pods"] if one["node"] in nodes]
        found.append(waits(tables, pods).ravel())
    return np.concatenate(found) if found else np.empty(0)


@lru_cache
def law(sync_s: int, ttl_s: int, sharers: int) -> dict[str, float]:
    """Draw quantiles of the delay: one kubelet, its pods' syncs, one shared entry.

    A sync fetches if the entry is older than the TTL, and shows what the entry has.
    Updates at any instant are alike, so each of a pod's looks at new content brings
    delays that are even between its age then and that of what the pod had.
    """
    rng = np.random.default_rng(5)
    due = [(float(at), pod) for pod, at in enumerate(rng.random(sharers) * sync_s)]
    heapq.heapify(due)
    fetched, had = -1e9, np.full(sharers, -1e9)
    rows = []
    while (now := due[0][0]) < DRAWN_S:
        pod = due[0][1]
        if now - fetched > ttl_s:
            fetched = now
        if fetched > had[pod]:
            rows.append((now, fetched, had[pod]))
            had[pod] = fetched
        next_at = now + np.floor(sync_s * (1 + rng.random() / 2)) + 1
        heapq.heapreplace(due, (next_at, pod))
    looked, current, before = np.array(rows).T
    settled = before > DRAWN_S / 100
    least, most = (looked - current)[settled], (looked - before)[settled]
    return {name: quantile(least, most, share) for name, share in SHARES.items()}


def quantile(least: np.ndarray, most: np.ndarray, share: float) -> float:
    """Invert the distribution of delays that are even between two ends each."""
    low, high = 0.0, float(most.max())
    while high - low > 1e-3:  # noqa: PLR2004 - seconds
        t = (low + high) / 2
        part = np.clip(t, least, most) - least
        low, high = (t, high) if part.sum() < share * (most - least).sum() else (low, t)
    return high
