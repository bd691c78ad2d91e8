"""Kubeconfigs as they are: certificates, tokens, plugins, proxies, several files.

Against a small TLS server with an authority of its own;
what it answers is of no matter, only who asks it and how.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import socket
import ssl
import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import urllib3
import yaml
from kubernetes.config import incluster_config
from urllib3.exceptions import InsecureRequestWarning

from cmhot.cluster import client
from cmhot.cluster.rights import Right
from cmhot.cluster.targets import connect
from cmhot.cluster.testbed.certificates import Authority
from cmhot.errors import ClusterError, ForbiddenError, UnreachableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    """Says who asked, by certificate and by token."""

    protocol_version = "HTTP/1.1"
    server: Server

    def answer(self) -> None:
        """Answer any request."""
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.bodies.append(body)
        peer: Any = self.connection.getpeercert()
        subject = dict(pair[0] for pair in (peer or {}).get("subject", ()))
        self.server.paths.append(self.path)
        self.server.users.append(
            (subject.get("commonName"), self.headers.get("Authorization"))
        )
        status, content = self.server.answers.get(
            self.path, (200, {"gitVersion": "v1.37.1"})
        )
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = answer  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A TLS server that asks for a client certificate, and takes none as well."""

    def __init__(self, authority: Authority, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.users: list[tuple[str | None, str | None]] = []
        self.paths: list[str] = []
        self.bodies: list[Any] = []
        self.answers: dict[str, tuple[int, Any]] = {}
        pair = authority.issue("server", addresses=["127.0.0.1"])
        files = {
            "ca.crt": authority.certificate,
            "server.crt": pair.certificate,
            "server.key": pair.key,
        }
        for name, data in files.items():
            (folder / name).write_bytes(data)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.crt", folder / "server.key")
        context.load_verify_locations(folder / "ca.crt")
        context.verify_mode = ssl.CERT_OPTIONAL
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that do not trust it."""


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Make an authority that nobody knows."""
    return Authority(dt.datetime.now(dt.UTC))


@pytest.fixture
def server(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    """Serve for one test, without a proxy of the machine's in between."""
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server(authority, tmp_path) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def write(path: Path, server: Server, user: dict[str, Any], **cluster: str) -> Path:
    """Write a kubeconfig with one context, called ``c``."""
    there = {
        "server": f"https://127.0.0.1:{server.server_port}",
        "certificate-authority": str(path.parent / "ca.crt"),
    }
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "k", "cluster": {**there, **cluster}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


def reach(path: Path) -> client.Kube:
    """Connect by a file, and ask something."""
    cluster = client.connect(target="context:c", context="c", kubeconfig=path)
    assert cluster.version() == "v1.37.1"
    return cluster


def test_a_client_certificate_is_shown(
    server: Server, authority: Authority, tmp_path: Path
) -> None:
    """The server sees the name in the certificate, and no token."""
    pair = authority.issue("jane", organisation="team")
    (tmp_path / "u.crt").write_bytes(pair.certificate)
    (tmp_path / "u.key").write_bytes(pair.key)
    # relative paths are relative to the file
    user = {"client-certificate": "u.crt", "client-key": "u.key"}

    reach(write(tmp_path / "config", server, user))

    assert server.users == [("jane", None)]


def test_a_token_is_shown(server: Server, tmp_path: Path) -> None:
    """A token in the file, and one in a file that it names."""
    (tmp_path / "token").write_text("from-file")

    reach(write(tmp_path / "a", server, {"token": "in-place"}))
    reach(write(tmp_path / "b", server, {"tokenFile": str(tmp_path / "token")}))

    assert server.users == [(None, "Bearer in-place"), (None, "Bearer from-file")]


def plugin(path: Path, script: str) -> dict[str, Any]:
    """Write an exec plugin; return the user that has it."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    version = "client.authentication.k8s.io/v1"
    return {"exec": {"apiVersion": version, "command": str(path)}}


EMPTY_TOKEN = json.dumps(
    {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": ""},
    }
)


def test_an_exec_plugin_is_asked(server: Server, tmp_path: Path) -> None:
    """Its token is used; an expired one is asked for again."""
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "T", "expirationTimestamp": "2020-01-01T00:00:00Z"},
    }
    counter = tmp_path / "count"
    user = plugin(
        tmp_path / "plugin", f"echo x >> {counter}\necho '{json.dumps(credential)}'"
    )

    cluster = reach(write(tmp_path / "config", server, user))
    cluster.version()

    assert {token for _, token in server.users} == {"Bearer T"}
    assert len(counter.read_text().splitlines()) > 1


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'session expired' >&2; exit 1", "session expired"),
        ("echo nonsense", "failed to decode process output"),
        (f"echo '{EMPTY_TOKEN}'", "and said nothing"),
    ],
    ids=["fails", "is no plugin", "its token is empty"],
)
def test_an_exec_plugin_that_fails_is_told(
    server: Server, tmp_path: Path, script: str, said: str
) -> None:
    """Nobody is asked without credentials: the plugin's own words are the reason."""
    config = write(tmp_path / "config", server, plugin(tmp_path / "plugin", script))

    with pytest.raises(UsageError, match=r"its exec plugin .* gave none") as raised:
        reach(config)

    assert said in str(raised.value)
    assert server.users == []


def test_a_missing_exec_plugin_is_told(server: Server, tmp_path: Path) -> None:
    """A command that is not installed is named."""
    user = plugin(tmp_path / "plugin", "")
    (tmp_path / "plugin").unlink()

    with pytest.raises(UsageError, match=str(tmp_path / "plugin")):
        reach(write(tmp_path / "config", server, user))


def test_several_files_are_one(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clusters of one file and users of another make a context of a third."""
    write(tmp_path / "config", server, {"token": "T"})
    whole = yaml.safe_load((tmp_path / "config").read_text())
    paths = []
    for part in ("clusters", "users", "contexts"):
        path = tmp_path / part
        path.write_text(yaml.safe_dump({"kind": "Config", part: whole[part]}))
        paths.append(str(path))
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join([*paths, "/does/not/exist"]))

    assert connect("context:c").version() == "v1.37.1"

    assert server.users == [(None, "Bearer T")]


def test_the_current_context_is_never_taken(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what is named is used, also where the file has a favourite."""
    path = write(tmp_path / "config", server, {"token": "T"})
    path.write_text(path.read_text() + "current-context: c\n")
    monkeypatch.setenv("KUBECONFIG", str(path))

    for target in (None, "context", "context:", "context:other"):
        with pytest.raises(UsageError):
            connect(target)
    assert server.users == []


@pytest.mark.parametrize(
    "variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"]
)
def test_the_kubeconfigs_authority_wins(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """What the environment says of authorities is about other servers."""
    other = tmp_path / "other.crt"
    other.write_bytes(Authority(dt.datetime.now(dt.UTC)).certificate)
    config = write(tmp_path / "config", server, {"token": "T"})

    monkeypatch.setenv(variable, str(other))
    reach(config)

    monkeypatch.setenv(variable, str(tmp_path / "ca.crt"))
    write(config, server, {"token": "T"}, **{"certificate-authority": str(other)})
    with pytest.raises(UnreachableError, match="certificate-authority"):
        reach(config)
    assert server.users == [(None, "Bearer T")]


def test_a_proxy_is_used_and_named(server: Server, tmp_path: Path) -> None:
    """A proxy that does not answer is the reason given, without its password."""
    proxy = "http://me:secret@127.0.0.1:9"
    config = write(tmp_path / "config", server, {"token": "T"}, **{"proxy-url": proxy})

    with pytest.raises(
        UnreachableError, match=r"the proxy http://127.0.0.1:9"
    ) as found:
        reach(config)

    assert "secret" not in str(found.value)
    assert server.users == []


def test_refused_credentials_are_told_as_such(server: Server, tmp_path: Path) -> None:
    """A 401 is not about rights: the message says to log in again."""
    server.answers["/version"] = (401, {"message": "Unauthorized"})

    with pytest.raises(ForbiddenError, match="log in again"):
        reach(write(tmp_path / "config", server, {"token": "T"}))


def test_a_lost_certificate_file_is_told(server: Server, tmp_path: Path) -> None:
    """The key that names it is, and not its value, which may be a secret by mistake."""
    gone = str(tmp_path / "gone.crt")
    user = {"client-certificate": gone, "client-key": gone}

    with pytest.raises(UsageError, match=r"`client-certificate` .* cannot be read: No"):
        reach(write(tmp_path / "config", server, user))


@pytest.mark.parametrize("allowed", [True, False])
def test_a_right_is_asked_for_by_review(
    server: Server,
    tmp_path: Path,
    *,
    allowed: bool,
) -> None:
    """A SelfSubjectAccessReview with verb, group, resource and name."""
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    server.answers[path] = (201, {"status": {"allowed": allowed}})
    cluster = reach(write(tmp_path / "config", server, {"token": "T"}))

    answer = cluster.may(Right("get", "pods/log", "to read", name="p"), namespace="n")

    assert answer is allowed
    assert server.bodies[-1]["spec"]["resourceAttributes"] == {
        "verb": "get",
        "group": "",
        "resource": "pods",
        "subresource": "log",
        "name": "p",
        "namespace": "n",
    }


REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def refuse_the_proxy(server: Server, port: int, **status: Any) -> None:  # noqa: ANN401 - of a Node
    """Have ``nodes/proxy`` refused, but not the kubelet, which the Node names."""
    found = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
    }
    server.answers |= {
        "/api/v1/nodes/a/proxy/configz": (403, {"message": "no proxy for you"}),
        "/api/v1/nodes/a": (200, {"status": found | status}),
        REVIEW: (201, {"status": {"allowed": True}}),
    }


def test_a_kubelet_is_asked_itself_where_the_proxy_is_refused(
    server: Server, tmp_path: Path
) -> None:
    """With `nodes/configz` the kubelet answers; the Node says where it is."""
    refuse_the_proxy(server, server.server_port)
    server.answers["/configz"] = (200, {"kubeletconfig": {"syncFrequency": "10s"}})
    cluster = reach(write(tmp_path / "config", server, {"token": "T"}))

    assert cluster.kubelet_configuration("a") == {"syncFrequency": "10s"}

    assert server.users[-1] == (None, "Bearer T")


@pytest.mark.parametrize("status", [401, 403])
def test_a_kubelet_that_refuses_too_is_told_by_the_first_refusal(
    server: Server, tmp_path: Path, status: int
) -> None:
    """Where neither way is open, the message is the API server's."""
    refuse_the_proxy(server, server.server_port)
    server.answers["/configz"] = (status, {})
    cluster = reach(write(tmp_path / "config", server, {"token": "T"}))

    with pytest.raises(ForbiddenError, match="no proxy for you"):
        cluster.kubelet_configuration("a")


@pytest.mark.parametrize("status", [404, 429, 503])
def test_a_kubelet_that_fails_is_no_refusal(
    server: Server, tmp_path: Path, status: int
) -> None:
    """It says nothing of the right to ask the others."""
    refuse_the_proxy(server, server.server_port)
    server.answers["/configz"] = (status, {})
    cluster = reach(write(tmp_path / "config", server, {"token": "T"}))

    with pytest.raises(ClusterError, match="/configz") as raised:
        cluster.kubelet_configuration("a")

    assert not isinstance(raised.value, ForbiddenError)
    assert raised.value.status == status


@pytest.fixture
def dead_port() -> Iterator[int]:
    """Hold a port at which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


def test_a_kubelet_that_is_not_reached_is_no_refusal(
    server: Server, tmp_path: Path, dead_port: int
) -> None:
    """Nor is it an API server that is gone: the others are there to be asked."""
    refuse_the_proxy(server, dead_port)
    cluster = reach(write(tmp_path / "config", server, {"token": "T"}))

    with pytest.raises(
        ClusterError, match=r"the kubelet of a did not answer"
    ) as raised:
        cluster.kubelet_configuration("a")

    assert not isinstance(raised.value, ForbiddenError | UnreachableError)


@pytest.mark.parametrize(
    "review",
    [(201, {"status": {"allowed": False}}), (403, {"message": "ask nothing"})],
    ids=["not allowed", "may not even ask for rights"],
)
def test_no_kubelet_is_given_a_token_without_the_api_servers_word(
    server: Server, tmp_path: Path, review: tuple[int, Any]
) -> None:
    """Who may not ask kubelets asks none, and is told what the API server said."""
    refuse_the_proxy(server, server.server_port)
    server.answers["/configz"] = (200, {"kubeletconfig": {"syncFrequency": "10s"}})
    server.answers[REVIEW] = review
    cluster = reach(write(tmp_path / "config", server, {"token": "T"}))

    with pytest.raises(ForbiddenError, match="no proxy for you"):
        cluster.kubelet_configuration("a")

    assert "/configz" not in server.paths
    asked = server.bodies[-1]["spec"]["resourceAttributes"]
    assert (asked["verb"], asked["resource"]) == ("get", "nodes")
    assert asked["subresource"] == "configz"


def test_a_node_without_an_address_is_no_refusal(
    server: Server, tmp_path: Path
) -> None:
    """That is about this node."""
    refuse_the_proxy(server, server.server_port, addresses=[])
    cluster = reach(write(tmp_path / "config", server, {"token": "T"}))

    with pytest.raises(ClusterError, match=r"Node a says no address") as raised:
        cluster.kubelet_configuration("a")

    assert not isinstance(raised.value, ForbiddenError)


def test_who_may_not_look_at_nodes_is_refused(server: Server, tmp_path: Path) -> None:
    """Where a kubelet is cannot be known then."""
    refuse_the_proxy(server, server.server_port)
    server.answers["/api/v1/nodes/a"] = (403, {"message": "no nodes"})
    cluster = reach(write(tmp_path / "config", server, {"token": "T"}))

    with pytest.raises(ForbiddenError, match="no proxy for you"):
        cluster.kubelet_configuration("a")


def test_no_token_goes_to_whoever_answers(server: Server, tmp_path: Path) -> None:
    """Where certificates are not checked, kubelets are not asked."""
    server.answers["/api/v1/nodes/a/proxy/configz"] = (403, {"message": "no"})
    path = write(tmp_path / "config", server, {"token": "T"})
    content = yaml.safe_load(path.read_text())
    content["clusters"][0]["cluster"] = {
        "server": f"https://127.0.0.1:{server.server_port}",
        "insecure-skip-tls-verify": True,
    }
    path.write_text(yaml.safe_dump(content))
    cluster = client.connect(target="context:c", context="c", kubeconfig=path)

    with pytest.raises(ForbiddenError):
        cluster.kubelet_configuration("a")

    assert len(server.users) == 1


def test_certificates_that_are_not_checked_are_told_once(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In a line of ours; of other hosts urllib3 still warns."""
    path = write(tmp_path / "config", server, {"token": "T"})
    content = yaml.safe_load(path.read_text())
    there = content["clusters"][0]["cluster"]
    del there["certificate-authority"]
    there["insecure-skip-tls-verify"] = True
    path.write_text(yaml.safe_dump(content))

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        reach(path).version()
        assert warned == []
        theirs = urllib3.PoolManager(cert_reqs="CERT_NONE", assert_hostname=False)
        theirs.request("GET", f"https://localhost:{server.server_port}/")

    assert [one.category for one in warned] == [InsecureRequestWarning]
    (line,) = caplog.messages
    assert "of context 'c' is not checked" in line


def test_a_testbed_is_reached_through_no_proxy(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the environment says, of requests and of commands in pods."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    path = write(tmp_path / "config", server, {"token": "T"})

    with pytest.raises(UnreachableError, match=r"the proxy http://127.0.0.1:9"):
        reach(path)
    cluster = client.connect(
        target="testbed", context="c", kubeconfig=path, direct=True
    )
    cluster.version()
    with pytest.raises(ClusterError):  # the server knows no WebSockets
        cluster.run_in("p", ["date"], namespace="n", container="c")

    assert len(server.users) == 2
    assert server.paths[1].startswith("/api/v1/namespaces/n/pods/p/exec?")


def test_a_pod_is_its_service_account(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a pod, its files and environment are the kubeconfig."""
    (tmp_path / "token").write_text("T")
    monkeypatch.setattr(
        incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token")
    )
    monkeypatch.setattr(
        incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt")
    )
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.server_port))

    cluster = connect("in-cluster")

    assert cluster.version() == "v1.37.1"
    assert cluster.target == "in-cluster"
    assert server.users == [(None, "bearer T")]


def test_outside_a_pod_there_is_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to do instead."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    with pytest.raises(UsageError, match=r"this is no pod .*context:NAME"):
        connect("in-cluster")
