"""A Job that measures from within the cluster, with no more rights than it needs.

How the measurement runs beside a cluster of thousands of nodes:
requests do not leave it, and the kubelets can be asked for their settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cmhot.errors import UsageError
from cmhot.visiting.roles import ACCOUNT, LABELS, roles
from cmhot.visiting.transfer import JOB_CONTAINER

if TYPE_CHECKING:
    from cmhot.plan import Plan
    from cmhot.port.rights import Configz

RUNS = "/runs"
"""Where the Job keeps its run directory."""
USER_ID = 65532
RESOURCES = {
    "requests": {"cpu": "200m", "memory": "512Mi"},
    "limits": {"memory": "1Gi"},
}
"""The collector waits, mostly; a limit of CPU would make its writes late."""


def job(
    plan: Plan,
    *,
    image: str,
    name: str = ACCOUNT,
    claim: str | None = None,
    nodes: bool = False,
    configz: Configz | None = None,
) -> list[dict[str, Any]]:
    """Make the Job, its account and its rights.

    Parameters
    ----------
    plan
        What it collects; its namespace is also the Job's, and must exist.
    image
        With `cmhot` in it, as the Dockerfile of the repository makes it.
    name
        Of the Job and its account.
    claim
        PersistentVolumeClaim of the namespace that takes the run directory;
        None: the pod's log has it at its end, for `cmhot collect --fetch`.
    nodes, configz
        Rights in the whole cluster; see `cmhot.visiting.roles.roles`.

    Returns
    -------
    list of dict
        Manifests, in the order in which they can be applied.

    Raises
    ------
    UsageError
        Without a namespace.
    """
    if plan.namespace is None:
        msg = "a Job lives in an existing namespace: name it with --namespace"
        raise UsageError(msg)
    pull = [{"name": plan.image_pull_secret}] if plan.image_pull_secret else None
    volume: dict[str, Any] = {"emptyDir": {}}
    if claim is not None:
        volume = {"persistentVolumeClaim": {"claimName": claim}}
    container = {
        "name": JOB_CONTAINER,
        "image": image,
        "command": ["cmhot", "collect", "--target", "in-cluster", "--out", RUNS],
        "args": [*arguments(plan), *(["--print-run"] if claim is None else [])],
        # where programs keep what they derive; the root file system is read only
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108 - in the container
        "resources": RESOURCES,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "runs", "mountPath": RUNS},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
    }
    pod = {
        "serviceAccountName": name,
        "restartPolicy": "Never",
        **({"imagePullSecrets": pull} if pull else {}),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "runs", **volume}, {"name": "tmp", "emptyDir": {}}],
    }
    return [
        *roles(namespace=plan.namespace, account=name, nodes=nodes, configz=configz),
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "namespace": plan.namespace, "labels": LABELS},
            "spec": {
                # a second attempt would be another measurement
                "backoffLimit": 0,
                "template": {"metadata": {"labels": LABELS}, "spec": pod},
            },
        },
    ]


def arguments(plan: Plan) -> list[str]:
    """Write a plan as the options of `cmhot collect`."""
    given = ["--pods", str(plan.pods), "--duration", f"{plan.duration_s:g}s"]
    given += ["--seed", str(plan.seed)]
    if plan.gap_s is not None:
        given += ["--gap", f"{plan.gap_s:g}s"]
    for option, value in [
        ("--namespace", plan.namespace),
        ("--setting", plan.setting),
        ("--probe-image", plan.probe_image),
        ("--image-pull-secret", plan.image_pull_secret),
    ]:
        if value is not None:
            given += [option, value]
    for text in plan.node_selector:
        given += ["--node-selector", text]
    for text in plan.tolerations:
        given += ["--toleration", text]
    for text in plan.node_labels:
        given += ["--node-label", text]
    return given
