"""The door to real clusters, against a small HTTP server that answers as told."""

from __future__ import annotations

import base64
import contextlib
import gc
import hashlib
import json
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import pytest
import urllib3
import yaml
from websocket import WebSocket

from cmhot.clock import SystemClock
from cmhot.cluster import client
from cmhot.cluster.port import CONFLICT, NAMESPACE, POD, Captured
from cmhot.errors import (
    ClusterError,
    ForbiddenError,
    NotFoundError,
    UnreachableError,
    UsageError,
)
from cmhot.kubelet.uses import CONFIG_MAP, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Answers(ThreadingHTTPServer):
    """An API server that gives one canned answer a path, and keeps what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        self.asked: list[tuple[str, str, str | None, Any]] = []
        self.accepted: list[str] = []
        self.over = threading.Event()


class Handler(BaseHTTPRequestHandler):
    """Answers every method alike."""

    protocol_version = "HTTP/1.1"
    server: Answers

    def answer(self) -> None:
        """Give the next answer for the path."""
        length = int(self.headers.get("Content-Length") or 0)
        kind = self.headers.get("Content-Type") or ""
        read = yaml.safe_load if kind.endswith("yaml") else json.loads
        body = read(self.rfile.read(length).decode()) if length else None
        self.server.asked.append((self.command, self.path, kind, body))
        self.server.accepted.append(self.headers["Accept"])
        queue = self.server.answers[self.path.partition("?")[0]]
        status, content = queue.pop(0) if len(queue) > 1 else queue[0]
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Answers]:
    """Serve on the loopback interface for one test."""
    with Answers() as answers:
        thread = threading.Thread(target=answers.serve_forever, args=(0.01,))
        thread.start()
        yield answers
        answers.shutdown()
        thread.join()


def kubeconfig(path: Path, port: int) -> Path:
    """Write a kubeconfig for a plain-HTTP server."""
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "clusters": [
                    {"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}
                ],
                "users": [{"name": "u", "user": {"token": "secret-token"}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            }
        )
    )
    return path


@pytest.fixture
def cluster(server: Answers, tmp_path: Path) -> client.Kube:
    """Connect to the server."""
    file = kubeconfig(tmp_path / "config", server.server_port)
    return client.connect(target="context:c", context="c", kubeconfig=file)


def test_a_list_is_read_to_its_last_page(server: Answers, cluster: client.Kube) -> None:
    """Pages are followed, and the last one's resource version counts."""
    server.answers["/api/v1/namespaces/n/pods"] = [
        (200, {"items": [{"a": 1}], "metadata": {"continue": "x"}}),
        (200, {"items": [{"a": 2}], "metadata": {"resourceVersion": "7"}}),
    ]

    items, version = cluster.list(POD, namespace="n", labels={"l": "v"})

    assert (items, version) == ([{"a": 1}, {"a": 2}], "7")
    assert "labelSelector=l%3Dv" in server.asked[0][1]
    assert "continue=x" in server.asked[1][1]


def test_names_are_asked_for_without_content(
    server: Answers, cluster: client.Kube
) -> None:
    """As metadata only: the content of a thousand Secrets is nobody's business."""
    page = {"items": [{"metadata": {"name": "a"}}], "metadata": {}}
    server.answers["/api/v1/namespaces/n/configmaps"] = [(200, page)]

    assert cluster.names(CONFIG_MAP, namespace="n") == ["a"]
    assert "as=PartialObjectMetadataList" in server.accepted[0]


def test_pages_are_given_one_by_one(server: Answers, cluster: client.Kube) -> None:
    """The second is not asked for before the first was taken."""
    server.answers["/api/v1/namespaces/n/pods"] = [
        (200, {"items": [{"a": 1}], "metadata": {"continue": "x"}}),
        (200, {"items": [{"a": 2}], "metadata": {}}),
    ]

    pages = cluster.pages(POD, namespace="n")

    assert next(pages) == [{"a": 1}]
    assert gc.isenabled()  # it was off only while the page was decoded
    assert len(server.asked) == 1
    assert list(pages) == [[{"a": 2}]]


def test_an_ephemeral_container_is_merged_by_name(
    server: Answers, cluster: client.Kube
) -> None:
    """Those that are there already stay."""
    path = "/api/v1/namespaces/n/pods/p/ephemeralcontainers"
    server.answers[path] = [(200, {})]

    cluster.add_ephemeral("p", {"name": "look"}, namespace="n")

    assert server.asked == [
        (
            "PATCH",
            f"{path}?fieldManager=cmhot",
            "application/strategic-merge-patch+json",
            {"spec": {"ephemeralContainers": [{"name": "look"}]}},
        )
    ]


