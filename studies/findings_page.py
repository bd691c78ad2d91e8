"""The findings as a page: every number in it is handed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studies import pages, protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Numbers = Mapping[str, Any]
    Row = Mapping[str, Any]

DEFAULT = "60 s, Watch"
FIGURE = "headline/delay-distribution.svg"
MISSING = "*Not measured yet.*"


def page(numbers: Numbers) -> str:
    """Write docs/findings.md."""
    parts = [
        _head(numbers),
        _ten_seconds(numbers),
        _documented(numbers),
        _law(numbers),
        _strategy(numbers),
        _ttl(numbers),
        _fleets(numbers),
        _remedies(numbers),
        _never(numbers),
        _wrong(numbers),
        _populations(numbers),
        _verdicts(numbers),
        _limits(numbers),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def cell(numbers: Numbers, setting: str) -> Row:
    """Find the description of one cell."""
    (found,) = [row for row in numbers["cells"] if row["setting"] == setting]
    return dict(found)


def headline(numbers: Numbers) -> str:
    """Say the answer in one sentence, with an interval."""
    own = cell(numbers, DEFAULT)
    low, high = own["p99_95"]
    return (
        "With the kubelet's default (`syncFrequency: 1m`, Watch) a pod that mounts the "
        f"ConfigMap sees a change after {own['p50_s']:.1f} s in the median, and 99 % "
        f"of pods after {own['p99_s']:.1f} s (95 % interval {low:.1f} to {high:.1f} "
        f"s); the slowest of {own['n_delays']:,} delays took {own['max_s']:.1f} s."
    )


def _head(numbers: Numbers) -> str:
    return f"""# Findings: when do pods see a changed ConfigMap?

Written by `python -m studies.findings` from `data/`; do not edit. `make verify-data`
computes every number here anew. What was expected beforehand:
[the protocol](studies/protocol.md). Measured on Kubernetes {numbers["kubernetes"]},
idle healthy pods, real kubelets on one machine.

**{headline(numbers)}**

![Share of pods that have the update]({FIGURE})"""


def _share(numbers: Numbers, setting: str) -> Row:
    (found,) = [row for row in numbers["shares"] if row["setting"] == setting]
    return dict(found)


def _ten_seconds(numbers: Numbers) -> str:
    usual, short = _share(numbers, DEFAULT), _share(numbers, "10 s, Watch")
    return f"""## Where "about 10 seconds" lies
Often quoted, from one trial in 2019: "after about 10 s". At the default,
{usual["by_10_s"]:.1%} of {usual["n"]:,} delays were at most 10 s (by the law
{usual["law_by_10_s"]:.1%}): about one pod in {1 / usual["by_10_s"]:.0f}. At
`syncFrequency: 10s` it is {short["by_10_s"]:.0%} ({short["law_by_10_s"]:.0%}). One
trial that saw the change "after about 10 s" was no error, it was luck: the delay is
not a number but a distribution."""


def _documented(numbers: Numbers) -> str:
    own, share = cell(numbers, DEFAULT), _share(numbers, DEFAULT)
    return f"""## What the documented sentence misses
Kubernetes' documentation says that the delay "can be as long as the kubelet sync period
+ cache propagation delay". Under Watch the second is milliseconds, so that a reader
expects at most 60 s at the default. {share["above_sync"]:.1%} of the delays were longer
(by the law {share["law_above_sync"]:.1%}), up to {own["max_s"]:.1f} s (the law ends at
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
                f"{row['n_eff_p50']:,.0f}",
                _with(row, "p50"),
                _with(row, "p95"),
                _with(row, "p99"),
                f"{row['max_s']:.1f}",
                "{p50_s:.1f} / {p95_s:.1f} / {p99_s:.1f}".format(**row["law"]),
                None if shown is None else _most(shown),
                None if shown is None else shown["holds"],
            ]
        )
    heads = ["setting", "n syncs", "n delays", "n_eff at p50", "p50, s", "p95, s"]
    heads += ["p99, s", "max, s", "law p50 / p95 / p99", "sup ≤ (95 %)", "as the law"]
    return f"""## The distribution at each setting
From the intervals between syncs, with 95 % intervals; the maximum is the longest delay
seen. "As the law": equivalence was shown within the margins declared beforehand
(sup|F̂ - F| ≤ {protocol.MARGIN_SUP:g}, S/120 at p50, S/60 at p99), not merely not
refuted. At 1 and 2 s the law has no shape to test (H2).

{pages.table(heads, rows)}"""


