"""Which objects a refresh is about, and whether it has helped.

Init containers have ended: what they read cannot be looked at from inside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmhot.consumers.reference import parse_reference
from cmhot.consumers.uses import Role, references_of, uses_of
from cmhot.errors import NotFoundError, UsageError
from cmhot.landing.waiter import UnusedError
from cmhot.refreshing.circumstances import replicas_of
from cmhot.refreshing.outcome import Method
from cmhot.waiting import wait

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmhot.consumers.reference import Reference
    from cmhot.consumers.uses import Object, Use
    from cmhot.landing.outcome import Waited
    from cmhot.refreshing.session import Session


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
