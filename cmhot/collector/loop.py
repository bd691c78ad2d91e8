"""One collection: writes at their instants, monitoring between them, and the end.

Whatever happens to pods, nodes, the API server or the collector is recorded as an
event, and each trial is accounted for: planned = observed + timeout + interrupted +
missed + not_sent + failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cmhot.clock import NS_PER_S
from cmhot.cluster import probe
from cmhot.cluster.port import POD
from cmhot.collector.circumstances import differences
from cmhot.collector.finish import close
from cmhot.collector.monitoring import Monitor, Record
from cmhot.collector.probes import CONFIG_MAP_NAME
from cmhot.collector.progress import Progress
from cmhot.collector.schedule import PeriodicTasks
from cmhot.collector.writer import EndedError, Updater, may_be_resumed
from cmhot.errors import ClusterError, ForbiddenError, RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cmhot.clock import SteadyClock
    from cmhot.cluster.probe import ProbeLog
    from cmhot.collector.probes import Setup
    from cmhot.collector.schedule import Schedule, Write
    from cmhot.runs.rundir import RunWriter


class Collection:
    """A collection whose pods run and whose schedule is fixed.

    Of the writes in the schedule the first `done` are on record; `sent` has the instant
    at which each of these was sent, by number, UTC epoch ns.
    """

    def __init__(
        self,
        *,
        setup: Setup,
        clock: SteadyClock,
        meta: dict[str, Any],
        schedule: Schedule,
        probes: Sequence[ProbeLog],
        writer: RunWriter,
        progress: Callable[[Progress], None],
        done: int = 0,
        sent: dict[int, int] | None = None,
    ) -> None:
        self.setup, self.clock, self.meta, self.schedule = setup, clock, meta, schedule
        self.progress = progress
        self.record = Record(writer, clock)
        self.todo = schedule.writes[done:]
        self.done = sum(write.pod is None for write in schedule.writes[:done])
        self.updater = Updater(
            cluster=setup.cluster,
            clock=clock,
            namespace=setup.namespace,
            name=CONFIG_MAP_NAME,
            run_id=meta["run_id"],
            on_event=self.record.event,
            sent=sent or {},
            last_seq=done,
        )
        self.tasks = PeriodicTasks(clock)
        self.monitor = Monitor(
            setup=setup,
            schedule=schedule,
            probes=probes,
            record=self.record,
            updater=self.updater,
        )

    def run(self) -> None:
        """Make all writes of the schedule, and close the run whatever happens.

        Raises `EndedError` when it could not go on (the run directory has the records
        so far), `RunError` when the disk is full.
        """
        status, keep = "interrupted", False
        try:
            self._make_writes()
            status = "complete"
        except ClusterError as error:
            keep = may_be_resumed(error)
            self.monitor.read_all_logs(patient=False)
            msg = self._explain_end(str(error), keep=keep)
            raise EndedError(msg, resumable=keep) from error
        except KeyboardInterrupt:
            self.monitor.read_all_logs(patient=False)
            raise
        except BaseException as error:
            keep = may_be_resumed(error)
            raise
        finally:
            try:
                self._close(status)
            except RunError:  # run.json says that it runs: when resumed, it is closed
                keep = True
                raise
            finally:
                if not keep:
                    self._remove()
        self._report("done", 0.0)

    def _make_writes(self) -> None:
        """Make all writes at their instants, and observe their publications."""
        self.monitor.plan(self.tasks)
        first_ns = self.todo[0].at_ns if self.todo else self.schedule.end_ns
        self.monitor.ask_clocks(until_ns=first_ns)
        for write in self.todo:
            if write.at_ns >= self.clock.utc_ns():
                self.tasks.until(write.at_ns)
                self._sleep_until(write.at_ns)
            self._make_write(write)
        self.tasks.until(self.schedule.end_ns)
        self._sleep_until(self.schedule.end_ns)
        self.monitor.read_all_logs(patient=True)
        self.monitor.ask_clocks()

    def _make_write(self, write: Write) -> None:
        """Make one write; a scrambling one syncs its pod, which publishes it."""
        row = self.updater.write(write)
        self.record.writer.append_update(row)
        if write.pod is None:
            self.done += 1
            phase = "updates" if self.done < self.schedule.trials else "drain"
        else:
            phase = "phases"
            if row["status"] == "acked":
                self._annotate(write.pod, write.seq)
        self._report(phase, (self.schedule.end_ns - self.clock.utc_ns()) / NS_PER_S)
        self.updater.check_patience()

    def _annotate(self, pod: str, seq: int) -> None:
        """Sync a pod now: the kubelet does so whenever a pod is changed."""
        mark = {probe.SCRAMBLE_ANNOTATION: str(seq)}
        try:
            self.setup.cluster.patch(
                POD,
                pod,
                {"metadata": {"annotations": mark}},
                namespace=self.setup.namespace,
            )
        except ForbiddenError:
            raise
        except ClusterError as error:
            detail = {"seq": seq, "error": str(error)}
            self.record.event("scramble_failed", f"pod/{pod}", detail)

    def _sleep_until(self, at_ns: int) -> None:
        self.clock.sleep((at_ns - self.clock.utc_ns()) / NS_PER_S)

    def _close(self, status: str) -> None:
        """Record the last observations, judge the run and derive its tables."""
        changed: list[str] = []
        if status == "complete":
            try:
                changed = differences(self.meta, self.setup.circumstances())
            except ClusterError as error:
                detail = {"error": str(error)}
                self.record.event("settings_unread", self.setup.namespace, detail)
        self.monitor.note_steps()
        self.monitor.write_clocks()
        close(
            self.record,
            self.meta,
            self.schedule,
            self.monitor.probes,
            unread=self.monitor.unread,
            status=status,
            changed=changed,
            away_since_ns=self.updater.away_since_ns,
        )

    def _remove(self) -> None:
        """Remove the objects; ones that stay are recorded, and change no outcome."""
        for name, error in self.setup.remove():
            self.record.event("not_removed", name, {"error": error})

    def _explain_end(self, reason: str, *, keep: bool) -> str:
        path = self.record.writer.path
        so_far = f"{reason}; {self.done} of {self.schedule.trials} trials are in {path}"
        if not keep:
            return so_far
        return (
            f"{so_far}: `cmhot collect --resume {path}` goes on when this is mended, "
            "`cmhot clean` removes the probes"
        )

    def _report(self, phase: str, remaining_s: float) -> None:
        total, delay_s = self.schedule.trials, self.monitor.last_delay_s
        self.progress(Progress(phase, self.done, total, remaining_s, delay_s))
