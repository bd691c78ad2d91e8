"""One start: from an empty run folder to Ready nodes."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

from cmhot.clock import NS_PER_S
from cmhot.errors import TestbedError
from cmhot.settings import TTL_ANNOTATION
from cmhot.testbed import cgroups, configuration, host, layout, processes, supervisor
from cmhot.testbed.api import CLIENT_FILES, is_ready
from cmhot.testbed.image import find_busybox, oci_archive
from cmhot.testbed.owner import give_back
from cmhot.testbed.status import connect, describe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cmhot.clock import Clock
    from cmhot.testbed.programs import Programs
    from cmhot.testbed.spec import TestbedSpec

    Report = Callable[[str], None]

POLL_S = 0.05
TOO_MANY_EXITS = 3
"""A program that dies at once so often will not come up by itself."""
AT_ONCE_S = 5.0
"""A program that lived longer was waiting for another one, on a slow machine."""
GIVEN_UP_S = 1.0
"""`unshare` has given up when it is not seen for so long; a busy machine may take
some of it between two programs of the chain setsid, unshare, Python, during which
/proc shows no arguments (see `processes.NO_ARGUMENTS_S`)."""
LOG_TAIL = 5


def start(
    spec: TestbedSpec,
    home: layout.Home,
    programs: Programs,
    *,
    report: Report,
    clock: Clock,
    timeout_s: float,
) -> None:
    """Start the programs and wait until every node is Ready and pods can be made.

    Parameters
    ----------
    spec
        What to start.
    home
        Its folder, without a run in it.
    programs
        What to start it from.
    report, clock
        As in `cmhot.testbed.lifecycle.up`.
    timeout_s
        Longest wait for readiness, in seconds.

    Raises
    ------
    TestbedError
        It did not become ready; the caller clears away what there is.
    """
    began = clock.monotonic()
    host_end, inner_end = host.free_link(host.taken_ranges())
    home.logs.mkdir(parents=True)
    home.client.mkdir(mode=0o700)
    _write_files(spec, home, programs, str(host_end), str(inner_end), clock=clock)
    report(f"starting Kubernetes {spec.kubernetes} with {len(spec.nodes)} nodes")
    cgroup = layout.cgroup_name(spec.name)
    cgroups.prepare(cgroup, [node.name for node in spec.nodes])
    _spawn(home)
    pid = _wait_for_first_process(home, clock=clock, timeout_s=timeout_s)
    try:
        cgroups.enter(cgroup, pid)
    except ProcessLookupError as error:
        raise TestbedError(_why_ended(home)) from error
    _link(layout.link_name(spec.name), pid, str(host_end), str(inner_end))
    _wait_until_ready(
        spec, home, str(inner_end), report=report, clock=clock, timeout_s=timeout_s
    )
    home.kubeconfig.touch(mode=0o600)
    home.kubeconfig.write_bytes((home.run / "user.kubeconfig").read_bytes())
    record = {
        "spec": describe(spec),
        "api_address": str(inner_end),
        "api_port": layout.API_PORT,
        "sources": programs.to_dict(),
        "ready_after_s": round(clock.monotonic() - began, 3),
    }
    partial = home.record.with_suffix(".part")
    partial.write_text(json.dumps(record, indent=1))
    partial.replace(home.record)
    client = [home.client, *home.client.iterdir()]
    for path in (home.folder, home.kubeconfig, home.record, *client):
        give_back(path)
    report(f"all nodes Ready after {record['ready_after_s']:.1f} s")


def _write_files(
    spec: TestbedSpec,
    home: layout.Home,
    programs: Programs,
    host_address: str,
    api_address: str,
    *,
    clock: Clock,
) -> None:
    files = configuration.files(
        spec,
        api_address=api_address,
        now=dt.datetime.fromtimestamp(clock.utc_ns() / NS_PER_S, dt.UTC),
        snapshotter=host.snapshotter(home.run),
        image=oci_archive(find_busybox(), architecture=host.architecture()),
    )
    plan = configuration.launch_plan(
        spec,
        programs={name: str(path) for name, path in programs.paths.items()},
        api_address=api_address,
        host_address=host_address,
    )
    files["launch.json"] = json.dumps(plan, indent=1).encode()
    # 0700 keeps the keys from other users of the machine, whatever the files' modes.
    home.run.chmod(0o700)
    for path, data in files.items():
        target = home.run / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch(mode=0o600)
        target.write_bytes(data)
    for name in CLIENT_FILES:
        (home.run / "pki" / name).replace(home.client / name)


def _spawn(home: layout.Home) -> None:
    """Start the namespaces; nothing ties them to this process."""
    isolate = ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts"]
    isolate += ["--fork", "--kill-child", "--mount-proc"]
    python = [sys.executable, "-I", "-S", supervisor.__file__]
    with (home.logs / "supervisor.log").open("ab") as log:
        # forked once more, so that a starter that lives on (a notebook's kernel)
        # need not wait for its end, and keeps no zombie of it
        subprocess.run(
            ["setsid", "--fork", *isolate, *python, str(home.run)],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": os.environ.get("PATH", os.defpath)},
        )


def _wait_for_first_process(
    home: layout.Home, *, clock: Clock, timeout_s: float
) -> int:
    seen = clock.monotonic()
    until = seen + timeout_s
    while clock.monotonic() < until:
        found = list(processes.of_testbed(home.run))
        for process in found:
            if process.is_first:
                return process.pid
        if found:
            seen = clock.monotonic()
        elif clock.monotonic() - seen > GIVEN_UP_S:
            break
        clock.sleep(POLL_S / 5)
    tail = _tail(home.logs / "supervisor.log")
    msg = f"the testbed's namespaces could not be made: {tail or 'no output'}"
    raise TestbedError(msg)


def _link(name: str, pid: int, host_address: str, inner_address: str) -> None:
    """Make the one link between the host and the testbed."""
    peer = "host"
    inside = ["nsenter", "--target", str(pid), "--net"]
    commands = [
        [
            *("ip", "link", "add", name, "type", "veth"),
            *("peer", "name", peer, "netns", str(pid)),
        ],
        ["ip", "addr", "add", f"{host_address}/30", "dev", name],
        ["ip", "link", "set", name, "up"],
        [*inside, "ip", "addr", "add", f"{inner_address}/30", "dev", peer],
        [*inside, "ip", "link", "set", peer, "up"],
    ]
    for command in commands:
        answer = subprocess.run(command, check=False, capture_output=True, text=True)
        if answer.returncode != 0:
            msg = (
                f"the link to the testbed could not be made: `{' '.join(command)}` "
                f"said {answer.stderr.strip()!r}; try `cmhot testbed down`, then again"
            )
            raise TestbedError(msg)


def _wait_until_ready(
    spec: TestbedSpec,
    home: layout.Home,
    address: str,
    *,
    report: Report,
    clock: Clock,
    timeout_s: float,
) -> None:
    api = connect(home, address)
    until = clock.monotonic() + timeout_s
    wanted = {node.name: node for node in spec.nodes}
    annotated: set[str] = set()
    told = -1
    while clock.monotonic() < until:
        nodes = {node["metadata"]["name"]: node for node in api.nodes()}
        for name in wanted.keys() & nodes.keys() - annotated:
            # 0 included: without the annotation a kubelet takes a TTL of 60 s
            ttl = f"{wanted[name].setting.ttl_s:g}"
            if api.annotate_node(name, {TTL_ANNOTATION: ttl}):
                annotated.add(name)
        ready = sum(is_ready(node) for node in nodes.values())
        if nodes and ready != told:
            report(f"{ready} of {len(wanted)} nodes Ready")
            told = ready
        if ready == len(annotated) == len(wanted) and api.has_default_service_account():
            return
        _fail_if_dying(home)
        clock.sleep(POLL_S)
    msg = (
        f"the testbed was not ready within {timeout_s:.0f} s "
        f"({max(told, 0)} of {len(wanted)} nodes Ready); is the machine very busy?"
    )
    raise TestbedError(msg)


def _fail_if_dying(home: layout.Home) -> None:
    """Give up early when a program keeps dying, with the end of its log."""
    if processes.first_process(home.run) is None:
        raise TestbedError(_why_ended(home))
    exits = home.run / "exits.jsonl"
    if not exits.exists():
        return
    counts = Counter(
        exited["name"]
        for line in exits.read_text().splitlines()
        if (exited := json.loads(line))["code"] != 0 and exited["lived_s"] < AT_ONCE_S
    )
    for name, count in counts.items():
        if count >= TOO_MANY_EXITS:
            tail = _tail(home.logs / f"{name}.log")
            msg = f"{name} of the testbed keeps ending; its log says: {tail}"
            raise TestbedError(msg)


def _why_ended(home: layout.Home) -> str:
    tail = _tail(home.logs / "supervisor.log")
    return (
        f"the testbed ended while it was starting: {tail or 'it was killed'}; "
        "try `cmhot testbed up` again"
    )


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return " | ".join(lines[-LOG_TAIL:])
