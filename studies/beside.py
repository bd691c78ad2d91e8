"""Remedies beside pods that wait, disturbed pods beside idle ones: the second time.

``python -m studies.beside`` writes docs/studies/beside-protocol.md. It is committed
before the runs, which `studies.beside_runs` makes. `studies.findings` judges them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from cmhot.clock import NS_PER_S
from cmhot.kubelet.settings import Setting
from cmhot.law import fleet_law, law_for
from cmhot.propagation.refresh import Method
from studies import disturbed, pages
from studies.draws import draw_delays
from studies.protocol import ALPHA, Hypothesis
from studies.verdicts import as_seen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt
    import pandas as pd

    from cmhot.runs.rundir import Run

    Floats = npt.NDArray[np.float64]
    Rows = list[dict[str, Any]]

SETTING = Setting(60)
SIZES = (10, 50)
"""Pods of the Deployment that is refreshed, and as many that wait beside it."""
METHODS = tuple(Method)
TRIALS_S = {10: 900.0, 50: 1200.0}
"""A round of all methods is begun until so many seconds after the first."""
PAUSE_S = (5.0, 15.0)
"""Between two trials, at random: what an earlier trial did to the pods' phases, and
what has a period, must not decide about the next one."""
FEWEST_ROUNDS, SEED = 10, 61
KINDS = ("idle", *disturbed.KINDS)
PODS = 30
"""Of each kind, all on one kubelet."""
STAGGER_S, WATCHED_S = 300, 900.0
"""Pods are disturbed from an instant at random in so many seconds on; from the last of
these on so many are watched."""
WAITING = "waiting"
REPLICATES, LEAST_POWER = 200, 0.9
QUICKER = 0.99
"""Share of rounds in which annotate is quicker, where the power is told."""
SOONER_S = 3.0
"""By how much the mean is shorter, where the power is told."""

HYPOTHESES = (
    Hypothesis(
        "H19",
        "Annotating is the quickest remedy, and each is quicker than to wait.",
        "For 10 and for 50 pods, in pairs of one round: the 95 % interval of the "
        "median of the seconds that rollout, recreate and waiting take more than "
        "annotate lies above 0, and that of waiting less each of the others, too.",
    ),
    Hypothesis(
        "H20",
        "Pods that are disturbed see a change sooner than idle ones beside them.",
        "For each kind the 95 % interval of the difference of mean delays (Welch's, "
        "pods as blocks) lies above 0.",
    ),
)


def run_of(kind: str) -> str:
    """Name the run of a kind of pods."""
    return f"beside-{kind}"


def waiting_of(pods: int) -> str:
    """Name the run of the pods that wait beside a Deployment of so many."""
    return f"{WAITING}-{pods}"


TRIALS = "remedies-beside.json"
PARTS = {
    "remedies": (*(waiting_of(pods) for pods in SIZES), TRIALS),
    "disturbed": tuple(run_of(kind) for kind in KINDS),
}
"""What each part leaves."""


# remedies


def waited_s(run: Run, called_ns: Sequence[int]) -> Floats:
    """Say how long all pods of a run would have waited for an update of each instant.

    Each sync of the run's pods finds a new number, so that the next publication after
    an instant would have brought an update of it. It is endless where no such
    publication was seen.
    """
    at = np.asarray(called_ns, dtype=np.int64)
    longest = np.zeros(len(at))
    for _, own in run.publications.groupby("pod"):
        instants = np.sort(own["published_ns"].to_numpy(dtype=np.int64))
        place = np.searchsorted(instants, at, "right")
        known = place < len(instants)
        next_ns = instants[np.where(known, place, -1)]
        waited = np.where(known, (next_ns - at) / NS_PER_S, np.inf)
        longest = np.maximum(longest, waited)
    return longest


def rounds(trials: pd.DataFrame, waiting: Run) -> pd.DataFrame:
    """Give the seconds of each method in each round, a column each, and the waiting.

    That is the mean of what was waited beside the round's trials, since it hardly
    depends on the method. A round in which a method failed or that the waiting pods
    did not outlast is left out; `remedies` counts them.
    """
    beside = trials.assign(waiting=waited_s(waiting, trials["called_ns"].tolist()))
    table = beside.pivot_table(index="round", columns="method", values="seconds")
    table = table.reindex(columns=[*METHODS])
    table[WAITING] = beside.groupby("round")[WAITING].mean()
    return table.replace(np.inf, np.nan).dropna()


def remedies(trials: pd.DataFrame, waiting: Run) -> Rows:
    """Describe each method and the waiting, for one size.

    Limits are order statistics, exact for independent rounds; ``lag_r`` tells of
    rounds that are not.
    """
    table = rounds(trials, waiting)
    pods = int(trials["pods"].iloc[0])
    law = fleet_law(SETTING, pods=pods)
    return [
        {
            "method": method,
            "pods": pods,
            "n": len(own),
            "left_out": int(trials["round"].nunique()) - len(own),
            **median(own),
            "max_s": float(own.max()),
            "lag_r": _lag_r(own),
            "law_s": float(law.quantile(0.5)) if law and method == WAITING else None,
        }
        for method, own in _columns(table)
    ]


def quicker(trials: pd.DataFrame, waiting: Run) -> Rows:
    """H19 for one size: what each method takes more than a quicker one."""
    table = dict(_columns(rounds(trials, waiting)))
    annotate, *others = (one.value for one in METHODS)
    pairs = [(one, annotate) for one in (*others, WAITING)]
    pairs += [(WAITING, one) for one in others]
    rows = []
    for slow, quick in pairs:
        told = median(table[slow] - table[quick])
        holds = len(table[slow]) >= FEWEST_ROUNDS and told["median_95"][0] > 0
        pods = int(trials["pods"].iloc[0])
        rows.append({"pods": pods, "of": [slow, quick], **told, "holds": holds})
    return rows


def _columns(table: pd.DataFrame) -> Iterator[tuple[str, Floats]]:
    for name, own in table.items():
        yield str(name), own.to_numpy(dtype=np.float64)


def _lag_r(values: Floats) -> float | None:
    """Correlate values with the next ones; None where they are too few, or equal."""
    pairs = np.stack([values[:-1], values[1:]])
    if pairs.shape[1] < 3 or not np.ptp(pairs, axis=1).all():  # noqa: PLR2004 - r = ±1
        return None
    return float(stats.pearsonr(*pairs).statistic)


def median(values: Floats) -> dict[str, Any]:
    """Give the median in seconds, and its exact limits (scipy's `quantile_test`).

    Of five values or fewer there are none.
    """
    test: Any = stats.quantile_test(values, p=0.5)  # its annotations are wrong
    ends = [float(end) for end in test.confidence_interval(1 - ALPHA)]
    known = bool(np.isfinite(ends).all())
    return {
        "median_s": float(np.median(values)),
        "median_95": ends if known else None,
    }


# disturbed pods


def watched(run: Run) -> Floats:
    """Give the delays of updates from the last onset on, seconds; and no other's.

    Shape (pods, n). Updates of `WATCHED_S` count, whatever brought them to the pod.
    """
    acked, waits = as_seen(run)
    began = run.publications.groupby("pod")["published_ns"].min().max()
    since_s = (acked - int(began)) / NS_PER_S - disturbed.CALM_S - STAGGER_S
    counts = (since_s >= 0) & (since_s < WATCHED_S)
    return np.asarray(waits[:, counts])


def sooner(means: Mapping[str, Floats]) -> Rows:
    """H20: each kind beside the idle pods, by its pods' mean delays, shape (pods,).

    Parameters
    ----------
    means
        Of the pods of each of `KINDS`.
    """
    idle = means[KINDS[0]]
    law = law_for(SETTING)
    rows: Rows = []
    for kind, own in means.items():
        ends = stats.ttest_1samp(own, 0.0).confidence_interval(1 - ALPHA)
        row = {
            "kind": kind,
            "pods": len(own),
            "mean_s": float(own.mean()),
            "mean_95": [float(ends.low), float(ends.high)],
            "law_mean_s": None if law is None else law.mean_s,
        }
        if kind == KINDS[0]:
            rows.append({**row, "sooner_95": None, "holds": None})
            continue
        test = stats.ttest_ind(idle, own, equal_var=False)
        low, high = test.confidence_interval(1 - ALPHA)
        both = {"sooner_95": [float(low), float(high)], "holds": bool(low > 0)}
        rows.append({**row, **both})
    return rows


# the protocol


def power() -> dict[str, float]:
    """Count in how many simulated studies each hypothesis was shown."""
    shown = {"H19": 0, "H20": 0}
    shorter = Setting(SETTING.sync_frequency_s * (1 - SOONER_S / _law_mean_s()))
    for seed in range(REPLICATES):
        rng = np.random.default_rng(seed)
        # each of five differences of two sizes: above 0 in most rounds
        signs = np.where(rng.random((10, FEWEST_ROUNDS)) < QUICKER, 1.0, -1.0)
        shown["H19"] += all(median(own)["median_95"][0] > 0 for own in signs)
        settings = (SETTING, *(shorter for _ in KINDS[1:]))
        means = {
            kind: _drawn_means(setting, rng)
            for kind, setting in zip(KINDS, settings, strict=True)
        }
        shown["H20"] += all(row["holds"] is not False for row in sooner(means))
    return {name: number / REPLICATES for name, number in shown.items()}


def _law_mean_s() -> float:
    law = law_for(SETTING)
    assert law is not None  # noqa: S101 - there is one under Watch
    return law.mean_s


def _drawn_means(setting: Setting, rng: np.random.Generator) -> Floats:
    table = draw_delays(setting, rng, pods=PODS, window_s=WATCHED_S)
    return table.groupby("pod", observed=True)["delay_s"].mean().to_numpy()


def page(found: Mapping[str, float]) -> str:
    """Write the protocol."""
    runs = pages.table(
        ["part", "what is refreshed", "what waits beside it", "rounds are begun for"],
        [
            [
                "`remedies`",
                f"a Deployment of {pods} pods",
                f"`{waiting_of(pods)}`: {pods} probes with a ConfigMap of their own",
                f"{TRIALS_S[pods] / 60:g} min",
            ]
            for pods in SIZES
        ],
    )
    claims = pages.table(
        ["", "expected", "judged by", "power"],
        [
            [one.name, one.claim, one.judged, f"{found[one.name]:.0%}"]
            for one in HYPOTHESES
        ],
    )
    calm, flip = disturbed.CALM_S, disturbed.FLIP_S
    kinds = ", ".join(f"`{run_of(kind)}`" for kind in KINDS)
    low, high = PAUSE_S
    return f"""# Remedies and disturbed pods again: what is measured and expected

Written by `python -m studies.beside` before its runs were made; do not edit.
`make study PARTS='beside-remedies beside-disturbed'` makes them, on a machine that does
nothing else: some 50 and 30 minutes. In the first edition nothing was measured of
waiting, trials depended on each other, and pods were disturbed in step, without idle
ones beside them ([findings](../findings.md)).

## Remedies
One kubelet of {SETTING}. Both are on it at the same time:

{runs}

* A round has each of {", ".join(METHODS)} once, in an order drawn at random (seed
  {SEED}); before each trial {low:g} to {high:g} s pass, at random. A trial updates
  the ConfigMap and calls `cmhot refresh` at once.
* **Seconds** of a trial: until the last pod has it, as in the first edition.
  **Waiting** beside it: from the same instant to the last probe's next sync, each of
  which finds a new number; in a round the mean of its trials.
* A round in which a trial failed, or that the probes did not outlast, is left out and
  counted. Fewer than {FEWEST_ROUNDS} rounds show nothing.

## Disturbed pods
{kinds}: {PODS} probes each, all on one kubelet of {SETTING}, at the same time.
Readiness changes every {flip} s; a container fails whenever it is started. Each pod is
disturbed {calm} s after its start and up to {STAGGER_S} s later, by a hash of its name,
so that pods are not in step. Counted are the updates of {WATCHED_S / 60:g} minutes from
the last onset on; a delay ends with the first publication of its number or a later one.
All runs but the idle one call themselves invalid, since they count syncs before their
time, which are what is measured.

## Hypotheses
{claims}

Power: the share of {REPLICATES} simulated studies in which all rows of the hypothesis
were shown. H19: with {FEWEST_ROUNDS} rounds, where what is quicker is so in
{QUICKER:.0%} of rounds. H20: where disturbed pods keep to a law whose mean is
{SOONER_S:g} s shorter. All rows must hold, so that no correction is made for several.
"""


def main() -> int:
    """Compute the power of each test, and write the page."""
    found = power()
    holds = min(found.values()) >= LEAST_POWER
    numbers = {"holds": holds, "replicates": REPLICATES, "power": found}
    return 0 if pages.write("beside-protocol", text=page(found), numbers=numbers) else 1


if __name__ == "__main__":
    sys.exit(main())
