"""One kubelet in virtual time: which event syncs a pod when, and what is published.

Events are taken in their order from a schedule. The work queue is a calendar:
a tick stands on the schedule once, however many pods are due at it,
and pods that a tick starts together are carried through their looks together.
All instants are whole nanoseconds since the model's start, so that ties are exact.
Constants and differences between versions come from `cmhot.kubelet.eras`.
"""

from __future__ import annotations

import heapq
from array import array
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.clock import NS_PER_S, ns
from cmhot.errors import UsageError
from cmhot.kubelet.eras import (
    CURRENT,
    DEFAULT_TTL_S,
    JITTER,
    LOOP_S,
    LOOPS_S,
    RELIST_S,
    TICK_S,
    TYPICAL,
    Invalidation,
    era_of,
)
from cmhot.kubelet.settings import TTL_ANNOTATION, Strategy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cmhot.kubelet.eras import Era, Timing
    from cmhot.kubelet.settings import Setting

    Act = Callable[[Any, int], None]

NEVER = -(1 << 62)
"""Before every instant, in nanoseconds; sums with it still fit 64 bits."""


@dataclass(slots=True, eq=False)
class History:
    """What a ConfigMap contained, and from when on: the API server's side.

    A content is its number: two contents are equal when their numbers are.
    """

    instants_ns: array[int] = field(default_factory=lambda: array("q"))  # ascending
    numbers: array[int] = field(default_factory=lambda: array("q"))

    def write(self, number: int, *, at_ns: int) -> None:
        """Note a write; none is earlier than the one before."""
        self.instants_ns.append(at_ns)
        self.numbers.append(number)


class Content:
    """One kubelet's view of a ConfigMap where every read returns current content.

    So it is under Watch, under Get, and under Cache where the TTL has no effect. A
    write is visible only once it is ``staleness_ns`` old: the delay of the watch, or of
    the request. Call `read` with ascending instants.
    """

    __slots__ = ("_history", "_staleness_ns", "_written")

    def __init__(self, history: History, *, staleness_ns: int) -> None:
        self._history = history
        self._staleness_ns = staleness_ns
        self._written = 0

    def read(self, at_ns: int) -> int | None:
        """Return the number that is current; None: there is no ConfigMap yet."""
        instants = self._history.instants_ns
        due = at_ns - self._staleness_ns
        if self._written < len(instants) and instants[self._written] <= due:
            self._written = bisect_right(instants, due, self._written)
        return self._history.numbers[self._written - 1] if self._written else None

    def forget(self) -> None:
        """Do nothing: no read relies on an earlier one."""


class CachedContent(Content):
    """A ConfigMap in the Cache strategy's store: fetched again when its TTL is over.

    One entry serves all pods of the node. A look fetches if and only if the TTL, above
    0, has passed since the last fetch ended (`isObjectFresh`,
    pkg/kubelet/util/manager/cache_based_manager.go), or the entry was forgotten.
    A fetch takes as long as a write needs to be found.
    """

    __slots__ = ("_fetched_ns", "_found", "_ttl_ns")

    def __init__(self, history: History, *, staleness_ns: int, ttl_ns: int) -> None:
        super().__init__(history, staleness_ns=staleness_ns)
        self._ttl_ns = ttl_ns
        self._fetched_ns = NEVER
        self._found: int | None = None

    def read(self, at_ns: int) -> int | None:
        """Return what the entry holds, fetched anew when it is due."""
        if at_ns >= self._fetched_ns + self._ttl_ns:
            self._found = super().read(at_ns)
            self._fetched_ns = at_ns + self._staleness_ns
        return self._found

    def forget(self) -> None:
        """Let the next look fetch."""
        self._fetched_ns = NEVER


NOT_DUE = -1
"""No tick: the pod is not in the work queue."""
FIRST_BACKOFF_NS = 10 * NS_PER_S
LONGEST_BACKOFF_NS = 300 * NS_PER_S
"""A container that fails is started again after 10 s, and then after twice as long
each time, up to five minutes (`backOffPeriod`, `MaxContainerBackOff`,
pkg/kubelet/kubelet.go)."""


