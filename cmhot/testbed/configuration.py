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
from cmhot.testbed.image import IMAGE_NAME

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from cmhot.testbed.certificates import Pair
    from cmhot.testbed.spec import NodeSpec, TestbedSpec

USER = "cmhot"
"""Who the kubeconfig's user is, for RBAC and for the audit log."""

STARTER = "cmhot-testbed"
"""Who waits for readiness: told apart from the user, whose requests are counted."""

PKI = layout.STATE / "pki"


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


def kubelet_configuration(node: NodeSpec, *, cgroup_root: str) -> dict[str, Any]:
    """Make a node's KubeletConfiguration (kubelet.config.k8s.io/v1beta1)."""
    root = layout.STATE / node.name
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        # The experiment. The strategy can be set in this file only: no flag exists.
        "syncFrequency": f"{node.setting.sync_frequency_s:g}s",
        "configMapAndSecretChangeDetectionStrategy": node.setting.strategy.value,
        # One kubelet per address; nothing on a fixed port of a shared address.
        "address": layout.node_address(node),
        "port": layout.KUBELET_PORT,
        "healthzPort": 0,
        "tlsCertFile": str(PKI / f"{node.name}.crt"),
        "tlsPrivateKeyFile": str(PKI / f"{node.name}.key"),
        "authentication": {
            "anonymous": {"enabled": False},
            "x509": {"clientCAFile": str(PKI / "ca.crt")},
            "webhook": {"enabled": True},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{root}/containerd.sock",
        "podLogsDir": str(root / "pod-logs"),
        "volumePluginDir": str(root / "volume-plugins"),
        "staticPodPath": "",
        "resolvConf": str(layout.STATE / "resolv.conf"),
        # The host's cgroup manager is not asked, whether it is systemd or not.
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup_root,
        # Without it runc puts containers below /k8s.io, outside the testbed's cgroup,
        # and `down` would leave that behind.
        "cgroupsPerQOS": True,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,  # since 1.35 a kubelet refuses cgroup v1 otherwise
        "failSwapOn": False,
        "oomScoreAdj": 0,  # lowering it would need CAP_SYS_RESOURCE
        "maxPods": 250,
        # The host's disk and memory are not the testbed's to guard.
        "evictionHard": {
            "memory.available": "1Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
        },
        "imageGCHighThresholdPercent": 100,  # the image could not be pulled again
        "kernelMemcgNotification": False,
    }


def containerd_configuration(
    node: NodeSpec, *, snapshotter: str, disabled: tuple[str, ...] = ()
) -> str:
    """Make a node's containerd configuration (version 3)."""
    root = layout.STATE / node.name
    return f"""\
version = 3
root = "{root}/containerd"
state = "{layout.INSIDE}/{node.name}"
disabled_plugins = {json.dumps(list(disabled))}
[grpc]
  address = "{root}/containerd.sock"
[ttrpc]
  address = "{root}/containerd.sock.ttrpc"
# Its socket is one fixed path, for which containerds that start together would race;
# the loser's CRI plugin dies.
[plugins."io.containerd.nri.v1.nri"]
  disable = true
[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "{snapshotter}"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{IMAGE_NAME}"
[plugins."io.containerd.cri.v1.runtime"]
  # Without CAP_SYS_RESOURCE runc could not lower an oom_score_adj.
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["{layout.BIN}"]
  conf_dir = "{root}/cni"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
    BinaryName = "{layout.BIN}/runc"
    SystemdCgroup = false
"""


def cni_configuration(node: NodeSpec) -> dict[str, Any]:
    """Make a node's network: a bridge of its own, no way out of the testbed."""
    return {
        "cniVersion": "1.0.0",
        "name": f"cmhot-{node.index}",
        "plugins": [
            {
                "type": "bridge",
                "bridge": f"cni-{node.index}",
                "isGateway": True,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(layout.STATE / node.name / "ipam"),
                    "ranges": [[{"subnet": layout.pod_subnet(node)}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ],
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


def _program(
    name: str,
    argv: list[str],
    *after: dict[str, Any],
    once: bool = False,
    nice: int = 0,
) -> dict[str, Any]:
    return {
        "name": name,
        "argv": argv,
        "log": str(layout.STATE / "logs" / f"{name}.log"),
        "after": list(after),
        "once": once,
        "nice": nice,
    }


def _flags(program: str, **options: object) -> list[str]:
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    return [str(layout.BIN / program), *flags]


def _control_plane(api_address: str) -> list[dict[str, Any]]:
    state, loopback = layout.STATE, "127.0.0.1"
    etcd = f"http://{loopback}:{layout.ETCD_PORT}"
    etcd_peer = f"http://{loopback}:{layout.ETCD_PEER_PORT}"
    etcd_up = {"tcp": [loopback, layout.ETCD_PORT]}
    api_up = {"tcp": [loopback, layout.API_PORT]}
    return [
        _program(
            "etcd",
            [
                *_flags(
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
        _program(
            "kube-apiserver",
            _flags(
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
        _program(
            "kube-controller-manager",
            _flags(
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
        _program(
            "kube-scheduler",
            _flags(
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


def _node(node: NodeSpec) -> list[dict[str, Any]]:
    root = layout.STATE / node.name
    containerd_socket = f"{root}/containerd.sock"
    containerd_up = {"unix": containerd_socket}
    return [
        _program(
            f"{node.name}.containerd",
            [str(layout.BIN / "containerd"), "--config", f"{root}/containerd.toml"],
        ),
        _program(
            f"{node.name}.import",
            [
                *(str(layout.BIN / "ctr"), "--address", containerd_socket),
                # without --local: "no unpack platforms defined"
                *("--namespace", "k8s.io", "images", "import", "--local"),
                str(layout.STATE / "image.tar"),
            ],
            containerd_up,
            once=True,
        ),
        _program(
            f"{node.name}.kubelet",
            _flags(
                "kubelet",
                config=root / "kubelet.json",
                kubeconfig=root / "kubeconfig",
                root_dir=root / "kubelet",
                cert_dir=root / "kubelet-pki",
                hostname_override=node.name,
                node_ip=layout.node_address(node),
                node_labels=f"{layout.SETTING_LABEL}={node.setting.label}",
                v=2,
            ),
            containerd_up,
            # a kubelet that finds no API server would back off for seconds
            {"tcp": ["127.0.0.1", layout.API_PORT]},
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
        started += _node(node)
    return {
        "inside": str(layout.INSIDE),
        "programs_found": dict(programs),
        "network": network_commands(spec, host_address=host_address),
        "sysctl": {"net/ipv4/ip_forward": "1"},
        "shielded": KUBELET_KERNEL_SETTINGS,
        "environment": {
            "PATH": f"{layout.BIN}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(layout.STATE),
        },
        "programs": started,
    }
