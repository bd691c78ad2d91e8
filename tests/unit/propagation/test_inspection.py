"""A look into a container: what its answers mean."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from cmhot.cluster.port import Captured
from cmhot.errors import ClusterError, ForbiddenError, UnreachableError
from cmhot.kubelet.uses import Reference, uses_of
from cmhot.kubelet.view import Absent
from cmhot.propagation import inspection
from cmhot.propagation.inspection import (
    ContentState,
    _files_there,
    container_uses,
    inspect,
)
from cmhot.propagation.objects import Objects
from cmhot.propagation.remedies import REPLACE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmhot.cluster.port import Cluster
    from cmhot.propagation.inspection import Inspection

SECRET = Reference("secret", "s")
CONTENT = {"token": b"hunter2", "user": b"me"}
RUNNING: dict[str, Any] = {"running": {}}


@dataclass(slots=True)
class Answering:
    """Gives one answer, or what files hold, or fails, and keeps what was asked."""

    answer: Captured | Exception | dict[str, bytes]
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def capture(
        self,
        pod: str,
        command: Sequence[str],
        *,
        namespace: str,
        container: str,
        timeout_s: float | None = None,
    ) -> Captured:
        """Answer."""
        assert timeout_s is not None
        assert (pod, namespace) == ("p", "n")
        if command[0] == "sh" and not isinstance(self.answer, Exception):
            return Captured(127, b"", "")  # there is no shell
        self.asked.append((container, *command))
        if command[0] == "ls" and isinstance(self.answer, dict):
            return Captured(0, "\n".join(["..data", *self.answer]).encode(), "")
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


def objects(**data: bytes) -> Objects:
    """Give the Secret, and a ConfigMap that may not be read."""
    made = Objects(cast("Cluster", None), "n")
    content = {key: base64.b64encode(value).decode() for key, value in CONTENT.items()}
    made.add(SECRET, {"metadata": {"name": "s"}, "data": content})
    for name, stored in data.items():
        text = {"data": {"token": stored.decode()}}
        made.add(Reference("configmap", name), text)
    made.known.setdefault(Reference("configmap", "over"), Absent.UNREAD)
    return made


def found(
    given: dict[str, Any],
    answer: Captured | Exception | dict[str, bytes],
    **more: Any,  # noqa: ANN401
) -> tuple[ContentState, str, Answering]:
    """Look into its one part."""
    cluster = Answering(answer)
    (part,) = container_uses(given, uses_of(given, SECRET), immutable=False)
    seen = inspect(cast("Cluster", cluster), part, SECRET, objects(), **more)
    return seen.state, seen.why, cluster


def inspected(given: dict[str, Any], *answers: Captured | Exception) -> Inspection:
    """Look into its one part; all answers have to be asked for."""
    left = list(answers)

    class Telling:
        def capture(self, *_: object, **__: object) -> Captured:
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    (part,) = container_uses(given, uses_of(given, SECRET), immutable=False)
    seen = inspect(cast("Cluster", Telling()), part, SECRET, objects())
    assert not left
    return seen


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
            ContentState.FRESH,
        ),
        (
            pod(env=True, hostPID=True),
            Captured(0, ENVIRON, ""),
            ContentState.FRESH,
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


BETWEEN = b"Linux\n"
"""What stands between the variables of a new process and those of the first."""


@pytest.mark.parametrize(
    ("first", "shared", "note"),
    [
        (ENVIRON, False, ""),
        (b"PATH=/bin\0", False, "its first process has dropped token, user"),
        (
            b"token=hunter2 -x\0user=me\0",
            False,
            "its first process has changed token",
        ),
        (b"token=hunter3\0", False, "has dropped user and has changed token"),
        (b"PATH=/bin\0", True, ""),
    ],
    ids=["the same", "cleared", "appended", "both", "process ids are shared"],
)
def test_the_first_process_may_have_another_environment(
    first: bytes,
    shared: bool,  # noqa: FBT001 - a column of the table
    note: str,
) -> None:
    """It is said beside the verdict, which is about what the container was given."""
    answer = Captured(0, ENVIRON + BETWEEN + first, "")
    given = pod(env=True, shareProcessNamespace=shared)

    seen = inspected(given, answer)

    assert seen.state is ContentState.FRESH
    assert note in seen.note
    assert bool(note) == bool(seen.note)
    assert "hunter" not in seen.note


def test_a_first_process_that_may_not_be_read_is_no_obstacle() -> None:
    """As those of databases that change their user: the container's own is read."""
    complaint = "cat: can't open '/proc/1/environ': Permission denied"

    seen = inspected(pod(env=True), Captured(1, ENVIRON + BETWEEN, complaint))

    assert (seen.state, seen.note) == (ContentState.FRESH, "")


