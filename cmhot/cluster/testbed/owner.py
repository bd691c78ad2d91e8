"""Whose files a testbed's are: under sudo, those of the user who called it.

A testbed needs root, its cache and its state do not:
without this module they would be in root's home,
or in the user's home as files that the user cannot remove.
"""

from __future__ import annotations

import os
import pwd
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_APP = "cmhot"


@dataclass(frozen=True, slots=True)
class FileOwner:
    """The user to whom cache and state belong.

    Attributes
    ----------
    through_sudo
        Whether this process is root for that user.
        False: it runs as the owner, and its files are the owner's anyhow.
    """

    uid: int
    gid: int
    home: Path
    through_sudo: bool


def file_owner() -> FileOwner:
    """Return the owner of this process's files."""
    return decide_owner(os.environ, uid=os.geteuid(), gid=os.getegid())


def _home_of(uid: int) -> Path | None:
    try:
        return Path(pwd.getpwuid(uid).pw_dir)
    except KeyError:
        return None


def decide_owner(
    environ: Mapping[str, str],
    *,
    uid: int,
    gid: int,
    home_of: Callable[[int], Path | None] = _home_of,
) -> FileOwner:
    """Decide who owns the files of a process with these ids and this environment.

    sudo's variables count for root only:
    anybody may set them, and only root can act on them.
    An unknown or incomplete caller is as good as none.
    """
    caller, group = environ.get("SUDO_UID", ""), environ.get("SUDO_GID", "")
    if uid == 0 and caller.isdecimal() and group.isdecimal() and int(caller) != 0:
        home = home_of(int(caller))
        if home is not None:
            return FileOwner(int(caller), int(group), home, through_sudo=True)
    own = environ.get("HOME")
    home = Path(own) if own else home_of(uid) or Path("/")
    return FileOwner(uid, gid, home, through_sudo=False)


def as_root(*arguments: str) -> str:
    """Write the command line that runs ``cmhot`` through sudo, whatever root's PATH is.

    ``-P``: as root, no modules of the working directory.
    """
    return shlex.join(["sudo", sys.executable, "-P", "-m", "cmhot", *arguments])


def cache_dir() -> Path:
    """Return the folder for files that can be fetched again.

    Under sudo it is ``~/.cache/cmhot`` of the calling user,
    since XDG_CACHE_HOME is root's then; otherwise what platformdirs says.
    """
    owner = file_owner()
    if owner.through_sudo:
        return owner.home / ".cache" / _APP
    return Path(platformdirs.user_cache_dir(_APP))


def state_dir() -> Path:
    """Return the folder for the state of running things, such as testbeds.

    Under sudo it is ``~/.local/state/cmhot`` of the calling user.
    """
    owner = file_owner()
    if owner.through_sudo:
        return owner.home / ".local" / "state" / _APP
    return Path(platformdirs.user_state_dir(_APP))


def set_owner(path: Path) -> None:
    """Let the calling user own a path that root made; without sudo, nothing happens.

    The folders above, inside the home, are the user's again too where root has them:
    a ``~/.cache`` made under sudo would otherwise lock its user out.
    """
    owner = file_owner()
    for made in paths_to_own(path, owner=owner):
        if made == path or made.lstat().st_uid == 0:
            os.chown(made, owner.uid, owner.gid, follow_symlinks=False)


def paths_to_own(path: Path, *, owner: FileOwner) -> list[Path]:
    """List the path and the folders above it that lie inside the owner's home."""
    if not owner.through_sudo:
        return []
    return [path, *(parent for parent in path.parents if owner.home in parent.parents)]


def make_folder(path: Path) -> Path:
    """Make the folder and missing ones above it, owned by the calling user."""
    path.mkdir(parents=True, exist_ok=True)
    set_owner(path)
    return path
