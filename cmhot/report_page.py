"""From runs and their summary to the sections of the report's page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot import wording
from cmhot.page import (
    Block,
    Facts,
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

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cmhot.rundir import Run
    from cmhot.summary import SettingSummary, Summary

HEADLINE_FIGURE = "delay-distribution"
_COLUMNS = ("mean_s", "p50_s", "p90_s", "p95_s", "p99_s", "max_s")
_NONE = "–"


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
        found = [version for run in self.runs for version in _kubelets(run.meta)]
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
        clocks = any(not run.clock.empty for run in material.runs)
        limits = wording.not_measured(summary, clocks_compared=clocks)
        sections += [
            Section("What it means", [Text([wording.plain_words(summary)])]),
            Section("The numbers", [_numbers(summary)]),
            Section("What was not measured", [Points(limits)]),
        ]
    if material.runs:
        sections.append(
            Section("Where the numbers come from", _provenance(material.runs))
        )
    sections.append(Section("Files", [_files(material)]))
    modelled = summary is not None and summary.modelled
    word = "modelled" if modelled else "measured"
    return Page(
        title=f"ConfigMap update delay, {word} ({material.name})",
        headline=material.headline,
        byline=f"cmhot report {material.name}, made {material.created_utc[:16]} UTC",
        modelled=modelled,
        sections=sections,
    )


def provenance(run: Run) -> dict[str, Any]:
    """Return what run.json says of how a run was made, without its list of pods."""
    return {key: value for key, value in run.meta.items() if key != "pods"}


def _kubelets(meta: Mapping[str, Any]) -> list[str]:
    """Give the kubelets' versions; a run of somebody else may only have one for all."""
    known = (meta.get("kubelets") or {}).values()
    return [str(version) for version in known or [meta.get("kubernetes")]]


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
        columns=["syncFrequency, strategy", "pods", "delays", *heads],
        rows=rows,
        caption=(
            f"{source}: delay from the API server's answer to the new file in the "
            "pod, in seconds. Below each: its 95 % confidence interval, and what "
            "the law predicts (its max is the longest delay possible)."
        ),
    )


def _rows(own: SettingSummary) -> list[Row]:
    counts = [str(own.counts["pods"]), str(own.counts["n_delays"])]
    rows = [Row(own.name, counts + [_cell(own.direct[name]) for name in _COLUMNS])]
    limits = [_limits(own.confidence.get(name)) for name in _COLUMNS]
    blank = ["", ""]
    if any(limit != _NONE for limit in limits):
        rows.append(Row("95 % interval", blank + limits, tone="aside", first=False))
    law = [_cell(own.law[name]) for name in _COLUMNS]
    if own.law["mean_s"] is not None:
        rows.append(Row("law", blank + law, tone="aside", first=False))
    return rows


def _cell(value: float | None) -> str:
    return _NONE if value is None else f"{value:.2f}"


def _limits(pair: Sequence[float | None] | None) -> str:
    if pair is None or pair[0] is None:
        return _NONE
    low, high = pair
    return f"≥ {low:.2f}" if high is None else f"{low:.2f}–{high:.2f}"


def _provenance(runs: Sequence[Run]) -> list[Block]:
    blocks: list[Block] = []
    for run in runs:
        meta = run.meta
        blocks += [Facts(_facts(meta)), _settings(meta)]
        if meta.get("sources"):
            blocks.append(_sources(meta["sources"]))
    return blocks


def _facts(meta: Mapping[str, Any]) -> list[tuple[str, str]]:
    plan, clock = meta.get("plan") or {}, meta.get("clock") or {}
    host, packages = meta.get("host") or {}, meta.get("packages") or {}
    resolution = clock.get("resolution_s")
    ticks = "" if resolution is None else f", resolution {resolution:g} s"
    checks = meta.get("checks") or {}
    return [
        (name, value)
        for name, value in [
            ("Kubelet", wording.listing(sorted(set(_kubelets(meta))))),
            ("API server", str(meta.get("kubernetes", ""))),
            ("Target", str(meta.get("target", ""))),
            ("Run", f"{meta['run_id']}, {meta.get('status', 'status unknown')}"),
            ("Collected", f"{meta.get('started_utc')} to {meta.get('ended_utc')}"),
            ("Probe pods", f"{plan.get('pods', 'unknown')} per setting"),
            (
                "Updates",
                f"{checks.get('trials_sent', 'unknown')} of "
                f"{meta.get('planned_updates', 'unknown')} planned, in "
                f"{plan.get('duration_s', 'unknown')} s",
            ),
            ("Seed", str(meta.get("seed", ""))),
            ("Clock", f"{clock.get('name', 'unknown')}{ticks}"),
            ("Collector", " ".join(str(value) for value in host.values())),
            ("Packages", ", ".join(f"{k} {v}" for k, v in packages.items())),
        ]
        if value
    ]


def _settings(meta: Mapping[str, Any]) -> Table:
    known = meta.get("settings") or {}

    def text(value: object, unit: str = "") -> str:
        return "unknown" if value is None else f"{value}{unit}"

    def number(value: float | None) -> str:
        return "unknown" if value is None else f"{value:g} s"

    return Table(
        columns=["node", "syncFrequency", "strategy", "TTL", "kubelet", "runtime"],
        rows=[
            Row(
                node,
                [
                    number(entry.get("sync_frequency_s")),
                    text(entry.get("strategy")),
                    number(entry.get("ttl_s")),
                    text(entry.get("kubelet")),
                    text(entry.get("runtime")),
                ],
            )
            for node, entry in known.items()
        ],
        caption=_how_known(known),
        numeric=False,
    )


def _how_known(settings: Mapping[str, Any]) -> str:
    said = {
        "configz": "as each kubelet reports it (configz), and its TTL annotation",
        "given": "as given by the user",
        "inferred": "inferred from the intervals between syncs",
        "unknown": "unknown: the cluster did not allow to ask",
    }
    sources = sorted({str(entry.get("source")) for entry in settings.values()})
    return f"Setting of each node: {'; '.join(said.get(s, s) for s in sources)}."


def _sources(sources: Mapping[str, Any]) -> Table:
    return Table(
        columns=["program", "version", "served by", "why"],
        rows=[
            Row(
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
