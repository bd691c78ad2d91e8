"""A testbed comes up, stays up, and goes without a trace, whatever happens to it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks import traces
from benchmarks.common import wait_until
from benchmarks.startup import start_and_end
from cmhot.cluster.testbed import host, layout, lifecycle
from cmhot.cluster.testbed.status import first_process
from cmhot.errors import UsageError
from cmhot.kubelet.settings import parse_setting
from tests.testbed import soak
from tests.testbed.command import run, start
from tests.testbed.conftest import NAME, NODES, left_behind

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmhot.cluster.testbed.status import Status

SMALL = ("sync=2s",)


def small(name: str) -> layout.TestbedSpec:
    """Describe a testbed of one node, which starts in four seconds."""
    return layout.make_spec([parse_setting(node) for node in SMALL], name=name)


def test_up_finds_a_running_testbed(testbed: Status) -> None:
    """A second `up` with the same nodes starts nothing and answers the same."""
    first = first_process(layout.home(NAME))
    same = layout.make_spec([parse_setting(node) for node in NODES], name=NAME)

    again = lifecycle.up(same)

    assert again == testbed
    assert first_process(layout.home(NAME)) == first


@pytest.mark.usefixtures("testbed")
def test_up_refuses_other_nodes() -> None:
    """`up` with other nodes than those running refuses, and says how to go on."""
    with pytest.raises(UsageError) as refused:
        lifecycle.up(small(NAME))

    assert "sync-2s-watch, sync-2s-get, sync-2s-cache, sync-10s-watch" in str(
        refused.value
    )
    assert f"`cmhot testbed down --name {NAME}`" in str(refused.value)
    assert "--name" in str(refused.value)
    assert lifecycle.status(NAME).running


def test_status_has_the_keys_that_programs_rely_on(testbed: Status) -> None:
    """`status --json` has the keys of the published format, and their units."""
    code, output, _ = run("testbed", "status", "--name", NAME, "--json")
    answer = json.loads(output)

    assert code == 0
    required = {"running", "kubernetes", "kubeconfig", "probe_image", "nodes"}
    assert required <= answer.keys()
    assert answer["running"] is True
    assert answer["kubernetes"] == "v1.37.1"
    assert answer["kubeconfig"] == str(testbed.kubeconfig)
    assert answer["probe_image"] == "cmhot.dev/testbed/busybox:local"
    assert answer["nodes"] == [
        {
            "name": f"sync-{sync}s-{strategy.lower()}",
            "ready": True,
            "sync_frequency_s": sync,
            "strategy": strategy,
            "ttl_s": 0,
            "kubelet": "v1.37.1",
        }
        for sync, strategy in [(2, "Watch"), (2, "Get"), (2, "Cache"), (10, "Watch")]
    ]


def test_status_of_no_testbed() -> None:
    """Without a testbed, `status` says so and ends with 1."""
    code, output, _ = run("testbed", "status", "--name", "test-absent", "--json")

    assert code == 1
    assert json.loads(output)["running"] is False


def test_only_what_ended_sessions_left_is_taken_away() -> None:
    """A testbed of these tests goes once its session is no more; others stay."""
    ended = f"test-{2**22 + 1}"  # above the kernel's highest process number
    names = ["default", "test", "test-faults", NAME, f"{NAME}-two", ended, f"{ended}-a"]

    assert left_behind(names) == [ended, f"{ended}-a"]


def holds_key(path: Path) -> bool:
    """Tell whether a file has a private key in it, as PEM or in a kubeconfig."""
    # Keys and kubeconfigs are small; etcd's files are not read, nor are images, which
    # hold programs that know how a key begins.
    if not path.is_file() or path.is_symlink() or path.stat().st_size > 100_000:
        return False
    if "containerd" in path.parts:
        return False
    content = path.read_bytes()
    return b"PRIVATE KEY" in content or b"client-key-data" in content


def test_keys_are_the_owners_alone(testbed: Status) -> None:
    """No file with a private key can be read by anybody but its owner."""
    assert testbed.kubeconfig is not None
    assert stat.S_IMODE(testbed.kubeconfig.stat().st_mode) == 0o600
    keys = [path for path in layout.home(NAME).folder.rglob("*") if holds_key(path)]
    # kubeconfig; three for the control plane, four for the nodes; their keys
    assert len(keys) > 10
    assert [path for path in keys if path.stat().st_mode & 0o077] == []


def network_of(pid: int) -> str | None:
    """Return a process's network namespace; None: it has ended, and listens nowhere."""
    try:
        return os.readlink(f"/proc/{pid}/ns/net")  # noqa: PTH115 - it is no path
    except OSError:
        return None


