"""Where the numbers of a run come from, as its run.json has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.report import wording
from cmhot.report.page import Facts, Row, Table
from cmhot.runs import schema
from cmhot.runs.meta import has_one_clock
from cmhot.runs.packed import read_packed
from cmhot.runs.rundir import read_meta

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cmhot.report.page import Block

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
            ("Kubelet", wording.listing(sorted(set(kubelets(meta))))),
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
    return wording.listing(named)


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
