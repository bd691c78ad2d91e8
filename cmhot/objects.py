"""Apply, patch and observe: the three verbs of an experiment by hand."""

from __future__ import annotations

import os.path
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml

from cmhot.errors import ClusterError, UsageError
from cmhot.port.cluster import CONFIG_MAP, POD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cmhot.port.cluster import Cluster

DEFAULT_NAMESPACE = "default"

OBSERVED_COLUMNS = (
    *("namespace", "pod", "node", "container", "consumer"),
    *("where", "content", "current"),
)


@dataclass(frozen=True, slots=True)
class Update:
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
        except yaml.YAMLError as error:
            msg = f"the manifest is not YAML: {error}"
            raise UsageError(msg) from error
    else:
        documents = [source] if hasattr(source, "keys") else list(source)
    manifests = [found for document in documents for found in _flatten(document)]
    if not manifests:
        msg = "there is no manifest to apply: give a dict, a list, a path or YAML"
        raise UsageError(msg)
    return manifests


def _flatten(document: object) -> list[dict[str, Any]]:
    """Check one document; a List stands for its items, an empty one for nothing."""
    if document is None:
        return []
    if isinstance(document, dict):
        if document.get("kind") == "List":
            return [found for item in document["items"] for found in _flatten(item)]
        name = (document.get("metadata") or {}).get("name")
        if name and document.get("kind") and document.get("apiVersion"):
            return [document]
    msg = (
        "a manifest needs apiVersion, kind and metadata.name; "
        f"this one begins {str(document)[:60]!r}"
    )
    raise UsageError(msg)


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


@dataclass(frozen=True, slots=True)
class Consumption:
    """How one container uses one key of a ConfigMap.

    Attributes
    ----------
    container
        Its name.
    consumer
        ``volume``, ``subPath``, ``projected``, ``env`` or ``envFrom``.
    key
        Of the ConfigMap.
    where
        Path of the file, or name of the variable.
    """

    container: str
    consumer: str
    key: str
    where: str


def consumptions(
    pod: Mapping[str, Any], configmap: Mapping[str, Any]
) -> Iterator[Consumption]:
    """List how a pod's containers use a ConfigMap, from their specifications.

    Parameters
    ----------
    pod, configmap
        As the API server sends them.
    """
    name = configmap["metadata"]["name"]
    keys = sorted(configmap.get("data") or {})
    volumes = {
        volume["name"]: found
        for volume in pod["spec"].get("volumes") or []
        if (found := _paths(volume, name, keys)) is not None
    }
    for container in pod["spec"]["containers"]:
        yield from _from_environment(container, name, keys)
        for mount in container.get("volumeMounts") or []:
            if mount["name"] not in volumes:
                continue
            consumer, paths = volumes[mount["name"]]
            sub_path = mount.get("subPath")
            for key, path in paths.items():
                where = f"{mount['mountPath'].rstrip('/')}/{path}"
                if sub_path is None:
                    yield Consumption(container["name"], consumer, key, where)
                elif path == sub_path:
                    yield Consumption(
                        container["name"], "subPath", key, mount["mountPath"]
                    )


def _paths(
    volume: Mapping[str, Any], name: str, keys: Sequence[str]
) -> tuple[str, dict[str, str]] | None:
    """Return the consumer and the path of each key; None: another volume."""
    if (volume.get("configMap") or {}).get("name") == name:
        return "volume", _items(volume["configMap"], keys)
    paths: dict[str, str] = {}
    for source in (volume.get("projected") or {}).get("sources") or []:
        if (source.get("configMap") or {}).get("name") == name:
            paths |= _items(source["configMap"], keys)
    return ("projected", paths) if paths else None


def _items(source: Mapping[str, Any], keys: Sequence[str]) -> dict[str, str]:
    items = source.get("items")
    if items:
        return {item["key"]: item["path"] for item in items}
    return {key: key for key in keys}


