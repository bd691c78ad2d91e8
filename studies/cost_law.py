"""What a shorter syncFrequency costs a node: the plan, the fitted law, its power.

``python -m studies.cost_law`` writes docs/studies/costs-protocol.md. It is committed
before the windows are measured, which `studies.costs` does. `studies.findings` fits.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from cmhot.kubelet.settings import Setting
from cmhot.law.price import (
    REQUESTS_PER_S,
    SATURATED,
    TERMS,
    Fit,
    is_saturated,
    row_of,
    syncs_per_s,
)
from cmhot.law.price import design as terms_of
from studies import pages
from studies.protocol import ALPHA, CACHE, GET, WATCH, Hypothesis

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Rows = list[dict[str, Any]]

SYNCS_S = (1, 2, 5, 10, 20, 60, 300)
STRATEGIES = (WATCH, GET, CACHE)
CONFIGURATIONS = tuple(
    Setting(sync_s, strategy, 0.0 if strategy is CACHE else None)
    for sync_s in SYNCS_S
    for strategy in STRATEGIES
)


@dataclass(frozen=True, slots=True)
class Population:
    """The pods of one node, all alike, for the whole time.

    Attributes
    ----------
    pods
        How many.
    maps
        ConfigMaps that each of them mounts; all pods of a node mount the same ones.
    """

    pods: int
    maps: int

    def saturates(self, setting: Setting) -> bool:
        """Tell whether its reads take nearly all requests of the kubelet."""
        return is_saturated(setting, pods=self.pods, maps=self.maps)


POPULATIONS = tuple(
    Population(*one) for one in ((0, 1), (10, 1), (50, 1), (110, 1), (10, 10), (50, 10))
)
"""One node each; the first is the idle control. 110 pods with 10 ConfigMaps are left
out: under Get they ask for more than a kubelet may send, at every S up to 20 s."""
REPEATS, SEED = 2, 41
WINDOW_S, SETTLE_S = 30.0, 12.0
"""Of a window, and from the kubelets' restart to it: what a kubelet asks for at its
start, up to 500 reads, has been answered by then."""
QUANTITIES = {"millicores": "CPU of the kubelet", "requests": "requests a second"}
MARGIN_READ = 0.05
"""Of the number of requests for one ConfigMap of one pod at one sync."""
UNASKED = 0.1
"""A window with so many requests beyond one a second and those that its syncs ask for,
as a share of these, is one of a start: syncs at its ends are fewer."""
WITHIN = 0.2
"""Half of the interval of a price may be this share of it."""
PRICED = (Setting(10), Setting(60), 110)
"""The price by which precision is judged: this S instead of that, for so many pods."""


def schedule(seed: int = SEED) -> list[list[Setting]]:
    """Draw which configuration each node has in each round.

    In each repetition every node has every configuration once, and no two nodes have
    the same one at the same time, so that the load of the machine hardly changes.

    Returns
    -------
    list
        A round each: the nodes' settings, in the order of `POPULATIONS`.
    """
    rng = np.random.default_rng(seed)
    number = len(CONFIGURATIONS)
    rounds = []
    for _ in range(REPEATS):
        order = rng.permutation(number)
        shift = rng.permutation(number)[: len(POPULATIONS)]
        rounds += [
            [CONFIGURATIONS[order[(k + own) % number]] for own in shift]
            for k in range(number)
        ]
    return rounds


def design(windows: pd.DataFrame) -> Floats:
    """Write what each window is made of; shape (n, terms).

    Parameters
    ----------
    windows
        With ``pods``, ``maps``, ``strategy`` and ``syncs_per_s``.
    """
    names = ("pods", "maps", "strategy", "syncs_per_s")
    return terms_of(**{name: windows[name].to_numpy() for name in names})


def of_terms(fit: Fit) -> Rows:
    """Give each term with its interval."""
    return [
        {"term": name, **fit.of(row)}
        for name, row in zip(TERMS, np.eye(len(TERMS)), strict=True)
    ]


def fit(windows: pd.DataFrame, quantity: str) -> Fit:
    """Fit the terms by least squares of relative deviations.

    What a busy kubelet costs varies more than what an idle one does: a window weighs
    by a first fit, or by the idle control where that is more. Windows of one round are
    measured at the same time, so that their errors may go together: the covariance is
    the jackknife's, rounds left out one after the other (Efron, The Jackknife, the
    Bootstrap and Other Resampling Plans, 1982, chapter 3).
    """
    x, y = design(windows), windows[quantity].to_numpy(np.float64)
    rounds = windows["round"].to_numpy()
    idle = y[windows["pods"].to_numpy() == 0].mean()
    level = np.maximum(x @ _least_squares(x, y), idle)
    x, y = x / level[:, None], y / level
    blocks = np.unique(rounds)
    apart = np.array(
        [_least_squares(x[rounds != one], y[rounds != one]) for one in blocks]
    )
    apart -= apart.mean(axis=0)
    factor = (len(blocks) - 1) / len(blocks)
    t = float(stats.t.isf(ALPHA / 2, len(blocks) - 1))
    return Fit(_least_squares(x, y), factor * apart.T @ apart, t)


def _least_squares(x: Floats, y: Floats) -> Floats:
    return np.asarray(np.linalg.lstsq(x, y)[0])


def per_second(windows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Make the table that is fitted from what was counted in each window."""
    rows = []
    for one in windows:
        setting = Setting(
            one["sync_frequency_s"],
            next(each for each in STRATEGIES if str(each) == one["strategy"]),
        )
        population = Population(one["pods"], one["maps"])
        seconds = one["seconds"]
        rows.append(
            {
                **{key: one[key] for key in ("round", "node", "pods", "maps")},
                "sync_frequency_s": setting.sync_frequency_s,
                "strategy": str(setting.strategy),
                "syncs_per_s": one["syncs"] / seconds,
                "millicores": 1000 * one["cpu_s"] / seconds,
                "requests": sum(one["requests"].values()) / seconds,
                "saturated": population.saturates(setting),
            }
        )
    return pd.DataFrame(rows)


