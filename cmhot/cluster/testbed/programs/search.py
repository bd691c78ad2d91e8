"""What is looked for, what was found, and why not earlier: the state of a search."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cmhot.cluster.testbed.owner import cache_dir
from cmhot.cluster.testbed.programs.build import MODULES
from cmhot.cluster.testbed.programs.download import bar
from cmhot.cluster.testbed.versions import catalogue
from cmhot.errors import HostError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cmhot.cluster.testbed.programs.download import Progress, Report
    from cmhot.cluster.testbed.versions import Part, Program


STEPS = ("bin-dir", "path", "cache", "archive", "build")
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
    modules: Path = MODULES
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


def begin(
    *,
    kubernetes_version: str,
    bin_dir: Path | None,
    cache: Path | None,
    parts: Callable[[str], Sequence[Part]] = catalogue,
) -> Search:
    """Begin to look for a testbed's programs, as `ensure_programs` is asked to.

    `parts` says which they are of a version.

    Raises
    ------
    UsageError
        For an unknown version or a wrong `bin_dir`.
    """
    if bin_dir is not None and not bin_dir.is_dir():
        msg = f"--bin-dir {bin_dir} is no folder: name one that holds programs"
        raise UsageError(msg)
    arch = architecture()
    return Search(
        parts=parts(kubernetes_version),
        arch=arch,
        cache=(cache or cache_dir() / "testbed") / kubernetes_version / arch,
        bin_dir=bin_dir,
    )
