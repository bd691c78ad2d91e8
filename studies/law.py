"""The law beside the event-level model: does `predict` say what it does.

``python -m studies.law`` writes docs/studies/law.md: for each setting the law's mean
and quantiles beside those of a million modelled delays, with the same ε, L and δ.
"""

from __future__ import annotations

import multiprocessing
import sys
from dataclasses import dataclass
from typing import Any

import click
import numpy as np

from cmhot.cluster.model.simulate import simulate
from cmhot.kubelet.eras import TYPICAL
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.law import mean_interval_s
from cmhot.law.prediction import predict
from cmhot.runs.delays import delays
from studies import pages

DELAYS = 1_000_000
RELATIVE, ABSOLUTE_S = 0.005, 0.010
"""The law agrees when each number is this close, whichever is wider."""
KEYS = ("mean_s", "p50_s", "p95_s", "p99_s")
NODE_CYCLES = 2000
"""Fetches to be seen at least, over all nodes: pods of a node share them."""


@dataclass(frozen=True, slots=True)
class Case:
    """One setting, and how many pods of a node share the ConfigMap."""

    setting: Setting
    sharers: int

    @property
    def name(self) -> str:
        """Name it for the table."""
        if not self.setting.ttl_s:
            return str(self.setting)
        return f"{self.setting}, m = {self.sharers}"


def cases() -> list[Case]:
    """List all settings: five S, and two TTLs with three numbers of sharers at each."""
    syncs = (2, 5, 10, 60, 300)
    every = [Case(Setting(s), 20) for s in syncs]
    every.append(Case(Setting(10, Strategy.GET), 20))
    cached = [
        Case(Setting(s, Strategy.CACHE, ttl), m)
        for s in syncs
        for ttl in (60, 300)
        for m in (1, 5, 20)
    ]
    return every + cached


def modelled(case: Case, *, number: int, seed: int) -> dict[str, float]:
    """Give mean and quantiles of so many modelled delays, in seconds."""
    setting, pods = case.setting, case.sharers
    cycle_s = mean_interval_s(setting) + (setting.ttl_s or 0)
    gap_s = mean_interval_s(setting) / 2
    nodes = max(1, 20 // pods)
    duration_s = number * gap_s / (pods * nodes)
    if setting.ttl_s:  # rather fewer updates in a fetch than too few fetches
        duration_s = max(duration_s, NODE_CYCLES * cycle_s / nodes)
        gap_s = duration_s * pods * nodes / number
    run = simulate(
        setting,
        pods=pods,
        nodes=nodes,
        duration_s=duration_s,
        gap_s=gap_s,
        seed=seed,
        timing=TYPICAL,
    )
    rows = delays(run)
    seen = rows.loc[rows["status"] == "observed", "delay_s"].to_numpy(np.float64)
    quantiles = np.quantile(seen, [0.5, 0.95, 0.99])
    found = dict(zip(KEYS, [seen.mean(), *quantiles], strict=True))
    return {**{key: float(x) for key, x in found.items()}, "n": float(len(seen))}


def compare(case: Case, *, number: int = DELAYS) -> dict[str, Any]:
    """Put the law beside the model."""
    sharers = case.sharers if case.setting.ttl_s else 1
    said = predict(case.setting, sharers=sharers, timing=TYPICAL).law.summary()
    seen = modelled(case, number=number, seed=1)
    apart = {key: said[key] - seen[key] for key in KEYS}
    holds = all(
        abs(apart[key]) <= max(RELATIVE * seen[key], ABSOLUTE_S) for key in KEYS
    )
    return {
        "setting": case.name,
        "law": {key: said[key] for key in KEYS},
        "model": seen,
        "difference_s": apart,
        "holds": holds,
    }


def page(rows: list[dict[str, Any]]) -> str:
    """Write the page."""
    cells = [
        [
            row["setting"],
            *(f"{row['law'][key]:.2f} ({row['model'][key]:.2f})" for key in KEYS),
            f"{max(abs(row['difference_s'][k]) / row['model'][k] for k in KEYS):.2%}",
            row["holds"],
        ]
        for row in rows
    ]
    heads = ["setting", "mean", "p50", "p95", "p99", "largest difference", "within"]
    return f"""# The law beside the event-level model

Made by `python -m studies.law`; do not edit. **Modelled, not measured.**

Seconds: what `cmhot predict` says, and in brackets what {DELAYS:,} delays of the
event-level model come to, both with ε = {TYPICAL.sync_s} s,
L = {TYPICAL.staleness_s} s, w = {TYPICAL.write_s} s and the two volume loops.
"Within": each of the four numbers to {RELATIVE:.1%} or {ABSOLUTE_S * 1000:g} ms.
m: pods of a node that share the ConfigMap.

{pages.table(heads, cells)}
"""


@click.command()
@click.option("--delays", "number", default=DELAYS, show_default=True)
def main(number: int) -> None:
    """Compare all settings, two at a time."""
    everything = cases()
    rows = []
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = [
            pool.apply_async(compare, (case,), {"number": number})
            for case in everything
        ]
        for case, result in zip(everything, results, strict=True):
            rows.append(result.get())
            click.echo(f"{len(rows)} of {len(everything)}: {case.name}", err=True)
    numbers = {"delays": number, "holds": all(row["holds"] for row in rows)}
    ok = pages.write("law", text=page(rows), numbers={**numbers, "rows": rows})
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
