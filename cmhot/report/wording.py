"""What a summary says, in sentences: every number in them is from the run.

Where the numbers of a run come from, as its run.json has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.kubelet.settings import Setting, Strategy
from cmhot.law import law_for
from cmhot.plots.delay import series
from cmhot.plots.words import VOLUME, listing, name_of, seconds, sync_of
from cmhot.report.page import Facts, Row, Table
from cmhot.runs import schema
from cmhot.runs.rundir import has_one_clock, read_meta
from cmhot.runs.tables import read_packed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cmhot.report.page import Block
    from cmhot.statistics.summary import Summary


__all__ = ["headline", "listing", "not_measured", "seconds"]


def headline(summary: Summary, *, kubelets: Sequence[str]) -> str:
    """Say the result in one sentence.

    Parameters
    ----------
    summary
        What was measured.
    kubelets
        Versions of the kubelets.
    """
    chosen = series(summary)
    if not chosen:
        word = "modelled" if summary.modelled else "measured"
        return f"No delay was {word}: no pod showed any update."
    known = chosen[0].population["sync_frequency_s"] is not None
    first = (
        f"a syncFrequency of {sync_of(chosen[0].population)}"
        if known
        else "an unknown syncFrequency"
    )
    at = [first, *(sync_of(own.population) for own in chosen[1:])]
    said = [
        f"{seconds(own.direct['p95_s'])} at {sync}"
        for own, sync in zip(chosen, at, strict=True)
    ]
    strategy = chosen[0].population["strategy"]
    where = [] if strategy is None else [str(strategy)]
    if not summary.modelled:
        where.append(f"kubelet {listing(kubelets)}")
    within = f"95 % of the pods that mount it within {listing(said)}"
    under = f" ({', '.join(where)})" if where else ""
    if summary.modelled:
        return f"Modelled, not measured: a changed ConfigMap reaches {within}{under}."
    return f"A changed ConfigMap reached {within}{under}."


def not_measured(summary: Summary, *, clocks_known: bool) -> list[str]:
    """List what a reader may wrongly take from the page.

    Parameters
    ----------
    summary
        What was measured.
    clocks_known
        Whether there is but one clock, or the runs bound how far they differ.
    """
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
    if not clocks_known and not summary.modelled:
        said.append(
            "The difference between the clocks of the nodes and of the collector: "
            "it adds to each delay."
        )
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


NAMED = 3
"""Nodes of one kind that are named; of a large cluster the rest is counted."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where numbers come from: a run, without its rows.

    Attributes
    ----------
    path
        The run directory.
    meta
        run.json as it is.
    clocks_known
        Whether there is but one clock, or clocks were compared.
    """

    path: Path
    meta: Mapping[str, Any]
    clocks_known: bool

    @classmethod
    def read(cls, path: Path) -> Origin:
        """Read it from a run directory.

        Raises
        ------
        RunError
            When that is none.
        """
        meta = read_meta(path)
        return cls(path, meta, _has_known_clocks(path, meta))


def _has_known_clocks(path: Path, meta: Mapping[str, Any]) -> bool:
    if has_one_clock(meta):
        return True
    packed, lines = read_packed(path, schema.CLOCK), path / schema.CLOCK.file
    if packed is not None:
        return not packed.empty
    return lines.is_file() and lines.stat().st_size > 0


def recorded(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return what run.json says of how a run was made, without its list of pods."""
    return {key: value for key, value in meta.items() if key != "pods"}


def kubelets(meta: Mapping[str, Any]) -> list[str]:
    """Give the kubelets' versions; a run of somebody else may only have one for all."""
    known = [version for version in (meta.get("kubelets") or {}).values() if version]
    return [str(version) for version in known or [meta.get("kubernetes")]]


def origins(runs: Sequence[Origin]) -> list[Block]:
    """Show where the numbers of each run come from."""
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
            ("Kubelet", listing(sorted(set(kubelets(meta))))),
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


def _settings(meta: Mapping[str, Any]) -> Table:
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
    return Table(
        columns=["node", "syncFrequency", "strategy", "TTL", "kubelet", "runtime"],
        rows=[Row(_nodes(nodes), cells) for cells, nodes in kinds.items()],
        caption=_how_known(known),
        numeric=False,
    )


def _nodes(names: Sequence[str]) -> str:
    """Name nodes of one kind, or the first of them and how many more there are."""
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
