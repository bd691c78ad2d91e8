"""What uses a ConfigMap or a Secret, what sees an update and when, what is amiss.

Each kind of object is read once, in pages of which no more than one is kept: of each
pod that uses the object little is kept, the others are counted. Nothing is written.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cmhot.cluster.nodes import NO_KUBELET, NOT_READY, observe_settings
from cmhot.cluster.port import POD
from cmhot.display import Page, Shown, as_lines, one_line
from cmhot.errors import ForbiddenError, NotFoundError
from cmhot.kubelet.uses import (
    Role,
    Way,
    containers_of,
    fate_of,
    mentions_of,
    nearest,
    parse_reference,
    references_of,
    unmounted,
    uses_of,
)
from cmhot.kubelet.view import Absent, content_of, view_of
from cmhot.propagation.absence import absent, base_of, names_like
from cmhot.propagation.expectation import expectation, sync_reads
from cmhot.propagation.objects import Objects
from cmhot.propagation.remedies import (
    PUT_BACK,
    Shell,
    restarted_by,
    to_bring_in,
    to_finish,
    ways,
)
from cmhot.propagation.workload import (
    KINDS,
    is_leaving,
    owner_of,
    template_of,
    workload_uses,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    import pandas as pd

    from cmhot.cluster.nodes import ObservedNode
    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.settings import Setting
    from cmhot.kubelet.uses import Fate, Object, Reference, Use
    from cmhot.kubelet.view import ContainerView, Lookup
    from cmhot.propagation.expectation import Expected
    from cmhot.propagation.workload import Workload, WorkloadUses


COSTS = {
    "annotate": "one write a pod; a sync of the pod within 0.2 s (1 s after another "
    "one); afterwards these pods are synced at the same time",
    "rollout": "every pod is replaced, as the workload's strategy allows",
    "recreate": "no pod at all until the new ones are Ready",
    "delete": "the pods are deleted, one after the other, and their owner makes others",
}
"""Costs of each way to force an update, by its name."""
MOST_TOLD = 5
"""Mistakes of one kind that the text lists; the JSON has them all."""
_MATTERS = ("name", "env", "envFrom", "volumeMounts")
"""Parts of a container on which its files and variables depend."""
_TOKEN = re.compile(r"kube-api-access-\w+")
"""Volume that the API server adds to each pod, under another name."""
_SOURCES = {
    "configz": "as the kubelet itself reports",
    "given": "as given",
    "sampled": "as other nodes of this cluster report",
    "unknown": "since it may not be asked: give it (--setting sync=60s)",
    NO_KUBELET: "since it has no kubelet whose delays are known",
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """A probable mistake, in words, with its remedy.

    ``kind`` is for programs: ``subPath``, ``env``, ``immutable``, ``some-replicas``,
    ``older-template``, ``absent``, ``absent-key``, ``blocked``, ``covered``,
    ``near-name``, ``unused`` or ``unmounted``.
    """

    kind: str
    what: str
    remedy: str

    def to_dict(self) -> dict[str, str]:
        """Give it as JSON does."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Effect:
    """What one use gives a container that starts now, by the kubelet's rules.

    Attributes
    ----------
    use
        The use.
    stuck
        Why the kubelet renews no volume of the pod; empty: it does.
    blocked
        Why the pod, made anew, would not start; empty: it would.
    covered
        Keys of the object that have no effect here, each with what comes later.
    is_empty
        A subPath that names no key: the kubelet mounts an empty folder.
    is_emptied
        A subPath that is a folder: the next update empties it.
    """

    use: Use
    stuck: str = ""
    blocked: str = ""
    covered: tuple[tuple[str, str], ...] = ()
    is_empty: bool = False
    is_emptied: bool = False

    def fate(self, *, immutable: bool) -> Fate:
        """Say what becomes of an update, also where something is missing."""
        fate = fate_of(self.use, immutable=immutable)
        if not self.blocked:
            return fate
        ephemeral = fate.pod_restart is None
        no_pod = None if ephemeral else False
        if not self.stuck or not fate.update:
            return replace(fate, pod_restart=no_pod)
        why = f"no volume of the pod is renewed while {self.stuck}"
        return replace(
            fate,
            update=False,
            container_restart=no_pod,
            pod_restart=no_pod,
            why=why,
        )


