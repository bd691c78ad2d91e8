"""What uses a ConfigMap or a Secret, what sees an update and when, what is amiss.

Each kind of object is read once, in pages of which no more than one is kept: of each
pod that uses the object little is kept, the others are counted. Nothing is written.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from cmhot.cluster.nodes import observe_settings
from cmhot.cluster.port import POD
from cmhot.display import Page, Shown, as_lines, one_line
from cmhot.errors import ForbiddenError, NotFoundError
from cmhot.kubelet.uses import (
    Role,
    Way,
    fate_of,
    nearest,
    parse_reference,
    references_of,
    unmounted,
    uses_of,
)
from cmhot.kubelet.view import content_of
from cmhot.propagation.expectation import expectation, sync_reads
from cmhot.propagation.remedies import ways
from cmhot.propagation.workload import KINDS, is_leaving, owner_of, workload_uses

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd

    from cmhot.cluster.nodes import ObservedNode
    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.settings import Setting
    from cmhot.kubelet.uses import Fate, Object, Reference, Use
    from cmhot.propagation.expectation import Expected
    from cmhot.propagation.workload import Workload, WorkloadUses


UNREAD = "unread"
"""Key of the stand-in for an object that may not be read."""
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
_SOURCES = {
    "configz": "as the kubelet itself reports",
    "given": "as given",
    "sampled": "as other nodes of this cluster report",
    "unknown": "since it may not be asked: give it (--setting sync=60s)",
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """A probable mistake, in words, with its remedy.

    ``kind`` is for programs: ``subPath``, ``env``, ``immutable``, ``some-replicas``,
    ``older-template``, ``absent``, ``absent-key``, ``near-name``, ``unused`` or
    ``unmounted``.
    """

    kind: str
    what: str
    remedy: str

    def to_dict(self) -> dict[str, str]:
        """Give it as JSON does."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Consumer:
    """One way in which the pods of one workload use the object.

    Attributes
    ----------
    owner
        The workload; a pod without an owner stands for itself.
    pods
        Names of its pods that use it so; none: only its template does.
    use
        How.
    fate
        Whether an update arrives, and after which event.
    expected
        When it arrives; None: never, or not known.
    forced_by
        Ways to bring it in at once; see `COSTS`.
    """

    owner: Workload
    pods: tuple[str, ...]
    use: Use
    fate: Fate
    expected: Expected | None
    forced_by: tuple[str, ...]

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
                "updates": "yes" if row.fate.update else "NEVER",
                **_seconds(row),
                "forced by": ", ".join(row.forced_by) or "-",
            }
            for row in self.rows
        ]

    def _after(self) -> Iterator[str]:
        """Yield the sentences below the table."""
        never = {row.fate.why: row for row in self.rows if not row.fate.update}
        for why in never:
            yield f"never: {why}"
        yield from self._mistakes()
        settings = Counter((node.setting, node.source) for node in self.nodes)
        for (setting, source), number in settings.items():
            nodes, at = _number(number, "node"), setting or "no known setting"
            yield f"when: {nodes} at {at}, {_SOURCES[source]}"
        for name, cost in self._costs().items():
            yield f"{name}: {cost}"
        yield from self.notes

    def _mistakes(self) -> Iterator[str]:
        """Yield a line for each mistake, but only the first few of one kind."""
        alike: dict[tuple[str, str], list[str]] = {}
        for one in self.mistakes:
            alike.setdefault((one.kind, one.remedy), []).append(one.what)
        for (_, remedy), texts in alike.items():
            for what in texts[:MOST_TOLD]:
                yield f"! {what}"
            if len(texts) > MOST_TOLD:
                yield f"! and {len(texts) - MOST_TOLD:,} more of these (see --json)"
            yield f"  remedy: {remedy}"


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
    stored = _stored(cluster, wanted, namespace, notes)
    workloads = _workloads(cluster, wanted, namespace, notes)
    survey = Survey(wanted, workloads)
    for page in cluster.pages(POD, namespace=namespace):
        survey.add(page)
    existing: Sequence[str] = ()
    if stored is None or nearest(wanted.name, survey.named) is not None:
        existing = _existing(cluster, wanted, namespace, survey.named)
    if stored is None and not survey.users:
        raise _absent(wanted, namespace, existing)
    nodes = observe_settings(cluster, given=given, sample=sorted(survey.per_node()))
    return explain_survey(
        survey,
        namespace=namespace,
        stored=stored,
        nodes={node.name: node for node in nodes},
        existing=existing,
        notes=notes,
    )


