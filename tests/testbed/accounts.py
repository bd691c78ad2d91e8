"""Users of the testbed with the rights of a service account, as kubeconfigs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from cmhot.cluster.client import Kube
from tests.testbed.command import run
from tests.testbed.conftest import NAME

if TYPE_CHECKING:
    from cmhot.cluster.port import Cluster

CONTEXT = "limited"


def own_kubeconfig() -> dict[str, Any]:
    """Read the testbed's kubeconfig, as `testbed kubeconfig` names it."""
    code, output, _ = run("testbed", "kubeconfig", "--name", NAME)
    assert code == 0
    found: dict[str, Any] = yaml.safe_load(Path(output.strip()).read_text())
    return found


def write_kubeconfig(
    cluster: Cluster, path: Path, *, namespace: str, account: str
) -> None:
    """Write the kubeconfig of an existing service account; its context is `CONTEXT`."""
    assert isinstance(cluster, Kube)
    answer = cluster._json(
        "POST",
        f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token",
        body={"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"},
    )
    kubeconfig = own_kubeconfig()
    kubeconfig["users"] = [
        {"name": CONTEXT, "user": {"token": answer["status"]["token"]}}
    ]
    there = kubeconfig["clusters"][0]["name"]
    kubeconfig["contexts"] = [
        {"name": CONTEXT, "context": {"cluster": there, "user": CONTEXT}}
    ]
    del kubeconfig["current-context"]
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(kubeconfig))
