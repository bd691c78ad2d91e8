"""What has been read of one probe's log, and what is new in it.

A log only grows, and its lines are in the order of their stamps.
Where the last line known is no longer in it (the runtime rotated the file,
or the container started again), what stood between is lost: that is a gap.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from cmhot.clock import NS_PER_S
from cmhot.port import probe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Row = dict[str, Any]
    Told = tuple[int | None, str, dict[str, Any]]

NOTICED_NS = 2 * NS_PER_S
"""A publication is in the log this soon: the probe's pause, the runtime,
and what the clocks of the node and the collector may differ by."""

_HIDDEN = "somebody else's content was published between"


@dataclass(frozen=True, slots=True)
class News:
    """What a look brought that earlier looks had not, in the order of the log.

    Who writes it down in this order may be killed anywhere: what is on record
    ends at one line of the log, and `ProbeLog.restore` goes on after that.

    Attributes
    ----------
    entries
        Rows of publications.jsonl; of an event its instant (node clock, UTC epoch ns;
        None: now), kind and detail.
    """

    entries: list[Row | Told] = field(default_factory=list)

    @property
    def publications(self) -> list[Row]:
        """Only the publications."""
        return [entry for entry in self.entries if isinstance(entry, dict)]

    @property
    def incidents(self) -> list[Told]:
        """Only the events."""
        return [entry for entry in self.entries if isinstance(entry, tuple)]

    def stretches(self) -> Iterator[tuple[list[Row], list[Told]]]:
        """Give publications that follow one another, and the events after them."""
        rows: list[Row] = []
        told: list[Told] = []
        for entry in self.entries:
            if not isinstance(entry, dict):
                told.append(entry)
                continue
            if told:
                yield rows, told
                rows, told = [], []
            rows.append(entry)
        if self.entries:
            yield rows, told


@dataclass(slots=True)
class ProbeLog:
    """A probe pod, and how much of its log is known.

    Attributes
    ----------
    node, pod, uid
        Which pod, and where.
    configmap
        What it consumes.
    last_ns
        Stamp of the last line read, node clock, UTC epoch ns; None: none yet.
    last_seq
        Number last published; numbers only grow.
    read_ns
        When the log was last read, collector's clock, UTC epoch ns; None: never.
    supported
        Whether its volume can be measured.
    gone
        Whether the pod is there no more.
    """

    node: str
    pod: str
    uid: str
    configmap: str
    last_ns: int | None = None
    last_seq: int = 0
    read_ns: int | None = None
    supported: bool = True
    gone: bool = False
    _at_last: set[str] = field(default_factory=set)
    _foreign_ns: int | None = None

    def take(self, text: str, *, at_ns: int, highest: int) -> News:
        """Read a log, the whole of it or its end; lines known already are no news.

        Parameters
        ----------
        text
            As the API server gives it; from the last known line's second on,
            or more.
        at_ns
            When it was asked for, collector's clock, UTC epoch ns.
        highest
            The highest number that we may have written by then.
        """
        news = News()
        lines = list(probe.parse_log(text))
        if self.last_ns is not None and all(
            line.read_ns != self.last_ns for line in lines
        ):
            self._note_loss(lines, news)
        for line in lines:
            if self._is_new(line):
                self._read(line, highest, news)
        if lines or self.last_ns is None:
            self.read_ns = at_ns
        return news

    def restore(
        self, rows: Iterable[Mapping[str, Any]], events: Iterable[Mapping[str, Any]]
    ) -> None:
        """Take up what an earlier collector had recorded of this pod, in its order."""
        for row in rows:
            self._remember(row["read_ns"], f"{row['seq']} {row['published_ns']}")
            self.last_seq = max(self.last_seq, row["seq"])
        for event in events:
            detail = event["detail"] or {}
            if event["kind"] == "foreign":
                self._foreign_ns = self._foreign_ns or detail["published_ns"]
                self._remember(detail["read_ns"], detail["line"])
            elif event["kind"] == "gap" and detail.get("why") == _HIDDEN:
                self._foreign_ns = None
            elif event["kind"] == "gap":
                self._remember(detail["to_ns"], detail.get("line", ""))
            elif event["kind"] == "restart" and "line" in detail:
                self._remember(event["at_ns"], detail["line"])
            elif event["kind"] == "unsupported":
                self.supported = False
            elif event["kind"] == "gone":
                self.gone = True

    def copy(self) -> ProbeLog:
        """Give another that knows the same."""
        return replace(self, _at_last={*self._at_last})

    def go_back(self, before: ProbeLog) -> None:
        """Forget what was read since a copy was made: it could not be written down."""
        for one in fields(self):
            setattr(self, one.name, getattr(before, one.name))

    def _is_new(self, line: probe.Line) -> bool:
        """Tell whether a line is later than all known; two may share a stamp."""
        if self.last_ns is None or line.read_ns > self.last_ns:
            return True
        return line.read_ns == self.last_ns and _key(line) not in self._at_last

    def _remember(self, read_ns: int, key: str) -> None:
        if self.last_ns is None or read_ns > self.last_ns:
            self.last_ns = read_ns
            self._at_last = set()
        if read_ns == self.last_ns:
            self._at_last.add(key)

    def _note_loss(self, lines: list[probe.Line], news: News) -> None:
        """Tell of the stretch whose lines are lost, up to the first that is there."""
        later = [line for line in lines if self._is_new(line)]
        if not later or self.last_ns is None:
            return  # nothing was printed since: whatever is lost is known
        begin = max(self.last_ns, (self.read_ns or 0) - NOTICED_NS)
        end = max(begin, later[0].read_ns)
        detail = {"from_ns": begin, "to_ns": end, "why": "log lines are lost"}
        news.entries.append((end, "gap", detail))

    def _read(self, line: probe.Line, highest: int, news: News) -> None:
        started = self.last_ns is not None and line.kind == "start"
        self._remember(line.read_ns, _key(line))
        if line.published_ns is not None:
            self._publication(line, line.published_ns, highest, news)
        elif line.kind == "gap":
            begin, end = probe.gap_bounds(line)
            detail = {"from_ns": begin, "to_ns": end, "line": _key(line)}
            news.entries.append((end, "gap", detail))
        elif line.kind == "unsupported":
            self.supported = False
            news.entries.append((None, "unsupported", {"why": line.detail}))
        elif started:
            detail = {"why": "the container started again", "line": _key(line)}
            news.entries.append((line.read_ns, "restart", detail))

    def _publication(
        self, line: probe.Line, published_ns: int, highest: int, news: News
    ) -> None:
        """Take a number that is ours; what somebody else wrote hides those before."""
        if line.seq is None or line.seq > highest or line.seq < self.last_seq:
            self._foreign_ns = self._foreign_ns or published_ns
            detail = {
                "content": line.detail[:40],
                "published_ns": published_ns,
                "read_ns": line.read_ns,
                "line": _key(line),
            }
            news.entries.append((published_ns, "foreign", detail))
            return
        if self._foreign_ns is not None:
            detail = {
                "from_ns": self._foreign_ns - 1,
                "to_ns": published_ns,
                "why": _HIDDEN,
            }
            news.entries.append((published_ns, "gap", detail))
            self._foreign_ns = None
        self.last_seq = line.seq
        news.entries.append(
            {
                "node": self.node,
                "pod": self.pod,
                "uid": self.uid,
                "container": probe.CONTAINER,
                "consumer": "volume",
                "configmap": self.configmap,
                "seq": line.seq,
                "published_ns": published_ns,
                "read_ns": line.read_ns,
            }
        )


def _key(line: probe.Line) -> str:
    """Name a line among those of one stamp."""
    if line.seq is not None:
        return f"{line.seq} {line.published_ns}"
    return f"{line.kind} {line.detail}"
