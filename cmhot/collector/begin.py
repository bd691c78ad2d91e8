"""Begin a collection, or go on with one whose collector died."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot import __version__
from cmhot.clock import SteadyClock, boot_id, ns
from cmhot.cluster import probe
from cmhot.cluster.nodes import (
    Group,
    caveats,
    conflict_warning,
    group_by_setting,
    name_by_pods,
    observe_settings,
    setting_conflicts,
)
from cmhot.cluster.port import NAMESPACE, POD
from cmhot.cluster.probe import ProbeLog
from cmhot.cluster.workspace import run_of
from cmhot.collector.circumstances import (
    circumstances,
    differences,
    first_meta,
    new_run_id,
    utc_text,
)
from cmhot.collector.loop import Collection
from cmhot.collector.probes import CONFIG_MAP_NAME, Setup
from cmhot.collector.progress import Progress
from cmhot.collector.schedule import schedule_of
from cmhot.collector.writer import not_sent
from cmhot.errors import ClusterError, RunError, UsageError
from cmhot.kubelet.uses import CONFIG_MAP
from cmhot.runs import schema
from cmhot.runs.delays import NodeClock
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import (
    OwnClock,
    RunWriter,
    read_by_node,
    read_meta,
    read_outline,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cmhot.cluster.nodes import ObservedNode
    from cmhot.cluster.port import Cluster
    from cmhot.collector.schedule import Schedule
    from cmhot.runs.rundir import Run


def collect(
    cluster: Cluster,
    plan: Plan,
    *,
    out: Path,
    run_id: str | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> Path:
    """Measure, and leave a run directory.

    Parameters
    ----------
    cluster
        Where; only objects labelled as ours are changed.
    plan
        What to collect.
    out
        Folder of runs.
    run_id
        Name of the run; None: a new one from the clock.
    progress
        Called often with the progress.
    tell
        Called with a sentence when a circumstance differs from the request.

    Returns
    -------
    Path
        The run directory; its ``status`` is ``complete``,
        or ``invalid`` when one of its ``checks`` failed.

    Raises
    ------
    UsageError
        When `out` cannot be written, or another run is in the namespace.
    ClusterError
        When the cluster refuses. Before the first trial the created objects are removed
        again; later the run directory has the records so far,
        and the message says whether `resume` can go on with it.
    RunError
        When the disk is full; the run can be resumed.
    KeyboardInterrupt
        After an interruption, with the run directory closed properly.
    """
    observed = observe_settings(
        cluster,
        given=plan.given_setting,
        placement=plan.placement,
        labels=plan.node_labels,
    )
    for caveat in caveats(observed):
        tell(caveat)
    groups = group_by_setting(observed)
    setup = Setup(cluster, plan, run_id or new_run_id(cluster.clock), groups)
    meta = first_meta(cluster, plan, observed, run_id=setup.run_id)
    setup.check()
    with RunWriter.create(out, meta=meta) as writer:
        against = setting_conflicts(observed, plan.given_setting)
        for said in against:
            writer.append_event(said.row(at_ns=cluster.clock.utc_ns()))
        if against:
            tell(conflict_warning(against))
        _create_probes(setup, observed, meta, writer, progress).run()
    return writer.path


def _create_probes(
    setup: Setup,
    observed: Sequence[ObservedNode],
    meta: dict[str, Any],
    writer: RunWriter,
    progress: Callable[[Progress], None],
) -> Collection:
    """Create the probes; should that fail, remove all of the run from the cluster."""
    try:
        setup.create()
    except BaseException:
        # nothing was measured: the created objects are removed, and so is the run
        setup.remove()
        writer.discard()
        raise
    try:
        return _await_probes(setup, observed, meta, writer, progress)
    except BaseException:
        meta |= {
            "status": "interrupted",
            "ended_utc": utc_text(setup.cluster.clock.utc_ns()),
        }
        setup.remove()
        writer.write_run(meta)
        raise


def _await_probes(
    setup: Setup,
    observed: Sequence[ObservedNode],
    meta: dict[str, Any],
    writer: RunWriter,
    progress: Callable[[Progress], None],
) -> Collection:
    """Wait until the probes are Ready, and fix the schedule in run.json."""
    ready = setup.await_pods(
        lambda remaining_s: progress(Progress("pods", 0, 0, remaining_s, None))
    )
    meta |= circumstances(setup.cluster, name_by_pods(list(observed), ready))
    meta["pods"] = [_pod_entry(pod) for pod in ready]
    meta["namespace_uid"] = setup.workspace.uid
    clock = SteadyClock(setup.cluster.clock)
    if not setup.cluster.modelled:
        meta["steady_clock"] = {"boot": boot_id(), "origin": clock.origin}
    meta["begin_ns"] = clock.utc_ns() + ns(probe.HEAD_START_S)
    schedule = schedule_of(meta)
    meta |= {
        "measure_from_ns": schedule.measure_from_ns,
        "measure_until_ns": schedule.measure_until_ns,
        "ends_ns": schedule.end_ns,
        "planned_updates": schedule.trials,
        "agenda": schedule.digest,
    }
    writer.write_run(meta)
    return Collection(
        setup=setup,
        clock=clock,
        meta=meta,
        schedule=schedule,
        probes=_probe_logs(meta),
        writer=writer,
        progress=progress,
    )


def _pod_entry(pod: Mapping[str, Any]) -> dict[str, Any]:
    """Give a pod's entry in run.json."""
    return {
        "node": pod["spec"]["nodeName"],
        "pod": pod["metadata"]["name"],
        "uid": pod["metadata"]["uid"],
        "container": probe.CONTAINER,
        "consumer": "volume",
        "configmap": CONFIG_MAP_NAME,
    }


