"""Pods, as the API server sends them, that use an object."""

from __future__ import annotations

from typing import Any

from cmhot.kubelet.uses import Reference

MAP = Reference("configmap", "m")
SECRET = Reference("secret", "m")
Dict = dict[str, Any]


def pod(
    *,
    volume: Dict | None = None,
    mount: Dict | None = None,
    field: str = "containers",
    **container: object,
) -> Dict:
    """Make a pod of one container."""
    volumes = [{"name": "v", **volume}] if volume else []
    mounts = [{"name": "v", "mountPath": "/etc/v", **(mount or {})}] if volume else []
    made = {"name": "c", "volumeMounts": mounts, **container}
    rest: Dict = {} if field == "containers" else {"containers": [{"name": "main"}]}
    return {
        "metadata": {"name": "p"},
        "spec": {"volumes": volumes, field: [made], **rest},
    }


VOLUME = {"configMap": {"name": "m"}}
ENV: Dict = {
    "env": [
        {
            "name": "LEVEL",
            "valueFrom": {"configMapKeyRef": {"name": "m", "key": "a"}},
        }
    ]
}
