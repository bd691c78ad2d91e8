"""Turn answers of the API server, or their absence, into errors with a remedy.

HTTP statuses are read here and nowhere else.
"""

from __future__ import annotations

import http.client
import json
import re
from typing import TYPE_CHECKING

import urllib3

from cmhot.errors import ClusterError, ForbiddenError, NotFoundError, UnreachableError

if TYPE_CHECKING:
    from cmhot.cluster.rights import Right


EXCERPT = 300
"""Most characters of a server's text that an error message quotes."""
_PATH = re.compile(
    r"/apis?/((?P<group>[^/]+)/)?v\d\w*(/namespaces/(?P<namespace>[^/]+))?"
    r"(/(?P<resource>[^/]+)(/(?P<name>[^/]+)(/(?P<sub>.+))?)?)?"
)
_REFUSED_LOGIN = " 407"
"""In the words of urllib3 (Tunnel connection failed: 407 …) and of websocket-client
(failed CONNECT via proxy status: 407)."""
METHODS = {"GET": "get", "PATCH": "patch", "DELETE": "delete", "POST": "create"}


def explain(status: int, text: str, method: str, path: str) -> ClusterError:
    """Turn an HTTP answer other than success into an error.

    The text may be a Status: then its message is quoted.
    """
    if status == http.client.PROXY_AUTHENTICATION_REQUIRED:
        return _no_login(None)
    asked = f"{method} {path}"
    try:
        message = str(json.loads(text).get("message") or text)
    except (ValueError, AttributeError):
        message = text
    message = shorten(message)
    if status == http.client.NOT_FOUND:
        return NotFoundError(f"{asked}: {message}; check the name", status=status)
    if status == http.client.UNAUTHORIZED:
        return ForbiddenError(
            f"{asked} is not allowed: the API server does not accept the credentials "
            f"({message}); log in again, or renew the token or certificate of the "
            "kubeconfig",
            status=status,
        )
    if status == http.client.FORBIDDEN:
        purpose = purpose_of(method, path)
        printed = printed_by(method, path)
        why = "" if purpose is None else f" ({purpose}; {printed} prints it)"
        return ForbiddenError(
            f"{asked} is not allowed: {message}; ask for the right{why}, or use a "
            "namespace in which you have it (--namespace)",
            status=status,
        )
    return ClusterError(
        f"{asked} failed ({status}): {message}", status=status, said=message
    )


def no_answer(error: Exception, *, host: str, proxy: str | None) -> UnreachableError:
    """Turn an error of urllib3 into one that says why there was no answer."""
    if isinstance(error, urllib3.exceptions.SSLError):
        return UnreachableError(
            f"the API server at {host} and this kubeconfig do not trust "
            f"each other ({error}): does certificate-authority belong to it?"
        )
    if isinstance(error, urllib3.exceptions.ProxyError):
        if _REFUSED_LOGIN in str(error.original_error):
            return _no_login(proxy)
        return UnreachableError(
            f"the proxy {without_password(proxy)} does not let us "
            f"through to the API server at {host} ({error}): check "
            "proxy-url in the kubeconfig, HTTPS_PROXY and NO_PROXY"
        )
    return UnreachableError(
        f"no answer from the API server at {host} ({type(error).__name__}): "
        "is the cluster running and the address in the kubeconfig right?"
    )


def refused_stream(error: Exception, path: str) -> ClusterError:
    """Turn the failure of a stream's request into the API server's answer to it."""
    from websocket import (  # noqa: PLC0415 - no request has one
        WebSocketBadStatusException,
        WebSocketProxyException,
    )

    if isinstance(error, WebSocketBadStatusException):
        text = (error.resp_body or b"").decode(errors="replace")
        return explain(error.status_code, text, "GET", path)
    if isinstance(error, WebSocketProxyException) and _REFUSED_LOGIN in str(error):
        return _no_login(None)
    return UnreachableError(
        f"no answer to GET {path} ({shorten(str(error))}): is the API "
        "server running, and may WebSockets pass whatever is before it?"
    )


def _no_login(proxy: str | None) -> UnreachableError:
    """Say that a proxy wants to know who asks; None: which one is not known."""
    named = "before the API server" if proxy is None else without_password(proxy)
    return UnreachableError(
        f"the proxy {named} wants a user and a password, or does not accept those given"
        ": write http://USER:PASSWORD@HOST:PORT into proxy-url of the kubeconfig, or "
        "into HTTPS_PROXY",
        status=http.client.PROXY_AUTHENTICATION_REQUIRED,
    )


def how_it_ended(verdict: bytes) -> tuple[int | None, str]:
    """Read an exit code from an exec's error channel; None with a reason: no start."""
    try:
        status = json.loads(verdict)
        if status["status"] == "Success":
            return 0, ""
        message = str(status.get("message") or "")
        if status.get("reason") == "NonZeroExitCode":
            return int(status["details"]["causes"][0]["message"]), message
    except (ValueError, LookupError, TypeError):
        return None, "it ended without saying how"
    return None, message


def without_password(url: str | None) -> str:
    """Name a proxy without the credentials that its address may carry."""
    return urllib3.util.parse_url(url or "")._replace(auth=None).url


def shorten(text: str) -> str:
    """Quote the beginning of a server's text."""
    return text.strip()[:EXCERPT]


def shorten_to_cause(text: str) -> str:
    """Quote the end of a text in which each layer put its words before the cause."""
    whole = text.strip()
    return whole if len(whole) <= EXCERPT else f"…{whole[-EXCERPT:]}"


def purpose_of(method: str, path: str) -> str | None:
    """Give the purpose of a request, by `asked_by`; None: `cmhot` sends no such one.

    The method and path are as in ``PATCH /api/v1/namespaces/n/configmaps/cmhot-probe``.
    A request of several commands has a purpose for each.
    """
    purposes = dict.fromkeys(right.purpose for right in asked_by(method, path))
    return "; or ".join(purposes) or None


def printed_by(method: str, path: str) -> str:
    """Name the command that prints the right for a request."""
    asked = asked_by(method, path)
    commands = dict.fromkeys(one for right in asked for one in right.commands)
    printed = [] if asked and all(right.commands for right in asked) else ["cmhot rbac"]
    if commands:
        printed.append(f"cmhot rbac --for {'|'.join(commands)}")
    return " or ".join(f"`{one}`" for one in printed)


def asked_by(method: str, path: str) -> tuple[Right, ...]:
    """List the rights of which a request needs one; empty: `cmhot` sends no such one.

    Objects with our names are a collection's; others belong to somebody else's
    workloads, on which the other commands work.
    """
    from cmhot.cluster.rights import ALL, OURS  # noqa: PLC0415 - most requests are allowed

    match = _PATH.fullmatch(path)
    if match is None:
        return ()
    group, resource = match["group"] or "", match["resource"]
    name, sub = match["name"], match["sub"]
    if resource is None:  # /namespaces/NAME is an object, not a place
        resource, name = "namespaces", match["namespace"]
    verb = METHODS.get(method, "get")
    if verb == "get" and name is None:
        verb = "list"
    # behind nodes/proxy there is any path
    sub = "proxy" if sub and sub.startswith("proxy") else sub
    wanted = (verb, group, resource if sub is None else f"{resource}/{sub}")
    found = [
        right
        for right in ALL
        if (right.verb, right.group, right.resource) == wanted
        and right.name in (None, name)
    ]
    if name is not None:
        ours = name.startswith(OURS)
        found = [right for right in found if ours != bool(right.commands)] or found
    return tuple(found)
