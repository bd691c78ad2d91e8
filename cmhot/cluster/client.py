"""Reach a real cluster; no other module imports the `kubernetes` client.

That one is asked for credentials of a plugin, of an identity provider or of a pod's
service account alone: to import it takes longer than most commands do. Requests and
streams are made here, with one context for all connections.
Bodies and answers stay plain dicts.
Every error of the layers below leaves here as one of ours.
"""

from __future__ import annotations

import base64
import copy
import datetime as dt
import functools
import gc
import http.client
import json
import logging
import math
import os
import re
import ssl
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import urllib3
from urllib3.util.ssl_ import create_urllib3_context

from cmhot.clock import NS_PER_S, SystemClock
from cmhot.cluster import answers
from cmhot.cluster.kubeconfig import load_pair, read_access, split_proxy
from cmhot.cluster.port import (
    CONFLICT,
    EVENT,
    FIELD_MANAGER,
    LEAST_S,
    NODE,
    POD,
    Captured,
)
from cmhot.errors import (
    ClusterError,
    ForbiddenError,
    NotFoundError,
    UnreachableError,
    UsageError,
)
from cmhot.kubelet.uses import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from kubernetes import client
    from websocket import WebSocket

    from cmhot.cluster.kubeconfig import Access
    from cmhot.cluster.rights import Right


_log = logging.getLogger(__name__)
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
KUBELET_CONNECT_TIMEOUT_S = 2.0
"""Time to connect to a kubelet: it is near, or cannot be reached from here at all."""
KUBELET_READ_TIMEOUT_S = 10.0
"""Time for a kubelet's answer, which is at hand; the proxy waits much longer."""
PAGE = 500
"""Objects in one page of a list."""
WATCH_S = 60
"""How long the API server keeps a watch open."""
WATCH_GRACE_S = 6.0
"""A watch that is silent this long after its end has lost its connection."""
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
JSON = "application/json"
NAMES_ONLY = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
""""Receiving resources as metadata": a list without what the objects contain."""
USER_AGENT = "cmhot"
KEPT = 32
"""Connections that stay open: more requests than that never go on at the same time."""
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
"""Characters that YAML takes as escapes alone, see `_encode`."""
CHANNELS = "v4.channel.k8s.io"
"""The protocol of a command's streams: each message begins with its channel."""
_STDOUT, _STDERR, _ERROR = 1, 2, 3
MOST_OUTPUT_BYTES = 64 * 2**20
"""Of a command, or of a log; the files that are read have a mebibyte at most, a hundred
at once, and a kubelet begins another log at 10 MiB unless it is told otherwise."""
LOG_S = 60.0
"""Longest time for a whole log: a container may write faster than we read."""
CHUNK = 2**16
PROXY_PORTS = {"http": 80, "https": 443}
TOKEN_S = 60.0
"""How long a token is used until its file is read again, as client-go does."""


