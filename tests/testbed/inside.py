"""An image with `cmhot` in it, of the files of this machine, for the testbed's nodes.

What the Dockerfile makes of a base image and a package index, made without either:
the package, what it needs to collect, this Python, the libraries that those load.
Which files these are is seen from a process that does what the Job will do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from cmhot.cluster.testbed import archives, host
from cmhot.cluster.testbed.image import Image, write_archive
from tests.testbed.command import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NAME = "cmhot.dev/testbed/cmhot:local"
"""Reference of the image; in no registry, so with ``imagePullPolicy: Never``."""
HOME = PurePosixPath("opt/python")
"""Where Python is in it; it finds the rest of itself from there."""

LEFT_OUT = {
    *("__pycache__", "tests", "test", "include", "site-packages", "dist-packages"),
    *("idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip"),
}
"""Folders that no collection needs."""
LEFT_OUT_ENDINGS = (".pyc", ".pyi", ".h", ".hpp", ".a", ".pxd", ".pyx", ".exe")

_SEEN = """
import json, sys, tempfile
from click.testing import CliRunner
from kubernetes import client, config  # asked for a service account's credentials
from cmhot.cluster import client
from cmhot.cli import cli
with tempfile.TemporaryDirectory() as out:
    options = ["--pods", "1", "--duration", "5s", "--out", out, "--print-run"]
    answer = CliRunner().invoke(cli, ["collect", "--target", "model", *options])
    assert answer.exit_code == 0, answer.output
loaded = {line.split(None, 5)[5].strip() for line in open("/proc/self/maps")
          if "/" in line}
modules = {module.__file__ for module in list(sys.modules.values())
           if getattr(module, "__file__", None)}
json.dump({"modules": sorted(modules), "loaded": sorted(loaded)}, sys.stdout)
"""


@dataclass(frozen=True, slots=True)
class Needed:
    """What a collection loads.

    Attributes
    ----------
    packages
        Folders and modules at the top of site-packages.
    libraries
        Shared libraries, whoever they belong to.
    """

    packages: frozenset[Path]
    libraries: frozenset[Path]


def needed() -> Needed:
    """See what a collection loads: make one on the model, and load the client."""
    answer = subprocess.run(
        [sys.executable, "-c", _SEEN], check=True, capture_output=True, cwd=ROOT
    )
    seen: dict[str, list[str]] = json.loads(answer.stdout)
    packages, site = set(), site_packages()
    for name in [*seen["modules"], *seen["loaded"]]:
        if name.startswith(f"{site}/"):
            packages.add(site / Path(name).relative_to(site).parts[0])
    loaded = {Path(name) for name in seen["loaded"] if ".so" in Path(name).name}
    return Needed(frozenset(packages), frozenset(filter(Path.is_file, loaded)))


def site_packages() -> Path:
    """Say where the installed packages are."""
    return Path(sysconfig.get_path("platlib"))


def files(what: Needed) -> Iterator[tuple[PurePosixPath, Path]]:
    """Go through what is to be in the image.

    Yields
    ------
    place, file
        Where in the image, and which file of this machine.
    """
    python = Path(sys.executable).resolve()
    library = Path(sysconfig.get_path("stdlib"))
    site, inside = site_packages(), HOME / "lib" / library.name / "site-packages"
    yield HOME / "bin" / "python3", python
    yield from _folder(library, HOME / "lib" / library.name, what)
    for package in what.packages:
        place = inside / package.name
        if package.is_dir():
            yield from _folder(package, place, what)
        else:
            yield place, package
    yield from _folder(ROOT / "cmhot", inside / "cmhot", what)
    for known in site.glob("*.dist-info/METADATA"):  # a run names versions
        yield inside / known.relative_to(site), known
    own = (site, library, ROOT)
    for shared in what.libraries:
        if not any(shared.is_relative_to(folder) for folder in own):
            yield from _with_names(shared)
    loader = _loader(python)
    yield PurePosixPath(str(loader).lstrip("/")), loader.resolve()


def _folder(
    folder: Path, place: PurePosixPath, what: Needed
) -> Iterator[tuple[PurePosixPath, Path]]:
    """Go through a folder's files, but not those that no collection needs."""
    for path, folders, names in os.walk(folder):
        folders[:] = sorted({*folders} - LEFT_OUT)
        folders[:] = [name for name in folders if not name.startswith("config-")]
        for name in sorted(names):
            file = Path(path, name)
            if name.endswith(LEFT_OUT_ENDINGS):
                continue
            if ".so" in file.suffixes and file not in what.libraries:
                continue
            yield place / file.relative_to(folder), file


def _with_names(library: Path) -> Iterator[tuple[PurePosixPath, Path]]:
    """Give a library, and the links to it in its folder: programs use their names."""
    for name in library.parent.glob(f"{library.name.partition('.so')[0]}.so.*"):
        if name.resolve() == library.resolve():
            yield HOME / "lib" / name.name, name


def _loader(program: Path) -> Path:
    """Find the loader that a program names (`PT_INTERP`)."""
    data = program.read_bytes()
    start = data.index(b"/lib")
    found = Path(data[start : data.index(b"\0", start)].decode())
    assert found.name.startswith("ld-"), found
    return found


def write_layer(out: IO[bytes]) -> None:
    """Write the root file system as a tar; folders first, nobody's in particular."""
    what = needed()
    placed = dict(files(what))
    folders = {parent for place in placed for parent in place.parents if parent.name}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder in sorted(folders | {PurePosixPath("tmp")}):
            _add_folder(tar, str(folder), 0o1777 if str(folder) == "tmp" else 0o755)
        for place, file in sorted(placed.items()):
            entry = tarfile.TarInfo(str(place))
            own = file.resolve()
            if own.name != file.name and place.with_name(own.name) in placed:
                entry.type, entry.linkname = tarfile.SYMTYPE, own.name
                tar.addfile(entry)
                continue
            entry.size = own.stat().st_size
            entry.mode = 0o755 if own.stat().st_mode & 0o111 else 0o644
            with own.open("rb") as content:
                tar.addfile(entry, content)
        _add_command(tar)


def _add_folder(tar: tarfile.TarFile, name: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    tar.addfile(entry)


def _add_command(tar: tarfile.TarFile) -> None:
    """Add ``cmhot`` as pip would install it."""
    with tempfile.TemporaryFile() as script:
        text = (
            f"#!/{HOME}/bin/python3\n"
            "import sys\nfrom cmhot.cli import main\nsys.exit(main())\n"
        )
        size = script.write(text.encode())
        script.seek(0)
        entry = tarfile.TarInfo(str(HOME / "bin" / "cmhot"))
        entry.size, entry.mode = size, 0o755
        tar.addfile(entry, script)


def put_on(testbed: str, nodes: Iterable[str]) -> int:
    """Make the image, and load it to nodes of a testbed.

    Returns
    -------
    int
        Size of the archive in bytes.
    """
    image = Image(
        name=NAME,
        architecture=host.architecture(),
        command=[f"/{HOME}/bin/cmhot"],
        environment={
            "PATH": f"/{HOME}/bin",
            "LD_LIBRARY_PATH": f"/{HOME}/lib",
            "LANG": "C.UTF-8",
        },
    )
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "cmhot.tar")
        with tempfile.TemporaryFile(dir=folder) as layer, archive.open("wb") as out:
            write_layer(layer)
            layer.seek(0)
            write_archive(out, layer, image)
        archives.load(archive, name=testbed, nodes=list(nodes))
        return archive.stat().st_size
