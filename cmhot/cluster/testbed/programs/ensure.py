"""Get what is not on this machine: from the official archives, or by building it.

Get every program of a testbed from the first source that has it.

1. The folder given as ``--bin-dir`` ("bin-dir"), then PATH ("path"),
   where the version will do.
2. The cache ("cache"), each file checked against its recorded SHA-256.
3. The official archives ("archive"), pinned by checksum. Their addresses can be
   replaced: CMHOT_MIRROR_KUBERNETES, CMHOT_MIRROR_ETCD, CMHOT_MIRROR_CONTAINERD,
   CMHOT_MIRROR_RUNC, CMHOT_MIRROR_CNI.
4. A build from Go modules ("build"), pinned by go.sum.

CMHOT_SOURCES restricts them, such as ``CMHOT_SOURCES=cache,build``.

Tell beforehand which files would be used, and how the others would be fetched.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cmhot.cluster.testbed.owner import make_folder
from cmhot.cluster.testbed.programs.build import (
    build_programs,
    find_go,
    require_libraries,
)
from cmhot.cluster.testbed.programs.cache import (
    ABSENT,
    drop_changed,
    drop_workplaces,
    install,
    locked,
    look_in_cache,
    look_in_folders,
    workplace,
)
from cmhot.cluster.testbed.programs.download import Downloader, suitable, unpack
from cmhot.cluster.testbed.programs.search import Programs, allowed_steps, begin
from cmhot.cluster.testbed.versions import older_kubelet
from cmhot.errors import ProgramsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmhot.cluster.testbed.programs.download import Progress, Report
    from cmhot.cluster.testbed.programs.search import Search, Source
    from cmhot.cluster.testbed.versions import Part, Program


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


def ensure_programs(
    *,
    kubernetes_version: str,
    bin_dir: Path | None = None,
    cache: Path | None = None,
    report: Report = lambda _: None,
    progress: Progress | None = None,
) -> Programs:
    """Return the programs of a testbed; get those that are not on this machine yet.

    Parameters
    ----------
    kubernetes_version
        One of the pinned versions, such as ``v1.37.1``.
    bin_dir
        Folder to look into before PATH; it need not hold all of them. None: only PATH.
    cache
        Folder of the caches of all versions; None: ``testbed`` in the user's cache.
    report
        Told what is being done and why.
    progress
        Shows downloads and builds;
        None: bars in a terminal, elsewhere a line through `report` now and then.

    Raises
    ------
    UsageError
        For an unknown version, a wrong `bin_dir` or a wrong CMHOT_SOURCES.
    ProgramsError
        When a program can be had from no source.
    """
    search = begin(kubernetes_version=kubernetes_version, bin_dir=bin_dir, cache=cache)
    search.report, search.progress = report, progress or suitable(report)
    return find_all(search)


def ensure_older_kubelet(
    version: str,
    *,
    bin_dir: Path | None = None,
    cache: Path | None = None,
    report: Report = lambda _: None,
    progress: Progress | None = None,
) -> Programs:
    """Return the programs of a node with an older kubelet.

    The parameters, and what is raised, are those of `ensure_programs`;
    of the Kubernetes of that version only the kubelet is needed.
    """
    search = begin(
        kubernetes_version=version, bin_dir=bin_dir, cache=cache, parts=older_kubelet
    )
    search.report, search.progress = report, progress or suitable(report)
    return find_all(search)


def find_all(search: Search) -> Programs:
    """Carry a search through: look, then fetch what is missing.

    Raises
    ------
    ProgramsError
        When a program can be had from no source; the message goes through them all.
    """
    steps = allowed_steps(search.environ)
    look_here(search, steps)
    if search.incomplete:
        try:
            make_folder(search.cache)
            with locked(search.cache, report=search.report):
                wrong = look_in_cache(search) if "cache" in steps else {}
                drop_changed(search, wrong)
                fetch_missing(search, steps)
        except OSError as error:
            msg = (
                f"the cache {search.cache} cannot be filled: {error}; make room or "
                "make it writable, or choose another place with XDG_CACHE_HOME"
            )
            raise ProgramsError(msg) from error
    names = [program.name for part in search.parts for program in part.programs]
    return Programs({name: search.found[name] for name in names})


def look_here(search: Search, steps: Sequence[str]) -> dict[str, str]:
    """Try what is on this machine; return what is wrong with the cache, by program."""
    if "bin-dir" in steps and search.bin_dir is not None:
        look_in_folders(search, "bin-dir", [search.bin_dir])
        for part in search.parts:
            for program in search.missing(part):
                reason = search.reasons[program.name]["bin-dir"]
                if reason != ABSENT.format(program.name):
                    search.report(f"not taken from --bin-dir: {reason}")
    if "path" in steps:
        folders = {
            Path(folder).resolve(): None
            for folder in search.environ.get("PATH", "").split(os.pathsep)
            if folder
        }
        look_in_folders(search, "path", list(folders))
    return look_in_cache(search) if "cache" in steps else {}


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
