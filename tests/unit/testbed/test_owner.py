"""Cache and state belong to the user who called sudo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cmhot.cluster.testbed import owner


def test_owner_under_sudo() -> None:
    """Root called through sudo works for the user who called it."""
    who = owner.decide_owner(
        {"SUDO_UID": "1000", "SUDO_GID": "1001", "HOME": "/root"},
        uid=0,
        gid=0,
        home_of={1000: Path("/home/ada")}.get,
    )

    assert who == owner.FileOwner(1000, 1001, Path("/home/ada"), through_sudo=True)


@pytest.mark.parametrize(
    ("environ", "uid"),
    [
        pytest.param({}, 0, id="root-itself"),
        pytest.param({"SUDO_UID": "0", "SUDO_GID": "0"}, 0, id="root-through-sudo"),
        pytest.param({"SUDO_UID": "1000"}, 0, id="half-an-identity"),
        pytest.param({"SUDO_UID": "x", "SUDO_GID": "y"}, 0, id="no-numbers"),
        pytest.param({"SUDO_UID": "7", "SUDO_GID": "7"}, 0, id="unknown-user"),
        pytest.param({"SUDO_UID": "1000", "SUDO_GID": "1000"}, 1000, id="not-root"),
    ],
)
def test_owner_without_sudo(environ: dict[str, str], uid: int) -> None:
    """Without root called by a known user, the process works for itself."""
    who = owner.decide_owner(
        environ | {"HOME": "/somewhere"},
        uid=uid,
        gid=uid,
        home_of={1000: Path("/home/ada")}.get,
    )

    assert who == owner.FileOwner(uid, uid, Path("/somewhere"), through_sudo=False)


def test_what_the_user_owns_under_sudo() -> None:
    """A path and the folders above it, but not the home itself, go to the user."""
    who = owner.FileOwner(1000, 1000, Path("/home/ada"), through_sudo=True)
    own = replace(who, through_sudo=False)
    path = Path("/home/ada/.cache/cmhot/runc")

    assert owner.paths_to_own(path, owner=who) == [
        path,
        Path("/home/ada/.cache/cmhot"),
        Path("/home/ada/.cache"),
    ]
    assert owner.paths_to_own(Path("/srv/x"), owner=who) == [Path("/srv/x")]
    assert owner.paths_to_own(path, owner=own) == []


def test_folders_under_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under sudo cache and state are the user's; XDG variables are root's then."""
    who = owner.FileOwner(1000, 1000, Path("/home/ada"), through_sudo=True)
    monkeypatch.setattr(owner, "file_owner", lambda: who)
    monkeypatch.setenv("XDG_CACHE_HOME", "/root/.cache")

    assert owner.cache_dir() == Path("/home/ada/.cache/cmhot")
    assert owner.state_dir() == Path("/home/ada/.local/state/cmhot")


def test_folders_without_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without sudo the XDG variables say where cache and state are."""
    for name in ("SUDO_UID", "SUDO_GID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/x/cache")
    monkeypatch.setenv("XDG_STATE_HOME", "/x/state")

    assert owner.cache_dir() == Path("/x/cache/cmhot")
    assert owner.state_dir() == Path("/x/state/cmhot")
