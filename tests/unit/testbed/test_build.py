"""A build is described exactly, counted, and leaves its module as it was."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cmhot.cluster.testbed.owner import Owner
from cmhot.cluster.testbed.programs import build
from cmhot.cluster.testbed.programs.build import answer, packaged_go
from cmhot.cluster.testbed.versions import (
    KUBERNETES_VERSION,
    OLDER_KUBELETS,
    Archive,
    Build,
    Part,
    Program,
    catalogue,
    older_kubelet,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cmhot.cluster.testbed.programs.download import Advance

PARTS = {part.name: part for part in catalogue(KUBERNETES_VERSION)}
OLDER = [part for version in OLDER_KUBELETS for part in older_kubelet(version)]
BUILDS = {part.build.module: part for part in [*PARTS.values(), *OLDER]}
USER = Owner(1000, 1000, Path("/home/ada"), through_sudo=False)


@pytest.mark.parametrize("module", sorted(BUILDS))
def test_go_mod_agrees(module: str) -> None:
    """go.mod has the pinned version, and a tool line for each program."""
    part = BUILDS[module]
    text = (build.MODULES / part.build.module / "go.mod").read_text()
    required = re.findall(
        rf"^(?:require|\t)\s*{re.escape(part.build.requires)} (v\S+)",
        text,
        re.MULTILINE,
    )
    tools = set(re.findall(r"^tool (\S+)$", text, re.MULTILINE))

    assert required == [part.version]
    assert tools == {program.package for program in part.programs}
    assert (build.MODULES / part.build.module / "go.sum").is_file()


def test_every_module_has_a_part() -> None:
    """No go.mod lies there that nothing builds."""
    folders = {folder.name for folder in build.MODULES.iterdir() if folder.is_dir()}

    assert folders == BUILDS.keys()


@pytest.mark.parametrize(
    ("module", "count"),
    [("kubernetes", 33), ("kubelet-1.26", 29), ("kubelet-1.20", 26)],
)
def test_staging_modules_agree(module: str, count: int) -> None:
    """Kubernetes' staging modules are replaced by those of the same release."""
    text = (build.MODULES / module / "go.mod").read_text()
    replaced = re.findall(r"^\s+(k8s\.io/\S+) => (\S+) (\S+)$", text, re.MULTILINE)
    staged = BUILDS[module].version.replace("v1.", "v0.")
    others = {old for old, _, version in replaced if version != staged}

    assert len(replaced) - len(others) == count
    assert all(old == new for old, new, _ in replaced)
    # modules of the same address that are released by themselves
    assert others <= {"k8s.io/gengo", "k8s.io/heapster", "k8s.io/klog/v2"} | {
        "k8s.io/kube-openapi",
        "k8s.io/system-validators",
        "k8s.io/utils",
    }


def test_versions_are_stamped() -> None:
    """Programs that take their version from the linker are given the pinned one."""
    for part in BUILDS.values():
        if part.name in {"kubernetes", "containerd", "cni"}:
            assert f"ersion={part.version}" in part.build.ldflags


def test_command_of_several() -> None:
    """Several programs go into a folder, each under its package's last name."""
    part = PARTS["cni"]
    command = build.build_command(
        Path("/go"), build=part.build, programs=part.programs, folder=Path("/out")
    )

    assert command[:5] == ["/go", "build", "-v", "-mod=readonly", "-trimpath"]
    assert command[command.index("-o") + 1] == "/out/"
    assert [Path(package).name for package in command[-3:]] == [
        "bridge",
        "loopback",
        "host-local",
    ]


def test_command_of_one() -> None:
    """A lone program is named: etcd's package is called v3."""
    part = PARTS["etcd"]
    command = build.build_command(
        Path("/go"), build=part.build, programs=part.programs, folder=Path("/out")
    )

    assert command == [
        "/go",
        "build",
        "-v",
        "-mod=readonly",
        "-trimpath",
        "-ldflags",
        "-s -w",
        "-o",
        "/out/etcd",
        "go.etcd.io/etcd/server/v3",
    ]


