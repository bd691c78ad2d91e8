"""How true the probe's publication instants are, and what a probe costs.

The truth is the host's: a volume lies on the host's file system,
so inotify there sees the kubelet's rename of ``..data`` (IN_MOVED_TO)
at the same instant at which the pod could see it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import struct
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from benchmarks.common import (
    CLOCK,
    NAMESPACE_GONE_S,
    Result,
    await_ready,
    fresh_namespace,
    publish,
)
from cmhot.cluster import probe
from cmhot.cluster.port import POD
from cmhot.cluster.targets import connect
from cmhot.cluster.testbed import layout, lifecycle
from cmhot.cluster.testbed.host import cgroup_roots, is_v2
from cmhot.kubelet.settings import parse_setting
from cmhot.kubelet.uses import CONFIG_MAP
from cmhot.propagation.changes import patch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cmhot.cluster.port import Cluster

IN_MOVED_TO = 0x80
_EVENT = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)

MATCH_S = 0.5
"""A publication and its rename are closer than this; two publications are not."""
UPDATE_GAP_S = 0.5
"""Well below the two seconds of a sync: each of them finds something new."""
PODS_READY_S = 180.0
"""Four times what 40 pods took on two cores."""

P99_MS = 10.0
"""Two jiffies of 4 ms, by which the kernel's coarse clock stamps files, and slack."""
MILLICORES = 2.0


class Swaps:
    """Renames of ``..data`` in the ConfigMap volumes of a node, by inotify.

    Parameters
    ----------
    pods
        ``<kubelet root>/pods`` as seen on the host.
    """

    def __init__(self, pods: Path) -> None:
        self._pods = pods
        self._watched: dict[int, str] = {}
        self._seen: list[tuple[int, int]] = []
        self._inotify = _libc.inotify_init()
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def watch_new(self) -> int:
        """Watch the volumes that have appeared; return how many are watched."""
        for volume in self._pods.glob("*/volumes/kubernetes.io~configmap/config"):
            number = _libc.inotify_add_watch(
                self._inotify, os.fsencode(volume), IN_MOVED_TO
            )
            if number >= 0:  # a pod may go away at any time
                uid = volume.relative_to(self._pods).parts[0]
                self._watched[number] = uid
        return len(self._watched)

    def _read(self) -> None:
        # This thread's own delay would count as the probe's error: on a busy machine
        # tens of milliseconds, unless it goes before all others (it hardly runs).
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(
                threading.get_native_id(), os.SCHED_FIFO, os.sched_param(1)
            )
        poll = select.poll()
        for descriptor in (self._inotify, self._wake_read):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in poll.poll()]
            at_ns = CLOCK.utc_ns()
            if self._wake_read in ready:
                return
            data = os.read(self._inotify, 65536)
            while data:
                number, _, _, size = _EVENT.unpack_from(data)
                name = data[_EVENT.size : _EVENT.size + size].rstrip(b"\0")
                data = data[_EVENT.size + size :]
                if name == b"..data":
                    self._seen.append((number, at_ns))

    def close(self) -> None:
        """End the thread; what was seen stays."""
        os.write(self._wake_write, b"x")
        self._thread.join()
        for descriptor in (self._inotify, self._wake_read, self._wake_write):
            os.close(descriptor)

    def table(self) -> pd.DataFrame:
        """Return one row per rename: ``uid`` and ``swapped_ns``."""
        rows = [(self._watched[number], at_ns) for number, at_ns in self._seen]
        return pd.DataFrame(rows, columns=["uid", "swapped_ns"])


@contextlib.contextmanager
def swaps(name: str, node: str) -> Iterator[Swaps]:
    """Watch the ConfigMap volumes of a testbed's node."""
    found = Swaps(layout.home(name).run / node / "kubelet" / "pods")
    try:
        yield found
    finally:
        found.close()


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The probe's instants against those of inotify.

    Attributes
    ----------
    n
        Publications compared.
    p50_ms, p99_ms, max_ms
        Quantiles of the absolute difference.
    bias_ms
        Mean of probe minus inotify: negative when the probe's instant is earlier.
    unmatched
        Publications for which inotify saw no rename.
    """

    n: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    bias_ms: float
    unmatched: int


def compare(publications: pd.DataFrame, seen: pd.DataFrame) -> Accuracy:
    """Put each publication beside the nearest rename in the same pod.

    Parameters
    ----------
    publications
        With ``uid`` and ``published_ns``.
    seen
        With ``uid`` and ``swapped_ns``.
    """
    joined = pd.merge_asof(
        publications[["uid", "published_ns"]].sort_values("published_ns"),
        seen.assign(published_ns=seen["swapped_ns"]).sort_values("published_ns"),
        on="published_ns",
        by="uid",
        direction="nearest",
        tolerance=round(MATCH_S * 1e9),
    )
    matched = joined.dropna(subset="swapped_ns")
    late_ns = matched["published_ns"] - matched["swapped_ns"].astype("int64")
    late_ms = late_ns.to_numpy() / 1e6
    p50, p99, most = np.quantile(np.abs(late_ms), [0.5, 0.99, 1.0]).tolist()
    return Accuracy(
        n=len(matched),
        p50_ms=p50,
        p99_ms=p99,
        max_ms=most,
        bias_ms=float(late_ms.mean()),
        unmatched=len(joined) - len(matched),
    )


def cpu_seconds(name: str, node: str) -> dict[str, float]:
    """Read the CPU time of each pod of a testbed's node, in seconds, by pod uid.

    A pod's cgroup holds the probe and the sandbox, and both are its cost.
    """
    used = {}
    for root in cgroup_roots(layout.cgroup_name(name)):
        for pod in (root / node).rglob("pod*"):
            v1, v2 = pod / "cpuacct.usage", pod / "cpu.stat"
            uid = pod.name.removeprefix("pod")
            with contextlib.suppress(FileNotFoundError):
                if v1.exists():
                    used[uid] = int(v1.read_text()) / 1e9
                elif v2.exists() and is_v2(root.parent):
                    stat = dict(line.split() for line in v2.read_text().splitlines())
                    used.setdefault(uid, int(stat["usage_usec"]) / 1e6)
    return used


def millicores(
    before: dict[str, float], after: dict[str, float], *, elapsed_s: float
) -> pd.Series[float]:
    """Return what each pod used between two readings, in thousandths of a core."""
    pods = before.keys() & after.keys()
    return pd.Series(
        {uid: (after[uid] - before[uid]) / elapsed_s * 1000 for uid in pods},
        dtype="float64",
    )


@contextlib.contextmanager
def namespace_of_probes(cluster: Cluster) -> Iterator[str]:
    """Make a namespace with the probes' ConfigMap, and take all of it away."""
    with fresh_namespace(
        cluster, "cmhot-bench", gone_within_s=NAMESPACE_GONE_S
    ) as namespace:
        configmap = probe.config_map("bench", run_id="bench")
        cluster.apply(configmap, namespace=namespace)
        yield namespace


