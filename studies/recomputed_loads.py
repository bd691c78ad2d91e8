"""Where the law ends, computed once more for `studies.recomputation`.

Like that, it has nothing in common with `cmhot`: delays from the raw records, and rates
from what a kubelet counted.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from studies.recomputed_delays import load, waits

if TYPE_CHECKING:
    from pathlib import Path

    from studies.recomputed_delays import Checks

P99_S, LONGEST_S = 0.05, 1e-4  # p99 is published from a grid of the distribution
SLACK = 1e-9  # of rates, beside the relative one


def loads(published: dict[str, Any], folder: Path) -> Checks:
    """Every load: delays, those that never came, p99 and the longest, and rates."""
    for row in published["validity"]:
        name = row["run"]
        yield from rates(row, folder)
        if row["refused"]:
            continue
        _, tables = load(folder / name)
        delays = np.sort(waits(tables).ravel())
        n_seen = int(np.isfinite(delays).sum())
        yield f"{name}: n", row["n_delays"], n_seen, 0
        yield f"{name}: in vain", row["n_in_vain"], len(delays) - n_seen, 0
        p99 = delays[int(np.ceil(0.99 * len(delays))) - 1]
        yield f"{name}: endless", row["p99_s"] is None, not np.isfinite(p99), 0
        if row["p99_s"] is not None:
            yield f"{name}: p99", row["p99_s"], p99, P99_S
        yield f"{name}: longest", row["max_s"], delays[n_seen - 1], LONGEST_S


def rates(row: dict[str, Any], folder: Path) -> Checks:
    """Give what a kubelet counted, a second."""
    name = row["run"]
    file = folder / f"validity-{row['part']}.json"
    counted = json.loads(file.read_bytes())[name.removeprefix("validity-")]
    seconds, syncs = counted["seconds"], counted["syncs"]
    for key, value in (
        ("cores", counted["cpu_s"] / seconds),
        ("syncs_per_s", syncs / seconds),
        ("sync_ms", 1000 * counted["syncing_s"] / syncs),
        ("waiting_requests", counted["limited_s"] / seconds),
    ):
        yield f"{name}: {key}", row[key], value, SLACK