def effects_of(pod: Object, reference: Reference, lookup: Lookup) -> tuple[Effect, ...]:
    """Say of each use in a pod, or in a template, what it gives."""
    uses = uses_of(pod, reference)
    if not uses:
        return ()
    views = {
        one["name"]: view_of(pod, one["name"], lookup)
        for one, role in containers_of(pod["spec"])
        if role is not Role.EPHEMERAL
        or any(use.container == one["name"] for use in uses)
    }
    stuck = next(iter(views.values())).stuck
    blocked = next((one.blocked for one in views.values() if one.blocked), "")
    return tuple(
        _effect(use, views[use.container], reference, Effect(use, stuck, blocked))
        for use in uses
    )


def _effect(
    use: Use, view: ContainerView, reference: Reference, effect: Effect
) -> Effect:
    covered = []
    for place, given in view.of(use).items():
        winner = "what comes later" if given.source is None else str(given.source)
        covered += [
            (key, winner)
            for source, key in given.covers
            if source == reference
            and (given.source, given.key) != (reference, key)
            and (use.way is not Way.ENV_FROM or place == use.where + key)
        ]
    if use.way.is_environment:
        return replace(effect, covered=tuple(sorted(covered)))
    folder = view.folder(use)
    return replace(
        effect,
        covered=tuple(sorted(covered)),
        is_empty=folder.names_nothing,
        is_emptied=folder.emptied,
    )


@dataclass(frozen=True, slots=True)
class Consumer:
    """One way in which the pods of one workload use the object.

    Attributes
    ----------
    owner
        The workload; a pod without an owner stands for itself.
    pods
        Names of its pods that use it so; none: only its template does.
    effect
        How, and what that gives.
    fate
        Whether an update arrives, and after which event.
    expected
        When it arrives; None: never, or not known.
    forced_by
        Ways to bring it in at once; see `COSTS`.
    """

    owner: Workload
    pods: tuple[str, ...]
    effect: Effect
    fate: Fate
    expected: Expected | None
    forced_by: tuple[str, ...]

    @property
    def use(self) -> Use:
        """The way in."""
        return self.effect.use

    def to_dict(self, namespace: str) -> dict[str, Any]:
        """Return the entry in ``explain --json``."""
        return {
            "kind": self.owner.kind,
            "name": self.owner.name,
            "namespace": namespace,
            "pods": len(self.pods),
            "pod_names": list(self.pods),
            "container": self.use.container,
            "role": self.use.role.value,
            "consumer": self.use.way.value,
            "key_or_path": self.use.key_or_path,
            "optional": self.use.optional,
            "updates": self.fate.update,
            "after_container_restart": self.fate.container_restart,
            "after_pod_restart": self.fate.pod_restart,
            "why": self.fate.why,
            "blocked": self.effect.blocked or None,
            "covered": [{"key": k, "by": by} for k, by in self.effect.covered],
            "expected": None if self.expected is None else self.expected.to_dict(),
            "forced_by": list(self.forced_by),
        }


