"""Testbeds of other users and homes on one machine do not touch each other."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from cmhot.cluster.testbed.owner import cache_dir
from tests.testbed.command import ROOT, run, start

NODE = ("--node", "sync=2s")
UID = "64999"
"""Of a user that exists for this test alone."""


def in_home(home: Path) -> dict[str, str]:
    """Return the environment of somebody with another home, root without sudo."""
    return {"XDG_STATE_HOME": str(home), "SUDO_UID": ""}


def state_of(name: str, home: Path) -> dict[str, object]:
    """Return what `status` says, and the address of the API server."""
    code, output, messages = run(
        "testbed", "status", "--name", name, "--json", environment=in_home(home)
    )
    assert code == 0, output + messages
    record = json.loads(
        (home / "cmhot" / "testbed" / name / "testbed.json").read_text()
    )
    ready = [node["ready"] for node in json.loads(output)["nodes"]]
    return {"ready": ready, "address": record["api_address"]}


def test_two_homes_start_a_testbed_of_one_name_at_once(
    own_name: str, tmp_path: Path
) -> None:
    """Each has its own link, addresses and cgroups; one ends, the other goes on."""
    homes = [tmp_path / "ada", tmp_path / "bob"]
    command = ("testbed", "up", "--name", own_name, *NODE)
    try:
        with ExitStack() as stack:
            started = [
                stack.enter_context(start(*command, environment=in_home(home)))
                for home in homes
            ]
            codes = [one.wait() for one in started]
        assert codes == [0, 0], started[0].messages + started[1].messages
        ada, bob = (state_of(own_name, home) for home in homes)
        assert ada["ready"] == bob["ready"] == [True]
        assert ada["address"] != bob["address"]

        run("testbed", "down", "--name", own_name, environment=in_home(homes[0]))

        assert state_of(own_name, homes[1]) == bob
    finally:
        for home in homes:
            run("testbed", "down", "--name", own_name, environment=in_home(home))


@dataclass(frozen=True, slots=True)
class User:
    """A user who calls ``sudo cmhot``, in a view of the machine of their own."""

    home: Path
    passwd: Path

    def sees(self, *command: str, hidepid: int) -> tuple[int, str]:
        """Run a command as this user: exit code, and all that it said.

        The Python of the tests may lie where only root may read.
        """
        reading = "+dac_read_search"
        become = ["setpriv", "--reuid", UID, "--regid", UID, "--clear-groups"]
        become += ["--inh-caps", reading, "--ambient-caps", reading]
        view = f"mount -t proc -o hidepid={hidepid} proc /proc"
        return self._run([*become, sys.executable, "-m", "cmhot", *command], view)

    def pastes(self, command: str) -> tuple[int, str]:
        """Run a command line with sudo in it."""
        sudo = self.home / "bin" / "sudo"
        sudo.parent.mkdir(exist_ok=True)
        sudo.write_text(f'#!/bin/sh\nexport SUDO_UID={UID} SUDO_GID={UID}\nexec "$@"\n')
        sudo.chmod(0o755)
        return self._run(
            ["env", f"PATH={sudo.parent}:{os.environ['PATH']}", "sh", "-c", command]
        )

    def _run(self, command: list[str], view: str = "true") -> tuple[int, str]:
        known = f"mount --bind {self.passwd} /etc/passwd"
        prepare = f"{known} && {view} && exec {shlex.join(command)}"
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", prepare],
            cwd="/",
            env=os.environ
            | {"HOME": str(self.home), "PYTHONPATH": str(ROOT), "SUDO_UID": ""},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout


@pytest.fixture
def user(tmp_path: Path) -> User:
    """Give a user whose home has the programs of this machine's cache."""
    for folder in [tmp_path, *tmp_path.parents][:-2]:
        folder.chmod(folder.stat().st_mode | 0o055)
    home = tmp_path / "home"
    (home / ".cache").mkdir(parents=True)
    (home / ".cache" / "cmhot").symlink_to(cache_dir())
    passwd = tmp_path / "passwd"
    known = Path("/etc/passwd").read_text()
    passwd.write_text(f"{known}stranger:x:{UID}:{UID}::{home}:/bin/sh\n")
    os.chown(home, int(UID), int(UID))
    return User(home, passwd)


def test_sudo_is_forgotten_where_processes_are_hidden(
    own_name: str, user: User
) -> None:
    """Its user sees a testbed of root's run, and what takes root says how."""
    name = ("--name", own_name)
    sudo = f"sudo {sys.executable} -P -m cmhot testbed"
    try:
        for hidepid in (0, 1, 2):
            code, said = user.sees("testbed", "status", *name, hidepid=hidepid)
            assert (code, said) == (1, f"testbed {own_name} is not running\n")
        code, said = user.sees("testbed", "up", *name, *NODE, hidepid=2)
        assert code == 2
        (command,) = re.findall(r"`(sudo .*)`", said)

        code, said = user.pastes(command)

        assert code == 0, said
        for hidepid in (0, 1, 2):
            code, said = user.sees("testbed", "status", *name, hidepid=hidepid)
            assert code == 0, said
            assert " Ready" in said
        code, said = user.sees("testbed", "up", *name, *NODE, hidepid=2)
        assert code == 0
        assert "is running already" in said
        code, said = user.sees("testbed", "down", *name, hidepid=2)
        assert code == 2
        assert said.endswith(f"take away: run `{sudo} down --name {own_name}`\n")
    finally:
        code, said = user.pastes(f"{sudo} down --name {own_name}")
    assert code == 0, said
    assert f"testbed {own_name} is gone" in said