def _with(row: Row, name: str) -> str:
    ends = row[f"{name}_95"]
    value = f"{row[f'{name}_s']:.2f}"
    return value if not ends else f"{value} ({ends[0]:.2f} … {ends[1]:.2f})"


def _most(verdict: Row) -> str:
    most = verdict["upper_95"]
    return "–" if most is None else f"{most:.4f}"  # noqa: RUF001 - a dash


def _strategy(numbers: Numbers) -> str:
    rows = [
        [
            f"{row['first']} − {row['second'].split(', ')[1]}",  # noqa: RUF001
            f"p{100 * row['quantile']:g}",
            "{difference_s:+.3f} ({low_s:+.3f} … {high_s:+.3f})".format(**row),
            f"{row['margin_s']:.3f}",
            row["holds"],
        ]
        for row in numbers["H3"]
    ]
    heads = ["difference", "of", "seconds (95 %)", "margin, s", "negligible"]
    shown = sum(bool(row["holds"]) for row in numbers["H3"])
    return f"""## Whether the change-detection strategy matters
While the TTL is 0 (clusters of up to 100 nodes): no. In {shown} of {len(rows)}
comparisons the whole 95 % interval of the difference lies within the margin. Watch
tells the kubelet at once *that* something changed, but nothing reads it before the
pod's next sync.

{pages.table(heads, rows)}"""


def _ttl(numbers: Numbers) -> str:
    rows = [
        [
            row["setting"],
            row["sharers"],
            row["quantile"],
            f"{row['n_syncs']:,}",
            row["blocks"],
            _limited(row["measured_s"], row["limits_s"]),
            f"{row['law_s']:.1f}",
            row["holds"],
        ]
        for row in numbers["H5"]
    ]
    heads = ["setting", "pods sharing the map", "of", "n syncs", "blocks"]
    heads += ["measured, s (95 % together)", "law, s", "as the law"]
    eras = [
        [
            row["kubelet"],
            row["setting"],
            f"{row['n_syncs']:,}",
            _limited(row["p50_s"], row["p50_95"]),
            f"{row['law_p50_s']:.1f}",
            "yes" if row["ttl_effective"] else "no",
            row["holds"],
        ]
        for row in numbers["H7"]
    ]
    era_heads = ["kubelet", "setting", "n syncs", "median, s (95 %)", "law, s"]
    era_heads += ["TTL has an effect", "as expected"]
    by_era = pages.table(era_heads, eras) if eras else MISSING
    return f"""## What a TTL does
Under the Cache strategy, on clusters of more than 100 nodes, the kubelet keeps what it
read for a TTL, for all pods of the node together: the delay grows to up to 1.5 S + TTL.

{pages.table(heads, rows)}

### In which version
{by_era}

The often quoted trial of 2019 ran on 1.9, where Cache was the default with a TTL of
60 s unless the node was annotated. 1.9 itself was not measured; by its source it is of
the same era as the oldest kubelet here."""


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
            row["holds"],
        ]
        for row in numbers["H6"]
    ]
    heads = ["setting", "N", "median, s (95 % together)", "law, s", "p95, s", "law, s"]
    return f"""## Until all of N pods of a kubelet have it
{pages.table([*heads, "as the law"], rows)}

A dash: there were too few groups of so many pods for an interval."""


