"""What the testbed's programs are given; each known trap is avoided."""

from __future__ import annotations

import datetime as dt
import json
import ssl
import tomllib
from typing import TYPE_CHECKING

import pytest
import yaml

from cmhot.cluster.testbed import configuration, layout
from cmhot.cluster.testbed.configuration import (
    containerd_configuration,
    kubelet_configuration,
)
from cmhot.cluster.testbed.layout import make_spec, parse_node
from cmhot.errors import UsageError
from cmhot.kubelet.settings import Setting, Strategy

if TYPE_CHECKING:
    from pathlib import Path

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
SPEC = make_spec([Setting(5), Setting(10, Strategy.CACHE, 60), Setting(5)], name="t")


OLD = make_spec([Setting(10)] * 3, name="o", kubelets=["v1.20.15", "v1.26.15", None])


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """Render everything once."""
    return configuration.files(
        SPEC,
        cgroup="cmhot-t",
        api_address="10.213.0.2",
        now=NOW,
        snapshotter="overlayfs",
        image=b"tar",
    )


def plan() -> dict[str, dict[str, object]]:
    """Return the programs of the launch plan by name."""
    made = configuration.launch_plan(
        SPEC, programs={}, api_address="10.213.0.2", host_address="10.213.0.1"
    )
    return {program["name"]: program for program in made["programs"]}


def test_nodes_are_named_after_their_settings() -> None:
    """Equal settings get a number; a TTL of 0 is not worth a word."""
    assert [node.name for node in SPEC.nodes] == [
        "sync-5s-watch",
        "sync-10s-cache-ttl-60",
        "sync-5s-watch-2",
    ]


def test_a_kubelet_gets_the_experiment_in_its_file(files: dict[str, bytes]) -> None:
    """The strategy can be set in the configuration file only."""
    kubelet = json.loads(files["sync-10s-cache-ttl-60/kubelet.json"])

    assert kubelet["syncFrequency"] == "10s"
    assert kubelet["configMapAndSecretChangeDetectionStrategy"] == "Cache"


def test_a_kubelet_neither_answers_strangers_nor_minds_the_host(
    files: dict[str, bytes],
) -> None:
    """No anonymous access; cgroup v1 allowed; images and disk are left alone."""
    kubelet = json.loads(files["sync-5s-watch/kubelet.json"])

    assert kubelet["authentication"]["anonymous"] == {"enabled": False}
    assert kubelet["authorization"] == {"mode": "Webhook"}
    assert kubelet["failCgroupV1"] is False
    assert kubelet["cgroupDriver"] == "cgroupfs"
    assert kubelet["cgroupsPerQOS"] is True  # or containers lie below /k8s.io
    assert kubelet["enforceNodeAllocatable"] == []
    assert kubelet["cgroupRoot"] == "/cmhot-t/sync-5s-watch"
    assert kubelet["imageGCHighThresholdPercent"] == 100


def test_nothing_is_shared_between_two_nodes(files: dict[str, bytes]) -> None:
    """Two kubelets on one containerd would remove each other's pods."""
    tomls = [
        tomllib.loads(files[f"{node.name}/containerd.toml"].decode())
        for node in SPEC.nodes
    ]
    kubelets = [json.loads(files[f"{node.name}/kubelet.json"]) for node in SPEC.nodes]
    networks = [
        json.loads(files[f"{node.name}/cni/10-bridge.conflist"])["plugins"][0]
        for node in SPEC.nodes
    ]

    for values in (
        [toml["root"] for toml in tomls],
        [toml["state"] for toml in tomls],
        [toml["grpc"]["address"] for toml in tomls],
        [kubelet["containerRuntimeEndpoint"] for kubelet in kubelets],
        [kubelet["address"] for kubelet in kubelets],
        [kubelet["podLogsDir"] for kubelet in kubelets],
        [network["bridge"] for network in networks],
        [network["ipam"]["ranges"][0][0]["subnet"] for network in networks],
    ):
        assert len(set(values)) == 3


def test_containerd_avoids_the_known_traps(files: dict[str, bytes]) -> None:
    """NRI's socket is one fixed path; without CAP_SYS_RESOURCE scores stay."""
    toml = tomllib.loads(files["sync-5s-watch/containerd.toml"].decode())
    plugins = toml["plugins"]
    runtime = plugins["io.containerd.cri.v1.runtime"]
    runc = runtime["containerd"]["runtimes"]["runc"]["options"]

    assert toml["version"] == 3
    assert plugins["io.containerd.nri.v1.nri"] == {"disable": True}
    assert runtime["restrict_oom_score_adj"] is True
    assert runc["SystemdCgroup"] is False


