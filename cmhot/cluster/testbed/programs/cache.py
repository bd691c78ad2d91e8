"""Look for programs on this machine, and keep those that were fetched.

Programs may be in folders of the user's (``--bin-dir`` and PATH) or in the cache,
whose manifest records each file's version, SHA-256 and origin.
Only the holder of the cache's lock changes anything.
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

from cmhot.cluster.testbed.owner import set_owner
from cmhot.cluster.testbed.programs.download import checksum_of
from cmhot.errors import ProgramsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cmhot.cluster.testbed.programs.download import Report
    from cmhot.cluster.testbed.programs.ensure import Search
    from cmhot.cluster.testbed.versions import Component, Program


ASK_S = 20.0
"""Longest wait for a program to print its version; the largest takes 0.2 s."""
ABSENT = "no {}"
_MANIFEST = "manifest.json"
_UNFINISHED = ".new-"
_CHANGED = "changed since it was put there, as its SHA-256 shows"


def look_in_folders(search: Search, step: str, folders: Sequence[Path]) -> None:
    """Take programs from folders: a whole component of one version, or pinned ones.

    An incomplete component is taken only where its version is the pinned one, since the
    missing programs will be of the pinned version.
    """
    for component in search.incomplete:
        supported: list[tuple[Program, Path, str]] = []
        for program in search.missing(component):
            found, reason = _first_supported(component, program, folders=folders)
            if found is None:
                search.reject(program, step, reason)
            else:
                supported.append((program, *found))
        versions = {version.removeprefix("v") for _, _, version in supported}
        whole = len(supported) == len(component.programs) and len(versions) == 1
        for program, path, version in supported:
            if whole or component.is_pinned(version):
                search.add(component, program, step=step, version=version, path=path)
            else:
                reason = (
                    f"{path} is {version}, but others of {component.name} are not there"
                )
                search.reject(program, step, reason)


def _first_supported(
    component: Component, program: Program, *, folders: Sequence[Path]
) -> tuple[tuple[Path, str] | None, str]:
    """Return the first file whose version will do, or why there is none."""
    refused = []
    for folder in folders:
        path = folder / program.name
        if not (path.is_file() and os.access(path, os.X_OK)):
            continue
        version = ask_version(component, path)
        if version is None:
            refused.append(f"{path} does not say a version as {component.name}'s do")
        elif component.supports(version):
            return (path, version), ""
        else:
            refused.append(f"{path} is {version}, needed is {component.range}")
    return None, ", ".join(refused) or ABSENT.format(program.name)


def ask_version(component: Component, path: Path) -> str | None:
    """Ask a program for its version; None: it is not the component's program."""
    try:
        done = subprocess.run(
            [path, component.version_flag],
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
    return component.read_version(done.stdout)


def look_in_cache(search: Search) -> dict[str, str]:
    """Take unchanged programs from the cache; return what is wrong with others."""
    manifest = _read_manifest(search.cache)
    wrong: dict[str, str] = {}
    candidates = []
    for component in search.incomplete:
        for program in search.missing(component):
            entry, path = manifest.get(program.name), search.cache / program.name
            if entry is None or not path.is_file():
                wrong[program.name] = "not there"
            elif entry.get("version") != component.version:
                wrong[program.name] = f"there as {entry.get('version')}"
            else:
                candidates.append((component, program, path, entry))
    with ThreadPoolExecutor() as pool:  # hashing releases the GIL: half the time on two
        sums = list(pool.map(checksum_of, (path for _, _, path, _ in candidates)))
    for (component, program, path, entry), checksum in zip(
        candidates, sums, strict=True
    ):
        if checksum != f"sha256:{entry.get('sha256')}":
            wrong[program.name] = _CHANGED
            continue
        search.add(
            component,
            program,
            step="cache",
            origin=entry.get("origin", "cache"),
            version=component.version,
            path=path,
            checksum=checksum,
        )
    return wrong


def _read_manifest(cache: Path) -> dict[str, dict[str, str]]:
    """Read the list of the cache's files; a damaged list counts as empty."""
    with contextlib.suppress(OSError, ValueError):
        content = json.loads((cache / _MANIFEST).read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return {
                name: entry
                for name, entry in content.items()
                if isinstance(entry, dict)
            }
    return {}


def drop_changed(search: Search, wrong: Mapping[str, str]) -> None:
    """Remove cached files that have changed, and note why the cache failed."""
    for component in search.incomplete:
        for program in search.missing(component):
            reason = wrong.get(program.name)
            if reason == _CHANGED:
                (search.cache / program.name).unlink()
                search.report(f"removed {program.name} from the cache: it was {reason}")
            if reason:
                search.reject(program, "cache", reason)


@contextlib.contextmanager
def locked(cache: Path, *, report: Report) -> Iterator[None]:
    """Hold the cache's lock; the kernel lets go of it if this process dies."""
    path = cache / ".lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        set_owner(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting: another cmhot is fetching the testbed's programs")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def unfinished_folder(cache: Path) -> Iterator[Path]:
    """Make a folder for unfinished work, on the cache's file system."""
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=cache) as name:
        yield Path(name)


def drop_unfinished(cache: Path) -> None:
    """Remove leftovers of killed runs; the lock is held, so no other process works."""
    for stale in cache.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(stale, ignore_errors=True)


def install(search: Search, component: Component, *, step: str, folder: Path) -> None:
    """Move fetched programs into the cache, once they report the right version."""
    programs = search.missing(component)
    for program in programs:
        version = ask_version(component, folder / program.name)
        if version is None or not component.is_pinned(version):
            msg = (
                f"{program.name} does not answer that it is {component.version} but "
                f"{version or 'nothing'}: is {search.cache} on a noexec mount?"
            )
            raise ProgramsError(msg)
    manifest = _read_manifest(search.cache)
    for program in programs:
        path = search.cache / program.name
        (folder / program.name).replace(path)
        set_owner(path)
        source = search.add(
            component, program, step=step, version=component.version, path=path
        )
        manifest[program.name] = {
            "part": component.name,
            "version": component.version,
            "sha256": source.sha256,
            "origin": step,
        }
    written = folder / _MANIFEST
    written.write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
    written.replace(search.cache / _MANIFEST)
    set_owner(search.cache / _MANIFEST)
