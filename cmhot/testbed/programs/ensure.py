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
from pathlib import Path
from typing import TYPE_CHECKING

from cmhot.errors import ProgramsError
from cmhot.testbed.owner import make_folder
from cmhot.testbed.programs.cache import drop_changed, locked, look_in_cache
from cmhot.testbed.programs.fetch import fetch_missing
from cmhot.testbed.programs.folders import ABSENT, look_in_folders
from cmhot.testbed.programs.progress import suitable
from cmhot.testbed.programs.search import Programs, allowed_steps, begin
from cmhot.testbed.versions import older_kubelet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmhot.testbed.programs.progress import Progress, Report
    from cmhot.testbed.programs.search import Search


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
