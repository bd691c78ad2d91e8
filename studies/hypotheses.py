"""What is said of the delay, held against real kubelets.

``python -m studies.hypotheses`` writes docs/studies/hypotheses.md from the measured run
in ``data/``: folk laws, the lattice of sync intervals, the tick, whether the strategy
matters, and fleets.
"""

from __future__ import annotations

import sys
from itertools import combinations
from typing import TYPE_CHECKING, Any

from cmhot.kubelet.eras import TYPICAL
from cmhot.law import reads_at_every_sync
from cmhot.runs import schema
from cmhot.runs.delays import delays
from cmhot.runs.rundir import read_run
from cmhot.runs.sync_intervals import refresh_intervals
from cmhot.statistics import (
    compare_quantiles,
    fleet_maximum,
    infer_sync_frequency,
    interval_blocks,
    phase_coherence,
)
from cmhot.statistics.population import populations
from studies import pages, protocol
from studies.checks import lattice_test
from studies.kubelet import DATA
from studies.simulated_plans import KubeletLaw, folk_laws, judge_hypotheses
from studies.verdicts import records

if TYPE_CHECKING:
    import pandas as pd

    from cmhot.kubelet.settings import Setting

    Refreshes = dict[Setting, pd.DataFrame]

ALPHA = 0.05
SMALL_P = 0.001
FLEETS = (1, 2, 3)
"""Of 20 pods there are six groups of three at the most."""
COHERENT = 0.9
"""Of publications modulo a second: the loops' 0.2 s allow no less than this."""


