"""The status of a testbed now, its processes, and the record of its start.

Processes are found in the testbed's cgroup: no file with a process number is written,
so none can be stale, missing after a crash, or name somebody else's process.
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

from cmhot.cluster.testbed import host, layout
from cmhot.cluster.testbed.image import IMAGE_NAME
from cmhot.cluster.testbed.owner import as_root
from cmhot.errors import HostError, UsageError
from cmhot.kubelet.settings import Setting, Strategy

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from cmhot.clock import Clock
    from cmhot.cluster.testbed.layout import TestbedSpec


TIMEOUT_S = 5.0
CLIENT_FILES = ("starter-ca.crt", "starter.crt", "starter.key")
"""The authority's certificate, and the starter's own with its key."""
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


def status(name: str = "default", *, asked: Sequence[str] = ()) -> Status:
    """Report which programs and nodes run.

    `asked` are the arguments of ``cmhot testbed`` that root would repeat.

    Raises
    ------
    HostError
        Its state is root's, or damaged.
    """
    layout.check_name(name)
    home = layout.home(name)
    with state_kept(home, *asked):
        record = read_record(home)
    if record is None or not is_running(home):
        return Status(name=name, running=False)
    # one that runs may have been started by an earlier cmhot
    port = record.get("api_port", layout.EARLIER_API_PORT)
    with state_kept(home, *asked):
        try:
            api = Api(record["api_address"], port, folder=home.client)
        except (FileNotFoundError, ssl.SSLError) as error:
            raise damaged(name, home.client) from error
    ready = {node["metadata"]["name"] for node in api.nodes() if is_ready(node)}
    return Status(
        name=name,
        running=True,
        kubernetes=record["spec"]["kubernetes"],
        kubeconfig=home.kubeconfig,
        nodes=_nodes(record, ready),
        sources=record["sources"],
    )


def _nodes(record: dict[str, Any], ready: Container[str]) -> tuple[NodeStatus, ...]:
    """Make the nodes of a record, of which some are ready."""
    return tuple(
        NodeStatus(
            name=node["name"],
            ready=node["name"] in ready,
            setting=Setting(
                node["sync_frequency_s"], Strategy(node["strategy"]), node["ttl_s"]
            ),
            kubelet=node.get("kubelet", record["spec"]["kubernetes"]),
        )
        for node in record["spec"]["nodes"]
    )


@contextlib.contextmanager
def state_kept(home: layout.Home, *arguments: str) -> Iterator[None]:
    """Say in a sentence why the state of a testbed cannot be read or written.

    `arguments` are those of ``cmhot testbed`` that root would repeat; none: it was
    another command.
    """
    try:
        yield
    except OSError as error:
        place = error.filename or home.folder
        what = f"{place}: {error.strerror or error}"
        if isinstance(error, PermissionError) and os.geteuid() != 0:
            again = f"run `{as_root('testbed', *arguments)}`"
            if not arguments:
                again = f"run this as root, `{as_root()} …`"
            msg = f"testbed {home.folder.name!r} is root's ({what}): {again}"
        elif Path(place) in home.folder.parents or home.folder in Path(place).parents:
            msg = (
                f"the state of testbeds cannot be kept ({what}): name a folder that "
                "can be written, `export XDG_STATE_HOME=/var/tmp/cmhot-state`"
            )
        else:
            raise
        raise HostError(msg) from error


def not_running(name: str) -> UsageError:
    """Make the error that a testbed is needed, and does not run."""
    start = "cmhot testbed up" + ("" if name == "default" else f" --name {name}")
    return UsageError(f"testbed {name!r} is not running: start it with `{start}`")


def damaged(name: str, path: Path) -> HostError:
    """Make the error that a testbed runs, and a file to reach it by is of no use."""
    return HostError(
        f"{path} of testbed {name!r} is missing or damaged: take the testbed away with "
        f"`cmhot testbed down --name {name}`, and start it again"
    )


def read_record(home: layout.Home) -> dict[str, Any] | None:
    """Return the record of the start; None unless it was completed.

    One that is damaged is as good as none: then `up` begins anew.
    """
    try:
        record: dict[str, Any] = json.loads(home.record.read_text())
        is_whole = _nodes(record, ()) and {"api_address", "sources"} <= record.keys()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except (ValueError, TypeError, LookupError, RecursionError, UsageError):
        return None
    return record if is_whole else None


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


def cgroup_of(home: layout.Home) -> str:
    """Return the name of the cgroup that a testbed is in."""
    name, record = home.folder.name, read_record(home)
    if record is not None and "cgroup" not in record:
        return f"cmhot-{name}"  # one that runs was started by an earlier cmhot
    return layout.cgroup_name(name)


def is_running(home: layout.Home) -> bool:
    """Report whether the testbed was started completely and its programs live."""
    if read_record(home) is None:
        return False
    return bool(host.cgroup_members(cgroup_of(home), host.PROGRAMS))


def first_process(home: layout.Home) -> int | None:
    """Return the host's number of the namespaces' first process, if it lives.

    Its death ends all others. Under ``hidepid`` only root sees which one it is.
    """
    for pid in host.cgroup_members(cgroup_of(home), host.PROGRAMS):
        if _numbers(pid)[1:] == [1]:
            return pid
    return None


def _numbers(pid: int) -> list[int]:
    """Return a process's numbers, from our PID namespace to its innermost."""
    with contextlib.suppress(OSError):  # it has ended, or is hidden
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return [int(number) for number in line.split()[1:]]
    return []


def kill_testbed(home: layout.Home, *, clock: Clock, deadline_s: float) -> list[int]:
    """End every process of the testbed by ending those of its own programs.

    Returns the processes that still live when the deadline has passed.
    """
    cgroup = cgroup_of(home)
    until = clock.monotonic() + deadline_s
    while True:
        for pid in host.cgroup_members(cgroup, host.PROGRAMS):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        alive = host.cgroup_members(cgroup)
        if not alive or clock.monotonic() > until:
            return sorted(alive)
        clock.sleep(SCAN_S)


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
