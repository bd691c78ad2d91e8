"""The findings once more, by code that has nothing in common with `cmhot`.

``python -m studies.recomputation`` fails where docs/findings.json has other numbers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import pandas as pd
from scipy import stats

from studies.recomputed_beside import beside
from studies.recomputed_costs import costs
from studies.recomputed_delays import load, series, waits
from studies.recomputed_loads import loads
from studies.recomputed_more import under_ttl

if TYPE_CHECKING:
    from studies.recomputed_delays import Checks

SHARES = [0.5, 0.95, 0.99]
ROOT = Path(__file__).parents[1]
DATA, OLD = ROOT / "data" / "study-2026-11-24", ROOT / "data" / "kubelet-1.9.6"
SECOND, LONGER = ROOT / "data" / "study-second", ("default-first", "default-second")
MORE = ROOT / "data" / "study-more"
FACTORIAL, SIDES = ("slow", "usual", "fast"), ("first", "second")
SLACK, GRID_S, TEN_S = 2e-5, 0.002, 10  # relative (six digits are published); seconds
WIDTH, RESAMPLES = 0.35, 400  # half widths that limits by a bootstrap may be away


def intervals(
    meta: dict[str, Any], tables: dict[str, pd.DataFrame], pods: list[str], s: float
) -> list[np.ndarray]:
    """Give the intervals between a pod's publications that begin in the window."""
    latest_ns = meta["observed_until_ns"] - (np.floor(1.5 * s) + 1.2) * 1e9
    acked = np.sort(tables["updates"]["acked_ns"].dropna().to_numpy(np.int64))
    acked = np.append(acked, np.iinfo(np.int64).max)
    rows, found = tables["publications"], []
    for pod in pods:
        at = series(rows[rows["pod"] == pod])[1]
        start = at[:-1]
        counts = (start >= meta["measure_from_ns"]) & (start <= latest_ns)
        counts &= start <= meta["measure_until_ns"]
        counts &= acked[np.searchsorted(acked, start, "right")] - start <= s * 1e9
        found.append(np.diff(at)[counts] / 1e9)
    return found


def quantiles(per_pod: list[np.ndarray], shares: list[float]) -> np.ndarray:
    """Invert F(t) = Σ min(X, t) / Σ X exactly: it is straight between two intervals."""
    x = np.append(0.0, np.sort(np.concatenate(per_pod)))
    area = np.cumsum(x) + x * (len(x) - 1 - np.arange(len(x)))
    return np.asarray(np.interp(np.array(shares) * x.sum(), area, x))


def resampled(per_pod: list[np.ndarray], shares: list[float]) -> np.ndarray:
    """Give 95 % limits by a bootstrap of pods; shape (shares, 2)."""
    n = len(per_pod)
    picks = np.random.default_rng(7).integers(0, n, (RESAMPLES, n))
    found = [quantiles([per_pod[k] for k in pick], shares) for pick in picks]
    return np.asarray(np.quantile(found, [0.025, 0.975], axis=0).T)


def lattice(sync_s: float, shares: list[float]) -> list[float]:
    """Give the law's quantiles: X = ⌊S (1 + U / 2)⌋ + 1 s, F from a fine sum."""
    u = (np.arange(100_000) + 0.5) / 100_000
    return list(quantiles([np.floor(sync_s * (1 + u / 2)) + 1], shares))


def measured(folder: Path, names: tuple[str, ...]) -> dict[str, tuple[Any, ...]]:
    """Give S, intervals by pod, and delays of each setting, of several runs."""
    found: dict[str, tuple[Any, ...]] = {}
    for meta, tables in (load(folder / name) for name in names):
        for node, known in meta["settings"].items():
            sync_s, ttl = known["sync_frequency_s"], known["ttl_s"]
            cached = f" (TTL {ttl:g} s)" if known["strategy"] == "Cache" else ""
            setting = f"{sync_s:g} s, {known['strategy']}{cached}"
            pods = [pod["pod"] for pod in meta["pods"] if pod["node"] == node]
            _, x, waited = found.setdefault(setting, (sync_s, [], []))
            x += intervals(meta, tables, pods, sync_s)
            waited += list(waits(tables, pods).ravel())
    return found


