"""What pods hold, and since when: read in them, one command each."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from cmhot.collecting.nodeclock import ask
from cmhot.consumers.contents import read_environ
from cmhot.errors import ClusterError
from cmhot.port.probe import CONTAINER, epoch_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cmhot.experiments.stage import Stage

    Object = dict[str, Any]

Item = TypeVar("Item")
Found = TypeVar("Found")

AT_ONCE = 8
"""Looks at the same time: each is a process started by a kubelet."""


def together(
    stage: Stage, look: Callable[[Item], Found], items: Sequence[Item]
) -> list[Found]:
    """Look at several things at once; the model's time is that of one thread."""
    with ThreadPoolExecutor(1 if stage.cluster.modelled else AT_ONCE) as pool:
        return list(pool.map(look, items))


def publications(
    stage: Stage,
    pods: Sequence[Object],
    folder: str,
    *,
    container: str = CONTAINER,
) -> dict[str, int]:
    """Read in each pod when a volume was published last: the mtime of ``..data``.

    Parameters
    ----------
    stage
        Where.
    pods
        As the API server sent them.
    folder
        Where the volume is mounted.
    container
        In which container.

    Returns
    -------
    dict
        By pod: UTC epoch nanoseconds of the cluster's clock. What a node's clock is
        ahead is taken off, where it is more than asking for it takes.

    Raises
    ------
    ClusterError
        A pod could not be asked.
    """
    homes = {one["metadata"]["name"]: one["spec"]["nodeName"] for one in pods}
    first = {node: pod for pod, node in homes.items()}
    ahead_ns = {node: _ahead_ns(stage, pod, container) for node, pod in first.items()}

    def one(pod: str) -> int:
        path = f"{folder.rstrip('/')}/..data"
        answer = stage.door.capture(
            pod,
            ["stat", "-c", "%y", path],
            namespace=stage.namespace,
            container=container,
        )
        if answer.code != 0:
            msg = f"pod {pod} does not tell of {path}: {answer.complaint}"
            raise ClusterError(msg)
        return epoch_ns(answer.output.decode().strip()) - ahead_ns[homes[pod]]

    return dict(zip(homes, together(stage, one, list(homes)), strict=True))


def _ahead_ns(stage: Stage, pod: str, container: str) -> int:
    """Bound how far a node's clock is ahead; 0 where that is within the bound."""
    if stage.cluster.modelled or stage.cluster.target == "testbed":
        return 0  # one clock
    bounds = ask(
        stage.cluster,
        stage.cluster.clock,
        pod,
        namespace=stage.namespace,
        container=container,
    )
    row = bounds.row("", 0)
    if row is None or abs(row["offset_ns"]) <= row["bound_ns"]:
        return 0
    return int(row["offset_ns"])


def variables(stage: Stage, pod: str, *, container: str = CONTAINER) -> dict[str, str]:
    """Read the environment that a container's first process was started with."""
    answer = stage.door.capture(
        pod, ["cat", "/proc/1/environ"], namespace=stage.namespace, container=container
    )
    found = read_environ(answer.output)
    return {name: value.decode(errors="replace") for name, value in found.items()}


def text_of(
    stage: Stage, pod: str, path: str, *, container: str = CONTAINER
) -> str | None:
    """Read a file in a container; None: it is not there."""
    answer = stage.door.capture(
        pod, ["cat", path], namespace=stage.namespace, container=container
    )
    return answer.output.decode(errors="replace") if answer.code == 0 else None
