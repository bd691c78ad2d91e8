"""The sections of a report: headline, figures, tables, limits, origins.

Every number in its sentences is from a run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.kubelet.settings import Setting, Strategy
from cmhot.law import law_for
from cmhot.plots.delay_distribution import series
from cmhot.plots.words import VOLUME, listing, name_of, seconds, sync_of
from cmhot.report import notebooks
from cmhot.report.page import (
    Facts,
    Figure,
    HtmlPage,
    HtmlRow,
    HtmlTable,
    Links,
    Notice,
    Points,
    Section,
    Text,
)
from cmhot.report.steps import RUNS
from cmhot.runs import schema
from cmhot.runs.rundir import read_meta

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cmhot.report.folder import Entry
    from cmhot.report.page import Block
    from cmhot.statistics.summary import SettingSummary, Summary


HEADLINE_FIGURE = "delay-distribution"
"""The figure that the headline is about: it stands first."""
NAMED = 3
"""Nodes of one kind that are named; on a large cluster the others are counted."""
DASH = "–"  # noqa: RUF001 - not a minus
_TEXTS = ("name", "title", "alt", "caption", "paragraph")
_COLUMNS = ("mean_s", "p50_s", "p90_s", "p95_s", "p99_s", "max_s")
_REMARKS = {
    "run": "what was planned, where, and with which versions",
    "updates": "raw: each write, as it was sent",
    "publications": "raw: each new content that a pod showed",
    "clock": "raw: how far clocks differ",
    "events": "raw: what went wrong meanwhile",
    "delays": "one row per update and pod",
    "refresh": "one row per refresh of a pod",
}
"""What each file of a run holds, by its name without the extension."""


@dataclass(frozen=True, slots=True)
class DrawnFigure:
    """A figure that a notebook drew, and its words, as `cmhot.plots` publishes them."""

    name: str  # of its files
    title: str  # its question
    alt: str
    caption: str  # what stands below it
    paragraph: str  # what it says
    modelled: bool
    numbers: Mapping[str, Any]
    wide: Path  # SVG files for a page, and for a phone
    narrow: Path | None
    files: Mapping[str, Path]  # by the word for their form


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of numbers: a run, without its rows."""

    path: Path
    meta: Mapping[str, Any]  # run.json

    @classmethod
    def read(cls, path: Path) -> Origin:
        """Read the origin from a run directory."""
        return cls(path, read_meta(path))

    @property
    def provenance(self) -> dict[str, Any]:
        """How the run was made, from run.json without its list of pods."""
        return {key: value for key, value in self.meta.items() if key != "pods"}

    @property
    def kubelets(self) -> list[str]:
        """The kubelets' versions; a foreign run may only have one for all."""
        versions = (self.meta.get("kubelets") or {}).values()
        known = [version for version in versions if version]
        return [str(version) for version in known or [self.meta.get("kubernetes")]]


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """The parts of a report's page."""

    name: str
    created_utc: str
    folder: Path  # has ``figures/``, ``notebooks/`` and ``runs/``
    origins: Sequence[Origin]  # the runs that it is about; after a failure maybe none
    summary: Summary | None
    why: str | None  # why there is no summary, in a sentence
    entries: Mapping[str, Entry]  # what became of each notebook
    left_out: Mapping[str, str]  # notebooks that were not executed: why
    figures: Sequence[DrawnFigure]  # in the order in which they are shown
    spoilt: Sequence[str]  # a sentence for each figure that cannot be shown

    @property
    def headline(self) -> str:
        """The result in a sentence."""
        if self.summary is None:
            return "There is no delay to report"
        return headline(self.summary, kubelets=kubelets_of(self.origins))

    @property
    def failures(self) -> list[str]:
        """A sentence for each notebook that failed, and one if there are no delays."""
        failed = [
            f"Notebook {name} failed: {entry.error}"
            for name, entry in self.entries.items()
            if entry.status == "failed"
        ]
        return failed if self.why is None else [*failed, self.why]