@dataclass(frozen=True, slots=True, repr=False)
class Explanation(Shown):
    """The consumers of an object, when each sees an update, and what is amiss.

    Attributes
    ----------
    reference, namespace
        The object.
    exists, immutable
        Whether it exists, and can change.
    rows
        One for each workload, container and way.
    mistakes
        Probable mistakes.
    nodes
        Nodes of the pods that use it, with their kubelets' settings.
    notes
        What could not be read.
    pods_read
        Number of pods that were read.
    """

    reference: Reference
    namespace: str
    exists: bool
    immutable: bool
    rows: tuple[Consumer, ...]
    mistakes: tuple[Mistake, ...]
    nodes: tuple[ObservedNode, ...]
    notes: tuple[str, ...]
    pods_read: int

    @property
    def pods(self) -> int:
        """How many pods use it."""
        return len({pod for row in self.rows for pod in row.pods})

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``explain --json``; seconds."""
        return {
            "object": str(self.reference),
            "namespace": self.namespace,
            "exists": self.exists,
            "immutable": self.immutable,
            "pods": self.pods,
            "consumers": [row.to_dict(self.namespace) for row in self.rows],
            "mistakes": [one.to_dict() for one in self.mistakes],
            "nodes": [
                {
                    "name": node.name,
                    "source": node.source,
                    "kubelet": node.kubelet,
                    "sync_frequency_s": node.setting and node.setting.sync_frequency_s,
                    "strategy": node.setting and node.setting.strategy.value,
                    "ttl_s": node.setting and node.setting.ttl_s,
                }
                for node in self.nodes
            ],
            "costs": self._costs(),
            "notes": list(self.notes),
        }

    def _costs(self) -> dict[str, str]:
        """Write the costs of each method that brings an update in here."""
        methods = {name for row in self.rows for name in row.forced_by}
        return {name: text for name, text in COSTS.items() if name in methods}

    def table(self) -> pd.DataFrame:
        """Give a row for each workload, container and way; seconds."""
        import pandas as pd  # noqa: PLC0415 - half a second that the text does not need

        return pd.DataFrame(self._cells())

    def to_text(self) -> str:
        """Write the explanation for people."""
        cells = self._cells()
        # without a heading, its first line is empty
        table = [Page("", cells).to_text()] if cells else []
        return "\n".join(
            [one_line(self._heading()), *table, "", as_lines(self._after())]
        )

    def page(self) -> Page:
        """Show a row for each workload, container and way, and the notes."""
        notes = [line.strip("! ") for line in self._after() if line]
        return Page(self._heading(), self._cells(), notes)

    def _heading(self) -> str:
        workloads = _number(len({row.owner for row in self.rows}), "workload")
        pods = _number(self.pods, "pod")
        text = f"{self.reference} in {self.namespace}: used by {workloads}, {pods}"
        return text + (", immutable" if self.immutable else "")

    def _cells(self) -> list[dict[str, str]]:
        return [
            {
                "workload": str(row.owner),
                "pods": str(len(row.pods)),
                "container": _named(row.use),
                "consumer": row.use.way.value + " (optional)" * row.use.optional,
                "where": row.use.key_or_path,
                "updates": _updates(row),
                **_seconds(row),
                "forced by": ", ".join(row.forced_by) or "-",
            }
            for row in self.rows
        ]

    def _after(self) -> Iterator[str]:
        """Yield the sentences below the table."""
        never = {row.fate.why: row for row in self.rows if not row.fate.update}
        for why, row in never.items():
            yield f"{_updates(row).lower()}: {why}"
        yield from self._mistakes()
        settings = Counter((node.setting, node.source) for node in self.nodes)
        for (setting, source), number in settings.items():
            nodes, at = _number(number, "node"), setting or "no known setting"
            if source != NOT_READY:
                yield f"when: {nodes} at {at}, {_SOURCES[source]}"
        if ill := [one.name for one in self.nodes if one.source == NOT_READY]:
            some = ", ".join(ill[:MOST_TOLD])
            yield (
                f"when: {_number(len(ill), 'node')} not Ready ({some}): nothing is "
                "renewed there until it is; the times are the others'"
            )
        for name, cost in self._costs().items():
            yield f"{name}: {cost}"
        yield from self.notes

    def _mistakes(self) -> Iterator[str]:
        """Yield a line for each mistake, but only the first few of one kind."""
        kinds: dict[str, dict[str, list[str]]] = {}
        for one in self.mistakes:
            kinds.setdefault(one.kind, {}).setdefault(one.remedy, []).append(one.what)
        for remedies in kinds.values():
            left = sum(map(len, remedies.values())) - MOST_TOLD
            told = 0
            for remedy, texts in remedies.items():
                some = texts[: max(MOST_TOLD - told, 0)]
                told += len(some)
                for what in some:
                    yield f"! {what}"
                if left > 0 and len(some) < len(texts):
                    yield f"! and {left:,} more of these (see --json)"
                    left = 0
                if some:
                    yield f"  remedy: {remedy}"


def _updates(row: Consumer) -> str:
    if row.fate.update:
        return "yes"
    return "blocked" if row.effect.stuck and not row.use.way.is_fixed else "NEVER"


def explain(
    cluster: Cluster,
    reference: str,
    *,
    namespace: str | None = None,
    given: Setting | None = None,
) -> Explanation:
    """List what uses a ConfigMap or a Secret, what will see an update, and when.

    Nothing is changed. Objects are read page by page; at most 20 kubelets are
    asked for their setting.

    Parameters
    ----------
    cluster
        From `connect`.
    reference
        ``configmap/NAME`` or ``secret/NAME``.
    namespace
        Of the object and of the pods; None: that of the context.
    given
        Setting of the kubelets that may not be asked; None: it is not known.

    Returns
    -------
    Explanation
        A table in JupyterLab; ``to_text()``, ``to_dict()``, ``table()``.

    Raises
    ------
    NotFoundError
        There is no such object, and no pod uses it; the message names the nearest.
    UsageError
        The reference is malformed.

    Examples
    --------
    >>> cluster = cmhot.connect("testbed")  # doctest: +SKIP
    >>> cmhot.explain(cluster, "configmap/special-config")  # doctest: +SKIP
    """
    namespace = namespace or cluster.namespace
    wanted = parse_reference(reference)
    notes: list[str] = []
    objects = Objects(cluster, namespace)
    stored = objects(wanted)
    if stored is Absent.UNREAD:
        notes.append(
            f"{wanted} may not be read: whether it exists or is immutable is not known "
            "(ask for get on it)"
        )
    survey = Survey(wanted, objects)
    _declare(survey, cluster, namespace, notes)
    for page in cluster.pages(POD, namespace=namespace):
        survey.add(page)
    if stored is Absent.MISSING and not survey.users:
        raise absent(cluster, wanted, namespace, survey.named)
    existing: Sequence[str] = ()
    if stored is Absent.MISSING or nearest(wanted.name, survey.named) is not None:
        existing = names_like(cluster, wanted, namespace, set(survey.named))
    nodes = observe_settings(cluster, given=given, sample=sorted(survey.per_node()))
    return explain_survey(
        survey,
        shell=Shell.of(cluster, namespace),
        nodes={node.name: node for node in nodes},
        existing=existing,
        notes=notes,
    )


def _declare(
    survey: Survey, cluster: Cluster, namespace: str, notes: list[str]
) -> None:
    """Read the templates of a namespace, a kind after the other."""
    for name, kind in KINDS.items():
        try:
            for page in cluster.pages(kind, namespace=namespace):
                for one in page:
                    survey.declare(one, name)
        except ForbiddenError:
            notes.append(
                f"{kind.plural} may not be listed: those without pods are missing here "
                "(ask for list on them)"
            )
        except NotFoundError:
            notes.append(f"this cluster has no {kind.plural} in {kind.api_version}")


@dataclass(frozen=True, slots=True)
class ConsumingPod:
    """A pod that uses the object; ``node`` None: it is not scheduled."""

    name: str
    node: str | None
    effects: tuple[Effect, ...]
    restarts: str  # its restartPolicy


@dataclass(slots=True)
class Survey:
    """The pods of a namespace, read page by page; only those in question are kept.

    ``lookup`` gives the objects that they name, the one in question among them.
    """

    reference: Reference
    lookup: Lookup
    workloads: dict[Workload, WorkloadUses] = field(default_factory=dict)
    templates: dict[Workload, tuple[Effect, ...]] = field(default_factory=dict)
    consumers: dict[Workload, list[ConsumingPod]] = field(default_factory=dict)
    pods: Counter[Workload] = field(default_factory=Counter)  # also that do not use it
    named: dict[str, set[Workload]] = field(default_factory=dict)
    """Objects of its kind that pods name, by name, and whose pods."""
    mentioned: dict[Workload, set[str]] = field(default_factory=dict)  # in what else
    sandboxes: set[str] = field(default_factory=set)  # runtime classes of users
    restarters: dict[Workload, str] = field(default_factory=dict)
    unmounted: dict[Workload, set[str]] = field(default_factory=dict)  # volumes of it
    total: int = 0
    _alike: dict[str, tuple[Effect, ...]] = field(default_factory=dict)

    def declare(self, found: Object, kind: str) -> None:
        """Take a workload, with its template."""
        workload = workload_uses(found, kind, self.reference)
        owner, template = workload.owner, template_of(found, kind)
        self.workloads[owner] = workload
        self.templates[owner] = effects_of(template, self.reference, self.lookup)
        if mentions := mentions_of(template, self.reference):
            self.mentioned.setdefault(owner, set()).update(mentions)
        if owner.is_refreshed and (annotation := restarted_by(found)):
            self.restarters[owner] = annotation

    def add(self, page: Iterable[Object]) -> None:
        """Take a page of pods, and forget it."""
        for pod in page:
            self.total += 1
            if is_leaving(pod):
                continue
            owner = owner_of(pod, self.workloads.__contains__)
            self.pods[owner] += 1
            references = references_of(pod)
            for one in references:
                if one.kind == self.reference.kind:
                    self.named.setdefault(one.name, set()).add(owner)
            if mentions := mentions_of(pod, self.reference):
                self.mentioned.setdefault(owner, set()).update(mentions)
            if self.reference in references:
                self._keep(pod, owner)

    def _keep(self, pod: Object, owner: Workload) -> None:
        if loose := unmounted(pod, self.reference):
            self.unmounted.setdefault(owner, set()).update(loose)
        spec = pod["spec"]
        if spec.get("runtimeClassName"):
            self.sandboxes.add(spec["runtimeClassName"])
        consumer = ConsumingPod(
            pod["metadata"]["name"],
            spec.get("nodeName"),
            self._effects(pod),
            spec.get("restartPolicy", "Always"),
        )
        self.consumers.setdefault(owner, []).append(consumer)

    def _effects(self, pod: Object) -> tuple[Effect, ...]:
        """Say what the uses give; once for all pods that are made alike."""
        containers = [
            [role.value, *(one.get(part) for part in _MATTERS)]
            for one, role in containers_of(pod["spec"])
        ]
        text = _TOKEN.sub("", repr((pod["spec"].get("volumes"), containers)))
        if "subPathExpr" in text:  # which may depend on the pod's name
            return effects_of(pod, self.reference, self.lookup)
        found = self._alike.get(text)
        if found is None:
            found = effects_of(pod, self.reference, self.lookup)
            self._alike[text] = found
        return found

    @property
    def stored(self) -> Object | Absent:
        """The object in question."""
        return self.lookup(self.reference)

    @property
    def users(self) -> set[Workload]:
        """Name the workloads whose pods or template use the object."""
        templates = (one.owner for one in self.workloads.values() if one.uses)
        return {*self.consumers, *templates}

    def per_node(self) -> Counter[str]:
        """Count the pods of each node that use it; some may not be scheduled yet."""
        return Counter(
            one.node
            for pods in self.consumers.values()
            for one in pods
            if one.node is not None
        )

    def effects(self, owner: Workload) -> dict[Effect, list[ConsumingPod]]:
        """Give the effects in a workload's pods, and in its template, with the pods."""
        found: dict[Effect, list[ConsumingPod]] = {}
        for pod in self.consumers.get(owner, ()):
            for effect in pod.effects:
                found.setdefault(effect, []).append(pod)
        for effect in self.templates.get(owner, ()):
            found.setdefault(effect, [])
        return found


