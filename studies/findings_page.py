"""The findings as a page: every number in it is handed in."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from cmhot.law.price import TERMS
from studies import (
    beside,
    cost_law,
    deviations,
    more_settings,
    pages,
    protocol,
    second,
    validity,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Numbers = Mapping[str, Any]
    Row = Mapping[str, Any]

DEFAULT = "60 s, Watch"
FIGURE = "headline/headline.svg"


def page(numbers: Numbers) -> str:
    """Write docs/findings.md."""
    parts = [
        _head(numbers),
        _ten_seconds(numbers),
        _documented(numbers),
        _law(numbers),
        _strategy(numbers),
        *([_second(numbers["second"])] if "second" in numbers else []),
        _ttl(numbers),
        *([_more(numbers["more"])] if "more" in numbers else []),
        _fleets(numbers),
        _remedies(numbers),
        *([_costs(numbers["costs"])] if "costs" in numbers else []),
        *([_validity(numbers["validity"])] if "validity" in numbers else []),
        *([_beside(numbers["beside"])] if "beside" in numbers else []),
        _never(numbers),
        _wrong(numbers),
        _populations(numbers),
        _verdicts(numbers),
        _protocol(numbers),
        _replications(numbers),
        _limits(numbers),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def of_default(numbers: Numbers) -> Numbers:
    """Give the numbers that the default is told by: of the longer runs, once there."""
    longer: Numbers = numbers.get("second", numbers)
    return longer


def cell(numbers: Numbers, setting: str) -> Row:
    """Find the description of one cell."""
    source = of_default(numbers) if setting == DEFAULT else numbers
    (found,) = [row for row in source["cells"] if row["setting"] == setting]
    return dict(found)


def headline(numbers: Numbers) -> str:
    """Say the answer in one sentence, with an interval and what weakens it."""
    own = cell(numbers, DEFAULT)
    low, high = own["p99_95"]
    return (
        "With the kubelet's default (`syncFrequency: 1m`, Watch) a pod that mounts the "
        f"ConfigMap sees a change after {own['p50_s']:.1f} s in the median, and 99 % "
        f"of pods after {own['p99_s']:.1f} s (95 % interval {low:.1f} to {high:.1f} "
        f"s); the slowest of {own['n_delays']:,} delays took {own['max_s']:.1f} s.**"
        f"{disturbance(numbers)}"
    )


def disturbance(numbers: Numbers) -> str:
    """Say that the default's cell was disturbed by the protocol's rule, if so."""
    shares = [
        row["late_share"]
        for row in of_default(numbers)["lateness"]
        if row["setting"] == DEFAULT and row["disturbed"]
    ]
    if not shares:
        return ""
    text = (
        f" By the study's own rule this cell was disturbed: {max(shares):.2%} "
        f"of its publications came more than {protocol.MOST_LATE_S:g} s late, and at "
        "most 1 % may. "
    )
    again = "It was measured again, and was again."
    return text + (again if "second" in numbers else "It is to be measured again.")


def _head(numbers: Numbers) -> str:
    return f"""# Findings: when do pods see a changed ConfigMap?

