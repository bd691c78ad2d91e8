"""Which programs lie in folders of the user's: ``--bin-dir`` and PATH."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from cmhot.testbed.programs.download import checksum_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cmhot.testbed.parts import Part, Program
    from cmhot.testbed.programs.search import Search

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
