"""The figures that a report's notebooks drew, as they stand in its folder.

From what was drawn and its summary to the sections of the report's page.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.report import notebooks, wording
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
from cmhot.report.steps import RUNS
from cmhot.report.wording import kubelets, origins

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cmhot.report.folder import Entry
    from cmhot.report.page import Block
    from cmhot.report.wording import Origin
    from cmhot.statistics.summary import SettingSummary, Summary


HEADLINE_FIGURE = "delay-distribution"
"""The one that the headline is about: it stands first."""
_TEXTS = ("name", "title", "alt", "caption", "paragraph")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure and its words, as `cmhot.plots` publishes them.

    Attributes
    ----------
    name
        Of its files.
    title, caption, paragraph
        Its question, what stands below it, and what it says.
    alt
        What it shows, for who cannot see it.
    modelled
        Whether nothing of it was measured.
    numbers
        What it shows, for programs.
    wide, narrow
        SVG files for a page and for a phone; None: a phone gets `wide`.
    files
        All its files, by the word for their form.
    """

    name: str
    title: str
    alt: str
    caption: str
    paragraph: str
    modelled: bool
    numbers: Mapping[str, Any]
    wide: Path
    narrow: Path | None
    files: Mapping[str, Path]


def find_drawn(folder: Path, *, order: Sequence[str]) -> tuple[list[Drawn], list[str]]:
    """Read the figures of a report: the headline's, then in order, then the rest.

    Parameters
    ----------
    folder
        ``figures/`` of the report.
    order
        Names, in the order of the notebooks that drew them.

    Returns
    -------
    drawn, spoilt
        The figures, and a sentence for each that cannot be shown.
    """
    there = [path.stem for path in sorted(folder.glob("*.json"))]
    names = dict.fromkeys([HEADLINE_FIGURE, *order, *there])
    drawn, spoilt = [], []
    for name in names:
        if name in there:
            try:
                drawn.append(_read(folder, name))
            except (OSError, ValueError, KeyError, TypeError) as error:
                spoilt.append(
                    f"Figure {name} cannot be shown: figures/{name}.json or its SVG "
                    f"is not whole ({type(error).__name__}: {error})."
                )
    return drawn, spoilt


def _read(folder: Path, name: str) -> Drawn:
    content = json.loads((folder / f"{name}.json").read_bytes())
    wide, narrow = folder / f"{name}.svg", folder / f"{name}-narrow.svg"
    wide.stat()  # a figure without its drawing is none
    forms = {"SVG": wide, "PNG": folder / f"{name}.png"}
    forms["numbers"] = folder / f"{name}.json"
    return Drawn(
        **{key: str(content[key]) for key in _TEXTS},
        modelled=bool(content["modelled"]),
        numbers=dict(content["numbers"]),
        wide=wide,
        narrow=narrow if narrow.is_file() else None,
        files={form: path for form, path in forms.items() if path.is_file()},
    )


