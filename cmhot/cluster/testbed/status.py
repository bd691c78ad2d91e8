"""The status of a testbed now, its processes, and the record of its start.

Processes are found in /proc: no file with a process number is written, so none can be
stale, missing after a crash, or name somebody else's process.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmhot.cluster.testbed import layout, supervisor
from cmhot.cluster.testbed.image import IMAGE_NAME
from cmhot.kubelet.settings import Setting, Strategy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cmhot.clock import Clock
    from cmhot.cluster.testbed.layout import TestbedSpec


TIMEOUT_S = 5.0
CLIENT_FILES = ("starter-ca.crt", "starter.crt", "starter.key")
"""The authority's certificate, and the starter's own with its key."""
SUPERVISOR = Path(supervisor.__file__).name
NO_ARGUMENTS_S = 0.05
"""While a process replaces its program (execve), /proc shows no arguments of it:
one scan that finds nothing proves nothing. It takes about a millisecond."""
SCAN_S = 0.02


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A node as it is now."""

    name: str
    ready: bool  # its condition Ready is true and it takes pods
    setting: Setting  # what its kubelet was configured to
    kubelet: str  # version


@dataclass(frozen=True, slots=True)
class Status:
    """A testbed as it is now.

    All but its name is None or empty when it is not running.
    """

    name: str
    running: bool  # it was started completely and its programs live
    kubernetes: str | None = None  # version of the Kubernetes programs
    kubeconfig: Path | None = None  # the file to use it with
    nodes: tuple[NodeStatus, ...] = ()
    sources: dict[str, Any] | None = None  # where each program came from

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `testbed status --json`, on which programs rely."""
        return {
            "name": self.name,
            "running": self.running,
            "kubernetes": self.kubernetes,
            "kubeconfig": None if self.kubeconfig is None else str(self.kubeconfig),
            "probe_image": IMAGE_NAME if self.running else None,
            "nodes": [
                {
                    "name": node.name,
                    "ready": node.ready,
                    "sync_frequency_s": node.setting.sync_frequency_s,
                    "strategy": node.setting.strategy.value,
                    "ttl_s": node.setting.ttl_s,
                    "kubelet": node.kubelet,
                }
                for node in self.nodes
            ],
            "sources": self.sources,
        }


def status(name: str = "default") -> Status:
    """Report which programs and nodes run."""
    layout.check_name(name)
    home = layout.home(name)
    record = read_record(home)
    if record is None or first_process(home.run) is None:
        return Status(name=name, running=False)
    # one that runs may have been started by an earlier cmhot
    port = record.get("api_port", layout.EARLIER_API_PORT)
    ready = {
        node["metadata"]["name"]: is_ready(node)
        for node in Api(record["api_address"], port, folder=home.client).nodes()
    }
    return Status(
        name=name,
        running=True,
        kubernetes=record["spec"]["kubernetes"],
        kubeconfig=home.kubeconfig,
        nodes=tuple(
            NodeStatus(
                name=node["name"],
                ready=ready.get(node["name"], False),
                setting=Setting(
                    node["sync_frequency_s"], Strategy(node["strategy"]), node["ttl_s"]
                ),
                kubelet=node.get("kubelet", record["spec"]["kubernetes"]),
            )
            for node in record["spec"]["nodes"]
        ),
        sources=record["sources"],
    )


def read_record(home: layout.Home) -> dict[str, Any] | None:
    """Return the record of the start; None unless it was completed."""
    try:
        record: dict[str, Any] = json.loads(home.record.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return record


def spec_record(spec: TestbedSpec) -> dict[str, Any]:
    """Write a spec as the record keeps it."""
    older = spec.older_kubelets
    return {
        "name": spec.name,
        "kubernetes": spec.kubernetes,
        "nodes": [
            {
                "name": node.name,
                "sync_frequency_s": node.setting.sync_frequency_s,
                "strategy": node.setting.strategy.value,
                "ttl_s": node.setting.ttl_s,
                # only an older one, so that a record of an earlier cmhot compares
                **({"kubelet": node.kubelet} if node.kubelet in older else {}),
            }
            for node in spec.nodes
        ],
    }


@dataclass(frozen=True, slots=True)
class FoundProcess:
    """A process of a testbed.

    Attributes
    ----------
    is_first
        It is the first process of the namespaces, whose death ends all others;
        otherwise it is the `unshare` that waits for it.
    """

    pid: int  # on the host
    is_first: bool


def find_processes(run_dir: Path) -> Iterator[FoundProcess]:
    """Find the supervisor of a testbed and the `unshare` above it.

    Both have the run folder of the testbed as their last argument.
    """
    for pid in all_pids():
        arguments = _arguments(pid)
        if (
            len(arguments) > 1
            and arguments[-1] == str(run_dir)
            and Path(arguments[-2]).name == SUPERVISOR
        ):
            yield FoundProcess(pid=pid, is_first=_inner_pid(pid) == 1)


def first_process(run_dir: Path) -> int | None:
    """Return the host's number of the namespaces' first process, if it lives."""
    return next(
        (found.pid for found in find_processes(run_dir) if found.is_first), None
    )


def processes_in_namespace(pid_namespace: str) -> list[int]:
    """List the processes whose PID namespace is the one named (``pid:[…]``)."""
    members = []
    for pid in all_pids():
        try:
            namespace = os.readlink(f"/proc/{pid}/ns/pid")  # noqa: PTH115
        except OSError:
            continue
        if namespace == pid_namespace:
            members.append(pid)
    return members


def kill_testbed(run_dir: Path, *, clock: Clock, deadline_s: float) -> list[int]:
    """End every process of the testbed by ending the first ones.

    Returns the processes that still live when the deadline has passed.
    """
    namespaces: set[str] = set()
    until = clock.monotonic() + deadline_s
    empty_scans = 0
    while True:
        found = list(find_processes(run_dir))
        for process in found:
            # one that has ended meanwhile needs neither
            with contextlib.suppress(OSError):
                if process.is_first:
                    link = f"/proc/{process.pid}/ns/pid"
                    namespaces.add(os.readlink(link))  # noqa: PTH115 - it is no path
                os.kill(process.pid, signal.SIGKILL)
        alive = {process.pid for process in found}
        alive.update(*(processes_in_namespace(namespace) for namespace in namespaces))
        empty_scans = 0 if alive else empty_scans + 1
        # more than once: see NO_ARGUMENTS_S
        if empty_scans * SCAN_S > NO_ARGUMENTS_S or clock.monotonic() > until:
            return sorted(alive)
        clock.sleep(SCAN_S)


def all_pids() -> list[int]:
    """List the numbers of all processes of this machine."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


