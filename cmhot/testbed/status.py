"""What runs: a testbed as it is now, and the record of what was started."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.settings import Setting, Strategy
from cmhot.testbed import layout, processes
from cmhot.testbed.api import Api, is_ready
from cmhot.testbed.image import IMAGE_NAME
from cmhot.testbed.spec import check_name

if TYPE_CHECKING:
    from pathlib import Path

    from cmhot.testbed.spec import TestbedSpec


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A node as it is now.

    Attributes
    ----------
    name
        Name of the Node object.
    ready
        Whether its condition Ready is true and it takes pods.
    setting
        What its kubelet was configured to.
    kubelet
        Version of its kubelet.
    """

    name: str
    ready: bool
    setting: Setting
    kubelet: str


@dataclass(frozen=True, slots=True)
class Status:
    """A testbed as it is now.

    Attributes
    ----------
    name
        Which one.
    running
        Whether it was started completely and its programs live.
    kubernetes
        Version of the Kubernetes programs; None when it is not running.
    kubeconfig
        The file to use it with; None when it is not running.
    nodes
        One entry a node.
    sources
        Where each program came from (see `cmhot.testbed.programs`).
    """

    name: str
    running: bool
    kubernetes: str | None = None
    kubeconfig: Path | None = None
    nodes: tuple[NodeStatus, ...] = ()
    sources: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the keys that programs rely on (`testbed status --json`)."""
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


def read_record(home: layout.Home) -> dict[str, Any] | None:
    """Return what was started; None unless a start was completed."""
    try:
        record: dict[str, Any] = json.loads(home.record.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return record


def describe(spec: TestbedSpec) -> dict[str, Any]:
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


def connect(home: layout.Home, address: str, *, port: int = layout.API_PORT) -> Api:
    """Speak to a testbed's API server as its starter."""
    return Api(address, port, folder=home.client)


def status(name: str = "default") -> Status:
    """Say what runs.

    Raises
    ------
    UsageError
        For a name that no testbed can have.
    """
    check_name(name)
    home = layout.home(name)
    record = read_record(home)
    if record is None or processes.first_process(home.run) is None:
        return Status(name=name, running=False)
    # one that runs may have been started by an earlier cmhot
    port = record.get("api_port", layout.EARLIER_API_PORT)
    ready = {
        node["metadata"]["name"]: is_ready(node)
        for node in connect(home, record["api_address"], port=port).nodes()
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