def test_every_path_is_short_enough_for_a_socket() -> None:
    """sun_path holds 107 bytes, however long the state folder's own path is."""
    longest = make_spec([Setting(123.456, Strategy.WATCH, 1234)] * 2, name="t").nodes[1]

    assert len(f"{layout.STATE}/{longest.name}/containerd.sock.ttrpc") <= 107


def test_the_ttl_controller_is_off() -> None:
    """A node's TTL is a setting of the experiment."""
    argv = plan()["kube-controller-manager"]["argv"]

    assert "--controllers=*,-ttl-controller" in str(argv)


def test_the_api_server_reaches_nodes_by_address_and_knows_everybody() -> None:
    """Node names do not resolve; RBAC is on, anonymous requests are not."""
    argv = str(plan()["kube-apiserver"]["argv"])

    assert "--kubelet-preferred-address-types=InternalIP" in argv
    assert "--authorization-mode=Node,RBAC" in argv
    assert "--anonymous-auth=false" in argv
    assert "--kubelet-certificate-authority=" in argv


def test_images_are_imported_with_local() -> None:
    """Without --local ctr says "no unpack platforms defined"."""
    program = plan()["sync-5s-watch.import"]

    assert "--local" in str(program["argv"])
    assert program["once"] is True


def test_a_kubelet_waits_for_what_it_needs() -> None:
    """It starts when its containerd and the API server listen."""
    assert plan()["sync-5s-watch.kubelet"]["after"] == [
        {"unix": "/run/cmhot/state/sync-5s-watch/containerd.sock"},
        {"tcp": ["127.0.0.1", 443]},
    ]


def test_a_kubelet_changes_no_setting_of_the_whole_machine() -> None:
    """What setupKernelTunables writes has a private view, so the host keeps its own."""
    made = configuration.launch_plan(
        SPEC, programs={}, api_address="10.213.0.2", host_address="10.213.0.1"
    )

    assert made["shielded"].keys() == {
        "vm/overcommit_memory",
        "vm/panic_on_oom",
        "kernel/panic",
        "kernel/panic_on_oops",
        "kernel/keys/root_maxkeys",
        "kernel/keys/root_maxbytes",
    }


def test_only_the_users_requests_are_audited() -> None:
    """The audit log counts what a measurement costs, and holds no bodies."""
    assert configuration.AUDIT_POLICY["rules"] == [
        {"level": "Metadata", "users": ["cmhot"]},
        {"level": "None"},
    ]


