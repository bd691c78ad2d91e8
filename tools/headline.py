"""Publish a report's headline: the README's figure, its numbers, its sentences.

``python tools/headline.py reports/<run-id>`` copies the figure and the numbers to
``docs/headline/`` and writes the block between the markers of README.md anew.
A test holds README.md to ``docs/headline/numbers.json``.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from cmhot.law import law_for
from cmhot.settings import Setting, parse_strategy

ROOT = Path(__file__).parents[1]
HEADLINE = ROOT / "docs" / "headline"
README = ROOT / "README.md"
BEGIN, END = "<!-- headline: made by tools/headline.py -->", "<!-- end of headline -->"
FIGURE = "delay-distribution"
SHOWN = Setting(10)
"""The setting that the first sentence is about; all of them stand in the table."""
DEFAULT = Setting(60)
"""The kubelet's default, for which the law's numbers are given as such."""


def _of(numbers: dict[str, Any], setting: Setting) -> dict[str, Any]:
    return next(
        one
        for one in numbers["settings"]
        if one["sync_frequency_s"] == setting.sync_frequency_s
        and one["strategy"] == setting.strategy.value
    )


def _interval(pair: list[float]) -> str:
    return f"{pair[0]:.1f} to {pair[1]:.1f} s"


def block(numbers: dict[str, Any]) -> str:
    """Write the README's headline from a report's numbers.

    Parameters
    ----------
    numbers
        numbers.json of a report.
    """
    shown = _of(numbers, SHOWN)
    best = shown["interval_estimator"]
    law = law_for(DEFAULT)
    if law is None:
        msg = "the default setting has a law"
        raise AssertionError(msg)
    expected = law.summary()
    table = "\n".join(_row(one) for one in numbers["settings"])
    return f"""{BEGIN}
**Within {best["p95_s"]:.1f} s in 95 % of cases at `syncFrequency` \
{SHOWN.sync_frequency_s:g} s (95 % interval {_interval(best["confidence"]["p95_s"])}),
half of them within {best["p50_s"]:.1f} s \
({_interval(best["confidence"]["p50_s"])});
Watch, Get and Cache with a TTL of 0 make no difference that matters.**
Any delay from zero on is as likely as any other up to `syncFrequency`,
since a kubelet looks again only when it syncs the pod,
1 to 1.5 times `syncFrequency` after the last time.
By the same law the default, {DEFAULT.sync_frequency_s:g} s, gives \
{expected["p50_s"]:.0f} s in the median and {expected["p95_s"]:.0f} s for 95 %
(not measured here yet).

![Share of pods that have the update against seconds since the update: the measured \
delays lie on the law](docs/headline/{FIGURE}.png)

Measured on Kubernetes {numbers["kubernetes"]}, run \
`{", ".join(numbers["runs"])}`, idle healthy pods;
seconds, with the law's value in brackets.

| setting | delays | mean | p50 | p95 | p99 | largest |
|---|---|---|---|---|---|---|
{table}
{END}"""


def _row(one: dict[str, Any]) -> str:
    strategy = parse_strategy(one["strategy"]).value
    pairs = (
        f"{one['interval_estimator'][key]:.1f} ({one['law'][key]:.1f})"
        for key in ("mean_s", "p50_s", "p95_s", "p99_s")
    )
    return (
        f"| {one['sync_frequency_s']:g} s, {strategy} | {one['n_delays']:,} | "
        f"{' | '.join(pairs)} | {one['max_s']:.1f} |"
    )


def insert(readme: str, made: str) -> str:
    """Put the block in the place of the old one."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + made + after


def main(report: Path) -> None:
    """Publish one report."""
    HEADLINE.mkdir(parents=True, exist_ok=True)
    for name in (f"{FIGURE}.svg", f"{FIGURE}.png"):
        shutil.copy(report / "figures" / name, HEADLINE / name)
    numbers = json.loads((report / "numbers.json").read_text())
    if numbers["modelled"]:
        sys.exit("a modelled report is no headline: measure on a testbed")
    kept = {key: numbers[key] for key in ("runs", "kubernetes", "modelled", "settings")}
    (HEADLINE / "numbers.json").write_text(json.dumps(kept, indent=1) + "\n")
    README.write_text(insert(README.read_text(), block(kept)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