def _stored(
    cluster: Cluster, reference: Reference, namespace: str, notes: list[str]
) -> dict[str, Any] | None:
    """Get the object; None: there is none."""
    try:
        found = cluster.get(reference.place, reference.name, namespace=namespace)
    except NotFoundError:
        return None
    except ForbiddenError:
        notes.append(
            f"{reference} may not be read: whether it exists or is immutable is not "
            "known (ask for get on it)"
        )
        return {UNREAD: True}
    return found


def _workloads(
    cluster: Cluster, reference: Reference, namespace: str, notes: list[str]
) -> dict[Workload, WorkloadUses]:
    """Read the templates of a namespace, a kind after the other."""
    found: dict[Workload, WorkloadUses] = {}
    for name, kind in KINDS.items():
        try:
            for page in cluster.pages(kind, namespace=namespace):
                for one in page:
                    workload = workload_uses(one, name, reference)
                    found[workload.owner] = workload
        except ForbiddenError:
            notes.append(
                f"{kind.plural} may not be listed: those without pods are missing here "
                "(ask for list on them)"
            )
        except NotFoundError:
            notes.append(f"this cluster has no {kind.plural} in {kind.api_version}")
    return found


def _existing(
    cluster: Cluster, reference: Reference, namespace: str, named: set[str]
) -> Sequence[str]:
    """List names of a kind's objects; where that is not allowed, of those in use."""
    try:
        return cluster.names(reference.place, namespace=namespace)
    except ForbiddenError:
        return sorted(named)


def _absent(
    reference: Reference, namespace: str, existing: Sequence[str]
) -> NotFoundError:
    near = nearest(reference.name, existing)
    meant = "check the name and --namespace" if near is None else f"is {near!r} meant?"
    msg = f"there is no {reference} in {namespace}, and no pod names it: {meant}"
    return NotFoundError(msg)


@dataclass(frozen=True, slots=True)
class ConsumingPod:
    """A pod that uses the object; ``node`` None: it is not scheduled."""

    name: str
    node: str | None
    uses: tuple[Use, ...]


@dataclass(slots=True)
class Survey:
    """The pods of a namespace, read page by page; only those in question are kept."""

    reference: Reference
    workloads: Mapping[Workload, WorkloadUses]
    consumers: dict[Workload, list[ConsumingPod]] = field(default_factory=dict)
    pods: Counter[Workload] = field(default_factory=Counter)  # also that do not use it
    named: set[str] = field(default_factory=set)  # objects of its kind that pods name
    unmounted: dict[Workload, set[str]] = field(default_factory=dict)  # volumes of it
    total: int = 0
    _same: dict[tuple[Use, ...], tuple[Use, ...]] = field(default_factory=dict)

    def add(self, page: Iterable[Object]) -> None:
        """Take a page of pods, and forget it."""
        for pod in page:
            self.total += 1
            if is_leaving(pod):
                continue
            owner = owner_of(pod, self.workloads.__contains__)
            self.pods[owner] += 1
            references = references_of(pod)
            self.named |= {
                one.name for one in references if one.kind == self.reference.kind
            }
            if self.reference not in references:
                continue
            uses = uses_of(pod, self.reference)
            loose = unmounted(pod, self.reference)
            if loose:
                self.unmounted.setdefault(owner, set()).update(loose)
            # pods of a template are alike: one copy serves them all
            uses = self._same.setdefault(uses, uses)
            consumer = ConsumingPod(
                pod["metadata"]["name"], pod["spec"].get("nodeName"), uses
            )
            self.consumers.setdefault(owner, []).append(consumer)

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