def _managers_in(message: str) -> set[str]:
    """Name the managers with whom an apply is in conflict, by the answer."""
    return set(re.findall(r'conflicts? with "([^"]+)"', message))


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How an API server is reached, and who asks it.

    Attributes
    ----------
    host
        Its address, such as ``https://10.0.0.1:6443``.
    tls
        With the authorities that are believed, and our certificate; None: plain HTTP.
    server_name
        The name that its certificate has; None: that of the address.
    authorization
        Gives the header of that name for a request; None: there is none.
    proxy, proxy_credentials
        The address of a proxy, and ``user:password`` for it; None: there is none.
    has_authority
        Whether an authority of the cluster's own vouches for its servers.
    """

    host: str
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    authorization: Callable[[], str | None] = lambda: None
    proxy: str | None = None
    proxy_credentials: str | None = None
    has_authority: bool = False

    def manager(self) -> urllib3.PoolManager:
        """Keep connections for as many requests as go on at the same time."""
        options: dict[str, Any] = {"maxsize": KEPT}
        if self.tls is not None:
            options |= {"ssl_context": self.tls, "server_hostname": self.server_name}
        if self.proxy is None:
            return urllib3.PoolManager(**options)
        headers = None
        if self.proxy_credentials:
            encoded = base64.b64encode(self.proxy_credentials.encode()).decode()
            headers = {"proxy-authorization": f"Basic {encoded}"}
        return urllib3.ProxyManager(self.proxy, proxy_headers=headers, **options)

    def stream(
        self, address: str, protocol: str, *, timeout_s: float = READ_TIMEOUT_S
    ) -> WebSocket:
        """Open a WebSocket; without an answer it gives up in time."""
        from websocket import WebSocket  # noqa: PLC0415 - few commands run another

        sslopt: dict[str, Any] = {}
        if self.tls is not None:
            sslopt = {"context": self.tls, "server_hostname": self.server_name}
        # Not what the environment says of proxies once more: that is decided.
        # Exceptions count beside the name of a proxy only, whatever that is.
        options: dict[str, Any] = {"http_proxy_host": "none", "http_no_proxy": ["*"]}
        if self.proxy is not None:
            through = urllib3.util.parse_url(self.proxy)
            options = {
                "http_proxy_host": through.host,
                "http_proxy_port": through.port or PROXY_PORTS[through.scheme or ""],
                "http_no_proxy": [""],
            }
            if self.proxy_credentials:
                name, _, password = self.proxy_credentials.partition(":")
                options["http_proxy_auth"] = (name, password)
        who = self.authorization()
        opened = WebSocket(sslopt={k: v for k, v in sslopt.items() if v is not None})
        opened.connect(  # type: ignore[no-untyped-call]
            f"ws{self.host.removeprefix('http')}{address}",
            header=[] if who is None else [f"Authorization: {who}"],
            subprotocols=[protocol],
            timeout=timeout_s,
            redirect_limit=0,
            **options,
        )
        return opened


class Kube:
    """A cluster behind a kubeconfig; implements `cmhot.cluster.port.Cluster`.

    ``target`` is how the user named it; ``sources`` and ``local_image`` are a
    testbed's: where its programs came from, and an image that is on every node.
    """

    modelled = False

    def __init__(
        self,
        connection: Connection,
        *,
        target: str,
        sources: dict[str, Any] | None = None,
        local_image: str | None = None,
        namespace: str = "default",
    ) -> None:
        self.target = target
        self.namespace = namespace
        self.local_image = local_image
        self.clock = SystemClock()
        self._sources = sources
        self._connection = connection
        self._manager = connection.manager()
        self._plurals: dict[tuple[str, str], Kind] = {}
        self._until_s: float | None = None  # see `until`

    def until(self, instant_s: float | None) -> Kube:
        """Share the connections, and give requests up at an instant."""
        other = copy.copy(self)
        other._until_s = instant_s  # noqa: SLF001 - it is one of us
        return other

    def _left_s(self, most_s: float) -> float:
        """Say how long a request may take that is begun now."""
        if self._until_s is None:
            return most_s
        return max(min(most_s, self._until_s - self.clock.monotonic()), LEAST_S)

    def _open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: object = None,
        content_type: str = "application/json",
        accept: str = JSON,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> urllib3.BaseHTTPResponse:
        link = self._connection
        headers = {
            "Accept": accept,
            "Content-Type": content_type,
            "User-Agent": USER_AGENT,
        }
        encoded = None if body is None else _encode(body)
        left_s = self._left_s(read_timeout_s)
        try:
            if (who := link.authorization()) is not None:
                headers["Authorization"] = who
            answer = self._manager.request(
                method,
                f"{link.host}{_address(path, (query or {}).items())}",
                headers=headers,
                body=encoded,
                timeout=urllib3.Timeout(
                    connect=min(CONNECT_TIMEOUT_S, left_s), read=left_s
                ),
                preload_content=False,
                # A write must not be sent twice unseen: the caller may ask again.
                retries=False,
            )
            if answer.status >= http.client.BAD_REQUEST:
                text = answer.read().decode(errors="replace")
                raise answers.explain(answer.status, text, method, path)
        except urllib3.exceptions.HTTPError as error:
            raise answers.no_answer(error, host=link.host, proxy=link.proxy) from error
        except OSError as error:
            # such as a certificate file that has gone
            msg = f"the API server cannot be asked: {error}; check the kubeconfig"
            raise UnreachableError(msg) from error
        except ValueError as error:
            # such as an invalid header: the error's text would quote a token
            msg = (
                f"the request {method} {path} cannot be made ({type(error).__name__}): "
                "check the kubeconfig"
            )
            raise UnreachableError(msg) from None
        return answer

    def _request(
        self,
        method: str,
        path: str,
        *,
        most_bytes: float = math.inf,
        within_s: float = math.inf,
        **options: Any,  # noqa: ANN401 - as of `_open`
    ) -> bytes:
        """Send a request, and read the whole answer; it may be limited."""
        until_s = self.clock.monotonic() + self._left_s(within_s)
        answer = self._open(method, path, **options)
        found: list[bytes] = []
        try:
            if math.isinf(until_s):
                return answer.read()
            for part in answer.stream(CHUNK):
                found.append(part)
                most_bytes -= len(part)
                is_late = self.clock.monotonic() > until_s
                if is_late or most_bytes < 0:
                    answer.close()  # what is unread cannot be passed over
                    why = "does not end in time" if is_late else "is too long"
                    msg = f"the answer to {method} {path} {why}"
                    raise (UnreachableError if is_late else ClusterError)(msg)
            return b"".join(found)
        except urllib3.exceptions.HTTPError as error:
            msg = f"the answer to {method} {path} broke off: {error}"
            raise UnreachableError(msg) from error
        finally:
            answer.release_conn()

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401
        decoded: dict[str, Any] = json.loads(self._request(method, path, **options))
        return decoded

    @staticmethod
    def _path(kind: Kind, name: str | None, namespace: str | None) -> str:
        root = "/api/v1" if kind.api_version == "v1" else f"/apis/{kind.api_version}"
        if kind.namespaced:
            if namespace is None:
                return f"{root}/{kind.plural}"
            root += f"/namespaces/{quote(namespace, safe='')}"
        path = f"{root}/{kind.plural}"
        return path if name is None else f"{path}/{quote(name, safe='')}"

    def version(self) -> str:
        """Return ``gitVersion`` of the API server."""
        return str(self._json("GET", "/version")["gitVersion"])

    def sources(self) -> dict[str, Any] | None:
        """Return the testbed's record of its programs; None elsewhere."""
        return self._sources

    def get(
        self, kind: Kind, name: str, *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Return one object."""
        return self._json("GET", self._path(kind, name, namespace))

    def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[list[dict[str, Any]], str]:
        """Return all objects with the labels, in pages of 500."""
        items: list[dict[str, Any]] = []
        version = ""
        for page in self._pages(kind, namespace, labels):
            items += page["items"]
            version = page["metadata"].get("resourceVersion", version)
        return items, version

    def _pages(
        self,
        kind: Kind,
        namespace: str | None,
        labels: Mapping[str, str] | None = None,
        *,
        accept: str = JSON,
    ) -> Iterator[dict[str, Any]]:
        """Yield the pages of a list as the API server sends them."""
        query: dict[str, Any] = {"limit": PAGE}
        if labels:
            query["labelSelector"] = _selector(labels)
        path = self._path(kind, None, namespace)
        while True:
            page = _decode(self._request("GET", path, query=query, accept=accept))
            yield page
            following = page["metadata"].get("continue")
            if not following:
                return
            query["continue"] = following

    def pages(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Iterator[Sequence[dict[str, Any]]]:
        """Yield all objects in pages of 500."""
        for page in self._pages(kind, namespace, labels):
            yield page["items"]

    def names(self, kind: Kind, *, namespace: str) -> Sequence[str]:
        """Return the names, by a request for metadata alone."""
        pages = self._pages(kind, namespace, accept=NAMES_ONLY)
        return [one["metadata"]["name"] for page in pages for one in page["items"]]

    def watch(
        self,
        kind: Kind,
        *,
        namespace: str,
        labels: Mapping[str, str],
        resource_version: str,
    ) -> Iterator[dict[str, Any]]:
        """Yield changed objects until the watch ends, breaks, or is too old (410)."""
        answer = self._open(
            "GET",
            self._path(kind, None, namespace),
            query={
                "watch": "true",
                "labelSelector": _selector(labels),
                "resourceVersion": resource_version,
                "timeoutSeconds": WATCH_S,
            },
            read_timeout_s=WATCH_S + WATCH_GRACE_S,
        )
        rest = b""
        try:
            for chunk in answer.stream(decode_content=True):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        return
                    yield event["object"]
        except urllib3.exceptions.HTTPError:
            return
        finally:
            # An unread stream cannot serve another request.
            answer.close()

    def _kind_of(self, manifest: Mapping[str, Any]) -> Kind:
        """Find the plural of a manifest's kind by discovery, once a group version."""
        version, name = manifest["apiVersion"], manifest["kind"]
        if (version, name) not in self._plurals:
            root = "/api/v1" if version == "v1" else f"/apis/{version}"
            for resource in self._json("GET", root)["resources"]:
                if "/" not in resource["name"]:
                    self._plurals[version, resource["kind"]] = Kind(
                        version, resource["name"], namespaced=resource["namespaced"]
                    )
        try:
            return self._plurals[version, name]
        except KeyError:
            msg = f"the cluster knows no {name} in {version}: check apiVersion and kind"
            raise UsageError(msg) from None

    def apply(
        self, manifest: Mapping[str, Any], *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Server-side apply with our field manager; others' conflicts are not forced.

        Only a conflict with our own manager is forced: a field that we patched is owned
        by another operation of it.
        """
        kind = self._kind_of(manifest)
        where = manifest["metadata"].get("namespace") or namespace
        path = self._path(kind, manifest["metadata"]["name"], where)

        def send(**options: str) -> dict[str, Any]:
            return self._json(
                "PATCH",
                path,
                query={"fieldManager": FIELD_MANAGER, **options},
                body=manifest,
                content_type=APPLY_PATCH,
            )

        try:
            return send()
        except ClusterError as error:
            if error.status != CONFLICT or _managers_in(str(error)) != {FIELD_MANAGER}:
                raise
            return send(force="true")

    def create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object outside namespaces, of which there is none yet."""
        return self._json(
            "POST",
            self._path(self._kind_of(manifest), None, None),
            query={"fieldManager": FIELD_MANAGER},
            body=manifest,
        )

    def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
    ) -> dict[str, Any]:
        """Send a JSON merge patch (RFC 7386)."""
        return self._json(
            "PATCH",
            self._path(kind, name, namespace),
            query={"fieldManager": FIELD_MANAGER},
            body=body,
            content_type=MERGE_PATCH,
        )

    def delete(
        self,
        kind: Kind,
        name: str,
        *,
        namespace: str | None = None,
        uid: str | None = None,
    ) -> None:
        """Delete in the background; what is not there is deleted already."""
        try:
            self._json(
                "DELETE",
                self._path(kind, name, namespace),
                query={"propagationPolicy": "Background"},
                body=None if uid is None else {"preconditions": {"uid": uid}},
            )
        except NotFoundError:
            return
        except ClusterError as error:
            # the API server's word, not a message of ours: another has its name
            if error.status != CONFLICT or "UID in precondition" not in str(error):
                raise

    def log(
        self,
        pod: str,
        *,
        namespace: str,
        container: str,
        since_ns: int | None = None,
    ) -> str:
        """Read a container's log from its start, or from an instant on."""
        query: dict[str, Any] = {"container": container, "timestamps": "true"}
        if since_ns is not None:
            seconds = since_ns // NS_PER_S  # exact: a float would round up
            instant = dt.datetime.fromtimestamp(seconds, dt.UTC)
            query["sinceTime"] = instant.strftime("%Y-%m-%dT%H:%M:%SZ")
        query["limitBytes"] = MOST_OUTPUT_BYTES + 1
        path = f"{self._path(POD, pod, namespace)}/log"
        text = self._request(
            "GET", path, query=query, most_bytes=MOST_OUTPUT_BYTES, within_s=LOG_S
        )
        return text.decode(errors="replace")

    def run_in(
        self, pod: str, command: Sequence[str], *, namespace: str, container: str
    ) -> str:
        """Run a command; return what it printed."""
        asked = f"exec in pod {namespace}/{pod}"
        ended, told = self._exec(
            pod, command, namespace=namespace, container=container, complaints=False
        )
        code, why = answers.how_it_ended(bytes(told[_ERROR]))
        if not ended or code != 0:
            what = f"ended with {code}" if code is not None else why
            what = what if ended else "did not end in time"
            msg = f"{asked}: `{' '.join(command)}` {what}"
            raise ClusterError(msg)
        return told[_STDOUT].decode(errors="replace")

    def capture(
        self,
        pod: str,
        command: Sequence[str],
        *,
        namespace: str,
        container: str,
        timeout_s: float | None = None,
    ) -> Captured:
        """Run a command as `run_in` does, but keep its bytes and how it ended."""
        ended, told = self._exec(
            pod,
            command,
            namespace=namespace,
            container=container,
            complaints=True,
            timeout_s=READ_TIMEOUT_S if timeout_s is None else timeout_s,
        )
        code, why = None, "no end in time"
        if ended:
            code, why = answers.how_it_ended(bytes(told[_ERROR]))
        said = told[_STDERR].decode(errors="replace")
        complaint = answers.shorten_to_cause(said or why)
        return Captured(code, bytes(told[_STDOUT]), complaint)

    def _exec(
        self,
        pod: str,
        command: Sequence[str],
        *,
        namespace: str,
        container: str,
        complaints: bool,
        timeout_s: float = READ_TIMEOUT_S,
    ) -> tuple[bool, dict[int, bytearray]]:
        """Run a command over a WebSocket; tell whether it ended, and what it wrote.

        What was written is by channel: output, ``complaints`` if they are asked for,
        and in the end the verdict of the runtime.
        """
        from websocket import (  # noqa: PLC0415 - as above
            WebSocketConnectionClosedException,
            WebSocketException,
            WebSocketTimeoutException,
        )

        path = f"{self._path(POD, pod, namespace)}/exec"
        query = [
            *(("command", word) for word in command),
            ("container", container),
            ("stdout", "true"),
            ("stderr", str(complaints).lower()),
        ]
        told = {channel: bytearray() for channel in (_STDOUT, _STDERR, _ERROR)}
        timeout_s = self._left_s(timeout_s)
        until_s = self.clock.monotonic() + timeout_s
        try:
            opened = self._connection.stream(
                _address(path, query), CHANNELS, timeout_s=timeout_s
            )
        except (WebSocketException, OSError, ValueError) as error:
            raise answers.refused_stream(error, path) from error
        try:
            while (left_s := until_s - self.clock.monotonic()) > 0:
                opened.settimeout(left_s)
                message = opened.recv()
                if not message:  # the end: another one has its channel at least
                    return True, told
                data = message.encode() if isinstance(message, str) else message
                if len(told[_STDOUT]) + len(told[_STDERR]) > MOST_OUTPUT_BYTES:
                    break
                if data[0] in told:
                    told[data[0]] += data[1:]
        except WebSocketTimeoutException:
            return False, told
        except WebSocketConnectionClosedException as error:
            if told[_ERROR]:
                return True, told
            msg = f"the answer to exec in pod {namespace}/{pod} broke off: {error}"
            raise UnreachableError(msg) from error
        except (WebSocketException, OSError) as error:
            msg = f"the answer to exec in pod {namespace}/{pod} broke off: {error}"
            raise UnreachableError(msg) from error
        finally:
            opened.shutdown()  # type: ignore[no-untyped-call]
        return False, told

    def events(self, pod: str, *, namespace: str) -> Sequence[dict[str, Any]]:
        """Ask for events whose object is the pod."""
        path = self._path(EVENT, None, namespace)
        about = f"involvedObject.kind=Pod,involvedObject.name={pod}"
        query = {"fieldSelector": about, "limit": PAGE}
        found: Sequence[dict[str, Any]] = self._json("GET", path, query=query)["items"]
        return sorted(found, key=_when)

    def add_ephemeral(
        self, pod: str, container: Mapping[str, Any], *, namespace: str
    ) -> None:
        """Patch the subresource; the list is merged by the containers' names."""
        self._json(
            "PATCH",
            f"{self._path(POD, pod, namespace)}/ephemeralcontainers",
            query={"fieldManager": FIELD_MANAGER},
            body={"spec": {"ephemeralContainers": [container]}},
            content_type=STRATEGIC_PATCH,
        )

    def kubelet_configuration(self, node: str) -> dict[str, Any]:
        """Ask the kubelet through the API server's proxy, or else the kubelet itself.

        The one needs ``nodes/proxy``; the other ``nodes/configz``, a kubelet of
        Kubernetes 1.33 or later that can be reached from here,
        and a certificate of it that the cluster's authority signed.

        A `ForbiddenError` means that neither is allowed, an `UnreachableError` that the
        API server did not answer, any other error that this kubelet did not.
        """
        path = f"/api/v1/nodes/{quote(node, safe='')}/proxy/configz"
        try:
            text = self._request("GET", path, read_timeout_s=KUBELET_READ_TIMEOUT_S)
        except ForbiddenError as refused:
            asked = self._ask_kubelet(node)
            if asked is None:
                raise refused from None
            text = asked
        except UnreachableError as error:
            if isinstance(error.__cause__, urllib3.exceptions.ReadTimeoutError):
                # the API server was reached, and waits itself
                raise _no_kubelet(node, "the proxy", error) from error
            raise
        settings: dict[str, Any] = json.loads(text)["kubeletconfig"]
        return settings

    def _ask_kubelet(self, node: str) -> bytes | None:
        """Ask a kubelet itself for /configz; None when that is not allowed."""
        link = self._connection
        if not link.has_authority or not self._may_ask_kubelets:
            return None  # any server there would be given our token
        try:
            status = self.get(NODE, node)["status"]
        except ForbiddenError:
            return None
        try:
            address = next(
                found["address"]
                for found in status["addresses"]
                if found["type"] == "InternalIP"
            )
            port = status["daemonEndpoints"]["kubeletEndpoint"]["Port"]
        except (LookupError, StopIteration):
            msg = f"Node {node} says no address of its kubelet: is it a virtual one?"
            raise ClusterError(msg) from None
        host = f"[{address}]" if ":" in address else address
        url = f"https://{host}:{port}/configz"
        token = link.authorization()
        left_s = self._left_s(KUBELET_READ_TIMEOUT_S)
        try:
            answer = self._kubelets.request(
                "GET",
                url,
                headers={"Authorization": token} if token else {},
                timeout=urllib3.Timeout(
                    connect=min(KUBELET_CONNECT_TIMEOUT_S, left_s), read=left_s
                ),
                retries=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise _no_kubelet(node, url, error) from error
        if answer.status in {http.client.UNAUTHORIZED, http.client.FORBIDDEN}:
            return None
        if answer.status != http.client.OK:
            said = answer.data.decode(errors="replace")
            raise answers.explain(answer.status, said, "GET", url)
        return answer.data

    @functools.cached_property
    def _may_ask_kubelets(self) -> bool:
        """Whether the API server says that kubelets may be asked.

        Without its word no kubelet is given our token, for nothing.
        """
        from cmhot.cluster.rights import CONFIGZ  # noqa: PLC0415 - few ask them

        wanted = [one for one in CONFIGZ["kubelet"] if one.resource != NODE.plural]
        try:
            return all(self.may(right) for right in wanted)
        except ForbiddenError:
            return False

    @functools.cached_property
    def _kubelets(self) -> urllib3.PoolManager:
        """Connections to kubelets: by no proxy, and by no name but their address."""
        return urllib3.PoolManager(ssl_context=self._connection.tls)

    def may(self, right: Right, *, namespace: str | None = None) -> bool:
        """Ask by a SelfSubjectAccessReview, which every user may create."""
        resource, _, sub = right.resource.partition("/")
        attributes = {
            "verb": right.verb,
            "group": right.group,
            "resource": resource,
            "subresource": sub,
            "name": right.name or "",
            "namespace": "" if right.cluster_wide else namespace or "",
        }
        answer = self._json(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            body={
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": attributes},
            },
        )
        return bool(answer["status"].get("allowed"))


def _encode(body: object) -> bytes:
    """Encode as JSON that YAML reads alike, as an apply is read.

    YAML does not know JSON's escapes in pairs, of characters beyond 16 bits, and takes
    other control characters and line separators as escapes alone (YAML 1.1, 5.1, 5.4).
    """
    text = json.dumps(body, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode()


def _decode(text: bytes) -> dict[str, Any]:
    """Decode a page without looking for cycles in it, of which JSON has none.

    The collector would look again and again while thousands of objects are made:
    on 5,000 pods that takes longer than all the rest.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        decoded: dict[str, Any] = json.loads(text)
    finally:
        if collects:
            gc.enable()
    return decoded


def _no_kubelet(node: str, way: str, error: Exception) -> ClusterError:
    """Make the error of a kubelet that was silent, while the API server answered."""
    return ClusterError(
        f"the kubelet of {node} did not answer by {way} ({type(error).__name__}): is "
        "the node well, and may its port be reached from there?"
    )


def _when(event: Mapping[str, Any]) -> str:
    """Say when an event was last seen; its fields are in UTC."""
    series = event.get("series") or {}
    return str(
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or ""
    )


def _address(path: str, query: Iterable[tuple[str, Any]]) -> str:
    """Write a path with what is asked for behind it."""
    asked = urlencode(list(query))
    return f"{path}?{asked}" if asked else path


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items())


def connect(
    *,
    target: str,
    context: str | None,
    kubeconfig: Path | None = None,
    sources: dict[str, Any] | None = None,
    local_image: str | None = None,
    direct: bool = False,
) -> Kube:
    """Connect by a kubeconfig: the given one, or those of ``KUBECONFIG``.

    Context None takes the file's only one (a testbed's); `direct` passes by the proxies
    of the environment, as to a testbed.

    Raises
    ------
    UsageError
        The file cannot be read, is no kubeconfig, or lacks the context.
    """
    access = read_access(context, path=kubeconfig)
    if access.insecure:
        _silence_urllib3(access.kubeconfig["clusters"][0]["cluster"]["server"])
        _log.warning(
            "the certificate of the API server of context %r is not checked "
            "(insecure-skip-tls-verify)",
            access.context,
        )
    return Kube(
        _connection(access, direct=direct),
        target=target,
        sources=sources,
        local_image=local_image,
        namespace=access.namespace or "default",
    )


def _silence_urllib3(server: str) -> None:
    """Have it not warn of each request to a host; of others it still does."""
    host = re.escape(str(urllib3.util.parse_url(server).host).strip("[]"))
    warnings.filterwarnings(
        "ignore",
        message=rf"Unverified HTTPS request is being made to host '\[?{host}\]?'",
        category=urllib3.exceptions.InsecureRequestWarning,
    )


def _connection(access: Access, *, direct: bool) -> Connection:
    """Make the connection of a context: proxy, certificates, credentials."""
    there = access.kubeconfig["clusters"][0]["cluster"]
    who = access.kubeconfig["users"][0]["user"]
    host = there["server"].rstrip("/")
    proxy, credentials = _proxy_of(access, host, direct=direct)
    certificate = [
        base64.b64decode(who[key])
        for key in ("client-certificate-data", "client-key-data")
        if key in who
    ]
    authorization = _authorization(who)
    if access.plugin or access.provider:
        settings = _ask_for_credentials(access)
        authorization = functools.partial(_header, settings)
        if settings.cert_file:  # a plugin may give one
            files = (settings.cert_file, settings.key_file or settings.cert_file)
            certificate = [Path(file).read_bytes() for file in files]
    authority = there.get("certificate-authority-data")
    tls = None
    if host.startswith("https:"):
        tls = _tls(
            None if authority is None else base64.b64decode(authority).decode(),
            certificate,
            insecure=access.insecure,
        )
    return Connection(
        host=host,
        tls=tls,
        server_name=there.get("tls-server-name"),
        authorization=authorization,
        proxy=proxy,
        proxy_credentials=credentials,
        has_authority=tls is not None and authority is not None,
    )


def _tls(
    authority: str | None, certificate: Sequence[bytes], *, insecure: bool = False
) -> ssl.SSLContext:
    """Make the context of all connections: what it needs of files is read once."""
    context = create_urllib3_context()
    context.check_hostname = not insecure
    context.verify_mode = ssl.CERT_NONE if insecure else ssl.CERT_REQUIRED
    context.set_alpn_protocols(["http/1.1"])
    if authority is not None:
        context.load_verify_locations(cadata=authority)
    elif not insecure:
        context.load_default_certs()
    if certificate:
        load_pair(context, *certificate)
    return context


def _authorization(user: Mapping[str, Any]) -> Callable[[], str | None]:
    """Give what makes the header of a user whose credentials stand in the file."""
    if "tokenFile" in user:
        return _TokenFile(Path(user["tokenFile"])).header
    header = None
    if "token" in user:
        header = f"Bearer {user['token']}"
    elif "username" in user:
        pair = f"{user['username']}:{user['password']}"
        header = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return lambda: header


class _TokenFile:
    """A file with a token, which somebody renews."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._clock = SystemClock()
        self._read_s: float | None = None
        self._token = ""

    def header(self) -> str:
        """Read it once a minute; one that cannot be read is used further."""
        now = self._clock.monotonic()
        if self._read_s is None or now - self._read_s > TOKEN_S:
            try:
                self._token = self._path.read_text().strip()
            except OSError:
                if self._read_s is None:
                    raise
            self._read_s = now
        return f"Bearer {self._token}"


def _header(settings: client.Configuration) -> str | None:
    """Give the credentials that the library has, which renews them."""
    header: str | None = settings.get_api_key_with_prefix("BearerToken")
    return header


def _ask_for_credentials(access: Access) -> client.Configuration:
    """Have the library ask a plugin or an identity provider."""
    from kubernetes import client, config  # noqa: PLC0415 - it takes long

    about = f"the credentials of context {access.context!r}"
    settings = client.Configuration()
    # Plugins and identity providers have libraries and errors of their own, whose words
    # may quote the user's entry.
    try:
        with _Listener() as said:
            config.load_kube_config_from_dict(  # type: ignore[no-untyped-call] # theirs
                dict(access.kubeconfig),
                context=access.context,
                client_configuration=settings,
            )
    except Exception as error:  # noqa: BLE001
        where = f" from {access.provider}" if access.provider else ""
        msg = f"{about} cannot be had{where} ({type(error).__name__}): log in again"
        raise UsageError(msg) from None
    if access.plugin and not _has_credentials(settings):
        # at a terminal the plugin has spoken for itself
        why = "its words stand above" if sys.stdout.isatty() else "; ".join(said)
        msg = (
            f"{about}: its exec plugin {access.plugin} gave none "
            f"({why or 'and said nothing'}): run it by hand, or log in again"
        )
        raise UsageError(msg)
    return settings


def _proxy_of(
    access: Access, host: str, *, direct: bool
) -> tuple[str | None, str | None]:
    """Take the kubeconfig's proxy, or else the environment's, with its password."""
    if direct:
        return None, None
    if access.has_proxy:  # kubectl asks NO_PROXY about the environment's only
        proxy: str = access.kubeconfig["clusters"][0]["cluster"]["proxy-url"]
        return proxy, access.proxy_credentials
    names = [f"{host.partition(':')[0]}_proxy", "all_proxy"]
    told = [os.environ.get(form) for name in names for form in (name, name.upper())]
    found = next(filter(None, told), None)
    if found is None:
        return None, None
    from kubernetes.client.rest import should_bypass_proxies  # noqa: PLC0415 - as above

    around = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if should_bypass_proxies(host, around):
        return None, None
    return split_proxy("the environment's", found)


def _has_credentials(settings: client.Configuration) -> bool:
    """Report whether a plugin gave any: of a null the client makes `Bearer None`."""
    header = (settings.api_key or {}).get("BearerToken")
    return bool(settings.cert_file) or header not in {None, "Bearer None", "Bearer "}


class _Listener(logging.Handler):
    """Keeps log messages for a while: the client only logs why a plugin failed."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the beginning of a message."""
        self.said.append(answers.shorten(record.getMessage()))

    def __enter__(self) -> list[str]:
        """Begin to listen to the root logger; give the list of its messages."""
        logging.getLogger().addHandler(self)
        return self.said

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        logging.getLogger().removeHandler(self)


def connect_in_cluster() -> Kube:
    """Connect with the service account of the pod that this runs in.

    The token is read again every minute, since the kubelet renews it.
    """
    from kubernetes import client, config  # noqa: PLC0415 - it takes long

    settings = client.Configuration()
    try:
        config.load_incluster_config(  # type: ignore[no-untyped-call] # theirs
            client_configuration=settings
        )
    except (config.ConfigException, OSError) as error:
        msg = (
            f"this is no pod with a service account ({error}): `cmhot job` prints a "
            "Job that is one; from outside, use --target context:NAME"
        )
        raise UsageError(msg) from error
    authority = Path(settings.ssl_ca_cert or "").read_text()
    return Kube(
        Connection(
            host=settings.host,
            tls=_tls(authority, ()),
            authorization=functools.partial(_header, settings),
            has_authority=True,
        ),
        target="in-cluster",
        namespace=_namespace_of_this_pod(),
    )


def _namespace_of_this_pod() -> str:
    """Read the namespace from the file that the kubelet puts beside the token."""
    from kubernetes.config import incluster_config  # noqa: PLC0415 - as above

    token = Path(incluster_config.SERVICE_TOKEN_FILENAME)
    try:
        return token.with_name("namespace").read_text().strip()
    except OSError:
        return "default"
