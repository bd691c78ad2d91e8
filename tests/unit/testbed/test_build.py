"""A build is described exactly, counted, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import cmhot
from cmhot.cluster.testbed.owner import FileOwner
from cmhot.cluster.testbed.programs import build
from cmhot.cluster.testbed.programs.build import (
    Go,
    command_output,
    find_go,
    packaged_go,
    require_libraries,
    run,
)
from cmhot.cluster.testbed.versions import (
    KUBERNETES_VERSION,
    OLDER_KUBELETS,
    Archive,
    Build,
    Component,
    Program,
    catalogue,
    older_kubelet,
)
from cmhot.errors import ProgramsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cmhot.cluster.testbed.programs.download import Advance

COMPONENTS = {item.name: item for item in catalogue(KUBERNETES_VERSION)}
OLDER = [item for version in OLDER_KUBELETS for item in older_kubelet(version)]
BUILDS = {item.build.module: item for item in [*COMPONENTS.values(), *OLDER]}
MODULE_PATHS = {
    "cni": "github.com/containernetworking/plugins",
    "containerd": "github.com/containerd/containerd/v2",
    "containerd-1.7": "github.com/containerd/containerd",
    "etcd": "go.etcd.io/etcd/server/v3",
    "kubelet-1.20": "k8s.io/kubernetes",
    "kubelet-1.26": "k8s.io/kubernetes",
    "kubernetes": "k8s.io/kubernetes",
    "runc": "github.com/opencontainers/runc",
}
USER = FileOwner(1000, 1000, Path("/home/ada"), through_sudo=False)


@pytest.mark.parametrize("module", sorted(BUILDS))
def test_go_mod_agrees(module: str) -> None:
    """go.mod has the pinned version, and a tool line for each program."""
    component = BUILDS[module]
    text = (build.MODULES / component.build.module / "go.mod").read_text()
    required = re.findall(
        rf"^(?:require|\t)\s*{re.escape(MODULE_PATHS[module])} (v\S+)",
        text,
        re.MULTILINE,
    )
    tools = set(re.findall(r"^tool (\S+)$", text, re.MULTILINE))

    assert required == [component.version]
    assert tools == {program.package for program in component.programs}
    assert (build.MODULES / component.build.module / "go.sum").is_file()


def test_every_module_is_built() -> None:
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
    for component in BUILDS.values():
        if component.name in {"kubernetes", "containerd", "cni"}:
            assert f"ersion={component.version}" in component.build.ldflags


def test_command_of_several() -> None:
    """Several programs go into a folder, each under its package's last name."""
    component = COMPONENTS["cni"]
    command = build.build_command(
        Path("/go"),
        build=component.build,
        programs=component.programs,
        folder=Path("/out"),
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
    component = COMPONENTS["etcd"]
    command = build.build_command(
        Path("/go"),
        build=component.build,
        programs=component.programs,
        folder=Path("/out"),
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
    runc = COMPONENTS["runc"].build

    assert "-tags seccomp" in " ".join(build.build_flags(runc))
    assert (
        build.build_environment({}, build=runc, arch="amd64", owner=USER)["CGO_ENABLED"]
        == "1"
    )


def test_list_agrees_with_build() -> None:
    """The packages are counted under the very flags that they are compiled with."""
    component = COMPONENTS["runc"]
    command = build.list_command(
        Path("/go"), build=component.build, programs=component.programs
    )

    assert set(build.build_flags(component.build)) <= set(command)
    assert command[-1] == "github.com/opencontainers/runc"


def test_environment() -> None:
    """The user's proxy stays, what changes the programs is ours."""
    given = {
        "GOPROXY": "https://proxy.example",
        "GOFLAGS": "-mod=mod",
        "GOARCH": "wasm",
    }
    result = build.build_environment(given, build=Build("m"), arch="arm64", owner=USER)

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
    who = FileOwner(1000, 1000, Path("/home/ada"), through_sudo=True)
    given = {"HOME": "/root", "GOCACHE": "/root/c", "XDG_CACHE_HOME": "/root/.cache"}
    result = build.build_environment(given, build=Build("m"), arch="amd64", owner=who)

    assert result["HOME"] == "/home/ada"
    assert "GOCACHE" not in result
    assert "XDG_CACHE_HOME" not in result


def tiny_component() -> Component:
    """Return a component whose module needs no network."""
    return Component(
        name="tiny",
        version="v1.0.0",
        programs=(Program("tiny", "example.org/tiny", None),),
        lowest="1",
        below="2",
        version_pattern=r"^tiny (v\S+)",
        archive=Archive("https://example.org", "CMHOT_MIRROR_TINY", "tiny", {}),
        build=Build("tiny", ldflags="-X main.version=v1.0.0"),
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
    def progress(
        what: str, *, unit: str, expected_s: float | None = None
    ) -> Iterator[Advance]:
        def advance(done: int, *, total: int | None) -> None:
            shown.append((f"{what}, {unit}, {expected_s}", done, total))

        yield advance

    build.build_programs(
        tiny_component(),
        programs=tiny_component().programs,
        arch={"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        folder=folder,
        environ=os.environ,
        progress=progress,
        report=said.append,
        work=build.Work(),
        modules=tmp_path / "modules",
    )

    assert command_output([folder / "tiny"], folder=folder, environ={}) == "tiny v1.0.0"
    assert said[0].startswith("building tiny v1.0.0 from its Go modules with go1.")
    what, done, total = shown[-1]
    assert what == f"compiling tiny, packages, {tiny_component().build.seconds}"
    assert done == total


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


def test_go_on_path(tmp_path: Path) -> None:
    """The toolchain on PATH is used where it is new enough."""
    go = script(tmp_path / "bin" / "go", "echo go1.99.1")
    environ = {"PATH": f"{tmp_path}/bin"}
    found = find_go(go_module(tmp_path / "m"), environ=environ, packaged=lambda: None)

    assert found == Go(go, "go1.99.1")


def test_packaged_go(tmp_path: Path) -> None:
    """An old toolchain on PATH gives way to the environment's package."""
    script(tmp_path / "bin" / "go", "echo go1.19")
    packaged = script(tmp_path / "site" / "go", "echo go1.26.0")
    found = find_go(
        go_module(tmp_path / "m"),
        environ={"PATH": f"{tmp_path}/bin"},
        packaged=lambda: packaged,
    )

    assert found == Go(packaged, "go1.26.0")


def test_go_that_fetches_another(tmp_path: Path) -> None:
    """An old toolchain that may fetch a newer one, by its GOTOOLCHAIN, will do."""
    answer = 'test "$GOTOOLCHAIN" = local && echo go1.21.0 || echo go1.26.0'
    script(tmp_path / "bin" / "go", answer)
    module = go_module(tmp_path / "m")
    environ = {"PATH": f"{tmp_path}/bin"}

    found = find_go(module, environ=environ, packaged=lambda: None)
    assert found.version == "go1.26.0"
    with pytest.raises(ProgramsError):
        find_go(module, environ=environ, packaged=lambda: None, may_fetch=False)


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
        find_go(
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
        require_libraries(COMPONENTS["runc"].build, environ={"PATH": str(tmp_path)})


def test_missing_compiler(tmp_path: Path) -> None:
    """A missing compiler and a missing pkg-config are said together."""
    with pytest.raises(ProgramsError, match="needs a C compiler and pkg-config"):
        require_libraries(COMPONENTS["runc"].build, environ={"PATH": str(tmp_path)})


STARTER = """
import os, pathlib
from cmhot.cluster.testbed.programs.build import Work, run
run(
    ["sh", "-c", "echo $$; exec sleep 600"],
    folder=pathlib.Path("/"),
    environ=os.environ,
    work=Work(),
    on_line=lambda line: print(line, flush=True),
)
"""


def test_interrupt_ends_the_group(tmp_path: Path) -> None:
    """Ctrl-C while a compiler runs ends its whole process group."""
    pids: list[int] = []

    def interrupt(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(
            ["sh", "-c", "echo $$; sleep 600 & exec sleep 600"],
            folder=tmp_path,
            environ=os.environ,
            work=build.Work(),
            on_line=interrupt,
        )

    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


def test_work_that_is_stopped_ends_its_commands(tmp_path: Path) -> None:
    """What runs silently beside a part that failed is ended, and no other begins."""
    work = build.Work()
    command = ["sh", "-c", "echo started; exec sleep 600"]

    with pytest.raises(ProgramsError, match=r"exit code -9"):
        run(
            command,
            folder=tmp_path,
            environ=os.environ,
            work=work,
            on_line=lambda _: work.stop(),
        )
    with pytest.raises(ProgramsError, match="another part failed"):
        run(
            command,
            folder=tmp_path,
            environ=os.environ,
            work=work,
            on_line=lambda _: None,
        )


def test_failure_says_why(tmp_path: Path) -> None:
    """A command that fails is quoted with what it said last."""
    with pytest.raises(ProgramsError, match=r"exit code 3; it said: .*no such module"):
        run(
            ["sh", "-c", "echo no such module >&2; exit 3"],
            folder=tmp_path,
            environ=os.environ,
            work=build.Work(),
            on_line=lambda _: None,
        )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_starter_ends_its_child(number: signal.Signals) -> None:
    """The child of a killed process dies too, though nothing could be cleaned up."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTER],
        env=os.environ | {"PYTHONPATH": str(Path(cmhot.__file__).parents[1])},
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        child = os.pidfd_open(int(starter.stdout.readline()))
        alive = select.select([child], [], [], 0)[0] == []
        starter.send_signal(number)
        # readable means ended; ten seconds only bound a failure, it takes milliseconds
        ended = select.select([child], [], [], 10)[0] == [child]
        if not ended:
            signal.pidfd_send_signal(child, signal.SIGKILL)
    os.close(child)

    assert (alive, ended, starter.returncode) == (True, True, -number)


@pytest.mark.parametrize(
    ("command", "output"),
    [
        (["sh", "-c", "echo yes"], "yes"),
        (["sh", "-c", "echo; exit 1"], ""),
        (["/nowhere/go"], ""),
    ],
)
def test_command_output(command: list[str], output: str, tmp_path: Path) -> None:
    """A short command's output has no line end; what fails has none."""
    assert command_output(command, folder=tmp_path, environ=os.environ) == output
