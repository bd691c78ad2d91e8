"""The first screen of README.md: the answer, its interval, the figure.

Made from the findings' numbers, so that nothing on it is typed by hand;
`make verify-data` holds README.md to it.
"""

from __future__ import annotations

import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmhot.plots.figure import STUDY, Source
from cmhot.plots.publishing import publish
from cmhot.runs import schema
from cmhot.runs.delays import delays, pool
from cmhot.runs.rundir import pack, read_meta, read_run, without_nodes
from studies.editions import FIRST, SECOND
from studies.findings_page import DEFAULT, cell, disturbance, share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
FIGURES = ROOT / "docs" / "headline"
FIGURE = "headline"
DRAWN = ("slow", "usual")
"""Runs whose distribution is the figure."""
BEGIN, END = "<!-- headline: made by make publish -->", "<!-- end of headline -->"
STRATEGY, DEFAULT_S = "Watch", 60.0


def block(numbers: Mapping[str, Any]) -> str:
    """Write the README's headline from the findings' numbers."""
    found = [row for row in numbers["cells"] if row["strategy"] == STRATEGY]
    found.sort(key=lambda row: row["sync_frequency_s"])
    rows = [cell(numbers, row["setting"]) for row in found]
    rows += numbers.get("more", {"cells": []})["cells"]
    own, said = cell(numbers, DEFAULT), share(numbers, DEFAULT)
    (low, high), (least, most) = own["p99_95"], own["p50_95"]
    table = "\n".join(map(_row, rows))
    return f"""{BEGIN}
**With the kubelet's default (`syncFrequency: 1m`), half of the pods have it after \
{own["p50_s"]:.0f} s
(95 % interval {least:.1f} to {most:.1f} s) and 99 % after {own["p99_s"]:.0f} s \
({low:.1f} to {high:.1f} s):
every delay from zero to a minute is equally likely, and longer ones, up to \
{own["law"]["max_s"]:.0f} s, ever less.**
{_caution(numbers)}Not "10 seconds" ({said["by_10_s"]:.0%} of the delays are at \
most that), and not "at most the sync period"
({said["above_sync"]:.0%} are longer): a kubelet reads a ConfigMap again only when it \
syncs the pod,
1 to 1.5 times `syncFrequency` after the last time, whether it watches or not.

![Share of pods that have the update against seconds since the update: the measured \
delays lie on the law](docs/headline/{FIGURE}.png)

Measured on Kubernetes {numbers["kubernetes"]}, idle healthy pods; seconds, with the \
law's value in brackets.
Mean and quantiles are those of an update at a random instant, from the intervals
between syncs; the last two columns count the delays themselves, and give the longest.
All of it, with what was expected beforehand and what was done otherwise:
[docs/findings.md](docs/findings.md).

| setting | mean | p50 | p95 | p99 | delays | longest delay |
|---|---|---|---|---|---|---|
{table}
{_too_late(numbers)}{END}"""


def _caution(numbers: Mapping[str, Any]) -> str:
    """Say where the number that all quote was disturbed; nothing if it was not."""
    text = disturbance(numbers).strip()
    return f"{textwrap.fill(text, 88)}\n\n" if text else ""


def _too_late(numbers: Mapping[str, Any]) -> str:
    """Say what each remedy takes beside waiting; nothing before it was measured."""
    if "H19" not in numbers.get("beside", {}):
        return ""
    found: dict[str, list[str]] = {}
    for row in numbers["beside"]["methods"]:
        of = f" for {row['pods']} pods"
        found.setdefault(row["method"], []).append(f"{row['median_s']:.1f} s{of}")
    took = {method: " and ".join(each) for method, each in found.items()}
    text = (
        f"**Too late?** Until all pods of a Deployment had a change at the default, an "
        f"annotation on each pod (`cmhot refresh`) took {took['annotate']}, a rollout "
        f"{took['rollout']}, waiting {took['waiting']} in the median "
        "([measured](docs/findings.md#remedies-and-disturbed-pods-measured-again))."
        " Variables and `subPath` need new pods."
    )
    return f"\n{textwrap.fill(text, 88, break_on_hyphens=False)}\n"


def _row(row: Mapping[str, Any]) -> str:
    pairs = (
        f"{row[key]:.1f} ({row['law'][key]:.1f})"
        for key in ("mean_s", "p50_s", "p95_s", "p99_s")
    )
    return (
        f"| {row['setting']} | {' | '.join(pairs)} | {row['n_delays']:,} "
        f"| {row['max_s']:.1f} |"
    )


def insert(readme: str, made: str) -> str:
    """Put the block in the place of the old one."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + made + after


def draw() -> None:
    """Draw the figure, of one strategy: the others would lie on the same curves."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    runs = [FIRST.data / name for name in DRAWN]
    with tempfile.TemporaryDirectory() as folder:
        if SECOND.is_published:
            longer = [SECOND.data / name for name in SECOND.runs if _is_whole(name)]
            runs = [_without_default(run, Path(folder)) for run in runs] + longer
        source = Source.of([{**read_meta(run), "data_set": STUDY} for run in runs])
        publish(FIGURE, runs=runs, table=_shown(runs), source=source, out=FIGURES)


def _without_default(path: Path, folder: Path) -> Path:
    """Copy a run without the kubelets of the default, which was measured longer."""
    run = read_run(path)
    settings = run.meta["settings"].items()
    default = [node for node, one in settings if one["sync_frequency_s"] == DEFAULT_S]
    return pack(without_nodes(run, default), folder / path.name)


def _is_whole(name: str) -> bool:
    """Tell whether nothing of a run of the second edition was left out."""
    statuses = delays(read_run(SECOND.data / name))["status"]
    return not statuses.isin(schema.DEAD_ENDS).any()


def _shown(runs: Sequence[Path]) -> pd.DataFrame:
    rows = pool({run.name: delays(read_run(run)) for run in runs})
    return rows[rows["strategy"].astype(str) == STRATEGY]
