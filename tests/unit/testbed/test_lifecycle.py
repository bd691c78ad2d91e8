"""A testbed goes with the last one that uses it; what is in the way is told."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from cmhot.cluster.testbed import layout, lifecycle
from cmhot.errors import HostError

STAYS = (
    "another cmhot uses the testbed: it stays, and `cmhot testbed down` takes it away"
)


class Testbed:
    """Stands for the default testbed."""

    __test__ = False

    def __init__(self) -> None:
        self.running = False

    def status(self) -> SimpleNamespace:
        """Tell whether it runs."""
        return SimpleNamespace(running=self.running)

    def up(self, _spec: object, *, report: object) -> None:  # noqa: ARG002 - as is
        """Start it."""
        self.running = True

    def down(self, *, report: object) -> None:  # noqa: ARG002 - as is
        """Take it away."""
        self.running = False


@pytest.fixture
def testbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Testbed:
    """Have a testbed of nothing, with a state folder of its own."""
    made = Testbed()
    for name in ("status", "up", "down"):
        monkeypatch.setattr(lifecycle, name, getattr(made, name))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(lifecycle, "state_dir", lambda: tmp_path / "state" / "cmhot")
    return made


def test_what_was_started_goes_again(testbed: Testbed, tmp_path: Path) -> None:
    """Alone, it has its own testbed, and nothing is left but an empty folder."""
    said: list[str] = []

    with lifecycle.temporary_testbed(report=said.append):
        assert testbed.status().running

    assert not testbed.status().running
    assert said == ["taking the testbed down again"]
    assert list((tmp_path / "state" / "cmhot").iterdir()) == []


def test_what_ran_before_stays(testbed: Testbed) -> None:
    """A testbed that somebody started is used, and left."""
    testbed.running = True
    said: list[str] = []

    with lifecycle.temporary_testbed(report=said.append):
        pass

    assert testbed.status().running
    assert said == ["using the testbed that is running"]


def test_what_another_uses_stays(testbed: Testbed) -> None:
    """The end of the one that started it does not end the other's measurement."""
    said: list[str] = []
    with ExitStack() as other:
        with lifecycle.temporary_testbed(report=said.append):
            other.enter_context(lifecycle.temporary_testbed(report=said.append))
        assert testbed.status().running

    assert testbed.status().running
    assert said == ["using the testbed that is running", STAYS]


def test_the_last_of_two_that_started_it_takes_it_away(testbed: Testbed) -> None:
    """When both found none and started one, it goes with the later end."""
    said: list[str] = []
    with ExitStack() as other:
        with lifecycle.temporary_testbed(report=said.append):
            testbed.running = False  # not yet, as the other one sees it
            other.enter_context(lifecycle.temporary_testbed(report=said.append))
        assert testbed.status().running

    assert not testbed.status().running
    assert said == [STAYS, "taking the testbed down again"]


def test_a_failed_start_lets_go(
    testbed: Testbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error offers other targets, and the next one is alone again."""

    def refuse(_spec: object, *, report: object) -> None:  # noqa: ARG001 - as is
        raise HostError("no cgroups")

    with monkeypatch.context() as patched:
        patched.setattr(lifecycle, "up", refuse)
        with (
            pytest.raises(HostError, match=r"no cgroups\. Other targets: context:NAME"),
            lifecycle.temporary_testbed(report=print),
        ):
            pass

    with lifecycle.temporary_testbed(report=print):
        pass
    assert not testbed.status().running


def test_a_terminal_that_is_gone_keeps_nothing_running(testbed: Testbed) -> None:
    """The testbed goes even where that cannot be told."""

    def gone(_: str) -> None:
        raise OSError(5, "Input/output error")

    with lifecycle.temporary_testbed(report=gone):
        pass

    assert not testbed.status().running


@pytest.mark.parametrize("where", ["file", "nowhere"])
def test_without_a_lock_it_works_all_the_same(
    where: str, testbed: Testbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the state folder cannot be locked nobody is seen to share."""
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(lifecycle, "state_dir", lambda: tmp_path / "file" / where)

    with lifecycle.temporary_testbed(report=print):
        assert testbed.status().running

    assert not testbed.status().running


def test_root_loads_nothing_of_the_working_directory(
    testbed: Testbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through sudo Python looks for no modules where the user happens to be."""
    called: list[list[str]] = []

    def run(command: list[str], *, check: bool) -> SimpleNamespace:
        assert not check
        called.append(command)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr("cmhot.cluster.testbed.host.runs_linux", lambda: True)
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/sudo")
    monkeypatch.setattr(subprocess, "run", run)
    with lifecycle.temporary_testbed(report=print):
        assert not testbed.status().running  # sudo is made up

    python = ["sudo", sys.executable, "-P", "-m", "cmhot", "testbed"]
    assert called == [[*python, "up"], [*python, "down"]]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have a state folder of one's own, without sudo."""
    for name in ("SUDO_UID", "SUDO_GID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "cmhot" / "testbed"


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null"])
def test_a_state_that_cannot_be_kept_is_one_sentence(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is named, and the variable that names another one."""
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", place)
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    with pytest.raises(HostError, match=rf"{place}.*`export XDG_STATE_HOME="):
        lifecycle.up(layout.make_spec(name="x"))
    assert not lifecycle.status("x").running
    assert not lifecycle.down("x")


def test_up_without_root_says_the_whole_command(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is pasted starts the testbed that was asked for; nothing is written."""
    nodes = ["sync=5s", "sync=10s,strategy=Cache,ttl=60,kubelet=v1.26.15"]
    asked = [layout.parse_node(node) for node in nodes]
    spec = layout.make_spec(
        [setting for setting, _ in asked],
        name="x",
        kubelets=[kubelet for _, kubelet in asked],
    )
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(HostError) as refused:
        lifecycle.up(spec)

    assert (
        f"`sudo {sys.executable} -P -m cmhot testbed up --name x --node "
        "sync=5s,strategy=Watch --node "
        "sync=10s,strategy=Cache,ttl=60,kubelet=v1.26.15`"
    ) in str(refused.value)
    assert not state.exists()


def test_down_without_root_says_so(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After ``sudo testbed up`` a forgotten sudo is told; nothing there is no error."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert not lifecycle.down("x")
    (state / "x").mkdir(parents=True)
    with pytest.raises(HostError, match=r"run `sudo .* testbed down --name x`"):
        lifecycle.down("x")


def test_logs_without_root_say_so(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The logs are in a folder of root's."""

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(Path, "iterdir", refuse)

    with pytest.raises(HostError, match=r"run `sudo .* testbed logs --name x`"):
        lifecycle.log_files("x")
    assert not state.exists()


def test_options_ask_for_the_same_testbed() -> None:
    """The default one needs none."""
    assert layout.options(layout.make_spec()) == []
    assert layout.options(layout.make_spec(name="x")) == ["--name", "x"]