def test_certificates_verify_against_the_testbeds_own_authority(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    """Client and server pairs load, and the authority's key is in no file."""
    for name, data in files.items():
        if name.startswith("pki/"):
            (tmp_path / name.removeprefix("pki/")).write_bytes(data)

    context = ssl.create_default_context(cafile=str(tmp_path / "ca.crt"))
    for pair in ("apiserver", "starter", "sync-5s-watch"):
        context.load_cert_chain(tmp_path / f"{pair}.crt", tmp_path / f"{pair}.key")

    assert "pki/ca.key" not in files
    (authority,) = context.get_ca_certs()
    assert authority["subject"] == ((("commonName", "cmhot testbed CA"),),)


def test_the_users_kubeconfig_names_the_link(files: dict[str, bytes]) -> None:
    """From outside the API server is at the link's inner end."""
    config = yaml.safe_load(files["user.kubeconfig"])

    assert config["clusters"][0]["cluster"]["server"] == "https://10.213.0.2:443"
    assert config["current-context"] == "cmhot-t"


@pytest.mark.parametrize("name", ["", "Upper", "a" * 33, "-a", "a/b", "a b"])
def test_names_that_cannot_be_paths_are_refused(name: str) -> None:
    """A testbed's name is part of file, interface and cgroup names."""
    with pytest.raises(UsageError, match="cannot name a testbed"):
        make_spec(name=name)


@pytest.mark.parametrize("count", [0, 13])
def test_the_number_of_nodes_is_bounded(count: int) -> None:
    """No nodes measure nothing; too many disturb each other."""
    with pytest.raises(UsageError, match="1 to 12"):
        make_spec([Setting(5)] * count)


def test_a_node_may_have_an_older_kubelet() -> None:
    """Its version follows the setting, is part of its name, and must be pinned."""
    asked = [
        parse_node("sync=10s,kubelet=v1.26.15,strategy=Get"),
        parse_node("sync=5s"),
    ]
    made = make_spec(
        [setting for setting, _ in asked], kubelets=[kubelet for _, kubelet in asked]
    )

    assert asked == [(Setting(10, Strategy.GET), "v1.26.15"), (Setting(5), None)]
    assert [(node.name, node.kubelet) for node in made.nodes] == [
        ("sync-10s-get-v1-26-15", "v1.26.15"),
        ("sync-5s-watch", "v1.37.1"),
    ]
    assert made.older_kubelets == ("v1.26.15",)
    with pytest.raises(UsageError, match=r"v1\.9\.0.*choose v1\.20\.15, v1\.26\.15"):
        make_spec([Setting(5)], kubelets=["v1.9.0"])
    with pytest.raises(UsageError, match="given twice"):
        parse_node("kubelet=v1.20.15,kubelet=v1.26.15")


def test_an_older_kubelet_is_told_nothing_that_it_does_not_know() -> None:
    """An unknown field ends a kubelet: what its file cannot say, a flag does."""
    made = configuration.launch_plan(
        OLD, programs={}, api_address="10.213.0.2", host_address="10.213.0.1"
    )
    argv = [
        program["argv"] for program in made["programs"] if "kubelet" in program["name"]
    ]
    files = [kubelet_configuration(node, cgroup_root="/x") for node in OLD.nodes]
    newer = {"containerRuntimeEndpoint", "podLogsDir", "failCgroupV1"}
    endpoint = "--container-runtime-endpoint=unix:///run/cmhot/state/{}/containerd.sock"

    assert [newer & file.keys() for file in files] == [set(), set(), newer]
    assert [
        endpoint.format(node.name) in words
        for node, words in zip(OLD.nodes, argv, strict=True)
    ] == [True, True, False]
    assert ["--container-runtime=remote" in words for words in argv] == [
        True,
        False,
        False,
    ]
    assert all("--container-runtime" not in file for file in files)


def test_an_older_kubelet_runs_its_own_programs_beside_its_own_logs() -> None:
    """Kubelet and containerd of a node share one mount namespace and its /var/log."""
    made = configuration.launch_plan(
        OLD, programs={}, api_address="10.213.0.2", host_address="10.213.0.1"
    )
    plan = {program["name"]: program["argv"] for program in made["programs"]}
    oldest, older, today = (node.name for node in OLD.nodes)
    enter = f"--mount=/run/cmhot/{oldest}.mnt"
    bin_ = "/run/cmhot/bin"

    assert plan[f"{oldest}.kubelet"][:2] == ["nsenter", enter]
    assert plan[f"{oldest}.containerd"][:2] == ["nsenter", enter]
    # v1alpha2 of the runtime interface is in containerd 1 only
    assert f"{bin_}/v1.20.15/containerd" in plan[f"{oldest}.containerd"]
    assert f"{bin_}/v1.20.15/ctr" in plan[f"{oldest}.import"]
    assert f"{bin_}/v1.20.15/kubelet" in plan[f"{oldest}.kubelet"]
    assert f"{bin_}/containerd" in plan[f"{older}.containerd"]
    assert f"{bin_}/v1.26.15/kubelet" in plan[f"{older}.kubelet"]
    label = "--node-labels=cmhot.dev/setting=sync-10s.watch.ttl-0,cmhot.dev/kubelet="
    assert f"{label}v1.26.15" in plan[f"{older}.kubelet"]
    assert plan[f"{today}.kubelet"][0] == f"{bin_}/kubelet"
    assert [command[-1] for command in made["private_logs"][2::3]] == ["/var/log"] * 2
    assert enter in made["private_logs"][2]


def test_containerd_1_is_told_the_same_in_its_own_words() -> None:
    """Version 2 of its file has one CRI plugin, and the same traps."""
    toml = tomllib.loads(
        containerd_configuration(OLD.nodes[0], snapshotter="overlayfs")
    )
    cri = toml["plugins"]["io.containerd.grpc.v1.cri"]
    runc = cri["containerd"]["runtimes"]["runc"]

    assert toml["version"] == 2
    assert toml["plugins"]["io.containerd.nri.v1.nri"] == {"disable": True}
    assert cri["sandbox_image"] == "cmhot.dev/testbed/busybox:local"
    assert cri["restrict_oom_score_adj"] is True
    assert cri["containerd"]["snapshotter"] == "overlayfs"
    assert runc["options"] == {
        "BinaryName": "/run/cmhot/bin/runc",
        "SystemdCgroup": False,
    }
