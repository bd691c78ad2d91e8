"""What a refused request was for, and which command prints the right for it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cmhot.port.rights import ALL, OURS

if TYPE_CHECKING:
    from cmhot.port.rights import Right


def purpose_of(method: str, path: str) -> str | None:
    """Say what a request to the API server was for.

    Parameters
    ----------
    method, path
        Of the request: ``PATCH``, ``/api/v1/namespaces/n/configmaps/cmhot-probe``.

    Returns
    -------
    str or None
        None when it is none of ours. A request of several commands has a purpose
        for each.
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
    """List the rights of which a request needs one; none when it is none of ours.

    Objects that have our names are a collection's, others are those of commands
    for somebody else's workloads.

    Parameters
    ----------
    method, path
        As of `purpose_of`.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        return ()
    group, resource = match["group"] or "", match["resource"]
    name, sub = match["name"], match["sub"]
    if resource is None:  # /namespaces/NAME is an object, not a place
        resource, name = "namespaces", match["namespace"]
    verb = _VERBS.get(method, "get")
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


_PATH = re.compile(
    r"/apis?/((?P<group>[^/]+)/)?v\d\w*(/namespaces/(?P<namespace>[^/]+))?"
    r"(/(?P<resource>[^/]+)(/(?P<name>[^/]+)(/(?P<sub>.+))?)?)?"
)
_VERBS = {"GET": "get", "PATCH": "patch", "DELETE": "delete", "POST": "create"}