def explain_survey(
    survey: Survey,
    *,
    shell: Shell,
    nodes: Mapping[str, ObservedNode],
    existing: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Explanation:
    """Explain an object from a survey of its namespace's pods.

    ``shell`` writes the commands of remedies, ``nodes`` are those on which pods use the
    object, ``existing`` names of its kind, where they were listed, ``notes`` what could
    not be read.
    """
    stored = survey.stored
    immutable = not isinstance(stored, Absent) and bool(stored.get("immutable"))
    rows = tuple(sorted(_rows(survey, nodes, immutable=immutable), key=_order))
    return Explanation(
        reference=survey.reference,
        namespace=shell.namespace,
        exists=stored is not Absent.MISSING,
        immutable=immutable,
        rows=rows,
        mistakes=tuple(find_mistakes(survey, shell=shell, existing=existing)),
        nodes=tuple(nodes[name] for name in sorted(survey.per_node()) if name in nodes),
        notes=(*notes, *_remarks(survey)),
        pods_read=survey.total,
    )


def _remarks(survey: Survey) -> Iterator[str]:
    """Yield what else there is to know."""
    reference, users = survey.reference, survey.users
    for owner, places in () if users else sorted(survey.mentioned.items()):
        said = ", ".join(sorted(places))
        yield (
            f"{owner} has the name {reference.name} in {said}: what is done with it, "
            "and when, cannot be seen here"
        )
    for owner, annotation in sorted(survey.restarters.items()):
        if owner in users:
            yield f"{owner} has {annotation}: its pods may be restarted after a change"
    for owner in sorted(users & survey.workloads.keys()):
        operator = survey.workloads[owner].replacement.operator
        if operator is not None:
            yield f"{owner} belongs to {operator}, which may undo changes of it"
    if survey.sandboxes:
        classes = ", ".join(sorted(survey.sandboxes))
        yield (
            f"pods of the runtime class {classes}: when its sandbox shows a new file "
            "is up to it, beyond the kubelet's delay"
        )


def _order(row: Consumer) -> tuple[Workload, str, str, str]:
    return row.owner, row.use.container, row.use.way, row.use.where


def _rows(
    survey: Survey,
    nodes: Mapping[str, ObservedNode],
    *,
    immutable: bool,
) -> Iterator[Consumer]:
    sharers = survey.per_node()
    for owner in survey.users:
        workload = survey.workloads.get(owner)
        for effect, pods in survey.effects(owner).items():
            fate = effect.fate(immutable=immutable)
            homes = Counter(
                pod.node
                for pod in pods
                if pod.node is not None
                # those that are not Ready have no time, and that is said of them
                and not (pod.node in nodes and nodes[pod.node].source == NOT_READY)
            )
            reads = all(sync_reads(nodes[name]) for name in homes if name in nodes)
            yield Consumer(
                owner=owner,
                pods=tuple(sorted(pod.name for pod in pods)),
                effect=effect,
                fate=fate,
                expected=expectation(homes, nodes, sharers=sharers)
                if fate.update and homes
                else None,
                forced_by=forced_by(
                    owner, workload, effect.use, fate, annotate_reads=reads
                ),
            )


def forced_by(
    owner: Workload,
    workload: WorkloadUses | None,
    use: Use,
    fate: Fate,
    *,
    annotate_reads: bool,
) -> tuple[str, ...]:
    """List the ways that bring an update into a workload's container at once.

    ``workload``: what its template says, where there is one; ``annotate_reads``: a sync
    reads new content; under Cache with a TTL it may not.
    """
    return ways(
        owner,
        None if workload is None else workload.replacement,
        syncs=fate.update and annotate_reads and use.role is not Role.INIT,
        restarts=bool(fate.pod_restart),
    )


def find_mistakes(
    survey: Survey, *, shell: Shell, existing: Sequence[str]
) -> Iterator[Mistake]:
    """Yield probable mistakes; ``existing`` empty: other names were not listed."""
    yield from _of_object(survey, existing)
    for owner in sorted(survey.users):
        effects = survey.effects(owner)
        remedy = _anew(survey, owner, shell)
        for effect in sorted(effects, key=_place_of):
            yield from _of_effect(owner, effect, survey, remedy)
        yield from _of_blocked(owner, effects, survey)
        yield from _of_replicas(survey, owner, shell)


def _place_of(effect: Effect) -> tuple[str, str, str]:
    return effect.use.container, effect.use.way, effect.use.where


def _anew(survey: Survey, owner: Workload, shell: Shell) -> str:
    """Say how an update comes into what no update reaches."""
    workload = survey.workloads.get(owner)
    pods = survey.consumers.get(owner)
    effects = survey.templates.get(owner) or survey.effects(owner)
    if not pods:
        return "its next pods have it"
    pod = {
        "metadata": {"name": pods[0].name},
        "spec": {"restartPolicy": pods[0].restarts},
    }
    remedy = to_bring_in(
        owner,
        pod,
        shell=shell,
        replacement=None if workload is None else workload.replacement,
        syncs=False,
        blocked=next((one.blocked for one in effects if one.blocked), ""),
    )
    return str(remedy)


def _of_object(survey: Survey, existing: Sequence[str]) -> Iterator[Mistake]:
    reference, stored = survey.reference, survey.stored
    used = bool(survey.users)
    if stored is Absent.MISSING:
        near = nearest(reference.name, existing)
        yield Mistake(
            "absent",
            f"{reference} does not exist, and pods that need it do not start",
            f"create it, or correct the name{_meant(near)}",
        )
        return
    if not used:
        near = nearest(reference.name, survey.named)
        yield Mistake(
            "unused",
            f"no pod and no template of the namespace takes {reference} as a volume or "
            "a variable",
            "that is all that can be seen here: a program may read it through the API, "
            f"by its name or a label; ask its owner before you delete it{_meant(near)}",
        )
    gone = set(survey.named) - set(existing) if existing else set()
    base = base_of(reference.name)
    near = nearest(
        reference.name, {one for one in gone if base is None or base_of(one) != base}
    )
    if near is not None:
        yield Mistake(
            "near-name",
            f"some pods name {reference.kind}/{near}, which does not exist",
            f"is {reference.name!r} meant? Correct it there, unless it is optional",
        )
    if used and not isinstance(stored, Absent) and stored.get("immutable"):
        yield Mistake(
            "immutable",
            f"{reference} is immutable",
            "make another one under a new name, and let the template name that one",
        )


def _meant(near: str | None) -> str:
    return "" if near is None else f" (is {near!r} meant?)"


def _of_effect(
    owner: Workload, effect: Effect, survey: Survey, anew: str
) -> Iterator[Mistake]:
    use = effect.use
    place = f"{owner}, container {use.container}"
    yield from _of_keys(place, effect, survey)
    if use.role is Role.INIT or owner.kind == "CronJob":
        return  # a short-lived pod reads it anew the next time
    if effect.is_empty:
        return  # neither an update nor a new pod brings it
    if use.way in {Way.SUB_PATH, Way.SUB_PATH_EXPR}:
        emptied = ": it is a folder, which the next update even empties"
        yield Mistake(
            "subPath",
            f"{place} mounts {use.where} by {use.way}, which never updates"
            f"{emptied * effect.is_emptied}",
            anew
            if effect.blocked
            else "mount the whole volume in a folder of its own, or bring each update "
            f"in: {anew}",
        )
    elif use.way.is_environment:
        yield Mistake(
            "env",
            f"{place} takes {use.key_or_path} by {use.way}, which never updates",
            anew
            if effect.blocked
            else f"read it from a mounted file, or bring each update in: {anew}",
        )


def _of_keys(place: str, effect: Effect, survey: Survey) -> Iterator[Mistake]:
    """Yield what is amiss with the keys that a use names."""
    use, stored = effect.use, survey.stored
    if not isinstance(stored, Absent):
        keys = content_of(stored)
        missing = [key for key, _ in use.items or () if key not in keys]
        if missing and not use.optional:
            yield Mistake(
                "absent-key",
                f"{place} needs the key {missing[0]!r}, which the object has not: "
                f"{_UNTIL[use.way.is_environment]}",
                f"add it, or correct the name{_meant(nearest(missing[0], keys))}",
            )
        if effect.is_empty:
            near = nearest(use.sub_path, keys)
            yield Mistake(
                "absent-key",
                f"{place} mounts the {use.way} {use.sub_path} at {use.where}, which is "
                "no key of the object: a new container has an empty folder there",
                f"correct the name{_meant(near)}, and roll the workload out",
            )
    for winner in sorted({by for _, by in effect.covered}):
        keys_there = ", ".join(key for key, by in effect.covered if by == winner)
        yield Mistake(
            "covered",
            f"{place}: {keys_there} of {survey.reference} has no effect at "
            f"{use.key_or_path}, since {winner} sets it later",
            f"change it there: an update of {survey.reference} does not show",
        )


_UNTIL = {
    False: "until it has, nothing of the volume is renewed, and no new pod starts",
    True: "until it has, no new container starts",
}
"""What a missing key does to files, and (True) to variables."""


def _of_blocked(
    owner: Workload, effects: Collection[Effect], survey: Survey
) -> Iterator[Mistake]:
    """Yield what else of the pods is missing, but for what is told of the object."""
    own = f"{survey.reference} "
    for stuck, why in sorted({(bool(one.stuck), one.blocked) for one in effects}):
        if not why or own in why:
            continue
        so = "none of its pods' volumes is renewed, and " if stuck else ""
        yield Mistake(
            "blocked",
            f"{owner}: {why}: {so}no new pod starts",
            PUT_BACK,
        )


def _of_replicas(survey: Survey, owner: Workload, shell: Shell) -> Iterator[Mistake]:
    """Compare the pods of a workload with each other, and with its template."""
    using, total = len(survey.consumers.get(owner, ())), survey.pods[owner]
    loose = survey.unmounted.get(owner)
    if loose:
        yield Mistake(
            "unmounted",
            f"{owner} has the volume {', '.join(sorted(loose))}, mounted nowhere",
            "add a volumeMount, or remove the volume",
        )
    if 0 < using < total:
        yield Mistake(
            "some-replicas",
            f"only {using} of {total} pods of {owner} use {survey.reference}",
            "the others were made from another template: finish the rollout, or look "
            "which name they use",
        )
    workload = survey.workloads.get(owner)
    if workload is None or not workload.outdated:
        return
    yield Mistake(
        "older-template",
        f"{workload.outdated} of {workload.pods} pods of {owner} run with an older "
        "template",
        str(to_finish(owner, workload.replacement, shell=shell)),
    )


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + "s" * (count != 1)


def _named(use: Use) -> str:
    if use.role is Role.CONTAINER:
        return use.container
    return f"{use.container} ({use.role.value})"


def _seconds(row: Consumer) -> dict[str, str]:
    if row.expected is None:
        unknown = "?" if row.fate.update and row.pods else "-"
        return dict.fromkeys(["p50", "p99", "max"], unknown)
    known = row.expected
    numbers = {"p50": known.p50_s, "p99": known.p99_s, "max": known.max_s}
    return {name: f"{seconds:.0f} s" for name, seconds in numbers.items()}