def _probe_logs(meta: Mapping[str, Any]) -> list[ProbeLog]:
    """Give the logs of a run's pods, of which nothing is read yet."""
    names = ("node", "pod", "uid", "configmap")
    return [ProbeLog(**{name: pod[name] for name in names}) for pod in meta["pods"]]


def resume(
    cluster: Cluster,
    run_dir: Path,
    *,
    plan: Plan | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Path:
    """Go on with a run that was killed or could not go on: the same schedule, from now.

    The probes and their logs outlive the collector: writes that were due meanwhile were
    not sent, publications of that time are read. `plan` is the user's plan now, which
    must be that of the run (None: that).

    Raises `RunError` when there is nothing to resume or its collector lives,
    `UsageError` when cluster, plan or versions are not those of the run or another run
    has taken its place in the namespace, and what `collect` raises.
    """
    # first of all: then no other process can change the files read below
    with RunWriter.reopen(run_dir) as writer:
        _go_on(cluster, writer, plan, progress)
    return run_dir


def _go_on(
    cluster: Cluster,
    writer: RunWriter,
    plan: Plan | None,
    progress: Callable[[Progress], None],
) -> None:
    """Check that the run can go on, and continue it."""
    run_dir = writer.path
    meta = read_meta(run_dir)
    _check_unfinished(meta, run_dir)
    kept = Plan.from_dict(meta["plan"])
    if plan is not None and plan != kept:
        msg = (
            f"{run_dir} has another plan ({kept}): resume it without options, or "
            "begin a new run"
        )
        raise UsageError(msg)
    setup = Setup(cluster, kept, meta["run_id"], _groups(meta))
    changed = differences(meta, setup.circumstances())
    if meta["packages"]["cmhot"] != __version__:
        changed.append(f"cmhot (was {meta['packages']['cmhot']}, is {__version__})")
    schedule = schedule_of(meta)
    if schedule.digest != meta["agenda"]:
        changed.append("the schedule that the seed gives: another version of numpy")
    if changed:
        msg = (
            f"{run_dir} cannot be resumed, since these changed: {'; '.join(changed)}; "
            "begin a new run, and summarise this one as it is"
        )
        raise UsageError(msg)
    probes = _probe_logs(meta)
    _check_probes(setup, probes, run_dir)
    setup.check()
    setup.workspace.uid = meta.get("namespace_uid") or _uid_of(setup)
    writer.cut_torn_lines()
    run = read_outline(run_dir, raw=True)  # by their stamps the logs' lines are known
    own_clock = OwnClock.of(meta, run.events)
    for part in read_by_node(run):
        _restore(probes, part, own_clock)
    meta |= {"status": "running", "ended_utc": None}
    meta.pop("observed_until_ns", None)
    writer.write_run(meta)
    clock, steady = _clock_again(cluster, run, own_clock)
    done = len(run.updates)
    sent = run.updates[run.updates["sent_ns"].notna()]
    row = _in_flight(cluster, setup, schedule, done)
    if row is not None:
        writer.append_update(row)
        done += 1
    for missed in _due_meanwhile(schedule, done, clock.utc_ns()):
        writer.append_update(missed)
        done += 1
    collection = Collection(
        setup=setup,
        clock=clock,
        meta=meta,
        schedule=schedule,
        probes=probes,
        writer=writer,
        progress=progress,
        done=done,
        sent={
            int(seq): int(at_ns)
            for seq, at_ns in zip(sent["seq"], sent["sent_ns"], strict=True)
        },
    )
    detail = {"from_seq": done + 1, "steady": steady}
    collection.record.event("resumed", "collector", detail)
    collection.run()


def _clock_again(
    cluster: Cluster, run: Run, own_clock: OwnClock | None
) -> tuple[SteadyClock, bool]:
    """Go on with a run's clock; say whether that was possible.

    It is on the boot of the machine that it began on; elsewhere it begins anew.
    """
    known = run.meta.get("steady_clock") or {}
    boot = boot_id()
    if boot is None or known.get("boot") != boot:
        return SteadyClock(cluster.clock), False
    start_ns, start_s = known["origin"]
    sent = run.updates["sent_ns"].dropna()
    clock = SteadyClock(
        cluster.clock,
        origin=(start_ns, start_s),
        ahead_ns=0 if own_clock is None else int(own_clock.ahead_ns[-1]),
        seen_ns=max(run.meta["begin_ns"], int(sent.max()) if len(sent) else 0),
    )
    return clock, True


def _groups(meta: dict[str, Any]) -> list[Group]:
    """Make the groups of a run, as they were when it began."""
    settings = {schema.setting_of(entry) for entry in meta["settings"].values()}
    return [
        Group(
            name="setting-unknown" if setting is None else setting.label,
            setting=setting,
            nodes=(),
        )
        for setting in settings
    ]


def _check_unfinished(meta: dict[str, Any], run_dir: Path) -> None:
    """Refuse a run that is over, or that has no probes yet."""
    if meta.get("status") not in {"running", "interrupted"}:
        msg = f"{run_dir} is {meta.get('status')}: there is nothing left to resume"
        raise RunError(msg)
    if "begin_ns" not in meta:
        msg = (
            f"{run_dir} ended before its probes were ready: begin a new run; "
            "`cmhot clean` removes what it left"
        )
        raise RunError(msg)


def _check_probes(setup: Setup, probes: list[ProbeLog], run_dir: Path) -> None:
    """Refuse a cluster that has none of the run's pods: another one, or cleaned."""
    try:
        listed, _ = setup.cluster.list(
            POD, namespace=setup.namespace, labels=setup.labels
        )
    except ClusterError as error:
        msg = f"the probes of {run_dir} cannot be listed: {error}"
        raise UsageError(msg) from error
    there = {pod["metadata"]["uid"] for pod in listed}
    if there.isdisjoint(one.uid for one in probes):
        msg = (
            f"the probes of {run_dir} are not on this cluster (any more): begin a new "
            "run, and summarise this one as it is"
        )
        raise UsageError(msg)


def _uid_of(setup: Setup) -> str | None:
    """Find the UID of a run's namespace, in which its probes are; None: not known.

    Older runs do not have it. Without it the namespace stays.
    """
    if not setup.workspace.is_own:
        return None
    try:
        found = setup.cluster.get(NAMESPACE, setup.namespace)
    except ClusterError:
        return None
    ours = run_of(found) == setup.run_id
    return str(found["metadata"]["uid"]) if ours else None


def _restore(probes: list[ProbeLog], part: Run, own_clock: OwnClock | None) -> None:
    """Take up the records of the logs of one node's pods, in their order."""
    columns = ["seq", "published_ns", "read_ns"]
    rows: dict[str, list[Any]] = {
        str(pod): own[columns].astype("int64").to_dict("records")
        for pod, own in part.publications.groupby("pod")
    }
    events: dict[str, list[Any]] = {
        str(name): own.to_dict("records") for name, own in part.events.groupby("object")
    }
    here = {entry["pod"] for entry in part.meta["pods"]}
    for one in probes:
        if one.pod in here:
            one.restore(rows.get(one.pod, []), events.get(f"pod/{one.pod}", []))
            if own_clock is not None:
                one.back_ns = own_clock.back_ns
            clock = NodeClock.of(part.meta, part.clock, one.node)
            _set_read_ns(one, clock, own_clock)


def _set_read_ns(one: ProbeLog, clock: NodeClock, own_clock: OwnClock | None) -> None:
    """Set until when the pod is known, should its log not be read any more."""
    if one.last_ns is not None:
        last_ns = np.array([one.last_ns])
        if own_clock is not None:
            last_ns = own_clock.on_time(last_ns)
        (read_ns,), _ = clock.to_collector(last_ns)
        one.read_ns = int(read_ns)


def _in_flight(
    cluster: Cluster, setup: Setup, schedule: Schedule, done: int
) -> dict[str, Any] | None:
    """Give the row of the write that the collector died in: made, but never recorded.

    Its instant is not known: between the planned one and the death.
    """
    if done >= len(schedule.writes):
        return None
    write = schedule.writes[done]
    try:
        stored = cluster.get(CONFIG_MAP, CONFIG_MAP_NAME, namespace=setup.namespace)
    except ClusterError:
        return None
    if (stored.get("data") or {}).get("seq") != str(write.seq):
        return None
    return not_sent(write, CONFIG_MAP_NAME) | {
        "sent_ns": write.at_ns,
        "status": "failed",
        "error": "it was made; the collector died before it could say when",
    }


def _due_meanwhile(schedule: Schedule, done: int, now_ns: int) -> list[dict[str, Any]]:
    """Give the rows of the writes that fell due while no collector ran."""
    return [
        not_sent(write, CONFIG_MAP_NAME) | {"error": "the collector was down"}
        for write in schedule.writes[done:]
        if write.at_ns < now_ns
    ]
