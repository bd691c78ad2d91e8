"""The wrong way to measure, executed: patch, wait until seen, pause, patch again.

Each update then follows a sync by the pause, so the delays show the pause.
For the notebook about this mistake only: `cmhot.collect` measures.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.cluster import nodes, probe
from cmhot.cluster.port import DEPLOYMENT
from cmhot.cluster.workspace import Workspace
from cmhot.collector.circumstances import new_run_id
from cmhot.collector.clock_offsets import ahead_ns
from cmhot.collector.progress import Progress
from cmhot.errors import ClusterError, UsageError
from cmhot.kubelet.uses import CONFIG_MAP
from cmhot.law import longest_interval_s, mean_interval_s
from cmhot.statistics.mistakes import PAUSES, pause_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cmhot.cluster.nodes import Group
    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.settings import Setting


LOOK_EVERY_S = 0.5
"""Between two looks for an update; the pause begins when a look has found it."""
PATIENCE_S = 5.0
"""Beyond the longest delay: then the update is given up, and the loop goes on."""
SLACK_NS = 10 * NS_PER_S
"""How far before the update its pod's log is read: clocks may be apart."""
COLUMNS = ("pod", "node", "pause_s", "age_s", "sent_ns", "acked_ns", "delay_s")


@dataclass(slots=True)
class _Loop:
    """One pod with a ConfigMap of its own, and where its loop is."""

    name: str  # of ConfigMap and Deployment
    pause_s: float  # from seeing an update to the next one
    due_s: float = 0.0  # when it is its turn, on the monotonic clock
    pod: str = ""
    node: str = ""
    offset_ns: int = 0  # clock of the node less the collector's
    seq: int = 0  # number last written
    sent_ns: int = 0
    acked_ns: int | None = None  # of the update that is waited for; None: it is pausing
    until_s: float = 0.0  # when that update is given up
    published_ns: int | None = None  # of the update before, collector's clock
    rows: list[dict[str, Any]] = field(default_factory=list)