def for_package(table: pd.DataFrame, kubelet: str) -> dict[str, Any]:
    """Give what `cmhot.law.price` reads: both laws, and where they were measured.

    Windows in which pods still started are left out: with them the law says that a
    kubelet sends requests under Watch, or fewer than none, where pods mount many maps.
    """
    fitted = table[~table["saturated"] & ~_starts(table)]
    fits = {"millicores": fit(fitted, "millicores")}
    fits["requests_per_s"] = fit(fitted, "requests")
    return {
        "kubelet": kubelet,
        "limits": {
            name: [table[name].min(), table[name].max()]
            for name in ("sync_frequency_s", "pods", "maps")
        },
        "fits": {
            name: {
                "value": one.value.tolist(),
                "covariance": one.covariance.tolist(),
                "t": one.t,
            }
            for name, one in fits.items()
        },
    }


def judge(table: pd.DataFrame) -> dict[str, Any]:
    """Fit both laws, price what is usual, and judge each hypothesis."""
    fitted = table[~table["saturated"]]
    fits = {quantity: fit(fitted, quantity) for quantity in QUANTITIES}
    reads = {row["term"]: row for row in of_terms(fits["requests"])}
    short, long, pods = PRICED
    more = row_of(short, pods=pods, maps=1) - row_of(long, pods=pods, maps=1)
    asked = fits["millicores"].of(more)
    half = (asked["95"][1] - asked["95"][0]) / 2
    return {
        "n_windows": len(table),
        "n_fitted": len(fitted),
        "rounds": int(fitted["round"].nunique()),
        "terms": {quantity: of_terms(one) for quantity, one in fits.items()},
        "cells": cells(table, fits),
        "prices": [
            {
                "setting": str(setting),
                "pods": pods,
                "maps": maps,
                **{name: one.of(row) for name, one in fits.items()},
            }
            for maps in (1, 10)
            for setting in CONFIGURATIONS
            for row in [row_of(setting, pods=pods, maps=maps)]
            if not is_saturated(setting, pods=pods, maps=maps)
        ],
        "H17": [
            {**reads[f"read_{strategy}"], "expected": expected}
            | {"holds": _within(reads[f"read_{strategy}"]["95"], expected)}
            for strategy, expected in ((WATCH, 0), (GET, 1), (CACHE, 1))
        ],
        "H18": [{**asked, "half": half, "holds": half <= WITHIN * asked["value"]}],
    }


def _starts(table: pd.DataFrame) -> pd.Series[bool]:
    """Find windows with many more requests than their syncs ask for."""
    asked = table["syncs_per_s"] * table["maps"] * (table["strategy"] != str(WATCH))
    return (table["requests"] > asked * (1 + UNASKED) + 1) & ~table["saturated"]


