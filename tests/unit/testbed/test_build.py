"""A build is described exactly, fails with a remedy, and dies with its parent."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cmhot.errors import ProgramsError
from cmhot.testbed import build
from cmhot.testbed.owner import Owner
from cmhot.testbed.versions import (
    KUBERNETES_VERSION,
    Archive,
    Build,
    Part,
    Program,
    catalogue,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cmhot.testbed.download import Advance

PARTS = {part.name: part for part in catalogue(KUBERNETES_VERSION)}
USER = Owner(1000, 1000, Path("/home/ada"), through_sudo=False)


def script(path: Path, text: str) -> Path:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def go_module(folder: Path, *, go: str = "1.24") -> Path:
    """Write the go.mod of an empty module."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "go.mod").write_text(f"module example.org/tiny\n\ngo {go}\n")
    return folder


@pytest.mark.parametrize("name", sorted(PARTS))
def test_go_mod_agrees(name: str) -> None:
    """go.mod has the pinned version, and a tool line for each program."""
    part = PARTS[name]
    text = (build.MODULES / part.build.module / "go.mod").read_text()
    required = re.findall(
        rf"^\s+{re.escape(part.build.requires)} (\S+)", text, re.MULTILINE
    )
    tools = set(re.findall(r"^tool (\S+)$", text, re.MULTILINE))

    assert required == [part.version]
    assert tools == {program.package for program in part.programs}
    assert (build.MODULES / part.build.module / "go.sum").is_file()


def test_every_module_has_a_part() -> None:
    """No go.mod lies there that nothing builds."""
    folders = {folder.name for folder in build.MODULES.iterdir() if folder.is_dir()}

    assert folders == {part.build.module for part in PARTS.values()}


def test_staging_modules_agree() -> None:
    """Kubernetes' 33 staging modules are replaced by those of the same release."""
    text = (build.MODULES / "kubernetes" / "go.mod").read_text()
    replaced = re.findall(r"^\s+(k8s\.io/\S+) => (\S+) (\S+)$", text, re.MULTILINE)
    staged = KUBERNETES_VERSION.replace("v1.", "v0.")

    assert len(replaced) == 33
    assert all(old == new and version == staged for old, new, version in replaced)


def test_versions_are_stamped() -> None:
    """Programs that take their version from the linker are given the pinned one."""
    for name in ("kubernetes", "containerd", "cni"):
        assert f"ersion={PARTS[name].version}" in PARTS[name].build.ldflags


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


def test_go_on_path(tmp_path: Path) -> None:
    """The toolchain on PATH is used where it is new enough."""
    go = script(tmp_path / "bin" / "go", "echo go1.99.1")
    environ = {"PATH": f"{tmp_path}/bin"}
    found = build.find_go(
        go_module(tmp_path / "m"), environ=environ, packaged=lambda: None
    )

    assert found == build.Go(go, "go1.99.1")


def test_packaged_go(tmp_path: Path) -> None:
    """An old toolchain on PATH gives way to the environment's package."""
    script(tmp_path / "bin" / "go", "echo go1.19")
    packaged = script(tmp_path / "site" / "go", "echo go1.26.0")
    found = build.find_go(
        go_module(tmp_path / "m"),
        environ={"PATH": f"{tmp_path}/bin"},
        packaged=lambda: packaged,
    )

    assert found == build.Go(packaged, "go1.26.0")


def test_go_that_fetches_another(tmp_path: Path) -> None:
    """An old toolchain that may fetch a newer one, by its GOTOOLCHAIN, will do."""
    answer = 'test "$GOTOOLCHAIN" = local && echo go1.21.0 || echo go1.26.0'
    script(tmp_path / "bin" / "go", answer)
    module = go_module(tmp_path / "m")
    environ = {"PATH": f"{tmp_path}/bin"}

    found = build.find_go(module, environ=environ, packaged=lambda: None)
    assert found.version == "go1.26.0"
    with pytest.raises(ProgramsError):
        build.find_go(module, environ=environ, packaged=lambda: None, may_fetch=False)


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        pytest.param(None, "no go is on PATH", id="none"),
        pytest.param("echo go1.19", "go is go1.19", id="too-old"),
        pytest.param("exit 1", "go is not working", id="broken"),
    ],
)
def test_no_go(tmp_path: Path, answer: str | None, seen: str) -> None:
    """Without a toolchain the error says what is there, and names both remedies."""
    if answer:
        script(tmp_path / "bin" / "go", answer)

    with pytest.raises(ProgramsError) as raised:
        build.find_go(
            go_module(tmp_path / "m", go="1.26.3"),
            environ={"PATH": f"{tmp_path}/bin"},
            packaged=lambda: None,
        )

    assert "needs Go 1.26.3 or newer" in str(raised.value)
    assert seen in str(raised.value)
    assert "https://go.dev/dl/" in str(raised.value)
    assert "pip install 'cmhot[build]'" in str(raised.value)


def test_missing_library(tmp_path: Path) -> None:
    """What the C compiler lacks is said before it is started, with the command."""
    script(tmp_path / "pkg-config", "exit 1")
    script(tmp_path / "gcc", "exit 0")

    with pytest.raises(
        ProgramsError,
        match="needs the headers of libseccomp: apt-get install -y libseccomp-dev",
    ):
        build.require_libraries(PARTS["runc"].build, environ={"PATH": str(tmp_path)})


def test_missing_compiler(tmp_path: Path) -> None:
    """A missing compiler and a missing pkg-config are said together."""
    with pytest.raises(ProgramsError, match="needs a C compiler and pkg-config"):
        build.require_libraries(PARTS["runc"].build, environ={"PATH": str(tmp_path)})


def test_child_dies_with_us(tmp_path: Path) -> None:
    """Ctrl-C while a compiler runs ends its whole process group."""
    pids: list[int] = []

    def interrupt(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build.run(
            ["sh", "-c", "echo $$; sleep 600 & exec sleep 600"],
            folder=tmp_path,
            environ=os.environ,
            on_line=interrupt,
        )

    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_failure_is_told(tmp_path: Path) -> None:
    """A command that fails is quoted with what it said last."""
    with pytest.raises(ProgramsError, match=r"exit code 3; it said: .*no such module"):
        build.run(
            ["sh", "-c", "echo no such module >&2; exit 3"],
            folder=tmp_path,
            environ=os.environ,
            on_line=lambda _: None,
        )


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
    shutil.which("go") is None and build.packaged_go() is None,
    reason="needs a Go toolchain; the other tests do without",
)
def test_real_build(tmp_path: Path) -> None:
    """A module without dependencies is built, stamped and counted; sources stay."""
    module = go_module(tmp_path / "modules" / "tiny")
    main = 'package main\nvar version = "?"\nfunc main() { println("tiny", version) }\n'
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
    answer: list[str] = []
    build.run([str(folder / "tiny")], folder=folder, environ={}, on_line=answer.append)

    assert answer == ["tiny v1.0.0"]
    assert said[0].startswith("building tiny v1.0.0 from its Go modules with go1.")
    what, done, total = shown[-1]
    assert what == "compiling tiny, packages"
    assert done == total