def test_a_kernel_without_the_file_between() -> None:
    """Then the variables are read alone."""
    answers = [
        Captured(1, ENVIRON + ENVIRON, "cat: /proc/sys/kernel/ostype: No such file"),
        Captured(0, ENVIRON, ""),
    ]

    assert inspected(pod(env=True), *answers).state is ContentState.FRESH


WINDOWS = (
    "hcs::System::CreateProcess c: The system cannot find the file specified. (0x2)"
)


@pytest.mark.parametrize(
    ("given", "answers"),
    [
        (pod(os={"name": "windows"}), []),
        (pod(nodeSelector={"kubernetes.io/os": "windows"}), []),
        (pod(), [Captured(None, b"", WINDOWS)] * 2),
    ],
    ids=["by its os", "by its node", "by its answer"],
)
def test_a_windows_container_cannot_be_read(
    given: dict[str, Any], answers: list[Captured]
) -> None:
    """It is unknown at once: there is neither cat nor /proc."""
    assert inspected(given, *answers).state is ContentState.UNREADABLE


def test_files_that_the_user_may_not_read_need_another_mode() -> None:
    """Not `cat`, which there is; and a complaint of many lines is one."""
    lines = "\n".join(f"cat: can't open '/s/{n}': Permission denied" for n in "ab")

    denied = Captured(1, b"", f"…denied\n{lines}")

    seen = inspected(pod(), denied, denied)

    assert seen.state is ContentState.UNREADABLE
    assert seen.why == "cat: can't open '/s/a': Permission denied"
    assert "fsGroup" in seen.remedy


@pytest.mark.parametrize(
    "message",
    [
        'admission webhook "guard.example" denied the request: no exec',
        "ValidatingAdmissionPolicy 'guard' with binding 'all' denied request: no exec",
    ],
)
def test_a_command_that_one_pod_refuses_is_unknown(message: str) -> None:
    """Others may be looked into; who lacks the right may look into none."""
    seen = inspected(pod(), ForbiddenError(message))

    assert seen.state is ContentState.UNREADABLE
    assert "no exec" in seen.why


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (
            {
                "phase": "Pending",
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "message": "0/3 nodes are available:\n3 are full.",
                    }
                ],
            },
            "its pod is on no node (0/3 nodes are available: 3 are full.)",
        ),
        (
            {
                "containerStatuses": [
                    {
                        "name": "c",
                        "state": {
                            "waiting": {
                                "reason": "CreateContainerConfigError",
                                "message": "couldn't find key A in ConfigMap n/m",
                            }
                        },
                    }
                ]
            },
            (
                "it is not running (CreateContainerConfigError: couldn't find key A in "
                "ConfigMap n/m)"
            ),
        ),
    ],
    ids=["no node", "no key"],
)
def test_why_a_container_does_not_run(status: dict[str, Any], why: str) -> None:
    """In the scheduler's, or the kubelet's, own words, in a line."""
    seen = inspected({**pod(), "status": status})

    assert (seen.state, seen.why) == (ContentState.PENDING, why)


def test_a_sidecar_of_a_job_does_not_end() -> None:
    """It is started again, whatever the pod's policy says."""
    given = pod(state={"terminated": {"exitCode": 1}}, restartPolicy="Never")
    spec, status = given["spec"], given["status"]
    own = {**spec["containers"].pop(), "restartPolicy": "Always"}
    spec["initContainers"] = [own]
    status["initContainerStatuses"] = status.pop("containerStatuses")

    (part,) = container_uses(given, uses_of(given, SECRET), immutable=False)

    assert part.updates


