"""What the programs of one node are told: its kubelet and its containerd.

Pure, as `cmhot.testbed.configuration` is, and with the reasons beside the options.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cmhot.testbed import layout
from cmhot.testbed.dialect import dialect_of
from cmhot.testbed.image import IMAGE_NAME
from cmhot.testbed.layout import PKI, SYSTEM_PATH
from cmhot.testbed.plan import flags, program

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from cmhot.testbed.spec import NodeSpec, TestbedSpec


def kubelet_configuration(node: NodeSpec, *, cgroup_root: str) -> dict[str, Any]:
    """Make a node's KubeletConfiguration (kubelet.config.k8s.io/v1beta1)."""
    root = layout.STATE / node.name
    dialect = dialect_of(node.kubelet)
    newer: dict[str, Any] = {}
    if dialect.endpoint_in_file:
        newer["containerRuntimeEndpoint"] = _runtime_endpoint(node)
    if dialect.has_logs_folder:
        newer["podLogsDir"] = str(root / "pod-logs")
    if dialect.may_refuse_cgroup_v1:
        newer["failCgroupV1"] = False  # since 1.35 it refuses cgroup v1 otherwise
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
    return f"unix://{layout.STATE / node.name}/containerd.sock"


def containerd_configuration(
    node: NodeSpec, *, snapshotter: str, disabled: tuple[str, ...] = ()
) -> str:
    """Make a node's containerd configuration: version 3, or 2 for containerd 1."""
    root = layout.STATE / node.name
    cri_v1 = dialect_of(node.kubelet).speaks_cri_v1
    common = f"""\
version = {3 if cri_v1 else 2}
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
    """Say to containerd 1 what `containerd_configuration` says to containerd 2."""
    root = layout.STATE / node.name
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


def private_logs_commands(spec: TestbedSpec) -> list[list[str]]:
    """List the commands that give a node a ``/var/log`` of its own, where it needs one.

    A kubelet that writes to ``/var/log/pods`` whatever it is told removes there
    what belongs to pods that it does not know: another node's.
    Its containerd has to see the same mounts as it does, so that both enter one
    mount namespace.
    """
    commands = []
    for node in spec.nodes:
        if dialect_of(node.kubelet).has_logs_folder:
            continue
        logs, file = layout.STATE / node.name / "log", layout.mount_namespace(node)
        commands += [
            ["mkdir", "-p", str(logs)],
            ["touch", str(file)],
            ["unshare", f"--mount={file}", "mount", "--bind", str(logs), "/var/log"],
        ]
    return commands


def _within(node: NodeSpec, folder: PurePosixPath) -> list[str]:
    """Say how a node's program is started where it needs more than its name."""
    if dialect_of(node.kubelet).has_logs_folder:
        return []
    # containerd looks for its shim on PATH: it must find that of its own version
    path = f"PATH={folder}:{layout.BIN}:{SYSTEM_PATH}"
    return ["nsenter", f"--mount={layout.mount_namespace(node)}", "env", path]


def _kubelet_flags(node: NodeSpec) -> dict[str, object]:
    """Return the flags of a kubelet whose file cannot say it."""
    dialect, flags = dialect_of(node.kubelet), dict[str, object]()
    if dialect.names_runtime:
        flags["container_runtime"] = "remote"
    if not dialect.endpoint_in_file:
        flags["container_runtime_endpoint"] = _runtime_endpoint(node)
    return flags


def node_programs(node: NodeSpec, *, kubernetes: str) -> list[dict[str, Any]]:
    """List the node's programs as the supervisor starts them.

    `kubernetes` is the version of the testbed's own programs.
    """
    root = layout.STATE / node.name
    own = layout.programs_folder(node, kubernetes=kubernetes)
    runtime = layout.BIN if dialect_of(node.kubelet).speaks_cri_v1 else own
    within = _within(node, runtime)
    containerd_socket = f"{root}/containerd.sock"
    containerd_up = {"unix": containerd_socket}
    return [
        program(
            f"{node.name}.containerd",
            [
                *(*within, str(runtime / "containerd")),
                *("--config", f"{root}/containerd.toml"),
            ],
        ),
        program(
            f"{node.name}.import",
            [
                *(str(runtime / "ctr"), "--address", containerd_socket),
                # without --local: "no unpack platforms defined"
                *("--namespace", "k8s.io", "images", "import", "--local"),
                str(layout.STATE / "image.tar"),
            ],
            containerd_up,
            once=True,
        ),
        program(
            f"{node.name}.kubelet",
            within
            + flags(
                "kubelet",
                folder=own,
                config=root / "kubelet.json",
                kubeconfig=root / "kubeconfig",
                root_dir=root / "kubelet",
                cert_dir=root / "kubelet-pki",
                hostname_override=node.name,
                node_ip=layout.node_address(node),
                node_labels=",".join(
                    (
                        f"{layout.SETTING_LABEL}={node.setting.label}",
                        f"{layout.KUBELET_LABEL}={node.kubelet}",
                    )
                ),
                v=2,
                **_kubelet_flags(node),
            ),
            containerd_up,
            # a kubelet that finds no API server would back off for seconds
            {"tcp": ["127.0.0.1", layout.API_PORT]},
        ),
    ]
