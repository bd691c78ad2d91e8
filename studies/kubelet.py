"""Real kubelets beside the model and the law, and two estimators on the same data.

``python -m studies.kubelet`` writes docs/studies/kubelet.md from the measured runs in
``data/``: model against testbed, interval estimator against direct estimator,
and the rate of syncs right after a scrambled start.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from cmhot import plots
from cmhot.clock import NS_PER_S
from cmhot.cluster.model.simulate import simulate
from cmhot.kubelet.settings import Setting
from cmhot.law import (
    QUANTILES,
    law_for,
    longest_interval_s,
    mean_interval_s,
    reads_at_every_sync,
)
from cmhot.plots.files import WIDE, new_figure, save_figure
from cmhot.runs import schema
from cmhot.runs.delays import delays
from cmhot.runs.rundir import read_run
from cmhot.runs.sync_intervals import refresh_intervals
from cmhot.statistics import (
    confidence,
    delay_blocks,
    interval_blocks,
    n_eff,
)
from cmhot.statistics.population import populations
from studies import pages
from studies.checks import equivalence_of_samples
from studies.verdicts import quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from cmhot.runs.rundir import Run
    from cmhot.statistics import Blocks

DATA = Path(__file__).parents[1] / "data" / "testbed-2026-11-24"
FIGURE = "kubelet"
LEAST_INTERVALS = 500
START_PODS = 4000
START_TOLERANCE = 0.02
MODEL_HOURS = 2.0
S_PER_H = 3600.0


def against_model(refresh: pd.DataFrame, setting: Setting) -> dict[str, Any]:
    """Compare the refreshes of real kubelets at one setting with modelled ones."""
    run = simulate(setting, pods=40, duration_s=MODEL_HOURS * S_PER_H, seed=5)
    verdict = equivalence_of_samples(
        refresh,
        refresh_intervals(run),
        sync_frequency_s=setting.sync_frequency_s,
    )
    enough = len(refresh) >= LEAST_INTERVALS
    return {
        "setting": str(setting),
        "n_syncs": len(refresh),
        **verdict,
        "holds": bool(verdict["equivalent"]) and enough,
    }


def estimators(
    rows: pd.DataFrame, refresh: pd.DataFrame, setting: Setting, *, hours: float
) -> list[dict[str, Any]]:
    """Put the two estimators of each quantile beside each other."""
    law = law_for(setting, sharers=rows["pod"].nunique())
    direct, interval = delay_blocks(rows), interval_blocks(refresh, law=law)
    of_direct, of_interval = confidence(direct), confidence(interval)
    pod_hours = rows["pod"].nunique() * hours
    found = []
    for key, p in QUANTILES.items():
        one, other = of_direct[key], of_interval[key]
        if one is None or other is None:
            continue
        found.append(
            {
                "setting": str(setting),
                "quantile": key.removesuffix("_s"),
                "direct": quantile(direct, p),
                "interval": quantile(interval, p),
                "direct_95": list(one),
                "interval_95": list(other),
                "width_ratio": (other[1] - other[0]) / (one[1] - one[0]),
                "direct_per_pod_hour": _effective(direct, p) / pod_hours,
                "interval_per_pod_hour": _effective(interval, p) / pod_hours,
                # each within the other's interval, or the intervals overlap
                "holds": one[0] <= other[1] and other[0] <= one[1],
            }
        )
    return found


def _effective(blocks: Blocks, p: float) -> float:
    return float(np.interp(quantile(blocks, p), blocks.t, n_eff(blocks)))


def start_rates(
    runs: Sequence[Run], setting: Setting, *, burn_in_s: float
) -> list[int]:
    """Count the syncs of each pod in the first mean interval after T₀ + b.

    T₀ is when the scrambling began: `burn_in_s` before the measuring window.
    A number is written so often then that each sync publishes.
    """
    counts = []
    for run in runs:
        begin = run.meta["measure_from_ns"] - burn_in_s * NS_PER_S
        low = begin + longest_interval_s(setting) * NS_PER_S
        high = low + mean_interval_s(setting) * NS_PER_S
        nodes = [
            name
            for name, known in run.meta["settings"].items()
            if schema.setting_of(known) == setting
        ]
        found = run.publications[run.publications["node"].isin(nodes)]
        inside = found[found["published_ns"].between(low, high)]["pod"].value_counts()
        pods = [one["pod"] for one in run.meta["pods"] if one["node"] in nodes]
        counts += [int(inside.get(pod, 0)) for pod in pods]
    return counts


def start(
    name: str, counts: list[int], *, tolerance: float | None = None, family: int = 1
) -> dict[str, Any]:
    """Judge a rate: within the tolerance, or as far from 1/μ as chance has it.

    Without a tolerance, its 95 % interval must hold 1/μ;
    among several, all of theirs together (Bonferroni).
    """
    rate = float(np.mean(counts))
    error = float(np.std(counts) / np.sqrt(len(counts)))
    widest = float(stats.norm.isf(0.05 / 2 / family)) * error
    allowed = widest if tolerance is None else tolerance
    return {
        "start": name,
        "pods": len(counts),
        "rate": rate,
        "standard_error": error,
        "allowed": allowed,
        "holds": abs(rate - 1) <= allowed,
    }


def all_starts(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Look at starts of the model and of the testbed, at each setting."""
    found = []
    settings = sorted({one for run in runs for one in _settings(run)})
    burn_in_s = max(longest_interval_s(setting) for setting in settings)
    for setting in (Setting(60), Setting(10)):
        run = simulate(setting, pods=START_PODS, duration_s=setting.sync_frequency_s)
        counts = start_rates([run], setting, burn_in_s=longest_interval_s(setting))
        found.append(start(f"model, {setting}", counts, tolerance=START_TOLERANCE))
    pooled: list[int] = []
    for setting in settings:
        counts = start_rates(runs, setting, burn_in_s=burn_in_s)
        found.append(start(f"testbed, {setting}", counts, family=len(settings)))
        pooled += counts
    found.append(start("testbed, all of them", pooled))
    return found


