"""Collect many trials on a cluster into a run directory.

A collection is an agenda: every annotation, update and look is put on it
before the first one is done, at an instant that no outcome can change (open loop).
The collector then does one after the other,
on whatever clock the cluster has: a real one, or the model's.
"""

from __future__ import annotations

import itertools
import platform
import secrets
from collections import deque
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot import clock as clocks
from cmhot import probe
from cmhot._version import __version__
from cmhot.clock import NS_PER_S
from cmhot.cluster import CONFIG_MAP, DEPLOYMENT, MANAGED_BY, NAMESPACE, POD
from cmhot.costs import LOOK_EVERY_S, burn_in_s, drain_s
from cmhot.delays import delays
from cmhot.errors import ClusterError
from cmhot.law import law_for
from cmhot.nodes import group_by_setting, observe_settings, probe_image
from cmhot.plan import DEFAULT_SYNC_S, update_offsets_ns
from cmhot.pods import await_ready
from cmhot.reader import ProbeLog
from cmhot.rundir import RunWriter, read_run
from cmhot.settings import Setting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cmhot.cluster import Cluster, Kind

    Write = Callable[[int], None]
    from cmhot.plan import Plan

CONFIG_MAP_NAME = "cmhot-probe"
HEAD_START_S = 2.0
"""From the last pod Ready to the first annotation: its start-up syncs are over."""
FORCED_WITHIN_S = 1.0
"""An annotated pod publishes this soon: 0.1 s measured, and a relist at the most."""
LOOK_SLACK_S = 0.1
"""A look is put off when the next update is due sooner than this."""
LATE_S = 0.25
"""Updates sent later than this after their planned instant are told as events."""
PACKAGES = ("kubernetes", "numpy", "pandas", "scipy", "papermill", "matplotlib")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a collection is.

    Attributes
    ----------
    phase
        ``pods``, ``phases``, ``updates``, ``drain`` or ``done``.
    done, total
        Trials sent, of all planned.
    remaining_s
        Seconds until the last look.
    last_delay_s
        The newest delay seen so far; None before the first.
    """

    phase: str
    done: int
    total: int
    remaining_s: float
    last_delay_s: float | None


def new_run_id(clock: clocks.Clock) -> str:
    """Make a name for a run: when it began, and a tail that keeps two apart."""
    seconds = clock.utc_ns() // NS_PER_S
    stamp = np.datetime64(int(seconds), "s").astype(str)
    return f"{stamp.replace('-', '').replace(':', '').lower()}-{secrets.token_hex(2)}"


def utc_text(at_ns: int) -> str:
    """Write an instant as ISO 8601 in UTC, to the millisecond."""
    return f"{np.datetime64(at_ns // 1_000_000, 'ms')}Z"


def collect(
    cluster: Cluster,
    plan: Plan,
    *,
    out: Path,
    run_id: str | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Path:
    """Measure, and leave a run directory.

    Parameters
    ----------
    cluster
        Where; nothing of it is changed but what is labelled as ours.
    plan
        What.
    out
        Folder of runs.
    run_id
        Name of the run; None: a new one from the clock.
    progress
        Called often with how far it is.

    Returns
    -------
    Path
        The run directory; complete, or interrupted with what there is.

    Raises
    ------
    UsageError
        When `out` cannot be written, or the namespace does not exist.
    ClusterError
        When the cluster refuses; what was created is removed again.
    KeyboardInterrupt
        After an interruption, with the run directory closed properly.
    """
    return _Collector(cluster, plan, out, run_id, progress).run()


class _Collector:
    def __init__(
        self,
        cluster: Cluster,
        plan: Plan,
        out: Path,
        run_id: str | None,
        progress: Callable[[Progress], None],
    ) -> None:
        self.cluster, self.plan, self.clock = cluster, plan, cluster.clock
        self.progress = progress
        self.observed = observe_settings(cluster)
        self.groups = group_by_setting(self.observed)
        self.settings = [
            group.setting or Setting(DEFAULT_SYNC_S) for group in self.groups
        ]
        self.run_id = run_id or new_run_id(self.clock)
        self.namespace = plan.namespace or f"cmhot-{self.run_id.replace('t', '-')}"
        self.rng = np.random.default_rng(plan.seed)
        self.seq = 0
        self.done = self.total = 0
        self.acked: dict[int, int] = {}
        self.last_delay_s: float | None = None
        self.probes: list[ProbeLog] = []
        self.writes: deque[tuple[int, Write]] = deque()
        self.looks: deque[tuple[int, ProbeLog]] = deque()
        self.end_ns = 0
        self.forced: list[tuple[ProbeLog, int, int]] = []
        self.meta = self._first_meta()
        if plan.namespace is not None:
            cluster.get(NAMESPACE, plan.namespace)
        self.writer = RunWriter.create(out, meta=self.meta)

    def _first_meta(self) -> dict[str, Any]:
        return {
            "format": 1,
            "run_id": self.run_id,
            "target": self.cluster.target,
            "modelled": self.cluster.modelled,
            "plan": self.plan.to_dict(),
            "seed": self.plan.seed,
            "started_utc": utc_text(self.clock.utc_ns()),
            "ended_utc": None,
            "status": "running",
            "kubernetes": self.cluster.version(),
            "kubelets": {node.name: node.kubelet for node in self.observed},
            "settings": {node.name: node.to_dict() for node in self.observed},
            "clock": clocks.describe(self.clock),
            "packages": {
                "cmhot": __version__,
                **{name: metadata.version(name) for name in PACKAGES},
            },
            "host": {
                "system": platform.system(),
                "release": platform.release(),
                "machine": platform.machine(),
                "python": platform.python_version(),
            },
            "sources": self.cluster.sources(),
            "checks": {},
        }

    def run(self) -> Path:
        try:
            self._create()
        except BaseException:
            # nothing was measured: what could be created goes, and so does the run
            self._clean_up()
            self.writer.discard()
            raise
        status = "interrupted"
        try:
            self._await_probes()
            self._make_agenda()
            self._follow_agenda()
            status = "complete"
        finally:
            try:
                if self.probes:
                    self._look_at_all()
            finally:
                self._close(status)
                self._clean_up()
        self._tell("done", 0.0)
        return self.writer.path

    def _create(self) -> None:
        if self.plan.namespace is None:
            self.cluster.apply(
                {
                    "apiVersion": "v1",
                    "kind": "Namespace",
                    "metadata": {
                        "name": self.namespace,
                        "labels": {**MANAGED_BY, probe.RUN_LABEL: self.run_id},
                    },
                }
            )
        image, pull_policy = probe_image(self.cluster, self.plan.probe_image)
        self.cluster.apply(
            probe.config_map(CONFIG_MAP_NAME, run_id=self.run_id),
            namespace=self.namespace,
        )
        for group in self.groups:
            self.cluster.apply(
                probe.deployment(
                    f"cmhot-{group.name}",
                    run_id=self.run_id,
                    group=group.name,
                    configmap=CONFIG_MAP_NAME,
                    nodes=group.nodes,
                    replicas=self.plan.pods,
                    image=image,
                    pull_policy=pull_policy,
                ),
                namespace=self.namespace,
            )

    def _await_probes(self) -> None:
        groups = {group.name: group for group in self.groups}
        ready = await_ready(
            self.cluster,
            self.plan.pods * len(self.groups),
            namespace=self.namespace,
            labels={probe.RUN_LABEL: self.run_id},
            tell=partial(self._tell, "pods"),
        )
        self.probes = [
            ProbeLog(
                node=pod["spec"]["nodeName"],
                pod=pod["metadata"]["name"],
                uid=pod["metadata"]["uid"],
                configmap=CONFIG_MAP_NAME,
                group=groups[pod["metadata"]["labels"][probe.GROUP_LABEL]],
            )
            for pod in ready
        ]
        self.meta["pods"] = [
            {
                "node": one.node,
                "pod": one.pod,
                "uid": one.uid,
                "container": probe.CONTAINER,
                "consumer": "volume",
                "configmap": CONFIG_MAP_NAME,
            }
            for one in self.probes
        ]
        self.writer.write_run(self.meta)

    def _make_agenda(self) -> None:
        """Put all writes and looks on the agenda, with their instants."""
        begin = self.clock.utc_ns() + round(HEAD_START_S * NS_PER_S)
        writes: list[tuple[int, Write]] = []
        for one in self.probes:
            law = law_for(one.group.setting) if one.group.setting else None
            if law is not None:
                (wait_s,) = law.equilibrium(self.rng, 1)
                at = begin + round(float(wait_s) * NS_PER_S)
                writes.append((at, partial(self._scramble, one)))
        first = begin + round(burn_in_s(self.settings) * NS_PER_S)
        offsets = update_offsets_ns(
            self.rng,
            duration_s=self.plan.duration_s,
            gap_s=self.plan.mean_gap_s(self.settings),
        )
        self.total = len(offsets)
        writes += [(first + offset, self._trial) for offset in offsets]
        self.writes = deque(sorted(writes, key=itemgetter(0)))
        until = first + round(self.plan.duration_s * NS_PER_S)
        self.end_ns = until + round(drain_s(self.settings) * NS_PER_S)
        # Every probe in turn; the first round is later, when there is something to see.
        spacing = LOOK_EVERY_S * NS_PER_S / len(self.probes)
        looks = np.arange(begin + LOOK_EVERY_S * NS_PER_S, self.end_ns, spacing)
        turn = itertools.cycle(self.probes)
        self.looks = deque((int(at), next(turn)) for at in looks)
        self.meta |= {
            "measure_from_ns": first,
            "measure_until_ns": until,
            "observed_until_ns": self.end_ns,
            "planned_updates": len(offsets),
        }
        self.writer.write_run(self.meta)

    def _follow_agenda(self) -> None:
        """Do the writes at their instants, and looks where they delay no write."""
        while self.writes:
            at, write = self.writes[0]
            self._look_until(at)
            self._sleep_until(at)
            self.writes.popleft()
            write(at)
        self._look_until(self.end_ns)
        self._sleep_until(self.end_ns)

    def _look_until(self, write_ns: int) -> None:
        slack = round(LOOK_SLACK_S * NS_PER_S)
        while self.looks:
            at, one = self.looks[0]
            if max(at, self.clock.utc_ns()) + slack > write_ns:
                return
            self._sleep_until(at)
            self.looks.popleft()
            self._look(one)

    def _sleep_until(self, at_ns: int) -> None:
        self.clock.sleep((at_ns - self.clock.utc_ns()) / NS_PER_S)

    def _trial(self, planned_ns: int) -> None:
        self.done += 1
        self._update(planned_ns, purpose="trial")
        phase = "updates" if self.done < self.total else "drain"
        self._tell(phase, (self.end_ns - self.clock.utc_ns()) / NS_PER_S)

    def _scramble(self, one: ProbeLog, planned_ns: int) -> None:
        """Sync one pod now, so that its phase is as of a random instant.

        The annotation makes the kubelet sync the pod;
        a new number, written before, makes the sync visible in the log.
        """
        seq = self._update(planned_ns, purpose="scramble")
        if seq is None:
            return
        self.cluster.patch(
            POD,
            one.pod,
            {"metadata": {"annotations": {probe.SCRAMBLE_ANNOTATION: str(seq)}}},
            namespace=self.namespace,
        )
        now = self.clock.utc_ns()
        self.forced.append((one, seq, now))
        self._tell("phases", (self.end_ns - now) / NS_PER_S)

    def _update(self, planned_ns: int, *, purpose: str) -> int | None:
        """Write the next number; a write that fails is a row, not an end."""
        self.seq += 1
        row: dict[str, Any] = {
            "seq": self.seq,
            "configmap": CONFIG_MAP_NAME,
            "planned_ns": planned_ns,
            "purpose": purpose,
            "status": "acked",
            "error": None,
            "resource_version": None,
            "acked_ns": None,
        }
        row["sent_ns"] = self.clock.utc_ns()
        try:
            stored = self.cluster.patch(
                CONFIG_MAP,
                CONFIG_MAP_NAME,
                {"data": {"seq": str(self.seq)}},
                namespace=self.namespace,
            )
            row["acked_ns"] = self.clock.utc_ns()
            row["resource_version"] = stored["metadata"]["resourceVersion"]
            self.acked[self.seq] = row["acked_ns"]
        except ClusterError as error:
            row |= {"status": "failed", "error": str(error)}
        self.writer.append_update(row)
        late_s = (row["sent_ns"] - planned_ns) / NS_PER_S
        if late_s > LATE_S:
            self._event("late", CONFIG_MAP_NAME, {"seq": self.seq, "late_s": late_s})
        return None if row["acked_ns"] is None else self.seq

    def _event(self, kind: str, name: str, detail: dict[str, Any]) -> None:
        self.writer.append_event(
            {
                "at_ns": self.clock.utc_ns(),
                "kind": kind,
                "object": name,
                "detail": detail,
            }
        )

    def _look(self, one: ProbeLog, *, whole: bool = False) -> None:
        """Read a probe's log and append what is new to the record."""
        try:
            text = self.cluster.log(
                one.pod,
                namespace=self.namespace,
                container=probe.CONTAINER,
                since_ns=None if whole else one.last_ns,
            )
        except ClusterError as error:
            self._event("log_unread", one.pod, {"error": str(error)})
            return
        news = one.take(text)
        for kind, detail in news.incidents:
            self._event(kind, one.pod, detail)
        self.writer.append_publications(news.publications)
        for row in news.publications:
            acked = self.acked.get(row["seq"])
            if acked is not None:
                self.last_delay_s = (row["published_ns"] - acked) / NS_PER_S

    def _look_at_all(self) -> None:
        """Read every log from its start: the container log is the record."""
        for one in self.probes:
            self._look(one, whole=True)

    def _close(self, status: str) -> None:
        now = self.clock.utc_ns()
        self.meta["status"] = status
        self.meta["ended_utc"] = utc_text(now)
        if "observed_until_ns" in self.meta:
            self.meta["observed_until_ns"] = min(self.meta["observed_until_ns"], now)
        self.meta["checks"] = self._checks()
        self.writer.write_run(self.meta)
        if self.total:
            self.writer.write_delays(delays(read_run(self.writer.path)))

    def _checks(self) -> dict[str, Any]:
        """Say what a reader should know before believing the run."""
        forced_late = 0
        for one, seq, at_ns in self.forced:
            deadline = at_ns + round(FORCED_WITHIN_S * NS_PER_S)
            if not any(at_ns - NS_PER_S < seen <= deadline for seen in one.published):
                forced_late += 1
                self._event("scramble_failed", one.pod, {"seq": seq})
        return {
            "phases_scrambled": len(self.forced),
            "phases_not_scrambled": forced_late,
            "pods_unsupported": sum(not one.supported for one in self.probes),
            "trials_planned": self.total,
            "trials_sent": self.done,
        }

    def _clean_up(self) -> None:
        """Delete what was created; what cannot be is told, and changes no outcome."""
        ours: list[tuple[Kind, str, str | None]]
        if self.plan.namespace is None:
            ours = [(NAMESPACE, self.namespace, None)]
        else:
            ours = [
                (DEPLOYMENT, f"cmhot-{group.name}", self.namespace)
                for group in self.groups
            ]
            ours.append((CONFIG_MAP, CONFIG_MAP_NAME, self.namespace))
        for kind, name, namespace in ours:
            try:
                self.cluster.delete(kind, name, namespace=namespace)
            except ClusterError as error:
                self._event("not_removed", name, {"error": str(error)})

    def _tell(self, phase: str, remaining_s: float) -> None:
        self.progress(
            Progress(phase, self.done, self.total, remaining_s, self.last_delay_s)
        )