def test_a_patch_is_a_merge_patch_of_ours(
    server: Answers, cluster: client.Kube
) -> None:
    """The body goes as it is, owned by our field manager."""
    path = "/api/v1/namespaces/n/configmaps/m"
    server.answers[path] = [(200, {"metadata": {"resourceVersion": "9"}})]

    stored = cluster.patch(CONFIG_MAP, "m", {"data": {"a": "1"}}, namespace="n")

    assert stored["metadata"]["resourceVersion"] == "9"
    assert server.asked == [
        (
            "PATCH",
            f"{path}?fieldManager=cmhot",
            "application/merge-patch+json",
            {"data": {"a": "1"}},
        )
    ]


def test_apply_finds_the_plural_by_discovery(
    server: Answers, cluster: client.Kube
) -> None:
    """A kind that we have never heard of can be applied; discovery is asked once."""
    server.answers["/apis/x.io/v1"] = [
        (
            200,
            {
                "resources": [
                    {"name": "mice/status", "kind": "Mouse", "namespaced": True},
                    {"name": "mice", "kind": "Mouse", "namespaced": True},
                ]
            },
        )
    ]
    server.answers["/apis/x.io/v1/namespaces/n/mice/m"] = [(200, {"ok": True})]
    manifest = {"apiVersion": "x.io/v1", "kind": "Mouse", "metadata": {"name": "m"}}
    manifest |= {"squeak": '🐭 \x7f\x85\u2028\ufeff\t"\\ud83d'}

    cluster.apply(manifest, namespace="n")
    cluster.apply(manifest, namespace="n")

    assert [asked[0] for asked in server.asked] == ["GET", "PATCH", "PATCH"]
    # what is sent is read as YAML, which has no escapes in pairs
    assert server.asked[1][2:] == ("application/apply-patch+yaml", manifest)
    with pytest.raises(UsageError, match="knows no Rat"):
        cluster.apply({**manifest, "kind": "Rat"}, namespace="n")


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (404, NotFoundError, 2),
        (403, ForbiddenError, 2),
        (401, ForbiddenError, 2),
        (409, ClusterError, 1),
        (429, ClusterError, 1),
        (500, ClusterError, 1),
    ],
)
def test_statuses_become_our_errors(
    server: Answers,
    cluster: client.Kube,
    status: int,
    error: type[ClusterError],
    code: int,
) -> None:
    """The server's message is kept, the status is kept, the token is not."""
    path = "/api/v1/namespaces/n/configmaps/m"
    server.answers[path] = [(status, {"kind": "Status", "message": "no such luck"})]

    with pytest.raises(error, match="no such luck") as raised:
        cluster.get(CONFIG_MAP, "m", namespace="n")

    assert type(raised.value) is error
    assert raised.value.status == status
    assert raised.value.exit_code == code
    assert "secret-token" not in str(raised.value)


def test_what_is_not_there_is_deleted_already(
    server: Answers, cluster: client.Kube
) -> None:
    """Deleting twice is no error."""
    server.answers["/api/v1/namespaces/n/pods/p"] = [(404, {"message": "gone"})]

    cluster.delete(POD, "p", namespace="n")


def test_a_watch_yields_until_its_end_or_an_error(
    server: Answers, cluster: client.Kube
) -> None:
    """Objects come one by one; an ERROR event (410 Gone) ends the iteration."""
    events = [
        {"type": "ADDED", "object": {"n": 1}},
        {"type": "MODIFIED", "object": {"n": 2}},
        {"type": "ERROR", "object": {"code": 410}},
        {"type": "ADDED", "object": {"n": 3}},
    ]
    lines = "".join(json.dumps(event) + "\n" for event in events).encode()
    server.answers["/api/v1/namespaces/n/pods"] = [(200, lines)]

    seen = list(
        cluster.watch(POD, namespace="n", labels={"a": "b"}, resource_version="5")
    )

    assert seen == [{"n": 1}, {"n": 2}]
    assert "resourceVersion=5" in server.asked[0][1]
    assert "timeoutSeconds=60" in server.asked[0][1]


def test_a_log_can_be_read_from_an_instant(
    server: Answers, cluster: client.Kube
) -> None:
    """SinceTime has whole seconds, rounded down so that nothing is lost."""
    server.answers["/api/v1/namespaces/n/pods/p/log"] = [(200, b"2026 line\n")]

    text = cluster.log(
        "p", namespace="n", container="c", since_ns=1_795_436_875_999_999_999
    )

    assert text == "2026 line\n"
    assert "sinceTime=2026-11-23T12%3A27%3A55Z" in server.asked[0][1]


