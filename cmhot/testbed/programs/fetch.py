"""Get what is not on this machine: from the official archives, or by building it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmhot.errors import ProgramsError
from cmhot.testbed.programs.build import build_programs
from cmhot.testbed.programs.cache import drop_workplaces, install, workplace
from cmhot.testbed.programs.download import Downloader, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cmhot.testbed.parts import Part
    from cmhot.testbed.programs.search import Search


def fetch_missing(search: Search, steps: Sequence[str]) -> None:
    """Fetch what is missing into the cache, whose lock is held.

    What builds quickly comes first:
    what it lacks should not be said after eight minutes of Kubernetes.
    """
    downloader = Downloader()
    drop_workplaces(search.cache)
    for part in sorted(search.incomplete, key=lambda part: part.build.seconds):
        why = search.why(*search.missing(part))
        search.report(f"{part.name} {part.version} is to be fetched ({why})")
        for step in ("archive", "build"):
            if step not in steps or not search.missing(part):
                continue
            try:
                _fetch(search, part, step, downloader)
            except ProgramsError as error:
                for program in search.missing(part):
                    search.why_not(program, step, str(error))
                search.report(f"{part.name} not had by {step}: {error}")
        if search.missing(part):
            names = ", ".join(program.name for program in search.missing(part))
            why = search.why(*search.missing(part))
            msg = f"no source has {names} {part.version}: {why or 'none is allowed'}"
            raise ProgramsError(msg)


def _fetch(search: Search, part: Part, step: str, downloader: Downloader) -> None:
    with workplace(search.cache) as folder:
        if step == "archive":
            _download(search, part, folder, downloader)
        else:
            _build(search, part, folder)
        install(search, part, step=step, folder=folder)


def _download(search: Search, part: Part, folder: Path, downloader: Downloader) -> None:
    if search.arch not in part.archive.checksums:
        msg = f"no checksum of {part.name} {part.version} is pinned"
        raise ProgramsError(msg)
    url = part.url(search.environ, arch=search.arch)
    target = search.cache / f"{part.name}-{part.version}.download"
    search.report(f"downloading {url}")
    with search.progress(f"downloading {part.name}", unit="B") as advance:
        checksum = part.archive.checksums[search.arch]
        downloader.fetch(url, target=target, checksum=checksum, advance=advance)
    members = {
        program.name: program.member and part.fill(program.member, arch=search.arch)
        for program in search.missing(part)
    }
    try:
        unpack(target, members=members, folder=folder)
    finally:
        target.unlink()


def _build(search: Search, part: Part, folder: Path) -> None:
    build_programs(
        part,
        programs=search.missing(part),
        arch=search.arch,
        folder=folder,
        environ=search.environ,
        progress=search.progress,
        say=search.report,
        modules=search.modules,
    )