def test_big_files_are_read_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that an answer stays below what is read of one."""
    monkeypatch.setattr(inspection, "BYTES_AT_ONCE", 8)

    _, _, cluster = found(pod(), CONTENT)

    assert [asked[1:] for asked in cluster.asked] == [
        ("cat", "/s/token"),
        ("cat", "/s/user"),
        ("ls", "-Ap", "/s"),
    ]


def test_all_files_are_read_at_once() -> None:
    """Without a shell, one command a container; two more before they are fresh."""
    _, _, fresh = found(pod(), CONTENT)
    _, _, stale = found(pod(), Captured(0, b"", ""))

    assert stale.asked == [("c", "cat", "/s/token", "/s/user")]
    assert fresh.asked == [
        *stale.asked,
        ("c", "cat", "/s/user", "/s/token"),
        ("c", "ls", "-Ap", "/s"),
    ]


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

    seen = inspect(cast("Cluster", cluster), part, SECRET, objects())

    assert seen.state is state
    assert bool(seen.remedy) is (state is ContentState.UNREADABLE)


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


MAP = Reference("configmap", "m")


def look(
    given: dict[str, Any],
    *answers: Captured,
    stored: dict[str, Any],
    others: dict[Reference, Any] | None = None,
    at_once: bool = False,
) -> Inspection:
    """Look into a pod's one part that uses the ConfigMap; an answer a command.

    There is no shell, unless it is the shell that is to answer (``at_once``).
    """
    left = list(answers)

    class Telling:
        def capture(self, _: str, command: Sequence[str], **__: object) -> Captured:
            if command[0] == "sh" and not at_once:
                return Captured(127, b"", "")
            return left.pop(0)

    cluster = cast("Cluster", Telling())
    made = Objects(cluster, "n", dict(others or {}))
    made.add(MAP, {"metadata": {"name": "m"}, **stored})
    (part,) = container_uses(given, uses_of(given, MAP), immutable=False)
    seen = inspect(cluster, part, MAP, made)
    assert not left, "not all was asked"
    return seen


@pytest.mark.parametrize(
    ("output", "state", "why"),
    [
        ("1..data\na\n", ContentState.FRESH, ""),
        ("2..data\na\n", ContentState.STALE, "its files have other content"),
        ("..data\na\n", ContentState.STALE, "its files have other content"),
    ],
)
def test_a_shell_does_both_at_once(output: str, state: ContentState, why: str) -> None:
    """It reads the files, and lists their folder: a command each costs twice that."""
    seen = look(mounting(ALL), said(output), stored=A, at_once=True)

    assert seen.state is state
    assert why in seen.why


@pytest.mark.parametrize(
    "old", ["x", "x\n", "..data\n", "..2026_11_30_09_59_00.1/\n", "a\n"]
)
def test_an_emptied_file_is_no_listing(old: str) -> None:
    """What it held comes before the listing: the two are asked for apart."""
    listing = "..2026_11_30_10_00_00.123/\n..data\na\n"
    both, apart = said(f"{old}{old}{listing}"), said(old)

    seen = look(mounting(ALL), both, apart, stored={"data": {"a": ""}}, at_once=True)

    assert seen.state is ContentState.STALE


def test_a_shell_that_sees_too_much_is_asked_again() -> None:
    """It cannot tell a file's end from a name: the listing alone can."""
    asked = said("1..data\na\nb\n"), said("1"), said("..data\na\nb\n")

    seen = look(mounting(ALL), *asked, stored=A, at_once=True)

    assert seen.why == "it still has b, of which no key is left"


def test_a_listing_is_no_content() -> None:
    """Where a file is shorter by what the listing has, the two are asked for apart."""
    stored = {"data": {"a": "1..data\na\n"}}

    seen = look(
        mounting(ALL), said("1..data\na\n"), said("1"), stored=stored, at_once=True
    )

    assert seen.state is ContentState.STALE