def kubelets_of(origins: Sequence[Origin]) -> list[str]:
    """List the versions of the kubelets measured, or of the API server."""
    return sorted({version for run in origins for version in run.kubelets})


def find_figures(
    folder: Path, *, order: Sequence[str]
) -> tuple[list[DrawnFigure], list[str]]:
    """Read the figures of a report: the headline's, then in order, then the rest.

    Beside them, give a sentence for each that cannot be shown.
    """
    there = [path.stem for path in sorted(folder.glob("*.json"))]
    names = dict.fromkeys([HEADLINE_FIGURE, *order, *there])
    figures, spoilt = [], []
    for name in names:
        if name in there:
            try:
                figures.append(_read(folder, name))
            except (OSError, ValueError, KeyError, TypeError) as error:
                spoilt.append(
                    f"Figure {name} cannot be shown: figures/{name}.json or its SVG "
                    f"is not whole ({type(error).__name__}: {error})."
                )
    return figures, spoilt


def _read(folder: Path, name: str) -> DrawnFigure:
    content = json.loads((folder / f"{name}.json").read_bytes())
    wide, narrow = folder / f"{name}.svg", folder / f"{name}-narrow.svg"
    wide.stat()  # a figure without its drawing is none
    forms = {"SVG": wide, "PNG": folder / f"{name}.png"}
    forms["numbers"] = folder / f"{name}.json"
    return DrawnFigure(
        **{key: str(content[key]) for key in _TEXTS},
        modelled=bool(content["modelled"]),
        numbers=dict(content["numbers"]),
        wide=wide,
        narrow=narrow if narrow.is_file() else None,
        files={form: path for form, path in forms.items() if path.is_file()},
    )


def compose(report: Report) -> HtmlPage:
    """Put together the page of a report."""
    summary = report.summary
    sections = [Section(None, _notices(report)), *_figures(report)]
    if summary is not None:
        sections.append(Section("The numbers", [_numbers(summary)]))
    sections.append(Section("What was not measured", [Points(_limits(report))]))
    if report.origins:
        origin = Section("Where the numbers come from", origins(report.origins))
        sections.append(origin)
    sections.append(Section("Files", _files(report)))
    modelled = summary is not None and summary.modelled
    word = "modelled" if modelled else "measured"
    made = report.created_utc[:16].replace("T", " ")
    return HtmlPage(
        title=f"ConfigMap update delay, {word} ({report.name})",
        headline=report.headline,
        byline=f"cmhot report {report.name}, made {made} UTC",
        modelled=modelled,
        sections=sections,
    )


def _notices(report: Report) -> list[Block]:
    """Make the notices about failures and contradictions, which come first."""
    failed: list[Block] = [
        Notice(
            f"Notebook {name} failed: {entry.error}. The rest of this page does not "
            "depend on it.",
            (
                ("Open the executed notebook", f"notebooks/{name}.html")
                if (report.folder / "notebooks" / f"{name}.html").is_file()
                else None
            ),
        )
        for name, entry in report.entries.items()
        if entry.status == "failed"
    ]
    others = [] if report.why is None else [report.why]
    if report.summary is not None:
        told = [own.contradiction for own in report.summary.settings]
        others += [f"{said}." for said in told if said is not None]
    return failed + [Notice(said) for said in [*others, *report.spoilt]]


def _figures(report: Report) -> list[Section]:
    """Give a section to each figure."""
    found = []
    for one in report.figures:
        figure = Figure(
            wide=one.wide,
            narrow=one.narrow,
            alt=one.alt,
            caption=one.caption,
            links=[(form, f"figures/{path.name}") for form, path in one.files.items()],
        )
        found.append(Section(one.title, [figure, Text([one.paragraph])]))
    return found


def _limits(report: Report) -> list[str]:
    """List the limits of the page, and their reasons."""
    said = []
    for name, entry in report.entries.items():
        title = _titled(name)
        if entry.status == "unanswered":
            said.append(f"{title}: {entry.error}.")
        elif entry.status != "done":
            said.append(f"{title}: the notebook failed, so its question is open.")
    said += [f"{_titled(name)}: {reason}" for name, reason in report.left_out.items()]
    if report.summary is None:
        return [*said, "Any delay: no run holds one."]
    return not_measured(report.summary) + said