def without_starts(table: pd.DataFrame) -> dict[str, Any]:
    """Judge once more without windows in which pods still started; not declared.

    `SETTLE_S` is for one read of each ConfigMap of a pod. A kubelet that reads more
    often while it starts sends requests in the window that none of its syncs asks for.
    """
    starts = _starts(table)
    found = judge(table[~starts])
    kinds = table[starts].groupby(["pods", "maps", "strategy"]).size().reset_index()
    return {
        "left_out": [
            dict(zip(("pods", "maps", "strategy", "windows"), row, strict=True))
            for row in kinds.itertuples(index=False)
        ],
        **{one.name: found[one.name] for one in HYPOTHESES},
    }


def _within(ends: Sequence[float], expected: float) -> bool:
    return max(abs(end - expected) for end in ends) <= MARGIN_READ


def cells(table: pd.DataFrame, fits: Mapping[str, Fit]) -> Rows:
    """Put what was measured of each population at each setting beside the fit."""
    x = design(table)
    with_fit = table.assign(
        **{f"{name}_fit": x @ one.value for name, one in fits.items()}
    )
    keys = ["pods", "maps", "sync_frequency_s", "strategy", "saturated"]
    names = [f"{name}{end}" for name in fits for end in ("", "_fit")]
    means = with_fit.groupby(keys)[[*names, "syncs_per_s"]].mean()
    return [
        {str(key): value for key, value in row.items()}
        for row in means.reset_index().to_dict("records")
    ]


HYPOTHESES = (
    Hypothesis(
        "H17",
        "At each sync a kubelet sends one request for each ConfigMap that a pod "
        "mounts, under Get and under Cache with a TTL of 0, and none under Watch.",
        "The 95 % interval of each of the three numbers lies within "
        f"{MARGIN_READ:g} of 1, 1 and 0.",
    ),
    Hypothesis(
        "H18",
        f"What S = {PRICED[0].sync_frequency_s:g} s costs the kubelet more than "
        f"{PRICED[1].sync_frequency_s:g} s in CPU is known well enough to be printed.",
        f"For {PRICED[2]} pods with one ConfigMap under Watch, half of its 95 % "
        f"interval is at most {WITHIN:.0%} of it.",
    ),
)
ASSUMED = {
    "millicores": (7.0, 0.2, 0.0, 2.0, 0.3, 1.0, 1.0),
    "requests": (0.1, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0),
}
"""Of each of `TERMS`, for the power: about what six pilot windows of a minute showed,
with up to 5 pods on a busy machine."""
SPREAD = {"millicores": (2.0, 0.1), "requests": (0.03, 0.02)}
"""Standard deviation of a window, for the power: so much, and this share of it; a
third of both is common to all windows of a round."""
REPLICATES, LEAST_POWER = 200, 0.9


def simulate(rng: np.random.Generator) -> pd.DataFrame:
    """Draw the table of a whole run, with the terms and the spread that are assumed."""
    rows = [
        {
            "round": number,
            "node": place,
            "pods": population.pods,
            "maps": population.maps,
            "sync_frequency_s": setting.sync_frequency_s,
            "strategy": str(setting.strategy),
            "syncs_per_s": syncs_per_s(setting, population.pods),
            "saturated": population.saturates(setting),
        }
        for number, settings in enumerate(schedule())
        for place, (population, setting) in enumerate(
            zip(POPULATIONS, settings, strict=True)
        )
    ]
    table = pd.DataFrame(rows)
    for quantity, terms in ASSUMED.items():
        mean = design(table) @ np.array(terms)
        fixed, share = SPREAD[quantity]
        common = rng.normal(size=table["round"].nunique())[table["round"]]
        own = rng.normal(size=len(table))
        table[quantity] = mean + (fixed + share * mean) * (own + common / 3)
    return table


def power() -> dict[str, float]:
    """Count in how many simulated runs each hypothesis was shown in all rows."""
    shown = dict.fromkeys((one.name for one in HYPOTHESES), 0)
    for seed in range(REPLICATES):
        found = judge(simulate(np.random.default_rng(seed)))
        for name in shown:
            shown[name] += all(row["holds"] for row in found[name])
    return {name: count / REPLICATES for name, count in shown.items()}


