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

import contextlib
import fcntl
import json
import os
import platform
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cmhot.errors import HostError, ProgramsError, UsageError
from cmhot.testbed import build
from cmhot.testbed.download import Downloader, bar, checksum_of, unpack
from cmhot.testbed.owner import cache_dir, give_back, make_folder
from cmhot.testbed.versions import catalogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cmhot.testbed.download import Progress
    from cmhot.testbed.versions import Part, Program

    Report = Callable[[str], None]

STEPS = ("bin-dir", "path", "cache", "archive", "build")
ASK_S = 20.0
"""Patience with a program that is asked its version; the largest takes 0.2 s."""
_MANIFEST = "manifest.json"
_WORK = ".new-"
_ABSENT = "no {}"
_CHANGED = "changed since it was put there, as its SHA-256 shows"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Source:
    """Where one program came from.

    Attributes
    ----------
    program, part
        Name of the program, and of the upstream project that it belongs to.
    step
        The source that served it, one of `STEPS`.
    origin
        How a cached program was had at first: ``archive`` or ``build``;
        otherwise the same as `step`.
    version
        What it says it is, or the pinned version that it was checked against.
    path
        The file.
    sha256
        Of the file, in hexadecimal.
    why
        Why no earlier source served it; empty when there is none.
    """

    program: str
    part: str
    step: str
    origin: str
    version: str
    path: Path
    sha256: str
    why: str

    def to_dict(self) -> dict[str, str]:
        """Return what goes into a run's provenance."""
        return {
            "part": self.part,
            "step": self.step,
            "origin": self.origin,
            "version": self.version,
            "path": str(self.path),
            "sha256": self.sha256,
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class Programs:
    """All programs of a testbed.

    Attributes
    ----------
    sources
        One for each program, by its name.
    """

    sources: Mapping[str, Source]

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


@dataclass(slots=True)
class Search:
    """One search for programs: what was asked, and what is known so far.

    Attributes
    ----------
    parts
        What is looked for.
    arch
        ``amd64`` or ``arm64``.
    cache
        Folder of this version and architecture.
    bin_dir
        Folder to look into first; None: no such folder.
    environ
        PATH, mirrors, CMHOT_SOURCES, and what `go` is to see.
    report
        Told what is being done and why, a sentence at a time.
    progress
        Shows downloads and builds.
    modules
        Folder of the Go modules.
    found
        The programs so far.
    reasons
        For each program, why the sources that were tried did not serve it, by source.
    """

    parts: Sequence[Part]
    arch: str
    cache: Path
    bin_dir: Path | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    report: Report = lambda _: None
    progress: Progress = bar
    modules: Path = build.MODULES
    found: dict[str, Source] = field(default_factory=dict)
    reasons: dict[str, dict[str, str]] = field(default_factory=dict)

    def missing(self, part: Part) -> list[Program]:
        """Return the programs of the part that were not found yet."""
        return [item for item in part.programs if item.name not in self.found]

    @property
    def incomplete(self) -> list[Part]:
        """Return the parts that lack a program."""
        return [part for part in self.parts if self.missing(part)]

    def add(
        self,
        part: Part,
        program: Program,
        *,
        step: str,
        origin: str | None = None,
        version: str,
        path: Path,
        sha: str,
    ) -> None:
        """Note that a program was found, and why not earlier."""
        self.found[program.name] = Source(
            program=program.name,
            part=part.name,
            step=step,
            origin=origin or step,
            version=version,
            path=path.absolute(),
            sha256=sha,
            why=self.why(program),
        )

    def why_not(self, program: Program, step: str, reason: str) -> None:
        """Note why a source does not serve a program."""
        self.reasons.setdefault(program.name, {})[step] = reason

    def why(self, *programs: Program) -> str:
        """Say why the sources tried so far do not serve the programs."""
        sentences = []
        for step in STEPS:
            noted = [self.reasons.get(item.name, {}).get(step) for item in programs]
            reasons = dict.fromkeys(reason for reason in noted if reason)
            sentences += [f"{step}: {', '.join(reasons)}"] if reasons else []
        return "; ".join(sentences)


def allowed_steps(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Read CMHOT_SOURCES; without it, every source may be used.

    Raises
    ------
    UsageError
        When it names a source that there is not.
    """
    given = environ.get("CMHOT_SOURCES", "").strip()
    if not given:
        return STEPS
    wanted = [word.strip() for word in given.split(",")]
    unknown = [word for word in wanted if word not in STEPS]
    if unknown:
        msg = f"CMHOT_SOURCES has {unknown[0]!r}: choose from {', '.join(STEPS)}"
        raise UsageError(msg)
    return tuple(step for step in STEPS if step in wanted)


def architecture() -> str:
    """Return this machine's architecture as Go spells it.

    Raises
    ------
    HostError
        For a machine that nothing is pinned for.
    """
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        known = " and ".join(_ARCHITECTURES)
        msg = f"this machine is {machine}: the programs are pinned for {known}"
        raise HostError(msg)
    return _ARCHITECTURES[machine]


def ask_version(part: Part, path: Path) -> str | None:
    """Ask a program its version; None: it is not the part's program."""
    try:
        done = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=ASK_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return part.read_version(done.stdout)


def _fitting(
    part: Part, program: Program, *, folders: Sequence[Path]
) -> tuple[tuple[Path, str] | None, str]:
    """Return the first file whose version will do, or why there is none."""
    refused = []
    for folder in folders:
        path = folder / program.name
        if not (path.is_file() and os.access(path, os.X_OK)):
            continue
        version = ask_version(part, path)
        if version is None:
            refused.append(f"{path} does not say a version as {part.name}'s do")
        elif part.supports(version):
            return (path, version), ""
        else:
            refused.append(f"{path} is {version}, needed is {part.range}")
    return None, ", ".join(refused) or _ABSENT.format(program.name)


def _look_locally(search: Search, step: str, folders: Sequence[Path]) -> None:
    """Take programs from folders: a whole part of one version, or pinned ones.

    A part that is there incompletely is taken only where its version is the pinned one,
    since what is missing will be of the pinned version.
    """
    for part in search.incomplete:
        fits: list[tuple[Program, Path, str]] = []
        for program in search.missing(part):
            fitting, reason = _fitting(part, program, folders=folders)
            if fitting is None:
                search.why_not(program, step, reason)
            else:
                fits.append((program, *fitting))
        versions = {version.removeprefix("v") for _, _, version in fits}
        whole = len(fits) == len(part.programs) and len(versions) == 1
        for program, path, version in fits:
            if whole or version.removeprefix("v") == part.version.removeprefix("v"):
                sha256 = checksum_of(path).partition(":")[2]
                search.add(
                    part, program, step=step, version=version, path=path, sha=sha256
                )
            else:
                reason = f"{path} is {version}, but others of {part.name} are not there"
                search.why_not(program, step, reason)


def _read_manifest(cache: Path) -> dict[str, dict[str, str]]:
    """Read what the cache is said to hold; a damaged list is as good as none."""
    with contextlib.suppress(OSError, ValueError):
        content = json.loads((cache / _MANIFEST).read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return {
                name: entry
                for name, entry in content.items()
                if isinstance(entry, dict)
            }
    return {}


def _look_in_cache(search: Search) -> dict[str, str]:
    """Take what is in the cache as it was put there; say of the rest what is wrong."""
    manifest = _read_manifest(search.cache)
    wrong: dict[str, str] = {}
    candidates = []
    for part in search.incomplete:
        for program in search.missing(part):
            entry, path = manifest.get(program.name), search.cache / program.name
            if entry is None or not path.is_file():
                wrong[program.name] = "not there"
            elif entry.get("version") != part.version:
                wrong[program.name] = f"there as {entry.get('version')}"
            else:
                candidates.append((part, program, path, entry))
    with ThreadPoolExecutor() as pool:  # hashing releases the GIL: half the time on two
        sums = list(pool.map(checksum_of, (path for _, _, path, _ in candidates)))
    for (part, program, path, entry), found in zip(candidates, sums, strict=True):
        sha256 = found.partition(":")[2]
        if sha256 != entry.get("sha256"):
            wrong[program.name] = _CHANGED
            continue
        origin = entry.get("origin", "cache")
        search.add(
            part,
            program,
            step="cache",
            origin=origin,
            version=part.version,
            path=path,
            sha=sha256,
        )
    return wrong


def _look_without_fetching(search: Search, steps: Sequence[str]) -> dict[str, str]:
    """Try what is on this machine; return what is wrong with the cache, by program."""
    if "bin-dir" in steps and search.bin_dir is not None:
        _look_locally(search, "bin-dir", [search.bin_dir])
        for part in search.parts:
            for program in search.missing(part):
                reason = search.reasons[program.name]["bin-dir"]
                if reason != _ABSENT.format(program.name):
                    search.report(f"not taken from --bin-dir: {reason}")
    if "path" in steps:
        folders = {
            Path(folder).resolve(): None
            for folder in search.environ.get("PATH", "").split(os.pathsep)
            if folder
        }
        _look_locally(search, "path", list(folders))
    return _look_in_cache(search) if "cache" in steps else {}


@contextlib.contextmanager
def _locked(cache: Path, *, report: Report) -> Iterator[None]:
    """Hold the cache's lock; the kernel lets go of it if this process dies."""
    path = cache / ".lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        give_back(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting: another cmhot is fetching the testbed's programs")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _download(search: Search, part: Part, folder: Path, downloader: Downloader) -> None:
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


def _install(search: Search, part: Part, step: str, folder: Path) -> None:
    """Move fetched programs into the cache, once they answer as they should."""
    programs = search.missing(part)
    for program in programs:
        version = ask_version(part, folder / program.name)
        if version is None or version.removeprefix("v") != part.version.removeprefix(
            "v"
        ):
            msg = (
                f"{program.name} does not answer that it is {part.version} but "
                f"{version or 'nothing'}: is {search.cache} on a noexec mount?"
            )
            raise ProgramsError(msg)
    manifest = _read_manifest(search.cache)
    for program in programs:
        path = search.cache / program.name
        sha256 = checksum_of(folder / program.name).partition(":")[2]
        (folder / program.name).replace(path)
        give_back(path)
        manifest[program.name] = {
            "part": part.name,
            "version": part.version,
            "sha256": sha256,
            "origin": step,
        }
        search.add(
            part,
            program,
            step=step,
            version=part.version,
            path=path,
            sha=sha256,
        )
    written = folder / _MANIFEST
    written.write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
    written.replace(search.cache / _MANIFEST)
    give_back(search.cache / _MANIFEST)


def _fetch(search: Search, part: Part, step: str, downloader: Downloader) -> None:
    with tempfile.TemporaryDirectory(prefix=_WORK, dir=search.cache) as name:
        folder = Path(name)
        if step == "archive":
            _download(search, part, folder, downloader)
        else:
            build.build_programs(
                part,
                programs=search.missing(part),
                arch=search.arch,
                folder=folder,
                environ=search.environ,
                progress=search.progress,
                say=search.report,
                modules=search.modules,
            )
        _install(search, part, step, folder)


def _fetch_missing(search: Search, steps: Sequence[str]) -> None:
    """Fetch what is missing into the cache, whose lock is held.

    What builds quickly comes first:
    what it lacks should not be said after eight minutes of Kubernetes.
    """
    downloader = Downloader()
    for stale in search.cache.glob(f"{_WORK}*"):
        shutil.rmtree(stale, ignore_errors=True)
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


def _drop_changed(search: Search, wrong: Mapping[str, str]) -> None:
    """Remove cached files that are not as they were, and note why the cache failed."""
    for part in search.incomplete:
        for program in search.missing(part):
            reason = wrong.get(program.name)
            if reason == _CHANGED:
                (search.cache / program.name).unlink()
                search.report(f"removed {program.name} from the cache: it was {reason}")
            if reason:
                search.why_not(program, "cache", reason)


def find_all(search: Search) -> Programs:
    """Carry a search through: look, then fetch what is missing.

    Raises
    ------
    ProgramsError
        When a program can be had from no source; the message goes through them all.
    """
    steps = allowed_steps(search.environ)
    _look_without_fetching(search, steps)
    if search.incomplete:
        try:
            make_folder(search.cache)
            with _locked(search.cache, report=search.report):
                wrong = _look_in_cache(search) if "cache" in steps else {}
                _drop_changed(search, wrong)
                _fetch_missing(search, steps)
        except OSError as error:
            msg = (
                f"the cache {search.cache} cannot be filled: {error}; make room or "
                "make it writable, or choose another place with XDG_CACHE_HOME"
            )
            raise ProgramsError(msg) from error
    names = [program.name for part in search.parts for program in part.programs]
    return Programs({name: search.found[name] for name in names})


def _search(
    kubernetes_version: str, bin_dir: Path | None, cache: Path | None
) -> Search:
    if bin_dir is not None and not bin_dir.is_dir():
        msg = f"--bin-dir {bin_dir} is no folder: name one that holds programs"
        raise UsageError(msg)
    arch = architecture()
    return Search(
        parts=catalogue(kubernetes_version),
        arch=arch,
        cache=(cache or cache_dir() / "testbed") / kubernetes_version / arch,
        bin_dir=bin_dir,
    )


def ensure_programs(
    *,
    kubernetes_version: str,
    bin_dir: Path | None = None,
    cache: Path | None = None,
    report: Report = lambda _: None,
    progress: Progress = bar,
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
        Shows downloads and builds; the default draws bars in a terminal.

    Raises
    ------
    UsageError
        For an unknown version, a wrong `bin_dir` or a wrong CMHOT_SOURCES.
    ProgramsError
        When a program can be had from no source.
    """
    search = _search(kubernetes_version, bin_dir, cache)
    search.report, search.progress = report, progress
    return find_all(search)


def known_sources(
    *, kubernetes_version: str, bin_dir: Path | None = None, cache: Path | None = None
) -> tuple[Outlook, ...]:
    """Tell for each program which file would be used, or how it would be fetched.

    Nothing is fetched, written or removed; the parameters are `ensure_programs`'s.
    """
    return foresee(_search(kubernetes_version, bin_dir, cache))


def foresee(search: Search) -> tuple[Outlook, ...]:
    """Look at everything that is on this machine, and fetch nothing."""
    steps = allowed_steps(search.environ)
    for name, reason in _look_without_fetching(search, steps).items():
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
    if "archive" in steps:
        url = part.url(search.environ, arch=search.arch)
        ways.append(f"would be downloaded from {url}")
    if "build" in steps:
        module = search.modules / part.build.module
        try:
            go = build.find_go(module, environ=search.environ, may_fetch=False)
            build.require_libraries(part.build, environ=search.environ)
        except ProgramsError as error:
            ways.append(f"cannot be built as it is: {error}")
        else:
            or_else = "or else " if "archive" in steps else "would be "
            ways.append(f"{or_else}built with {go.version} ({go.path})")
    return "; ".join(ways)
