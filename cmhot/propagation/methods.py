"""What a refresh would do, what it did, and whether it helped.

What the three methods share: the workload, its pods, the clock and the account.

Which objects a refresh is about, and whether it has helped.

Init containers have ended: what they read cannot be looked at from inside.

Touch each pod: a change of its annotation syncs it, and a sync reads its volumes.

See "When a Pod's annotation changes" in docs of Kubernetes on ConfigMaps, and
docs/studies/remedies.md for how quick it is.

Scale to nothing and back, and never forget how many there were.

The number of replicas is written beside the zero in one request: whoever is killed then
leaves a workload that says by itself what it was, and the next call restores it.
From the zero on, nothing but a refusal keeps us from scaling back.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from cmhot.cluster.port import POD
from cmhot.display import Page, Shown
from cmhot.errors import ClusterError, ForbiddenError, NotFoundError, UsageError
from cmhot.kubelet.uses import Kind, Role, parse_reference, references_of, uses_of
from cmhot.kubelet.view import content_of
from cmhot.propagation.explain import node_facts
from cmhot.propagation.inspection import State, look, parts_of
from cmhot.propagation.owners import KINDS, is_leaving, owner_of
from cmhot.propagation.wait import wait
from cmhot.propagation.watch import UnusedError
from cmhot.propagation.workload import (
    REMEMBERED,
    TOUCHED,
    Circumstances,
    budgets_of,
    is_rolled_out,
    replicas_of,
    scaled_by,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cmhot.clock import Clock
    from cmhot.cluster.port import Cluster, Inspectable
    from cmhot.kubelet.uses import Object, Reference, Use
    from cmhot.propagation.inspection import Part
    from cmhot.propagation.owners import Owner
    from cmhot.propagation.watch import Waited


class Method(StrEnum):
    """How pods are brought to see an update at once."""

    ANNOTATE = "annotate"
    """Touch each pod: that syncs it, and a sync reads its volumes."""
    ROLLOUT = "rollout"
    """Change the template: the workload replaces its pods by its strategy."""
    RECREATE = "recreate"
    """Scale to nothing and back: there are no pods in between."""


@dataclass(frozen=True, slots=True, repr=False)
class Refreshed(Shown):
    """How a refresh went.

    Attributes
    ----------
    owner, namespace
        The workload.
    method
        How.
    dry_run
        Whether nothing was done, and `steps` says what would be.
    steps
        What was done, in order.
    warnings
        What to know about it.
    pods
        That the workload had.
    writes
        Requests that changed something.
    acted_s
        Seconds from the call until all of it was done; None: a dry run.
    seconds
        Seconds from the call until it was verified.
    restored
        Replicas that an earlier call had left at nothing, and this one brought back;
        None: there was none.
    verified
        What was seen from inside the pods afterwards, object by object.
    """

    owner: Owner
    namespace: str
    method: Method
    dry_run: bool
    steps: tuple[str, ...]
    warnings: tuple[str, ...]
    pods: int
    writes: int = 0
    acted_s: float | None = None
    seconds: float = 0.0
    restored: int | None = None
    verified: tuple[Waited, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether all that was looked at has landed; a dry run is fine."""
        return all(one.landed for one in self.verified)

    def to_dict(self) -> dict[str, Any]:
        """Give it as ``refresh --json`` does."""
        return {
            "workload": str(self.owner),
            "namespace": self.namespace,
            "method": self.method.value,
            "dry_run": self.dry_run,
            "ok": self.ok,
            "steps": list(self.steps),
            "warnings": list(self.warnings),
            "pods": self.pods,
            "writes": self.writes,
            "acted_s": self.acted_s,
            "seconds": self.seconds,
            "restored": self.restored,
            "verified": [one.to_dict() for one in self.verified],
        }

    def to_text(self) -> str:
        """Write it for people."""
        would = "would " * self.dry_run
        lines = [self._heading()]
        lines += [f"  {would}{step}" for step in self.steps]
        lines += [f"! {warning}" for warning in self.warnings]
        lines += [one.to_text() for one in self.verified]
        return "\n".join([*lines, *self._durations()])

    def page(self) -> Page:
        """Show what was done, and who lags behind in spite of it."""
        would = "would " * self.dry_run
        pages = [one.page() for one in self.verified]
        notes = [
            *(f"{would}{step}" for step in self.steps),
            *self.warnings,
            *(line for one in pages for line in (one.heading, *one.notes)),
            *self._durations(),
        ]
        return Page(self._heading(), [row for one in pages for row in one.rows], notes)

    def _heading(self) -> str:
        would = "would " * self.dry_run
        return f"{self.owner} in {self.namespace}, {self.method} {would}".rstrip()

    def _durations(self) -> list[str]:
        if self.acted_s is None:
            return []
        return [f"done after {self.acted_s:.1f} s, verified after {self.seconds:.1f} s"]