def _titled(name: str) -> str:
    """Name a notebook with its title, unless it is of another version."""
    return f"{notebooks.title(name)} ({name})" if name in notebooks.names() else name


def _numbers(summary: Summary) -> HtmlTable:
    rows = [row for own in summary.settings for row in _rows(own)]
    heads = [name.removesuffix("_s") for name in _COLUMNS]
    source = "Modelled, not measured" if summary.modelled else "Measured"
    return HtmlTable(
        columns=["syncFrequency, strategy", *heads, "pods", "delays"],
        rows=rows,
        caption=(
            f"{source}: delay from the API server's answer to the new file in the "
            "pod, in seconds. Below each: its 95 % confidence interval; the same "
            "delays from the intervals between two looks of the kubelet, which tell "
            "more; and what the law predicts (its max is the longest delay possible)."
        ),
    )


def _rows(own: SettingSummary) -> list[HtmlRow]:
    counts = [str(own.counts["pods"]), f"{own.counts['n_delays']:,}"]
    rows = [HtmlRow(own.name, [cell(own.direct[name]) for name in _COLUMNS] + counts)]
    blank = ["", ""]
    rows += _limits_row(own.confidence)
    if own.intervals["mean_s"] is not None:
        counted = f"{own.intervals['n_syncs']:,} looks"
        found = [cell(own.intervals[name]) for name in _COLUMNS]
        rows.append(HtmlRow(f"from {counted}", found + blank, first=False))
        rows += _limits_row(own.intervals["confidence"])
    law = [cell(own.law[name]) for name in _COLUMNS]
    if own.law["mean_s"] is not None:
        rows.append(HtmlRow("law", law + blank, tone="aside", first=False))
    return rows


def _limits_row(
    confidence: Mapping[str, Sequence[float | None] | None],
) -> list[HtmlRow]:
    """Write 95 % intervals below their numbers; none: there is no row."""
    limits = [_interval(confidence.get(name)) for name in _COLUMNS]
    if all(limit == DASH for limit in limits):
        return []
    return [HtmlRow("95 % interval", [*limits, "", ""], tone="aside", first=False)]


def cell(value: float | None) -> str:
    """Write seconds in a table."""
    return DASH if value is None else f"{value:.2f}"


def _interval(pair: Sequence[float | None] | None) -> str:
    if pair is None or pair[0] is None:
        return DASH
    low, high = pair
    return f"≥ {low:.2f}" if high is None else f"{low:.2f}{DASH}{high:.2f}"


def _files(report: Report) -> list[Block]:
    """List the files for download beside the page."""
    items = [("numbers.json", "numbers.json", "every number on this page, and more")]
    items += [
        (
            f"Notebook {page.stem}",
            f"notebooks/{page.name}",
            f"as executed; to run it again, take notebooks/{page.stem}.ipynb",
        )
        for page in sorted((report.folder / "notebooks").glob("*.html"))
    ]
    for run in report.origins:
        files = [
            file
            for file in sorted(run.path.iterdir())
            if file.name in schema.FILES and file.is_file() and not file.is_symlink()
        ]
        paths = [f"{RUNS}/{run.path.name}/{file.name}" for file in files]
        items += [
            (path, path, _REMARKS[file.stem])
            for path, file in zip(paths, files, strict=True)
        ]
    return [Links(items)]


