"""The probe: pods that note each publication of a ConfigMap, and how to read them.

A log only grows, and its lines are in the order in which they were written; that of
their stamps is another where a node's clock was set back.
Where the last known line is no longer in it (the runtime rotated the file,
or the container started again), the lines after that one are lost: a gap.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.cluster.nodes import HOSTNAME_LABEL
from cmhot.cluster.port import MANAGED_BY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cmhot.runs.plan import Placement

    Row = dict[str, Any]
    LogEvent = tuple[int | None, str, dict[str, Any]]

CONTAINER = "probe"
FOLDER = "/etc/cmhot"
POLL_S = 0.25
"""Pause between two looks of a probe. The instant that it reports does not depend on
this; a second publication within it would be overlooked, but sync intervals are
a second at least."""
RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""A pod's security context that the Pod Security standard *restricted* admits."""
LEAST = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
"""The same for its containers."""
HEAD_START_S = 2.0
"""From the probes' start to the first annotation: their start-up syncs are over."""
READ_EVERY_S = 45.0
"""Each probe's log is read this often for the progress; two requests a minute at most
is what a measurement may cost a cluster."""
READS_PER_S = 5.0
"""Most reads of all probes' logs together: with more than some two hundred probes each
is read less often. The logs keep the lines until they are read."""
RUN_LABEL = "cmhot.dev/run"
GROUP_LABEL = "cmhot.dev/group"
SCRAMBLE_ANNOTATION = "cmhot.dev/scramble"
_STAMPED = re.compile(r"(\S+Z) (start|publication|gap|unsupported) (.*)")
_UTC = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z| \+0000)")
_OURS = re.compile(r"[0-9]{1,18}")
"""The content of our ConfigMap: a number below 10^18, which 64 bits hold."""
_PUBLICATION = re.compile(r"(.*) (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{9} [+-]\d{4})")


def read_every_s(pods: int) -> float:
    """Give the seconds between two reads of each of so many probes' logs."""
    return max(READ_EVERY_S, pods / READS_PER_S)


def script() -> str:
    """Return the probe's shell program, which ships with the package."""
    return resources.files("cmhot.cluster").joinpath("probe.sh").read_text()


def namespace_of(run_id: str) -> str:
    """Name a run's own namespace, by the rules for a label (RFC 1123)."""
    words = re.sub(r"[^a-z0-9]+", "-", run_id.lower()).strip("-")
    return f"cmhot-{words}"[:63].rstrip("-")


def config_map(name: str, *, run_id: str) -> dict[str, Any]:
    """Make the ConfigMap that all probes share; its content is a number."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {**MANAGED_BY, RUN_LABEL: run_id}},
        "data": {"seq": "0"},
    }


def deployment(
    name: str,
    *,
    run_id: str,
    group: str,
    configmap: str,
    nodes: Sequence[str],
    replicas: int,
    image: str,
    pull_policy: str,
    placement: Placement | None = None,
) -> dict[str, Any]:
    """Make the Deployment of one group's probes.

    It satisfies the Pod Security standard *restricted*,
    has low requests and limits,
    and opts out of sidecar injectors, whose containers would add syncs.
    The image has ``sh``, ``stat`` and ``mkfifo``. Probes are spread evenly over the
    nodes of these host names; none: wherever the scheduler puts them.
    """
    selected = {"matchLabels": {RUN_LABEL: run_id, GROUP_LABEL: group}}
    labels = {**MANAGED_BY, **selected["matchLabels"]}
    container = {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": pull_policy,
        "command": ["/bin/sh", "-c", script(), "probe", FOLDER, str(POLL_S)],
        "resources": {
            "requests": {"cpu": "2m", "memory": "4Mi"},
            "limits": {"cpu": "100m", "memory": "32Mi"},
        },
        "securityContext": dict(LEAST),
        "volumeMounts": [{"name": "config", "mountPath": FOLDER, "readOnly": True}],
    }
    hosts = {"key": HOSTNAME_LABEL, "operator": "In", "values": list(nodes)}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [hosts]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": terms}
    pod = {
        "metadata": {
            "labels": labels,
            "annotations": {
                "sidecar.istio.io/inject": "false",
                "linkerd.io/inject": "disabled",
            },
        },
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            **({"affinity": {"nodeAffinity": required}} if nodes else {}),
            **(placement.to_pod_spec() if placement else {}),
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": HOSTNAME_LABEL,
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": selected,
                }
            ],
            "securityContext": dict(RESTRICTED),
            "containers": [container],
            "volumes": [{"name": "config", "configMap": {"name": configmap}}],
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": selected,
            "template": pod,
        },
    }


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a probe's log; instants are of the node's clock, UTC epoch ns."""

    kind: str  # start, publication, gap or unsupported
    read_ns: int  # when the runtime took the line
    seq: int | None = None  # number that appeared (publications only); None: not ours
    published_ns: int | None = None  # lstat mtime of ..data (publications only)
    detail: str = ""  # the rest of the line


