"""More settings: S of five minutes, a TTL that pods share, the real TTL controller.

``python -m studies.more_settings`` writes docs/studies/more-settings-protocol.md. It is
committed before the runs, which ``make study PARTS=more`` makes.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from cmhot.kubelet.settings import Setting
from studies import pages, verdicts
from studies.draws import draw_refresh
from studies.protocol import (
    CACHE,
    MARGIN_P50,
    MARGIN_P99,
    MARGIN_SUP,
    SHARERS,
    WATCH,
    Batch,
    Collection,
    Hypothesis,
)
from studies.simulated_plans import shares_shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import pandas as pd

    from studies.verdicts import Rows

LONG, CACHED = Setting(300, WATCH), Setting(60, CACHE, 60.0)
NODES = 3
"""Kubelets of `CACHED`, and those that the controller is watched on: each has an entry
of its own for the ConfigMap of a collection."""
SEEDS, WINDOW_S = (71, 72), 3600.0


def name_of(sharers: int, seed: int) -> str:
    """Name the run in which so many pods of each cached kubelet share one ConfigMap."""
    return f"shared-{sharers}-{seed}"


def runs_of(sharers: int) -> list[str]:
    """Name the runs of all seeds."""
    return [name_of(sharers, seed) for seed in SEEDS]


BATCH = Batch(
    "more-settings",
    (LONG, *(CACHED for _ in range(NODES))),
    tuple(
        Collection(name_of(sharers, seed), NODES * sharers, WINDOW_S, seed)
        for sharers in SHARERS
        for seed in SEEDS
    ),
    "syncs of five minutes, and the default S under the default TTL",
)
MARGIN_SHARED_S = 4.0
"""Of p50 and p95 under a TTL, a fifteenth of it: fetches are fewer than syncs."""

STEPS = ((NODES, 0), (101, 15), (501, 30), (449, 15), (89, 0))
"""Node objects, and the TTL in seconds that the controller writes for so many: on the
way down it lowers a TTL later than it raised it (`ttlBoundaries`,
pkg/controller/ttl/ttl_controller.go)."""
MEASURED_AT = STEPS[:3]
"""The steps at each of which delays are collected."""
WRITTEN_S, WRITTEN_SHARERS, WRITTEN_WINDOW_S, WRITTEN_SEED = 10.0, 10, 600.0, 73
TABLE = "controller.json"
REPLICATES, LEAST_POWER = 200, 0.9

HYPOTHESES = (
    Hypothesis(
        "H21",
        "At S = 300 s delays follow the law.",
        "Equivalence as in H1, over the pods of all collections: one-sided 95 % bounds "
        f"of sup|F̂ - F| ≤ {MARGIN_SUP:g}, |Δp50| ≤ {MARGIN_P50 * 300:g} s, |Δp99| ≤ "
        f"{MARGIN_P99 * 300:g} s.",
    ),
    Hypothesis(
        "H22",
        "At S = 60 s under a TTL of 60 s that 1, 5 and 20 pods share, delays follow "
        "the law.",
        "For each number of pods one-sided 95 % bounds of |Δp50| and |Δp95| of at most "
        f"{MARGIN_SHARED_S:g} s, node by time as blocks.",
    ),
    Hypothesis(
        "H23",
        "The TTL that the controller writes is the one that the law needs.",
        "At each measured number of nodes the law's p50 and p95 lie in their "
        "intervals, at 95 % for all together (Bonferroni): not refuted, since fetches "
        "are few.",
    ),
)


def written(ttl_s: float) -> Setting:
    """Give the setting of the kubelets under a TTL that the controller wrote."""
    return Setting(WRITTEN_S, CACHE, ttl_s)


def run_at(nodes: int) -> str:
    """Name the run at a number of Node objects."""
    return f"controller-{nodes}"


def judge(
    long: pd.DataFrame,
    shared: Mapping[int, pd.DataFrame],
    by_ttl: Mapping[float, pd.DataFrame],
) -> dict[str, Rows]:
    """Judge each hypothesis, from refresh intervals.

    Parameters
    ----------
    long
        Of the kubelet of `LONG`, all collections.
    shared
        Of the kubelets of `CACHED`, by how many pods share an entry.
    by_ttl
        Of those that the controller was watched on, by the TTL it wrote, seconds.
    """
    by_sharers = {(CACHED, sharers): own for sharers, own in shared.items()}
    at = {(written(ttl), WRITTEN_SHARERS): own for ttl, own in by_ttl.items()}
    return {
        "H21": verdicts.agreement({LONG: long}),
        "H22": [
            {**row, "margin_s": MARGIN_SHARED_S, "holds": _is_within(row)}
            for row in verdicts.shared(by_sharers)
        ],
        "H23": verdicts.shared(at),
    }


def _is_within(row: Mapping[str, Any]) -> bool:
    return row["apart_s"] is not None and row["apart_s"] <= MARGIN_SHARED_S


def simulate(rng: np.random.Generator) -> dict[str, bool]:
    """Draw all runs by the law, judge them, and tell which hypotheses were shown."""
    pods = sum(one.pods for one in BATCH.collections)
    long = draw_refresh(LONG, rng, pods=pods, window_s=WINDOW_S)
    shared = {
        sharers: draw_refresh(
            CACHED,
            rng,
            pods=len(SEEDS) * NODES * sharers,
            window_s=WINDOW_S,
            sharers=sharers,
        )
        for sharers in SHARERS
    }
    by_ttl = {
        float(ttl): draw_refresh(
            written(ttl),
            rng,
            pods=NODES * WRITTEN_SHARERS,
            window_s=WRITTEN_WINDOW_S,
            sharers=WRITTEN_SHARERS,
        )
        for _, ttl in MEASURED_AT
    }
    found = judge(long, shared, by_ttl)
    return {name: all(row["holds"] for row in rows) for name, rows in found.items()}


def power() -> dict[str, float]:
    """Count in how many simulated studies each hypothesis held in all rows."""
    return shares_shown(simulate, REPLICATES)


def page(found: Mapping[str, float]) -> str:
    """Write the protocol."""
    claims = pages.table(
        ["", "expected", "judged by", "power"],
        [
            [one.name, one.claim, one.judged, f"{found[one.name]:.0%}"]
            for one in HYPOTHESES
        ],
    )
    steps = pages.table(
        ["Node objects", "TTL expected, s", "run"],
        [
            [step[0], step[1], f"`{run_at(step[0])}`" if step in MEASURED_AT else None]
            for step in STEPS
        ],
    )
    shared = ", ".join(f"`{one.name}`" for one in BATCH.collections)
    return f"""# More settings: what is measured, expected and judged