def headline(summary: Summary, *, kubelets: Sequence[str]) -> str:
    """Write the result in a sentence or two: of the kubelet's default, then the rest.

    The default is told where its 99 % point has limits.
    """
    chosen = series(summary)
    if not chosen:
        word = "modelled" if summary.modelled else "measured"
        return f"No delay was {word}: no pod showed any update."
    strategy = chosen[0].population["strategy"]
    where = [] if strategy is None else [str(strategy)]
    if not summary.modelled:
        where.append(f"kubelet {listing(kubelets)}")
    under = f" ({', '.join(where)})" if where else ""
    default = [own for own in chosen if _is_default(own)]
    others = [own for own in chosen if own not in default]
    if not default:
        sentence = (
            "a changed ConfigMap reached 95 % of the pods that mount it within "
            f"{_within(others)}{under}."
        )
    elif not others:
        sentence = f"{_of_default(default[0])}{under}."
    else:
        sentence = (
            f"{_of_default(default[0])}. 95 % of them had it within "
            f"{_within(others)}{under}."
        )
    if summary.modelled:
        return f"Modelled, not measured: {sentence}"
    return sentence[0].upper() + sentence[1:]


def _is_default(own: SettingSummary) -> bool:
    """Tell whether it is the kubelet's default, with limits of its 99 % point.

    They are from the intervals between syncs, which say nothing of other delays.
    """
    known = own.intervals["confidence"].get("p99_s") is not None
    known = known and own.contradiction is None
    return known and schema.setting_of(own.population) == Setting()


def _of_default(own: SettingSummary) -> str:
    """Write half and nearly all of the delays at the kubelet's default."""
    low, high = own.intervals["confidence"]["p99_s"]
    upper = "any value" if high is None else seconds(high)
    return (
        f"with the kubelet's default, a syncFrequency of {sync_of(own.population)}, "
        "half of the pods that mount a ConfigMap had a change after "
        f"{seconds(own.intervals['p50_s'])}, and 99 % after "
        f"{seconds(own.intervals['p99_s'])} (95 % interval {low:.1f} to {upper})"
    )


def _within(chosen: Sequence[SettingSummary]) -> str:
    """List the 95 % points of settings: ``6.8 s at a syncFrequency of 5 s and …``."""
    names = [sync_of(own.population) for own in chosen]
    known = chosen[0].population["sync_frequency_s"] is not None
    names[0] = f"a syncFrequency of {names[0]}" if known else "an unknown syncFrequency"
    return listing(
        [
            f"{seconds(own.direct['p95_s'])} at {name}"
            for own, name in zip(chosen, names, strict=True)
        ]
    )


def not_measured(summary: Summary) -> list[str]:
    """List conclusions that a reader may wrongly draw from the page."""
    said = []
    if summary.modelled:
        said.append(
            "Nothing here was measured: all numbers are from a model of the kubelet, "
            "and show what the law says, not that a kubelet obeys it."
        )
    settings = [schema.setting_of(own.population) for own in summary.settings]
    default = Setting()
    law = law_for(default)
    if default not in settings and law is not None:
        said.append(
            f"The kubelet's default, {default}: by the law its mean is "
            f"{seconds(law.mean_s)}, its 99 % point "
            f"{seconds(float(law.quantile(0.99)))}."
        )
    if not any(s and s.strategy is Strategy.CACHE and s.ttl_s for s in settings):
        said.append(
            "Cache with a TTL above 0, as on clusters of more than 100 nodes: "
            "there the TTL adds to the delay."
        )
    consumers = {own.population["consumer"] for own in summary.settings}
    if consumers == {VOLUME}:
        said.append(
            "Other ways of using a ConfigMap: env, envFrom and subPath "
            "never update in a running container."
        )
    said.append(
        "Pods that are being restarted, edited or probed by exec: "
        "the probes were idle, and an edit of a pod syncs it at once."
    )
    clocks = {own.clocks: None for own in summary.settings if own.clocks is not None}
    said += [f"{one[0].upper()}{one[1:]}." for one in clocks]
    for own in summary.settings:
        lost = [
            f"{own.counts[f'n_{name}']} {name.replace('_', ' ')}"
            for name in schema.STATUSES[1:]
            if own.counts[f"n_{name}"]
        ]
        if lost:
            said.append(
                f"Delays at {name_of(own, summary)} that ended otherwise: "
                f"{listing(lost)}."
            )
    return said