Written by `python -m studies.findings` from `data/`; do not edit. `make verify-data`
computes every number here anew, twice: by the code of this package, and by a page of
code that imports nothing of it. What was expected beforehand is
[the protocol](studies/protocol.md), and what was done otherwise is
[below](#declared-and-done). Measured on Kubernetes {numbers["kubernetes"]},
idle healthy pods, real kubelets on one machine.

**{headline(numbers)}

![Share of pods that have the update]({FIGURE})"""


def share(numbers: Numbers, setting: str) -> Row:
    """Find where round numbers lie among the delays of one cell."""
    source = of_default(numbers) if setting == DEFAULT else numbers
    (found,) = [row for row in source["shares"] if row["setting"] == setting]
    return dict(found)


def _ten_seconds(numbers: Numbers) -> str:
    usual, short = share(numbers, DEFAULT), share(numbers, "10 s, Watch")
    return f"""## Where "about 10 seconds" lies
Often quoted, from one trial in 2019: "after about 10 s". At the default,
{usual["by_10_s"]:.1%} of {usual["n"]:,} delays were at most 10 s (by the law
{usual["law_by_10_s"]:.1%}): about one pod in {1 / usual["by_10_s"]:.0f}. At
`syncFrequency: 10s` it is {short["by_10_s"]:.0%} ({short["law_by_10_s"]:.0%}).
The delay is not a number but a distribution, and one trial shows one value of it.

### On the kubelet of that trial
{_elsewhere(numbers)}"""


def _elsewhere(numbers: Numbers) -> str:
    found = {row["run"]: row for row in numbers["elsewhere"]}
    rows = [
        [
            f"`{row['run']}`",
            row["setting"],
            row["pods"],
            f"{row['n_delays']:,}",
            _limited(row["mean_s"], row["mean_95"]),
            f"{row['law']['mean_s']:.1f}",
            _limited(row["p99_s"], row["p99_95"]),
            f"{row['law']['p99_s']:.1f}",
            f"{row['direct_by_10_s']:.1%}",
            f"{row['law_by_10_s']:.1%}",
        ]
        for row in numbers["elsewhere"]
    ]
    heads = [
        "run",
        "setting",
        "pods",
        "delays",
        "mean, s (95 %)",
        "law",
        "p99, s (95 %)",
    ]
    heads += ["law", "≤ 10 s", "law"]
    own, shared = found["ttl-0"], found["ttl-60-shared"]
    at_0 = [found[name]["equivalent"] for name in ("ttl-0", "ttl-0-second")]
    shown = "shown" if all(one["equivalent"] for one in at_0) else "not shown"
    sup = max(one["upper_95"] for one in at_0)
    return f"""Collected elsewhere, on a real kubelet {own["kubelet"]} with Docker.
No command of this project makes these runs again, and a few parts of that kubelet were
trimmed (how it was built, and what it lacks: `data/README.md`).
Before 1.12 a kubelet always caches, for the TTL of its node's annotation: 0 s on
clusters of up to 100 nodes, 60 s without the annotation.

{pages.table(heads, rows)}

Mean and p99 are from the intervals between publications, the shares from the delays.
Three of the runs were never closed (`running`), since the collector of that day refused
a kubelet below 1.12 at the end of a run; `ttl-0-second` is `invalid` by the check of
the clock, since exec does not work across so many versions. Nodes and collector had one
clock, and nothing is corrected. `ttl-0-second` ran on the same node
at the same time as `ttl-0`, and was given as Get, which that kubelet does not have: it
is Cache with a TTL of 0. `ttl-60-shared` shows {shared["n_fetches"]} fetches only, too
few for an interval. Equivalence with the law within the margins of H1 was {shown} for
the two runs at TTL 0 (sup|F̂ - F| ≤ {sup:.3f} with 95 %).

What can be said of "about 10 s": with a TTL of 0, as on a small cluster,
{own["direct_by_10_s"]:.1%} of the delays were at most 10 s (law
{own["law_by_10_s"]:.1%}), and {own["direct_about_10_s"]:.1%} lay between 8 and 12 s
(law {own["law_about_10_s"]:.1%}). For 30 pods that share a map under a TTL of 60 s it
was {shared["direct_by_10_s"]:.1%} (law {shared["law_by_10_s"]:.1%}). So one trial of
about 10 s is unremarkable at the defaults of 1.9, and no evidence of a delay of 10 s;
three independent ones of at most 12 s would have a probability of
{own["three_by_12_s"]:.1%}, and would point to another `syncFrequency` or to something
else that synced the pod. What that trial's cluster had is not known."""


def _documented(numbers: Numbers) -> str:
    own, said = cell(numbers, DEFAULT), share(numbers, DEFAULT)
    return f"""## What the documented sentence misses
Kubernetes' documentation says that the delay "can be as long as the kubelet sync period
+ cache propagation delay". Under Watch the second is milliseconds, so that a reader
expects at most 60 s at the default. {said["above_sync"]:.1%} of the delays were longer
(by the law {said["law_above_sync"]:.1%}), up to {own["max_s"]:.1f} s (the law ends at
{own["law"]["max_s"]:.1f} s). `syncFrequency` is the *shortest* time between two syncs
of a pod: the kubelet adds up to half of it, at random, and waits for its next tick."""


def _law(numbers: Numbers) -> str:
    rows = []
    for row in numbers["cells"]:
        verdict = [one for one in numbers["H1"] if one["setting"] == row["setting"]]
        shown = verdict[0] if verdict else None
        rows.append(
            [
                row["setting"],
                f"{row['n_syncs']:,}",
                f"{row['n_delays']:,}",
                None if row["n_eff_p50"] is None else f"{row['n_eff_p50']:,.0f}",
                None if row["lag_r"] is None else f"{row['lag_r']:+.2f}",
                _with(row, "p50"),
                _with(row, "p95"),
                _with(row, "p99"),
                f"{row['max_s']:.1f}",
                "{p50_s:.1f} / {p95_s:.1f} / {p99_s:.1f}".format(**row["law"]),
                None if shown is None else _most(shown),
                None if shown is None else shown["holds"],
            ]
        )
    heads = ["setting", "n syncs", "n delays", "n_eff at p50", "r", "p50, s", "p95, s"]
    heads += ["p99, s", "max, s", "law p50 / p95 / p99", "sup ≤ (95 %)", "as the law"]
    missed = sum(row["missed"] for row in numbers["cells"])
    tested = [row for row in numbers["cells"] if row["lag_r"] is not None]
    odd = [
        f"{row['setting']}: r = {row['lag_r']:+.2f}, p = {row['lag_p']:.1g}"
        for row in tested
        if row["lag_p"] < protocol.ALPHA
    ]
    late = [
        f"{row['setting']} ({row['late_share']:.2%}, p99 {row['p99_late_s']:.1f} s)"
        for row in numbers["lateness"]
        if row["disturbed"]
    ]
    return f"""## The distribution at each setting
The quantiles are those of a random instant, from the intervals between syncs, with 95 %
intervals; the maximum is the longest of the delays themselves. "As the law":
equivalence was shown within the margins declared beforehand (sup|F̂ - F| ≤
{protocol.MARGIN_SUP:g}, S/120 at p50, S/60 at p99), not merely not refuted.
At 1 and 2 s all intervals between syncs are alike (H2): the law has no shape to test
there, and an interval would only tell of the clock, so there is none.

{pages.table(heads, rows)}

* {missed} delays are left out as `missed`: while a probe did not look for less than S,
  no second sync can have come, and the stamp that it found afterwards is used.
* r is the correlation of an interval with the next one of its pod, which is 0 by the
  law. Below p = {protocol.ALPHA:g}, of {len(tested)} cells: {"; ".join(odd) or "none"}.
  The intervals here are over pods, and hold with it too.
* Disturbed by the protocol's rule, more than 1 % of publications over
  {protocol.MOST_LATE_S:g} s after the window of their tick (how late p99 was):
  {"; ".join(late) or "none"}."""


def _with(row: Row, name: str) -> str:
    ends = row[f"{name}_95"]
    value = f"{row[f'{name}_s']:.2f}"
    return value if not ends else f"{value} ({ends[0]:.2f} … {ends[1]:.2f})"


def _most(verdict: Row) -> str:
    most = verdict["upper_95"]
    return "–" if most is None else f"{most:.4f}"  # noqa: RUF001 - a dash


def _differences(differences: Sequence[Row]) -> str:
    rows = [
        [
            f"{row['first']} − {row['second'].split(', ')[1]}",  # noqa: RUF001
            f"p{100 * row['quantile']:g}",
            "{difference_s:+.3f} ({low_s:+.3f} … {high_s:+.3f})".format(**row),
            f"{row['margin_s']:.3f}",
            f"{row['power']:.0%}",
            "yes" if row["holds"] else "not shown",
        ]
        for row in differences
    ]
    heads = ["difference", "of", "seconds (95 %)", "margin, s", "power", "negligible"]
    return pages.table(heads, rows)


def _strategy(numbers: Numbers) -> str:
    shown, open_ = _sync_frequencies(numbers["H3"])
    least = min(row["power"] for row in numbers["H3"] if not row["holds"])
    most = max(row["power"] for row in numbers["H3"] if not row["holds"])
    return f"""## Whether the change-detection strategy matters
While the TTL is 0 (clusters of up to 100 nodes): not at S = {shown}, where the whole
95 % interval of each difference lies within the margin. At S = {open_} that was not
shown: with so few intervals the test, had there been no difference at all, would have
shown it in {least:.0%} to {most:.0%} of such studies at p50. {_decided(numbers)}
Watch tells the kubelet at once *that* something changed, but nothing reads it before
the pod's next sync.

{_differences(numbers["H3"])}

Power: how often the whole interval would lie within the margin, were there no
difference, with intervals as wide as these."""


def _decided(numbers: Numbers) -> str:
    """Say what became of the question that the first edition left open."""
    if "second" not in numbers:
        return "It waits for longer runs."
    holds = _all_hold(numbers["second"]["H13"])
    text = "By longer runs [it was shown]" if holds else "Longer runs [did not show it]"
    return f"{text}(#the-default-measured-longer)."


def _all_hold(rows: Sequence[Row]) -> bool:
    return all(row["holds"] for row in rows)


def _second(numbers: Numbers) -> str:
    """Tell the second edition: `numbers` are its own."""
    runs = sorted({row["run"] for row in numbers["by_run"]})
    rows = [
        [
            row["setting"],
            name,
            f"{row['n_syncs']:,}",
            f"{row['n_delays']:,}" + f" + {row['left_out']:,}" * bool(row["left_out"]),
            f"{row['n_eff_p50']:,.0f}",
            *(_with(row, quantile) for quantile in ("p50", "p95", "p99")),
            f"{row['max_s']:.1f}",
            "{p50_s:.1f} / {p95_s:.1f} / {p99_s:.1f}".format(**row["law"]),
        ]
        for name, row in (
            *(("both", row) for row in numbers["cells"]),
            *((f"`{row['run']}`", row) for row in numbers["by_run"]),
        )
    ]
    heads = ["setting", "run", "n syncs", "n delays + left out", "n_eff at p50"]
    heads += ["p50, s", "p95, s", "p99, s", "max, s", "law p50 / p95 / p99"]
    kept = [
        [
            f"`{row['run']}`",
            row["status"],
            ", ".join(row["failed"]) or None,
            "judged" if row["run"] in runs else "made again",
        ]
        for row in numbers["runs"]
    ]
    agree = [
        [
            row["setting"],
            _most(row),
            f"{numbers['H15'][k]['lag_r']:+.3f} ({low:+.3f} … {high:+.3f})",
            f"{numbers['H16'][k]['half_s']:.2f}",
        ]
        for k, row in enumerate(numbers["H14"])
        for low, high in [numbers["H15"][k]["lag_95"]]
    ]
    agree_heads = ["setting", "sup|F̂ - F| ≤ (95 %)", "r (95 %)", "half of p99's, s"]
    return f"""## The default, measured longer
[The second protocol](studies/second-protocol.md), written before its runs: S = 60 s
under each strategy, side by side, an hour, and once more on kubelets started anew.

{pages.table(heads, rows)}

Differences between the strategies, over the pods of both runs (H13):

{_differences(numbers["H13"])}

The law (H14), the correlation of an interval with the next one of its pod (H15), and
half of the width of the interval of p99 (H16):

{pages.table(agree_heads, agree)}

Publications over {protocol.MOST_LATE_S:g} s after the window of their tick, of which at
most 1 % may be:

{_lateness(numbers["lateness"])}

{pages.table(["run", "status", "failed checks", ""], kept)}

Otherwise than declared: at the end of `default-first` the collector refused to derive
its tables, since the machine's clock was set more often in the last minutes than it
undid. No record was changed; its closing step was done on them afterwards, by a
collector that undoes more (`data/README.md`). Just before, the machine had stood still
for half a minute. Nothing was to be left out, but delays of that time, and the syncs of
the minutes after it, are: by the collector's own rules for restarts, and for what a
probe missed. The recomputation leaves nothing out, and finds the same p50, p95 and p99;
the figure above is drawn from runs of which nothing is left out.
"""


def _lateness(rows: Sequence[Row]) -> str:
    return pages.table(
        ["setting", "kubelet", "late", "disturbed"],
        [
            [
                row["setting"],
                f"`{row['node']}`",
                f"{row['late_share']:.2%}",
                "**yes**" if row["disturbed"] else "no",
            ]
            for row in rows
        ],
    )


def _sync_frequencies(rows: Sequence[Row]) -> tuple[str, str]:
    """Name the S at which all rows hold, and those at which some do not."""
    by_sync: dict[str, bool] = {}
    for row in rows:
        sync = row["first"].split(" s, ")[0]
        by_sync[sync] = by_sync.get(sync, True) and bool(row["holds"])
    yes = [sync for sync, holds in by_sync.items() if holds]
    no = [sync for sync, holds in by_sync.items() if not holds]
    return (_listed(yes), _listed(no))


def _listed(names: Sequence[str]) -> str:
    return (
        ", ".join(names[:-1]) + " and " + names[-1]
        if len(names) > 1
        else "".join(names)
    ) + " s"


def _ttl(numbers: Numbers) -> str:
    rows = [
        [
            row["setting"],
            row["sharers"],
            *_by_fetches(row),
            _refuted(row["holds"]),
            _within(row["apart_s"]),
        ]
        for row in numbers["H5"]
    ]
    heads = ["setting", "pods sharing the map", "of", "n fetches", "blocks"]
    heads += ["measured, s (95 % together)", "law, s", "the law is", "within, s (95 %)"]
    eras = [
        [
            row["kubelet"],
            row["setting"],
            f"{row['n_publications']:,}",
            _limited(row["p50_s"], row["limits_s"]),
            f"{row['law_p50_s']:.1f}",
            "yes" if row["ttl_effective"] else "no",
            row["holds"],
            _refuted(row["law_within"]),
        ]
        for row in numbers["H7"]
    ]
    era_heads = ["kubelet", "setting", "n publications", "median, s (95 % together)"]
    era_heads += ["law, s", "TTL has an effect", "as expected", "the law is"]
    by_era = pages.table(era_heads, eras)
    return f"""## What a TTL does
Under the Cache strategy, on clusters of more than 100 nodes, the kubelet keeps what it
read for a TTL, for all pods of the node together: the delay grows to up to 1.5 S + TTL.

{pages.table(heads, rows)}

Pods that share a map publish what one of them fetched, so it is fetches that count, not
publications. "Not refuted": the law's value lies in the interval, which too few fetches
also achieve. No margin was declared; the last column says which ones would have been
shown: the distance from the law is below it with 95 %. All six runs behind this table
call themselves `invalid` ([below](#declared-and-done)).

### In which version
{by_era}

One kubelet of each era: that the TTL has no effect from 1.24 to 1.28 rests on
v1.26.15 and on the source. Each kubelet had one map under the TTL, so that there are
too few stretches of time for an interval (a dash). `era-v1.37.1` calls itself `invalid`
([below](#declared-and-done)). 1.9.6 is [above](#on-the-kubelet-of-that-trial)."""


def _more(numbers: Numbers) -> str:
    """Tell of more settings: `numbers` are their own."""
    (long,), (sup,) = numbers["cells"], numbers["H21"]
    shared = pages.table(
        [
            *("pods sharing the map", "of", "n fetches", "blocks"),
            *("measured, s (95 % together)", "law, s", "within, s (95 %)", "margin, s"),
            "shown",
        ],
        [
            [
                row["sharers"],
                *_by_fetches(row),
                _within(row["apart_s"]),
                f"{row['margin_s']:g}",
                row["holds"],
            ]
            for row in numbers["H22"]
        ],
    )
    answers = [
        _verdict(one, numbers[one.name], MORE_ANSWERS.get(one.name, SHOWN))
        for one in more_settings.HYPOTHESES
        if numbers[one.name]
    ]
    late = "; ".join(
        f"{row['setting']} (p99 of how late: {row['p99_late_s']:.1f} s)"
        for row in numbers["lateness"]
        if row["disturbed"]
    )
    quantiles = pages.table(
        ["", "p50, s", "p95, s", "p99, s", "longest, s"],
        [
            [
                "measured (95 %)",
                *(_with(long, name) for name in ("p50", "p95", "p99")),
                f"{long['max_s']:.1f}",
            ],
            [
                "law",
                *(
                    f"{long['law'][f'{name}_s']:.2f}"
                    for name in ("p50", "p95", "p99", "max")
                ),
            ],
        ],
    )
    kept = [
        [f"`{row['run']}`", row["status"], ", ".join(row["failed"]) or None]
        for row in numbers["runs"]
    ]
    return f"""## S of five minutes, and a TTL that pods share at the default S
[Their protocol](studies/more-settings-protocol.md) was written before the runs.
{more_settings.NODES} kubelets of {more_settings.CACHED} and one of {long["setting"]},
side by side for an hour.

### Five minutes
{long["n_syncs"]:,} intervals, worth {long["n_eff_p50"]:,.0f} independent delays at p50,
and {long["n_delays"]:,} delays ({long["left_out"]} left out); sup|F̂ - F| is at most
{_most(sup)} with 95 %.

{quantiles}

### The default S, where the node's TTL is 60 s
{shared}

{_controller(numbers)}

### What was expected
{pages.table(["", "expected", "answer", "held in"], answers)}

Publications over {protocol.MOST_LATE_S:g} s after the window of their tick, of which
at most 1 % may be; all collections ran on the same kubelets:

{_lateness(numbers["lateness"])}

Disturbed by that rule of the first protocol: {late or "none"}. This one leaves nothing
out for it.

{pages.table(["run", "status", "failed checks"], kept)}"""


SHOWN = ("shown, by equivalence", "not shown")
MORE_ANSWERS = {"H23": ("not refuted", "**refuted**")}
"""What is answered where all rows hold, and where one does not."""


def _controller(numbers: Numbers) -> str:
    """Tell of the TTLs that the controller wrote, once they were seen."""
    if not numbers["steps"]:
        return (
            "The controller's TTLs, which the protocol has too, were not measured yet."
        )
    steps = pages.table(
        ["Node objects", "TTL expected, s", "TTL written, s", "after, s"],
        [
            [
                row["nodes"],
                row["expected_s"],
                ", ".join(row["ttl_s"]),
                None if row["seconds"] is None else f"{row['seconds']:.0f}",
            ]
            for row in numbers["steps"]
        ],
    )
    delays = pages.table(
        [
            *("setting", "of", "n fetches", "blocks", "measured, s (95 % together)"),
            *("law, s", "the law is"),
        ],
        [
            [
                row["setting"],
                *_by_fetches(row),
                _refuted(row["holds"]),
            ]
            for row in numbers["H23"]
        ],
    )
    return f"""### The TTL that the controller writes
Kubernetes' own TTL controller, on a cluster whose Node objects became more and fewer
again. `after`: from the last of them made or deleted until all
{more_settings.NODES} kubelets' nodes had the TTL; the controller looks at a node when
that is updated, which a kubelet does every five minutes if nothing else changes.

{steps}

Delays under what it wrote, {more_settings.WRITTEN_SHARERS} pods of each kubelet sharing
a map:

{delays}"""


def _by_fetches(row: Row) -> list[object]:
    """Give the cells of a quantile under a TTL: fetches and blocks, measured, law."""
    return [
        row["quantile"],
        f"{row['n_fetches']:,}",
        row["blocks"],
        _limited(row["measured_s"], row["limits_s"]),
        f"{row['law_s']:.1f}",
    ]


def _refuted(holds: bool | None) -> str | None:  # noqa: FBT001 - a row's value
    return None if holds is None else "not refuted" if holds else "**refuted**"


def _within(bound: float | None) -> str | None:
    return None if bound is None else f"{bound:.1f}"


def _limited(value: float, ends: Sequence[float] | None) -> str:
    return (
        f"{value:.1f}" if not ends else f"{value:.1f} ({ends[0]:.1f} … {ends[1]:.1f})"
    )


def _fleets(numbers: Numbers) -> str:
    rows = [
        [
            row["setting"],
            row["pods"],
            f"{row['p50_s']:.1f}"
            + (
                ""
                if row["p50_low_s"] is None
                else f" ({row['p50_low_s']:.1f} … {row['p50_high_s']:.1f})"
            ),
            f"{row['p50_law_s']:.1f}",
            f"{row['p95_s']:.1f}",
            f"{row['p95_law_s']:.1f}",
            _refuted(row["holds"]),
            _within(row["apart_s"]),
        ]
        for row in numbers["H6"]
    ]
    heads = ["setting", "N", "median, s (95 % together)", "law, s", "p95, s", "law, s"]
    heads += ["the law is", "within, s (95 %)"]
    return f"""## Until all of N pods of a kubelet have it
{pages.table(heads, rows)}

A dash: there were too few groups of so many pods for an interval, and nothing was
judged. No margin was declared; the last column is as above."""


def _remedies(numbers: Numbers) -> str:
    found = numbers["H8"]
    rows = [
        [
            row["method"],
            row["n"],
            _limited(row["median_s"], row["limits_s"]),
            f"{row['max_s']:.1f}",
            f"{row['lag_r']:.2f}",
            f"{row['trend_rho']:.2f}",
            row["holds"],
        ]
        for row in found
    ]
    heads = ["method", "trials", "median, s (95 %)", "longest, s", "r", "ρ"]  # noqa: RUF001
    first = found[0]
    return f"""## What helps when that is too late
Seconds from the call until the last of the {first["pods"]} pods of a Deployment had it,
S = 60 s, Watch, the three methods in turn.

{pages.table([*heads, "quicker than the others"], rows)}

Trials depend on each other (r: correlation with the trial before; ρ: trend over the
trials), so that the limits are the least and the largest median of six stretches of
trials. `rollout` and `recreate` cannot be told apart by them.
Waiting was not measured beside them: by the law {first["pods"]} pods have it after
{first["law_waiting_s"]:.0f} s in the median, above the longest trial of each method.
{_again(numbers, "H19")}"""  # noqa: RUF001


def _again(numbers: Numbers, name: str) -> str:
    """Point to what the second edition says of it, once it was measured."""
    if name not in numbers.get("beside", {}):
        return ""
    return (
        "It was [measured again](#remedies-and-disturbed-pods-measured-again), with "
        "what was missing here."
    )


def _costs(numbers: Numbers) -> str:
    """Tell what a shorter syncFrequency costs: `numbers` are of those windows."""
    fitted = pages.table(
        ["term", *cost_law.QUANTITIES.values()],
        [
            [name, *(_priced(numbers["terms"][one][k]) for one in cost_law.QUANTITIES)]
            for k, name in enumerate(TERMS)
        ],
    )
    priced = pages.table(
        ["setting", "pods", "ConfigMaps a pod", *cost_law.QUANTITIES.values()],
        [
            [row["setting"], row["pods"], row["maps"]]
            + [_priced(row[one]) for one in cost_law.QUANTITIES]
            for row in numbers["prices"]
        ],
    )
    cells = pages.table(
        ["pods", "ConfigMaps", "setting", "syncs/s"]
        + [f"{name}{end}" for name in cost_law.QUANTITIES for end in ("", ", fit")],
        [
            [row["pods"], row["maps"]]
            + [f"{row['sync_frequency_s']:g} s, {row['strategy']}"]
            + [f"{row['syncs_per_s']:.2f}"]
            + [
                None if end and row["saturated"] else f"{row[f'{name}{end}']:.2f}"
                for name in cost_law.QUANTITIES
                for end in ("", "_fit")
            ]
            for row in numbers["cells"]
        ],
    )
    answers = pages.table(
        ["", "expected", "answer", "held in"],
        [_verdict(one, numbers[one.name]) for one in cost_law.HYPOTHESES],
    )
    starts = numbers["without_starts"]
    left_out = "; ".join(
        f"{row['windows']} of {row['pods']} pods with {row['maps']} under "
        f"{row['strategy']}"
        for row in starts["left_out"]
    )
    again = pages.table(
        ["judged", "as declared", "without these windows"],
        [
            [row.get("term", "H18"), _priced(row), _priced(other)]
            for one in cost_law.HYPOTHESES
            for row, other in zip(numbers[one.name], starts[one.name], strict=True)
        ],
    )
    return f"""## What a shorter syncFrequency costs
[Its protocol](studies/costs-protocol.md) was written before the windows:
{numbers["n_windows"]} of 30 s in {numbers["rounds"]} rounds, {numbers["n_fitted"]} of
them fitted. What idle pods cost their kubelet, by that fit (95 %):

{priced}

CPU is that of the kubelet's process, in millicores; containerd, the API server and etcd
are not counted. `cmhot predict` and `cmhot plan` give the price of any setting, for a
node like yours.

<!-- figure: costs -->

{answers}

Seen afterwards, and not declared: in some windows a kubelet sent requests that none of
its syncs asks for, since its pods still started; the {cost_law.SETTLE_S:g} s before a
window are too short where many ConfigMaps are read ({left_out or "none"}). They blur
how many requests are of a ConfigMap and how many of a sync. `cmhot predict`,
`cmhot plan` and the figure have the fit without them, the table above has the declared
one.

{again}

The terms: `idle` a kubelet without pods, `pod` and `map` each pod and each ConfigMap of
a pod, `sync` each sync a second, `read` each ConfigMap that is read a second.

{fitted}

Each population at each setting, and the fit; without a fit: reads alone would take
nearly all requests that a kubelet may send.

{cells}"""


def _validity(rows: Sequence[Row]) -> str:
    """Tell under which loads a kubelet keeps to the law."""
    heads = ["run", "delays + in vain", "p99, s (90 %)", "law", "p99 is", "cores"]
    heads += ["syncs/s / law", "reads/s asked for", "ms a sync", "requests waiting"]
    answers = [[*_delays_of(row), *_counted_by_kubelet(row)] for row in rows]
    return f"""## Where the law ends
[Its protocol](studies/validity-protocol.md) was written before its runs. The law knows
nothing of a kubelet's load. `within`: p99 of the delays is at most
{validity.BEYOND_S:g} s above the law's, with 95 %; `beyond`: it is more, with 95 %.

<!-- figure: limits -->

{pages.table([*heads, "status"], answers)}

From `cores` on it is what the kubelet itself counted: CPU, syncs a second beside those
of the law, reads of ConfigMaps that idle pods would ask for, time of a sync, and how
many requests on average waited for the kubelet's own limit.{_unmeasured(rows)}
{_refused(rows)}

{_unexpected(rows)}"""


def _unexpected(rows: Sequence[Row]) -> str:
    """Say which loads the protocol expected otherwise."""
    odd = []
    for row in rows:
        expected = validity.EXPECTED.get(row["run"].removeprefix("validity-"))
        holds = False if row["refused"] else row["holds"]
        if expected is not None and holds is not expected:
            odd.append(f"`{row['run']}`")
    but = f", but for {', '.join(odd)}" if odd else ""
    return f"Where the protocol expected something, it was found{but}."


def _unmeasured(rows: Sequence[Row]) -> str:
    """Name the parts of the protocol that were not run."""
    there = {row["part"] for row in rows}
    missing = [f"`{part}`" for part in validity.PARTS if part not in there]
    return f"\nParts of the protocol not run yet: {', '.join(missing)}." * bool(missing)


def _delays_of(row: Row) -> list[object]:
    """Give the cells of a load that tell of its delays."""
    words = {True: "within", False: "**beyond**", None: "not decided"}
    law = f"{row['law_p99_s']:.1f}"
    if row["refused"]:
        return [f"`{row['run']}`", None, None, law, "**pods did not start**"]
    return [
        f"`{row['run']}`",
        f"{row['n_delays']:,}" + f" + {row['n_in_vain']}" * bool(row["n_in_vain"]),
        _limited(_endless(row["p99_s"]), _known(row["p99_90"])),
        law,
        words[row["holds"]],
    ]


def _counted_by_kubelet(row: Row) -> list[object]:
    return [
        f"{row['cores']:.2f}",
        f"{row['syncs_per_s']:.1f} / {row['law_syncs_per_s']:.1f}",
        f"{row['law_reads_per_s']:.0f}",
        None if row["sync_ms"] is None else f"{row['sync_ms']:.0f}",
        f"{row['waiting_requests']:.1f}",
        row["status"],
    ]


def _refused(rows: Sequence[Row]) -> str:
    """Say which collections could not begin, and why."""
    told = [
        "* `{run}`: {error}. In {seconds:.0f} s the kubelet sent {reads:,} reads and "
        "{patches} patches, by which it also tells that its pods are Ready: they wait "
        "behind the reads.".format(run=row["run"], **row["refused"])
        for row in rows
        if row["refused"]
    ]
    if not told:
        return ""
    return "\n".join(
        [
            "\nWhere pods were not told to be Ready, nothing could be measured:",
            *told,
        ]
    )


def _beside(numbers: Numbers) -> str:
    """Tell remedies beside waiting, and disturbed pods beside idle ones."""
    parts = [
        """## Remedies and disturbed pods, measured again
[Their protocol](studies/beside-protocol.md) was written before the runs, since the
first edition had neither waiting pods beside the remedies nor idle ones beside the
disturbed."""
    ]
    if "H19" in numbers:
        parts.append(_beside_waiting(numbers))
    if "H20" in numbers:
        parts.append(_beside_idle(numbers["H20"]))
    verdicts = []
    for one in beside.HYPOTHESES:
        held = [row["holds"] for row in numbers.get(one.name, ())]
        judged = [holds for holds in held if holds is not None]
        if judged:
            shown = "shown" if all(judged) else "not shown"
            told = f"{sum(judged)} of {len(judged)}"
            verdicts.append([one.name, one.claim, shown, told])
    parts.append(pages.table(["", "expected", "answer", "held in"], verdicts))
    return "\n\n".join(parts)


def _beside_waiting(numbers: Numbers) -> str:
    methods = pages.table(
        [
            *("pods", "method", "rounds", "left out", "median, s (95 %)"),
            *("longest, s", "r", "by the law"),
        ],
        [
            [
                row["pods"],
                row["method"],
                row["n"],
                row["left_out"],
                _limited(row["median_s"], row["median_95"]),
                f"{row['max_s']:.1f}",
                None if row["lag_r"] is None else f"{row['lag_r']:+.2f}",
                None if row["law_s"] is None else f"{row['law_s']:.1f}",
            ]
            for row in numbers["methods"]
        ],
    )
    pairs = pages.table(
        ["pods", "takes more", "than", "median, s (95 %)", "above 0"],
        [
            [
                row["pods"],
                *row["of"],
                _limited(row["median_s"], row["median_95"]),
                row["holds"],
            ]
            for row in numbers["H19"]
        ],
    )
    return f"""Seconds until all pods of a Deployment have an update, S = 60 s, Watch;
`{beside.WAITING}` are as many pods on the same kubelet that nobody touches. r is the
correlation of a round with the next one.

{methods}

In pairs of one round:

{pairs}"""


def _beside_idle(rows: Sequence[Row]) -> str:
    table = pages.table(
        [
            *("pods", "n", "r between pods", "mean, s (95 %)", "idle by the law, s"),
            *("sooner than idle ones, s (95 %)", "sooner"),
        ],
        [
            [
                row["kind"],
                row["pods"],
                f"{row['correlation']:+.2f}",
                _limited(row["mean_s"], row["mean_95"]),
                f"{row['law_mean_s']:.1f}",
                None
                if row["sooner_95"] is None
                else "{:.2f} … {:.2f}".format(*row["sooner_95"]),
                row["holds"],
            ]
            for row in rows
        ],
    )
    return f"""Pods on one kubelet of S = 60 s, Watch, at the same time, for
{beside.WATCHED_S / 60:g} minutes; each disturbed from an instant of its own on:

{table}"""


def _known(ends: Sequence[float | None] | None) -> list[float] | None:
    """Give an interval whose upper end may be endless."""
    if ends is None:
        return None
    return [_endless(end) for end in ends]


def _endless(value: float | None) -> float:
    """Give a number of seconds, of which None stands for no end."""
    return float("inf") if value is None else value


def _priced(found: Row) -> str:
    low, high = found["95"]
    return f"{found['value']:.2f} ({low:.2f} … {high:.2f})"


def _never(numbers: Numbers) -> str:
    rows = [
        [
            row["consumer"],
            row["pods"],
            f"{row['watched_s']:g}",
            row["saw"],
            None if row["bound"] is None else f"{row['bound']:.1%}",
            row["holds"],
        ]
        for row in numbers["H9"]
    ]
    heads = ["consumer", "pods", "watched, s", "saw it", "bound (95 %)", "as expected"]
    return f"""## Who never sees it
Sixty pods that take one ConfigMap in every way at once, and an update.

{pages.table(heads, rows)}"""


def _wrong(numbers: Numbers) -> str:
    rows = [
        [
            f"{row['pause_s']:g}",
            f"{row['n']:,}",
            _limited(row["mean_s"], row["mean_95"]),
            f"{row['law_s']:.1f}",
            f"{row['truth_s']:.1f}",
            row["holds"],
        ]
        for row in numbers["H10"]
    ]
    heads = ["pause d, s", "n", "mean found, s (95 %)", "law of the loop, s"]
    return f"""## How wrong the usual way of measuring is
"Patch, wait until seen, sleep d, patch again", really done at S = 10 s: the answer is
made by d.

{pages.table([*heads, "truth, s", "as expected"], rows)}"""


def _populations(numbers: Numbers) -> str:
    rows = [
        [
            row["kind"],
            row["pods"],
            row["n_updates"],
            f"{row['correlation']:.2f}",
            _limited(row["mean_s"], row["mean_95"]),
            f"{row['p99_s']:.1f}",
            f"{row['law_mean_s']:.1f}",
            "yes" if row["holds"] else "not shown",
        ]
        for row in numbers["H11"]
    ]
    heads = [
        "pods with",
        "pods",
        "updates",
        "r between pods",
        "mean, s (95 %)",
        "p99, s",
    ]
    before = max(row["before_onset"] for row in numbers["H11"])
    return f"""## For which pods all this holds
For idle, healthy ones. What syncs a pod beside the timer makes it see changes sooner.
For pods whose readiness changes that was shown; for pods with a crashing container,
whose back-off grows meanwhile, it was not:

{pages.table([*heads, "idle by the law, s", "shorter"], rows)}

Pods were disturbed nearly in step (r between their delays), so that a block is a
stretch of time of all pods together, four of them; updates count from the instant on
at which the disturbance begins, {before} came before it. There was no idle control at
the same time. Both runs call themselves `invalid`, since they count the syncs before
their time, which are what is measured. {_again(numbers, "H20")}"""


ANSWERS = {
    "H1": "shown, by equivalence",
    "H2": "shown",
    "H3": "shown at 5, 10 and 20 s; not shown at 60 s",
    "H4": "shown of each folk law; the law itself is not refuted",
    "H5": "not refuted",
    "H6": "not refuted for N = 2; not judged for 10 and 50",
    "H7": "shown of v1.20.15, v1.26.15 and v1.37.1",
    "H8": "shown of annotate; waiting was not measured",
    "H9": "shown, within 3/n",
    "H10": "shown",
    "H11": "shown of readiness; not shown of crashing containers",
    "H12": "shown, in a cell that was disturbed",
}
"""What the data carry; `_verdicts` holds each to its count."""


def _verdicts(numbers: Numbers) -> str:
    rows = []
    for one in protocol.HYPOTHESES:
        found = numbers[one.name]
        judged = [row["holds"] for row in found if row["holds"] is not None]
        told = f"{sum(judged)} of {len(judged)}"
        if one.name == "H4":
            told = "below"
        if len(judged) < len(found):
            told += f"; {len(found) - len(judged)} not judged"
        if all(judged) != ("not shown" not in ANSWERS[one.name]):
            msg = f"{one.name} is answered {ANSWERS[one.name]!r}, but held in {told}"
            raise ValueError(msg)
        rows.append([one.name, one.claim, ANSWERS[one.name], told])
    if "second" in numbers:
        rows += [
            _verdict(one, numbers["second"][one.name]) for one in second.HYPOTHESES
        ]
    return f"""## Every hypothesis
{pages.table(["", "expected", "answer", "held in"], rows)}

### What is said of the delay
H4 has one claim for each thing that is said. That they are wrong takes little: the
distance from what was measured is large. It says nothing for the law, which is not
refuted by the same test, at the level over the number of cells.

{_folk(numbers)}"""


def _verdict(
    hypothesis: protocol.Hypothesis,
    rows: Sequence[Row],
    words: tuple[str, str] = SHOWN,
) -> list[str]:
    """Answer a test, by default one of equivalence: all its rows must hold."""
    shown = words[0] if _all_hold(rows) else words[1]
    told = f"{sum(row['holds'] for row in rows)} of {len(rows)}"
    return [hypothesis.name, hypothesis.claim, shown, told]


def _folk(numbers: Numbers) -> str:
    rows = []
    for name, said in FOLK.items():
        own = [row for row in numbers["H4"] if said(row)]
        refuted = sum(row["rejected"] for row in own)
        distances = [row["distance"] for row in own]
        rows.append(
            [
                name,
                f"{refuted} of {len(own)}",
                f"{min(distances):.2f} … {max(distances):.2f}",
            ]
        )
    return pages.table(["said", "refuted in cells", "sup|F̂ - F|"], rows)


def _sync_s(row: Row) -> str:
    return str(row["setting"]).split(" s, ")[0]


FOLK: dict[str, Callable[[Row], bool]] = {
    "always 10 s": lambda row: row["hypothesis"] == "always 10 s",
    "even between 0 and 60 s": lambda row: row["hypothesis"] == "U(0, 60 s)",
    "even between 0 and 90 s": lambda row: row["hypothesis"] == "U(0, 90 s)",
    "always S + TTL": lambda row: row["hypothesis"] == f"always {_sync_s(row)} s",
    "the law": lambda row: row["hypothesis"].startswith("the law"),
}
"""Claims, and which rows judge them; at S = 10 s two of them are one."""


def _protocol(numbers: Numbers) -> str:
    runs = numbers["runs"]
    invalid = [row for row in runs if row["status"] == "invalid"]
    rows = [
        [
            f"`{row['run']}`",
            row["status"],
            "; ".join(
                f"{name} {value:.2g} (at most {limit:g})"
                for name, value, limit in zip(
                    row["failed"], row["values"], row["limits"], strict=True
                )
            )
            or None,
        ]
        for row in runs
    ]
    why = "\n".join(f"* `{name}` {text}." for name, text in deviations.WHY.items())
    return f"""## Declared and done
{pages.table(["declared", "done", "difference", "effect"], deviations.rows(numbers))}

{len(invalid)} of {len(runs)} runs call themselves `invalid`. None of them was made
again, though the protocol says so; they are used for H5, H7 and H11, and what their
checks say is:

{pages.table(["run", "status", "failed checks"], rows)}

{why}"""


def _replications(numbers: Numbers) -> str:
    rows = [
        [
            row["run"],
            ", ".join(
                [row["kubelet"], *row["about"]["runtimes"], *row["about"]["machines"]]
            ),
            row["setting"],
            row["pods"],
            f"{row['n_delays']:,}",
            _limited(row["p50_s"], row["p50_95"]),
            f"{row['law']['p50_s']:.1f}",
            _limited(row["p99_s"], row["p99_95"]),
            f"{row['law']['p99_s']:.1f}",
            row["status"],
        ]
        for row in numbers["replications"]
    ]
    heads = ["run", "where", "setting", "pods", "delays", "p50, s (95 %)", "law"]
    table = pages.table([*heads, "p99, s (95 %)", "law", "status"], rows)
    return f"""## On clusters of others
{table if rows else "None has come yet."}

[How to make one](REPLICATE.md), in half an hour."""


def _limits(numbers: Numbers) -> str:
    again = numbers.get("beside", {})
    left = {
        "S above 60 s": "more" in numbers,
        "a TTL of 60 s that pods share at S = 60 s, but on a kubelet of 1.9": (
            "more" in numbers
        ),
        "the strategies at 60 s precisely enough": "second" in numbers,
        "waiting beside the remedies": "H19" in again,
        "an idle control beside disturbed pods": "H20" in again,
    }
    open_ = "; ".join(what for what, is_known in left.items() if not is_known)
    others = textwrap.fill(f"* {open_}.", 88, subsequent_indent="  ") + "\n"
    return f"""## What was not measured
* More than one machine, another kernel, another runtime than containerd, arm64: all
  kubelets shared two cores, so that their ticks are a little later than on nodes of
  their own.
* Clusters of more than 100 nodes: {_large_clusters(numbers)}
{others * bool(open_)}* Versions between v1.20.15, v1.26.15 and v1.37.1: where an era
  begins is read in the source."""


def _large_clusters(numbers: Numbers) -> str:
    """Say what stood for a large cluster: an annotation, or nodes without machines."""
    if numbers.get("more", {}).get("steps"):
        return (
            "the controller wrote the TTL for Node objects that no machine\n  backs; "
            "the load of so many kubelets was not there."
        )
    return (
        "the TTL was given by the annotation that the\n  controller would write "
        "there, not by the controller."
    )