def _remedies(numbers: Numbers) -> str:
    rows = [
        [
            row["method"],
            row["n"],
            _limited(row["median_s"], row["limits_s"]),
            row["holds"],
        ]
        for row in numbers.get("H8", ())
    ]
    table = pages.table(["method", "trials", "median, s (95 %)", "as expected"], rows)
    waiting = "".join(
        f"Waiting instead takes {row['law_waiting_s']:.0f} s in the median, by the law."
        for row in numbers.get("H8", ())[:1]
    )
    return f"""## What helps when that is too late
Seconds from the call until the last of the Deployment's pods had it, S = 60 s, Watch.

{table if rows else MISSING}

{waiting}
"""


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
        for row in numbers.get("H9", ())
    ]
    heads = ["consumer", "pods", "watched, s", "saw it", "bound (95 %)", "as expected"]
    return f"""## Who never sees it
Sixty pods that take one ConfigMap in every way at once, and an update.

{pages.table(heads, rows) if rows else MISSING}"""


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
        for row in numbers.get("H10", ())
    ]
    heads = ["pause d, s", "n", "mean found, s (95 %)", "law of the loop, s"]
    return f"""## How wrong the usual way of measuring is
"Patch, wait until seen, sleep d, patch again", really done at S = 10 s: the answer is
made by d.

{pages.table([*heads, "truth, s", "as expected"], rows) if rows else MISSING}"""


def _populations(numbers: Numbers) -> str:
    rows = [
        [
            row["kind"],
            row["pods"],
            f"{row['n_delays']:,}",
            _limited(row["mean_s"], row["mean_95"]),
            f"{row['p99_s']:.1f}",
            f"{row['law_mean_s']:.1f}",
            row["holds"],
        ]
        for row in numbers.get("H11", ())
    ]
    heads = ["pods with", "pods", "n delays", "mean, s (95 %)", "p99, s"]
    return f"""## For which pods all this holds
For idle, healthy ones. What syncs a pod beside the timer makes it see changes sooner:

{pages.table([*heads, "idle by the law, s", "shorter"], rows) if rows else MISSING}"""


def _verdicts(numbers: Numbers) -> str:
    rows = []
    for one in protocol.HYPOTHESES:
        found = numbers.get(one.name) or []
        judged = [row["holds"] for row in found if row["holds"] is not None]
        told = f"{sum(judged)} of {len(judged)}" if judged else "not measured"
        if len(judged) < len(found):
            told += f"; {len(found) - len(judged)} more could not be judged"
        rows.append([one.name, one.claim, told])
    failed = [
        f"* {name}: {_say(row)}"
        for name in (one.name for one in protocol.HYPOTHESES)
        for row in numbers.get(name, ())
        if row["holds"] is False
    ]
    late = [
        f"{row['setting']} ({row['late_share']:.2%})"
        for row in numbers["lateness"]
        if row["disturbed"]
    ]
    disturbed = "; ".join(late) or "none"
    missed = "\n".join(failed) or "None."
    return f"""## Every hypothesis
{pages.table(["", "expected", "held in"], rows)}

### Where it did not hold, or was not shown
{missed}

Kubelets of which more than 1 % of the publications came over {protocol.MOST_LATE_S:g} s
after the window of their tick: {disturbed}."""


def _say(row: Row) -> str:
    """Write a row's numbers, for what did not hold."""
    return ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in row.items()
        if key != "holds" and value is not None
    )


def _limits(numbers: Numbers) -> str:
    return f"""## What was not measured
* More than one machine, another kernel, another runtime than containerd, arm64: all
  kubelets shared two cores, so that their ticks are a little later than on nodes of
  their own.
* Clusters of thousands of nodes: the TTL was given by the annotation that the
  controller would write there.
* S above 60 s.
* Kubernetes 1.9, on which the often quoted trial was made.

Runs: {", ".join(f"`{name}`" for name in numbers["run_ids"])}."""
