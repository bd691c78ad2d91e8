"""A look into a container: what its answers mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from cmhot.cluster.port import Captured
from cmhot.errors import ClusterError, ForbiddenError, UnreachableError
from cmhot.kubelet.uses import Reference, uses_of
from cmhot.propagation.inspection import ContentState, container_uses, inspect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmhot.cluster.port import Cluster

SECRET = Reference("secret", "s")
CONTENT = {"token": b"hunter2", "user": b"me"}
RUNNING: dict[str, Any] = {"running": {}}


@dataclass(slots=True)
class Answering:
    """Gives one answer, or what files hold, or fails, and keeps what was asked."""

    answer: Captured | Exception | dict[str, bytes]
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def capture(
        self, pod: str, command: Sequence[str], *, namespace: str, container: str
    ) -> Captured:
        """Answer."""
        assert (pod, namespace) == ("p", "n")
        self.asked.append((container, *command))
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(self.answer, dict):
            names = [path.rpartition("/")[2] for path in command[1:]]
            return Captured(0, b"".join(self.answer[name] for name in names), "")
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
    answer: Captured | Exception | dict[str, bytes],
    **more: Any,  # noqa: ANN401
) -> tuple[ContentState, str, Answering]:
    """Look into its one part."""
    cluster = Answering(answer)
    (part,) = container_uses(given, uses_of(given, SECRET), immutable=False)
    seen = inspect(cast("Cluster", cluster), part, CONTENT, namespace="n", **more)
    return seen.state, seen.why, cluster


BOTH = b"hunter2me"
CRI_O = "executable file `cat` not found in $PATH: No such file or directory"
ENVIRON = b"PATH=/bin\0token=hunter2\0user=me\0"


@pytest.mark.parametrize(
    ("given", "answer", "state"),
    [
        (pod(), CONTENT, ContentState.FRESH),
        (pod(), {"token": b"hunter2m", "user": b"e"}, ContentState.STALE),
        (pod(), Captured(0, b"hunter1me", ""), ContentState.STALE),
        (pod(), Captured(0, b"hunter2", ""), ContentState.STALE),
        (pod(), Captured(1, b"me", "cat: /s/token: No such file"), ContentState.STALE),
        (
            pod(),
            Captured(1, b"", "cat: /s/token: Permission denied"),
            ContentState.UNREADABLE,
        ),
        (
            pod(),
            Captured(None, b"", 'exec: "cat": executable file not found in $PATH'),
            ContentState.UNREADABLE,
        ),
        (pod(env=True), Captured(None, b"", CRI_O), ContentState.UNREADABLE),
        (
            pod(),
            Captured(None, b"", "it ended without saying how"),
            ContentState.PENDING,
        ),
        (pod(env=True), Captured(None, b"", "no end in time"), ContentState.PENDING),
        (
            pod(),
            Captured(None, b"", "open /proc/7/ns/ipc: no such file or directory"),
            ContentState.PENDING,
        ),
        (pod(), Captured(127, b"", ""), ContentState.UNREADABLE),
        (pod(env=True), Captured(0, ENVIRON, ""), ContentState.FRESH),
        (
            pod(env=True),
            Captured(0, b"token=hunter2\0user=you\0", ""),
            ContentState.STALE,
        ),
        (pod(env=True), Captured(0, b"token=hunter2\0", ""), ContentState.STALE),
        (pod(env=True), Captured(1, b"", "Permission denied"), ContentState.UNREADABLE),
        (
            pod(env=True, shareProcessNamespace=True),
            Captured(0, ENVIRON, ""),
            ContentState.UNREADABLE,
        ),
        (
            pod(env=True, hostPID=True),
            Captured(0, ENVIRON, ""),
            ContentState.UNREADABLE,
        ),
        (
            pod(state={"waiting": {"reason": "CrashLoopBackOff"}}),
            Captured(0, BOTH, ""),
            ContentState.PENDING,
        ),
        (pod(), ClusterError("container not found"), ContentState.PENDING),
        (pod(), UnreachableError("no answer to GET exec"), ContentState.PENDING),
    ],
    ids=[
        *("same", "other bounds", "other", "shorter", "no file", "may not"),
        *("no cat", "no cat under CRI-O", "broke off", "no end", "just ended", "127"),
        *("environment", "other value", "no variable", "may not read it"),
        *("shared processes", "the host's processes", "crash loop", "gone"),
        "silent",
    ],
)
def test_what_an_answer_means(
    given: dict[str, Any],
    answer: Captured | Exception | dict[str, bytes],
    state: ContentState,
) -> None:
    """Nothing but the same bytes is fresh; and a secret is never told."""
    seen, why, _ = found(given, answer)

    assert seen is state
    assert bool(why) is (state is not ContentState.FRESH)
    assert "hunter" not in why


def test_all_files_are_read_at_once() -> None:
    """One command a container, without a shell; one more before they are fresh."""
    _, _, fresh = found(pod(), CONTENT)
    _, _, stale = found(pod(), Captured(0, b"", ""))

    assert stale.asked == [("c", "cat", "/s/token", "/s/user")]
    assert fresh.asked == [*stale.asked, ("c", "cat", "/s/user", "/s/token")]


@pytest.mark.parametrize(
    ("sources", "environ", "state"),
    [
        # what has the content has it, wherever it is from
        ([None, ""], b"token=hunter2\0user=me\0", ContentState.FRESH),
        ([None, ""], b"token=other\0user=me\0", ContentState.UNREADABLE),
        (
            [None, ""],
            b"token=hunter2\0",
            ContentState.STALE,
        ),  # nobody unsets a variable
        ([None, "to"], b"token=other\0user=me\0", ContentState.UNREADABLE),
        ([None, "to"], b"token=other\0user=you\0", ContentState.STALE),
        (["", None], b"token=other\0user=me\0", ContentState.STALE),
        ([None, None], b"token=other\0user=me\0", ContentState.STALE),
    ],
    ids=[
        *("same", "masked", "missing", "by prefix", "one is not masked", "it is last"),
        "twice",
    ],
)
def test_the_later_source_of_variables_wins(
    sources: list[str | None], environ: bytes, state: ContentState
) -> None:
    """Where it may have set what is different, nothing is concluded; and no look helps.

    None is the Secret in question, a text another one with this prefix.
    """
    given = pod(env=True)
    given["spec"]["containers"][0]["envFrom"] = [
        {"secretRef": {"name": "s"}}
        if prefix is None
        else {"prefix": prefix, "configMapRef": {"name": "over"}}
        for prefix in sources
    ]
    cluster = Answering(Captured(0, environ, ""))
    (part,) = container_uses(given, uses_of(given, SECRET), immutable=False)

    seen = inspect(cast("Cluster", cluster), part, CONTENT, namespace="n")

    assert seen.state is state
    assert bool(seen.remedy) is (state is ContentState.UNREADABLE)


def test_binary_data_are_no_variables() -> None:
    """Kubelets take those of `data` alone."""
    answer = Captured(0, b"token=hunter2\0", "")

    seen, _, _ = found(pod(env=True), answer, binary=frozenset({"user"}))

    assert seen is ContentState.FRESH


def test_a_look_through_another_container() -> None:
    """By the file system of the process that it shares."""
    _, _, cluster = found(pod(), Captured(0, b"", ""), through="look")

    assert cluster.asked == [
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

    assert len(container_uses(ended, uses_of(ended, SECRET), immutable=False)) == parts
