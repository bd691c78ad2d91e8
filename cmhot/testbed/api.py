"""The few requests with which a starter waits for its testbed.

The standard library is enough for them:
importing the official client takes as long as the API server takes to start.
Measurements go through the cluster port, never through here.
"""

from __future__ import annotations

import http.client
import json
import ssl
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_S = 5.0
CLIENT_FILES = ("starter-ca.crt", "starter.crt", "starter.key")
"""The authority's certificate, and the starter's own with its key."""


class Api:
    """Speaks to the testbed's API server with the starter's certificate.

    Parameters
    ----------
    address, port
        Where it answers.
    folder
        Holds `CLIENT_FILES`.
    """

    def __init__(self, address: str, port: int, *, folder: Path) -> None:
        authority, certificate, key = (folder / name for name in CLIENT_FILES)
        self._address, self._port = address, port
        self._context = ssl.create_default_context(cafile=str(authority))
        self._context.load_cert_chain(certificate, key)

    def request(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """Send one request.

        Returns
        -------
        dict or None
            The decoded answer; None when there is no usable one (yet).
        """
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
        """Tell whether pods can be created: the controller manager made the account."""
        path = "/api/v1/namespaces/default/serviceaccounts/default"
        return self.request("GET", path) is not None


def is_ready(node: dict[str, Any]) -> bool:
    """Tell whether a Node is Ready and takes pods: no taint of its start is left."""
    conditions = node.get("status", {}).get("conditions", [])
    ready = any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in conditions
    )
    return ready and not node["spec"].get("taints")
