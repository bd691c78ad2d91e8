"""The observations between the writes: the probes' logs, pods, nodes and clocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.clock import NS_PER_S, has_one_clock, ns
from cmhot.cluster import probe
from cmhot.cluster.port import NODE, POD
from cmhot.collector import incidents
from cmhot.collector.clock_offsets import TRIES, Offsets, ask
from cmhot.collector.incidents import Incident
from cmhot.errors import ClusterError, ForbiddenError
from cmhot.runs.rundir import CLOCK_STEP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmhot.clock import SteadyClock
    from cmhot.cluster.probe import News, ProbeLog
    from cmhot.collector.probes import Setup
    from cmhot.collector.schedule import PeriodicTasks, Schedule
    from cmhot.collector.writer import Updater
    from cmhot.runs.rundir import RunWriter


READ_TAKES_S, LIST_TAKES_S, EXEC_TAKES_S = 0.1, 0.1, 0.25
"""Periodic tasks are put off when the next update is due sooner than this."""
ASK_TAKES_S = 1.0
"""Time for a command in a pod on a busy node."""
LIST_EVERY_S, LIST_PER_ITEM_S = 45.0, 0.1
"""Pods and nodes are listed this often, and less often where the list is long."""
CLOCK_EVERY_S = 300.0
"""Seconds until each node's clock is read again."""
EARLY_READS_S = 5.0
"""Between two of the first log reads, which begin with the measuring window."""
LAST_READS_S = 15.0
"""In this time before the end no log is read: at the end all are."""
RETRY_FOR_S, RETRY_PAUSE_S = 15.0, 3.0
"""How long, and how often, to retry a log that cannot be read at the end: an API server
that is restarted just then comes back."""
SLOW_S, SILENCE = 2.0, 20.0
"""A node that did not answer within this time is left alone for so many times as long:
no write is sent while the collector waits."""


@dataclass(frozen=True, slots=True)
class Record:
    """A run directory being written, and the clock of the run."""

    writer: RunWriter
    clock: SteadyClock

    def event(self, kind: str, name: str, detail: dict[str, Any]) -> None:
        """Record an incident that happens now."""
        self.add(Incident(self.clock.utc_ns(), kind, name, detail))

    def add(self, incident: Incident) -> None:
        """Record an incident."""
        self.writer.append_event(incident.row())


