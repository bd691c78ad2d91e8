"""What kubectl makes of kubeconfigs and manifests, and what cmhot makes of them.

Kubeconfigs and documents are generated from a seed. For each kubeconfig both ask an API
server on this machine something, and it compares what arrived: the token, the client
certificate, whom it is to act as, the way through a proxy. Of two that refuse, neither
may have sent anything. For documents, what `kubectl create --dry-run=client` would send
is compared with what `read_manifests` reads.

usage: compare.py [KUBECONFIGS] [DOCUMENTS] [SEED]
The kubectl is that of KUBECTL, or else that in PATH.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import os
import random
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmhot.cluster import client
from cmhot.cluster.testbed.certificates import Authority
from cmhot.errors import CmhotError, UsageError
from cmhot.propagation.manifests import read_manifests
from tests.unit.strangers.kubeconfigs import CONTEXT, Material, write_kubeconfigs
from tests.unit.strangers.manifests import manifest_text

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "S3CRET"  # noqa: S105 - planted, to be seen in no message
UNDERSTOOD = (
    ("cmhot acts as nobody else", "impersonation is refused"),
    ("no credentials that can be used", "nobody goes unnamed"),
    ("characters that no token has", "RFC 6750 has no such token"),
    ("`namespace` of context", "no namespace has such a name"),
    ("malformed response", "a plugin's answer has a kind"),
    ("neither YAML nor JSON", "JSON ends where it ends"),
    ("has a user in it", "a password is no part of an address"),
)
"""What is refused here and not by kubectl, by the words of the refusal, and why.

The list stands in `cmhot/cluster/kubeconfig.py` with its reasons.
"""
LENIENT = (
    ("interactiveMode must be specified", "it may be interactive"),
    ("parsing time", "a plugin is asked anew by every command, whatever the expiry"),
)
"""What kubectl refuses and is not refused here, by its words."""
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")


DISCOVERY: dict[str, Any] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [
            {
                "name": f"{kind.lower()}s",
                "kind": kind,
                "namespaced": True,
                "verbs": ["create"],
            }
            for kind in ("ConfigMap", "Secret", "Pod", "Odd")
        ],
    },
}
"""What a server says of the kinds that it has, by the path."""


@dataclass(slots=True)
class Arrived:
    """What arrived at the API server and at the proxy."""

    requests: list[tuple[Any, ...]] = field(default_factory=list)
    proxied: list[str | None] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    """An API server that notes who asks."""

    protocol_version = "HTTP/1.1"
    server: _Api

    def answer(self) -> None:
        peer: Any = self.connection.getpeercert()
        subject = dict(pair[0] for pair in (peer or {}).get("subject", ()))
        acting = sorted(
            (name, value)
            for name, value in self.headers.items()
            if name.startswith("Impersonate-")
        )
        self.server.arrived.requests.append(
            (
                self.path.split("?")[0],
                self.headers.get("Authorization"),
                subject.get("commonName"),
                tuple(acting),
                self.server.name_asked_for,
            )
        )
        path = self.path.split("?")[0]
        data = json.dumps(DISCOVERY.get(path, {"gitVersion": "v1.32.0"})).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = answer  # noqa: N815 - http.server's name

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


class _Api(ThreadingHTTPServer):
    """TLS, with a client certificate or without."""

    def __init__(self, authority: Authority, folder: Path, arrived: Arrived) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.arrived = arrived
        self.name_asked_for: str | None = None
        pair = authority.issue("server", addresses=["127.0.0.1"], names=["localhost"])
        (folder / "server.crt").write_bytes(pair.certificate)
        (folder / "server.key").write_bytes(pair.key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.crt", folder / "server.key")
        context.load_verify_locations(cadata=authority.certificate.decode())
        context.verify_mode = ssl.CERT_OPTIONAL
        context.sni_callback = self._note_name
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def _note_name(self, _socket: object, name: str | None, _context: object) -> None:
        self.name_asked_for = name

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that do not trust it."""


class _Proxy(ThreadingHTTPServer):
    """An HTTP proxy that lets everybody through to this machine, and notes them."""

    def __init__(self, arrived: Arrived) -> None:
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        self.arrived = arrived

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