def _settings(run: Run) -> list[Setting]:
    known = [schema.setting_of(one) for one in run.meta["settings"].values()]
    return [one for one in known if one is not None and reads_at_every_sync(one)]


def draw(rows: pd.DataFrame) -> None:
    """Draw the measured delays with the law over them, next to the page."""
    pages.DOCS.mkdir(parents=True, exist_ok=True)
    with new_figure(WIDE) as (fig, ax):
        plots.delay_distribution(rows, ax=ax)
        save_figure(fig, pages.DOCS / FIGURE)


def page(
    run: Run,
    models: list[dict[str, Any]],
    pairs: list[dict[str, Any]],
    starts: list[dict[str, Any]],
) -> str:
    """Write the page."""
    model_table = pages.table(
        [
            "setting",
            "intervals",
            "sup",
            "at most (95 %)",
            "Δp50, s",
            "Δp99, s",
            "equal",
        ],
        [
            [
                one["setting"],
                f"{one['n_syncs']:,}",
                f"{one['sup_difference']:.4f}",
                f"{one['upper_95']:.4f}",
                f"{one['p50_difference_s']:+.3f}",
                f"{one['p99_difference_s']:+.3f}",
                one["holds"],
            ]
            for one in models
        ],
    )
    pair_table = pages.table(
        [
            *("setting", "quantile", "direct", "its 95 % interval"),
            *("from intervals", "its 95 % interval", "width", "n_eff per pod-hour"),
            "agree",
        ],
        [
            [
                one["setting"],
                one["quantile"],
                f"{one['direct']:.3f}",
                "{:.3f} … {:.3f}".format(*one["direct_95"]),
                f"{one['interval']:.3f}",
                "{:.3f} … {:.3f}".format(*one["interval_95"]),
                f"{one['width_ratio']:.2f}",
                (
                    f"{one['direct_per_pod_hour']:,.0f} → "
                    f"{one['interval_per_pod_hour']:,.0f}"
                ),
                one["holds"],
            ]
            for one in pairs
        ],
    )
    start_table = pages.table(
        ["start", "pods", "rate over 1/μ", "standard error", "allowed", "within"],
        [
            [
                one["start"],
                f"{one['pods']:,}",
                f"{one['rate']:.4f}",
                f"{one['standard_error']:.4f}",
                f"{one['allowed']:.4f}",
                one["holds"],
            ]
            for one in starts
        ],
    )
    return f"""# Real kubelets beside the model and the law

Made by `python -m studies.kubelet` from the runs in `data/{DATA.name}`; do not edit.
Measured on Kubernetes {run.meta["kubernetes"]}, run `{run.meta["run_id"]}`:
idle healthy pods, one kubelet a setting, all on one machine of two cores.

![Share of pods that have the update against the delay: at each setting the measured
curve lies on the law, under Cache with a TTL of 15 s too]({FIGURE}.png)

## The model against the testbed
The sync intervals of the testbed against those of the event-level model
({MODEL_HOURS:g} h with 40 pods): equal when the one-sided 95 % bounds of sup|F̂ - F̂'|,
Δp50 and Δp99 lie within 0.02, S/120 and S/60.

{model_table}

## Two estimators on the same data
Seconds. "Width": the 95 % interval from the intervals between syncs, over that from
the delays themselves; n_eff: how many independent delays would say as much.

{pair_table}

## Right after a scrambled start
Syncs in the first interval μ after T₀ + b, over the number of pods; the model within
{START_TOLERANCE:.0%}, the testbed within its 95 % interval, settings together
(Bonferroni).

{start_table}
"""


def main() -> int:
    """Make the page from the shipped runs."""
    run = read_run(DATA / "main")
    rows, refresh = delays(run), refresh_intervals(run)
    by_setting = {schema.setting_of(key): own for key, own in populations(refresh)}
    hours = (run.meta["measure_until_ns"] - run.meta["measure_from_ns"]) / NS_PER_S
    models, pairs = [], []
    for key, own in populations(rows):
        setting = schema.setting_of(key)
        if setting is None:
            continue
        if reads_at_every_sync(setting):
            models.append(against_model(by_setting[setting], setting))
        pairs += estimators(own, by_setting[setting], setting, hours=hours / S_PER_H)
    draw(rows)
    starts = all_starts([read_run(path) for path in sorted(DATA.glob("start-*"))])
    numbers = {"model": models, "estimators": pairs, "starts": starts}
    holds = all(one["holds"] for part in numbers.values() for one in part)
    text = page(run, models, pairs, starts)
    ok = pages.write("kubelet", text=text, numbers={"holds": holds, **numbers})
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