def test_nothing_is_reachable_from_outside(testbed: Status) -> None:
    """The testbed's programs listen inside its own network alone."""
    answer = subprocess.run(
        ["ss", "--listening", "--tcp", "--udp", "--numeric", "--no-header"],
        check=True,
        capture_output=True,
        text=True,
    )
    ports = {line.split()[4].rpartition(":")[2] for line in answer.stdout.splitlines()}
    outside = os.readlink("/proc/self/ns/net")  # noqa: PTH115 - it is no path
    inside = host.cgroup_members(layout.cgroup_name(testbed.name))

    # other programs may listen meanwhile, but hardly on all of the testbed's ports
    assert not {"2379", "2380", "443", "10250", "10257", "10259"} <= ports
    # no process of the testbed is in the host's network, so none can listen there
    assert len(inside) > 10
    assert [pid for pid in inside if network_of(pid) == outside] == []


def test_nothing_is_left(own_name: str) -> None:
    """Process, mount, interface, route, cgroup, file: after `down` all is as before."""
    before = traces.look(own_name)
    lifecycle.up(small(own_name))
    during = traces.look(own_name).added_since(before)
    there = lifecycle.down(own_name)

    # what is looked for can be seen: all but mounts, which the host never has
    assert during.keys() == {"processes", "interfaces", "routes", "cgroups", "files"}
    assert there
    assert traces.look(own_name).added_since(before) == {}
    assert not lifecycle.down(own_name)


def test_start_and_end_are_quick(own_name: str) -> None:
    """A start takes seconds and an end less; the benchmark has the exact targets."""
    found = start_and_end(own_name, SMALL)

    # 4 s on two idle cores; a busy machine may take several times as long
    assert 0.5 < found.ready_s < 30
    # the kernel ends them in under 0.1 s; everything after about 1.5 s
    assert found.processes_gone_s < 2
    assert found.all_gone_s < 10
    assert found.left == {}


def test_the_testbed_outlives_its_starter(own_name: str) -> None:
    """SIGKILL to the starter's whole process group does not touch the testbed."""
    with start("testbed", "up", "--name", own_name, "--node", SMALL[0]) as starter:
        # its last step before it ends, or while it does, is the record
        assert wait_until(layout.home(own_name).record.exists, deadline_s=60)
        starter.kill_group()
        starter.wait()

    status = lifecycle.status(own_name)

    assert status.running
    assert [node.ready for node in status.nodes] == [True]


def remove_interface(name: str) -> None:
    """Take the link to the host away."""
    subprocess.run(["ip", "link", "delete", layout.link_name(name)], check=True)


def remove_record(name: str) -> None:
    """Forget that the start was complete."""
    layout.home(name).record.unlink()


def kill_first_process(name: str) -> None:
    """End all processes at once."""
    first = first_process(layout.home(name))
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert wait_until(lambda: first_process(layout.home(name)) is None, deadline_s=10)


def leave_cgroups_only(name: str) -> None:
    """Kill, and remove the folder: the cgroups are what remains."""
    kill_first_process(name)
    subprocess.run(["rm", "-r", layout.home(name).folder], check=True)


@pytest.mark.parametrize(
    "damage", [remove_interface, remove_record, kill_first_process, leave_cgroups_only]
)
def test_down_when_half_is_gone(own_name: str, damage: Callable[[str], None]) -> None:
    """`down` takes away what is left, whatever else is missing already."""
    before = traces.look(own_name)
    lifecycle.up(small(own_name))
    damage(own_name)

    assert lifecycle.down(own_name)
    assert traces.look(own_name).added_since(before) == {}


def test_down_when_only_the_folder_is_left(own_name: str) -> None:
    """A folder that a crash left is taken away."""
    before = traces.look(own_name)
    layout.home(own_name).logs.mkdir(parents=True)
    (layout.home(own_name).run / "launch.json").write_text("{")

    assert lifecycle.down(own_name)
    assert traces.look(own_name).added_since(before) == {}


def test_up_when_the_interface_is_gone(own_name: str) -> None:
    """A testbed that cannot be reached any more is told as not Ready, not as fine."""
    lifecycle.up(small(own_name))
    remove_interface(own_name)

    status = lifecycle.status(own_name)

    assert [node.ready for node in status.nodes] == [False]


def test_two_starts_at_once(own_name: str) -> None:
    """Two `up` at the same time both succeed, and there is one testbed."""
    command = ("testbed", "up", "--name", own_name, "--node", SMALL[0])
    with start(*command) as one, start(*command) as other:
        codes = one.wait(), other.wait()

    assert codes == (0, 0), one.messages + other.messages
    already = f"testbed {own_name} is running already"
    assert sorted(already in said for said in (one.messages, other.messages)) == [
        False,
        True,
    ]
    cgroup = layout.cgroup_name(own_name)
    supervisors = [
        pid
        for pid in host.cgroup_members(cgroup, host.PROGRAMS)
        if b"supervisor.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    assert len(supervisors) == 2  # the first process, and the unshare above it


def test_kills_at_random_moments(own_name: str) -> None:
    """After a SIGKILL at any moment of `up`, `up` works and `down` leaves nothing."""
    for done in soak.rounds(own_name, count=3, seed=2):
        assert done.left == {}, str(done)
        assert not done.has_traceback, done.said