class Trickling(Handler):
    """Answers without an end, or (at /version) not at all."""

    def answer(self) -> None:
        """Begin an answer, and write on until nobody reads."""
        if self.path == "/version":
            self.server.over.wait(5)
            return
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while not self.server.over.wait(0.01):
                self.wfile.write(b"x" * 2**16)

    do_GET = answer  # noqa: N815 - http.server's name


@pytest.fixture
def endless(server: Answers, cluster: client.Kube) -> Iterator[client.Kube]:
    """Let answers have no end."""
    server.RequestHandlerClass = Trickling
    yield cluster
    server.over.set()


@pytest.mark.parametrize(
    ("bytes_", "seconds", "error", "said"),
    [
        (2**20, 60.0, ClusterError, "is too long"),
        (2**40, 0.2, UnreachableError, "does not end in time"),
    ],
    ids=["bytes", "seconds"],
)
def test_a_log_without_an_end_ends(
    endless: client.Kube,
    monkeypatch: pytest.MonkeyPatch,
    *,
    bytes_: int,
    seconds: float,
    error: type[ClusterError],
    said: str,
) -> None:
    """A container may write faster than we read; the answer is an error, not a part."""
    monkeypatch.setattr(client, "MOST_OUTPUT_BYTES", bytes_)
    monkeypatch.setattr(client, "LOG_S", seconds)

    with pytest.raises(ClusterError, match=said) as raised:
        endless.log("p", namespace="n", container="c")

    assert type(raised.value) is error


@pytest.mark.parametrize(
    "ask",
    [
        lambda cluster: cluster.version(),
        lambda cluster: cluster.names(POD, namespace="n"),
    ],
    ids=["silent", "endless"],
)
def test_requests_end_with_the_command(
    endless: client.Kube,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[client.Kube], object],
) -> None:
    """`until` bounds each of them, whatever its own longest time is."""
    monkeypatch.setattr("cmhot.cluster.client.LEAST_S", 0.05)
    begin = SystemClock().monotonic()
    bounded = endless.until(begin + 0.1)

    for _ in range(2):  # the second begins late
        with pytest.raises(UnreachableError):
            ask(bounded)

    # generous: a machine under load; without the limit it is five seconds, or no end
    assert SystemClock().monotonic() - begin < 2


def test_a_refused_command_says_why(server: Answers, cluster: client.Kube) -> None:
    """The answer to a WebSocket's request is the API server's own, with its remedy."""
    path = "/api/v1/namespaces/n/pods/cmhot-p/exec"
    server.answers[path] = [(403, {"kind": "Status", "message": "no such luck"})]

    with pytest.raises(
        ForbiddenError, match=r"no such luck.*bound the offset of the nodes' clocks"
    ) as raised:
        cluster.run_in("cmhot-p", ["true"], namespace="n", container="c")

    assert raised.value.status == 403


def test_a_command_that_reaches_nobody_says_so(tmp_path: Path) -> None:
    """A closed port is told as that, not as a status of 0."""
    with Answers() as closed:
        port = closed.server_port
    file = kubeconfig(tmp_path / "config", port)
    cluster = client.connect(target="context:c", context="c", kubeconfig=file)

    with pytest.raises(
        UnreachableError, match=r"no answer to GET .*Connection refused"
    ):
        cluster.run_in("p", ["true"], namespace="n", container="c")


def test_a_handshake_that_nobody_answers_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kubelet that accepts and says nothing holds nobody up for ever."""
    monkeypatch.setattr(client, "READ_TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # should nothing else end it, this does: a test must not hang
        end = threading.Timer(2.0, silent.close)
        end.start()
        file = kubeconfig(tmp_path / "config", silent.getsockname()[1])
        cluster = client.connect(target="context:c", context="c", kubeconfig=file)
        begin = SystemClock().monotonic()

        with pytest.raises(UnreachableError, match=r"no answer to GET .*timed out"):
            cluster.capture("p", ["cat", "/v"], namespace="n", container="c")

        end.cancel()
        # generous: a machine under load; without the limit it is the two seconds
        assert SystemClock().monotonic() - begin < 1.5


def test_configz_is_asked_through_the_proxy(
    server: Answers, cluster: client.Kube
) -> None:
    """The kubelet's own configuration is unwrapped."""
    server.answers["/api/v1/nodes/a%2Fb/proxy/configz"] = [
        (200, {"kubeletconfig": {"syncFrequency": "1m0s"}})
    ]

    assert cluster.kubelet_configuration("a/b") == {"syncFrequency": "1m0s"}


