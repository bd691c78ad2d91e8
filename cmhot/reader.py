"""What has been read of one probe's log, and what is new in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmhot import probe

if TYPE_CHECKING:
    from cmhot.nodes import Group


@dataclass(frozen=True, slots=True)
class News:
    """What a look brought that earlier looks had not.

    Attributes
    ----------
    publications
        Rows of publications.jsonl.
    incidents
        Kind and detail of each event.
    """

    publications: list[dict[str, Any]]
    incidents: list[tuple[str, dict[str, Any]]]


@dataclass(slots=True)
class ProbeLog:
    """A probe pod, and how much of its log is known.

    Attributes
    ----------
    node, pod, uid
        Which pod, and where.
    configmap
        What it consumes.
    group
        The setting that it measures.
    last_ns
        Stamp of the last line read, node clock, UTC epoch ns; None: none yet.
    supported
        Whether its volume can be measured.
    published
        Instants of the publications seen, node clock, UTC epoch ns.
    """

    node: str
    pod: str
    uid: str
    configmap: str
    group: Group
    last_ns: int | None = None
    supported: bool = True
    published: set[int] = field(default_factory=set)
    _told: set[int] = field(default_factory=set)

    def take(self, text: str) -> News:
        """Read a log, the whole of it or its end; lines known already are no news."""
        news = News([], [])
        for line in probe.parse_log(text):
            self.last_ns = max(self.last_ns or 0, line.read_ns)
            if line.published_ns is not None:
                if line.published_ns not in self.published:
                    self.published.add(line.published_ns)
                    news.publications.append(self._row(line))
            elif line.read_ns not in self._told:
                self._told.add(line.read_ns)
                news.incidents.extend(self._incidents(line))
        return news

    def _row(self, line: probe.Line) -> dict[str, Any]:
        return {
            "node": self.node,
            "pod": self.pod,
            "uid": self.uid,
            "container": probe.CONTAINER,
            "consumer": "volume",
            "configmap": self.configmap,
            "seq": line.seq,
            "published_ns": line.published_ns,
            "read_ns": line.read_ns,
        }

    def _incidents(self, line: probe.Line) -> list[tuple[str, dict[str, Any]]]:
        if line.kind == "gap":
            begin, end = probe.gap_bounds(line)
            return [("gap", {"from_ns": begin, "to_ns": end})]
        if line.kind == "unsupported":
            self.supported = False
            return [("unsupported", {"why": line.detail})]
        return []
