"""Scale to nothing and back, and never forget how many there were.

The number of replicas is written beside the zero in one request: whoever is killed then
leaves a workload that says by itself what it was, and the next call restores it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cmhot.errors import ClusterError
from cmhot.refreshing.circumstances import REMEMBERED
from cmhot.refreshing.session import POLL_S

if TYPE_CHECKING:
    from cmhot.refreshing.circumstances import Circumstances
    from cmhot.refreshing.session import Session


def scale_down(session: Session, around: Circumstances) -> None:
    """Remember the replicas, and scale to 0.

    Raises
    ------
    ClusterError
        Somebody has changed the workload meanwhile.
    """
    session.patch(
        {
            "metadata": {
                # the number that is remembered is that of this version
                "resourceVersion": around.found["metadata"]["resourceVersion"],
                "annotations": {REMEMBERED: str(around.replicas)},
            },
            "spec": {"replicas": 0},
        }
    )
    session.tell(f"scaled from {around.replicas} to 0 (remembered in {REMEMBERED})")


def await_gone(session: Session, around: Circumstances) -> None:
    """Wait until the last pod has gone.

    Raises
    ------
    ClusterError
        One does not go in time.
    """
    while session.pods(around.found, leaving=True):
        if not session.left_s:
            msg = (
                f"pods of {session.owner} do not go: see `kubectl get pods -n "
                f"{session.namespace}`; its replicas have been restored"
            )
            raise ClusterError(msg)
        session.cluster.clock.sleep(POLL_S)


def scale_up(session: Session, replicas: int) -> dict[str, Any]:
    """Scale to what it was, and forget the number in the same request."""
    stored = session.patch(
        {
            "metadata": {"annotations": {REMEMBERED: None}},
            "spec": {"replicas": replicas},
        }
    )
    session.tell(f"scaled back to {replicas}")
    return stored
