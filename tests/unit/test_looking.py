"""A look into a container: what its answers mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from cmhot.consumers.reference import Reference
from cmhot.consumers.uses import uses_of
from cmhot.errors import ClusterError, ForbiddenError
from cmhot.landing.looking import State, look, parts_of
from cmhot.port.cluster import Captured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmhot.port.cluster import Inspectable

SECRET = Reference("secret", "s")
CONTENT = {"token": b"hunter2", "user": b"me"}
RUNNING: dict[str, Any] = {"running": {}}


@dataclass(slots=True)
class Door:
    """Gives one answer, or fails, and keeps what was asked."""

    answer: Captured | Exception
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def capture(
        self, pod: str, command: Sequence[str], *, namespace: str, container: str
    ) -> Captured:
        """Answer."""
        assert (pod, namespace) == ("p", "n")
        self.asked.append((container, *command))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def pod(
    *, env: bool = False, state: dict[str, Any] | None = None, **spec: object
) -> dict[str, Any]:
    """Make a pod that mounts a Secret, or takes its variables."""
    container: dict[str, Any] = {"name": "c"}
    if env:
        container["envFrom"] = [{"secretRef": {"name": "s"}}]
    else:
        container["volumeMounts"] = [{"name": "v", "mountPath": "/s"}]
    status = {"name": "c", "state": RUNNING if state is None else state}
    return {
        "metadata": {"name": "p"},
        "spec": {
            "containers": [container],
            "volumes": [{"name": "v", "secret": {"secretName": "s"}}],
            **spec,
        },
        "status": {"phase": "Running", "containerStatuses": [status]},
    }


def found(
    given: dict[str, Any],
    answer: Captured | Exception,
    **more: Any,  # noqa: ANN401
) -> tuple[State, str, Door]:
    """Look into its one part."""
    door = Door(answer)
    (part,) = parts_of(given, uses_of(given, SECRET), immutable=False)
    seen = look(cast("Inspectable", door), part, CONTENT, namespace="n", **more)
    return seen.state, seen.why, door


BOTH = b"hunter2me"
ENVIRON = b"PATH=/bin\0token=hunter2\0user=me\0"


@pytest.mark.parametrize(
    ("given", "answer", "state"),
    [
        (pod(), Captured(0, BOTH, ""), State.FRESH),
        (pod(), Captured(0, b"hunter1me", ""), State.STALE),
        (pod(), Captured(0, b"hunter2", ""), State.STALE),
        (pod(), Captured(1, b"me", "cat: /s/token: No such file"), State.STALE),
        (pod(), Captured(1, b"", "cat: /s/token: Permission denied"), State.BLIND),
        (pod(), Captured(None, b"", 'exec: "cat": not found'), State.BLIND),
        (pod(), Captured(127, b"", ""), State.BLIND),
        (pod(env=True), Captured(0, ENVIRON, ""), State.FRESH),
        (pod(env=True), Captured(0, b"token=hunter2\0user=you\0", ""), State.STALE),
        (pod(env=True), Captured(0, b"token=hunter2\0", ""), State.STALE),
        (pod(env=True), Captured(1, b"", "Permission denied"), State.BLIND),
        (
            pod(env=True, shareProcessNamespace=True),
            Captured(0, ENVIRON, ""),
            State.BLIND,
        ),
        (pod(env=True, hostPID=True), Captured(0, ENVIRON, ""), State.BLIND),
        (
            pod(state={"waiting": {"reason": "CrashLoopBackOff"}}),
            Captured(0, BOTH, ""),
            State.WAITING,
        ),
        (pod(), ClusterError("container not found"), State.WAITING),
    ],
    ids=[
        *("same", "other", "shorter", "no file", "may not", "no cat", "127"),
        *("environment", "other value", "no variable", "may not read it"),
        *("shared processes", "the host's processes", "crash loop", "gone"),
    ],
)
def test_what_an_answer_means(
    given: dict[str, Any], answer: Captured | Exception, state: State
) -> None:
    """Nothing but the same bytes is fresh; and a secret is never told."""
    seen, why, _ = found(given, answer)

    assert seen is state
    assert bool(why) is (state is not State.FRESH)
    assert "hunter" not in why


def test_all_files_are_read_at_once() -> None:
    """One command a container, without a shell."""
    _, _, door = found(pod(), Captured(0, BOTH, ""))

    assert door.asked == [("c", "cat", "/s/token", "/s/user")]


def test_a_look_through_another_container() -> None:
    """By the file system of the process that it shares."""
    _, _, door = found(pod(), Captured(0, BOTH, ""), through="look")

    assert door.asked == [
        ("look", "cat", "/proc/1/root/s/token", "/proc/1/root/s/user")
    ]


def test_a_right_that_is_missing_is_no_verdict() -> None:
    """It ends the wait, with its remedy."""
    with pytest.raises(ForbiddenError):
        found(pod(), ForbiddenError("no pods/exec"))


@pytest.mark.parametrize(
    ("policy", "code", "parts"),
    [("Always", 0, 1), ("OnFailure", 1, 1), ("OnFailure", 0, 0), ("Never", 1, 0)],
)
def test_a_container_that_is_over_is_not_waited_for(
    policy: str, code: int, parts: int
) -> None:
    """One that will be started again is."""
    ended = pod(state={"terminated": {"exitCode": code}}, restartPolicy=policy)

    assert len(parts_of(ended, uses_of(ended, SECRET), immutable=False)) == parts
