"""Everything the testbed's programs are told: files, arguments and their order.

Pure: a spec and the address of the link in, files and a launch plan out.
Each option that is not a default carries the reason why it is there.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import yaml

from cmhot.testbed import layout
from cmhot.testbed.certificates import Authority, key_pem, new_key, public_pem
from cmhot.testbed.layout import PKI, SYSTEM_PATH
from cmhot.testbed.nodes import (
    cni_configuration,
    containerd_configuration,
    kubelet_configuration,
    node_programs,
    private_logs_commands,
)
from cmhot.testbed.plan import flags, program

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from cmhot.testbed.certificates import Pair
    from cmhot.testbed.spec import TestbedSpec

USER = "cmhot"
"""Who the kubeconfig's user is, for RBAC and for the audit log."""

STARTER = "cmhot-testbed"
"""Who waits for readiness: told apart from the user, whose requests are counted."""


def kubeconfig(
    *, cluster: str, server: str, authority: bytes, user: str, pair: Pair
) -> dict[str, Any]:
    """Make a kubeconfig that carries its certificates in itself."""

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode()

    context = f"cmhot-{cluster}"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [
            {
                "name": context,
                "cluster": {
                    "server": server,
                    "certificate-authority-data": text(authority),
                },
            }
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": text(pair.certificate),
                    "client-key-data": text(pair.key),
                },
            }
        ],
        "contexts": [{"name": context, "context": {"cluster": context, "user": user}}],
    }


AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    # Only the user's own requests: they are what a measurement costs a cluster.
    "rules": [{"level": "Metadata", "users": [USER]}, {"level": "None"}],
}