def origins(runs: Sequence[Origin]) -> list[Block]:
    """Show the origin of each run's numbers."""
    blocks: list[Block] = []
    for run in runs:
        meta = run.meta
        blocks += [Facts(_facts(run)), _settings(meta)]
        if meta.get("sources"):
            blocks.append(_sources(meta["sources"]))
    return blocks


def _facts(run: Origin) -> list[tuple[str, str]]:
    meta = run.meta
    plan, clock = meta.get("plan") or {}, meta.get("clock") or {}
    host, packages = meta.get("host") or {}, meta.get("packages") or {}
    resolution = clock.get("resolution_s")
    ticks = "" if resolution is None else f", resolution {resolution:g} s"
    checks = meta.get("checks") or {}
    return [
        (name, value)
        for name, value in [
            ("Kubelet", listing(sorted(set(run.kubelets)))),
            ("API server", str(meta.get("kubernetes", ""))),
            ("Target", str(meta.get("target", ""))),
            ("Run", f"{meta['run_id']}, {meta.get('status', 'status unknown')}"),
            ("Collected", f"{meta.get('started_utc')} to {meta.get('ended_utc')}"),
            ("Probe pods", f"{plan.get('pods', 'unknown')} per setting"),
            (
                "Updates",
                (
                    f"{checks.get('trials_sent', 'unknown')} of "
                    f"{meta.get('planned_updates', 'unknown')} planned, in "
                    f"{plan.get('duration_s', 'unknown')} s"
                ),
            ),
            ("Seed", str(meta.get("seed", ""))),
            ("Clock", f"{clock.get('name', 'unknown')}{ticks}"),
            ("Collector", _machine(host)),
            ("Packages", ", ".join(f"{k} {v}" for k, v in packages.items())),
        ]
        if value
    ]


def _machine(host: Mapping[str, Any]) -> str:
    names = ("system", "release", "machine")
    machine = " ".join(str(host[name]) for name in names if name in host)
    return f"{machine}, Python {host['python']}" if "python" in host else machine


def _settings(meta: Mapping[str, Any]) -> HtmlTable:
    known = meta.get("settings") or {}

    def text(value: object) -> str:
        return "unknown" if value is None else str(value)

    def number(value: float | None) -> str:
        return "unknown" if value is None else f"{value:g} s"

    kinds: dict[tuple[str, ...], list[str]] = {}
    for node, entry in known.items():
        cells = (
            number(entry.get("sync_frequency_s")),
            text(entry.get("strategy")),
            number(entry.get("ttl_s")),
            text(entry.get("kubelet")),
            text(entry.get("runtime")),
        )
        kinds.setdefault(cells, []).append(node)
    return HtmlTable(
        columns=["node", "syncFrequency", "strategy", "TTL", "kubelet", "runtime"],
        rows=[HtmlRow(name_some(nodes), cells) for cells, nodes in kinds.items()],
        caption=_how_known(known),
        numeric=False,
    )


def name_some(names: Sequence[str]) -> str:
    """Name nodes; of many, the first few and the number of the others."""
    more = len(names) - NAMED
    named = [*names[:NAMED], f"{more} more"] if more > 0 else names
    return listing(named)


def _how_known(settings: Mapping[str, Any]) -> str:
    said = {
        "configz": "as each kubelet reports it (configz), and its TTL annotation",
        "given": "as given by the user",
        "inferred": "inferred from the intervals between syncs",
        "unknown": "unknown: the cluster did not allow to ask",
    }
    sources = sorted({str(entry.get("source")) for entry in settings.values()})
    return f"Setting of each node: {'; '.join(said.get(s, s) for s in sources)}."


def _sources(sources: Mapping[str, Any]) -> HtmlTable:
    return HtmlTable(
        columns=["program", "version", "served by", "why"],
        rows=[
            HtmlRow(
                name,
                [
                    str(source.get("version", "")),
                    " of ".join(
                        dict.fromkeys(
                            [str(source.get("step", "")), str(source.get("origin", ""))]
                        )
                    ),
                    str(source.get("why", "")),
                ],
            )
            for name, source in sources.items()
        ],
        caption="Programs of the testbed, and which source served each.",
        numeric=False,
    )