_COLUMNS = ("mean_s", "p50_s", "p90_s", "p95_s", "p99_s", "max_s")
_NONE = "–"  # noqa: RUF001 - a dash, not a minus
_REMARKS = {
    "run": "what was planned, where, and with which versions",
    "updates": "raw: each write, as it was sent",
    "publications": "raw: each new content that a pod showed",
    "clock": "raw: how far clocks differ",
    "events": "raw: what went wrong meanwhile",
    "delays": "one row per update and pod",
    "refresh": "one row per refresh of a pod",
}
"""What the files of a run are, by their name without its end."""


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
    origins
        The runs that it is about; may be empty after a failure.
    summary
        None: there was nothing to summarise.
    why
        Why there was not, in a sentence; None: there was.
    entries
        What became of each notebook.
    left_out
        Notebooks that were not executed, each with the reason.
    drawn
        The figures, in the order in which they are shown.
    spoilt
        A sentence for each figure that cannot be shown.
    """

    name: str
    created_utc: str
    folder: Path
    origins: Sequence[Origin]
    summary: Summary | None
    why: str | None
    entries: Mapping[str, Entry]
    left_out: Mapping[str, str]
    drawn: Sequence[Drawn]
    spoilt: Sequence[str]

    @property
    def kubelets(self) -> list[str]:
        """Versions of the kubelets measured, or of the API server."""
        found = [version for run in self.origins for version in kubelets(run.meta)]
        return sorted(set(found))

    @property
    def headline(self) -> str:
        """The result in a sentence."""
        if self.summary is None:
            return "There is no delay to report"
        return wording.headline(self.summary, kubelets=self.kubelets)

    @property
    def failures(self) -> list[str]:
        """A sentence for each notebook that failed, and for want of any delay."""
        failed = [
            f"Notebook {name} failed: {entry.error}"
            for name, entry in self.entries.items()
            if entry.status == "failed"
        ]
        return failed if self.why is None else [*failed, self.why]


def compose(material: Material) -> Page:
    """Put together the page of a report."""
    summary = material.summary
    sections = [Section(None, _notices(material)), *_figures(material)]
    if summary is not None:
        sections.append(Section("The numbers", [_numbers(summary)]))
    sections.append(Section("What was not measured", [Points(_limits(material))]))
    if material.origins:
        origin = Section("Where the numbers come from", origins(material.origins))
        sections.append(origin)
    sections.append(Section("Files", _files(material)))
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


def _notices(material: Material) -> list[Block]:
    """Say first what failed."""
    failed: list[Block] = [
        Notice(
            f"Notebook {name} failed: {entry.error}. The rest of this page does not "
            "depend on it.",
            (
                ("Open the executed notebook", f"notebooks/{name}.html")
                if (material.folder / "notebooks" / f"{name}.html").is_file()
                else None
            ),
        )
        for name, entry in material.entries.items()
        if entry.status == "failed"
    ]
    others = [] if material.why is None else [material.why]
    return failed + [Notice(said) for said in [*others, *material.spoilt]]


def _figures(material: Material) -> list[Section]:
    """Give a section to each figure."""
    found = []
    for one in material.drawn:
        figure = Figure(
            wide=one.wide,
            narrow=one.narrow,
            alt=one.alt,
            caption=one.caption,
            links=[(form, f"figures/{path.name}") for form, path in one.files.items()],
        )
        found.append(Section(one.title, [figure, Text([one.paragraph])]))
    return found


def _limits(material: Material) -> list[str]:
    """List what the page does not say, and why."""
    said = []
    for name, entry in material.entries.items():
        title = _titled(name)
        if entry.status == "unanswered":
            said.append(f"{title}: {entry.error}.")
        elif entry.status != "done":
            said.append(f"{title}: the notebook failed, so its question is open.")
    said += [f"{_titled(name)}: {reason}" for name, reason in material.left_out.items()]
    if material.summary is None:
        return [*said, "Any delay: no run holds one."]
    known = all(origin.clocks_known for origin in material.origins)
    return wording.not_measured(material.summary, clocks_known=known) + said


def _titled(name: str) -> str:
    """Name a notebook with its title, unless it is of another version."""
    return f"{notebooks.title(name)} ({name})" if name in notebooks.names() else name


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
    limits = [_pair(own.confidence.get(name)) for name in _COLUMNS]
    blank = ["", ""]
    if any(limit != _NONE for limit in limits):
        rows.append(Row("95 % interval", limits + blank, tone="aside", first=False))
    law = [_cell(own.law[name]) for name in _COLUMNS]
    if own.law["mean_s"] is not None:
        rows.append(Row("law", law + blank, tone="aside", first=False))
    return rows


def _cell(value: float | None) -> str:
    return _NONE if value is None else f"{value:.2f}"


def _pair(pair: Sequence[float | None] | None) -> str:
    if pair is None or pair[0] is None:
        return _NONE
    low, high = pair
    return f"≥ {low:.2f}" if high is None else f"{low:.2f}{_NONE}{high:.2f}"


def _files(material: Material) -> list[Block]:
    """List what can be downloaded beside the page."""
    items = [("numbers.json", "numbers.json", "every number on this page, and more")]
    items += [
        (
            f"Notebook {page.stem}",
            f"notebooks/{page.name}",
            f"as executed; to run it again, take notebooks/{page.stem}.ipynb",
        )
        for page in sorted((material.folder / "notebooks").glob("*.html"))
    ]
    for run in material.origins:
        items += [
            (
                f"{RUNS}/{run.path.name}/{file.name}",
                f"{RUNS}/{run.path.name}/{file.name}",
                _REMARKS[file.stem],
            )
            for file in sorted(run.path.iterdir())
            if file.stem in _REMARKS
        ]
    return [Links(items)]