def _arguments(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [part.decode(errors="replace") for part in text.split(b"\0")[:-1]]


def _inner_pid(pid: int) -> int | None:
    """Return the process's number in its innermost PID namespace."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    for line in status.splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    return None


class Api:
    """The few requests with which a starter waits for its testbed.

    The standard library is enough for them:
    importing the official client takes as long as the API server takes to start.
    Measurements go through `cmhot.cluster.port`, never through here.
    `folder` holds `CLIENT_FILES`.
    """

    def __init__(self, address: str, port: int, *, folder: Path) -> None:
        authority, certificate, key = (folder / name for name in CLIENT_FILES)
        self._address, self._port = address, port
        self._context = ssl.create_default_context(cafile=str(authority))
        self._context.load_cert_chain(certificate, key)

    def request(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """Send one request; None when there is no usable answer (yet)."""
        connection = http.client.HTTPSConnection(
            self._address, self._port, timeout=TIMEOUT_S, context=self._context
        )
        try:
            connection.request(
                method,
                path,
                body=None if body is None else json.dumps(body),
                headers={"Content-Type": "application/merge-patch+json"},
            )
            answer = connection.getresponse()
            text = answer.read()
            if answer.status >= http.client.BAD_REQUEST:
                return None
            decoded: dict[str, Any] = json.loads(text)
        except (OSError, http.client.HTTPException, ValueError):
            return None
        else:
            return decoded
        finally:
            connection.close()

    def nodes(self) -> list[dict[str, Any]]:
        """List the Node objects; empty while the API server is not up."""
        answer = self.request("GET", "/api/v1/nodes")
        return [] if answer is None else answer["items"]

    def annotate_node(self, name: str, annotations: dict[str, str]) -> bool:
        """Set annotations of a Node; False when it was not accepted (yet)."""
        body = {"metadata": {"annotations": annotations}}
        return self.request("PATCH", f"/api/v1/nodes/{name}", body) is not None

    def has_default_service_account(self) -> bool:
        """Report whether pods can be created: whether their account exists."""
        path = "/api/v1/namespaces/default/serviceaccounts/default"
        return self.request("GET", path) is not None


def is_ready(node: dict[str, Any]) -> bool:
    """Report whether a Node is Ready and takes pods: no taint of its start is left."""
    conditions = node.get("status", {}).get("conditions", [])
    ready = any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in conditions
    )
    return ready and not node["spec"].get("taints")