@pytest.mark.parametrize(
    ("failure", "gone"),
    [
        (urllib3.exceptions.ReadTimeoutError, False),
        (urllib3.exceptions.NewConnectionError, True),
    ],
)
def test_a_proxy_that_waits_for_a_dead_kubelet_is_no_cluster_that_is_gone(
    cluster: client.Kube,
    monkeypatch: pytest.MonkeyPatch,
    failure: Callable[..., Exception],
    *,
    gone: bool,
) -> None:
    """The API server was reached, and it is the kubelet that says nothing."""
    waited = []

    def fail(*_: object, timeout: urllib3.Timeout, **__: object) -> None:
        waited.append(timeout.read_timeout)
        raise failure(None, "", "timed out") if not gone else failure(None, "refused")

    monkeypatch.setattr(cluster._manager, "request", fail)

    with pytest.raises(ClusterError) as raised:
        cluster.kubelet_configuration("a")

    assert isinstance(raised.value, UnreachableError) is gone
    assert waited == [client.KUBELET_READ_TIMEOUT_S]


def test_ctrl_c_while_an_exec_connects_is_ctrl_c(
    cluster: client.Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no error of the connection: a run would go on."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(WebSocket, "connect", interrupt)

    with pytest.raises(KeyboardInterrupt):
        cluster.run_in("p", ["true"], namespace="n", container="c")


def test_no_server_is_one_sentence(tmp_path: Path) -> None:
    """A closed port is an UnreachableError that names the address."""
    with Answers() as closed:
        port = closed.server_port
    file = kubeconfig(tmp_path / "config", port)
    cluster = client.connect(target="context:c", context="c", kubeconfig=file)

    with pytest.raises(UnreachableError, match=f"127.0.0.1:{port}"):
        cluster.version()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: [", "is neither YAML"),
        ("just words", "is no mapping"),
        ("{}", "no context"),
    ],
)
def test_a_bad_kubeconfig_is_wrong_use(tmp_path: Path, content: str, said: str) -> None:
    """What is no kubeconfig, or lacks the context, says so and names the file."""
    file = tmp_path / "config"
    file.write_text(content)

    with pytest.raises(UsageError, match=said):
        client.connect(target="context:c", context="c", kubeconfig=file)


def test_a_missing_kubeconfig_is_wrong_use(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(UsageError, match="no kubeconfig at"):
        client.connect(target="t", context=None, kubeconfig=tmp_path / "absent")


def test_cluster_scoped_paths_have_no_namespace() -> None:
    """Nodes and namespaces are not looked for in a namespace."""
    kind = Kind("v1", "nodes", namespaced=False)

    assert client.Kube._path(kind, "a", "n") == "/api/v1/nodes/a"


@pytest.mark.parametrize(
    ("managers", "asked"),
    [
        (["cmhot"], ["fieldManager=cmhot", "fieldManager=cmhot&force=true"]),
        (["cmhot", "kubectl"], ["fieldManager=cmhot"]),
        (["helm"], ["fieldManager=cmhot"]),
    ],
)
def test_only_our_own_patch_is_overruled(
    server: Answers, cluster: client.Kube, managers: list[str], asked: list[str]
) -> None:
    """A field that our patch set is applied anew; one of somebody else's is not."""
    known = {"name": "configmaps", "kind": "ConfigMap", "namespaced": True}
    server.answers["/api/v1"] = [(200, {"resources": [known]})]
    path = "/api/v1/namespaces/n/configmaps/m"
    told = "\n".join(f'conflict with "{one}" using v1: .data.a' for one in managers)
    server.answers[path] = [(409, {"kind": "Status", "message": told}), (200, {})]
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}}

    if len(asked) > 1:
        cluster.apply(manifest, namespace="n")
    else:
        with pytest.raises(ClusterError, match="conflict with"):
            cluster.apply(manifest, namespace="n")

    queries = [one.partition("?")[2] for _, one, _, _ in server.asked if path in one]
    assert queries == asked


def test_only_the_very_object_is_deleted(server: Answers, cluster: client.Kube) -> None:
    """By its UID; another one of its name is let alone, other conflicts are told."""
    path, gone = "/api/v1/namespaces/n", "Precondition failed: UID in precondition: u"
    server.answers[path] = [
        (200, {}),
        (409, {"message": gone}),
        (409, {"message": "x"}),
    ]

    cluster.delete(NAMESPACE, "n", uid="u")
    cluster.delete(NAMESPACE, "n", uid="u")
    with pytest.raises(ClusterError, match="x"):
        cluster.delete(NAMESPACE, "n", uid="u")

    assert server.asked[0][0] == "DELETE"
    assert server.asked[0][3] == {"preconditions": {"uid": "u"}}