Written by `python -m studies.more_settings` before its runs were made; do not edit.
`make study PARTS=more` makes them, on a machine that does nothing else: some 80 minutes
and 60. Population, unit, delay, schedule and estimators are those of
[the first protocol](protocol.md).

## S of five minutes, and a TTL that pods share
One kubelet of {LONG} and {NODES} of {CACHED}, side by side, windows of
{WINDOW_S / 60:g} minutes: {shared}. In each collection so many pods of each cached
kubelet as its name says share one ConfigMap, and {NODES} times as many are on the
other one.

## The TTL controller
{NODES} kubelets of S = {WRITTEN_S:g} s under Cache, {WRITTEN_SHARERS} pods on each,
windows of {WRITTEN_WINDOW_S / 60:g} minutes (seed {WRITTEN_SEED}). The controller of
Kubernetes writes their annotation; Node objects that no machine backs make the cluster
larger.

{steps}

How long after the last Node object was made or deleted all {NODES} kubelets' nodes have
that TTL is told: the controller looks at a node when that is updated, which a kubelet
does every five minutes if nothing else changes (nodeStatusReportFrequency).

## Hypotheses
{claims}

Power: the share of {REPLICATES} simulated studies of this size, drawn by the law, in
which all rows held.
"""


def main() -> int:
    """Compute the power of each test, and write the page."""
    found = power()
    numbers = {
        "holds": min(found.values()) >= LEAST_POWER,
        "replicates": REPLICATES,
        "power": found,
    }
    text = page(found)
    return 0 if pages.write("more-settings-protocol", text=text, numbers=numbers) else 1


if __name__ == "__main__":
    sys.exit(main())