def cells(published: dict[str, Any], folder: Path, names: tuple[str, ...]) -> Checks:
    """Every setting of some runs: quantiles, limits, mean, longest, counts."""
    shares = {row["setting"]: row for row in published["shares"]}
    found = measured(folder, names)
    for row in published["cells"]:
        setting = row["setting"]
        sync_s, x, waited = found[setting]
        all_waits, flat = np.array(waited), np.concatenate(x)
        n_delays = row["n_delays"] + row["left_out"]
        yield f"{setting}: n delays", n_delays, all_waits.size, 0
        if not row["left_out"]:  # else the package also leaves intervals out
            mean_s = (flat @ flat) / flat.sum() / 2
            yield f"{setting}: n syncs", row["n_syncs"], len(flat), 0
            yield f"{setting}: longest", row["max_s"], all_waits.max(), GRID_S
            yield f"{setting}: mean", row["mean_s"], mean_s, GRID_S
        law, ours = lattice(sync_s, SHARES), quantiles(x, SHARES)
        limits = resampled(x, SHARES) if row["p50_95"] else np.empty((3, 0))
        for k, key in enumerate(("p50", "p95", "p99")):
            yield f"{setting}: {key}", row[f"{key}_s"], ours[k], 0.001 * sync_s
            yield f"{setting}: law {key}", row["law"][f"{key}_s"], law[k], GRID_S
            ends = row[f"{key}_95"] or []
            for end, other in zip(ends, limits[k], strict=True):
                slack = WIDTH * (ends[1] - ends[0]) / 2
                yield f"{setting}: limits {key}", end, other, slack
        if setting in shares:
            own = shares[setting]
            short, late = (all_waits <= TEN_S).mean(), (all_waits > sync_s).mean()
            yield f"{setting}: ≤ 10 s", own["by_10_s"], short, GRID_S
            yield f"{setting}: > S", own["above_sync"], late, GRID_S
    for row in published["H3"] if "H3" in published else published["H13"]:
        both = [quantiles(found[row[k]][1], [row["quantile"]])[0] for k in SIDES]
        slack = 0.001 * found[row["first"]][0]
        yield f"{row['first']}: apart", row["difference_s"], both[0] - both[1], slack


def others(published: dict[str, Any]) -> Checks:
    """H8, H10, H11, and the kubelet of 1.9."""
    table = pd.DataFrame(json.loads((DATA / "remedies.json").read_bytes())["trials"])
    for row in published["H8"]:
        seconds = table.loc[table["method"] == row["method"], "seconds"].to_numpy()
        median = float(np.median(seconds))
        yield f"{row['method']}: median", row["median_s"], median, GRID_S
        yield f"{row['method']}: longest", row["max_s"], seconds.max(), GRID_S
        parts = [np.median(part) for part in np.array_split(seconds, 6)]
        for end, other in zip(row["limits_s"], (min(parts), max(parts)), strict=True):
            yield f"{row['method']}: limits", end, other, GRID_S
    loops = pd.DataFrame(json.loads((DATA / "closed-loop.json").read_bytes())["trials"])
    for row in published["H10"]:
        own = loops[loops["pause_s"] == row["pause_s"]].dropna()
        means = own.groupby("pod")["delay_s"].mean()
        half = stats.t.ppf(0.975, len(means) - 1) * means.sem()
        for end, other in zip(row["mean_95"], (-half, half), strict=True):
            yield f"pause {row['pause_s']}: limits", end, means.mean() + other, GRID_S
    for row in published["H11"]:
        _, tables = load(DATA / f"disturbed-{row['kind']}")
        rows = tables["publications"]
        began = rows.groupby("pod")["published_ns"].min().max() + 180 * 10**9
        own = waits(tables)
        kept = own[:, (tables["trials"]["acked_ns"] >= began).to_numpy()]
        yield f"{row['kind']}: mean", row["mean_s"], kept.mean(), GRID_S
    for row in published["elsewhere"]:
        _, tables = load(OLD / row["run"])
        own = waits(tables)
        yield f"{row['run']}: n", row["n_delays"], own.size, 0
        yield f"{row['run']}: mean", row["direct_mean_s"], own.mean(), GRID_S
        early = (own <= TEN_S).mean()
        yield f"{row['run']}: ≤ 10 s", row["direct_by_10_s"], early, GRID_S


def main() -> None:
    """Compare, and say what differs."""
    published = json.loads((ROOT / "docs/findings.json").read_bytes())
    checks = [*cells(published, DATA, FACTORIAL), *others(published)]
    if "second" in published:
        checks += cells(published["second"], SECOND, LONGER)
        by_run = [row for row in published["second"]["by_run"] if not row["left_out"]]
        for name in LONGER:
            own = [row for row in by_run if row["run"] == name]
            checks += cells({"cells": own, "shares": [], "H3": []}, SECOND, (name,))
    checks += [*costs(published["costs"], SECOND), *loads(published, SECOND)]
    checks += beside(published.get("beside", {}), SECOND)
    if "more" in published:
        long = {"cells": published["more"]["cells"], "shares": [], "H3": []}
        names = sorted(path.name for path in MORE.glob("shared-*"))
        checks += [
            *cells(long, MORE, tuple(names)),
            *under_ttl(published["more"], MORE),
        ]
    differing = [
        f"{what}: published {one}, found {other:.6g}"
        for what, one, other, slack in checks
        if not abs(one - other) <= slack + SLACK * abs(one)
    ]
    click.echo("".join(f"differs: {one}\n" for one in differing), err=True, nl=False)
    click.echo(f"{len(checks)} numbers by other code: {len(differing)} differ")
    sys.exit(1 if differing else 0)


if __name__ == "__main__":
    main()
