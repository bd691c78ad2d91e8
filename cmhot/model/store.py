"""The objects of the modelled API server, and how a write changes them.

Pods are not among them: they live on nodes (`cmhot.model.running`).
"""

from __future__ import annotations

import base64
import copy
import datetime as dt
from typing import TYPE_CHECKING, Any

from cmhot.clock import NS_PER_S
from cmhot.errors import ClusterError, UsageError
from cmhot.port.cluster import (
    CONFIG_MAP,
    DEPLOYMENT,
    FIELD_MANAGER,
    NAMESPACE,
    POD,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cmhot.port.cluster import Kind

Object = dict[str, Any]

KINDS = {
    "ConfigMap": CONFIG_MAP,
    "Deployment": DEPLOYMENT,
    "Namespace": NAMESPACE,
    "Pod": POD,
    "Secret": SECRET,
    "Service": SERVICE,
    "ServiceAccount": SERVICE_ACCOUNT,
}
"""What can be applied, by the manifest's kind."""

UNPROCESSABLE = 422
"""HTTP status of a change that an object does not allow."""
CONFLICT = 409
FIRST_ADDRESS = 2
"""Last number of the first Service's address; the first is the API server's."""


def kind_of(manifest: Mapping[str, Any]) -> Kind:
    """Find the kind of a manifest.

    Raises
    ------
    UsageError
        For one that the model does not have.
    """
    try:
        return KINDS[manifest["kind"]]
    except KeyError:
        known = ", ".join(KINDS)
        msg = f"the model knows no {manifest['kind']}: it has {known}"
        raise UsageError(msg) from None


def stamp(at_ns: int) -> str:
    """Write an instant as the API does: in UTC, to the second."""
    second = dt.datetime.fromtimestamp(at_ns // NS_PER_S, dt.UTC)
    return second.strftime("%Y-%m-%dT%H:%M:%SZ")


def merged(old: Any, new: Any) -> Any:  # noqa: ANN401 - JSON values
    """Apply a JSON merge patch (RFC 7386); None removes a key."""
    if not isinstance(new, dict):
        return new
    found = dict(old) if isinstance(old, dict) else {}
    for key, value in new.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merged(found.get(key), value)
    return found


class Store:
    """Objects by kind, namespace and name.

    Attributes
    ----------
    version
        Of the last write; each has its own.
    """

    def __init__(self) -> None:
        self.version = 1
        self._objects: dict[Kind, dict[tuple[str | None, str], Object]] = {}
        self._born = 0

    def find(self, kind: Kind, name: str, namespace: str | None) -> Object | None:
        """Return an object; None: there is none."""
        where = namespace if kind.namespaced else None
        return self._objects.get(kind, {}).get((where, name))

    def select(
        self,
        kind: Kind,
        namespace: str | None,
        labels: Mapping[str, str] | None = None,
    ) -> Iterator[Object]:
        """Yield objects of a namespace, or of all (None), with the labels."""
        wanted = (labels or {}).items()
        for (where, _), found in self._objects.get(kind, {}).items():
            own = found["metadata"].get("labels") or {}
            if namespace in {None, where} and wanted <= own.items():
                yield found

    def apply(
        self, manifest: Mapping[str, Any], namespace: str | None, *, at_ns: int
    ) -> Object:
        """Make an object, or replace all of it but what it was born with."""
        kind = kind_of(manifest)
        made = copy.deepcopy(dict(manifest))
        meta = made["metadata"]
        where = (meta.get("namespace") or namespace) if kind.namespaced else None
        if where is not None:
            meta["namespace"] = where
        if kind == SECRET and "stringData" in made:
            plain = made.pop("stringData")
            coded = {key: _base64(text) for key, text in plain.items()}
            made["data"] = {**made.get("data", {}), **coded}
        old = self.find(kind, meta["name"], where)
        if old is None:
            self._born += 1
            meta.setdefault("uid", f"uid-{self._born}")
            meta["creationTimestamp"] = stamp(at_ns)
            if kind == SERVICE:
                last = FIRST_ADDRESS + self._born
                made["spec"] = {"clusterIP": f"10.96.0.{last}", **made["spec"]}
        else:
            made = merged(old, made) if kind == DEPLOYMENT else {**old, **made}
            made["metadata"] = {**old["metadata"], **meta}
        return self._put(kind, where, made, old, at_ns)

    def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        namespace: str | None,
        *,
        at_ns: int,
    ) -> Object | None:
        """Merge-patch an object; None: there is none.

        Raises
        ------
        ClusterError
            Its content cannot change (422), or it is not of that version (409).
        """
        old = self.find(kind, name, namespace)
        if old is None:
            return None
        wanted = (body.get("metadata") or {}).get("resourceVersion")
        if wanted not in {None, old["metadata"]["resourceVersion"]}:
            msg = f"{kind.plural}/{name} has been modified (the model)"
            raise ClusterError(msg, status=CONFLICT)
        where = namespace if kind.namespaced else None
        return self._put(kind, where, merged(old, dict(body)), old, at_ns)

    def _put(
        self,
        kind: Kind,
        namespace: str | None,
        made: Object,
        old: Object | None,
        at_ns: int,
    ) -> Object:
        if kind == DEPLOYMENT and old is not None:
            before, after = (one["spec"].get("selector") for one in (old, made))
            if before != after:
                name = made["metadata"]["name"]
                msg = f"deployments/{name}: its selector is immutable (the model)"
                raise ClusterError(msg, status=UNPROCESSABLE)
        same = old is not None and old.get("data") == made.get("data")
        if old is not None and old.get("immutable") and not same:
            msg = f"{kind.plural}/{made['metadata']['name']} is immutable (the model)"
            raise ClusterError(msg, status=UNPROCESSABLE)
        self.version += 1
        meta = made["metadata"]
        if old is None:
            meta["generation"] = 1
        elif old.get("spec") != made.get("spec"):
            meta["generation"] = old["metadata"]["generation"] + 1
        meta["resourceVersion"] = str(self.version)
        meta["managedFields"] = [{"manager": FIELD_MANAGER, "time": stamp(at_ns)}]
        self._objects.setdefault(kind, {})[namespace, meta["name"]] = made
        return made

    def remove(self, kind: Kind, name: str, namespace: str | None) -> Object | None:
        """Forget an object; return it, or None where there was none."""
        where = namespace if kind.namespaced else None
        return self._objects.get(kind, {}).pop((where, name), None)

    def remove_all(self, namespace: str) -> None:
        """Forget what is in a namespace."""
        for objects in self._objects.values():
            for where, name in list(objects):
                if where == namespace:
                    del objects[where, name]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
