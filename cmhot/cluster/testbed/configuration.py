"""Compose all files, arguments and commands of the testbed's programs.

Pure: a spec and the address of the link in, files and a launch plan out.
Each option that is not a default carries the reason why it is there.
The control plane of a testbed is of one version; a node may have an older kubelet,
so that what changed between versions can be measured side by side.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from cmhot.cluster.testbed import layout
from cmhot.cluster.testbed.certificates import Authority, key_pem, new_key, public_pem
from cmhot.cluster.testbed.image import IMAGE_NAME
from cmhot.cluster.testbed.layout import PKI, SYSTEM_PATH
from cmhot.cluster.testbed.versions import numbers

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping
    from pathlib import PurePosixPath

    from cmhot.cluster.testbed.certificates import KeyPair
    from cmhot.cluster.testbed.layout import NodeSpec, TestbedSpec


USER = "cmhot"
"""The kubeconfig's user, for RBAC and for the audit log."""
STARTER = "cmhot-testbed"
"""The user that waits for readiness: the kubeconfig's user's requests are counted."""
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
"""Kernel settings that a kubelet sets for the whole machine; it gets private files."""


def launch_plan(
    spec: TestbedSpec,
    *,
    programs: Mapping[str, str],
    api_address: str,
    host_address: str,
) -> dict[str, Any]:
    """Compose the supervisor's plan: the mounts, links and programs, in order."""
    started = _control_plane(api_address)
    for node in spec.nodes:
        started += _node_programs(spec, node)
    return {
        "inside": str(layout.INSIDE),
        "programs_found": dict(programs),
        "network": _network_commands(spec, host_address=host_address),
        "private_logs": _private_logs_commands(spec),
        "sysctl": {"net/ipv4/ip_forward": "1"},
        "shielded": KUBELET_KERNEL_SETTINGS,
        "environment": {
            "PATH": f"{layout.BIN}:{SYSTEM_PATH}",
            "HOME": str(layout.STATE),
        },
        "programs": started,
    }


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
                *_command(
                    "etcd",
                    data_dir=state / "etcd",
                    listen_client_urls=etcd,
                    advertise_client_urls=etcd,
                    listen_peer_urls=etcd_peer,
                    initial_advertise_peer_urls=etcd_peer,
                    initial_cluster=f"default={etcd_peer}",
                    log_level="warn",
                ),
                "--unsafe-no-fsync",  # the data are thrown away anyway
            ],
        ),
        _program(
            "kube-apiserver",
            _command(
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
            _command(
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
            _command(
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


def _node_programs(spec: TestbedSpec, node: NodeSpec) -> list[dict[str, Any]]:
    """List the programs of one node: its containerd, its image and its kubelet."""
    features = kubelet_features(node.kubelet)
    own = spec.programs_folder(node)
    runtime = layout.BIN if features.has_cri_v1 else own
    prefix = []
    if not features.has_pod_logs_field:
        # containerd looks for its shim on PATH: it must find that of its own version
        path = f"PATH={runtime}:{layout.BIN}:{SYSTEM_PATH}"
        prefix = ["nsenter", f"--mount={node.mount_namespace}", "env", path]
    containerd = [str(runtime / "containerd"), "--config"]
    containerd_up = {"unix": f"{node.state}/containerd.sock"}
    labels = {
        layout.SETTING_LABEL: node.setting.label,
        layout.KUBELET_LABEL: node.kubelet,
    }
    only_as_flags: dict[str, object] = {}
    if features.needs_runtime_flag:
        only_as_flags["container_runtime"] = "remote"
    if not features.has_endpoint_field:
        only_as_flags["container_runtime_endpoint"] = _runtime_endpoint(node)
    return [
        _program(
            f"{node.name}.containerd",
            [*prefix, *containerd, f"{node.state}/containerd.toml"],
        ),
        _program(
            f"{node.name}.import",
            [
                *(str(runtime / "ctr"), "--address", f"{node.state}/containerd.sock"),
                # without --local: "no unpack platforms defined"
                *("--namespace", "k8s.io", "images", "import", "--local"),
                str(layout.STATE / "image.tar"),
            ],
            containerd_up,
            once=True,
        ),
        _program(
            f"{node.name}.kubelet",
            prefix
            + _command(
                "kubelet",
                folder=own,
                config=node.state / "kubelet.json",
                kubeconfig=node.state / "kubeconfig",
                root_dir=node.state / "kubelet",
                cert_dir=node.state / "kubelet-pki",
                hostname_override=node.name,
                node_ip=node.address,
                node_labels=",".join(f"{key}={text}" for key, text in labels.items()),
                v=2,
                **only_as_flags,
            ),
            containerd_up,
            # a kubelet that finds no API server would back off for seconds
            {"tcp": ["127.0.0.1", layout.API_PORT]},
        ),
    ]


def _program(
    name: str,
    argv: list[str],
    *after: dict[str, Any],
    once: bool = False,
    nice: int = 0,
) -> dict[str, Any]:
    """Describe one program for the supervisor.

    It is started once all of `after` (sockets) listen, and again when it ends,
    unless it is to run `once`.
    """
    return {
        "name": name,
        "argv": argv,
        "log": str(layout.STATE / "logs" / f"{name}.log"),
        "after": list(after),
        "once": once,
        "nice": nice,
    }


def _command(
    program: str, *, folder: PurePosixPath = layout.BIN, **options: object
) -> list[str]:
    """Write a command line: the option ``key_word=1`` becomes ``--key-word=1``."""
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    return [str(folder / program), *flags]


def _network_commands(spec: TestbedSpec, *, host_address: str) -> list[list[str]]:
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
        *(node.address for node in spec.nodes),
        layout.API_SERVICE_ADDRESS,
        layout.DNS_ADDRESS,
    ]
    # A kubelet refuses 127.0.0.0/8 as its address, but not another address on lo;
    # a dummy interface would need a kernel module that not every machine has.
    commands += [
        ["ip", "addr", "add", f"{address}/32", "dev", "lo"] for address in addresses
    ]
    return commands


def _private_logs_commands(spec: TestbedSpec) -> list[list[str]]:
    """List the commands that give a node a ``/var/log`` of its own, where it needs one.

    A kubelet that writes to ``/var/log/pods`` whatever its configuration removes the
    logs there of pods that it does not know: another node's.
    Its containerd has to see the same mounts as it does, so that both enter one
    mount namespace.
    """
    commands = []
    for node in spec.nodes:
        if kubelet_features(node.kubelet).has_pod_logs_field:
            continue
        logs, file = node.state / "log", node.mount_namespace
        commands += [
            ["mkdir", "-p", str(logs)],
            ["touch", str(file)],
            ["unshare", f"--mount={file}", "mount", "--bind", str(logs), "/var/log"],
        ]
    return commands


def files(
    spec: TestbedSpec,
    *,
    cgroup: str,
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

    def put(name: str, pair: KeyPair) -> None:
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
            addresses=[api_address, "127.0.0.1", layout.API_SERVICE_ADDRESS],
        ),
    )
    masters = "system:masters"
    put("apiserver-client", authority.issue("kube-apiserver", organisation=masters))
    put_kubeconfig("user.kubeconfig", outside_server, USER, masters)
    put("starter", authority.issue(STARTER, organisation=masters))
    result["pki/starter-ca.crt"] = authority.certificate
    for component in ("kube-controller-manager", "kube-scheduler"):
        user = f"system:{component}"
        put_kubeconfig(f"{component}.kubeconfig", inside_server, user, "")
    for node in spec.nodes:
        user, folder = f"system:node:{node.name}", node.name
        put(node.name, authority.issue(user, addresses=[node.address]))
        put_kubeconfig(f"{folder}/kubeconfig", inside_server, user, "system:nodes")
        kubelet = kubelet_configuration(node, cgroup_root=f"/{cgroup}/{node.name}")
        containerd = containerd_configuration(node, snapshotter=snapshotter)
        network = _cni_configuration(node)
        result[f"{folder}/kubelet.json"] = json.dumps(kubelet).encode()
        result[f"{folder}/containerd.toml"] = containerd.encode()
        result[f"{folder}/cni/10-bridge.conflist"] = json.dumps(network).encode()
    return result


def kubeconfig(
    *, cluster: str, server: str, authority: bytes, user: str, pair: KeyPair
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


@dataclass(frozen=True, slots=True)
class KubeletFeatures:
    """The options that a version of the kubelet does not know yet, or still needs.

    Each follows from the minor version alone; an unknown field of its configuration
    file ends a kubelet at once.

    Attributes
    ----------
    needs_runtime_flag
        It needs a flag that the container runtime is no Docker
        (``--container-runtime=remote``; before 1.24).
    has_cri_v1
        It speaks version 1 of the container runtime interface;
        before 1.23 only v1alpha2, which containerd 2 dropped.
    has_endpoint_field
        Its file may name the runtime's socket (from 1.27), before that a flag does.
    has_pod_logs_field
        Its file may name the folder of the pods' logs (from 1.29);
        before that it is ``/var/log/pods``, whichever kubelet of a machine it is.
    has_fail_cgroup_v1_field
        Its file has to say that cgroup v1 will do (the field is there from 1.31).
    """

    needs_runtime_flag: bool
    has_cri_v1: bool
    has_endpoint_field: bool
    has_pod_logs_field: bool
    has_fail_cgroup_v1_field: bool


def kubelet_features(version: str) -> KubeletFeatures:
    """Return the features of a kubelet's version, such as ``v1.26.15``."""
    minor = numbers(version)[1]
    return KubeletFeatures(
        needs_runtime_flag=minor < 24,  # noqa: PLR2004 - the versions are said above
        has_cri_v1=minor >= 23,  # noqa: PLR2004
        has_endpoint_field=minor >= 27,  # noqa: PLR2004
        has_pod_logs_field=minor >= 29,  # noqa: PLR2004
        has_fail_cgroup_v1_field=minor >= 31,  # noqa: PLR2004
    )


def kubelet_configuration(node: NodeSpec, *, cgroup_root: str) -> dict[str, Any]:
    """Make a node's KubeletConfiguration (kubelet.config.k8s.io/v1beta1)."""
    features = kubelet_features(node.kubelet)
    newer: dict[str, Any] = {}
    if features.has_endpoint_field:
        newer["containerRuntimeEndpoint"] = _runtime_endpoint(node)
    if features.has_pod_logs_field:
        newer["podLogsDir"] = str(node.state / "pod-logs")
    if features.has_fail_cgroup_v1_field:
        newer["failCgroupV1"] = False  # since 1.35 it refuses cgroup v1 otherwise
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        # The experiment. The strategy can be set in this file only: no flag exists.
        "syncFrequency": f"{node.setting.sync_frequency_s:g}s",
        "configMapAndSecretChangeDetectionStrategy": node.setting.strategy.value,
        # One kubelet per address; nothing on a fixed port of a shared address.
        "address": node.address,
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
        "volumePluginDir": str(node.state / "volume-plugins"),
        "staticPodPath": "",
        "resolvConf": str(layout.STATE / "resolv.conf"),
        # Without them a kubelet warns of every pod with the default dnsPolicy.
        "clusterDNS": [layout.DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        # The host's cgroup manager is not asked, whether it is systemd or not.
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup_root,
        # Without it runc puts containers below /k8s.io, outside the testbed's cgroup,
        # and `down` would leave that behind.
        "cgroupsPerQOS": True,
        "enforceNodeAllocatable": [],
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
        **newer,
    }


def _runtime_endpoint(node: NodeSpec) -> str:
    return f"unix://{node.state}/containerd.sock"


def containerd_configuration(node: NodeSpec, *, snapshotter: str) -> str:
    """Make a node's containerd configuration: version 3, or 2 for containerd 1."""
    root = node.state
    cri_v1 = kubelet_features(node.kubelet).has_cri_v1
    common = f"""\
version = {3 if cri_v1 else 2}
root = "{root}/containerd"
state = "{layout.INSIDE}/{node.name}"
disabled_plugins = []
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
"""
    if not cri_v1:
        return common + _containerd_1_runtime(node, snapshotter=snapshotter)
    return f"""\
{common}\
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


def _containerd_1_runtime(node: NodeSpec, *, snapshotter: str) -> str:
    """Write for containerd 1 what `containerd_configuration` does for containerd 2."""
    root = node.state
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
[{cri}]
  sandbox_image = "{IMAGE_NAME}"
  restrict_oom_score_adj = true
[{cri}.cni]
  bin_dir = "{layout.BIN}"
  conf_dir = "{root}/cni"
[{cri}.containerd]
  snapshotter = "{snapshotter}"
[{cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [{cri}.containerd.runtimes.runc.options]
    BinaryName = "{layout.BIN}/runc"
    SystemdCgroup = false
"""


def _cni_configuration(node: NodeSpec) -> dict[str, Any]:
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
                    "dataDir": str(node.state / "ipam"),
                    "ranges": [[{"subnet": node.pod_subnet}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ],
    }
