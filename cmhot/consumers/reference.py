"""Which object is meant: ``configmap/NAME`` or ``secret/NAME``."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmhot.errors import UsageError
from cmhot.port.cluster import CONFIG_MAP, SECRET

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cmhot.port.cluster import Kind

_KINDS = {
    **dict.fromkeys(["configmap", "configmaps", "cm"], "configmap"),
    **dict.fromkeys(["secret", "secrets"], "secret"),
}


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """A ConfigMap or a Secret, by its name.

    Attributes
    ----------
    kind
        ``configmap`` or ``secret``.
    name
        Of the object.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        """Say it as `kubectl` does: ``configmap/special-config``."""
        return f"{self.kind}/{self.name}"

    @property
    def is_secret(self) -> bool:
        """Whether its content must not be shown."""
        return self.kind == "secret"

    @property
    def place(self) -> Kind:
        """Where in the API it is."""
        return SECRET if self.is_secret else CONFIG_MAP


def parse_reference(text: str) -> Reference:
    """Read ``configmap/NAME`` or ``secret/NAME``, short forms as `kubectl` knows them.

    Raises
    ------
    UsageError
        For anything else.
    """
    kind, _, name = text.strip().partition("/")
    if kind.lower() in _KINDS and name and "/" not in name:
        return Reference(_KINDS[kind.lower()], name)
    msg = f"{text!r} names no object: write configmap/NAME or secret/NAME"
    raise UsageError(msg)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Find the name that somebody may have meant; None: there is none like it."""
    others = sorted({one for one in known if one != name})
    found = difflib.get_close_matches(name, others, n=1, cutoff=0.7)
    return found[0] if found else None
