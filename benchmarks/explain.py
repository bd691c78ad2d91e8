"""``cmhot explain`` on thousands of pods: seconds, memory, requests.

etcd and an API server alone, as local processes, hold 200 Deployments with 5,000 pods
that no node runs; nothing else is started, nobody changes them.
``python -m benchmarks.explain`` is part of ``make bench``.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.common import CLOCK, Result, publish, wait_until
from cmhot.cluster.client import connect
from cmhot.cluster.testbed.certificates import Authority, key_pem, new_key, public_pem
from cmhot.cluster.testbed.configuration import AUDIT_POLICY, USER, kubeconfig
from cmhot.cluster.testbed.programs import ensure_programs
from cmhot.cluster.testbed.versions import KUBERNETES_VERSION
from cmhot.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cmhot.cluster.port import Cluster

DEPLOYMENTS, PODS_EACH, NODES = 200, 25, 100
MOST_S, MOST_MIB = 5.0, 300.0
MOST_REQUESTS = 40 + DEPLOYMENTS // 2
"""An object, four kinds, ten pages of pods, nodes, and twenty kubelets at most.

Besides one object of each Deployment that may cover variables of the shared one.
"""
NAMESPACE = "crowd"
SHARED = "shared"
START_S = 60.0
KIB_PER_MIB = 1024

Usage = resource.struct_rusage


@contextlib.contextmanager
def api_server() -> Iterator[tuple[Path, Path]]:
    """Run etcd and an API server; give the kubeconfig and the audit log."""
    programs = ensure_programs(kubernetes_version=KUBERNETES_VERSION)
    folder = Path(tempfile.mkdtemp(prefix="cmhot-explain-"))
    ports = _free_ports(3)
    loopback = "127.0.0.1"
    authority, tokens = Authority(dt.datetime.now(dt.UTC)), new_key()
    server = authority.issue("apiserver", names=["localhost"], addresses=[loopback])
    client = authority.issue(USER, organisation="system:masters")
    written = {
        "ca.crt": authority.certificate,
        "server.crt": server.certificate,
        "server.key": server.key,
        "tokens.key": key_pem(tokens),
        "tokens.pub": public_pem(tokens),
        "audit.json": json.dumps(AUDIT_POLICY).encode(),
        "kubeconfig": json.dumps(
            kubeconfig(
                cluster="crowd",
                server=f"https://{loopback}:{ports[2]}",
                authority=authority.certificate,
                user=USER,
                pair=client,
            )
        ).encode(),
    }
    for name, data in written.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_bytes(data)
    etcd = f"http://{loopback}:{ports[0]}"
    peer = f"http://{loopback}:{ports[1]}"
    commands = [
        [
            str(programs["etcd"]),
            *("--data-dir", str(folder / "etcd"), "--log-level", "error"),
            *("--listen-client-urls", etcd, "--advertise-client-urls", etcd),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"default={peer}", "--unsafe-no-fsync"),
        ],
        [
            str(programs["kube-apiserver"]),
            f"--etcd-servers={etcd}",
            f"--secure-port={ports[2]}",
            f"--bind-address={loopback}",
            f"--advertise-address={_address()}",
            f"--tls-cert-file={folder / 'server.crt'}",
            f"--tls-private-key-file={folder / 'server.key'}",
            f"--client-ca-file={folder / 'ca.crt'}",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={folder / 'tokens.pub'}",
            f"--service-account-signing-key-file={folder / 'tokens.key'}",
            f"--audit-policy-file={folder / 'audit.json'}",
            f"--audit-log-path={folder / 'audit.jsonl'}",
        ],
    ]
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        log = stack.enter_context((folder / "log").open("wb"))
        for command in commands:
            process = subprocess.Popen(command, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.kill)
        reached = wait_until(
            lambda: _answers(folder / "kubeconfig"), deadline_s=START_S
        )
        if not reached:
            msg = f"no API server after {START_S:g} s: {(folder / 'log').read_text()}"
            raise TimeoutError(msg)
        yield folder / "kubeconfig", folder / "audit.jsonl"


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _address() -> str:
    """Name an address that is not loopback, which an API server insists on."""
    return "10.255.255.254"


def _answers(path: Path) -> bool:
    try:
        return bool(_connect(path).version())
    except ClusterError:
        return False


def _connect(path: Path) -> Cluster:
    return connect(target="benchmark", context=None, kubeconfig=path)


def fill(cluster: Cluster, *, deployments: int, pods_each: int) -> None:
    """Make the crowd, every other Deployment a user of the shared ConfigMap."""
    meta = {"name": NAMESPACE}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    for name in [SHARED, *(f"own-{i}" for i in range(deployments))]:
        cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name},
                "data": {"LEVEL": "info", f"LEVEL_OF_{name}": "info"},
            },
            namespace=NAMESPACE,
        )
    with ThreadPoolExecutor(8) as pool:
        for i in range(deployments):
            template = _template(i)
            manifests = [_deployment(i, template, pods_each)]
            manifests += [_pod(i, k, template) for k in range(pods_each)]
            list(pool.map(lambda m: cluster.apply(m, namespace=NAMESPACE), manifests))


def _template(i: int) -> dict[str, Any]:
    """Make a pod of the size that real ones have: some 7 kB with its bookkeeping."""
    name = SHARED if i % 2 == 0 else f"own-{i}"
    variables: list[dict[str, Any]] = [
        {"name": f"SOME_VARIABLE_{k}", "value": f"some value of it, number {k}"}
        for k in range(20)
    ]
    probe = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10}
    container = {
        "image": "registry.example/team/app:1.2.3",
        "env": variables,
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        "readinessProbe": probe,
        "livenessProbe": probe,
        "volumeMounts": [{"name": "config", "mountPath": "/etc/app"}],
    }
    by_name = {
        "name": "LOG_LEVEL",
        "valueFrom": {"configMapKeyRef": {"name": name, "key": "LEVEL"}},
    }
    return {
        "metadata": {"labels": {"app": f"app-{i}", "pod-template-hash": f"h{i}"}},
        "spec": {
            "schedulerName": "nobody",
            "containers": [
                {"name": "app", **container},
                {
                    **container,
                    "name": "beside",
                    "env": [*variables, by_name],
                    "envFrom": [
                        {"configMapRef": {"name": one}} for one in (name, f"own-{i}")
                    ],
                },
            ],
            "volumes": [{"name": "config", "configMap": {"name": name}}],
        },
    }


def _deployment(i: int, template: dict[str, Any], pods: int) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"app-{i}"},
        "spec": {
            "replicas": pods,
            "selector": {"matchLabels": {"app": f"app-{i}"}},
            "template": template,
        },
    }


def _pod(i: int, k: int, template: dict[str, Any]) -> dict[str, Any]:
    owner = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": f"app-{i}-h{i}",
        "uid": "00000000-0000-0000-0000-000000000000",
        "controller": True,
    }
    node = f"node-{(i * 7 + k) % NODES}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"app-{i}-h{i}-{k}",
            "labels": template["metadata"]["labels"],
            "ownerReferences": [owner],
        },
        "spec": {**template["spec"], "nodeName": node},
    }


def explain(
    path: Path, reference: str
) -> tuple[dict[str, Any], float, resource.struct_rusage]:
    """Run the command; give its answer, its seconds, and what it took."""
    command = [sys.executable, "-m", "cmhot", "explain", reference, "--json"]
    command += ["-n", NAMESPACE, "--context", "cmhot-crowd", "--setting", "sync=60s"]
    begin = CLOCK.monotonic()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(
            command, stdout=out, env={**os.environ, "KUBECONFIG": str(path)}
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = CLOCK.monotonic() - begin
        if process.returncode != 0:
            msg = f"{' '.join(command)} ended with {process.returncode}"
            raise RuntimeError(msg)
        out.seek(0)
        return json.load(out), seconds, usage


def main() -> None:
    """Fill an API server, explain the shared ConfigMap, compare with the targets."""
    with api_server() as (path, audit):
        begin = CLOCK.monotonic()
        fill(_connect(path), deployments=DEPLOYMENTS, pods_each=PODS_EACH)
        filled_s = CLOCK.monotonic() - begin
        before = len(audit.read_text().splitlines())
        answer, seconds, usage = explain(path, f"configmap/{SHARED}")
        told = [json.loads(line) for line in audit.read_text().splitlines()[before:]]
    # what is passed on to a kubelet is told when it starts, and when it ends
    asked = [one for one in told if one["stage"] != "ResponseStarted"]
    kinds = Counter(
        (one["verb"], one.get("objectRef", {}).get("resource", "")) for one in asked
    )
    objects = Counter(
        one["requestURI"]
        for one in asked
        if one["verb"] == "get"
        and one.get("objectRef", {}).get("resource") in {"configmaps", "secrets"}
    )
    writes = sum(
        number for (verb, _), number in kinds.items() if verb not in {"get", "list"}
    )
    found = answer["pods"]
    if found != DEPLOYMENTS // 2 * PODS_EACH:
        msg = f"{found} pods were found to use it: the crowd is not as it should be"
        raise RuntimeError(msg)
    results = [
        Result(f"{DEPLOYMENTS * PODS_EACH} pods, explain", seconds, "s", MOST_S),
        Result("of them its own work", usage.ru_utime + usage.ru_stime, "s"),
        Result("memory, largest", usage.ru_maxrss / KIB_PER_MIB, "MiB", MOST_MIB),
        Result("requests", float(len(asked)), "", MOST_REQUESTS),
        Result("objects read", float(len(objects)), ""),
        Result("reads of one object, at most", float(max(objects.values())), "", 1.0),
        Result("writes", float(writes), "", 0.0),
        Result("to make them", filled_s, "s"),
    ]
    requests = {
        f"{verb} {resource}": number for (verb, resource), number in kinds.items()
    }
    sys.exit(not publish("explain", results, requests=requests))


if __name__ == "__main__":
    main()
