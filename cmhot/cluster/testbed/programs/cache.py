"""Which programs lie in folders of the user's: ``--bin-dir`` and PATH.

The cache: what it has, checked by SHA-256, and how programs get into it.

A manifest records each file's version, SHA-256 and origin.
Only the holder of the lock changes anything.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from cmhot.cluster.testbed.owner import give_back
from cmhot.cluster.testbed.programs.download import checksum_of
from cmhot.errors import ProgramsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cmhot.cluster.testbed.programs.download import Report
    from cmhot.cluster.testbed.programs.search import Search
    from cmhot.cluster.testbed.versions import Part, Program


ASK_S = 20.0
"""Patience with a program that is asked its version; the largest takes 0.2 s."""
ABSENT = "no {}"


def ask_version(part: Part, path: Path) -> str | None:
    """Ask a program its version; None: it is not the part's program."""
    try:
        done = subprocess.run(
            [path, part.asked],
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
    return None, ", ".join(refused) or ABSENT.format(program.name)


def look_in_folders(search: Search, step: str, folders: Sequence[Path]) -> None:
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


_MANIFEST = "manifest.json"
_WORK = ".new-"
_CHANGED = "changed since it was put there, as its SHA-256 shows"


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


def look_in_cache(search: Search) -> dict[str, str]:
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


def drop_changed(search: Search, wrong: Mapping[str, str]) -> None:
    """Remove cached files that are not as they were, and note why the cache failed."""
    for part in search.incomplete:
        for program in search.missing(part):
            reason = wrong.get(program.name)
            if reason == _CHANGED:
                (search.cache / program.name).unlink()
                search.report(f"removed {program.name} from the cache: it was {reason}")
            if reason:
                search.why_not(program, "cache", reason)


@contextlib.contextmanager
def locked(cache: Path, *, report: Report) -> Iterator[None]:
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


@contextlib.contextmanager
def workplace(cache: Path) -> Iterator[Path]:
    """Lend a folder for unfinished work, on the cache's file system."""
    with tempfile.TemporaryDirectory(prefix=_WORK, dir=cache) as name:
        yield Path(name)


def drop_workplaces(cache: Path) -> None:
    """Remove what killed runs left; the lock is held, so nobody works there."""
    for stale in cache.glob(f"{_WORK}*"):
        shutil.rmtree(stale, ignore_errors=True)


def install(search: Search, part: Part, *, step: str, folder: Path) -> None:
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
