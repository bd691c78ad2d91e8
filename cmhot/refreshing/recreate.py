"""Scale to nothing and back, and never forget how many there were.

The number of replicas is written beside the zero in one request: whoever is killed then
leaves a workload that says by itself what it was, and the next call restores it.
From the zero on, nothing but a refusal keeps us from scaling back.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from cmhot.errors import ClusterError, ForbiddenError, NotFoundError
from cmhot.refreshing.circumstances import REMEMBERED, TOUCHED
from cmhot.refreshing.session import POLL_S

if TYPE_CHECKING:
    from cmhot.refreshing.circumstances import Circumstances
    from cmhot.refreshing.session import Session

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
