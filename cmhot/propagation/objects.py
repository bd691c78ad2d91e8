"""The objects that containers are made of: each read once, and when it was written."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cmhot.clock import NS_PER_S
from cmhot.errors import ForbiddenError, NotFoundError
from cmhot.kubelet.view import Absent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.uses import Object, Reference


@dataclass(slots=True)
class Objects:
    """The objects that containers of a namespace are made of, each read once."""

    cluster: Cluster
    namespace: str
    known: dict[Reference, Object | Absent] = field(default_factory=dict)

    def __call__(self, reference: Reference) -> Object | Absent:
        """Find an object, or say why not."""
        if reference not in self.known:
            self._read(reference)
        return self.known[reference]

    def add(self, reference: Reference, stored: Object) -> None:
        """Add one that was read already; a list leaves the kinds of its items out."""
        kind = "Secret" if reference.is_secret else "ConfigMap"
        self.known[reference] = {"kind": kind, **stored}

    def _read(self, reference: Reference) -> None:
        place, where = reference.place, self.namespace
        try:
            self.add(
                reference, self.cluster.get(place, reference.name, namespace=where)
            )
        except NotFoundError:
            self.known[reference] = Absent.MISSING
        except ForbiddenError:
            self.known[reference] = Absent.UNREAD


def last_update_ns(stored: Object) -> int | None:
    """Give the second of the last write to an object that left one; None: none did.

    UTC epoch nanoseconds of the API server's clock. A field that somebody removes who
    has set none leaves no time: see `is_written_after`.
    """
    fields: Sequence[Mapping[str, Any]] = stored["metadata"].get("managedFields") or ()
    times = [one["time"] for one in fields if one.get("time")]
    if not times:
        return None
    return second_ns(max(times))


def second_ns(text: str) -> int:
    """Read an instant of the API, of whole seconds: UTC epoch nanoseconds."""
    return round(dt.datetime.fromisoformat(text).timestamp()) * NS_PER_S


def made_ns(pod: Object) -> int:
    """Say when a pod was made, by the API server's clock."""
    return second_ns(pod["metadata"]["creationTimestamp"])


def is_written_after(stored: Object, pod: Object) -> bool:
    """Tell whether an object was written to after a pod's status last changed.

    By their resource versions, which rise with every write to one etcd. Source:
    https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions.
    """
    versions = [one["metadata"].get("resourceVersion", "") for one in (stored, pod)]
    if not all(one.isdecimal() for one in versions):
        return False
    return int(versions[0]) > int(versions[1])
