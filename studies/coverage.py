"""Count how often intervals cover, and tests err, against what they say.

``python -m studies.coverage`` writes docs/studies/coverage.md: for every interval and
test of `cmhot.statistics` and `studies` how often it was right, where the truth is
known and rows depend on each other as kubelets make them.
What was simulated is kept in docs/studies/coverage.json, and not simulated again.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from cmhot.statistics import (
    MIN_BLOCKS,
    MIN_RESAMPLED_BLOCKS,
    MIN_TIME_BLOCKS,
    all_pods,
    blocks,
)
from cmhot.statistics.inference import MIN_INTERVALS
from studies import pages
from studies.experiments import EXPERIMENTS

if TYPE_CHECKING:
    from studies.experiments import Experiment, Kind

REPLICATES = 2000
CHUNK = 50
WORKERS = 2
MOST_ERRORS = 1.4
"""Of an approximate interval, in those it says: one of 95 % covers at least 93 %."""
_USUAL = 0.95
POWER = 0.8
"""Least share of false laws rejected, or of agreements shown, where data suffice."""


@dataclass(frozen=True, slots=True)
class Line:
    """What was found of one experiment.

    Attributes
    ----------
    what, setting, blocks, kind, nominal
        As of the experiment.
    replicates
        Number of simulations.
    hits
        How often each of its statistics was right (covered, rejected, shown).
    """

    what: str
    setting: str
    blocks: str
    kind: Kind
    nominal: float
    replicates: int
    hits: dict[str, int]

    @property
    def critical(self) -> str:
        """The statistic that did worst."""
        pick = max if self.kind == "test" else min
        return pick(self.hits, key=self.hits.__getitem__)

    @property
    def share(self) -> float:
        """How often that one was right, or wrong for a test."""
        return self.hits[self.critical] / self.replicates

    @property
    def two_se(self) -> float:
        """Two standard errors of a share that is as it should be."""
        return 2 * float(np.sqrt(self.nominal * (1 - self.nominal) / self.replicates))

    @property
    def needed(self) -> str:
        """What the share must be."""
        bound, sign = self._bound()
        return f"{sign} {100 * bound:.1f} %"

    @property
    def holds(self) -> bool:
        """Whether it is."""
        bound, sign = self._bound()
        return self.share <= bound if sign == "≤" else self.share >= bound

    def _bound(self) -> tuple[float, str]:
        if self.kind == "exact":
            return self.nominal - self.two_se, "≥"
        if self.kind == "approximate":
            # at a high level errors are few, and so their number is left to chance
            chance = self.two_se if self.nominal > _USUAL else 0.0
            return 1 - MOST_ERRORS * (1 - self.nominal) - chance, "≥"
        if self.kind == "test":
            return self.nominal + self.two_se, "≤"
        return POWER, "≥"


def _chunk(task: tuple[int, int, int]) -> dict[str, int]:
    """Run some replicates of one experiment, with seeds of their own."""
    number, chunk, size = task
    one = EXPERIMENTS[number]
    rng = np.random.default_rng([_key(one), chunk])
    hits: dict[str, int] = {}
    for _ in range(size):
        for name, hit in one.run(rng).items():
            hits[name] = hits.get(name, 0) + bool(hit)
    return hits


def _key(one: Experiment) -> int:
    """Make a seed of what an experiment is, so that its place does not matter."""
    return int.from_bytes(f"{one.what}{one.setting}{one.blocks}".encode(), "little")


def _simulate(number: int, replicates: int, pool: multiprocessing.pool.Pool) -> Line:
    one = EXPERIMENTS[number]
    tasks = [
        (number, at, min(CHUNK, replicates - at)) for at in range(0, replicates, CHUNK)
    ]
    hits: dict[str, int] = {}
    for found in pool.imap_unordered(_chunk, tasks):
        for name, count in found.items():
            hits[name] = hits.get(name, 0) + count
    return Line(
        what=one.what,
        setting=one.setting,
        blocks=one.blocks,
        kind=one.kind,
        nominal=one.nominal,
        replicates=replicates,
        hits=hits,
    )


def _known() -> list[Line]:
    """Read what was simulated before."""
    file = pages.DOCS / "coverage.json"
    if not file.exists():
        return []
    rows = json.loads(file.read_text(encoding="utf-8"))["experiments"]
    names = Line.__dataclass_fields__
    return [Line(**{name: row[name] for name in names}) for row in rows]


def _page(lines: list[Line]) -> str:
    heads = (
        "what",
        "setting",
        "blocks",
        "replicates",
        "nominal",
        "found",
        "2 SE",
        "needed",
        "holds",
    )
    rows = [
        (
            one.what,
            one.setting,
            one.blocks,
            f"{one.replicates:,}",
            f"{100 * one.nominal:.3g} %",
            f"{100 * one.share:.1f} %"
            + (f" ({one.critical})" if len(one.hits) > 1 else ""),
            f"{100 * one.two_se:.1f} %",
            one.needed,
            one.holds,
        )
        for one in lines
    ]
    return _TEXT.format(
        table=pages.table(heads, rows),
        pods=MIN_BLOCKS,
        stretches=MIN_TIME_BLOCKS,
        resampled=MIN_RESAMPLED_BLOCKS,
        cycles=blocks.CYCLES,
        fleet=all_pods.CYCLES,
        intervals=MIN_INTERVALS,
    )


_TEXT = """
# Do intervals cover, and do tests err, as often as they say?