def epoch_ns(text: str) -> int:
    """Read an instant with up to nine decimals exactly; ValueError for other texts."""
    match = _UTC.fullmatch(text)
    if match is None:
        return int(pd.Timestamp(text).as_unit("ns").value)
    minute, second, decimals = match.groups()
    fraction_ns = int((decimals or "").ljust(9, "0"))
    return _minute_ns(minute) + int(second) * NS_PER_S + fraction_ns


@lru_cache(maxsize=1024)
def _minute_ns(text: str) -> int:
    """Read an instant to the minute, which lines that follow each other share."""
    return int(pd.Timestamp(text).as_unit("ns").value)


def parse_log(text: str) -> Iterator[Line]:
    """Read a probe's log as the API server gives it, with time stamps.

    Lines of another program, and a torn last line, are passed over.
    """
    for line in text.splitlines():
        match = _STAMPED.fullmatch(line)
        if match is None:
            continue
        stamp, kind, rest = match.groups()
        if kind != "publication":
            yield Line(kind=kind, read_ns=epoch_ns(stamp), detail=rest)
            continue
        published = _PUBLICATION.fullmatch(rest)
        if published is not None:
            content = published[1]
            yield Line(
                kind=kind,
                read_ns=epoch_ns(stamp),
                seq=int(content) if _OURS.fullmatch(content) else None,
                published_ns=epoch_ns(published[2]),
                detail=content,
            )


def gap_bounds(line: Line) -> tuple[int, int]:
    """Return the first and last instant at which the probe did not look, in ns."""
    return line.read_ns - int(line.detail) * NS_PER_S, line.read_ns


NOTICED_NS = 2 * NS_PER_S
"""At most this long passes until a publication is in the log: the probe's pause, the
runtime, and the difference between the clocks of node and collector."""
_HIDDEN = "somebody else's content was published between"


@dataclass(frozen=True, slots=True)
class News:
    """The new lines that a reading of a log brought, in the order of the log.

    A collector that records them in this order may be killed anywhere: its records
    end at one line of the log, and `ProbeLog.restore` goes on after that.
    """

    entries: list[Row | LogEvent] = field(default_factory=list)
    """Rows of publications.jsonl; of an event its instant (node's clock, UTC epoch ns;
    None: now), kind and detail."""

    @property
    def publications(self) -> list[Row]:
        """Only the publications."""
        return [entry for entry in self.entries if isinstance(entry, dict)]

    @property
    def incidents(self) -> list[LogEvent]:
        """Only the events."""
        return [entry for entry in self.entries if isinstance(entry, tuple)]

    def stretches(self) -> Iterator[tuple[list[Row], list[LogEvent]]]:
        """Give publications that follow one another, and the events after them."""
        rows: list[Row] = []
        events: list[LogEvent] = []
        for entry in self.entries:
            if not isinstance(entry, dict):
                events.append(entry)
                continue
            if events:
                yield rows, events
                rows, events = [], []
            rows.append(entry)
        if self.entries:
            yield rows, events


