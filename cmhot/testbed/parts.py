"""What there is to say about a program: its project, its versions, the ways to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Program:
    """One executable.

    Attributes
    ----------
    name
        Name of its file.
    package
        Go package that it is built from.
    member
        Where the official archive has it; ``{version}`` and ``{arch}`` are filled in.
        None: the download is the program itself.
    """

    name: str
    package: str
    member: str | None


@dataclass(frozen=True, slots=True)
class Archive:
    """The official release of a part.

    Attributes
    ----------
    base
        Address of upstream's releases.
    mirror
        Environment variable that replaces `base`.
    path
        What follows the base; ``{version}`` (v1.2.3), ``{number}`` (1.2.3)
        and ``{arch}`` (amd64, arm64) are filled in.
    checksums
        ``algorithm:hex`` of the download, by architecture.
        An architecture that is not there is not downloaded.
    """

    base: str
    mirror: str
    path: str
    checksums: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Build:
    """How the part is built from its Go module.

    Attributes
    ----------
    module
        Folder of its go.mod and go.sum under ``modules/``.
    requires
        Path of the Go module whose version is the part's version.
    ldflags
        For the linker; without the ``-X`` programs do not know their version.
    tags
        Go build tags, comma separated.
    cgo
        Whether C code is compiled too.
    libraries
        What pkg-config must know before a build can succeed,
        each with the Debian packages that bring it.
    seconds
        How long it took on two cores with nothing cached.
    """

    module: str
    requires: str
    ldflags: str = "-s -w"
    tags: str = ""
    cgo: bool = False
    libraries: tuple[tuple[str, str], ...] = ()
    seconds: int = 30


@dataclass(frozen=True, slots=True)
class Part:
    """What one upstream project releases together.

    Attributes
    ----------
    name
        Short name of the project.
    version
        The pinned version, as its tag is spelt.
    programs
        What a testbed needs of it.
    lowest
        Lowest version of a program found on this machine that will do.
    below
        The first version that will not do;
        None: the version must be exactly `lowest`.
    says
        Pattern of what the programs answer to `asked`, group 1 the version.
        It also tells them from others of that name, such as iproute2's ``bridge``.
    archive, build
        The two ways to get it.
    asked
        The argument with which the programs are asked their version.
    """

    name: str
    version: str
    programs: tuple[Program, ...]
    lowest: str
    below: str | None
    says: str
    archive: Archive
    build: Build
    asked: str = "--version"

    def fill(self, template: str, *, arch: str) -> str:
        """Fill in a template of the part's archive."""
        number = self.version.removeprefix("v")
        return template.format(version=self.version, number=number, arch=arch)

    def url(self, environ: Mapping[str, str], *, arch: str) -> str:
        """Return the address of the archive: upstream's, or the user's mirror's."""
        base = environ.get(self.archive.mirror) or self.archive.base
        return f"{base.rstrip('/')}/{self.fill(self.archive.path, arch=arch)}"

    def supports(self, version: str) -> bool:
        """Tell whether a program of that version will do."""
        if self.below is None:
            return version.removeprefix("v") == self.lowest.removeprefix("v")
        return numbers(self.lowest) <= numbers(version) < numbers(self.below)

    @property
    def range(self) -> str:
        """Say in words which versions will do."""
        if self.below is None:
            return f"exactly {self.lowest}"
        return f"{self.lowest} or newer, below {self.below}"

    def read_version(self, answer: str) -> str | None:
        """Find the version in what a program answered; None: it is another program."""
        found = re.search(self.says, answer, flags=re.MULTILINE)
        return found[1] if found else None


def numbers(version: str) -> tuple[int, ...]:
    """Split the leading numbers of a version: ``v1.1.5+ds1`` is ``(1, 1, 5)``."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in found[1].split(".")) if found else ()
