"""Remedies beside waiting pods, disturbed pods beside idle ones, computed once more.

For `studies.recomputation`; like that, it has nothing in common with `cmhot`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from studies.recomputed_delays import load, series, waits

if TYPE_CHECKING:
    from pathlib import Path

    from studies.recomputed_delays import Checks

METHODS = ("annotate", "rollout", "recreate")
ONSET_S, WATCHED_S = 180 + 300, 900  # the last pod is disturbed; so long then
SLACK_S, SLACK_MEAN_S = 1e-5, 1e-3  # seconds: of a float, of a mean


def beside(published: dict[str, Any], folder: Path) -> Checks:
    """Compare what there is of both parts."""
    if "H19" in published:
        yield from remedies(published, folder)
    if "H20" in published:
        yield from disturbed(published["H20"], folder)


def remedies(published: dict[str, Any], folder: Path) -> Checks:
    """Compare medians of methods and waiting, and of what one takes more."""
    found = json.loads((folder / "remedies-beside.json").read_bytes())["trials"]
    rows = pd.DataFrame(found)
    rounds = {
        pods: by_round(rows[rows["pods"] == pods], folder) for pods in set(rows["pods"])
    }
    for row in published["methods"]:
        name = f"{row['pods']} pods, {row['method']}"
        own = rounds[row["pods"]][row["method"]].to_numpy()
        yield f"{name}: n", row["n"], len(own), 0
        yield f"{name}: longest", row["max_s"], own.max(), SLACK_S
        yield from median(name, row, own)
    for row in published["H19"]:
        slow, quick = row["of"]
        name = f"{row['pods']} pods, {slow} less {quick}"
        table = rounds[row["pods"]]
        yield from median(name, row, (table[slow] - table[quick]).to_numpy())


def by_round(own: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Give a column for each method and for waiting, of whole rounds."""
    _, tables = load(folder / f"waiting-{own['pods'].iloc[0]}")
    called = own["called_ns"].to_numpy(np.int64)
    longest = np.zeros(len(own))
    for _, stamps in tables["publications"].groupby("pod", observed=True):
        at = series(stamps)[1]
        ends = np.append((at - called[0]) / 1e9, np.inf)
        next_s = ends[np.searchsorted(at, called, "right")]
        longest = np.maximum(longest, next_s - (called - called[0]) / 1e9)
    table = own.pivot_table(index="round", columns="method", values="seconds")
    table["waiting"] = pd.Series(longest).groupby(own["round"].to_numpy()).mean()
    columns = [*METHODS, "waiting"]
    return table[columns].replace(np.inf, np.nan).dropna()


def median(name: str, row: dict[str, Any], values: np.ndarray) -> Checks:
    """Compare a median and its limits, which are order statistics."""
    yield f"{name}: median", row["median_s"], float(np.median(values)), SLACK_S
    ranks = stats.binom.cdf(np.arange(len(values)), len(values), 0.5)
    k = int((2 * ranks <= 0.05).sum())  # noqa: PLR2004 - 1 less 95 %
    if k == 0 or row["median_95"] is None:
        yield f"{name}: no limits", row["median_95"] is None, k == 0, 0
        return
    ordered = np.sort(values)
    for end, other in zip(row["median_95"], (ordered[k - 1], ordered[-k]), strict=True):
        yield f"{name}: limits", end, other, SLACK_S


def disturbed(published: list[dict[str, Any]], folder: Path) -> Checks:
    """Each kind's mean delay, and how much sooner than that of idle pods it is."""
    means = {}
    for row in published:
        kind = row["kind"]
        _, tables = load(folder / f"beside-{kind}")
        began = tables["publications"].groupby("pod")["published_ns"].min().max()
        since_s = (tables["trials"]["acked_ns"] - began) / 1e9 - ONSET_S
        counts = ((since_s >= 0) & (since_s < WATCHED_S)).to_numpy()
        own = means[kind] = waits(tables)[:, counts].mean(axis=1)
        yield f"{kind}: pods", row["pods"], len(own), 0
        yield f"{kind}: mean", row["mean_s"], own.mean(), SLACK_MEAN_S
        half = stats.t.ppf(0.975, len(own) - 1) * stats.sem(own)
        for end, other in zip(row["mean_95"], (-half, half), strict=True):
            yield f"{kind}: limits", end, own.mean() + other, SLACK_MEAN_S
        if row["sooner_95"] is None:
            continue
        idle = means["idle"]
        parts = np.array([stats.sem(idle) ** 2, stats.sem(own) ** 2])
        spare = np.array([len(idle), len(own)]) - 1
        degrees = parts.sum() ** 2 / (parts**2 / spare).sum()  # Welch's
        half = stats.t.ppf(0.975, degrees) * np.sqrt(parts.sum())
        for end, other in zip(row["sooner_95"], (-half, half), strict=True):
            sooner = idle.mean() - own.mean() + other
            yield f"{kind}: sooner", end, sooner, SLACK_MEAN_S