@pytest.mark.parametrize(
    ("answers", "there"),
    [
        ([(0, "1|2|2|1|")], {"a": b"1", "b": b"2"}),
        # an update came between the first file and the second: never was that together
        ([(0, "1|4|4|3|"), (0, "3|4|4|3|")], {"a": b"3", "b": b"4"}),
        # b is missing: it is asked for by itself
        ([(1, "1|||1|"), (1, "")], {"a": b"1", "b": None}),
        ([(0, "1|||1|")], {"a": b"1", "b": b""}),
        # a file has the line that stands between them
        ([(0, "|||2|2||||"), (0, "|||"), (0, "2")], {"a": b"Linux\n" * 3, "b": b"2"}),
        ([(None, "")] * 3, {"a": None, "b": None}),
    ],
)
def test_files_are_read_of_one_update(
    answers: list[tuple[int | None, str]], there: dict[str, bytes | None]
) -> None:
    """In one command, there and back, with a line of the kernel's between them."""
    left = [
        Captured(code, text.replace("|", "Linux\n").encode(), "")
        for code, text in answers
    ]

    assert _files_there(lambda _: left.pop(0), ["a", "b"]) == there
    assert not left


def mounting(volume: dict[str, Any], **mount: str) -> dict[str, Any]:
    """Make a pod that mounts a volume at /m."""
    given = pod()
    given["spec"]["volumes"] = [{"name": "v", **volume}]
    one = {"name": "v", "mountPath": "/m", **mount}
    given["spec"]["containers"][0]["volumeMounts"] = [one]
    return given


def said(text: str) -> Captured:
    """Give an answer."""
    return Captured(0, text.encode(), "")


ALL = {"configMap": {"name": "m"}}
A = {"data": {"a": "1"}}


def test_a_folder_that_a_subpath_made_is_no_key() -> None:
    """Another mount of the volume names no key: the kubelet makes a folder in it."""
    beside = look(mounting(ALL), said("1"), said("..data\na\nb/\n"), stored=A)

    assert beside.state is ContentState.FRESH


def test_a_removed_keys_file_has_not_landed() -> None:
    """The update is the removal: until the file has gone it is stale."""
    names = "..2026_11_30\n..data\na\nb\n"
    still = look(mounting(ALL), said("1"), said(names), stored=A)
    gone = look(mounting(ALL), said("1"), said("..data\na\n"), stored=A)
    empty = look(mounting(ALL), said("..data\na\n"), stored={"data": {}})

    assert (still.state, gone.state) == (ContentState.STALE, ContentState.FRESH)
    assert still.why == "it still has b, of which no key is left"
    assert empty.state is ContentState.STALE


def test_where_nothing_can_be_listed_removed_keys_are_unknown() -> None:
    """What was not looked at is never taken for landed."""
    without = Captured(127, b"", "ls: not found")

    seen = look(mounting(ALL), said("1"), without, stored=A)

    assert seen.state is ContentState.UNREADABLE


def test_a_sub_path_that_names_no_key_never_has_it() -> None:
    """An empty folder holds nothing of the object; one that is cleaned does."""
    typo = look(mounting(ALL, subPath="aa"), said(""), stored=A)
    cleaned = look(mounting(ALL, subPath="./a"), said("1"), stored=A)
    old = look(mounting(ALL, subPath="./a"), said("0"), stored=A)

    assert typo.state is ContentState.STALE
    assert typo.why == "its subPath at /m names no key: it is an empty folder"
    assert (cleaned.state, old.state) == (ContentState.FRESH, ContentState.STALE)