KUBELET_KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What a kubelet wants of the whole machine; it gets a private view of it instead."""


def network_commands(spec: TestbedSpec, *, host_address: str) -> list[list[str]]:
    """List the `ip` commands that make the network inside the namespace."""
    commands = [
        ["ip", "link", "set", "lo", "up"],
        # Pods may talk to each other and to the API server, not to the host.
        [
            *("ip", "rule", "add", "from", str(layout.POD_RANGE)),
            *("to", host_address, "unreachable"),
        ],
    ]
    addresses = [
        *(layout.node_address(node) for node in spec.nodes),
        layout.api_service_address(),
    ]
    # A kubelet refuses 127.0.0.0/8 as its address, but not another address on lo;
    # a dummy interface would need a kernel module that not every machine has.
    commands += [
        ["ip", "addr", "add", f"{address}/32", "dev", "lo"] for address in addresses
    ]
    return commands


def files(
    spec: TestbedSpec,
    *,
    api_address: str,
    now: dt.datetime,
    snapshotter: str,
    image: bytes,
) -> dict[str, bytes]:
    """Make every file below the run folder; keys are relative paths.

    ``user.kubeconfig`` is for use outside; the caller moves it to its place.
    """
    authority = Authority(now)
    inside_server = f"https://127.0.0.1:{layout.API_PORT}"
    outside_server = f"https://{api_address}:{layout.API_PORT}"
    result: dict[str, bytes] = {
        "pki/ca.crt": authority.certificate,
        "resolv.conf": b"",
        "image.tar": image,
        "audit-policy.json": json.dumps(AUDIT_POLICY).encode(),
    }

    def put(name: str, pair: Pair) -> None:
        result[f"pki/{name}.crt"] = pair.certificate
        result[f"pki/{name}.key"] = pair.key

    def put_kubeconfig(path: str, server: str, user: str, group: str) -> None:
        config = kubeconfig(
            cluster=spec.name,
            server=server,
            authority=authority.certificate,
            user=user,
            pair=authority.issue(user, organisation=group),
        )
        result[path] = yaml.safe_dump(config, sort_keys=False).encode()

    tokens = new_key()
    result["pki/tokens.key"] = key_pem(tokens)
    result["pki/tokens.pub"] = public_pem(tokens)
    put(
        "apiserver",
        authority.issue(
            "kube-apiserver",
            names=["kubernetes.default.svc", "kubernetes.default", "kubernetes"],
            addresses=[api_address, "127.0.0.1", layout.api_service_address()],
        ),
    )
    masters = "system:masters"
    put("apiserver-client", authority.issue("kube-apiserver", organisation=masters))
    put_kubeconfig("user.kubeconfig", outside_server, USER, masters)
    put("starter", authority.issue(STARTER, organisation=masters))
    result["pki/starter-ca.crt"] = authority.certificate
    for component in ("kube-controller-manager", "kube-scheduler"):
        put_kubeconfig(
            f"{component}.kubeconfig", inside_server, f"system:{component}", ""
        )
    for node in spec.nodes:
        put(
            node.name,
            authority.issue(
                f"system:node:{node.name}", addresses=[layout.node_address(node)]
            ),
        )
        put_kubeconfig(
            f"{node.name}/kubeconfig",
            inside_server,
            f"system:node:{node.name}",
            "system:nodes",
        )
        result[f"{node.name}/kubelet.json"] = json.dumps(
            kubelet_configuration(
                node, cgroup_root=f"/{layout.cgroup_name(spec.name)}/{node.name}"
            )
        ).encode()
        result[f"{node.name}/containerd.toml"] = containerd_configuration(
            node, snapshotter=snapshotter
        ).encode()
        result[f"{node.name}/cni/10-bridge.conflist"] = json.dumps(
            cni_configuration(node)
        ).encode()
    return result


def _control_plane(api_address: str) -> list[dict[str, Any]]:
    state, loopback = layout.STATE, "127.0.0.1"
    etcd = f"http://{loopback}:{layout.ETCD_PORT}"
    etcd_peer = f"http://{loopback}:{layout.ETCD_PEER_PORT}"
    etcd_up = {"tcp": [loopback, layout.ETCD_PORT]}
    api_up = {"tcp": [loopback, layout.API_PORT]}
    return [
        program(
            "etcd",
            [
                *flags(
                    "etcd",
                    data_dir=state / "etcd",
                    listen_client_urls=etcd,
                    advertise_client_urls=etcd,
                    listen_peer_urls=etcd_peer,
                    initial_advertise_peer_urls=etcd_peer,
                    initial_cluster=f"default={etcd_peer}",
                    log_level="warn",
                ),
                "--unsafe-no-fsync",  # the data are thrown away anyhow
            ],
        ),
        program(
            "kube-apiserver",
            flags(
                "kube-apiserver",
                etcd_servers=etcd,
                secure_port=layout.API_PORT,
                advertise_address=api_address,
                service_cluster_ip_range=layout.SERVICE_RANGE,
                tls_cert_file=PKI / "apiserver.crt",
                tls_private_key_file=PKI / "apiserver.key",
                client_ca_file=PKI / "ca.crt",
                authorization_mode="Node,RBAC",
                anonymous_auth="false",
                enable_admission_plugins="NodeRestriction",
                service_account_issuer="https://kubernetes.default.svc",
                service_account_key_file=PKI / "tokens.pub",
                service_account_signing_key_file=PKI / "tokens.key",
                kubelet_client_certificate=PKI / "apiserver-client.crt",
                kubelet_client_key=PKI / "apiserver-client.key",
                kubelet_certificate_authority=PKI / "ca.crt",
                # node names do not resolve; exec, logs and configz go by address
                kubelet_preferred_address_types="InternalIP",
                audit_policy_file=state / "audit-policy.json",
                audit_log_path=state / "logs" / "audit.jsonl",
                profiling="false",
            ),
            etcd_up,
        ),
        program(
            "kube-controller-manager",
            flags(
                "kube-controller-manager",
                kubeconfig=state / "kube-controller-manager.kubeconfig",
                use_service_account_credentials="true",
                service_account_private_key_file=PKI / "tokens.key",
                root_ca_file=PKI / "ca.crt",
                # the TTL of a Cache node is a setting here, not the controller's
                controllers="*,-ttl-controller",
                leader_elect="false",
                bind_address=loopback,
                secure_port=layout.CONTROLLER_PORT,
                kube_api_qps=200,  # pods of an experiment appear at once
                kube_api_burst=400,
                flex_volume_plugin_dir=state / "volume-plugins",
                profiling="false",
            ),
            api_up,
            nice=5,  # the kubelets' registration goes first on a small machine
        ),
        program(
            "kube-scheduler",
            flags(
                "kube-scheduler",
                kubeconfig=state / "kube-scheduler.kubeconfig",
                leader_elect="false",
                bind_address=loopback,
                secure_port=layout.SCHEDULER_PORT,
                profiling="false",
            ),
            api_up,
            nice=5,
        ),
    ]


def launch_plan(
    spec: TestbedSpec,
    *,
    programs: Mapping[str, str],
    api_address: str,
    host_address: str,
) -> dict[str, Any]:
    """Say to the supervisor what to mount, to link and to start, in which order."""
    started = _control_plane(api_address)
    for node in spec.nodes:
        started += node_programs(node, kubernetes=spec.kubernetes)
    return {
        "inside": str(layout.INSIDE),
        "programs_found": dict(programs),
        "network": network_commands(spec, host_address=host_address),
        "private_logs": private_logs_commands(spec),
        "sysctl": {"net/ipv4/ip_forward": "1"},
        "shielded": KUBELET_KERNEL_SETTINGS,
        "environment": {
            "PATH": f"{layout.BIN}:{SYSTEM_PATH}",
            "HOME": str(layout.STATE),
        },
        "programs": started,
    }