@dataclass(slots=True, eq=False)
class Volume:
    """A mounted ConfigMap and its publications: 16 bytes each."""

    content: Content
    shown: int | None = None  # number on the disk; None: nothing yet
    numbers: array[int] = field(default_factory=lambda: array("q"))
    instants_ns: array[int] = field(default_factory=lambda: array("q"))

    def publish(self, number: int, *, at_ns: int) -> None:
        """Swap ``..data``."""
        self.shown = number
        self.numbers.append(number)
        self.instants_ns.append(at_ns)


@dataclass(slots=True, eq=False)
class CrashLoop:
    """The back-off of a container that dies as soon as it starts."""

    died_ns: int
    backoff_ns: int = 0  # how long it then may not be started

    def left_ns(self, at_ns: int) -> int:
        """Give the rest of the back-off; 0: a sync starts the container."""
        return max(0, self.died_ns + self.backoff_ns - at_ns)

    def start(self, at_ns: int) -> None:
        """Start the container, which dies, and wait twice as long the next time."""
        longer = min(2 * self.backoff_ns, LONGEST_BACKOFF_NS)
        self.died_ns, self.backoff_ns = at_ns, max(longer, FIRST_BACKOFF_NS)


@dataclass(slots=True, eq=False)
class ModelPod:
    """A pod on a modelled kubelet."""

    volumes: tuple[Volume, ...]  # all are refreshed by each sync
    due: int = NOT_DUE  # tick at which the work queue has it ready
    ended_ns: int = NEVER
    """When its last sync ended, or the one under way will end: its worker is busy."""
    is_pending: bool = False  # whether its busy worker keeps a request
    crash_loop: CrashLoop | None = None  # None: its containers run
    is_gone: bool = False  # it was deleted: its kubelet does nothing for it

    def start_anew(self) -> None:
        """Forget what a kubelet keeps in memory; volumes and containers stay."""
        self.due, self.ended_ns, self.is_pending = NOT_DUE, NEVER, False
        if self.crash_loop is not None:
            self.crash_loop.backoff_ns = 0


BLOCK = 1 << 12
"""Random numbers drawn at a time: one by one, each would cost as much as a sync."""
ADDED, UPDATED, STATUS = "added", "updated", "status"
FORGETS = {
    Invalidation.POD_UPDATE: {ADDED, UPDATED, STATUS},
    Invalidation.EVERY_SYNC: set[str](),  # nothing is kept that could be forgotten
    Invalidation.NEW_POD: {ADDED},
}
"""Pod events from the API server that make a kubelet forget cached entries."""


TICK_NS, LOOP_NS, LOOPS_NS, RELIST_NS = map(ns, (TICK_S, LOOP_S, LOOPS_S, RELIST_S))


def ttl_s(setting: Setting) -> float:
    """Give the TTL that a kubelet takes, seconds: its own default where none is set."""
    return DEFAULT_TTL_S if setting.ttl_s is None else setting.ttl_s


