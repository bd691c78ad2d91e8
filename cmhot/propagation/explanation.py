"""What people overlook about an object that their pods use, each with its remedy.

All that is to be said about who uses an object, for people and for programs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.display import Page, Shown
from cmhot.kubelet.uses import Role, Way, nearest
from cmhot.kubelet.view import content_of, fate_of, forced_by
from cmhot.propagation.expectation import expectation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from cmhot.kubelet.uses import Reference, Use
    from cmhot.kubelet.view import Fate
    from cmhot.propagation.expectation import Expected, NodeFacts
    from cmhot.propagation.owners import Owner, Survey


UNREAD = "unread"
"""Key of what stands for an object that may not be read."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something that is probably not meant so.

    Attributes
    ----------
    kind
        For programs: ``subPath``, ``env``, ``immutable``, ``some-replicas``,
        ``older-template``, ``absent``, ``absent-key``, ``near-name``, ``unused``
        or ``unmounted``.
    what
        For people.
    remedy
        What to do.
    """

    kind: str
    what: str
    remedy: str

    def to_dict(self) -> dict[str, str]:
        """Give it as JSON does."""
        return {"kind": self.kind, "what": self.what, "remedy": self.remedy}


def find_mistakes(
    survey: Survey, *, stored: Mapping[str, Any] | None, existing: Sequence[str]
) -> Iterator[Mistake]:
    """Yield what is amiss.

    Parameters
    ----------
    survey
        Of the namespace's pods and templates.
    stored
        The object; None: it does not exist.
    existing
        Names of the objects of its kind; none: they were not looked at.
    """
    yield from _of_object(survey, stored, existing)
    owners = {*survey.consumers, *(o for o, w in survey.workloads.items() if w.uses)}
    for owner in sorted(owners):
        yield from _of_uses(owner, _uses(survey, owner), stored)
        yield from _of_replicas(survey, owner)


def _uses(survey: Survey, owner: Owner) -> list[Use]:
    found = {use for pod in survey.consumers.get(owner, ()) for use in pod.uses}
    if owner in survey.workloads:
        found |= set(survey.workloads[owner].uses)
    return sorted(found, key=lambda use: (use.container, use.way, use.where))


def _of_object(
    survey: Survey, stored: Mapping[str, Any] | None, existing: Sequence[str]
) -> Iterator[Mistake]:
    reference = survey.reference
    used = bool(survey.consumers) or any(w.uses for w in survey.workloads.values())
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
    owner: Owner, uses: Sequence[Use], stored: Mapping[str, Any] | None
) -> Iterator[Mistake]:
    for use in uses:
        if use.role is Role.INIT or owner.kind == "CronJob":
            continue  # what ends before long reads it anew the next time
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


def _of_replicas(survey: Survey, owner: Owner) -> Iterator[Mistake]:
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
        if workload.paused
        else "wait for the rollout, or see why it does not go on "
        f"(kubectl rollout status {owner})",
    )


COSTS = {
    "annotate": "one write a pod; a sync of the pod within 0.2 s (1 s after another "
    "one); afterwards these pods are synced at the same time",
    "rollout": "every pod is replaced, as the workload's strategy allows",
    "recreate": "no pod at all until the new ones are Ready",
    "delete": "the pod is deleted; whoever made it makes another, nobody a bare one",
}
"""What a way to force it costs, by its name."""
MOST_TOLD = 5
"""Mistakes of one kind that the text tells; the JSON has them all."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way in which the pods of one workload use the object.

    Attributes
    ----------
    owner
        The workload; a pod that nobody made stands for itself.
    pods
        Names of its pods that use it so; none: only its template does.
    use
        How.
    fate
        What becomes of an update.
    expected
        When; None: never, or not known.
    forced_by
        What brings it in at once; see `COSTS`.
    """

    owner: Owner
    pods: tuple[str, ...]
    use: Use
    fate: Fate
    expected: Expected | None
    forced_by: tuple[str, ...]

    def to_dict(self, namespace: str) -> dict[str, Any]:
        """Give it as an entry of ``explain --json``."""
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
    """Who uses an object, who will see an update and when, and what is amiss.

    Attributes
    ----------
    reference, namespace
        The object.
    exists, immutable
        What it is.
    rows
        Of each workload, container and way.
    mistakes
        What people overlook.
    nodes
        Of the pods that use it, with what is known of their kubelets.
    notes
        What could not be looked at.
    pods_read
        Pods that were looked at.
    """

    reference: Reference
    namespace: str
    exists: bool
    immutable: bool
    rows: tuple[Row, ...]
    mistakes: tuple[Mistake, ...]
    nodes: tuple[NodeFacts, ...]
    notes: tuple[str, ...]
    pods_read: int

    @property
    def pods(self) -> int:
        """How many pods use it."""
        return len({pod for row in self.rows for pod in row.pods})

    def to_dict(self) -> dict[str, Any]:
        """Give it as ``explain --json`` does; seconds."""
        methods = {name for row in self.rows for name in row.forced_by}
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
            "costs": {name: text for name, text in COSTS.items() if name in methods},
            "notes": list(self.notes),
        }

    def table(self) -> pd.DataFrame:
        """Give a row for each workload, container and way; seconds."""
        import pandas as pd  # noqa: PLC0415 - half a second that the text does not need

        return pd.DataFrame(self._cells())

    def to_text(self) -> str:
        """Write it for people."""
        return "\n".join(self._lines())

    def page(self) -> Page:
        """Show a row for each workload, container and way, and what to know."""
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

    def _lines(self) -> Iterator[str]:
        yield self._heading()
        cells = self._cells()
        if cells:
            yield ""
            widths = {
                head: max(len(head), *(len(one[head]) for one in cells))
                for head in cells[0]
            }
            yield "  ".join(
                f"{head:{width}}" for head, width in widths.items()
            ).rstrip()
            for one in cells:
                line = "  ".join(f"{one[h]:{width}}" for h, width in widths.items())
                yield line.rstrip()
        yield ""
        yield from self._after()

    def _after(self) -> Iterator[str]:
        """Yield the sentences below the table."""
        never = {row.fate.why: row for row in self.rows if not row.fate.update}
        for why in never:
            yield f"never: {why}"
        yield from self._mistakes()
        for (setting, source), number in self._settings().items():
            nodes, at = _number(number, "node"), setting or "no known setting"
            yield f"when: {nodes} at {at}, {_SOURCES[source]}"
        methods = {name for row in self.rows for name in row.forced_by}
        for name, cost in COSTS.items():
            if name in methods:
                yield f"{name}: {cost}"
        yield from self.notes

    def _mistakes(self) -> Iterator[str]:
        """Yield a line for each, but of many that are alike only the first few."""
        alike: dict[tuple[str, str], list[str]] = {}
        for one in self.mistakes:
            alike.setdefault((one.kind, one.remedy), []).append(one.what)
        for (_, remedy), texts in alike.items():
            for what in texts[:MOST_TOLD]:
                yield f"! {what}"
            if len(texts) > MOST_TOLD:
                yield f"! and {len(texts) - MOST_TOLD:,} more of these (see --json)"
            yield f"  remedy: {remedy}"

    def _settings(self) -> Counter[tuple[Any, str]]:
        return Counter((node.setting, node.source) for node in self.nodes)


_SOURCES = {
    "configz": "as the kubelet itself reports",
    "given": "as given",
    "sampled": "as other nodes of this cluster report",
    "unknown": "since it may not be asked: give it (--setting sync=60s)",
}


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + "s" * (count != 1)


def _named(use: Use) -> str:
    if use.role is Role.CONTAINER:
        return use.container
    return f"{use.container} ({use.role.value})"


def _seconds(row: Row) -> dict[str, str]:
    if row.expected is None:
        unknown = "?" if row.fate.update and row.pods else "-"
        return dict.fromkeys(["p50", "p99", "max"], unknown)
    known = row.expected
    numbers = {"p50": known.p50_s, "p99": known.p99_s, "max": known.max_s}
    return {name: f"{seconds:.0f} s" for name, seconds in numbers.items()}


def explain_survey(
    survey: Survey,
    *,
    namespace: str,
    stored: Mapping[str, Any] | None,
    facts: Mapping[str, NodeFacts],
    existing: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Explanation:
    """Say what a survey means.

    Parameters
    ----------
    survey
        Of all pods of the namespace.
    namespace
        Its name.
    stored
        The object; None: it does not exist.
    facts
        Of the nodes on which pods use it.
    existing
        Names of objects of its kind, where they were looked at.
    notes
        What could not be looked at.
    """
    immutable = bool((stored or {}).get("immutable"))
    rows = tuple(sorted(_rows(survey, facts, immutable=immutable), key=_order))
    return Explanation(
        reference=survey.reference,
        namespace=namespace,
        exists=stored is not None,
        immutable=immutable,
        rows=rows,
        mistakes=tuple(find_mistakes(survey, stored=stored, existing=existing)),
        nodes=tuple(facts[node] for node in sorted(survey.per_node()) if node in facts),
        notes=tuple(notes),
        pods_read=survey.total,
    )


def _order(row: Row) -> tuple[Owner, str, str, str]:
    return row.owner, row.use.container, row.use.way, row.use.where


def _rows(
    survey: Survey,
    facts: Mapping[str, NodeFacts],
    *,
    immutable: bool,
) -> Iterator[Row]:
    sharers = survey.per_node()
    owners = {*survey.consumers, *(o for o, w in survey.workloads.items() if w.uses)}
    for owner in owners:
        by_use: dict[Use, list[Any]] = {}
        for pod in survey.consumers.get(owner, ()):
            for use in pod.uses:
                by_use.setdefault(use, []).append(pod)
        if owner in survey.workloads:
            for use in survey.workloads[owner].uses:
                by_use.setdefault(use, [])
        for use, pods in by_use.items():
            fate = fate_of(use, immutable=immutable)
            nodes = Counter(pod.node for pod in pods if pod.node is not None)
            reads = all(facts[n].annotate_reads for n in nodes if n in facts)
            yield Row(
                owner=owner,
                pods=tuple(sorted(pod.name for pod in pods)),
                use=use,
                fate=fate,
                expected=expectation(nodes, facts, sharers=sharers)
                if fate.update and nodes
                else None,
                forced_by=forced_by(owner.kind, use, fate, annotate_reads=reads),
            )
