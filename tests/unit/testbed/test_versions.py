"""What is pinned is complete, and what programs answer is read right."""

from __future__ import annotations

import pytest

from cmhot.cluster.testbed.versions import (
    KUBERNETES_VERSION,
    catalogue,
    numbers,
    older_kubelet,
)

REAL = {component.name: component for component in catalogue(KUBERNETES_VERSION)}


def test_upstream_without_mirror() -> None:
    """Without a mirror the addresses are upstream's, for each architecture."""
    urls = {name: item.url({}, arch="arm64") for name, item in REAL.items()}
    etcd, containerd, runc, cni = (
        f"https://github.com/{project}/releases/download"
        for project in (
            "etcd-io/etcd",
            "containerd/containerd",
            "opencontainers/runc",
            "containernetworking/plugins",
        )
    )

    assert urls == {
        "kubernetes": "https://dl.k8s.io/v1.37.1/kubernetes-server-linux-arm64.tar.gz",
        "etcd": f"{etcd}/v3.6.14/etcd-v3.6.14-linux-arm64.tar.gz",
        "containerd": f"{containerd}/v2.3.4/containerd-2.3.4-linux-arm64.tar.gz",
        "runc": f"{runc}/v1.4.3/runc.arm64",
        "cni": f"{cni}/v1.9.1/cni-plugins-linux-arm64-v1.9.1.tgz",
    }
    assert urls["runc"].endswith(
        "opencontainers/runc/releases/download/v1.4.3/runc.arm64"
    )


def test_each_mirror_has_its_variable() -> None:
    """A mirror replaces the base of one component; the path after it stays."""
    environ = {f"CMHOT_MIRROR_{name.upper()}": f"http://m/{name}/" for name in REAL}

    assert REAL["runc"].url(environ, arch="amd64") == "http://m/runc/v1.4.3/runc.amd64"
    assert all(
        item.url(environ, arch="amd64").startswith(f"http://m/{name}/v")
        for name, item in REAL.items()
    )


@pytest.mark.parametrize(
    ("component", "answer", "version", "good"),
    [
        ("kubernetes", "Kubernetes v1.37.1\n", "v1.37.1", True),
        ("kubernetes", "Kubernetes v1.37.1+k3s1\n", "v1.37.1+k3s1", False),
        ("kubernetes", "Kubernetes v1.37.2\n", "v1.37.2", False),
        ("etcd", "etcd Version: 3.6.14\nGit SHA: Not provided\n", "3.6.14", True),
        ("etcd", "etcd Version: 3.4.23\nGit SHA: GitNotFound\n", "3.4.23", False),
        (
            "containerd",
            "containerd github.com/containerd/containerd/v2 v2.3.4 \n",
            "v2.3.4",
            True,
        ),
        (
            "containerd",
            "ctr github.com/containerd/containerd/v2 v2.1.0",
            "v2.1.0",
            True,
        ),
        (
            "containerd",
            "containerd-shim-runc-v2:\n  Version:  v2.3.4\n  Revision: \n",
            "v2.3.4",
            True,
        ),
        (
            "containerd",
            "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1",
            "1.6.20~ds1",
            False,
        ),
        ("runc", "runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1\n", "1.1.5+ds1", True),
        ("runc", "runc version 1.4.3\nspec: 1.3.0\n", "1.4.3", True),
        ("runc", "runc version 1.0.3\n", "1.0.3", False),
        ("cni", "CNI bridge plugin v1.9.1\nCNI protocol versions", "v1.9.1", True),
        ("cni", "CNI host-local plugin v1.1.1\n", "v1.1.1", False),
        ("cni", "CNI bridge plugin version unknown\n", None, False),
        ("cni", 'Option "-version" is unknown, try "bridge help".\n', None, False),
    ],
)
def test_answers(
    component: str, answer: str, version: str | None, good: object
) -> None:
    """The programs' real answers are read, and judged by the supported range."""
    found = REAL[component].read_version(answer)

    assert found == version
    assert (found is not None and REAL[component].supports(found)) is good


def test_an_older_kubelet_is_one_program_of_its_release() -> None:
    """It comes without a control plane, and with a containerd that understands it."""
    oldest, older = older_kubelet("v1.20.15"), older_kubelet("v1.26.15")
    containerd = oldest[1]

    assert [
        [program.name for program in item.programs] for item in (*oldest, *older)
    ] == [
        ["kubelet"],
        ["containerd", "containerd-shim-runc-v2", "ctr"],
        ["kubelet"],
    ]
    assert oldest[0].supports("v1.20.15")
    assert not oldest[0].supports("v1.20.14")
    # Debian's, and what it answers; containerd 2 has no v1alpha2
    answer = "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1"
    assert containerd.supports(containerd.read_version(answer) or "")
    assert not containerd.supports("v2.3.4")


def test_numbers() -> None:
    """Versions compare by their numbers, not as text."""
    assert numbers("v1.10.0") > numbers("1.9.9")
    assert numbers("1.1.5+ds1") == (1, 1, 5)
    assert numbers("unknown") == ()


def test_checksums_are_complete() -> None:
    """Every component is pinned for both architectures by a checksum of full length."""
    for component in REAL.values():
        for arch in ("amd64", "arm64"):
            algorithm, _, digest = component.archive.checksums[arch].partition(":")
            assert len(digest) == {"sha256": 64, "sha512": 128}[algorithm]
            assert set(digest) <= set("0123456789abcdef")


def test_no_program_twice() -> None:
    """One folder holds all the programs, so that no two may share a name."""
    names = [program.name for item in REAL.values() for program in item.programs]

    assert len(names) == len(set(names)) == 12
