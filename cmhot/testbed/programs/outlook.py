"""Tell beforehand which files would be used, and how the others would be fetched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmhot.errors import ProgramsError
from cmhot.testbed.programs.ensure import look_here
from cmhot.testbed.programs.search import allowed_steps, begin
from cmhot.testbed.programs.toolchain import find_go, require_libraries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cmhot.testbed.parts import Part, Program
    from cmhot.testbed.programs.search import Search, Source


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would happen if a program were needed now; nothing is fetched to know it.

    Attributes
    ----------
    program, part
        Name of the program, and of its upstream project.
    source
        The file that would be used; None: it would have to be fetched.
    remark
        Why no earlier source serves it, and how it would be fetched.
    """

    program: str
    part: str
    source: Source | None
    remark: str


def known_sources(
    *, kubernetes_version: str, bin_dir: Path | None = None, cache: Path | None = None
) -> tuple[Outlook, ...]:
    """Tell for each program which file would be used, or how it would be fetched.

    Nothing is fetched, written or removed; the parameters are `ensure_programs`'s.
    """
    return foresee(
        begin(kubernetes_version=kubernetes_version, bin_dir=bin_dir, cache=cache)
    )


def foresee(search: Search) -> tuple[Outlook, ...]:
    """Look at everything that is on this machine, and fetch nothing."""
    steps = allowed_steps(search.environ)
    for name, reason in look_here(search, steps).items():
        search.reasons.setdefault(name, {})["cache"] = reason
    return tuple(
        Outlook(
            program.name,
            part.name,
            source := search.found.get(program.name),
            source.why if source else _plan(search, part, program, steps),
        )
        for part in search.parts
        for program in part.programs
    )


def _plan(search: Search, part: Part, program: Program, steps: Sequence[str]) -> str:
    """Say why a program has to be fetched, and how that would be done."""
    ways = [search.why(program)] if search.why(program) else []
    pinned = search.arch in part.archive.checksums
    if "archive" in steps and pinned:
        url = part.url(search.environ, arch=search.arch)
        ways.append(f"would be downloaded from {url}")
    if "build" in steps:
        module = search.modules / part.build.module
        try:
            go = find_go(module, environ=search.environ, may_fetch=False)
            require_libraries(part.build, environ=search.environ)
        except ProgramsError as error:
            ways.append(f"cannot be built as it is: {error}")
        else:
            or_else = "or else " if "archive" in steps and pinned else "would be "
            ways.append(f"{or_else}built with {go.version} ({go.path})")
    return "; ".join(ways)