AUTOSCALER = Kind("autoscaling/v2", "horizontalpodautoscalers")
BUDGET = Kind("policy/v1", "poddisruptionbudgets")
POLL_S = 0.5


@dataclass(slots=True)
class Session:
    """One refresh under way.

    Attributes
    ----------
    cluster, door
        Where.
    owner, namespace
        The workload.
    until
        Instant of the monotonic clock at which patience ends.
    tell
        Takes a line about each step.
    writes
        Requests that changed something, so far.
    warnings
        What to know about it, so far.
    deaf
        Nodes where a forced sync does not read anew.
    """

    cluster: Cluster
    door: Inspectable
    owner: Owner
    namespace: str
    until: float
    tell: Callable[[str], None]
    writes: int = 0
    warnings: list[str] = field(default_factory=list)
    deaf: set[str] = field(default_factory=set)

    @property
    def kind(self) -> Kind:
        """Where in the API the workload is."""
        return KINDS[self.owner.kind]

    @property
    def left_s(self) -> float:
        """Seconds of patience that are left."""
        return max(self.until - self.cluster.clock.monotonic(), 0.0)

    def look_around(self) -> Circumstances:
        """Read the workload, and what acts on it.

        Raises
        ------
        NotFoundError
            There is no such workload.
        """
        found = self.read()
        labels = (found["spec"]["template"].get("metadata") or {}).get("labels") or {}
        autoscalers, budgets = self._all(AUTOSCALER), self._all(BUDGET)
        return Circumstances(
            owner=self.owner,
            found=found,
            autoscalers=None
            if autoscalers is None
            else scaled_by(autoscalers, self.owner),
            budgets=None if budgets is None else tuple(budgets_of(budgets, labels)),
        )

    def _all(self, kind: Kind) -> list[dict[str, Any]] | None:
        """List a kind; None: that is not allowed, nothing: the cluster has it not."""
        try:
            return self.cluster.list(kind, namespace=self.namespace)[0]
        except ForbiddenError:
            self.warnings.append(f"{kind.plural} may not be listed: look yourself")
            return None
        except NotFoundError:
            return []

    def read(self) -> dict[str, Any]:
        """Get the workload."""
        return self.cluster.get(self.kind, self.owner.name, namespace=self.namespace)

    def patch(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Change the workload."""
        stored = self.cluster.patch(
            self.kind, self.owner.name, body, namespace=self.namespace
        )
        self.writes += 1
        return stored

    def pods(self, found: Object, *, leaving: bool = False) -> list[dict[str, Any]]:
        """List the workload's pods, also those that are going if asked for."""
        selector = found["spec"]["selector"]
        by_labels = (
            None if selector.get("matchExpressions") else selector["matchLabels"]
        )
        pages = self.door.pages(POD, namespace=self.namespace, labels=by_labels)
        return [
            pod
            for page in pages
            for pod in page
            if owner_of(pod, {self.owner}) == self.owner
            and (leaving or not is_leaving(pod))
        ]

    def await_rollout(self) -> None:
        """Wait until all pods are new and available.

        Raises
        ------
        ClusterError
            When the time is over.
        """
        clock = self.cluster.clock
        while not is_rolled_out(self.read(), self.owner.kind):
            if not self.left_s:
                msg = (
                    f"{self.owner} is not complete in time, and goes on without us: "
                    f"see `kubectl rollout status {self.owner} -n {self.namespace}`"
                )
                raise ClusterError(msg)
            clock.sleep(POLL_S)


def choose(session: Session, found: Object, configmap: str | None) -> list[Reference]:
    """List the objects to verify: the one that was named, or every ConfigMap.

    Parameters
    ----------
    session
        The refresh; it is warned of what is left out.
    found
        The workload.
    configmap
        A name, or ``secret/NAME``; None: what the template's containers use.

    Raises
    ------
    NotFoundError
        An object that has to be there is not.
    UsageError
        The workload does not use the one that was named.
    """
    template = found["spec"]["template"]
    if configmap is not None:
        is_whole = "/" in configmap
        one = parse_reference(configmap if is_whole else f"configmap/{configmap}")
        _get(session, one)
        pods = () if uses_of(template, one) else session.pods(found)
        if not any(uses_of(pod, one) for pod in (template, *pods)):
            msg = (
                f"{session.owner} does not use {one}: `cmhot explain {one}` "
                "says who does"
            )
            raise UsageError(msg)
        return [one]
    return [
        one
        for one in sorted(references_of(template))
        if not one.is_secret
        and not _is_over(uses := uses_of(template, one))
        and _is_there(session, one, uses)
    ]


def _is_over(uses: Sequence[Use]) -> bool:
    """Tell whether none but init containers use it."""
    return all(use.role is Role.INIT for use in uses)


def _is_there(session: Session, reference: Reference, uses: Sequence[Use]) -> bool:
    try:
        _get(session, reference)
    except NotFoundError:
        if not all(use.optional for use in uses):
            raise
        session.warnings.append(f"{reference} does not exist, and is optional")
        return False
    return True


def _get(session: Session, reference: Reference) -> None:
    session.cluster.get(reference.place, reference.name, namespace=session.namespace)


def verify(
    method: Method, session: Session, found: Object, references: Sequence[Reference]
) -> tuple[Waited, ...]:
    """Look from inside whether it has helped; warn of what cannot be looked at.

    Parameters
    ----------
    method
        How it was refreshed.
    session
        The refresh.
    found
        The workload, as it is now.
    references
        From `choose`.
    """
    if replicas_of(found, session.owner.kind) == 0:
        session.warnings.append(f"{session.owner} has no pods: nothing was looked at")
        return ()
    verified = []
    for reference in references:
        uses = uses_of(found["spec"]["template"], reference)
        if uses and _is_over(uses):
            session.warnings.append(
                f"none but init containers of {session.owner} use {reference}: "
                "what they have read is not looked at"
            )
            continue
        try:
            waited = wait(
                session.cluster,
                str(reference),
                workload=str(session.owner),
                namespace=session.namespace,
                timeout_s=session.left_s,
                # what a sync cannot bring is not this method's to bring
                updatable_only=method is Method.ANNOTATE,
            )
        except UnusedError as error:
            session.warnings.append(str(error))
        else:
            verified.append(waited)
    return tuple(verified)


AT_ONCE = 8
"""Requests at the same time."""
SETTLE_S = 1.2
"""From a touch to the look whether it helped: a sync that follows another one waits for
the next relist (1 s), and the two volume loops take 0.2 s."""
TRIES = 5
IN_PHASE = (
    "these pods were synced at the same time, and will be so again: the next updates "
    "reach them together, until their jitter has spread them (some five syncs)"
)


def to_touch(
    pods: Sequence[dict[str, Any]], references: Sequence[Reference]
) -> list[dict[str, Any]]:
    """Choose the pods to which a sync brings something.

    A pod that is on no node yet reads for itself once it is; what an init container
    has read, no sync reads again.

    Parameters
    ----------
    pods
        Of the workload.
    references
        Objects that matter.
    """
    return [
        pod
        for pod in pods
        if pod["spec"].get("nodeName")
        and any(
            not use.way.is_fixed and use.role is not Role.INIT
            for reference in references
            for use in uses_of(pod, reference)
        )
    ]


def deaf_nodes(session: Session, pods: Sequence[dict[str, Any]]) -> set[str]:
    """List nodes where a sync does not ask again for what the kubelet keeps; say so."""
    nodes = sorted({pod["spec"].get("nodeName") for pod in pods} - {None})
    facts = node_facts(session.cluster, nodes)
    deaf = [fact for fact in facts.values() if not fact.annotate_reads]
    if deaf:
        longest = max(fact.setting.ttl_s or 0.0 for fact in deaf if fact.setting)
        session.warnings.append(
            f"{len(deaf)} of {len(nodes)} nodes keep what they have read for up to "
            f"{longest:g} s (strategy Cache): a sync there does not ask again, so this "
            "cannot force it; use --method rollout"
        )
    return {fact.name for fact in deaf}


def touch_and_verify(
    session: Session,
    pods: Sequence[dict[str, Any]],
    references: Sequence[Reference],
    *,
    rate_per_s: float,
) -> int:
    """Touch pods, and touch again those that have read old content.

    Parameters
    ----------
    session
        The refresh.
    pods
        Which.
    references
        What they should hold afterwards.
    rate_per_s
        Most writes a second.

    Returns
    -------
    int
        Pods that had to be touched again.

    Raises
    ------
    UsageError
        No pod gets anything by a sync.
    """
    if not pods:
        msg = (
            f"no pod of {session.owner} that is on a node mounts the object in a way "
            "that updates: use --method rollout"
        )
        raise UsageError(msg)
    due, again = list(pods), 0
    pace = _Pace(session.cluster.clock, rate_per_s)
    contents = {
        reference: content_of(
            session.cluster.get(
                reference.place, reference.name, namespace=session.namespace
            )
        )
        for reference in references
    }
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for turn in range(TRIES):
            list(pool.map(lambda pod: _touch(session, pod, pace), due))
            session.writes += len(due)
            if turn == 0:
                session.tell(f"touched {len(due)} pods")
            else:
                again += len(due)
                session.tell(f"touched {len(due)} pods again: they had read too early")
            session.cluster.clock.sleep(SETTLE_S)
            due = [one for one in due if one["spec"]["nodeName"] not in session.deaf]
            due = _stale(session, due, contents, pool)
            if not due or not session.left_s:
                break
    return again


def _stale(
    session: Session,
    pods: Sequence[dict[str, Any]],
    contents: dict[Reference, dict[str, bytes]],
    pool: ThreadPoolExecutor,
) -> list[dict[str, Any]]:
    """List the pods that hold other content."""
    parts: list[tuple[Part, Reference]] = [
        (part, reference)
        for pod in pods
        for reference in contents
        for part in parts_of(pod, uses_of(pod, reference), immutable=False)
        if part.updates
    ]

    def is_stale(one: tuple[Part, Reference]) -> bool:
        part, reference = one
        seen = look(
            session.door, part, contents[reference], namespace=session.namespace
        )
        return seen.state is State.STALE

    verdicts = pool.map(is_stale, parts)
    stale = {
        part.name for (part, _), is_so in zip(parts, verdicts, strict=True) if is_so
    }
    return [pod for pod in pods if pod["metadata"]["name"] in stale]


def _touch(session: Session, pod: dict[str, Any], pace: _Pace) -> None:
    pace.wait()
    stamp = str(session.cluster.clock.utc_ns())
    try:
        session.cluster.patch(
            POD,
            pod["metadata"]["name"],
            {"metadata": {"annotations": {TOUCHED: stamp}}},
            namespace=session.namespace,
        )
    except NotFoundError:
        return  # it has gone meanwhile, and its successor reads for itself


class _Pace:
    """Lets so many through a second; the first second's worth may pass at once."""

    def __init__(self, clock: Clock, per_s: float) -> None:
        self._clock = clock
        self._per_s = per_s
        self._begin = clock.monotonic()
        self._passed = 0
        self._lock = threading.Lock()

    def wait(self) -> None:
        with self._lock:
            due = (self._passed - self._per_s) / self._per_s
            self._passed += 1
            self._clock.sleep(self._begin + due - self._clock.monotonic())


PATIENCE_S = 60.0
"""Scaling back is tried for so long at least, whatever time was given for all of it."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 8.0
"""Between two tries: each pause is twice the one before."""


def recreate(session: Session, around: Circumstances) -> None:
    """Scale to nothing, wait until the last pod has gone, and scale back in any case.

    Raises
    ------
    ClusterError
        Somebody has changed the workload meanwhile; a pod does not go in time;
        it could not be scaled back.
    """
    try:
        _scale_down(session, around)
    except BaseException as error:
        if not _is_refusal(error):  # it may have been scaled all the same
            scale_up(session, around.replicas, is_in_doubt=True)
        raise
    try:
        _await_gone(session, around)
    finally:
        scale_up(session, around.replicas)


def _scale_down(session: Session, around: Circumstances) -> None:
    session.patch(
        {
            "metadata": {
                # the number that is remembered is that of this version
                "resourceVersion": around.found["metadata"]["resourceVersion"],
                "annotations": {REMEMBERED: around.note},
            },
            "spec": {"replicas": 0},
        }
    )
    session.tell(f"scaled from {around.replicas} to 0 (remembered in {REMEMBERED})")


def _is_refusal(error: BaseException) -> bool:
    """Tell whether an answer says for sure that nothing was changed."""
    if isinstance(error, ForbiddenError | NotFoundError):
        return True
    if not isinstance(error, ClusterError) or error.status is None:
        return False
    status = error.status
    is_sure = status != HTTPStatus.REQUEST_TIMEOUT
    return is_sure and status < HTTPStatus.INTERNAL_SERVER_ERROR


def _await_gone(session: Session, around: Circumstances) -> None:
    while session.pods(around.found, leaving=True):
        if not session.left_s:
            msg = (
                f"pods of {session.owner} do not go: see `kubectl get pods -n "
                f"{session.namespace}`; its replicas have been restored"
            )
            raise ClusterError(msg)
        session.cluster.clock.sleep(POLL_S)


def scale_up(
    session: Session, replicas: int, *, is_in_doubt: bool = False
) -> dict[str, Any]:
    """Scale to what it was, and forget the number in the same request.

    An answer that is an error is no reason to leave it at nothing: it is asked again.

    Parameters
    ----------
    session
        The refresh.
    replicas
        How many.
    is_in_doubt
        Whether the request that scales to nothing may still be under way. Then the
        workload is changed in any case: that request is about the version before, and
        is refused when it arrives late.

    Raises
    ------
    NotFoundError
        There is no such workload any more.
    ClusterError
        It is at nothing, and says so.
    """
    clock = session.cluster.clock
    annotations: dict[str, str | None] = {REMEMBERED: None}
    if is_in_doubt:
        annotations[TOUCHED] = str(clock.utc_ns())
    body = {"metadata": {"annotations": annotations}, "spec": {"replicas": replicas}}
    until = max(session.until, clock.monotonic() + PATIENCE_S)
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            stored = session.patch(body)
        except NotFoundError:
            raise
        except ClusterError as error:
            if isinstance(error, ForbiddenError) or clock.monotonic() >= until:
                msg = f"{_alarm(session, replicas)} ({error})"
                raise ClusterError(msg, status=error.status) from error
            session.tell(f"not scaled back yet, trying again: {error}")
        except KeyboardInterrupt:
            session.tell(_alarm(session, replicas))
            raise
        else:
            session.tell(f"scaled back to {replicas}")
            return stored
        clock.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _alarm(session: Session, replicas: int) -> str:
    owner, namespace = session.owner, session.namespace
    return (
        f"{owner} IS AT 0 REPLICAS: `kubectl scale {owner} -n {namespace} "
        f"--replicas={replicas}`, or call again"
    )