class Kubelet:
    """One kubelet and its pods.

    Inputs are put on its schedule, at instants from now on; `run` lets time pass.
    """

    def __init__(
        self,
        setting: Setting,
        rng: np.random.Generator,
        *,
        era: Era = CURRENT,
        timing: Timing = TYPICAL,
    ) -> None:
        self.pods: list[ModelPod] = []  # that have come so far, in order
        self.syncs = 0  # that have begun
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
        self._schedule: list[tuple[int, int, Act, Any]] = []
        self._number = count()
        self._now_ns = 0
        self._gaps: list[int] = []
        self._looks: list[int] = []
        self._start_process()

    # inputs

    def add(self, mounts: Iterable[Sequence[History]], *, at_ns: int) -> list[ModelPod]:
        """Take new pods, all at once, by the ConfigMaps that each mounts."""
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
        schedule = self._schedule
        while schedule and schedule[0][0] <= until_ns:
            at, _, act, subject = heapq.heappop(schedule)
            act(subject, at)
        self._now_ns = max(self._now_ns, until_ns)

    # the schedule

    def _take(self, at_ns: int, act: Act, subject: object) -> None:
        if at_ns < self._now_ns:
            msg = (
                f"the model has run to {self._now_ns / NS_PER_S:g} s already: "
                f"nothing can happen at {at_ns / NS_PER_S:g} s any more"
            )
            raise UsageError(msg)
        self._put(at_ns, act, subject)

    def _put(self, at_ns: int, act: Act, subject: object) -> None:
        heapq.heappush(self._schedule, (at_ns, next(self._number), act, subject))

    def _start_process(self) -> None:
        """Begin the tickers anew, with an empty work queue."""
        # what comes from outside outlives the process
        inputs = {self._admit, self._leave, self._update, self._echo}
        inputs |= {self._die, self._fail, self._restart}
        # in place, since `run` is going through it
        self._schedule[:] = [event for event in self._schedule if event[2] in inputs]
        heapq.heapify(self._schedule)
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
        """Take the pod out of the queue; a look under way then finds no volumes."""
        pod.is_gone, pod.due, pod.volumes = True, NOT_DUE, ()
        self.pods.remove(pod)

    def _update(self, pod: ModelPod, at: int) -> None:
        self._forget(pod, UPDATED)
        self._request([pod], at)

    def _echo(self, pod: ModelPod, _: int) -> None:
        """Take note of the pod's own status coming back; it causes no sync."""
        self._forget(pod, STATUS)

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

    def _report_status(self, pod: ModelPod, at: int) -> None:
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
            self._report_status(pod, at)

    def _hear_death(self, pod: ModelPod, at: int) -> None:
        """Sync the pod, which starts the container; the next relist finds that."""
        self._hear_failure(pod, at)
        self._put(self._relist_after(at + self._sync_ns), self._hear_start, [pod])

    def _hear_failure(self, pod: ModelPod, at: int) -> None:
        self._request([pod], at)
        self._report_status(pod, at)

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
        """Start the container if its back-off is over; give the pod's next interval."""
        spread = 1 + JITTER * self._rng.random()
        left = crash_loop.left_ns(at)
        if left == 0:
            crash_loop.start(at)
            self._put(self._relist_after(at), self._hear_failure, pod)
            return self._s_ns * spread
        fixed = self._era.crash_loop_s
        return spread * (min(left, self._s_ns) if fixed is None else ns(fixed))

    def _resume(self, pod: ModelPod, at: int) -> None:
        """Start the sync that was requested while the worker was busy."""
        pod.is_pending = False
        self._request([pod], at)

    # the work queue

    def _enqueue(self, pod: ModelPod, tick: int) -> None:
        """Make the pod due at `tick`, replacing any tick it was due at before."""
        pod.due = tick
        due = self._bins.get(tick)
        if due is None:
            self._bins[tick] = [pod]
            self._put(self._phase_ns + tick * TICK_NS, self._tick, tick)
        else:
            due.append(pod)

    def _tick(self, tick: int, at: int) -> None:
        """Sync the pods that are due, unless their timer was set anew since.

        The loop is the model's hottest: an undisturbed pod goes back into the queue at
        once, since no event can change its timer before the sync ends.
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
        """Schedule the look at the volumes, after one pass of each volume loop.

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
        """Mount a ConfigMap; pods of one node share the kubelet's view of it."""
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


MODELLED = "modelled"
"""The version's text, or the word before it."""
READ_AFTER_S = 0.1
"""From a publication to the probe's line: half of its pause, nearly."""


@dataclass(frozen=True, slots=True)
class ModelNode:
    """A node of the model, ``model-1`` and so on."""

    name: str
    setting: Setting
    kubelet: Kubelet


def version_text(kubernetes: str | None) -> str:
    """Name the version that is modelled: ``modelled v1.28.15``, or ``modelled``."""
    return MODELLED if kubernetes is None else f"{MODELLED} {kubernetes}"


def node_object(node: ModelNode, version: str) -> dict[str, Any]:
    """Write a node as the API server sends it."""
    ttl = node.setting.ttl_s
    return {
        "metadata": {
            "name": node.name,
            "labels": {"kubernetes.io/hostname": node.name},
            "annotations": {} if ttl is None else {TTL_ANNOTATION: f"{ttl:g}"},
        },
        "spec": {},
        "status": {
            "nodeInfo": {
                "kubeletVersion": version,
                "containerRuntimeVersion": MODELLED,
            }
        },
    }


def make_nodes(
    settings: Sequence[Setting], *, seed: int, kubernetes: str | None, timing: Timing
) -> list[ModelNode]:
    """Make a node for each setting; their phases and jitter are independent."""
    era = era_of(kubernetes)
    seeds = np.random.SeedSequence(seed).spawn(len(settings))
    return [
        ModelNode(
            f"model-{number}",
            setting,
            Kubelet(setting, np.random.default_rng(own), era=era, timing=timing),
        )
        for number, (setting, own) in enumerate(zip(settings, seeds, strict=True), 1)
    ]