Made by `python -m studies.coverage`; all of it is modelled, nothing measured.

Tables of delays and refreshes were drawn from kubelets' own intervals:
pods on a common tick with volume loops, updates that share publications,
and under Cache pods that share what their node fetched.
Of each the truth is known, so it can be counted how often an interval held it,
a test was wrong, or a false law was found out. The truth is the law;
of pods that share a cache, and of fleets, it is a long draw of the same kubelets,
since there the law is an approximation.
Where an experiment has several statistics, the one that did worst is given;
coverage.json has all of them.

* Exact intervals must cover at least nominally, less two standard errors;
  approximate ones of 95 % at least 93 %, from their stated minimum of blocks on, and
  of a higher level, with 1.4 times the errors that they say, less two standard errors.
* Tests may err as often as they say, and two standard errors more.
* "Power" is how often a false law was rejected or a true agreement shown,
  where there are data enough: at least 80 %.

Stated minima: {pods} pods, or {stretches} stretches of time of cache entries
(each {cycles:g} longest cycles T + 1.5 S + 1.2 s or more) for an interval or a verdict;
{resampled} blocks for percentiles of a bootstrap (`kaplan_meier`);
for fleets {pods} groups of independent pods, or {stretches} stretches of time of
{fleet:g} longest intervals each; {intervals} intervals to infer S.

{table}
"""


@click.command()
@click.option("--replicates", default=REPLICATES, show_default=True)
@click.option("--only", default="", help="Experiments whose name contains this.")
@click.option("--again", is_flag=True, help="Simulate anew what is known.")
def main(replicates: int, only: str, *, again: bool) -> None:
    """Simulate what is not known yet, and write the page."""
    known = {(o.what, o.setting, o.blocks): o for o in _known()}
    lines: list[Line] = []
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of the workers, which are enough
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        for number, one in enumerate(EXPERIMENTS):
            name = (one.what, one.setting, one.blocks)
            old = known.get(name)
            wanted = only in " | ".join(name)
            if old and not (wanted and (again or old.replicates < replicates)):
                lines.append(replace(old, kind=one.kind, nominal=one.nominal))
                continue
            if not wanted:
                continue
            began = time.monotonic()
            line = _simulate(number, replicates, pool)
            lines.append(line)
            click.echo(
                f"{number + 1}/{len(EXPERIMENTS)} {' | '.join(name)}: "
                f"{100 * line.share:.1f} % ({line.critical}), needed {line.needed}"
                f"{'' if line.holds else '  <-- FAILS'}, "
                f"{time.monotonic() - began:.0f} s",
                err=True,
            )
            _keep(_numbers(lines, known))
    numbers, text = _numbers(lines, known), _page(_ordered(lines, known))
    sys.exit(not pages.write("coverage", text=text, numbers=numbers))


def _ordered(lines: list[Line], known: dict[tuple[str, str, str], Line]) -> list[Line]:
    """Put what is known in the order of the experiments."""
    found = {**known, **{(o.what, o.setting, o.blocks): o for o in lines}}
    names = [(one.what, one.setting, one.blocks) for one in EXPERIMENTS]
    return [found[name] for name in names if name in found]


def _numbers(
    lines: list[Line], known: dict[tuple[str, str, str], Line]
) -> dict[str, Any]:
    """Give what is known so far, for programs."""
    ordered = _ordered(lines, known)
    rows = [
        {
            **{name: getattr(one, name) for name in Line.__dataclass_fields__},
            "critical": one.critical,
            "share": one.share,
            "two_se": one.two_se,
            "needed": one.needed,
            "holds": one.holds,
        }
        for one in ordered
    ]
    complete = len(ordered) == len(EXPERIMENTS)
    return {
        "modelled": True,
        "holds": complete and all(one.holds for one in ordered),
        "experiments": rows,
    }


def _keep(numbers: dict[str, Any]) -> None:
    """Write what is known so far, so that it is not simulated again."""
    pages.DOCS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(numbers, indent=1, ensure_ascii=False)
    (pages.DOCS / "coverage.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
