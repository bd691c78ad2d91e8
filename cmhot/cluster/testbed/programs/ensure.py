"""Get every program of a testbed from the first source that has it.

1. The folder given as ``--bin-dir`` ("bin-dir"), then PATH ("path"),
   where the version will do.
2. The cache ("cache"), each file checked against its recorded SHA-256.
3. The official archives ("archive"), pinned by checksum. Their addresses can be
   replaced: CMHOT_MIRROR_KUBERNETES, CMHOT_MIRROR_ETCD, CMHOT_MIRROR_CONTAINERD,
   CMHOT_MIRROR_RUNC, CMHOT_MIRROR_CNI.
4. A build from Go modules ("build"), pinned by go.sum.

CMHOT_SOURCES restricts them, such as ``CMHOT_SOURCES=cache,build``.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cmhot.cluster.testbed import host
from cmhot.cluster.testbed.owner import cache_dir, make_folder
from cmhot.cluster.testbed.programs.build import (
    MODULES,
    Work,
    build_programs,
    find_go,
    require_libraries,
)
from cmhot.cluster.testbed.programs.cache import (
    ABSENT,
    drop_changed,
    drop_unfinished,
    install,
    locked,
    look_in_cache,
    look_in_folders,
    unfinished_folder,
)
from cmhot.cluster.testbed.programs.download import (
    Downloader,
    checksum_of,
    progress_bar,
    progress_display,
    unpack,
)
from cmhot.cluster.testbed.versions import catalogue, older_kubelet
from cmhot.errors import ProgramsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cmhot.cluster.testbed.programs.download import ProgressDisplay, Report
    from cmhot.cluster.testbed.versions import Component, Program


STEPS = ("bin-dir", "path", "cache", "archive", "build")
"""The sources, in the order in which they are tried."""


@dataclass(frozen=True, slots=True)
class ProgramSource:
    """Where one program came from."""

    program: str
    component: str
    step: str  # the source that served it, one of `STEPS`
    origin: str  # of a cached program ``archive`` or ``build``, otherwise `step`
    version: str  # its own version, or the pinned one that it was checked against
    path: Path
    sha256: str  # of the file, in hexadecimal
    why: str  # why no earlier source served it; empty when there is none

    def to_dict(self) -> dict[str, str]:
        """Return what goes into a run's provenance."""
        return {
            "part": self.component,
            "step": self.step,
            "origin": self.origin,
            "version": self.version,
            "path": str(self.path),
            "sha256": self.sha256,
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class Programs:
    """All programs of a testbed, by their names."""

    sources: Mapping[str, ProgramSource]

    def __getitem__(self, program: str) -> Path:
        return self.sources[program].path

    @property
    def paths(self) -> dict[str, Path]:
        """Return the file of each program."""
        return {name: source.path for name, source in self.sources.items()}

    def to_dict(self) -> dict[str, dict[str, str]]:
        """Return each program's source as plain values."""
        return {name: source.to_dict() for name, source in self.sources.items()}


@dataclass(frozen=True, slots=True)
class Availability:
    """Where a program would come from if it were needed now; nothing is fetched."""

    program: str
    component: str
    source: ProgramSource | None  # None: it would have to be fetched
    remark: str  # why no earlier source serves it, and how it would be fetched


@dataclass(slots=True)
class Search:
    """One search for programs: the request, and the findings so far."""

    components: Sequence[Component]  # the components to look for
    arch: str  # ``amd64`` or ``arm64``
    cache: Path  # folder of this version and architecture
    bin_dir: Path | None = None  # folder to look into first
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    report: Report = lambda _: None
    progress: ProgressDisplay = progress_bar
    modules: Path = MODULES
    found: dict[str, ProgramSource] = field(default_factory=dict)
    work: Work = field(default_factory=Work)
    # for each program, why the sources that were tried did not serve it, by source
    reasons: dict[str, dict[str, str]] = field(default_factory=dict)

    def missing(self, component: Component) -> list[Program]:
        """Return the programs of the component that were not found yet."""
        return [item for item in component.programs if item.name not in self.found]

    @property
    def incomplete(self) -> list[Component]:
        """Return the components that lack a program."""
        return [component for component in self.components if self.missing(component)]

    def add(
        self,
        component: Component,
        program: Program,
        *,
        step: str,
        origin: str | None = None,
        version: str,
        path: Path,
        checksum: str | None = None,
    ) -> ProgramSource:
        """Record a found program, and why the sources tried before did not serve it."""
        source = ProgramSource(
            program=program.name,
            component=component.name,
            step=step,
            origin=origin or step,
            version=version,
            path=path.absolute(),
            sha256=(checksum or checksum_of(path)).partition(":")[2],
            why=self.why(program),
        )
        self.found[program.name] = source
        return source

    def reject(self, program: Program, step: str, reason: str) -> None:
        """Record why a source does not serve a program."""
        self.reasons.setdefault(program.name, {})[step] = reason

    def why(self, *programs: Program) -> str:
        """Explain why the sources tried so far do not serve the programs."""
        sentences = []
        for step in STEPS:
            noted = [self.reasons.get(item.name, {}).get(step) for item in programs]
            reasons = dict.fromkeys(reason for reason in noted if reason)
            sentences += [f"{step}: {', '.join(reasons)}"] if reasons else []
        return "; ".join(sentences)


def ensure_programs(
    *,
    kubernetes_version: str,
    bin_dir: Path | None = None,
    report: Report = lambda _: None,
    components: Callable[[str], Sequence[Component]] = catalogue,
) -> Programs:
    """Return the programs of a testbed; get those that are not on this machine yet.

    `bin_dir` is looked into before PATH, and need not hold all of them.
    `report` is called with sentences about each step and its reason.
    `components` gives the components of a version.
    """
    search = _start_search(
        components(kubernetes_version), kubernetes_version, bin_dir=bin_dir
    )
    search.report, search.progress = report, progress_display(report)
    return find_all(search)


def ensure_older_kubelet(
    version: str, *, bin_dir: Path | None = None, report: Report = lambda _: None
) -> Programs:
    """Return the programs of a node with an older kubelet.

    Of the Kubernetes of that version only the kubelet is needed.
    """
    return ensure_programs(
        kubernetes_version=version,
        bin_dir=bin_dir,
        report=report,
        components=older_kubelet,
    )


def known_sources(*, kubernetes_version: str) -> tuple[Availability, ...]:
    """List for each program which file would be used, or how it would be fetched.

    Nothing is fetched, written or removed.
    """
    components = catalogue(kubernetes_version)
    return look_ahead(_start_search(components, kubernetes_version))


def _start_search(
    components: Sequence[Component], version: str, *, bin_dir: Path | None = None
) -> Search:
    if bin_dir is not None and not bin_dir.is_dir():
        msg = f"--bin-dir {bin_dir} is no folder: name one that holds programs"
        raise UsageError(msg)
    arch = host.architecture()
    return Search(
        components=components,
        arch=arch,
        cache=cache_dir() / "testbed" / version / arch,
        bin_dir=bin_dir,
    )


def find_all(search: Search) -> Programs:
    """Carry a search through: look, then fetch the missing programs."""
    steps = allowed_steps(search.environ)
    _look_on_machine(search, steps)
    if search.incomplete:
        try:
            make_folder(search.cache)
            with locked(search.cache, report=search.report):
                wrong = look_in_cache(search) if "cache" in steps else {}
                drop_changed(search, wrong)
                _fetch_missing(search, steps)
        except OSError as error:
            msg = (
                f"the cache {search.cache} cannot be filled: {error}; make room or "
                "make it writable, or choose another place with XDG_CACHE_HOME"
            )
            raise ProgramsError(msg) from error
    return Programs(
        {
            program.name: search.found[program.name]
            for component in search.components
            for program in component.programs
        }
    )


def allowed_steps(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Read CMHOT_SOURCES; without it, every source may be used."""
    given = environ.get("CMHOT_SOURCES", "").strip()
    if not given:
        return STEPS
    wanted = [word.strip() for word in given.split(",")]
    unknown = [word for word in wanted if word not in STEPS]
    if unknown:
        msg = f"CMHOT_SOURCES has {unknown[0]!r}: choose from {', '.join(STEPS)}"
        raise UsageError(msg)
    return tuple(step for step in STEPS if step in wanted)


def _look_on_machine(search: Search, steps: Sequence[str]) -> dict[str, str]:
    """Try files on this machine; return what is wrong with the cache, by program."""
    if "bin-dir" in steps and search.bin_dir is not None:
        look_in_folders(search, "bin-dir", [search.bin_dir])
        for component in search.components:
            for program in search.missing(component):
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


def _fetch_missing(search: Search, steps: Sequence[str]) -> None:
    """Fetch missing programs into the cache, whose lock is held.

    The component that takes longest is fetched beside all others, of which the quick
    ones come first: a library that they lack stops all of it before it takes long.
    """
    downloader, installing = Downloader(), threading.Lock()
    drop_unfinished(search.cache)
    by_time = sorted(search.incomplete, key=lambda item: item.build.seconds)
    with ThreadPoolExecutor() as pool:
        lanes = [
            pool.submit(_fetch, search, lane, steps, downloader, installing)
            for lane in (by_time[-1:], by_time[:-1])
        ]
        try:
            for lane in as_completed(lanes):
                lane.result()
        except BaseException:
            search.work.stop()
            raise


def _fetch(
    search: Search,
    components: Sequence[Component],
    steps: Sequence[str],
    downloader: Downloader,
    installing: threading.Lock,
) -> None:
    """Fetch missing programs of components, one component after the other."""
    for component in components:
        name = f"{component.name} {component.version}"
        why = search.why(*search.missing(component))
        search.report(f"{name} is to be fetched ({why})")
        for step in ("archive", "build"):
            if step not in steps or not search.missing(component):
                continue
            try:
                with unfinished_folder(search.cache) as folder:
                    if step == "archive":
                        _download(search, component, folder, downloader)
                    else:
                        _build(search, component, folder)
                    with installing:  # all are in one list
                        install(search, component, step=step, folder=folder)
            except ProgramsError as error:
                for program in search.missing(component):
                    search.reject(program, step, str(error))
                search.report(f"{component.name} not had by {step}: {error}")
        missing = search.missing(component)
        if missing:
            names = ", ".join(program.name for program in missing)
            why = search.why(*missing) or "none is allowed"
            msg = f"no source has {names} {component.version}: {why}"
            raise ProgramsError(msg)


def _download(
    search: Search, component: Component, folder: Path, downloader: Downloader
) -> None:
    checksum = component.archive.checksums.get(search.arch)
    if checksum is None:
        msg = f"no checksum of {component.name} {component.version} is pinned"
        raise ProgramsError(msg)
    url = component.url(search.environ, arch=search.arch)
    target = search.cache / f"{component.name}-{component.version}.download"
    search.report(f"downloading {url}")
    with search.progress(f"downloading {component.name}", unit="B") as advance:

        def advance_on(done: int, *, total: int | None) -> None:
            search.work.check()
            advance(done, total=total)

        downloader.fetch(url, target=target, checksum=checksum, advance=advance_on)
    members = {
        program.name: program.member
        and component.fill(program.member, arch=search.arch)
        for program in search.missing(component)
    }
    try:
        unpack(target, members=members, folder=folder)
    finally:
        target.unlink()


def _build(search: Search, component: Component, folder: Path) -> None:
    build_programs(
        component,
        programs=search.missing(component),
        arch=search.arch,
        folder=folder,
        environ=search.environ,
        progress=search.progress,
        report=search.report,
        work=search.work,
        modules=search.modules,
    )


def look_ahead(search: Search) -> tuple[Availability, ...]:
    """Look for all programs on this machine, and fetch none."""
    steps = allowed_steps(search.environ)
    for name, reason in _look_on_machine(search, steps).items():
        search.reasons.setdefault(name, {})["cache"] = reason
    return tuple(
        Availability(
            program.name,
            component.name,
            source := search.found.get(program.name),
            source.why if source else _fetch_remark(search, component, program, steps),
        )
        for component in search.components
        for program in component.programs
    )


def _fetch_remark(
    search: Search, component: Component, program: Program, steps: Sequence[str]
) -> str:
    """Explain why a program has to be fetched, and how that would be done."""
    remarks = [search.why(program)] if search.why(program) else []
    pinned = search.arch in component.archive.checksums
    if "archive" in steps and pinned:
        url = component.url(search.environ, arch=search.arch)
        remarks.append(f"would be downloaded from {url}")
    if "build" in steps:
        module = search.modules / component.build.module
        try:
            go = find_go(module, environ=search.environ, may_fetch=False)
            require_libraries(component.build, environ=search.environ)
        except ProgramsError as error:
            remarks.append(f"cannot be built as it is: {error}")
        else:
            or_else = "or else " if "archive" in steps and pinned else "would be "
            remarks.append(f"{or_else}built with {go.version} ({go.path})")
    return "; ".join(remarks)