class Monitor:
    """Reads the probes' logs in turn, lists pods and nodes, and bounds their clocks."""

    def __init__(
        self,
        *,
        setup: Setup,
        schedule: Schedule,
        probes: Sequence[ProbeLog],
        record: Record,
        updater: Updater,
    ) -> None:
        self.setup, self.schedule = setup, schedule
        self.cluster, self.namespace = setup.cluster, setup.namespace
        self.probes, self.record, self.updater = list(probes), record, updater
        self.clock = record.clock
        # its stamps are the nodes'
        self.has_one_clock = has_one_clock(setup.cluster.target)
        self.offsets = Offsets(record.clock)
        self._unread = {one.pod: one for one in self.probes}
        self.last_delay_s: float | None = None
        self._turn = self._clock_turn = self._regular_ns = 0
        self._silent_until: dict[str, float] = {}
        self._node_states: dict[str, str] | None = None
        self._may_list_nodes = self._may_exec = True
        self._nodes_due_s = 0.0
        self._replacements: set[str] = set()

    def plan(self, tasks: PeriodicTasks) -> None:
        """Add the periodic tasks: logs in turn, pods and nodes, clocks."""
        now, count = self.clock.utc_ns(), len(self.probes)
        self._check_nodes()
        every_s = probe.read_every_s(count)
        self._regular_ns = now + ns(every_s)
        tasks.add(
            self._read_early,
            first_ns=min(self._regular_ns, self.schedule.measure_from_ns),
            every_s=max(EARLY_READS_S, every_s / count),
            takes_s=READ_TAKES_S,
        )
        tasks.add(
            self._read_next_log,
            first_ns=self._regular_ns,
            every_s=every_s / count,
            takes_s=READ_TAKES_S,
        )
        every_s = max(LIST_EVERY_S, LIST_PER_ITEM_S * count)
        tasks.add(
            self._check_pods,
            first_ns=now + ns(every_s),
            every_s=every_s,
            takes_s=LIST_TAKES_S,
        )
        nodes = len({one.node for one in self.probes})
        left_s = max(0.0, (self.schedule.end_ns - now) / NS_PER_S)
        tasks.add(
            self._read_next_clock,
            first_ns=now + ns(min(CLOCK_EVERY_S, left_s / 2)),
            every_s=max(CLOCK_EVERY_S, left_s / 2) / nodes,
            takes_s=EXEC_TAKES_S,
        )

    def _read_early(self) -> None:
        """Read some logs before the first round is due, should the end come soon."""
        if self.clock.utc_ns() < self._regular_ns:
            self._read_next_log()

    def _read_next_log(self) -> None:
        one = self.probes[self._turn % len(self.probes)]
        self._turn += 1
        self.note_steps()
        left_s = (self.schedule.end_ns - self.clock.utc_ns()) / NS_PER_S
        if left_s > LAST_READS_S and not (one.gone or self._is_silent(one.node)):
            self._read_log(one)

    def _read_log(self, one: ProbeLog) -> bool:
        """Record the new lines of a probe's log; return whether it was read."""
        self.note_steps()  # lines after a step back have earlier stamps
        at_ns, began = self.clock.utc_ns(), self.clock.monotonic()
        try:
            text = self.cluster.log(
                one.pod,
                namespace=self.namespace,
                container=probe.CONTAINER,
                since_ns=one.since_ns,
            )
        except ClusterError as error:
            self.record.event("log_unread", f"pod/{one.pod}", {"error": str(error)})
            self._leave_alone_if_slow(one.node, began)
            return False
        before = one.copy()
        try:
            news = one.take(text, at_ns=at_ns, highest=self.updater.last_seq)
            self._write_down(one, news, at_ns)
        except BaseException:  # an interrupt: the next read has to find it new again
            one.go_back(before)
            raise
        if news.publications:
            written = news.publications[-1]["read_ns"]
            now = self.clock.utc_ns()
            self.offsets.read(one.node, written_ns=written, now_ns=now)
        for row in news.publications:
            sent = self.updater.sent.get(row["seq"])
            published = row["published_ns"]
            if sent is not None:
                self.offsets.saw(one.node, published_ns=published, sent_ns=sent)
                ahead_ns = self.clock.ahead_ns if self.has_one_clock else 0
                self.last_delay_s = (published - ahead_ns - sent) / NS_PER_S
        return True

    def _write_down(self, one: ProbeLog, news: News, at_ns: int) -> None:
        """Append a log's news, in their order."""
        name = f"pod/{one.pod}"
        for rows, events in news.stretches():
            self.record.writer.append_publications(rows)
            for when, kind, detail in events:
                self.record.add(Incident(when or at_ns, kind, name, detail))

    @property
    def unread(self) -> list[ProbeLog]:
        """The living probes whose logs were not read to their ends.

        Before `read_all_logs` these are all probes.
        """
        return [one for one in self._unread.values() if not one.gone]

    def read_all_logs(self, *, patient: bool) -> None:
        """Read all logs to their ends.

        If `patient`, logs that cannot be read are tried again for `RETRY_FOR_S`; then
        they are lost.
        """
        self._unread = {one.pod: one for one in self.probes}
        self._read_unread()
        # of thousands of logs the first round alone takes longer than this
        until = self.clock.monotonic() + (RETRY_FOR_S if patient else 0)
        while self.unread and self.clock.monotonic() < until:
            self.clock.sleep(RETRY_PAUSE_S)
            self._read_unread()
        self._check_pods()
        if patient:
            for one in self.unread:
                self._lose(one, "its log could not be read at the end")

    def _read_unread(self) -> None:
        """Read logs; a node that does not answer is asked only as often as needed."""
        self._silent_until.clear()
        for one in self.unread:
            if not self._is_silent(one.node) and self._read_log(one):
                del self._unread[one.pod]

    def _leave_alone_if_slow(self, node: str, began_s: float) -> None:
        took_s = self.clock.monotonic() - began_s
        if took_s > SLOW_S:
            self._silent_until[node] = self.clock.monotonic() + SILENCE * took_s

    def _is_silent(self, node: str) -> bool:
        return self.clock.monotonic() < self._silent_until.get(node, 0.0)

    def _check_pods(self) -> None:
        """List pods and nodes, and record those that are gone."""
        try:
            listed, _ = self.cluster.list(
                POD, namespace=self.namespace, labels=self.setup.labels
            )
        except ClusterError as error:
            self.record.event("pods_unlisted", self.namespace, {"error": str(error)})
        else:
            for one, why in incidents.gone_probes(self.probes, listed):
                if not self._is_silent(one.node):
                    self._read_log(one)
                self._lose(one, why)
            for name in incidents.replacements(self.probes, listed):
                if name not in self._replacements:
                    self._replacements.add(name)
                    detail = {"why": "it took another's place: not measured"}
                    self.record.event("left_out", f"pod/{name}", detail)
        self._check_nodes()

    def _lose(self, one: ProbeLog, why: str) -> None:
        since_ns = self.schedule.begin_ns
        for incident in incidents.lost_probe(one, why, since_ns=since_ns):
            self.record.add(incident)
        one.gone = True

    def _check_nodes(self) -> None:
        now_s = self.clock.monotonic()
        if not self._may_list_nodes or now_s < self._nodes_due_s:
            return
        try:
            nodes, _ = self.cluster.list(NODE)
        except ForbiddenError:
            self._may_list_nodes = False
            return
        except ClusterError:
            return
        self._nodes_due_s = now_s + LIST_PER_ITEM_S * len(nodes)
        ours = {one.node for one in self.probes}
        now = incidents.node_states(
            node for node in nodes if node["metadata"]["name"] in ours
        )
        if self._node_states is not None:
            at_ns = self.clock.utc_ns()
            for incident in incidents.node_changes(self._node_states, now, at_ns=at_ns):
                self.record.add(incident)
        self._node_states = now

    def ask_clocks(self, *, until_ns: int | None = None) -> None:
        """Bound the offset of each node's clock by asking for stamps.

        If a write is due at `until_ns`, nodes for which no time is left are asked
        later.
        """
        for one in self._one_of_each_node():
            if until_ns is None:
                self._ask_clock(one, tries=TRIES)
            elif self.clock.utc_ns() + ASK_TAKES_S * NS_PER_S < until_ns:
                self._ask_clock(one, tries=1)

    def _read_next_clock(self) -> None:
        """Ask one node for its time, and record its clock's offset."""
        probes = self._one_of_each_node()
        if probes:
            self._clock_turn += 1
            one = probes[self._clock_turn % len(probes)]
            self._ask_clock(one, tries=1)
            self._write_clock(one.node)

    def _one_of_each_node(self) -> list[ProbeLog]:
        return list(
            {
                one.node: one
                for one in self.probes
                if not one.gone and not self._is_silent(one.node)
            }.values()
        )

    def _ask_clock(self, one: ProbeLog, *, tries: int) -> None:
        if self.cluster.modelled or self.has_one_clock or not self._may_exec:
            return
        began = self.clock.monotonic()
        try:
            asked = ask(
                self.cluster,
                self.clock,
                one.pod,
                namespace=self.namespace,
                tries=tries,
            )
        except ClusterError as error:
            self.record.event("clock_unread", f"node/{one.node}", {"error": str(error)})
            if isinstance(error, ForbiddenError):
                self._may_exec = False
            else:
                self._leave_alone_if_slow(one.node, began)
        else:
            self.offsets.narrow(one.node, asked)

    def _write_clock(self, node: str) -> None:
        """Record the bounds of a node's clock found since the last record."""
        row = None if self.cluster.modelled else self.offsets.take(node)
        if row is not None:  # the model has but one clock
            self.record.writer.append_clock(row)

    def write_clocks(self) -> None:
        """Record the bounds of all clocks."""
        for node in sorted({one.node for one in self.probes}):
            self._write_clock(node)

    def note_steps(self) -> None:
        """Record that the collector's clock was set; the run does not follow it."""
        for step in self.clock.take_steps():
            detail = {"by_s": step.by_ns / NS_PER_S, "after_ns": step.after_ns}
            self.record.add(Incident(step.at_ns, CLOCK_STEP, "collector", detail))
            if self.has_one_clock:
                for one in self.probes:
                    one.back_ns += max(0, -step.by_ns)
