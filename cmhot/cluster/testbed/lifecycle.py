"""One start: from an empty run folder to Ready nodes.

Start, look at and take down a testbed; each may be called at any time.

What a crash leaves is no special case:
`up` and `down` look at what is there (processes, interface, cgroups, folder)
and take away what does not belong.
A lock file, released by the kernel when its holder dies,
keeps two of them from working on one testbed at once.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from cmhot.clock import NS_PER_S, SystemClock
from cmhot.cluster.testbed import configuration, host, layout, supervisor
from cmhot.cluster.testbed.host import enter, prepare, remove, roots
from cmhot.cluster.testbed.image import find_busybox, oci_archive
from cmhot.cluster.testbed.owner import give_back
from cmhot.cluster.testbed.programs import (
    Programs,
    ensure_older_kubelet,
    ensure_programs,
)
from cmhot.cluster.testbed.spec import check_name
from cmhot.cluster.testbed.status import (
    CLIENT_FILES,
    Status,
    connect,
    describe,
    first_process,
    is_ready,
    kill,
    of_testbed,
    read_record,
    status,
)
from cmhot.errors import TestbedError, UsageError
from cmhot.kubelet.settings import TTL_ANNOTATION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cmhot.clock import Clock
    from cmhot.cluster.testbed.spec import TestbedSpec

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
        As in `cmhot.cluster.testbed.lifecycle.up`.
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
    prepare(cgroup, [node.name for node in spec.nodes])
    _spawn(home)
    pid = _wait_for_first_process(home, clock=clock, timeout_s=timeout_s)
    try:
        enter(cgroup, pid)
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
        found = list(of_testbed(home.run))
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
    if first_process(home.run) is None:
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


__all__ = ["Status", "down", "log_files", "status", "up"]
START_TIMEOUT_S = 120.0
"""Ten times the longest start seen, for a slow or busy machine."""
KILL_TIMEOUT_S = 5.0
CLEAN_TIMEOUT_S = 10.0


def _silent(_: str) -> None:
    """Report nothing."""


@contextlib.contextmanager
def _locked(home: layout.Home, *, report: Report) -> Iterator[None]:
    """Hold the testbed's lock; say so when somebody else has it."""
    home.lock.parent.mkdir(parents=True, exist_ok=True)
    give_back(home.lock.parent)
    while True:
        descriptor = os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                report(f"waiting: another cmhot is changing testbed {home.folder.name}")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # `down` removes the file: what we locked may no longer be the lock.
            try:
                current = os.stat(home.lock).st_ino  # noqa: PTH116
            except FileNotFoundError:
                continue
            if current != os.fstat(descriptor).st_ino:
                continue
            yield
        finally:
            os.close(descriptor)
        return


def up(
    spec: TestbedSpec,
    *,
    bin_dir: Path | None = None,
    report: Report = _silent,
    clock: Clock | None = None,
    timeout_s: float = START_TIMEOUT_S,
) -> Status:
    """Start the testbed, or find it running.

    Parameters
    ----------
    spec
        Its nodes.
    bin_dir
        Folder with programs to use before any others.
    report
        Takes a sentence for each step.
    clock
        For the deadline.
    timeout_s
        From the start of the programs until all nodes are Ready.

    Returns
    -------
    Status
        All nodes are Ready and pods can be created.

    Raises
    ------
    HostError
        The machine cannot run a testbed.
    ProgramsError
        A program could not be had.
    UsageError
        A testbed of that name runs with other nodes.
    TestbedError
        It did not become ready; what was started is gone again.
    """
    clock = clock or SystemClock()
    home = layout.home(spec.name)
    with _locked(home, report=report):
        record = read_record(home)
        if record is not None and first_process(home.run) is not None:
            if record["spec"] != describe(spec):
                running = ", ".join(node["name"] for node in record["spec"]["nodes"])
                msg = (
                    f"testbed {spec.name!r} is running with other nodes ({running}): "
                    f"`cmhot testbed down --name {spec.name}` first, or start this "
                    "one beside it with another --name"
                )
                raise UsageError(msg)
            report(f"testbed {spec.name} is running already")
        else:
            _clear(home, spec.name, clock=clock)
            host.require(nodes=len(spec.nodes))
            programs = _ensure(spec, bin_dir=bin_dir, report=report)
            try:
                start(
                    spec,
                    home,
                    programs,
                    report=report,
                    clock=clock,
                    timeout_s=timeout_s,
                )
            except BaseException:
                _clear(home, spec.name, clock=clock)
                raise
    return status(spec.name)


def _ensure(spec: TestbedSpec, *, bin_dir: Path | None, report: Report) -> Programs:
    """Return all programs; those of older kubelets are named ``VERSION/PROGRAM``."""
    found = ensure_programs(
        kubernetes_version=spec.kubernetes, bin_dir=bin_dir, report=report
    )
    sources = dict(found.sources)
    for version in spec.older_kubelets:
        older = ensure_older_kubelet(version, bin_dir=bin_dir, report=report)
        sources |= {
            f"{version}/{name}": source for name, source in older.sources.items()
        }
    return Programs(sources)


def down(
    name: str = "default", *, report: Report = _silent, clock: Clock | None = None
) -> bool:
    """Take a testbed away, all of it or what is left of it.

    Returns
    -------
    bool
        Whether there was anything.

    Raises
    ------
    TestbedError
        Something could not be removed; the message names it.
    """
    check_name(name)
    home = layout.home(name)
    if not home.lock.parent.is_dir():
        return False
    with _locked(home, report=report):
        found = _clear(home, name, clock=clock or SystemClock())
        home.lock.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # other testbeds may be there
        home.folder.parent.rmdir()
    return found


def _clear(home: layout.Home, name: str, *, clock: Clock) -> bool:
    """End the processes, then remove interface, cgroups and folder."""
    cgroup = layout.cgroup_name(name)
    found = home.folder.exists() or bool(roots(cgroup))
    alive = kill(home.run, clock=clock, deadline_s=KILL_TIMEOUT_S)
    if alive:
        msg = f"processes {alive} of testbed {name!r} do not end: try again in a minute"
        raise TestbedError(msg)
    link = layout.link_name(name)
    if Path("/sys/class/net", link).exists():
        # The kernel removes it with the namespace, a little later than the processes.
        subprocess.run(["ip", "link", "delete", link], check=False, capture_output=True)
    until = clock.monotonic() + CLEAN_TIMEOUT_S
    while left := remove(cgroup):
        if clock.monotonic() > until:
            msg = f"cgroup {left[0]} could not be removed: is a process left in it?"
            raise TestbedError(msg)
        clock.sleep(POLL_S)
    if home.folder.exists():
        shutil.rmtree(home.folder)
    return found


def log_files(name: str = "default") -> dict[str, Path]:
    """Return the log of each program of a running testbed.

    Raises
    ------
    UsageError
        When there is no such testbed.
    """
    check_name(name)
    folder = layout.home(name).logs
    if not folder.is_dir():
        msg = f"there is no testbed {name!r}: start it with `cmhot testbed up`"
        raise UsageError(msg)
    return {path.stem: path for path in sorted(folder.iterdir())}