@pytest.mark.parametrize(
    ("answer", "state", "why"),
    [
        (said("/m\n"), ContentState.STALE, "still has the file of a key that is gone"),
        (said("b\n"), ContentState.STALE, "still has files of keys that are gone"),
        (
            Captured(127, b"", "ls: not found"),
            ContentState.UNREADABLE,
            "names no key, and what is there cannot be seen (ls: not found)",
        ),
        (Captured(None, b"", "no end in time"), ContentState.PENDING, "no end in"),
    ],
    ids=["its file", "files of its folder", "no ls", "no answer"],
)
def test_what_a_sub_path_has_whose_key_was_removed(
    answer: Captured, state: ContentState, why: str
) -> None:
    """It is looked at: a container keeps the file that it was started with."""
    seen = look(mounting(ALL, subPath="./b"), answer, stored=A)

    assert seen.state is state
    assert why in seen.why


IN_A_FOLDER = {"configMap": {"name": "m", "items": [{"key": "a", "path": "d/a"}]}}


def test_a_sub_path_that_is_a_folder_is_emptied() -> None:
    """By the first update; one that has come since the start may still do it."""
    since = {"running": {"startedAt": "2026-11-30T10:00:05Z"}}
    missing = Captured(1, b"", "cat: can't open '/m/a': No such file or directory")
    given = mounting(IN_A_FOLDER, subPath="d")
    given["status"]["containerStatuses"][0]["state"] = since

    def seen(*answers: Captured, changed: str) -> Inspection:
        meta = {"managedFields": [{"time": f"2026-11-30T10:00:{changed}Z"}]}
        return look(given, *answers, stored={**A, "metadata": meta})

    before = seen(said("1"), changed="00")
    soon = seen(said("1"), changed="10")
    after = seen(missing, changed="10")

    assert before.state is ContentState.FRESH
    assert (soon.state, soon.remedy) == (ContentState.UNREADABLE, REPLACE)
    assert after.state is ContentState.STALE
    assert after.why == "its subPath at /m is a folder: an update empties it"


def test_a_key_that_is_missing_is_the_reason() -> None:
    """It blocks the whole volume: waiting or touching the pod would not help."""
    items = [{"key": "a", "path": "a"}, {"key": "ca", "path": "ca"}]
    volume = {"configMap": {"name": "m", "items": items}}

    seen = look(mounting(volume), stored=A)

    assert seen.state is ContentState.STALE
    assert seen.why == (
        "the kubelet cannot renew its volume, since configmap/m has no key 'ca'"
    )
    assert seen.remedy.startswith("put back what is missing")


@pytest.mark.parametrize(
    ("held", "state"), [("1", ContentState.FRESH), ("0", ContentState.STALE)]
)
def test_another_objects_absence_blocks_only_what_is_to_come(
    held: str, state: ContentState
) -> None:
    """What had arrived before is there; what had not is told with the reason."""
    sources = [ALL, {"secret": {"name": "trust"}}]
    others = {Reference("secret", "trust"): Absent.MISSING}

    seen = look(
        mounting({"projected": {"sources": sources}}),
        said(held),
        stored=A,
        others=others,
    )

    assert seen.state is state
    if state is ContentState.STALE:
        assert seen.why.endswith("since secret/trust does not exist")


def test_what_a_later_source_gives_is_not_the_objects() -> None:
    """Of a projected volume the later source wins, and the earlier is not stale."""
    over = Reference("configmap", "over")
    sources = [ALL, {"configMap": {"name": "over"}}]
    stored = {"data": {"a": "1", "b": "2"}}
    others = {over: {"kind": "ConfigMap", "data": {"a": "theirs"}}}

    seen = look(
        mounting({"projected": {"sources": sources}}),
        said("2"),
        said("a\nb\n"),
        stored=stored,
        others=others,
    )

    assert seen.state is ContentState.FRESH


def with_variables(since: str = "", **container: object) -> dict[str, Any]:
    """Make a pod with variables of the ConfigMap."""
    given = pod(state={"running": {"startedAt": since} if since else {}})
    given["spec"]["containers"] = [{"name": "c", **container}]
    return given


def test_a_variable_whose_key_is_gone_is_stale() -> None:
    """The process keeps it, and a restart would fail."""
    ref = {"name": "m", "key": "mode"}
    env = [{"name": "MODE", "valueFrom": {"configMapKeyRef": ref}}]
    given = with_variables(env=env)

    kept = look(given, said("MODE=x\0"), stored={"data": {}})
    ref["optional"] = True  # type: ignore[assignment]
    spared = look(with_variables(env=env), said("MODE=x\0"), stored={"data": {}})

    assert spared.state is kept.state is ContentState.STALE
    assert kept.why == "its environment still has MODE, whose key 'mode' is gone"


