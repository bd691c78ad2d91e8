"""Manifests, read as `kubectl` reads them: YAML or JSON, one or many, always UTF-8.

Its YAML (sigs.k8s.io/yaml) differs from PyYAML's: what looks like a date or a time of
day stays text, ``=`` is text, and any kind of list stands for its items.
`make kubectl` compares both. `kubectl` also takes an object without a name, a tab
within braces, and what follows the end of a document; it refuses JSON's escape of a
slash in YAML, and YAML in braces that is no JSON.
"""

from __future__ import annotations

import json
import os.path
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from cmhot.cluster.kubeconfig import load_yaml
from cmhot.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_QUOTED = re.compile(r"""(['"])(.*?)\1(?=[\s,;:]|$)""")
_TOKEN = re.compile(r"\\?.|<[a-z ]+>")
"""Quotes allowed from PyYAML: a character, or <block end>; others may be secret."""
_FIELD = re.compile(r"[\w.-]+")
"""A key; what holds a colon may be one with its value, without a space between."""


def read_manifests(
    source: Mapping[str, Any] | Sequence[Mapping[str, Any]] | Path | str,
) -> list[dict[str, Any]]:
    """Read manifests from a dict, a list of dicts, a path, or a YAML text.

    A text that names an existing file is that file.

    Raises
    ------
    UsageError
        When there is no manifest in it.
    """
    if isinstance(source, str) and os.path.isfile(source):  # noqa: PTH113 - a long text
        source = Path(source)
    if isinstance(source, Path):
        try:
            source = source.read_bytes().decode("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            msg = f"cannot read manifests from {source}: {error}"
            raise UsageError(msg) from error
    if isinstance(source, str):
        documents = _documents(source)
    else:
        documents = [source] if hasattr(source, "keys") else list(source)
    manifests = [found for document in documents for found in _flatten(document)]
    if not manifests:
        msg = "there is no manifest to apply: give a dict, a list, a path or YAML"
        raise UsageError(msg)
    return manifests


def _documents(text: str) -> list[object]:
    """Parse JSON, which may have tabs, or YAML."""
    if text.lstrip().startswith("{"):
        try:
            return [json.loads(text)]
        except (ValueError, RecursionError):
            pass  # YAML in braces, or neither: the other parser finds out
    try:
        return load_yaml(text)
    except (yaml.YAMLError, ValueError) as error:
        # PyYAML's message quotes the line, which may be a Secret's
        msg = f"the manifest is not YAML: {_problem(error, text)}"
        raise UsageError(msg) from None
    except RecursionError:
        msg = "the manifest is nested too deeply to be one"
        raise UsageError(msg) from None


def _problem(error: Exception, text: str) -> str:
    """Describe what is wrong with a text, and in which line, without quoting it."""
    if isinstance(error, yaml.MarkedYAMLError):
        said = error.problem or "it cannot be read"
        for quoted in _QUOTED.finditer(said):
            if not _TOKEN.fullmatch(quoted[2]):
                said = said[: quoted.start()].rstrip()
                break
        mark = error.problem_mark or error.context_mark
        return said if mark is None else f"{said}, in line {mark.line + 1}"
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return f"a character that is not allowed, in line {line}"
    return "a value is not what it looks like, such as a date of month 13: quote it"


def _flatten(document: object) -> list[dict[str, Any]]:
    """Check one document; a List stands for its items, an empty one for nothing."""
    if document is None:
        return []
    if isinstance(document, dict):
        kind, items = document.get("kind"), document.get("items")
        if kind == "List" and not isinstance(items, list | None):
            msg = "the items of a List are no list"
            raise UsageError(msg)
        if isinstance(kind, str) and (kind == "List" or _is_list(kind, items)):
            whole = {} if kind == "List" else _of_items(document)
            return [
                found
                for item in items or []
                for found in _flatten(whole | item if isinstance(item, dict) else item)
            ]
        meta = document.get("metadata")
        name = meta.get("name") if isinstance(meta, dict) else None
        named = name if isinstance(name, str) else None
        if named and document.get("kind") and document.get("apiVersion"):
            return [document]
    msg = f"a manifest needs apiVersion, kind and metadata.name; {_outline(document)}"
    raise UsageError(msg)


def _is_list(kind: str, items: object) -> bool:
    return kind.endswith("List") and isinstance(items, list)


def _of_items(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return version and kind, which the items of a ConfigMapList may leave out."""
    kind = str(document["kind"]).removesuffix("List")
    return {"apiVersion": document.get("apiVersion"), "kind": kind}


def _outline(document: object) -> str:
    """Describe a text that is no manifest, without values: they may be a Secret's."""
    if isinstance(document, dict):
        fields = [key if _FIELD.fullmatch(key) else "…" for key in map(str, document)]
        return f"this one has {', '.join(fields) or 'nothing'}"
    if isinstance(document, str):
        return "this one is but a text: is it the name of a file that is not there?"
    return f"this one is of type {type(document).__name__}"
