"""Whose files are they: under sudo, those of the user who called it.

A testbed needs root, its cache and its state do not:
without this module they would lie in root's home,
or in the user's home as files that the user cannot remove.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_APP = "cmhot"


@dataclass(frozen=True, slots=True)
class Owner:
    """The user to whom cache and state belong.

    Attributes
    ----------
    uid, gid
        User and primary group.
    home
        Home folder.
    through_sudo
        Whether this process is root for that user.
        False: it runs as the owner, and nothing has to be given back.
    """

    uid: int
    gid: int
    home: Path
    through_sudo: bool


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
) -> Owner:
    """Decide who owns the files of a process with these ids and this environment.

    sudo's variables count for root only:
    anybody may set them, and only root can act on them.
    An unknown or incomplete caller is as good as none.
    """
    caller, group = environ.get("SUDO_UID", ""), environ.get("SUDO_GID", "")
    if uid == 0 and caller.isdecimal() and group.isdecimal() and int(caller) != 0:
        home = home_of(int(caller))
        if home is not None:
            return Owner(int(caller), int(group), home, through_sudo=True)
    own = environ.get("HOME")
    home = Path(own) if own else home_of(uid) or Path("/")
    return Owner(uid, gid, home, through_sudo=False)


def owner() -> Owner:
    """Return the owner of this process's files."""
    return decide_owner(os.environ, uid=os.geteuid(), gid=os.getegid())


def user_home() -> Path:
    """Return the home of the calling user, also under sudo."""
    return owner().home


def cache_dir() -> Path:
    """Return where things belong that can be fetched again.

    Under sudo it is ``~/.cache/cmhot`` of the calling user,
    since XDG_CACHE_HOME is root's then; otherwise what platformdirs says.
    """
    who = owner()
    if who.through_sudo:
        return who.home / ".cache" / _APP
    return Path(platformdirs.user_cache_dir(_APP))


def state_dir() -> Path:
    """Return where things belong that are true until they end, such as testbeds.

    Under sudo it is ``~/.local/state/cmhot`` of the calling user.
    """
    who = owner()
    if who.through_sudo:
        return who.home / ".local" / "state" / _APP
    return Path(platformdirs.user_state_dir(_APP))


def to_give_back(path: Path, *, who: Owner) -> list[Path]:
    """List the path and the folders above it that lie inside the owner's home."""
    if not who.through_sudo:
        return []
    above = [parent for parent in path.parents if who.home in parent.parents]
    return [path, *above]


def give_back(path: Path) -> None:
    """Let the calling user own what root made; without sudo, nothing happens.

    The folders above, inside the home, are given back too where root has them:
    a ``~/.cache`` made under sudo would otherwise lock its user out.
    """
    who = owner()
    for made in to_give_back(path, who=who):
        if made == path or made.lstat().st_uid == 0:
            os.chown(made, who.uid, who.gid, follow_symlinks=False)


def make_folder(path: Path) -> Path:
    """Make the folder and what is missing above it, owned by the calling user."""
    path.mkdir(parents=True, exist_ok=True)
    give_back(path)
    return path
