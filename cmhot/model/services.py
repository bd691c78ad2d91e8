"""Variables that a Service puts into the environment of its namespace's pods.

As upstream's `envvars.FromServices` (pkg/kubelet/envvars/envvars.go) makes them, in the
form of Docker's links; a container gets those of the Services that there are when it
starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

API_SERVER: dict[str, Any] = {
    "metadata": {"name": "kubernetes"},
    "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443}]},
}
"""The Service that every cluster has, in every namespace's pods."""


def variables_of(service: Mapping[str, Any]) -> dict[str, str]:
    """Give the variables of one Service; one without an address has none.

    Parameters
    ----------
    service
        As the API server stores it.
    """
    spec = service["spec"]
    address, ports = spec.get("clusterIP"), spec.get("ports") or []
    if address in {None, "", "None"} or not ports:
        return {}
    name = service["metadata"]["name"].upper().replace("-", "_")
    found = {
        f"{name}_SERVICE_HOST": address,
        f"{name}_SERVICE_PORT": str(ports[0]["port"]),
    }
    for one in ports:
        if one.get("name"):
            part = one["name"].upper().replace("-", "_")
            found[f"{name}_SERVICE_PORT_{part}"] = str(one["port"])
    for number, one in enumerate(ports):
        protocol, port = one.get("protocol", "TCP"), one["port"]
        url = f"{protocol.lower()}://{address}:{port}"
        if number == 0:
            found[f"{name}_PORT"] = url
        link = f"{name}_PORT_{port}_{protocol}"
        found |= {
            link: url,
            f"{link}_PROTO": protocol.lower(),
            f"{link}_PORT": str(port),
            f"{link}_ADDR": address,
        }
    return found