def test_what_is_created_is_not_there_yet(
    server: Answers, cluster: client.Kube
) -> None:
    """A POST: the API server refuses it for a name that is taken."""
    known = {"name": "namespaces", "kind": "Namespace", "namespaced": False}
    server.answers["/api/v1"] = [(200, {"resources": [known]})]
    server.answers["/api/v1/namespaces"] = [(409, {"message": "already exists"})]
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}

    with pytest.raises(ClusterError, match="already exists") as raised:
        cluster.create(manifest)

    assert raised.value.status == CONFLICT
    assert server.asked[-1][0] == "POST"


class Kubelet:
    """Runs every command over a WebSocket by sending frames that were prepared."""

    def __init__(self, *frames: bytes, hangs_up: bool = False) -> None:
        self.frames = frames
        self.hangs_up = hangs_up
        self.asked = ""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        with self._socket.accept()[0] as one:
            while "\r\n\r\n" not in self.asked:
                self.asked += one.recv(65536).decode()
            key = next(
                line.partition(": ")[2]
                for line in self.asked.split("\r\n")
                if line.lower().startswith("sec-websocket-key")
            )
            guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
            accept = base64.b64encode(hashlib.sha1(f"{key}{guid}".encode()).digest())  # noqa: S324 - its choice
            one.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            for frame in self.frames:
                one.sendall(frame)
            if not self.hangs_up:
                one.recv(65536)  # until the other side has it, too


def frame(channel: int, data: bytes) -> bytes:
    """Write a binary message of a channel."""
    content = bytes([channel]) + data
    return b"\x82\x7f" + len(content).to_bytes(8, "big") + content


SUCCESS = frame(3, b'{"status": "Success"}')
CLOSE = b"\x88\x02\x03\xe8"


def run_on(kubelet: Kubelet, tmp_path: Path) -> Captured:
    """Run a command there."""
    file = kubeconfig(tmp_path / "config", kubelet.port)
    cluster = client.connect(target="context:c", context="c", kubeconfig=file)
    return cluster.capture("p", ["cat", "/a b"], namespace="n", container="c")


def test_a_command_is_captured(tmp_path: Path) -> None:
    """Its bytes, what it complained of, and how it ended; the token is shown."""
    frames = [frame(1, b""), frame(1, b"\x00\xff"), frame(2, b"oh"), frame(1, b"1")]
    with Kubelet(*frames, SUCCESS, CLOSE) as kubelet:
        found = run_on(kubelet, tmp_path)

    assert found == Captured(0, b"\x00\xff1", "oh")
    assert kubelet.asked.startswith(
        "GET /api/v1/namespaces/n/pods/p/exec?command=cat&command=%2Fa+b&container=c&"
    )
    assert "Authorization: Bearer secret-token" in kubelet.asked


def test_an_endless_output_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no answer."""
    monkeypatch.setattr(client, "MOST_OUTPUT_BYTES", 1000)
    with Kubelet(*[frame(1, b"x" * 600)] * 3) as kubelet:
        found = run_on(kubelet, tmp_path)

    assert found.code is None
    assert len(found.output) < 2000


def test_a_command_that_does_not_end_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time for an answer."""
    monkeypatch.setattr(client, "READ_TIMEOUT_S", 0.2)
    with Kubelet(frame(1, b"x")) as kubelet:
        found = run_on(kubelet, tmp_path)

    assert found == Captured(None, b"x", "no end in time")


def test_a_verdict_counts_although_the_connection_broke(tmp_path: Path) -> None:
    """It comes last; without it nothing is known."""
    with Kubelet(frame(1, b"x"), SUCCESS, hangs_up=True) as kubelet:
        assert run_on(kubelet, tmp_path).code == 0
    with (
        Kubelet(frame(1, b"x"), hangs_up=True) as kubelet,
        pytest.raises(UnreachableError, match="broke off"),
    ):
        run_on(kubelet, tmp_path)


def test_who_has_a_token_needs_no_library(tmp_path: Path) -> None:
    """To import the client takes longer than a request."""
    file = kubeconfig(tmp_path / "config", 1)
    code = (
        "import sys; from pathlib import Path; from cmhot.cluster import client\n"
        "client.connect(target='t', context='c', kubeconfig=Path(sys.argv[1]))\n"
        "print(sorted({'kubernetes', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, file], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