def _from_environment(
    container: Mapping[str, Any], name: str, keys: Sequence[str]
) -> Iterator[Consumption]:
    for source in container.get("envFrom") or []:
        if (source.get("configMapRef") or {}).get("name") == name:
            prefix = source.get("prefix", "")
            for key in keys:
                yield Consumption(container["name"], "envFrom", key, prefix + key)
    for variable in container.get("env") or []:
        reference = (variable.get("valueFrom") or {}).get("configMapKeyRef") or {}
        if reference.get("name") == name:
            yield Consumption(
                container["name"], "env", reference["key"], variable["name"]
            )


def observe(
    cluster: Cluster,
    configmap: str,
    *,
    namespace: str = DEFAULT_NAMESPACE,
    labels: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Look into every running pod that uses a ConfigMap, at what it sees now.

    Files are read as they are in the container.
    Variables are read from ``/proc/1/environ``, what the process was started with:
    a shell would hide names such as ``log-level``.

    Parameters
    ----------
    cluster
        From `connect`.
    configmap
        Name of an existing ConfigMap.
    namespace
        Of the ConfigMap and the pods.
    labels
        Only pods with these labels; None: all.

    Returns
    -------
    DataFrame
        One row per pod, container and consumer, with columns
        ``namespace``, ``pod``, ``node``, ``container``, ``consumer``,
        ``where`` (paths or variables), ``content`` (a dict from the ConfigMap's keys
        to what is there; None: nothing, or it could not be looked at) and
        ``current`` (whether all of that is the ConfigMap's content;
        None: it could not be looked at).

    Raises
    ------
    NotFoundError
        There is no such ConfigMap.
    """
    stored = cluster.get(CONFIG_MAP, configmap, namespace=namespace)
    pods, _ = cluster.list(POD, namespace=namespace, labels=labels)
    rows = [
        row
        for pod in pods
        if pod["status"].get("phase") == "Running"
        for row in _observe_pod(cluster, pod, stored)
    ]
    return pd.DataFrame(rows, columns=list(OBSERVED_COLUMNS), dtype=object)


def _observe_pod(
    cluster: Cluster, pod: Mapping[str, Any], configmap: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield a row for each container and consumer of one pod."""
    meta, data = pod["metadata"], configmap.get("data") or {}
    uses: dict[tuple[str, str], list[Consumption]] = {}
    for use in consumptions(pod, configmap):
        uses.setdefault((use.container, use.consumer), []).append(use)
    environments: dict[str, dict[str, str] | None] = {}
    for (container, consumer), own in uses.items():
        looks = {
            use.key: _look(
                cluster,
                meta["name"],
                use,
                namespace=meta["namespace"],
                environments=environments,
            )
            for use in own
        }
        seen = all(looked for looked, _ in looks.values())
        content = {key: text for key, (_, text) in looks.items()}
        yield {
            "namespace": meta["namespace"],
            "pod": meta["name"],
            "node": pod["spec"].get("nodeName"),
            "container": container,
            "consumer": consumer,
            "where": [use.where for use in own],
            "content": content,
            "current": all(data.get(key) == text for key, text in content.items())
            if seen
            else None,
        }


def _look(
    cluster: Cluster,
    pod: str,
    use: Consumption,
    *,
    namespace: str,
    environments: dict[str, dict[str, str] | None],
) -> tuple[bool, str | None]:
    """Return whether a look was possible, and what was seen."""
    if use.consumer not in {"env", "envFrom"}:
        text = _cat(cluster, pod, use.where, namespace, use.container)
        return text is not None, text
    if use.container not in environments:
        text = _cat(cluster, pod, "/proc/1/environ", namespace, use.container)
        environments[use.container] = None if text is None else _variables(text)
    variables = environments[use.container]
    return variables is not None, (variables or {}).get(use.where)


def _cat(
    cluster: Cluster, pod: str, path: str, namespace: str, container: str
) -> str | None:
    try:
        return cluster.run_in(
            pod, ["cat", path], namespace=namespace, container=container
        )
    except ClusterError:
        return None


def _variables(environ: str) -> dict[str, str]:
    pairs = (entry.partition("=") for entry in environ.split("\0") if entry)
    return {name: value for name, _, value in pairs}