def page(found: Mapping[str, float]) -> str:
    """Write the protocol."""
    claims = pages.table(
        ["", "expected", "judged by", "power"],
        [
            [one.name, one.claim, one.judged, f"{found[one.name]:.0%}"]
            for one in HYPOTHESES
        ],
    )
    nodes = pages.table(
        ["node", "pods", "ConfigMaps a pod"],
        [[k, one.pods, one.maps] for k, one in enumerate(POPULATIONS, start=1)],
    )
    assumed = pages.table(
        ["term", *QUANTITIES.values()],
        [
            [name, *(f"{ASSUMED[quantity][k]:g}" for quantity in QUANTITIES)]
            for k, name in enumerate(TERMS)
        ],
    )
    left_out = "; ".join(
        f"{one.pods} pods with {one.maps} at S = {', '.join(map(str, below))} s"
        for one in POPULATIONS
        for below in [[s for s in SYNCS_S if one.saturates(Setting(s, GET))]]
        if below
    )
    rounds = len(schedule())
    return f"""# What a shorter syncFrequency costs: the measurement and its judgement

Written by `python -m studies.cost_law` before its windows were measured; do not edit.
`make study PARTS=costs` measures them, on a machine that does nothing else: some
{rounds * 50 / 60:.0f} minutes, and five more until all pods run. It goes on where it
was ended.

**What is counted.** By each kubelet itself, over windows of {WINDOW_S:g} s: the CPU
seconds of its process (`process_cpu_seconds_total`), its requests to the API server
(`rest_client_requests_total`, all methods), and the syncs of pods
(`kubelet_pod_worker_duration_seconds`, operation `sync`). Not counted: what containerd,
the API server and etcd spend.

**Population.** Idle, healthy pods of one sleeping container; nothing changes meanwhile.
One node each, all kubelets side by side on one machine of two cores:

{nodes}

All pods of a node mount the same ConfigMaps, as those of a Deployment do. The node
without pods is the idle control. 110 pods with 10 ConfigMaps are not measured: at S of
up to 20 s they would ask for more than the {REQUESTS_PER_S:g} requests a second that a
kubelet sends (kubeAPIQPS).

**Plan.** In each of {rounds} rounds every kubelet is started anew with one of
{len(CONFIGURATIONS)} configurations: S = {", ".join(map(str, SYNCS_S))} s, each under
Watch, Get and Cache with a TTL of 0. In each of the {REPEATS} repetitions every node
has every configuration once, in an order drawn from the seed {SEED}, and no two nodes
have the same one at the same time. The window begins {SETTLE_S:g} s after all kubelets
answer.

**The law that is fitted**, by least squares of relative deviations, to CPU and to
requests alike:

    a + b · pods + m · pods · maps + syncs/s · (c + d(strategy) · maps)

The number of syncs is what the kubelet counted, since pods that were started together
are synced together and a window at S = 60 or 300 s holds few of them or none. A price
is the same sum with the syncs of the law, pods / mean interval. Intervals are 95 %, by
the jackknife over rounds (in simulated runs they held each term in 92 to 97 %). Each
population is on one node, so that what distinguishes nodes is in a, b and m.
**Left out of the fit, and shown**: windows in which reads alone would take more than
{SATURATED:.0%} of the requests that a kubelet may send. Under Get and Cache, for pods
with so many ConfigMaps each: {left_out}.
**Invalid**: a window in which a kubelet was started anew, or a pod was not running; its
round is measured again whole. How far the law is from each cell is shown, and nothing
is claimed of it.

## Hypotheses
{claims}

Power: the share of {REPLICATES} simulated runs in which all rows were shown. They have
these terms, about what six pilot windows of a minute showed, with up to 5 pods on a
busy machine (each of 80 syncs of a pod with one ConfigMap under Get sent one request,
each of 46 with three sent three; a kubelet without pods renews its lease, 0.1 a
second):

{assumed}

and a window's standard deviation of {SPREAD["millicores"][0]:g} millicores and
{SPREAD["millicores"][1]:.0%}, {SPREAD["requests"][0]:g} requests a second and
{SPREAD["requests"][1]:.0%}, a third of it common to the windows of a round.
"""


def main() -> int:
    """Compute the power, and write the protocol."""
    found = power()
    numbers = {
        "holds": min(found.values()) >= LEAST_POWER,
        "replicates": REPLICATES,
        "power": found,
    }
    return 0 if pages.write("costs-protocol", text=page(found), numbers=numbers) else 1


if __name__ == "__main__":
    sys.exit(main())
