"""The programs of a testbed, their versions, and where they come from.

One set of versions serves both ways to get them,
the official archives and the Go modules under ``modules/``.
The checksums of Kubernetes are those of its CHANGELOG-1.37,
the others are as Kubespray publishes them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cmhot.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Program:
    """One executable.

    Attributes
    ----------
    member
        Path in the official archive; ``{version}`` and ``{arch}`` are filled in.
        None: the download is the program itself.
    """

    name: str
    package: str  # Go package that it is built from
    member: str | None


@dataclass(frozen=True, slots=True)
class Archive:
    """The official release of a component.

    Attributes
    ----------
    path
        The part after `base`; ``{version}`` (v1.2.3), ``{number}`` (1.2.3)
        and ``{arch}`` (amd64, arm64) are filled in.
    checksums
        ``algorithm:hex`` of the download, by architecture.
        An architecture that is not there is not downloaded.
    """

    base: str  # address of upstream's releases
    mirror: str  # environment variable that replaces `base`
    path: str
    checksums: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Build:
    """How a component is built from its Go module.

    Attributes
    ----------
    ldflags
        For the linker; without the ``-X`` programs do not know their version.
    libraries
        Libraries that pkg-config must find before a build can succeed,
        each with the Debian packages that bring it.
    """

    module: str  # folder of its go.mod and go.sum under ``modules/``
    ldflags: str = "-s -w"
    tags: str = ""  # Go build tags, comma separated
    cgo: bool = False  # whether C code is compiled too
    libraries: tuple[tuple[str, str], ...] = ()
    seconds: int = 30  # measured on two cores with nothing cached


@dataclass(frozen=True, slots=True)
class Component:
    """The programs that one upstream project releases together.

    Attributes
    ----------
    lowest, below
        A program found on this machine will do from `lowest` on,
        before the version `below`; None: only `lowest` itself will do.
    version_pattern
        Pattern of the programs' answer to `version_flag`, group 1 the version.
        It also excludes other programs of that name, such as iproute2's ``bridge``.
    """

    name: str
    version: str  # the pinned one, as its tag is spelt
    programs: tuple[Program, ...]
    lowest: str
    below: str | None
    version_pattern: str
    archive: Archive
    build: Build
    version_flag: str = "--version"

    def fill(self, template: str, *, arch: str) -> str:
        """Fill in a template of the component's archive."""
        number = self.version.removeprefix("v")
        return template.format(version=self.version, number=number, arch=arch)

    def url(self, environ: Mapping[str, str], *, arch: str) -> str:
        """Return the address of the archive: upstream's, or the user's mirror's."""
        base = environ.get(self.archive.mirror) or self.archive.base
        return f"{base.rstrip('/')}/{self.fill(self.archive.path, arch=arch)}"

    def is_pinned(self, version: str) -> bool:
        """Report whether that is the pinned version, with or without a ``v``."""
        return version.removeprefix("v") == self.version.removeprefix("v")

    def supports(self, version: str) -> bool:
        """Report whether a program of that version will do."""
        if self.below is None:
            return version.removeprefix("v") == self.lowest.removeprefix("v")
        return numbers(self.lowest) <= numbers(version) < numbers(self.below)

    @property
    def range(self) -> str:
        """Write in words which versions will do."""
        if self.below is None:
            return f"exactly {self.lowest}"
        return f"{self.lowest} or newer, below {self.below}"

    def read_version(self, answer: str) -> str | None:
        """Find the version in a program's answer; None: it is another program."""
        found = re.search(self.version_pattern, answer, flags=re.MULTILINE)
        return found[1] if found else None


