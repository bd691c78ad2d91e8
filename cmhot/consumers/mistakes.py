"""What people overlook about an object that their pods use, each with its remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.consumers.contents import content_of
from cmhot.consumers.reference import nearest
from cmhot.consumers.uses import Role, Way

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cmhot.consumers.owners import Owner
    from cmhot.consumers.survey import Survey
    from cmhot.consumers.uses import Use

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