class _ProxyHandler(BaseHTTPRequestHandler):
    server: _Proxy

    def do_CONNECT(self) -> None:
        self.server.arrived.proxied.append(self.headers.get("Proxy-Authorization"))
        host, _, port = self.path.rpartition(":")
        try:
            there = socket.create_connection((host.strip("[]"), int(port)), 5)
        except OSError:
            self.send_error(502)
            return
        self.send_response(200)
        self.end_headers()
        with there:
            back = threading.Thread(target=_pump, args=(there, self.connection))
            back.start()
            _pump(self.connection, there)
            back.join()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[Material, Arrived]]:
    """Have an API server and a proxy, and the files that kubeconfigs refer to."""
    arrived, authority = Arrived(), Authority(dt.datetime.now(dt.UTC))
    (folder / "server").mkdir()
    (folder / "material").mkdir()
    with _Api(authority, folder / "server", arrived) as api, _Proxy(arrived) as proxy:
        for server in (api, proxy):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        place = folder / "material"
        material = Material(place, api.server_port, proxy.server_port, SECRET)
        material.write(authority)
        yield material, arrived
        for server in (api, proxy):
            server.shutdown()


def by_kubectl(kubectl: str, paths: str, arrived: Arrived) -> tuple[Any, ...]:
    """Ask by kubectl; give what arrived, and its words."""
    environ = {name: one for name, one in os.environ.items() if not _is_proxy(name)}
    command = [kubectl, "--context", CONTEXT, "get", "--raw", "/version"]
    done = subprocess.run(
        command,
        env=environ | {"KUBECONFIG": paths, "HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return *_taken(arrived, ok=done.returncode == 0), done.stderr.strip()


def by_cmhot(paths: str, arrived: Arrived) -> tuple[Any, ...]:
    """Ask by cmhot in this process; give what arrived, and its words."""
    os.environ["KUBECONFIG"] = paths
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            client.connect(target="context", context=CONTEXT).version()
        said, ok = "", True
    except CmhotError as error:
        said, ok = str(error), False
    assert SECRET not in said + out.getvalue(), said + out.getvalue()
    return *_taken(arrived, ok=ok), said


def _taken(arrived: Arrived, *, ok: bool) -> tuple[Any, ...]:
    """Take what arrived, and forget it: the next one begins anew."""
    requests, proxied = arrived.requests[:], arrived.proxied[:]
    arrived.requests.clear()
    arrived.proxied.clear()
    if not requests:
        return ("refused" if not ok else "answered by nobody",)
    return "sent", *requests[-1], tuple(proxied[-1:])


def _reason(ours: list[Any], we: str, theirs: list[Any], they: str) -> str | None:
    """Say why a difference is meant; None: it is not."""
    if ours == ["refused"]:
        return next((why for words, why in UNDERSTOOD if re.search(words, we)), None)
    if theirs == ["refused"]:
        return next((why for words, why in LENIENT if re.search(words, they)), None)
    if ours[0] == theirs[0] == "sent" and ours[2:] == theirs[2:]:
        return "`get --raw` drops the server's path" if ours[1] != theirs[1] else None
    return None


def _is_proxy(name: str) -> bool:
    return name.upper() in PROXIES


def compare_kubeconfigs(kubectl: str, many: int, seed: int) -> Counter[str]:
    """Compare what is sent by both; print each difference that nobody explains."""
    for name in [one for one in os.environ if _is_proxy(one)]:
        del os.environ[name]
    found = Counter[str]()
    with (
        tempfile.TemporaryDirectory() as top,
        serving(Path(top)) as (material, arrived),
    ):
        for number in range(many):
            where = Path(top) / f"config-{number}"
            where.mkdir()
            rng = random.Random(f"{seed} {number}")  # noqa: S311 - no secret
            paths = write_kubeconfigs(where, material, rng)
            *theirs, they_said = by_kubectl(kubectl, paths, arrived)
            *ours, we_said = by_cmhot(paths, arrived)
            if theirs == ours:
                found[f"equal, {ours[0]}"] += 1
                continue
            why = _reason(ours, we_said, theirs, they_said)
            if why:
                found[f"understood, {why}"] += 1
                continue
            found["different"] += 1
            say(f"--- kubeconfig {number}: {paths}")
            for path in filter(os.path.isfile, paths.split(":")):
                say(f"{path}:\n{Path(path).read_text(errors='replace')[:3000]}")
            say(f"kubectl: {theirs}\n         {they_said[:600]}")
            say(f"cmhot:   {ours}\n         {we_said}")
            shutil.rmtree(where)
    return found


def created_by_kubectl(kubectl: str, config: Path, file: Path) -> tuple[Any, str]:
    """Give the objects that kubectl would create, or None, and its words."""
    command = [kubectl, "--kubeconfig", str(config), "create", "--dry-run=client"]
    done = subprocess.run(
        [*command, "--validate=false", "-o", "json", "-f", str(file)],
        env=os.environ | {"HOME": "/nonexistent"},
        capture_output=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode:
        return None, said
    text = done.stdout.decode().strip()
    found: list[Any] = []
    while text:
        one, end = json.JSONDecoder().raw_decode(text)
        found += one["items"] if one["kind"] == "List" else [one]
        text = text[end:].lstrip()
    return _as_json(found), said


def read_by_cmhot(file: Path) -> tuple[Any, str]:
    """Give the objects that cmhot reads, or None, and its words."""
    try:
        found = read_manifests(file)
    except UsageError as error:
        said = str(error)
        if SECRET in said:
            raise AssertionError(said) from None
        return None, said
    for one in found:  # kubectl names the namespace, which we say in the address
        one["metadata"].setdefault("namespace", "default")
    return _as_json(found), ""


def _as_json(found: Any) -> Any:  # noqa: ANN401
    """Give what arrives at an API server: of 64 bits without a sign, a float."""
    return json.loads(json.dumps(found), parse_int=_number)


def _number(text: str) -> float:
    value = int(text)
    return value if -(2**63) <= value < 2**63 else float(text)


def compare_manifests(kubectl: str, many: int, seed: int) -> Counter[str]:
    """Compare what both read; print each difference that nobody explains."""
    found = Counter[str]()
    with tempfile.TemporaryDirectory() as top, serving(Path(top)) as (material, _):
        file, config = Path(top, "m.yaml"), Path(top, "config")
        there = {"server": f"https://127.0.0.1:{material.port}"}
        cluster = there | {"certificate-authority-data": material.data("ca.crt")}
        content = {
            "clusters": [{"name": "k", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "current-context": "c",
        }
        config.write_text(json.dumps(content))
        for number in range(many):
            rng = random.Random(f"{seed} {number}")  # noqa: S311 - no secret
            text = manifest_text(rng, SECRET)
            file.write_text(text, newline="")
            theirs, they_said = created_by_kubectl(kubectl, config, file)
            ours, we_said = read_by_cmhot(file)
            if theirs == ours:
                found["equal, read" if ours else "equal, refused"] += 1
                continue
            said, reasons = (they_said, READ_HERE) if ours else (we_said, READ_SO)
            why = next((why for words, why in reasons if re.search(words, said)), None)
            if why:
                found[f"understood, {why}"] += 1
                continue
            found["different"] += 1
            say(f"--- manifest {number}:\n{text}")
            say(f"kubectl: {json.dumps(theirs)}\n         {they_said[:600]}")
            say(f"cmhot:   {json.dumps(ours)}\n         {we_said}")
    return found


READ_SO = (
    (r"needs apiVersion, kind and metadata\.name", "an object without a name is none"),
    (r"found character '\\t'|found a tab", "a tab where YAML has none"),
    ("expected '<document start>'", "nothing follows the end of a document"),
)
READ_HERE = (
    ("unknown escape character", "a slash may be escaped"),
    ("json: offset", "what is no JSON may be YAML in braces"),
)
"""What is read otherwise than kubectl does, by the words of a refusal, and why."""


def main() -> int:
    """Compare as many as the arguments say."""
    given = [int(one) for one in sys.argv[1:4]]
    many, documents, seed = given + [500, 500, 1][len(given) :]
    kubectl = os.environ.get("KUBECTL") or shutil.which("kubectl")
    if kubectl is None:
        say("there is no kubectl: install it, or name it by KUBECTL")
        return 2
    configs = compare_kubeconfigs(kubectl, many, seed)
    say(f"kubeconfigs: {dict(configs)}")
    manifests = compare_manifests(kubectl, documents, seed)
    say(f"manifests: {dict(manifests)}")
    return 1 if configs["different"] or manifests["different"] else 0


if __name__ == "__main__":
    sys.exit(main())