def numbers(version: str) -> tuple[int, ...]:
    """Split the leading numbers of a version: ``v1.1.5+ds1`` is ``(1, 1, 5)``."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


KUBERNETES_VERSION = "v1.37.1"
"""The version of a testbed unless another is given."""


def _kubernetes(
    version: str,
    *,
    checksums: Mapping[str, str],
    programs: tuple[str, ...] = (
        "kubelet",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
    ),
    module: str = "kubernetes",
    tags: str = "",
    seconds: int = 480,
) -> Component:
    major, minor, _ = numbers(version)
    stamp = "-X k8s.io/component-base/version"
    return Component(
        name="kubernetes",
        version=version,
        programs=tuple(
            Program(
                name, f"k8s.io/kubernetes/cmd/{name}", f"kubernetes/server/bin/{name}"
            )
            for name in programs
        ),
        lowest=version,
        below=None,
        version_pattern=r"^Kubernetes (v\S+)",
        archive=Archive(
            "https://dl.k8s.io",
            "CMHOT_MIRROR_KUBERNETES",
            "{version}/kubernetes-server-linux-{arch}.tar.gz",
            checksums,
        ),
        build=Build(
            module,
            ldflags=(
                f"-s -w {stamp}.gitVersion={version} "
                f"{stamp}.gitMajor={major} {stamp}.gitMinor={minor}"
            ),
            tags=tags,
            seconds=seconds,
        ),
    )


_ETCD = Component(
    name="etcd",
    version="v3.6.14",
    programs=(
        Program(
            "etcd", "go.etcd.io/etcd/server/v3", "etcd-{version}-linux-{arch}/etcd"
        ),
    ),
    lowest="3.5",
    below="4",
    version_pattern=r"^etcd Version: (\d\S+)",
    archive=Archive(
        "https://github.com/etcd-io/etcd/releases/download",
        "CMHOT_MIRROR_ETCD",
        "{version}/etcd-{version}-linux-{arch}.tar.gz",
        {
            "amd64": "sha256:ffe840ff9295808e88cce2794a18a5ac"
            "87f12a5203c8314d0bf6aa119b41bac5",
            "arm64": "sha256:fa1b80565ee6fc2df1ae6f57a508b221"
            "f3ecc7d591c317c581cd8281b0842b3e",
        },
    ),
    build=Build("etcd", seconds=30),
)
_CONTAINERD = Component(
    name="containerd",
    version="v2.3.4",
    programs=tuple(
        Program(name, f"github.com/containerd/containerd/v2/cmd/{name}", f"bin/{name}")
        for name in ("containerd", "containerd-shim-runc-v2", "ctr")
    ),
    lowest="2.1",
    below="3",
    version_pattern=r"(?:^(?:containerd|ctr) github\.com/\S+|^ *Version:) +(v?\d\S+)",
    archive=Archive(
        "https://github.com/containerd/containerd/releases/download",
        "CMHOT_MIRROR_CONTAINERD",
        "{version}/containerd-{number}-linux-{arch}.tar.gz",
        {
            "amd64": "sha256:9d68969855fbf676cdb8ed758e420fb0"
            "48d61f984f61de3e53eddfebe484d168",
            "arm64": "sha256:a985fbb7e18fc0362d31a055338f5d7b"
            "0e087a3e27f14c70d1c5965399a29f95",
        },
    ),
    build=Build(
        "containerd",
        ldflags="-s -w -X github.com/containerd/containerd/v2/version.Version=v2.3.4",
        seconds=70,
    ),
)
_RUNC = Component(
    name="runc",
    version="v1.4.3",
    programs=(Program("runc", "github.com/opencontainers/runc", None),),
    lowest="1.1",
    below="2",
    version_pattern=r"^runc version (\d\S+)",
    archive=Archive(
        "https://github.com/opencontainers/runc/releases/download",
        "CMHOT_MIRROR_RUNC",
        "{version}/runc.{arch}",
        {
            "amd64": "sha256:f6ae8efc0fa40079e1475e97cbe9d1bd"
            "3f106a28d6af78a11d9f1bd565515e60",
            "arm64": "sha256:633301e2e32f8a5ad54031aab4901eb0"
            "0308bec677dd15faa2751e8f9dab5ca4",
        },
    ),
    build=Build(
        "runc",
        tags="seccomp",  # without it every sandbox dies: "seccomp not supported"
        cgo=True,
        libraries=(("libseccomp", "libseccomp-dev pkg-config gcc"),),
        seconds=15,
    ),
)
_CNI = Component(
    name="cni",
    version="v1.9.1",
    programs=tuple(
        Program(
            name,
            f"github.com/containernetworking/plugins/plugins/{kind}/{name}",
            name,
        )
        for kind, name in (
            ("main", "bridge"),
            ("main", "loopback"),
            ("ipam", "host-local"),
        )
    ),
    lowest="1.3",
    below="2",
    version_pattern=r"^CNI \S+ plugin (v\d\S+)",
    archive=Archive(
        "https://github.com/containernetworking/plugins/releases/download",
        "CMHOT_MIRROR_CNI",
        "{version}/cni-plugins-linux-{arch}-{version}.tgz",
        {
            "amd64": "sha256:b98f74a0f8522f0a83867178729c1aa7"
            "0f2158f90c45a2ca8fa791db1c76b303",
            "arm64": "sha256:56171987d3947707c3563db2f4001bcc"
            "af50fd63468611b9f3cbecb1375ee7ec",
        },
    ),
    build=Build(
        "cni",
        ldflags=(
            "-s -w -X github.com/containernetworking/plugins/pkg/utils/"
            "buildversion.BuildVersion=v1.9.1"
        ),
        seconds=5,
    ),
)
_CATALOGUE: dict[str, tuple[Component, ...]] = {
    "v1.37.1": (
        _kubernetes(
            "v1.37.1",
            checksums={
                "amd64": "sha512:7460f368c6049dfec1121a0bb3528257"
                "f47439e4a0c3d8b1740377cf21073e45"
                "c7d911845b8de61d68aae6b57cafa248"
                "85d8378f183a26bc2df0d321c4993afd",
                "arm64": "sha512:c832cfb9ad04180cf6c4469a8950bf58"
                "c0c28066b4543e520a7a25460bbb6f76"
                "3b17cc535e010f5ddfcef7c695f2face"
                "b9c584936b4d62a554c6b015be199f16",
            },
        ),
        _ETCD,
        _CONTAINERD,
        _RUNC,
        _CNI,
    ),
}
_CONTAINERD_1 = replace(
    _CONTAINERD,
    version="v1.7.35",
    programs=tuple(
        replace(program, package=program.package.replace("/v2/", "/"))
        for program in _CONTAINERD.programs
    ),
    version_flag="-v",  # its shim knows no --version
    lowest="1.6",
    below="2",
    archive=replace(_CONTAINERD.archive, checksums={}),
    build=Build(
        "containerd-1.7",
        ldflags="-s -w -X github.com/containerd/containerd/version.Version=v1.7.35",
        seconds=70,
    ),
)
"""The last line of containerd that speaks v1alpha2 of the runtime interface."""
OLDER_KUBELETS: dict[str, tuple[Component, ...]] = {
    "v1.20.15": (
        _kubernetes(
            "v1.20.15",
            checksums={},
            programs=("kubelet",),
            module="kubelet-1.20",
            tags="providerless,dockerless",  # a third less code to compile
            seconds=150,
        ),
        _CONTAINERD_1,
    ),
    "v1.26.15": (
        _kubernetes(
            "v1.26.15",
            checksums={},
            programs=("kubelet",),
            module="kubelet-1.26",
            tags="providerless",
            seconds=150,
        ),
    ),
}
"""Programs of a node with an older kubelet, instead of the testbed's own.
No checksum of their archives is recorded where these versions were taken from,
so that they are built; go.sum pins the content.
Their seconds are reckoned from the processor time of a build, not measured."""


def catalogue(kubernetes_version: str) -> tuple[Component, ...]:
    """Return the components of a testbed of that Kubernetes version."""
    if kubernetes_version not in _CATALOGUE:
        known = ", ".join(_CATALOGUE)
        msg = f"Kubernetes {kubernetes_version!r} is not pinned here: choose {known}"
        raise UsageError(msg)
    return _CATALOGUE[kubernetes_version]


def older_kubelet(version: str) -> tuple[Component, ...]:
    """Return the components of a node with that kubelet, instead of the testbed's."""
    if version not in OLDER_KUBELETS:
        known = ", ".join([*OLDER_KUBELETS, *_CATALOGUE])
        msg = f"a kubelet {version!r} is not pinned here: choose {known}"
        raise UsageError(msg)
    return OLDER_KUBELETS[version]
