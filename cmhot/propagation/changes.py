"""Apply and patch: what an experiment by hand changes."""

from __future__ import annotations

import datetime as dt
import os.path
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from cmhot.clock import NS_PER_S
from cmhot.display import Page, Shown
from cmhot.errors import UsageError
from cmhot.kubelet.uses import CONFIG_MAP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmhot.cluster.port import Cluster


DEFAULT_NAMESPACE = "default"
_QUOTED = re.compile(r"""(['"])(.*?)\1(?=[\s,;:]|$)""")
_TOKEN = re.compile(r"\\?.|<[a-z ]+>")
"""What PyYAML may quote: a character, or <block end>; more is of the manifest."""
_FIELD = re.compile(r"[\w.-]+")
"""A key; what holds a colon may be one with its value, without a space between."""


@dataclass(frozen=True, slots=True, repr=False)
class Update(Shown):
    """One write to a ConfigMap, with its three instants.

    Attributes
    ----------
    configmap
        Its name.
    resource_version
        The ConfigMap's version after the write.
    planned_ns, sent_ns, acked_ns
        When the write was asked for, left, and was acknowledged:
        UTC epoch nanoseconds of the cluster's clock (see `Cluster.clock`).
        The instant at which it took effect lies in [sent, acked].
    """

    configmap: str
    resource_version: str
    planned_ns: int
    sent_ns: int
    acked_ns: int

    def page(self) -> Page:
        """Say when it took effect."""
        took_ms = 1000 * (self.acked_ns - self.sent_ns) / NS_PER_S
        acked = dt.datetime.fromtimestamp(self.acked_ns / NS_PER_S, dt.UTC)
        return Page(
            f"configmap/{self.configmap} was updated: acknowledged at "
            f"{acked:%Y-%m-%d %H:%M:%S} UTC, {took_ms:.1f} ms after it was sent "
            f"(version {self.resource_version})"
        )


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
            source = source.read_text()
        except (OSError, UnicodeDecodeError) as error:
            msg = f"cannot read manifests from {source}: {error}"
            raise UsageError(msg) from error
    if isinstance(source, str):
        try:
            documents = list(yaml.safe_load_all(source))
        except (yaml.YAMLError, ValueError) as error:
            # what PyYAML says quotes the line, which may be a Secret's
            msg = f"the manifest is not YAML: {_problem(error, source)}"
            raise UsageError(msg) from None
    else:
        documents = [source] if hasattr(source, "keys") else list(source)
    manifests = [found for document in documents for found in _flatten(document)]
    if not manifests:
        msg = "there is no manifest to apply: give a dict, a list, a path or YAML"
        raise UsageError(msg)
    return manifests


def _problem(error: Exception, text: str) -> str:
    """Say what is wrong with a text, and in which line, but quote none of it."""
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
        if document.get("kind") == "List":
            items = document.get("items") or []
            return [found for item in items for found in _flatten(item)]
        meta = document.get("metadata")
        name = meta.get("name") if isinstance(meta, dict) else None
        if name and document.get("kind") and document.get("apiVersion"):
            return [document]
    msg = f"a manifest needs apiVersion, kind and metadata.name; {_outline(document)}"
    raise UsageError(msg)


def _outline(document: object) -> str:
    """Say what there is instead of a manifest, but no value: it may be a Secret's."""
    if isinstance(document, dict):
        fields = [key if _FIELD.fullmatch(key) else "…" for key in map(str, document)]
        return f"this one has {', '.join(fields) or 'nothing'}"
    if isinstance(document, str):
        return "this one is but a text: is it the name of a file that is not there?"
    return f"this one is of type {type(document).__name__}"


def apply(
    cluster: Cluster,
    source: Mapping[str, Any] | Sequence[Mapping[str, Any]] | Path | str,
    *,
    namespace: str = DEFAULT_NAMESPACE,
) -> list[dict[str, Any]]:
    """Server-side apply manifests.

    Parameters
    ----------
    cluster
        From `connect`.
    source
        See `read_manifests`.
    namespace
        For objects that name none.

    Returns
    -------
    list of dict
        The objects as stored, in the order given.

    Raises
    ------
    UsageError
        No manifest, or a kind that the cluster does not know.
    ClusterError
        The API server refused; 409 is a field that somebody else owns.
    """
    return [
        cluster.apply(manifest, namespace=namespace)
        for manifest in read_manifests(source)
    ]


def patch(
    cluster: Cluster,
    configmap: str,
    data: Mapping[str, str],
    *,
    namespace: str = DEFAULT_NAMESPACE,
) -> Update:
    """Change keys of a ConfigMap; others stay as they are.

    Parameters
    ----------
    cluster
        From `connect`.
    configmap
        Name of an existing ConfigMap.
    data
        Keys to set.
    namespace
        Of the ConfigMap.

    Returns
    -------
    Update
        With the instants between which it took effect.

    Raises
    ------
    NotFoundError
        There is no such ConfigMap.
    """
    planned = sent = cluster.clock.utc_ns()
    stored = cluster.patch(
        CONFIG_MAP, configmap, {"data": dict(data)}, namespace=namespace
    )
    return Update(
        configmap=configmap,
        resource_version=stored["metadata"]["resourceVersion"],
        planned_ns=planned,
        sent_ns=sent,
        acked_ns=cluster.clock.utc_ns(),
    )
