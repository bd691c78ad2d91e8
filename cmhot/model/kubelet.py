"""A kubelet in virtual time: which event syncs a pod when, and what is then published.

Events are taken in their order from an agenda. The work queue is a calendar:
a tick stands on the agenda once, however many pods are due at it,
and pods that a tick starts together are carried through their looks together.
Constants and differences between versions come from `cmhot.kubelet`.
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.clock import NS_PER_S
from cmhot.errors import UsageError
from cmhot.kubelet import (
    CURRENT,
    DEFAULT_TTL_S,
    JITTER,
    LOOP_S,
    LOOPS_S,
    RELIST_S,
    TICK_S,
    TYPICAL,
    Invalidation,
)
from cmhot.model.contents import CachedContent, Content
from cmhot.model.pods import NOT_DUE, CrashLoop, ModelPod, Volume
from cmhot.settings import Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cmhot.kubelet import Era, Timing
    from cmhot.model.contents import History
    from cmhot.settings import Setting

    Act = Callable[[Any, int], None]

BLOCK = 1 << 12
"""Random numbers drawn at a time: one by one, each would cost as much as a sync."""

ADDED, UPDATED, STATUS = "added", "updated", "status"

FORGETS = {
    Invalidation.POD_UPDATE: {ADDED, UPDATED, STATUS},
    Invalidation.EVERY_SYNC: set[str](),  # nothing is kept that could be forgotten
    Invalidation.NEW_POD: {ADDED},
}
"""What the API server says of a pod that makes its kubelet forget cached entries."""


def ns(seconds: float) -> int:
    """Give seconds in whole nanoseconds."""
    return round(seconds * NS_PER_S)


TICK_NS, LOOP_NS, LOOPS_NS, RELIST_NS = map(ns, (TICK_S, LOOP_S, LOOPS_S, RELIST_S))


def ttl_s(setting: Setting) -> float:
    """Give the TTL that a kubelet takes, seconds: its own default where none is set."""
    return DEFAULT_TTL_S if setting.ttl_s is None else setting.ttl_s


class Kubelet:
    """One kubelet and its pods.

    Inputs are put on its agenda, at instants from now on; `run` lets time pass.
    Every instant is in nanoseconds since the model's start.

    Parameters
    ----------
    setting
        Its configuration.
    rng
        Of its phases, jitter and loops.
    era
        How its version behaves.
    timing
        What its work costs.

    Attributes
    ----------
    pods
        That have come so far, in their order.
    syncs
        How many syncs have begun.
    """

    __slots__ = (
        "_agenda",
        "_bins",
        "_contents",
        "_era",
        "_forgotten_for",
        "_gaps",
        "_has_loops",
        "_jitter_ns",
        "_looks",
        "_now_ns",
        "_number",
        "_phase_ns",
        "_relist_phase_ns",
        "_rng",
        "_s_ns",
        "_staleness_ns",
        "_sync_ns",
        "_ttl_ns",
        "_write_ns",
        "pods",
        "syncs",
    )

    def __init__(
        self,
        setting: Setting,
        rng: np.random.Generator,
        *,
        era: Era = CURRENT,
        timing: Timing = TYPICAL,
    ) -> None:
        self.pods: list[ModelPod] = []
        self.syncs = 0
        self._era, self._rng = era, rng
        self._forgotten_for = FORGETS[era.invalidation]
        self._s_ns = ns(setting.sync_frequency_s)
        self._jitter_ns = self._s_ns * JITTER
        is_caching = setting.strategy is Strategy.CACHE and era.ttl_works
        self._ttl_ns = ns(ttl_s(setting)) if is_caching else 0
        self._sync_ns = ns(timing.sync_s)
        self._staleness_ns = ns(timing.staleness_s)
        self._write_ns = ns(timing.write_s)
        self._has_loops = timing.has_loops
        self._contents: dict[History, Content] = {}
        self._agenda: list[tuple[int, int, Act, Any]] = []
        self._number = count()
        self._now_ns = 0
        self._gaps: list[int] = []
        self._looks: list[int] = []
        self._start_process()

    # inputs

    def add(self, mounts: Iterable[Sequence[History]], *, at_ns: int) -> list[ModelPod]:
        """Take new pods, all at once.

        Parameters
        ----------
        mounts
            The ConfigMaps of each pod.
        at_ns
            When.
        """
        pods = [ModelPod(tuple(self._volume(one) for one in own)) for own in mounts]
        self._take(at_ns, self._admit, pods)
        return pods

    def mount(self, pod: ModelPod, history: History) -> Volume:
        """Let a pod use another ConfigMap as well, from its next sync on."""
        volume = self._volume(history)
        pod.volumes = (*pod.volumes, volume)
        return volume

    def remove(self, pod: ModelPod, *, at_ns: int) -> None:
        """Delete a pod: nothing syncs it from then on."""
        self._take(at_ns, self._leave, pod)

    def update(self, pod: ModelPod, *, at_ns: int) -> None:
        """Change the pod's labels or annotations at the API server."""
        self._take(at_ns + self._staleness_ns, self._update, pod)

    def echo_status(self, pod: ModelPod, *, at_ns: int) -> None:
        """Change the pod's status at the API server: the kubelet hears its own echo."""
        self._take(at_ns + self._staleness_ns, self._echo, pod)

    def change_readiness(self, pod: ModelPod, *, at_ns: int) -> None:
        """Let the result of a readiness probe change."""
        self._take(at_ns, self._hear_probe, pod)

    def restart_container(self, pod: ModelPod, *, at_ns: int) -> None:
        """Let a container die, which is then started again."""
        self._take(at_ns, self._die, pod)

    def crash_loop(self, pod: ModelPod, *, at_ns: int) -> None:
        """Let a container die, and die again whenever it is started."""
        self._take(at_ns, self._fail, pod)

    def restart(self, *, at_ns: int) -> None:
        """Restart the kubelet's process."""
        self._take(at_ns, self._restart, None)

    def run(self, until_ns: int) -> None:
        """Let time pass, up to and including an instant."""
        agenda = self._agenda
        while agenda and agenda[0][0] <= until_ns:
            at, _, act, subject = heapq.heappop(agenda)
            act(subject, at)
        self._now_ns = max(self._now_ns, until_ns)

    # the agenda

    def _take(self, at_ns: int, act: Act, subject: object) -> None:
        if at_ns < self._now_ns:
            msg = (
                f"the model has run to {self._now_ns / NS_PER_S:g} s already: "
                f"nothing can happen at {at_ns / NS_PER_S:g} s any more"
            )
            raise UsageError(msg)
        self._put(at_ns, act, subject)

    def _put(self, at_ns: int, act: Act, subject: object) -> None:
        heapq.heappush(self._agenda, (at_ns, next(self._number), act, subject))

    def _inputs(self) -> tuple[Act, ...]:
        """List what comes from outside, and outlives the kubelet's process."""
        return (
            self._admit,
            self._leave,
            self._update,
            self._echo,
            self._hear_probe,
            self._die,
            self._fail,
            self._restart,
        )

    def _start_process(self) -> None:
        """Begin the tickers anew, with an empty work queue."""
        inputs = self._inputs()
        # in place, since `run` is going through it
        self._agenda[:] = [event for event in self._agenda if event[2] in inputs]
        heapq.heapify(self._agenda)
        self._bins: dict[int, list[ModelPod]] = {}
        self._phase_ns = int(self._rng.integers(TICK_NS))
        self._relist_phase_ns = int(self._rng.integers(RELIST_NS))

    # what comes from outside

    def _admit(self, pods: Sequence[ModelPod], at: int) -> None:
        self.pods += pods
        self._arrive(pods, at)

    def _arrive(self, pods: Sequence[ModelPod], at: int) -> None:
        """Sync pods that are new to this process, and again when they have started.

        The first relist after its start finds a container new, and syncs its pod.
        """
        for pod in pods:
            self._forget(pod, ADDED)
        self._request(pods, at)
        mounted = at + self._sync_ns + (LOOPS_NS if self._has_loops else 0)
        self._put(self._relist_after(mounted), self._hear_start, pods)

    def _leave(self, pod: ModelPod, _: int) -> None:
        """Take it out of the queue; without volumes a look under way finds nothing."""
        pod.is_gone, pod.due, pod.volumes = True, NOT_DUE, ()
        self.pods.remove(pod)

    def _update(self, pod: ModelPod, at: int) -> None:
        self._forget(pod, UPDATED)
        self._request([pod], at)

    def _echo(self, pod: ModelPod, _: int) -> None:
        """Take note of a status; nothing is synced for it."""
        self._forget(pod, STATUS)

    def _hear_probe(self, pod: ModelPod, at: int) -> None:
        if self._era.probes_sync:
            self._request([pod], at)
        self._tell_status(pod, at)

    def _die(self, pod: ModelPod, at: int) -> None:
        self._put(self._relist_after(at), self._hear_death, pod)

    def _fail(self, pod: ModelPod, at: int) -> None:
        pod.crash_loop = CrashLoop(died_ns=at)
        self._put(self._relist_after(at), self._hear_failure, pod)

    def _restart(self, _: None, at: int) -> None:
        """Start with nothing in memory: every pod is new to the process."""
        self._start_process()
        for pod in self.pods:
            pod.start_anew()
        self._arrive([*self.pods], at)

    def _forget(self, pod: ModelPod, why: str) -> None:
        if why in self._forgotten_for:
            for volume in pod.volumes:
                volume.content.forget()

    def _tell_status(self, pod: ModelPod, at: int) -> None:
        """Report a new status; its echo is back after a request and the watch."""
        if STATUS in self._forgotten_for:
            self._put(at + 2 * self._staleness_ns, self._echo, pod)

    # what a relist finds

    def _relist_after(self, at: int) -> int:
        """Give the first relist strictly after an instant."""
        relists = (at - self._relist_phase_ns) // RELIST_NS + 1
        return self._relist_phase_ns + relists * RELIST_NS

    def _hear_start(self, pods: Sequence[ModelPod], at: int) -> None:
        self._request(pods, at)
        for pod in pods:
            self._tell_status(pod, at)

    def _hear_death(self, pod: ModelPod, at: int) -> None:
        """Sync the pod, which starts the container; the next relist finds that."""
        self._request([pod], at)
        self._tell_status(pod, at)
        self._put(self._relist_after(at + self._sync_ns), self._hear_start, [pod])

    def _hear_failure(self, pod: ModelPod, at: int) -> None:
        self._request([pod], at)
        self._tell_status(pod, at)

    # the pod workers

    def _request(self, pods: Sequence[ModelPod], at: int) -> None:
        """Ask for a sync of each pod: now, at a relist, or after the one under way.

        A worker waits until containers were looked at after its last sync
        (`GetNewerThan`, pkg/kubelet/container/cache.go), and is busy while it waits.
        """
        ready = []
        for pod in pods:
            if pod.is_gone:
                continue
            if at < pod.ended_ns:
                if not pod.is_pending:
                    pod.is_pending = True
                    self._put(pod.ended_ns, self._resume, pod)
            elif at - pod.ended_ns < RELIST_NS and (
                (relist := self._relist_after(pod.ended_ns)) > at
            ):
                pod.ended_ns = relist + self._sync_ns
                self._put(relist, self._begin, [pod])
            else:
                ready.append(pod)
        if ready:
            self._begin(ready, at)

    def _begin(self, pods: Sequence[ModelPod], at: int) -> None:
        end = at + self._sync_ns
        for pod in pods:
            pod.ended_ns = end
        self._put(end, self._wrap_up, pods)
        self._look_after(pods, at)

    def _wrap_up(self, pods: Sequence[ModelPod], at: int) -> None:
        """Set the timer of each pod anew, whatever it was set to."""
        for pod in pods:
            if pod.is_gone:
                continue
            if pod.crash_loop is None:
                wait = self._s_ns + self._jitter_ns * self._rng.random()
            else:
                wait = self._wait_in_crash_loop(pod, pod.crash_loop, at)
            self._enqueue(pod, (at + int(wait) - self._phase_ns) // TICK_NS + 1)

    def _wait_in_crash_loop(
        self, pod: ModelPod, crash_loop: CrashLoop, at: int
    ) -> float:
        """Start the container if its back-off is over; give the time to wait then."""
        spread = 1 + JITTER * self._rng.random()
        left = crash_loop.left_ns(at)
        if left == 0:
            crash_loop.start(at)
            self._put(self._relist_after(at), self._hear_failure, pod)
            return self._s_ns * spread
        fixed = self._era.crash_loop_s
        return spread * (min(left, self._s_ns) if fixed is None else ns(fixed))

    def _resume(self, pod: ModelPod, at: int) -> None:
        """Do what was asked for while the worker was busy."""
        pod.is_pending = False
        self._request([pod], at)

    # the work queue

    def _enqueue(self, pod: ModelPod, tick: int) -> None:
        """Let the pod be due at a tick, instead of any other."""
        pod.due = tick
        due = self._bins.get(tick)
        if due is None:
            self._bins[tick] = [pod]
            self._put(self._phase_ns + tick * TICK_NS, self._tick, tick)
        else:
            due.append(pod)

    def _tick(self, tick: int, at: int) -> None:
        """Sync the pods that are due, unless their timer was set anew since.

        The loop is the model's hottest: a pod that nothing disturbs is put into the
        queue again at once, since nothing can happen to its timer before its end.
        """
        bins, gaps, end, calm = self._bins, self._gaps, at + self._sync_ns, []
        due = bins.pop(tick)
        if len(gaps) < len(due):
            gaps = self._draw_gaps(len(due))
        latest = at - RELIST_NS
        others = []
        for pod in due:
            if pod.due != tick:
                continue
            if pod.ended_ns > latest or pod.crash_loop is not None:
                pod.due = NOT_DUE
                others.append(pod)
                continue
            pod.ended_ns = end
            pod.due = then = tick + gaps.pop()
            bin_ = bins.get(then)
            if bin_ is None:
                bins[then] = [pod]
                self._put(self._phase_ns + then * TICK_NS, self._tick, then)
            else:
                bin_.append(pod)
            calm.append(pod)
        if calm:
            self._look_after(calm, at)
        if others:
            self._request(others, at)

    def _draw_gaps(self, least: int) -> list[int]:
        """Draw intervals between two syncs that begin at ticks, in ticks."""
        size = max(BLOCK, least)
        waits = self._rng.random(size)
        waits *= self._jitter_ns
        waits += self._s_ns + self._sync_ns
        self._gaps = (waits.astype(np.int64) // TICK_NS + 1).tolist()
        return self._gaps

    # the volume manager

    def _look_after(self, pods: Sequence[ModelPod], at: int) -> None:
        """Let the volumes be looked at after one pass of each volume loop.

        Pods whose syncs begin together are caught by the same passes.
        The loops' phases are drawn afresh for each such group: from one sync to the
        next they drift, as a loop's period is its pause and the time of its pass.
        """
        self.syncs += len(pods)
        if not self._looks:
            loops = self._rng.integers(LOOP_NS, size=(2, BLOCK))
            self._looks = (loops.sum(axis=0) * self._has_loops).tolist()
        self._put(at + self._looks.pop(), self._look, pods)

    def _look(self, pods: Sequence[ModelPod], at: int) -> None:
        """Read each volume's content; publish what is new."""
        content: Content | None = None
        number: int | None = None
        for pod in pods:
            for volume in pod.volumes:
                if volume.content is not content:
                    content = volume.content
                    number = content.read(at)
                if number != volume.shown and number is not None:
                    volume.publish(number, at_ns=at + self._write_ns)

    def _volume(self, history: History) -> Volume:
        """Mount a ConfigMap; pods of one node share what the kubelet has of it."""
        content = self._contents.get(history)
        if content is None:
            late = self._staleness_ns
            content = (
                CachedContent(history, staleness_ns=late, ttl_ns=self._ttl_ns)
                if self._ttl_ns
                else Content(history, staleness_ns=late)
            )
            self._contents[history] = content
        return Volume(content)