def folk(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Judge the folk laws, and the law by itself, at each setting."""
    found = []
    for key, own in populations(rows):
        setting = schema.setting_of(key)
        if setting is None or not reads_at_every_sync(setting):
            continue
        for family, rejected in (
            (folk_laws(setting), True),
            ((KubeletLaw(setting),), False),
        ):
            for row in judge_hypotheses(own, family).pipe(records):
                is_rejected = row["p_holm"] <= ALPHA
                found.append(
                    {
                        "setting": str(setting),
                        **row,
                        "rejected": is_rejected,
                        "holds": is_rejected is rejected,
                    }
                )
    return found


def lattice(refreshes: Refreshes) -> list[dict[str, Any]]:
    """Test the lattice of the intervals, and infer S from them alone."""
    found = []
    for setting, own in refreshes.items():
        test = lattice_test(own, setting, timing=TYPICAL)
        guess = infer_sync_frequency(own)
        found.append(
            {
                "setting": str(setting),
                "n": test.n,
                "chi2": test.statistic,
                "degrees": test.degrees,
                "p_value": test.p_value,
                "inferred_s": guess.sync_frequency_s,
                "low_s": guess.low_s,
                "high_s": guess.high_s,
                # four tests: Bonferroni
                "holds": test.p_value > ALPHA / len(refreshes)
                and guess.low_s <= setting.sync_frequency_s <= guess.high_s,
            }
        )
    return found


def ticks(refreshes: Refreshes) -> list[dict[str, Any]]:
    """See that each kubelet publishes at one phase of the second."""
    return [
        {"setting": str(setting), **row, "holds": row["coherence"] >= COHERENT}
        for setting, own in refreshes.items()
        for row in phase_coherence(own).pipe(records)
    ]


def strategies(refreshes: Refreshes) -> list[dict[str, Any]]:
    """Compare the strategies at each S; no difference is to be as large as a margin."""
    by_sync: dict[float, list[Setting]] = {}
    for setting in refreshes:
        by_sync.setdefault(setting.sync_frequency_s, []).append(setting)
    family = [
        (str(one), str(other))
        for several in by_sync.values()
        for one, other in combinations(several, 2)
    ]
    samples = {str(one): interval_blocks(own) for one, own in refreshes.items()}
    scale = {str(one): one.sync_frequency_s for one in refreshes}
    table = compare_quantiles(samples, family=family, quantiles=(0.5, 0.99))
    margins = {0.5: protocol.MARGIN_P50, 0.99: protocol.MARGIN_P99}
    return [
        {
            **row,
            "holds": max(abs(row["low_s"]), abs(row["high_s"]))
            <= margins[row["quantile"]] * scale[row["first"]],
        }
        for row in table.pipe(records)
    ]


def fleets(refreshes: Refreshes) -> list[dict[str, Any]]:
    """Put the time until all of N pods have it beside the law's; Bonferroni."""
    level = 1 - ALPHA / (len(FLEETS) * len(refreshes))
    return [
        {
            "setting": str(setting),
            **{name: row[name] for name in ("pods", "p50_s", "p50_law_s", "p95_s")},
            "p50_95": [row["p50_low_s"], row["p50_high_s"]],
            "p95_law_s": row["p95_law_s"],
            "holds": bool(row["p50_low_s"] <= row["p50_law_s"] <= row["p50_high_s"]),
        }
        for setting, own in refreshes.items()
        for row in fleet_maximum(own, sizes=FLEETS, level=level).pipe(records)
    ]


def _answer(refuted: bool, *, holds: bool) -> str:  # noqa: FBT001 - a row's value
    """Say what a test can say; what was not expected stands out."""
    word = "refuted" if refuted else "not refuted"
    return word if holds else f"**{word}**"


def page(run_id: str, version: str, parts: dict[str, list[dict[str, Any]]]) -> str:
    """Write the page."""
    folk_table = pages.table(
        ["setting", "said", "n", "distance", "p (Holm)", "what is said is"],
        [
            [
                *(one["setting"], one["hypothesis"], f"{one['n']:,}"),
                *(f"{one['distance']:.3f}", f"{one['p_holm']:.4f}"),
                _answer(one["rejected"], holds=one["holds"]),
            ]
            for one in parts["folk"]
        ],
    )
    lattice_table = pages.table(
        ["setting", "intervals", "χ² (df)", "p", "S inferred, s", "lattice and S are"],
        [
            [
                *(one["setting"], f"{one['n']:,}"),
                f"{one['chi2']:.1f} ({one['degrees']})",
                f"{one['p_value']:.2f}",
                f"{one['inferred_s']:.3f} ({one['low_s']:.3f} … {one['high_s']:.3f})",
                _answer(not one["holds"], holds=one["holds"]),
            ]
            for one in parts["lattice"]
        ],
    )
    tick_table = pages.table(
        ["setting", "publications", "coherence", "p (uniform)", "one window"],
        [
            [
                *(one["setting"], f"{one['n']:,}", f"{one['coherence']:.3f}"),
                *("< 0.001" if one["p_value"] < SMALL_P else "≥ 0.001", one["holds"]),
            ]
            for one in parts["ticks"]
        ],
    )
    strategy_table = pages.table(
        [
            "first",
            "second",
            "quantile",
            "difference, s (95 %)",
            "p (Holm)",
            "negligible",
        ],
        [
            [
                *(one["first"], one["second"], f"p{100 * one['quantile']:g}"),
                "{difference_s:+.3f} ({low_s:+.3f} … {high_s:+.3f})".format(**one),
                *(f"{one['p_holm']:.2f}", one["holds"]),
            ]
            for one in parts["strategies"]
        ],
    )
    fleet_table = pages.table(
        [
            "setting",
            "N",
            "p50, s (95 % together)",
            "law",
            "p95, s",
            "law",
            "the law is",
        ],
        [
            [
                *(one["setting"], one["pods"]),
                "{:.2f} ({:.2f} … {:.2f})".format(one["p50_s"], *one["p50_95"]),
                *(f"{one['p50_law_s']:.2f}", f"{one['p95_s']:.2f}"),
                f"{one['p95_law_s']:.2f}",
                _answer(not one["holds"], holds=one["holds"]),
            ]
            for one in parts["fleets"]
        ],
    )
    return f"""# What is said of the delay, held against real kubelets

Made by `python -m studies.hypotheses` from the run in `data/{DATA.name}/main`;
do not edit. Measured on Kubernetes {version}, run `{run_id}`.

## Folk laws, and the law
Null distributions from simulating the whole plan; the family of folk laws is declared
in `studies.simulated_plans.folk_laws`, the law is a family by itself. Level: {ALPHA:g}.
"Not refuted" is all that such a test can say for a law: it is not shown by it. Bold is
what was not expected.

{folk_table}

## The lattice of the intervals
Sync intervals are whole seconds on the kubelet's tick (χ² against `interval_pmf`,
ε = {TYPICAL.sync_s:g} s; Bonferroni), and S follows from them alone.

{lattice_table}

## The tick
Publications of one kubelet modulo a second: coherence 1 is one instant, 0 is spread;
one window: at least {COHERENT:g}, as the volume loops' 0.2 s allow.

{tick_table}

## Whether the strategy matters
Differences of quantiles between strategies at the same S; negligible: the 95 % interval
lies within the margins of equivalence (S/120 and S/60).

{strategy_table}

## Until all of N pods have it
From random instants of the same publications, beside the law for pods of one
kubelet (F(t)ᴺ at whole seconds, straight between, since they share its tick);
all intervals of the table together hold with 95 % (Bonferroni).

{fleet_table}
"""


def main() -> int:
    """Make the page from the shipped run."""
    run = read_run(DATA / "main")
    refreshes: Refreshes = {}
    for key, own in populations(refresh_intervals(run)):
        setting = schema.setting_of(key)
        if setting is not None and reads_at_every_sync(setting):
            refreshes[setting] = own
    parts = {
        "folk": folk(delays(run)),
        "lattice": lattice(refreshes),
        "ticks": ticks(refreshes),
        "strategies": strategies(refreshes),
        "fleets": fleets(refreshes),
    }
    holds = all(one["holds"] for part in parts.values() for one in part)
    text = page(str(run.meta["run_id"]), str(run.meta["kubernetes"]), parts)
    ok = pages.write("hypotheses", text=text, numbers={"holds": holds, **parts})
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
