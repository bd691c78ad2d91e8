"""What a shorter syncFrequency costs, fitted once more for `studies.recomputation`.

Like that, it has nothing in common with `cmhot`: normal equations, and a jackknife of
each number itself, from the windows as they were counted.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

if TYPE_CHECKING:
    from pathlib import Path

    from studies.recomputed_delays import Checks

WAYS = ("Watch", "Get", "Cache")
MOST_READS = 40  # a second, which are fitted
SLACK = 1e-4  # millicores or requests a second, beside the relative one


def interval(sync_s: float) -> float:
    """Give the mean interval between two syncs: X = ⌊S (1 + U / 2)⌋ + 1 s."""
    u = (np.arange(100_000) + 0.5) / 100_000
    return float(np.mean(np.floor(sync_s * (1 + u / 2)) + 1))


def design(rows: pd.DataFrame) -> np.ndarray:
    """Write a + b pods + m pods maps + syncs/s (c + d(strategy) maps); shape (n, 7)."""
    pods, maps, syncs = (
        rows[name].to_numpy(float) for name in ("pods", "maps", "rate")
    )
    reads = [syncs * maps * (rows["strategy"] == way) for way in WAYS]
    return np.column_stack([pods**0, pods, pods * maps, syncs, *reads])


def solve(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Solve least squares by their normal equations."""
    return np.linalg.solve(x.T @ x, x.T @ y)


def costs(published: dict[str, Any], folder: Path) -> Checks:
    """Every term, and the price by which H18 is judged, with their limits; twice."""
    rows = pd.DataFrame(json.loads((folder / "costs.json").read_bytes())["windows"])
    seconds = rows["seconds"]
    rows["rate"] = rows["syncs"] / seconds
    rows["millicores"] = 1000 * rows["cpu_s"] / seconds
    rows["requests"] = [sum(one.values()) for one in rows["requests"]] / seconds
    watched = rows["strategy"] == "Watch"
    reads = rows["pods"] * rows["maps"] / rows["sync_frequency_s"].map(interval)
    few = watched | (reads <= MOST_READS)
    yield "costs: windows fitted", published["n_fitted"], int(few.sum()), 0
    terms = [row["term"] for row in published["terms"]["requests"]]
    for name in ("millicores", "requests"):
        yield from compared(rows[few], name, published["terms"][name], terms)
    yield from compared(rows[few], "millicores", published["H18"], terms)
    asked = rows["rate"] * rows["maps"] * ~watched
    settled = rows[few & (rows["requests"] <= 1.1 * asked + 1)]
    again = published["without_starts"]
    left = sum(row["windows"] for row in again["left_out"])
    yield "costs: windows of starts", left, int(few.sum()) - len(settled), 0
    yield from compared(settled, "requests", again["H17"], terms)
    yield from compared(settled, "millicores", again["H18"], terms)


def compared(
    rows: pd.DataFrame, name: str, published: list[dict[str, Any]], terms: list[str]
) -> Checks:
    """Fit a quantity; give each published number of it, and ours."""
    x, y, rounds = design(rows), rows[name].to_numpy(float), rows["round"].to_numpy()
    level = np.maximum(x @ solve(x, y), y[x[:, 1] == 0].mean())
    a, b = x / level[:, None], y / level
    left = [solve(a[rounds != k], b[rounds != k]) for k in sorted(set(rounds))]
    for row in published:
        known = "term" in row  # else it is what H18 prices
        asked = np.eye(len(terms))[terms.index(row["term"])] if known else step()
        own, value = np.array(left) @ asked, float(solve(a, b) @ asked)
        half = stats.t.ppf(0.975, len(own) - 1) * np.sqrt((len(own) - 1) * own.var())
        ours = (value, value - half, value + half)
        for one, other in zip((row["value"], *row["95"]), ours, strict=True):
            yield f"costs: {name} of {row.get('term', 'H18')}", one, other, SLACK


def step() -> np.ndarray:
    """Give what 110 pods under Watch do more at S = 10 s than at 60 s."""
    sides = pd.DataFrame(
        [(110, 1, 110 / interval(s), "Watch") for s in (10, 60)],
        columns=["pods", "maps", "rate", "strategy"],
    )
    short, usual = design(sides)
    return np.asarray(short - usual)