def explain_survey(
    survey: Survey,
    *,
    namespace: str,
    stored: Mapping[str, Any] | None,
    nodes: Mapping[str, ObservedNode],
    existing: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Explanation:
    """Explain an object from a survey of its namespace's pods.

    ``stored`` is the object (None: it does not exist), ``nodes`` are those on which
    pods use it, ``existing`` names of its kind, where they were listed, ``notes``
    what could not be read.
    """
    immutable = bool((stored or {}).get("immutable"))
    rows = tuple(sorted(_rows(survey, nodes, immutable=immutable), key=_order))
    return Explanation(
        reference=survey.reference,
        namespace=namespace,
        exists=stored is not None,
        immutable=immutable,
        rows=rows,
        mistakes=tuple(find_mistakes(survey, stored=stored, existing=existing)),
        nodes=tuple(nodes[name] for name in sorted(survey.per_node()) if name in nodes),
        notes=tuple(notes),
        pods_read=survey.total,
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
        by_use: dict[Use, list[Any]] = {}
        for pod in survey.consumers.get(owner, ()):
            for use in pod.uses:
                by_use.setdefault(use, []).append(pod)
        workload = survey.workloads.get(owner)
        for use in () if workload is None else workload.uses:
            by_use.setdefault(use, [])
        for use, pods in by_use.items():
            fate = fate_of(use, immutable=immutable)
            homes = Counter(pod.node for pod in pods if pod.node is not None)
            reads = all(sync_reads(nodes[name]) for name in homes if name in nodes)
            yield Consumer(
                owner=owner,
                pods=tuple(sorted(pod.name for pod in pods)),
                use=use,
                fate=fate,
                expected=expectation(homes, nodes, sharers=sharers)
                if fate.update and homes
                else None,
                forced_by=forced_by(owner, workload, use, fate, annotate_reads=reads),
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
    survey: Survey, *, stored: Mapping[str, Any] | None, existing: Sequence[str]
) -> Iterator[Mistake]:
    """Yield probable mistakes; ``existing`` empty: other names were not listed."""
    yield from _of_object(survey, stored, existing)
    for owner in sorted(survey.users):
        yield from _of_uses(owner, _uses(survey, owner), stored)
        yield from _of_replicas(survey, owner)


def _uses(survey: Survey, owner: Workload) -> list[Use]:
    found = {use for pod in survey.consumers.get(owner, ()) for use in pod.uses}
    if owner in survey.workloads:
        found |= set(survey.workloads[owner].uses)
    return sorted(found, key=lambda use: (use.container, use.way, use.where))


def _of_object(
    survey: Survey, stored: Mapping[str, Any] | None, existing: Sequence[str]
) -> Iterator[Mistake]:
    reference = survey.reference
    used = bool(survey.users)
    if stored is None:
        near = nearest(reference.name, existing)
        yield Mistake(
            "absent",
            f"{reference} does not exist, and pods that need it do not start",
            f"create it, or correct the name{_meant(near)}",
        )
    elif not used:
        near = nearest(reference.name, survey.named)
        yield Mistake(
            "unused",
            f"nobody in the namespace uses {reference}",
            f"an update of it changes nothing; look for the name in use{_meant(near)}",
        )
    if stored is not None and existing:
        near = nearest(reference.name, survey.named - set(existing))
        if near is not None:
            yield Mistake(
                "near-name",
                f"some pods name {reference.kind}/{near}, which does not exist",
                f"is {reference.name!r} meant? Correct it there, unless it is optional",
            )
    if stored is not None and stored.get("immutable") and used:
        yield Mistake(
            "immutable",
            f"{reference} is immutable",
            "make another one under a new name, and let the template name that one",
        )


def _meant(near: str | None) -> str:
    return "" if near is None else f" (is {near!r} meant?)"


def _of_uses(
    owner: Workload, uses: Sequence[Use], stored: Mapping[str, Any] | None
) -> Iterator[Mistake]:
    for use in uses:
        if use.role is Role.INIT or owner.kind == "CronJob":
            continue  # a short-lived pod reads it anew the next time
        place = f"{owner}, container {use.container}"
        if use.way in {Way.SUB_PATH, Way.SUB_PATH_EXPR}:
            yield Mistake(
                "subPath",
                f"{place} mounts {use.where} by {use.way}, which never updates",
                "mount the whole volume in a folder of its own, or restart the pods "
                "after each update (cmhot refresh --method rollout)",
            )
        elif use.way.is_environment:
            yield Mistake(
                "env",
                f"{place} takes {use.key_or_path} by {use.way}, which never updates",
                "read it from a mounted file, or restart the pods after each update "
                "(cmhot refresh --method rollout)",
            )
        missing = _missing_keys(use, stored)
        if missing and not use.optional:
            yield Mistake(
                "absent-key",
                f"{place} needs the key {missing[0]!r}, which the object has not",
                f"add it, or correct the name{_meant(_near_key(missing[0], stored))}",
            )


def _missing_keys(use: Use, stored: Mapping[str, Any] | None) -> list[str]:
    if stored is None or UNREAD in stored or use.items is None:
        return []
    content = content_of(stored)
    return [key for key, _ in use.items if key not in content]


def _near_key(key: str, stored: Mapping[str, Any] | None) -> str | None:
    return None if stored is None else nearest(key, content_of(stored))


def _of_replicas(survey: Survey, owner: Workload) -> Iterator[Mistake]:
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
        "resume it (kubectl rollout resume)"
        if workload.replacement.paused
        else "wait for the rollout, or see why it does not go on "
        f"(kubectl rollout status {owner})",
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
