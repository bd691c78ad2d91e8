"""Build a part from its Go module: what works where only package registries do.

The modules are a go.mod and a go.sum each, nothing of upstream's.
go.sum pins the content, whichever proxy it comes from.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from cmhot.testbed.owner import give_back, owner
from cmhot.testbed.programs.child import run
from cmhot.testbed.programs.toolchain import find_go, require_libraries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cmhot.testbed.owner import Owner
    from cmhot.testbed.parts import Build, Part, Program
    from cmhot.testbed.programs.progress import Progress

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
