"""What benchmarks and tests of the real testbed share: waiting, namespaces, results."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmhot.clock import SystemClock
from cmhot.cluster.port import MANAGED_BY, NAMESPACE, POD
from cmhot.cluster.workspace import is_pod_ready
from cmhot.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cmhot.cluster.port import Cluster

RESULTS = Path("build", "bench")
CLOCK = SystemClock()
POLL_S = 0.1
NAMESPACE_GONE_S = 90.0
"""A node takes away about three pods a second, and a namespace holds a hundred."""


def wait_until(
    condition: Callable[[], object], *, deadline_s: float, poll_s: float = POLL_S
) -> bool:
    """Look again and again until a condition holds; False when it never did."""
    until = CLOCK.monotonic() + deadline_s
    while not condition():
        if CLOCK.monotonic() > until:
            return False
        CLOCK.sleep(poll_s)
    return True


@contextlib.contextmanager
def fresh_namespace(
    cluster: Cluster, prefix: str = "cmhot-test", *, gone_within_s: float = 0
) -> Iterator[str]:
    """Make a namespace, and delete it whatever happens.

    Parameters
    ----------
    cluster
        Where.
    prefix
        Of its name.
    gone_within_s
        How long to wait until it is gone: many pods that are still being deleted
        would slow down whoever measures next.
    """
    name = f"{prefix}-{secrets.token_hex(3)}"
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": dict(MANAGED_BY)},
        }
    )
    try:
        # Without its account, which comes a moment later, no pod can be made.
        ready = wait_until(
            lambda: has_service_account(cluster, name), deadline_s=30, poll_s=0.05
        )
        if not ready:
            msg = f"namespace {name} got no service account within 30 s"
            raise TimeoutError(msg)
        yield name
    finally:
        cluster.delete(NAMESPACE, name)
        wait_until(lambda: not has_namespace(cluster, name), deadline_s=gone_within_s)


def has_namespace(cluster: Cluster, name: str) -> bool:
    """Tell whether a namespace exists, also one that is going away."""
    try:
        cluster.get(NAMESPACE, name)
    except NotFoundError:
        return False
    return True


def has_service_account(cluster: Cluster, namespace: str) -> bool:
    """Tell whether pods can be created in a namespace."""
    from cmhot.kubelet.uses import Kind  # noqa: PLC0415

    try:
        cluster.get(Kind("v1", "serviceaccounts"), "default", namespace=namespace)
    except NotFoundError:
        return False
    return True


def await_ready(
    cluster: Cluster,
    namespace: str,
    *,
    count: int,
    deadline_s: float,
    labels: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Wait until so many pods are Ready.

    Raises
    ------
    TimeoutError
        When they are not in time; the message says how many were.
    """
    ready: list[dict[str, Any]] = []

    def enough() -> bool:
        pods, _ = cluster.list(POD, namespace=namespace, labels=labels)
        ready[:] = [pod for pod in pods if is_pod_ready(pod)]
        return len(ready) >= count

    if not wait_until(enough, deadline_s=deadline_s, poll_s=0.5):
        msg = f"{len(ready)} of {count} pods were Ready after {deadline_s:g} s"
        raise TimeoutError(msg)
    return ready


@dataclass(frozen=True, slots=True)
class Result:
    """One measured number beside what it should be.

    Attributes
    ----------
    quantity
        What was measured.
    value
        In `unit`.
    unit
        Such as ``s`` or ``ms``.
    target
        At most this much, in `unit`; None: there is no target, it is stated only.
    """

    quantity: str
    value: float
    unit: str
    target: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the target is met; without one it is."""
        return self.target is None or self.value <= self.target


def publish(name: str, results: list[Result], **more: object) -> bool:
    """Print the table, write the JSON, and tell whether every target is met."""
    width = max(len(result.quantity) for result in results)
    click.echo(f"{name}: {'quantity':{width}}  {'measured':>10}  {'target':>10}")
    for result in results:
        target = "" if result.target is None else f"<= {result.target:g}"
        verdict = "" if result.ok else "  MISSED"
        click.echo(
            f"{'':{len(name)}}  {result.quantity:{width}}  {result.value:10.3f}  "
            f"{target:>10} {result.unit}{verdict}"
        )
    RESULTS.mkdir(parents=True, exist_ok=True)
    content = {
        "benchmark": name,
        "host": {
            "machine": platform.machine(),
            "kernel": platform.release(),
            "cpus": os.cpu_count(),
            "load_1_minute": os.getloadavg()[0],
        },
        "results": [{**asdict(result), "ok": result.ok} for result in results],
        **more,
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=2) + "\n")
    click.echo(f"written to {path}")
    return all(result.ok for result in results)
