"""What the second edition of the study expects of the default, and how it judges.

``python -m studies.second`` writes docs/studies/second-protocol.md, with the power of
each test from simulated runs of the same size. It is committed before the runs, which
``make study PARTS=second`` makes: resumable, on an otherwise idle machine, two and a
half hours. `studies.findings` judges them by `judge`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from cmhot.kubelet.settings import Setting
from cmhot.statistics import confidence, interval_blocks
from studies import pages, verdicts
from studies.draws import draw_refresh
from studies.protocol import (
    CACHE,
    GET,
    MARGIN_SUP,
    MOST_LATE_S,
    P99_WITHIN_S,
    WATCH,
    Batch,
    Collection,
    Hypothesis,
)
from studies.simulated_plans import shares_shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from studies.verdicts import Cells, Rows

SETTINGS = (Setting(60, WATCH), Setting(60, GET), Setting(60, CACHE, 0.0))
PODS, WINDOW_S = 100, 3600.0
BATCHES = tuple(
    Batch(
        name,
        SETTINGS,
        (Collection(name, PODS, WINDOW_S, seed),),
        "the default, the strategies side by side on three kubelets",
        undisturbed=True,
    )
    for name, seed in (("default-first", 21), ("default-second", 22))
)
"""The second has kubelets started anew, and another schedule."""
MARGIN_R = 0.05
"""Of the correlation of an interval with the next one of its pod."""
REPLICATES = 200
"""Simulated studies: a power of 90 % is known to within 2 % (one standard error)."""
LEAST_POWER = 0.9

HYPOTHESES = (
    Hypothesis(
        "H13",
        "At S = 60 s the strategy makes no difference that matters, at a TTL of 0.",
        "For each pair of strategies the 95 % interval of the difference of p50 and "
        "p99, over the pods of both runs, lies within 0.5 s and 1 s.",
    ),
    Hypothesis(
        "H14",
        "At S = 60 s delays follow the law, under each strategy.",
        "Equivalence as in H1, over the pods of both runs: one-sided 95 % bounds of "
        f"sup|F̂ - F| ≤ {MARGIN_SUP:g}, |Δp50| ≤ 0.5 s, |Δp99| ≤ 1 s.",
    ),
    Hypothesis(
        "H15",
        "An interval between two syncs tells nothing of the next one of its pod.",
        "Under each strategy the 95 % interval of their correlation lies within "
        f"±{MARGIN_R:g}.",
    ),
    Hypothesis(
        "H16",
        "p99 at S = 60 s is known to within a second, under each strategy.",
        f"Half the width of its 95 % interval is at most {P99_WITHIN_S:g} s.",
    ),
)


def judge(refreshes: Cells, disturbed: Sequence[str] = ()) -> dict[str, Rows]:
    """Judge each hypothesis, from the refresh intervals of both runs.

    Parameters
    ----------
    refreshes
        By setting, pods of both runs.
    disturbed
        Settings whose rows are "not shown", whatever their numbers are: a kubelet was
        late too often, and again when its run was made again.
    """
    found: dict[str, Rows] = {
        "H13": verdicts.strategies(refreshes),
        "H14": verdicts.agreement(refreshes),
        "H15": [],
        "H16": [],
    }
    for setting, own in refreshes.items():
        serial = verdicts.serial(own)
        ends = confidence(interval_blocks(own))["p99_s"]
        half_s = None if ends is None else (ends[1] - ends[0]) / 2
        row = {"setting": str(setting)}
        within = max(map(abs, serial["lag_95"])) <= MARGIN_R
        found["H15"].append({**row, **serial, "holds": within})
        known = half_s is not None and half_s <= P99_WITHIN_S
        found["H16"].append({**row, "half_s": half_s, "holds": known})
    return {
        name: [
            {**row, "holds": row["holds"] and not _settings_of(row) & {*disturbed}}
            for row in rows
        ]
        for name, rows in found.items()
    }


def _settings_of(row: Mapping[str, Any]) -> set[str]:
    return {str(row[key]) for key in ("setting", "first", "second") if key in row}


def simulate(rng: np.random.Generator) -> dict[str, bool]:
    """Draw both runs by the law, judge them, and tell which hypotheses were shown."""
    pods = sum(batch.collections[0].pods for batch in BATCHES)
    window_s = BATCHES[0].collections[0].duration_s
    drawn = {
        one: draw_refresh(one, rng, pods=pods, window_s=window_s) for one in SETTINGS
    }
    return {
        name: all(row["holds"] for row in rows) for name, rows in judge(drawn).items()
    }


def power() -> dict[str, float]:
    """Count in how many simulated studies each hypothesis was shown in all rows."""
    return shares_shown(simulate, REPLICATES)


def page(found: dict[str, float]) -> str:
    """Write the page."""
    claims = pages.table(
        ["", "expected", "judged by", "power"],
        [
            [one.name, one.claim, one.judged, f"{found[one.name]:.0%}"]
            for one in HYPOTHESES
        ],
    )
    runs = pages.table(
        ["run", "kubelets", "pods a setting", "window", "seed"],
        [
            [
                f"`{batch.name}`",
                "; ".join(str(one) for one in batch.nodes),
                ran.pods,
                f"{ran.duration_s / 60:g} min",
                ran.seed,
            ]
            for batch in BATCHES
            for ran in batch.collections
        ],
    )
    return f"""# The default, beyond doubt: what is measured, expected and judged

Written by `python -m studies.second` before its runs were made; do not edit.
The first edition left open whether the strategy matters at the default of
`syncFrequency`, and its headline was measured on a kubelet that was disturbed
([findings](../findings.md)).

## Runs
{runs}

`python -m studies.study --out build/second default-first default-second` makes them,
one after the other, on a machine that does nothing else; what is there and complete
stays, so that the command goes on where it was ended. The second run has kubelets that
were started anew. Population, unit, delay, schedule and estimators are those of
[the first protocol](protocol.md).

* **Disturbed**: a cell in which more than 1 % of the publications come over
  {MOST_LATE_S:g} s after the window of their tick. Its run is made again whole, once;
  if it is disturbed again, both are published and the cell is answered "not shown".
* **Invalid**: a run that its own checks refuse is made again whole, and stays listed.
* **Nothing is left out**: both runs count, pods as blocks. No look at a result before
  both are there.

## Hypotheses
{claims}

Power: the share of {REPLICATES} simulated studies of this size, drawn by the law, in
which all rows of the hypothesis were shown. Each is a test of equivalence, so that no
correction is made for several rows: all must hold.
"""


def main() -> int:
    """Compute the power of each test, and write the page."""
    found = power()
    holds = min(found.values()) >= LEAST_POWER
    numbers = {"holds": holds, "replicates": REPLICATES, "power": found}
    return 0 if pages.write("second-protocol", text=page(found), numbers=numbers) else 1


if __name__ == "__main__":
    sys.exit(main())