def test_runc_has_seccomp() -> None:
    """Runc is built with seccomp and CGO; without, every sandbox dies."""
    runc = PARTS["runc"].build

    assert "-tags seccomp" in " ".join(build.flags(runc))
    assert (
        build.environment({}, build=runc, arch="amd64", who=USER)["CGO_ENABLED"] == "1"
    )


def test_list_agrees_with_build() -> None:
    """The packages are counted under the very flags that they are compiled with."""
    part = PARTS["runc"]
    command = build.list_command(Path("/go"), build=part.build, programs=part.programs)

    assert set(build.flags(part.build)) <= set(command)
    assert command[-1] == "github.com/opencontainers/runc"


def test_environment() -> None:
    """The user's proxy stays, what changes the programs is ours."""
    given = {
        "GOPROXY": "https://proxy.example",
        "GOFLAGS": "-mod=mod",
        "GOARCH": "wasm",
    }
    result = build.environment(given, build=Build("m", "r"), arch="arm64", who=USER)

    assert result == {
        "GOPROXY": "https://proxy.example",
        "GOFLAGS": "-buildvcs=false",
        "GOARCH": "arm64",
        "GOOS": "linux",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
        "HOME": "/home/ada",
    }


def test_environment_under_sudo() -> None:
    """Under sudo the caches are those of the user, not root's."""
    who = Owner(1000, 1000, Path("/home/ada"), through_sudo=True)
    given = {"HOME": "/root", "GOCACHE": "/root/c", "XDG_CACHE_HOME": "/root/.cache"}
    result = build.environment(given, build=Build("m", "r"), arch="amd64", who=who)

    assert result["HOME"] == "/home/ada"
    assert "GOCACHE" not in result
    assert "XDG_CACHE_HOME" not in result


def tiny_part() -> Part:
    """Return a part whose module needs no network."""
    return Part(
        name="tiny",
        version="v1.0.0",
        programs=(Program("tiny", "example.org/tiny", None),),
        lowest="1",
        below="2",
        says=r"^tiny (v\S+)",
        archive=Archive("https://example.org", "CMHOT_MIRROR_TINY", "tiny", {}),
        build=Build("tiny", "example.org/tiny", ldflags="-X main.version=v1.0.0"),
    )


@pytest.mark.skipif(
    shutil.which("go") is None and packaged_go() is None,
    reason="needs a Go toolchain; the other tests do without",
)
def test_real_build(tmp_path: Path) -> None:
    """A module without dependencies is built, stamped and counted; sources stay."""
    module = tmp_path / "modules" / "tiny"
    module.mkdir(parents=True)
    (module / "go.mod").write_text("module example.org/tiny\n\ngo 1.24\n")
    main = (
        'package main\nimport "os"\nvar version = "?"\n'
        'func main() { os.Stdout.WriteString("tiny " + version) }\n'
    )
    (module / "main.go").write_text(main)
    module.chmod(0o555)  # an installed package may not be writable
    folder = tmp_path / "work"
    folder.mkdir()
    shown: list[tuple[str, int, int | None]] = []
    said: list[str] = []

    @contextlib.contextmanager
    def progress(what: str, *, unit: str) -> Iterator[Advance]:
        def advance(done: int, *, total: int | None) -> None:
            shown.append((f"{what}, {unit}", done, total))

        yield advance

    build.build_programs(
        tiny_part(),
        programs=tiny_part().programs,
        arch={"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        folder=folder,
        environ=os.environ,
        progress=progress,
        say=said.append,
        modules=tmp_path / "modules",
    )

    assert answer([folder / "tiny"], folder=folder, environ={}) == "tiny v1.0.0"
    assert said[0].startswith("building tiny v1.0.0 from its Go modules with go1.")
    what, done, total = shown[-1]
    assert what == "compiling tiny, packages"
    assert done == total
