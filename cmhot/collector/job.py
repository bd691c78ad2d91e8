"""Measure from within the cluster: a Job, and how its run comes home by its log.

Requests then stay within a cluster, which may have thousands of nodes, and the kubelets
can be asked for their settings. Of a pod that has ended only the log can be read, which
needs no storage: the run directory is written there as lines, with their number and a
checksum.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import tarfile
from typing import TYPE_CHECKING, Any

from cmhot.cluster.port import POD
from cmhot.cluster.rights import ACCOUNT, LABELS, roles
from cmhot.errors import ClusterError, NotFoundError, RunError, UsageError
from cmhot.runs.rundir import read_meta

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cmhot.cluster.port import Cluster
    from cmhot.cluster.rights import Configz
    from cmhot.runs.plan import Plan


JOB_LABEL = "job-name"
JOB_CONTAINER = "collect"
RUNS = "/runs"
"""Where the Job keeps its run directory."""
USER_ID = 65532
RESOURCES = {
    "requests": {"cpu": "200m", "memory": "512Mi"},
    "limits": {"memory": "1Gi"},
}
"""The collector waits, mostly; a limit of CPU would make its writes late."""


def make_job(
    plan: Plan,
    *,
    image: str,
    name: str = ACCOUNT,
    claim: str | None = None,
    nodes: bool = False,
    configz: Configz | None = None,
) -> list[dict[str, Any]]:
    """Make the manifests of the Job, its account and its rights, in order.

    The Job runs in the namespace of its `plan`, which must exist. `claim` is a
    PersistentVolumeClaim that takes the run directory; None: the pod's log has it at
    its end, for `cmhot collect --fetch`. `nodes` and `configz` are rights in the whole
    cluster, see `cmhot.cluster.rights.roles`. Raises `UsageError` without a namespace.
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
    for text in plan.pods_at:
        given += ["--pods-at", text]
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


WIDTH = 4000
"""Characters of a line: runtimes cut lines of 16 KiB."""
_HEAD = re.compile(r"cmhot-run (?P<name>[\w.-]+) (?P<lines>\d+) (?P<sum>[0-9a-f]{64})$")
_LINE = re.compile(r"cmhot-run\+(?P<number>\d+) (?P<text>[A-Za-z0-9+/=]+)$")


def pack(run_dir: Path) -> Iterator[str]:
    """Write a run directory as lines: a head, then numbered pieces of an archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path in sorted(run_dir.iterdir()):
            tar.add(path, arcname=path.name)
    data = buffer.getvalue()
    text = base64.b64encode(data).decode()
    pieces = [text[at : at + WIDTH] for at in range(0, len(text), WIDTH)]
    yield f"cmhot-run {run_dir.name} {len(pieces)} {hashlib.sha256(data).hexdigest()}"
    for number, piece in enumerate(pieces):
        yield f"cmhot-run+{number} {piece}"


def unpack(text: str, out: Path) -> Path:
    """Read a run directory out of a log, into a folder of runs.

    Time stamps before the lines and anything between them are passed over. Raises
    `RunError` when there is no run in the log, a part of it is missing, or it is there
    already. One of another format is kept, and refused as `cmhot.runs.rundir.read_meta`
    does: its log may be gone soon.
    """
    head: re.Match[str] | None = None
    pieces: dict[int, str] = {}
    for line in text.splitlines():
        if (found := _HEAD.search(line)) is not None:
            head, pieces = found, {}
        elif (found := _LINE.search(line)) is not None:
            pieces[int(found["number"])] = found["text"]
    if head is None and not pieces:
        msg = "there is no run in the log: has the Job ended, and was it made for it?"
        raise RunError(msg)
    data = b""
    if head is not None and len(pieces) == int(head["lines"]):
        data = base64.b64decode("".join(pieces[number] for number in sorted(pieces)))
    if head is None or hashlib.sha256(data).hexdigest() != head["sum"]:
        msg = (
            "a part of the run is no longer in the log, which its node has rotated: "
            "measure again with `cmhot job --claim`, or for a shorter time"
        )
        raise RunError(msg)
    path = out / head["name"]
    if path.exists():
        msg = f"{path} is there already: choose another folder with --out"
        raise RunError(msg)
    try:
        path.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            tar.extractall(path, filter="data")
    except (OSError, tarfile.TarError) as error:
        msg = f"the run cannot be written to {path}: {error}; choose another --out"
        raise RunError(msg) from error
    read_meta(path)
    return path


def fetch(cluster: Cluster, job: str, *, namespace: str, out: Path) -> Path:
    """Bring home the run of a Job that `cmhot job` made without a claim.

    Raises `NotFoundError` when there is no such Job or its pod is gone, `ClusterError`
    when it has not ended yet, and what `unpack` raises.
    """
    pods, _ = cluster.list(POD, namespace=namespace, labels={JOB_LABEL: job})
    if not pods:
        msg = f"there is no pod of a Job {job!r} in {namespace}: check the name"
        raise NotFoundError(msg)
    newest = max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    name, phase = newest["metadata"]["name"], newest["status"].get("phase")
    if phase in {"Pending", "Running"}:
        msg = f"pod {name} of the Job is {phase}: fetch its run when it has ended"
        raise ClusterError(msg)
    return unpack(cluster.log(name, namespace=namespace, container=JOB_CONTAINER), out)