def run_probes(cluster: Cluster, namespace: str, *, node: str, pods: int) -> None:
    """Have so many probes Ready on one node; those that run already stay.

    Raises
    ------
    TimeoutError
        When they are not Ready in time.
    """
    image = cluster.local_image
    assert image is not None  # noqa: S101 - a testbed has one
    deployment = probe.deployment(
        "bench",
        run_id="bench",
        group="bench",
        configmap="bench",
        nodes=[node],
        replicas=pods,
        image=image,
        pull_policy="Never",
    )
    cluster.apply(deployment, namespace=namespace)
    await_ready(cluster, namespace, count=pods, deadline_s=PODS_READY_S)


def publish_updates(cluster: Cluster, namespace: str, *, seconds: float) -> None:
    """Write a new number every half second."""
    until = CLOCK.monotonic() + seconds
    stored = cluster.get(CONFIG_MAP, "bench", namespace=namespace)
    number = int(stored["data"]["seq"])
    while CLOCK.monotonic() < until:
        number += 1
        patch(cluster, "bench", {"seq": str(number)}, namespace=namespace)
        CLOCK.sleep(UPDATE_GAP_S)


def read_publications(cluster: Cluster, namespace: str) -> pd.DataFrame:
    """Read every probe's log: one row per publication with ``uid, published_ns``."""
    pods, _ = cluster.list(POD, namespace=namespace)
    rows = [
        (pod["metadata"]["uid"], line.published_ns)
        for pod in pods
        for line in probe.parse_log(
            cluster.log(
                pod["metadata"]["name"], namespace=namespace, container=probe.CONTAINER
            )
        )
        if line.kind == "publication"
    ]
    return pd.DataFrame(rows, columns=["uid", "published_ns"])


@dataclass(frozen=True, slots=True)
class Measured:
    """What `observe` found: see `Accuracy`; CPU in millicores, one value a pod."""

    accuracy: Accuracy
    millicores: pd.Series[float]


def observe(
    cluster: Cluster, *, namespace: str, name: str, node: str, seconds: float
) -> Measured:
    """Publish to probes that run on a node of a testbed, and look from the host."""
    with swaps(name, node) as seen:
        seen.watch_new()
        since_ns = CLOCK.utc_ns()
        before, began = cpu_seconds(name, node), CLOCK.monotonic()
        publish_updates(cluster, namespace, seconds=seconds)
        elapsed_s = CLOCK.monotonic() - began
        after = cpu_seconds(name, node)
        publications = read_publications(cluster, namespace)
        publications = publications[publications["published_ns"] > since_ns]
    return Measured(
        accuracy=compare(publications, seen.table()),
        millicores=millicores(before, after, elapsed_s=elapsed_s),
    )


def main() -> int:
    """Measure 30 probes on a kubelet of 2 s for half a minute."""
    name = "bench-probe"
    wanted = layout.make_spec([parse_setting("sync=2s")], name=name)
    lifecycle.up(wanted)
    try:
        cluster, node = connect(f"testbed:{name}"), wanted.nodes[0].name
        with namespace_of_probes(cluster) as namespace:
            run_probes(cluster, namespace, node=node, pods=30)
            found = observe(
                cluster, namespace=namespace, name=name, node=node, seconds=30
            )
    finally:
        lifecycle.down(name)
    accuracy, cost = found.accuracy, found.millicores
    ok = publish(
        "probe",
        [
            Result("publications compared", accuracy.n, ""),
            Result("without a rename seen", accuracy.unmatched, "", 0),
            Result("|probe - inotify|, p50", accuracy.p50_ms, "ms"),
            Result("|probe - inotify|, p99", accuracy.p99_ms, "ms", P99_MS),
            Result("|probe - inotify|, max", accuracy.max_ms, "ms"),
            Result("bias, mean of probe - inotify", accuracy.bias_ms, "ms"),
            Result("CPU a pod, mean", float(cost.mean()), "millicores", MILLICORES),
            Result("CPU a pod, max", float(cost.max()), "millicores", MILLICORES),
        ],
    )
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