@pytest.mark.parametrize(
    ("environ", "has"),
    [
        ("a=0\0", "another a and no b"),
        ("a=0\0b=0\0", "another a, b"),
        ("a=1\0", "no b"),
    ],
)
def test_a_missing_variable_is_not_another(environ: str, has: str) -> None:
    """What is said is what was read."""
    given = with_variables(envFrom=[{"configMapRef": {"name": "m"}}])

    seen = look(given, said(environ), stored={"data": {"a": "1", "b": "2"}})

    assert seen.why == f"its environment has {has}"


@pytest.mark.parametrize(
    ("since", "environ", "state"),
    [
        ("2026-11-30T10:00:05Z", "a=1\0MODE=x\0", ContentState.FRESH),
        ("2026-11-30T09:59:00Z", "a=1\0MODE=x\0", ContentState.UNREADABLE),
        ("2026-11-30T09:59:00Z", "a=1\0PATH=/bin\0", ContentState.FRESH),
        ("2026-11-30T09:59:00Z", "a=1\0DB_SERVICE_HOST=h\0", ContentState.FRESH),
        ("2026-11-30T09:59:00Z", "a=0\0MODE=x\0", ContentState.STALE),
    ],
    ids=["started later", "or the image's", "the runtime's", "a Service's", "stale"],
)
def test_a_removed_key_may_be_in_an_older_environment(
    since: str, environ: str, state: ContentState
) -> None:
    """Whether a variable is the image's or of a removed key cannot be told: unknown."""
    given = with_variables(since, envFrom=[{"configMapRef": {"name": "m"}}])
    changed = {"managedFields": [{"time": "2026-11-30T10:00:00Z"}]}

    seen = look(given, said(environ), stored={**A, "metadata": changed})

    assert seen.state is state


@pytest.mark.parametrize(
    ("since", "environ", "state"),
    [
        ("2026-11-30T10:00:05Z", "PATH=/bin\0", ContentState.FRESH),
        ("2026-11-30T09:59:00Z", "PATH=/bin\0", ContentState.UNREADABLE),
        ("2026-11-30T09:59:00Z", "9a=1\0", ContentState.FRESH),
        ("2026-11-30T09:59:00Z", "9a=0\0", ContentState.STALE),
    ],
    ids=["a kubelet before 1.30", "or added since", "there", "stale"],
)
def test_a_name_that_old_kubelets_leave_out_may_be_missing(
    since: str, environ: str, state: ContentState
) -> None:
    """Whether its kubelet left it out, or it came after the start: unknown."""
    source = {"prefix": "9", "configMapRef": {"name": "m"}}
    given = with_variables(since, envFrom=[source])
    changed = {"managedFields": [{"time": "2026-11-30T10:00:00Z"}]}

    seen = look(given, said(environ), stored={**A, "metadata": changed})

    assert seen.state is state


@pytest.mark.parametrize(
    ("version", "state"),
    [("101", ContentState.UNREADABLE), ("99", ContentState.FRESH)],
    ids=["after the pod's last change", "before it"],
)
def test_a_removal_that_leaves_no_time_is_seen_by_its_version(
    version: str, state: ContentState
) -> None:
    """`kubectl patch` of another one's key moves no time in managedFields."""
    given = with_variables(
        "2026-11-30T10:00:05Z", envFrom=[{"configMapRef": {"name": "m"}}]
    )
    given["metadata"]["resourceVersion"] = "100"
    changed = {
        "managedFields": [{"time": "2026-11-30T10:00:00Z"}],
        "resourceVersion": version,
    }

    seen = look(given, said("a=1\0MODE=x\0"), stored={**A, "metadata": changed})

    assert seen.state is state


