"""A testbed's processes are those in its cgroup, whatever others say of themselves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cmhot.clock import VirtualClock
from cmhot.cluster.targets import connect
from cmhot.cluster.testbed import host, layout, status
from cmhot.cluster.testbed.layout import Home
from cmhot.errors import HostError, UsageError

HOME = Home(Path("/state/testbed/x"))
WHOLE: dict[str, Any] = {
    "spec": status.spec_record(layout.make_spec(name="x")),
    "cgroup": "cmhot-x",
    "api_address": "127.0.0.1",
    "sources": {},
}
NODE: dict[str, Any] = WHOLE["spec"]["nodes"][0]


def members(monkeypatch: pytest.MonkeyPatch, *scans: set[int]) -> None:
    """Let the kernel's list be these, one after the other."""
    left = list(scans)
    monkeypatch.setattr(
        host, "cgroup_members", lambda *_: left.pop(0) if len(left) > 1 else left[0]
    )


def test_what_appears_late_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was forked between two looks is found at the next."""
    killed: list[int] = []
    members(monkeypatch, {7}, {7, 8}, {8}, {8}, set(), set())
    monkeypatch.setattr(os, "kill", lambda pid, _: killed.append(pid))

    left = status.kill_testbed(HOME, clock=VirtualClock(), deadline_s=5)

    assert (left, killed) == ([], [7, 8])


def test_what_does_not_end_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the deadline the processes that live are named."""
    members(monkeypatch, {7})
    monkeypatch.setattr(os, "kill", lambda *_: None)

    assert status.kill_testbed(HOME, clock=VirtualClock(), deadline_s=0.1) == [7]


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Give a home with the record of a start, in a state folder of its own."""
    for name in ("SUDO_UID", "SUDO_GID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    home = layout.home("x")
    home.run.mkdir(parents=True)
    home.client.mkdir()
    home.record.write_text(json.dumps(WHOLE))
    return home


def test_arguments_make_no_testbed(own_home: Home) -> None:
    """Somebody's process with the arguments of a supervisor is none of ours."""
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    disguise = ["supervisor.py", str(own_home.run)]

    with subprocess.Popen([*sleeper, *disguise]) as stranger:
        try:
            assert not status.is_running(own_home)
            assert status.first_process(own_home) is None
            assert (
                status.kill_testbed(own_home, clock=VirtualClock(), deadline_s=1) == []
            )
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_hidden_processes_are_running(
    own_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under ``hidepid`` /proc tells a user nothing; the cgroup still lists them."""
    members(monkeypatch, {2**22 + 1})  # above the kernel's highest number: no /proc

    assert status.is_running(own_home)
    assert status.first_process(own_home) is None


def test_what_is_unfinished_is_not_running(
    own_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes without the record of a complete start are leftovers."""
    members(monkeypatch, {2**22 + 1})
    own_home.record.unlink()

    assert not status.is_running(own_home)
    own_home.record.mkdir()
    assert not status.is_running(own_home)


@pytest.mark.parametrize("what", ["Api", "read_record"])
def test_a_testbed_of_root_itself_says_so(
    own_home: Home, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The state in a user's home can be root's alone (``su`` keeps HOME)."""
    members(monkeypatch, {2**22 + 1})
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(own_home.client))

    monkeypatch.setattr(status, what, refuse)

    with pytest.raises(HostError, match=r"run `sudo .* testbed logs --name x`"):
        status.status("x", asked=["logs", "--name", "x"])
    with pytest.raises(HostError, match=r"run this as root, `sudo .* -m cmhot …`"):
        connect("testbed:x")


def without(content: dict[str, Any], key: str) -> dict[str, Any]:
    """Leave out a key."""
    return {name: value for name, value in content.items() if name != key}


def of_node(node: object) -> str:
    """Write a record with that node."""
    return json.dumps(WHOLE | {"spec": {"kubernetes": "v1.37.1", "nodes": [node]}})


@pytest.mark.parametrize(
    "content",
    [
        *("", "null", "[]", "7", "{", "\x00", "[" * 100_000),
        *(
            json.dumps(without(WHOLE, key))
            for key in ("spec", "api_address", "sources")
        ),
        json.dumps(WHOLE | {"spec": {"nodes": []}}),
        json.dumps(WHOLE | {"spec": without(WHOLE["spec"], "kubernetes")}),
        *(of_node(without(NODE, key)) for key in NODE),
        of_node(NODE | {"strategy": "Psychic"}),
        of_node(NODE | {"sync_frequency_s": 0}),
        of_node("n"),
    ],
)
def test_a_damaged_record_is_none(
    own_home: Home, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    """What is said starts the testbed anew."""
    members(monkeypatch, {2**22 + 1})
    own_home.record.write_text(content)

    assert not status.status("x").running
    with pytest.raises(UsageError, match=r"is not running: start it with `.*--name x`"):
        connect("testbed:x")


@pytest.mark.parametrize("content", [None, "", "-----BEGIN CERTIFICATE-----\nAAAA"])
def test_damaged_certificates_are_told(
    own_home: Home, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    """It runs, and cannot be asked: the file is named, and what helps."""
    members(monkeypatch, {2**22 + 1})
    for name in status.CLIENT_FILES if content is not None else ():
        (own_home.client / name).write_text(content or "")

    for ask in (status.status, lambda name: connect(f"testbed:{name}")):
        with pytest.raises(HostError, match=r"client of .* `cmhot testbed down --name"):
            ask("x")


@pytest.mark.parametrize("content", [None, "", "{", "[]", "a: [", "apiVersion: v1\n"])
def test_a_damaged_kubeconfig_is_told(
    own_home: Home, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    """KUBECONFIG, which other kubeconfigs are looked for in, does not help here."""
    members(monkeypatch, {2**22 + 1})
    monkeypatch.setattr(status.Api, "__init__", lambda *_, **__: None)
    monkeypatch.setattr(status.Api, "nodes", lambda _: [])
    if content is not None:
        own_home.kubeconfig.write_text(content)

    assert status.status("x").running
    with pytest.raises(HostError, match=r"kubeconfig of .* damaged: .*`cmhot") as found:
        connect("testbed:x")
    assert "KUBECONFIG" not in str(found.value)


@pytest.mark.parametrize(
    ("name", "command"),
    [("default", "`cmhot testbed up`"), ("x", "`cmhot testbed up --name x`")],
)
def test_what_does_not_run_says_how_it_would(name: str, command: str) -> None:
    """What is pasted starts the testbed that was asked for."""
    assert str(status.not_running(name)).endswith(f"start it with {command}")


def test_names_of_two_homes_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Testbeds of one name in two homes share no interface and no cgroup."""
    monkeypatch.delenv("SUDO_UID", raising=False)
    names = []
    for folder in ("/home/ada", "/home/bob"):
        monkeypatch.setenv("XDG_STATE_HOME", folder)
        names += [layout.link_name("x"), layout.cgroup_name("x")]

    assert len(set(names)) == 4
    assert all(len(layout.link_name(name)) <= 15 for name in ("x", "x" * 32))
