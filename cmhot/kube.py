"""The door to real clusters: the only module that imports the `kubernetes` client.

Bodies and answers stay plain dicts: the client's models would refuse or drop
what they do not know, and their construction costs more than a request.
Every error of the client and of the layers below it leaves here as one of ours.
"""

from __future__ import annotations

import datetime as dt
import http.client
import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.stream import stream
from websocket import WebSocketException  # what the client's streams are made of

from cmhot.clock import NS_PER_S, SystemClock
from cmhot.cluster import FIELD_MANAGER, POD, Kind
from cmhot.errors import (
    ClusterError,
    ForbiddenError,
    NotFoundError,
    UnreachableError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

DEFAULT = "~/.kube/config"
"""Where the kubeconfig is unless KUBECONFIG says otherwise, as for kubectl."""
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
WATCH_S = 60
"""How long the API server keeps a watch open."""
WATCH_GRACE_S = 6.0
"""A watch that is silent this long after its end has lost its connection."""
BODY_EXCERPT = 300
"""Characters of an answer without a Status in it that an error message quotes."""

MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


def _explain(status: int, text: str, asked: str) -> ClusterError:
    """Turn an HTTP answer into one of our errors; nobody else looks at statuses."""
    try:
        message = str(json.loads(text).get("message") or text)
    except (ValueError, AttributeError):
        message = text
    message = message.strip()[:BODY_EXCERPT]
    if status == http.client.NOT_FOUND:
        return NotFoundError(f"{asked}: {message}; check the name", status=status)
    if status in {http.client.UNAUTHORIZED, http.client.FORBIDDEN}:
        return ForbiddenError(
            f"{asked} is not allowed: {message}; ask for the right, or use a "
            "namespace in which you have it (--namespace)",
            status=status,
        )
    return ClusterError(f"{asked} failed ({status}): {message}", status=status)


class Kube:
    """A cluster behind a kubeconfig; implements `cmhot.cluster.Cluster`.

    Parameters
    ----------
    api
        A configured client.
    target
        How the user named the cluster.
    sources
        Where its programs came from, for a testbed.
    local_image
        An image that is on every node already, for a testbed.
    """

    modelled = False

    def __init__(
        self,
        api: client.ApiClient,
        *,
        target: str,
        sources: dict[str, Any] | None = None,
        local_image: str | None = None,
    ) -> None:
        self.target = target
        self.local_image = local_image
        self.clock = SystemClock()
        self._sources = sources
        self._api = api
        self._plurals: dict[tuple[str, str], Kind] = {}

    def _open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: object = None,
        content_type: str = "application/json",
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> urllib3.BaseHTTPResponse:
        serialised = self._api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": "application/json", "Content-Type": content_type},
            auth_settings=["BearerToken"],
        )
        encoded = None if body is None else json.dumps(body)
        asked = f"{method} {path}"
        try:
            answer = self._api.rest_client.pool_manager.request(
                method,
                serialised[1],
                headers=serialised[2],
                body=encoded,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=read_timeout_s),
                preload_content=False,
                # A write must not be sent twice unseen: whoever wants it again asks.
                retries=False,
            )
            if answer.status >= http.client.BAD_REQUEST:
                text = answer.read().decode(errors="replace")
                raise _explain(answer.status, text, asked)
        except urllib3.exceptions.HTTPError as error:
            host = self._api.configuration.host
            msg = (
                f"no answer from the API server at {host} ({type(error).__name__}): "
                "is the cluster running and the address in the kubeconfig right?"
            )
            raise UnreachableError(msg) from error
        return answer

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: object = None,
        content_type: str = "application/json",
    ) -> bytes:
        answer = self._open(
            method, path, query=query, body=body, content_type=content_type
        )
        try:
            return answer.read()
        except urllib3.exceptions.HTTPError as error:
            msg = f"the answer to {method} {path} broke off: {error}"
            raise UnreachableError(msg) from error
        finally:
            answer.release_conn()

    def _json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: object = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        text = self._request(
            method, path, query=query, body=body, content_type=content_type
        )
        decoded: dict[str, Any] = json.loads(text)
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
        query: dict[str, Any] = {"limit": 500}
        if labels:
            query["labelSelector"] = _selector(labels)
        items: list[dict[str, Any]] = []
        while True:
            page = self._json("GET", self._path(kind, None, namespace), query=query)
            items += page["items"]
            following = page["metadata"].get("continue")
            if not following:
                return items, page["metadata"]["resourceVersion"]
            query["continue"] = following

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
        """Server-side apply with our field manager; conflicts are not forced."""
        kind = self._kind_of(manifest)
        where = manifest["metadata"].get("namespace") or namespace
        return self._json(
            "PATCH",
            self._path(kind, manifest["metadata"]["name"], where),
            query={"fieldManager": FIELD_MANAGER},
            body=manifest,
            content_type=APPLY_PATCH,
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

    def delete(self, kind: Kind, name: str, *, namespace: str | None = None) -> None:
        """Delete in the background; what is not there is deleted already."""
        try:
            self._json(
                "DELETE",
                self._path(kind, name, namespace),
                query={"propagationPolicy": "Background"},
            )
        except NotFoundError:
            return

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
        path = f"{self._path(POD, pod, namespace)}/log"
        return self._request("GET", path, query=query).decode(errors="replace")

    def run_in(
        self, pod: str, command: Sequence[str], *, namespace: str, container: str
    ) -> str:
        """Run a command over a WebSocket, on a client of its own.

        `stream` swaps a method of the client that it is given,
        so a shared one would break requests of other threads.
        """
        asked = f"exec in pod {namespace}/{pod}"
        with client.ApiClient(self._api.configuration) as own:
            try:
                conversation = stream(
                    client.CoreV1Api(own).connect_get_namespaced_pod_exec,
                    pod,
                    namespace,
                    container=container,
                    command=list(command),
                    stdout=True,
                    stderr=False,
                    stdin=False,
                    tty=False,
                    # reading it itself, the client leaves the socket open
                    _preload_content=False,
                )
            except client.ApiException as error:
                raise _explain(error.status or 0, str(error.reason), asked) from error
        try:
            conversation.run_forever(timeout=READ_TIMEOUT_S)
            # before the output: reading that throws the other channels away
            code = conversation.returncode
            text = str(conversation.read_all())
        except (WebSocketException, OSError) as error:
            msg = f"the answer to {asked} broke off: {error}"
            raise UnreachableError(msg) from error
        except (TypeError, LookupError, ValueError) as error:
            msg = f"{asked} ended without saying how: try again"
            raise ClusterError(msg) from error
        finally:
            # its close() does nothing once the server has said goodbye
            conversation.sock.shutdown()
        if code != 0:
            what = "did not end in time" if code is None else f"ended with {code}"
            msg = f"{asked}: `{' '.join(command)}` {what}"
            raise ClusterError(msg)
        return text

    def kubelet_configuration(self, node: str) -> dict[str, Any]:
        """Ask the kubelet through the API server's proxy; needs ``nodes/proxy``."""
        path = f"/api/v1/nodes/{quote(node, safe='')}/proxy/configz"
        answer = self._json("GET", path)
        settings: dict[str, Any] = answer["kubeletconfig"]
        return settings


def _selector(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items())


def connect(
    *,
    target: str,
    context: str | None,
    kubeconfig: Path | None = None,
    sources: dict[str, Any] | None = None,
    local_image: str | None = None,
) -> Kube:
    """Connect by a kubeconfig.

    Parameters
    ----------
    target
        How the user named the cluster.
    context
        Name of the context; None takes the file's only one (a testbed's).
    kubeconfig
        The file; None for ``KUBECONFIG`` or ``~/.kube/config``.
    sources, local_image
        Provenance and image of a testbed.

    Raises
    ------
    UsageError
        The file cannot be read, is no kubeconfig, or lacks the context.
    """
    where = str(kubeconfig) if kubeconfig else "the kubeconfig"
    if kubeconfig is not None and not kubeconfig.exists():
        msg = f"there is no kubeconfig at {kubeconfig}"
        raise UsageError(msg)
    try:
        api = config.new_client_from_config(  # type: ignore[no-untyped-call] # theirs
            # the client's own default is what KUBECONFIG was at its import
            config_file=str(kubeconfig or os.environ.get("KUBECONFIG") or DEFAULT),
            context=context,
        )
    except config.ConfigException as error:
        wanted = f"context {context!r}" if context else "a usable context"
        msg = (
            f"{where} has no {wanted} ({error}): `kubectl config get-contexts` "
            "lists those there are, KUBECONFIG names the file"
        )
        raise UsageError(msg) from error
    except (yaml.YAMLError, TypeError, AttributeError, UnicodeDecodeError) as error:
        msg = (
            f"{where} is not a kubeconfig ({type(error).__name__}): "
            "point KUBECONFIG at the file that kubectl uses"
        )
        raise UsageError(msg) from error
    return Kube(api, target=target, sources=sources, local_image=local_image)