def closed_loops(
    cluster: Cluster,
    setting: Setting,
    *,
    pauses: Sequence[float] = PAUSES,
    pods: int = 3,
    trials: int = 12,
    seed: int = 1,
    namespace: str | None = None,
    probe_image: str | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> pd.DataFrame:
    """Run closed loops on the nodes of one setting, and take everything away again.

    All run at once, each with a pod and a ConfigMap of its own, whose names are those
    of no other run; they begin at random instants. It needs the right to patch
    ConfigMaps of any name in its namespace.

    Parameters
    ----------
    cluster
        Where; a model too.
    setting
        Of the nodes.
    pauses
        Of the loops, in `syncFrequency`.
    pods
        Loops with each pause.
    trials
        Of each loop, after the first one, which follows no sync.
    seed
        Of the beginnings.
    namespace
        An existing one; None: one of our own.
    probe_image
        Image of the probes; None: as `cmhot.cluster.nodes.probe_image` has it.
    progress
        Called with the progress after each trial.

    Returns
    -------
    DataFrame
        One row per trial: ``pod``, ``node``, ``pause_s`` (as asked for), ``age_s``
        (from the publication before to the acknowledged update: what the pause really
        was; NaN: there was none), ``sent_ns``, ``acked_ns`` (collector's clock)
        and ``delay_s`` (NaN: not within 1.5 S and some seconds).

    Raises
    ------
    UsageError
        For impossible numbers, or when no node has the setting.
    ClusterError
        When the cluster refuses.
    """
    for name, value in (("pods", pods), ("trials", trials)):
        if value < 1:
            msg = f"{name} = {value} is not possible: a closed loop needs at least one"
            raise UsageError(msg)
    group = _group(cluster, setting)
    sync_s = setting.sync_frequency_s
    run_id = new_run_id(cluster.clock)
    # in a namespace of the user's, two runs at once must not share a name
    prefix = f"{probe.namespace_of(run_id)}-loop"
    loops = [
        _Loop(f"{prefix}-{turn}-{number}", pause_of(share, setting))
        for turn, share in enumerate(pauses)
        for number in range(pods)
    ]
    rig = _Rig(Workspace.of(cluster, run_id, namespace), group, probe_image)
    try:
        rig.create(loops)
        now_s = cluster.clock.monotonic()
        starts = np.random.default_rng(seed).uniform(0, 1.5 * sync_s, len(loops))
        for loop, start in zip(loops, starts.tolist(), strict=True):
            loop.due_s = now_s + start
        _follow(rig, loops, setting, trials + 1, progress)
    finally:
        rig.remove(loops)
    rows = [row for loop in loops for row in loop.rows]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _group(cluster: Cluster, setting: Setting) -> Group:
    """Find the nodes of a setting."""
    groups = nodes.group_by_setting(nodes.observe_settings(cluster))
    for group in groups:
        if group.setting == setting:
            return group
    there = "; ".join(str(group.setting or "unknown setting") for group in groups)
    msg = f"no node of {cluster.target} has the setting {setting}: there is {there}"
    raise UsageError(msg)


def _follow(
    rig: _Rig,
    loops: list[_Loop],
    setting: Setting,
    trials: int,
    progress: Callable[[Progress], None],
) -> None:
    """Give each loop its turns until it has its trials."""
    clock, total = rig.cluster.clock, trials * len(loops)
    patience_s = longest_interval_s(setting) + PATIENCE_S
    last_s = None
    while active := [loop for loop in loops if len(loop.rows) < trials]:
        loop = min(active, key=lambda one: one.due_s)
        clock.sleep(loop.due_s - clock.monotonic())
        known = len(loop.rows)
        if loop.acked_ns is None:
            rig.patch(loop, patience_s)
        else:
            rig.look(loop)
        if len(loop.rows) > known:
            last_s = loop.rows[-1]["delay_s"]
            left = max(trials - len(one.rows) for one in loops)
            remaining_s = left * mean_interval_s(setting)
            done = sum(len(one.rows) for one in loops)
            progress(Progress("updates", done, total, remaining_s, last_s))
    progress(Progress("done", total, total, 0.0, last_s))


@dataclass(frozen=True, slots=True)
class _Rig:
    """Creates each loop's ConfigMap and probe in a workspace, writes, and looks."""

    workspace: Workspace
    group: Group
    image: str | None

    @property
    def cluster(self) -> Cluster:
        return self.workspace.cluster

    @property
    def namespace(self) -> str:
        return self.workspace.namespace

    def create(self, loops: list[_Loop]) -> None:
        """Start a probe for each loop, and find out where it runs."""
        self.workspace.open()
        image, pull_policy = nodes.probe_image(self.cluster, self.image)
        run_id = self.workspace.run_id
        for loop in loops:
            manifests = (
                probe.config_map(loop.name, run_id=run_id),
                probe.deployment(
                    loop.name,
                    run_id=run_id,
                    group=loop.name,
                    configmap=loop.name,
                    nodes=self.group.nodes,
                    replicas=1,
                    image=image,
                    pull_policy=pull_policy,
                ),
            )
            for manifest in manifests:
                self.cluster.apply(manifest, namespace=self.namespace)
        ready = self.workspace.await_ready(len(loops))
        pods = {pod["metadata"]["labels"][probe.GROUP_LABEL]: pod for pod in ready}
        offsets: dict[str, int] = {}
        for loop in loops:
            pod = pods[loop.name]
            loop.pod, loop.node = pod["metadata"]["name"], pod["spec"]["nodeName"]
            if loop.node not in offsets:
                offsets[loop.node] = self._offset_ns(loop.pod)
            loop.offset_ns = offsets[loop.node]

    def _offset_ns(self, pod: str) -> int:
        """Ask a node for its time; where that is not allowed, take it to be ours."""
        try:
            return ahead_ns(self.cluster, pod, namespace=self.namespace)[0]
        except ClusterError:
            return 0

    def patch(self, loop: _Loop, patience_s: float) -> None:
        """Write the next number."""
        clock = self.cluster.clock
        loop.seq += 1
        loop.sent_ns = clock.utc_ns()
        body = {"data": {"seq": str(loop.seq)}}
        self.cluster.patch(CONFIG_MAP, loop.name, body, namespace=self.namespace)
        loop.acked_ns = clock.utc_ns()
        loop.due_s = clock.monotonic() + LOOK_EVERY_S
        loop.until_s = clock.monotonic() + patience_s

    def look(self, loop: _Loop) -> None:
        """Look for the number in the log; if it is there, note the trial and pause."""
        assert loop.acked_ns is not None, "only who waits looks"  # noqa: S101
        clock = self.cluster.clock
        text = self.cluster.log(
            loop.pod,
            namespace=self.namespace,
            container=probe.CONTAINER,
            since_ns=loop.acked_ns + loop.offset_ns - SLACK_NS,
        )
        found = [
            line.published_ns - loop.offset_ns
            for line in probe.parse_log(text)
            if line.published_ns is not None and (line.seq or 0) >= loop.seq
        ]
        if not found and clock.monotonic() < loop.until_s:
            loop.due_s = clock.monotonic() + LOOK_EVERY_S
            return
        before, now = loop.published_ns, min(found, default=None)
        nan = float("nan")
        loop.rows.append(
            {
                "pod": loop.pod,
                "node": loop.node,
                "pause_s": loop.pause_s,
                "age_s": nan if before is None else (loop.acked_ns - before) / NS_PER_S,
                "sent_ns": loop.sent_ns,
                "acked_ns": loop.acked_ns,
                "delay_s": nan if now is None else (now - loop.acked_ns) / NS_PER_S,
            }
        )
        loop.published_ns, loop.acked_ns = now, None
        loop.due_s = clock.monotonic() + loop.pause_s

    def remove(self, loops: list[_Loop]) -> None:
        """Delete the loops' objects; `cmhot clean` finds any that could not be."""
        kinds = (DEPLOYMENT, CONFIG_MAP)
        # their names are those of no other run
        self.workspace.remove((kind, one.name, None) for one in loops for kind in kinds)
