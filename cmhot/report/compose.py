"""From runs and their summary to the sections of the report's page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmhot.report import wording
from cmhot.report.page import (
    Figure,
    Links,
    Notice,
    Page,
    Points,
    Row,
    Section,
    Table,
    Text,
)
from cmhot.report.provenance import kubelets, origins

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cmhot.report.page import Block
    from cmhot.runs.rundir import Run
    from cmhot.summaries.summary import SettingSummary, Summary

HEADLINE_FIGURE = "delay-distribution"
_COLUMNS = ("mean_s", "p50_s", "p90_s", "p95_s", "p99_s", "max_s")
_NONE = "–"  # noqa: RUF001 - a dash, not a minus


@dataclass(frozen=True, slots=True)
class Failure:
    """A notebook that failed.

    Attributes
    ----------
    text
        What happened, in a sentence.
    notebook
        Name of the executed copy.
    """

    text: str
    notebook: str


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """All that a page is made of.

    Attributes
    ----------
    name
        Of the report.
    created_utc
        When it was made.
    folder
        Of the report: ``figures/``, ``notebooks/`` and ``runs/`` are there.
    runs
        What was read of its runs; may be empty after a failure.
    summary
        None: there was nothing to summarise.
    failures
        Notebooks that failed.
    """

    name: str
    created_utc: str
    folder: Path
    runs: Sequence[Run]
    summary: Summary | None
    failures: Sequence[Failure]

    @property
    def kubelets(self) -> list[str]:
        """Versions of the kubelets measured, or of the API server."""
        found = [version for run in self.runs for version in kubelets(run.meta)]
        return sorted(set(found))

    @property
    def headline(self) -> str:
        """The result in a sentence."""
        if self.summary is None:
            return "Nothing could be collected"
        return wording.headline(self.summary, kubelets=self.kubelets)

    @property
    def figures(self) -> list[str]:
        """Names of the figures that were drawn."""
        drawn = (self.folder / "figures" / f"{HEADLINE_FIGURE}.svg").is_file()
        return [HEADLINE_FIGURE] if drawn else []


def compose(material: Material) -> Page:
    """Put together the page of a report."""
    first: list[Block] = [
        Notice(
            failure.text,
            ("Open the executed notebook", f"notebooks/{failure.notebook}.html"),
        )
        for failure in material.failures
    ]
    sections = [Section(None, first)]
    summary = material.summary
    if summary is not None:
        first += [_figure(material, summary, name) for name in material.figures]
        known = all(_has_known_clocks(run) for run in material.runs)
        limits = wording.not_measured(summary, clocks_known=known)
        sections += [
            Section("What it means", [Text([wording.plain_words(summary)])]),
            Section("The numbers", [_numbers(summary)]),
            Section("What was not measured", [Points(limits)]),
        ]
    if material.runs:
        sections.append(Section("Where the numbers come from", origins(material.runs)))
    sections.append(Section("Files", [_files(material)]))
    modelled = summary is not None and summary.modelled
    word = "modelled" if modelled else "measured"
    made = material.created_utc[:16].replace("T", " ")
    return Page(
        title=f"ConfigMap update delay, {word} ({material.name})",
        headline=material.headline,
        byline=f"cmhot report {material.name}, made {made} UTC",
        modelled=modelled,
        sections=sections,
    )


def _has_known_clocks(run: Run) -> bool:
    """Tell whether clocks were compared; on a testbed there is only one."""
    return str(run.meta.get("target")).startswith("testbed") or not run.clock.empty


def _figure(material: Material, summary: Summary, name: str) -> Figure:
    folder = material.folder / "figures"
    narrow = folder / f"{name}-narrow.svg"
    return Figure(
        wide=folder / f"{name}.svg",
        narrow=narrow if narrow.is_file() else None,
        alt=wording.alt_text(summary),
        caption=wording.caption(summary, kubelets=material.kubelets),
        links=[("SVG", f"figures/{name}.svg"), ("PNG", f"figures/{name}.png")],
    )


def _numbers(summary: Summary) -> Table:
    rows = [row for own in summary.settings for row in _rows(own)]
    heads = [name.removesuffix("_s") for name in _COLUMNS]
    source = "Modelled, not measured" if summary.modelled else "Measured"
    return Table(
        columns=["syncFrequency, strategy", *heads, "pods", "delays"],
        rows=rows,
        caption=(
            f"{source}: delay from the API server's answer to the new file in the "
            "pod, in seconds. Below each: its 95 % confidence interval, and what "
            "the law predicts (its max is the longest delay possible)."
        ),
    )


def _rows(own: SettingSummary) -> list[Row]:
    counts = [str(own.counts["pods"]), f"{own.counts['n_delays']:,}"]
    rows = [Row(own.name, [_cell(own.direct[name]) for name in _COLUMNS] + counts)]
    limits = [_limits(own.confidence.get(name)) for name in _COLUMNS]
    blank = ["", ""]
    if any(limit != _NONE for limit in limits):
        rows.append(Row("95 % interval", limits + blank, tone="aside", first=False))
    law = [_cell(own.law[name]) for name in _COLUMNS]
    if own.law["mean_s"] is not None:
        rows.append(Row("law", law + blank, tone="aside", first=False))
    return rows


def _cell(value: float | None) -> str:
    return _NONE if value is None else f"{value:.2f}"


def _limits(pair: Sequence[float | None] | None) -> str:
    if pair is None or pair[0] is None:
        return _NONE
    low, high = pair
    return f"≥ {low:.2f}" if high is None else f"{low:.2f}{_NONE}{high:.2f}"


def _files(material: Material) -> Links:
    notebooks = sorted((material.folder / "notebooks").glob("*.html"))
    items = [("numbers.json", "numbers.json", "every number on this page, and more")]
    items += [
        (
            f"Notebook {page.stem}",
            f"notebooks/{page.name}",
            f"as executed; to run it again, take notebooks/{page.stem}.ipynb",
        )
        for page in notebooks
    ]
    for run in material.runs:
        place = f"runs/{run.path.name}"
        items += [
            (f"{place}/{file}", f"{place}/{file}", remark)
            for file, remark in {
                "run.json": "what was planned, where, and with which versions",
                "updates.jsonl": "raw: each write, as it was sent",
                "publications.jsonl": "raw: each new content that a pod showed",
                "delays.parquet": "one row per update and pod",
            }.items()
            if (run.path / file).is_file()
        ]
    return Links(items)