OTHER = Reference("configmap", "other")
CHANGED = {"managedFields": [{"time": "2026-11-30T10:00:00Z"}]}
EARLIER, LATER = "2026-11-30T09:59:00Z", "2026-11-30T10:00:05Z"


@pytest.mark.parametrize(
    ("since", "value", "state"),
    [
        (EARLIER, "1", ContentState.UNREADABLE),
        (EARLIER, "literal", ContentState.FRESH),
        (LATER, "1", ContentState.FRESH),
    ],
    ids=["of the removed key", "of the literal", "started later"],
)
def test_a_variable_of_a_removed_key_falls_to_another_source(
    since: str, value: str, state: ContentState
) -> None:
    """Its name has a source still, and the container has what the key gave."""
    ref = {"name": "m", "key": "gone", "optional": True}
    env = [
        {"name": "C", "value": "literal"},
        {"name": "C", "valueFrom": {"configMapKeyRef": ref}},
    ]
    given = with_variables(since, env=env)

    seen = look(given, said(f"C={value}\0"), stored={**A, "metadata": CHANGED})

    assert seen.state is state


@pytest.mark.parametrize("prefix", ["", "P_"])
def test_a_variable_of_a_removed_key_falls_to_an_earlier_object(prefix: str) -> None:
    """Of two envFrom the later one lost the key: what is there may be its."""
    sources = [
        {"prefix": prefix, "configMapRef": {"name": name}} for name in ("other", "m")
    ]
    given = with_variables(EARLIER, envFrom=sources)
    others = {OTHER: {"metadata": {"name": "other"}, "data": {"b": "2"}}}
    stored = {**A, "metadata": CHANGED}

    old, new = (
        look(
            given,
            said(f"{prefix}a=1\0{prefix}b={value}\0"),
            stored=stored,
            others=others,
        )
        for value in "12"
    )

    assert (old.state, new.state) == (ContentState.UNREADABLE, ContentState.FRESH)


@pytest.mark.parametrize(
    ("since", "answers", "state"),
    [
        (EARLIER, ("1", "..data\na\nb\n", "1"), ContentState.STALE),
        (EARLIER, ("1", "..data\na\nb\n", "2"), ContentState.FRESH),
        (LATER, ("1", "..data\na\nb\n"), ContentState.FRESH),
    ],
    ids=["of the removed key", "of the other object", "started later"],
)
def test_a_file_of_a_removed_key_falls_to_another_source(
    since: str, answers: tuple[str, ...], state: ContentState
) -> None:
    """Its path has a source still, and the volume has what the key gave."""
    sources = [{"configMap": {"name": name}} for name in ("other", "m")]
    given = mounting({"projected": {"sources": sources}})
    given["status"]["containerStatuses"][0]["state"] = {"running": {"startedAt": since}}
    others = {OTHER: {"metadata": {"name": "other"}, "data": {"b": "2"}}}

    seen = look(
        given,
        *map(said, answers),
        stored={**A, "metadata": CHANGED},
        others=others,
    )

    assert seen.state is state


def test_files_beside_an_unknown_source_are_not_said_to_be_its() -> None:
    """Of a Secret that may not be read, or of a key that was removed: unknown."""
    sources = [{"secret": {"name": "s"}}, {"configMap": {"name": "m"}}]
    given = mounting({"projected": {"sources": sources}})
    others = {SECRET: Absent.UNREAD}

    alone, more = (
        look(given, said("1"), said(f"..data\na\n{name}"), stored=A, others=others)
        for name in ("", "b\n")
    )

    assert (alone.state, more.state) == (ContentState.FRESH, ContentState.UNREADABLE)


def test_a_key_that_became_binary_is_gone_from_the_environment() -> None:
    """No variable is made of ``binaryData``; the process keeps what the text gave."""
    ref = {"name": "m", "key": "mode", "optional": True}
    env = [{"name": "MODE", "valueFrom": {"configMapKeyRef": ref}}]
    stored = {"data": {}, "binaryData": {"mode": "eA=="}}

    kept = look(with_variables(env=env), said("MODE=x\0"), stored=stored)

    assert kept.state is ContentState.STALE