@dataclass(slots=True)
class ProbeLog:
    """A probe pod, and the part of its log that has been read."""

    node: str
    pod: str
    uid: str
    configmap: str  # what it consumes
    last_ns: int | None = None  # stamp of the last line read, node's clock
    last_seq: int = 0  # number last published; numbers only grow
    read_ns: int | None = None  # when it was last read, collector's clock
    supported: bool = True  # whether its volume can be measured
    gone: bool = False  # whether the pod is there no more
    back_ns: int = 0  # by which the node's clock was set back, all in all
    _known: set[tuple[int, str]] = field(default_factory=set)  # read: stamp and key
    _foreign_ns: int | None = None

    @property
    def since_ns(self) -> int | None:
        """Since when lines may be new, by their stamps; None: all are."""
        return None if self.last_ns is None else self.last_ns - self.back_ns

    def take(self, text: str, *, at_ns: int, highest: int) -> News:
        """Read a log, whole or from the last known line's second on; give the news.

        The log was requested at ``at_ns`` (collector's clock, UTC epoch ns); until then
        we may have written numbers up to ``highest``.
        """
        news = News()
        lines = list(parse_log(text))
        known = [
            place
            for place, line in enumerate(lines)
            if (line.read_ns, _key(line)) in self._known
        ]
        if known:
            new = lines[known[-1] + 1 :]
        else:
            new = [
                line
                for line in lines
                if self.last_ns is None or line.read_ns > self.last_ns
            ]
            if all(line.read_ns != self.last_ns for line in lines):
                self._note_loss(new, news)
        for line in new:
            self._read(line, highest, news)
        if lines or self.last_ns is None:
            self.read_ns = at_ns
        return news

    def restore(
        self, rows: Iterable[Mapping[str, Any]], events: Iterable[Mapping[str, Any]]
    ) -> None:
        """Take up an earlier collector's records of this pod, in their order."""
        for row in rows:
            self._remember(row["read_ns"], f"{row['seq']} {row['published_ns']}")
            self.last_seq = max(self.last_seq, row["seq"])
        # which of the two comes later in the log is seen there
        published_ns, published = self.last_ns, self._known
        self._known = set()
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
        self.last_ns = max(filter(None, (published_ns, self.last_ns)), default=None)
        self._known |= published

    def copy(self) -> ProbeLog:
        """Give a copy, for `go_back`."""
        return replace(self, _known={*self._known})

    def go_back(self, before: ProbeLog) -> None:
        """Forget the lines read since a copy was made: they could not be recorded."""
        for one in fields(self):
            setattr(self, one.name, getattr(before, one.name))

    def _remember(self, read_ns: int, key: str) -> None:
        """Know a line as the last one; two may share a stamp."""
        if read_ns != self.last_ns:
            self._known = set()
        self.last_ns = read_ns
        self._known.add((read_ns, key))

    def _note_loss(self, later: list[Line], news: News) -> None:
        """Note the stretch whose lines are lost, up to the first line in the log."""
        if not later or self.last_ns is None:
            return  # nothing was printed since: no line can be lost
        begin = max(self.last_ns, (self.read_ns or 0) - NOTICED_NS)
        end = max(begin, later[0].read_ns)
        detail = {"from_ns": begin, "to_ns": end, "why": "log lines are lost"}
        news.entries.append((end, "gap", detail))

    def _read(self, line: Line, highest: int, news: News) -> None:
        started = self.last_ns is not None and line.kind == "start"
        self._remember(line.read_ns, _key(line))
        if line.published_ns is not None:
            self._publication(line, line.published_ns, highest, news)
        elif line.kind == "gap":
            begin, end = gap_bounds(line)
            detail = {"from_ns": begin, "to_ns": end, "line": _key(line)}
            news.entries.append((end, "gap", detail))
        elif line.kind == "unsupported":
            self.supported = False
            news.entries.append((None, "unsupported", {"why": line.detail}))
        elif started:
            detail = {"why": "the container started again", "line": _key(line)}
            news.entries.append((line.read_ns, "restart", detail))

    def _publication(
        self, line: Line, published_ns: int, highest: int, news: News
    ) -> None:
        """Note a publication: of our number, or foreign, which hides earlier ones."""
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
                "container": CONTAINER,
                "consumer": "volume",
                "configmap": self.configmap,
                "seq": line.seq,
                "published_ns": published_ns,
                "read_ns": line.read_ns,
            }
        )


def _key(line: Line) -> str:
    """Give a key that tells a line from others with the same stamp."""
    if line.seq is not None:
        return f"{line.seq} {line.published_ns}"
    return f"{line.kind} {line.detail}"
