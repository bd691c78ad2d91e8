"""Which files and variables a container gets of an object."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmhot.kubelet.uses import Object, Use


_LIKE_A_VARIABLE = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
"""Names that every kubelet puts into an environment."""


def content_of(stored: Object) -> dict[str, bytes]:
    """Give the content of a ConfigMap or a Secret, key by key, as a file would have it.

    A ConfigMap has it in ``data`` and, in base64, in ``binaryData``; a Secret in
    ``data``, in base64.
    """
    plain = stored.get("data") or {}
    if stored.get("kind") == "Secret":
        return {key: base64.b64decode(text) for key, text in plain.items()}
    binary = stored.get("binaryData") or {}
    return {
        **{key: text.encode() for key, text in plain.items()},
        **{key: base64.b64decode(text) for key, text in binary.items()},
    }


def binary_keys(stored: Object) -> frozenset[str]:
    """Name the keys that become files alone: no kubelet makes a variable of them."""
    return frozenset(stored.get("binaryData") or ())


def files_of(uses: Sequence[Use], content: Mapping[str, bytes]) -> dict[str, bytes]:
    """Give the files that a container should have by some of its uses, by path."""
    return {
        path: content[key]
        for use in uses
        if not use.way.is_environment
        for path, key in use.places(sorted(content)).items()
        if key in content
    }


def variables_of(
    uses: Sequence[Use],
    content: Mapping[str, bytes],
    *,
    explicit: frozenset[str],
    binary: frozenset[str] = frozenset(),
) -> dict[str, bytes]:
    """Give the variables that a container should have by some of its uses.

    ``explicit`` are names that the container's ``env`` sets, which come before
    ``envFrom``; ``binary`` is from `binary_keys`.
    """
    found = {}
    for use in uses:
        if not use.way.is_environment:
            continue
        named = use.items is not None
        for variable, key in use.places(sorted(content)).items():
            masked = not named and (
                variable in explicit or not _LIKE_A_VARIABLE.fullmatch(variable)
            )
            if key in content and key not in binary and not masked:
                found[variable] = content[key]
    return found


def read_environ(block: bytes) -> dict[str, bytes]:
    """Read /proc/PID/environ."""
    pairs = (entry.partition(b"=") for entry in block.split(b"\0") if entry)
    return {name.decode(errors="replace"): value for name, _, value in pairs}
