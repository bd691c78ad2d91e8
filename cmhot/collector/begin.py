"""A new collection: probes, an agenda, a run directory."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from cmhot.clock import NS_PER_S, SteadyClock
from cmhot.cluster import probe
from cmhot.cluster.nodes import (
    contradictions,
    group_by_setting,
    name_by_pods,
    observe_settings,
    warning,
)
from cmhot.cluster.probe import ProbeLog
from cmhot.collector.circumstances import (
    circumstances,
    first_meta,
    new_run_id,
    utc_text,
)
from cmhot.collector.loop import Progress, Session
from cmhot.collector.probes import CONFIG_MAP_NAME, Setup
from cmhot.collector.schedule import agenda_of
from cmhot.runs.rundir import RunWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cmhot.cluster.nodes import ObservedNode
    from cmhot.cluster.port import Cluster
    from cmhot.runs.plan import Plan


HEAD_START_S = 2.0
"""From the last pod Ready to the first annotation: its start-up syncs are over."""


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
        Where; nothing of it is changed but what is labelled as ours.
    plan
        What.
    out
        Folder of runs.
    run_id
        Name of the run; None: a new one from the clock.
    progress
        Called often with how far it is.
    tell
        Told, in a sentence, what is not as it was asked for.

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
        When the cluster refuses. Before the first trial what was created is removed
        again; later the run directory says what there is,
        and the message whether `resume` can go on with it.
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
    groups = group_by_setting(observed)
    setup = Setup(cluster, plan, run_id or new_run_id(cluster.clock), groups)
    meta = first_meta(cluster, plan, observed, run_id=setup.run_id)
    setup.check()
    with RunWriter.create(out, meta=meta) as writer:
        against = contradictions(observed, plan.given_setting)
        for said in against:
            writer.append_event(said.row(at_ns=cluster.clock.utc_ns()))
        if against:
            tell(warning(against))
        _begin(setup, observed, meta, writer, progress).run()
    return writer.path


def _begin(
    setup: Setup,
    observed: Sequence[ObservedNode],
    meta: dict[str, Any],
    writer: RunWriter,
    progress: Callable[[Progress], None],
) -> Session:
    """Make the probes; when that fails, nothing of the run is left on the cluster."""
    try:
        setup.create()
    except BaseException:
        # nothing was measured: what could be created goes, and so does the run
        setup.remove()
        writer.discard()
        raise
    try:
        return _ready(setup, observed, meta, writer, progress)
    except BaseException:
        meta |= {
            "status": "interrupted",
            "ended_utc": utc_text(setup.cluster.clock.utc_ns()),
        }
        setup.remove()
        writer.write_run(meta)
        raise


def _ready(
    setup: Setup,
    observed: Sequence[ObservedNode],
    meta: dict[str, Any],
    writer: RunWriter,
    progress: Callable[[Progress], None],
) -> Session:
    """Wait for the probes, and make the agenda."""
    ready = setup.await_pods(partial(_tell_waiting, progress))
    meta |= circumstances(setup.cluster, name_by_pods(list(observed), ready))
    meta["pods"] = [_entry(pod) for pod in ready]
    clock = SteadyClock(setup.cluster.clock)
    meta["begin_ns"] = clock.utc_ns() + round(HEAD_START_S * NS_PER_S)
    agenda = agenda_of(meta)
    meta |= {
        "measure_from_ns": agenda.measure_from_ns,
        "measure_until_ns": agenda.measure_until_ns,
        "ends_ns": agenda.end_ns,
        "planned_updates": agenda.trials,
        "agenda": agenda.digest,
    }
    writer.write_run(meta)
    return Session(
        setup=setup,
        clock=clock,
        meta=meta,
        agenda=agenda,
        probes=logs_of(meta),
        writer=writer,
        progress=progress,
    )


def _entry(pod: Mapping[str, Any]) -> dict[str, Any]:
    """Give a pod's entry in run.json."""
    return {
        "node": pod["spec"]["nodeName"],
        "pod": pod["metadata"]["name"],
        "uid": pod["metadata"]["uid"],
        "container": probe.CONTAINER,
        "consumer": "volume",
        "configmap": CONFIG_MAP_NAME,
    }


def logs_of(meta: Mapping[str, Any]) -> list[ProbeLog]:
    """Give the logs of a run's pods, of which nothing is known yet."""
    return [
        ProbeLog(
            node=entry["node"],
            pod=entry["pod"],
            uid=entry["uid"],
            configmap=entry["configmap"],
        )
        for entry in meta["pods"]
    ]


def _tell_waiting(progress: Callable[[Progress], None], remaining_s: float) -> None:
    progress(Progress("pods", 0, 0, remaining_s, None))
