"""Start, look at and take down a testbed; each may be called at any time.

Leftovers of a crash are no special case:
`up` and `down` look for processes, interface, cgroups and folder,
and remove those that do not belong.
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
from cmhot.cluster.testbed.image import find_busybox, oci_archive
from cmhot.cluster.testbed.owner import make_folder, set_owner, state_dir
from cmhot.cluster.testbed.programs import (
    Programs,
    ensure_older_kubelet,
    ensure_programs,
    known_sources,
)
from cmhot.cluster.testbed.status import (
    CLIENT_FILES,
    Api,
    Status,
    find_processes,
    first_process,
    is_ready,
    kill_testbed,
    read_record,
    spec_record,
    status,
)
from cmhot.cluster.testbed.versions import KUBERNETES_VERSION, catalogue
from cmhot.errors import HostError, TestbedError, UsageError
from cmhot.kubelet.settings import DEFAULT_SETTINGS, TTL_ANNOTATION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cmhot.clock import Clock
    from cmhot.cluster.testbed.layout import Home, TestbedSpec

    Report = Callable[[str], None]

__all__ = [
    "Status",
    "down",
    "expected_start_s",
    "log_files",
    "status",
    "temporary_testbed",
    "up",
]

EXPECTED_START_S = 10
"""Seconds of a start with all programs at hand, generously: 4 to 9 s measured."""
START_TIMEOUT_S = 120.0
"""Longest wait for a start: ten times the longest seen, for a slow or busy machine."""
KILL_TIMEOUT_S = 5.0
CLEAN_TIMEOUT_S = 10.0
POLL_S = 0.05
TOO_MANY_EXITS = 3
"""A program that has died at once so many times will not come up by itself."""
AT_ONCE_S = 5.0
"""A program that lived longer was waiting for another one, on a slow machine."""
GIVEN_UP_S = 1.0
"""`unshare` has given up when it is not seen for so long; a busy machine may take
some of it between two programs of the chain setsid, unshare, Python, during which
/proc shows no arguments (see `status.NO_ARGUMENTS_S`)."""
LOG_TAIL = 5


def up(
    spec: TestbedSpec,
    *,
    bin_dir: Path | None = None,
    report: Report = lambda _: None,
    clock: Clock | None = None,
    timeout_s: float = START_TIMEOUT_S,
) -> Status:
    """Start the testbed, or find it running: then all nodes are Ready for pods.

    The programs in `bin_dir` are used before any others.
    `timeout_s` counts from the start of the programs until all nodes are Ready.

    Raises
    ------
    HostError
        The machine cannot run a testbed.
    ProgramsError
        A program could not be obtained.
    UsageError
        A testbed of that name runs with other nodes.
    TestbedError
        It did not become ready; its processes are gone again.
    """
    clock = clock or SystemClock()
    home = layout.home(spec.name)
    with _locked(home, report=report):
        record = read_record(home)
        if record is not None and first_process(home.run) is not None:
            if record["spec"] != spec_record(spec):
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
                _start(spec, home, programs, report, clock=clock, timeout_s=timeout_s)
            except BaseException:
                _clear(home, spec.name, clock=clock)
                raise
    return status(spec.name)


def down(
    name: str = "default",
    *,
    report: Report = lambda _: None,
    clock: Clock | None = None,
) -> bool:
    """Remove a testbed, or its leftovers; return whether there was anything."""
    layout.check_name(name)
    home = layout.home(name)
    if not home.lock.parent.is_dir():
        return False
    with _locked(home, report=report):
        found = _clear(home, name, clock=clock or SystemClock())
        home.lock.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # other testbeds may be there
        home.folder.parent.rmdir()
    return found


def log_files(name: str = "default") -> dict[str, Path]:
    """Return the log of each program of a running testbed."""
    layout.check_name(name)
    folder = layout.home(name).logs
    if not folder.is_dir():
        msg = f"there is no testbed {name!r}: start it with `cmhot testbed up`"
        raise UsageError(msg)
    return {path.stem: path for path in sorted(folder.iterdir())}


def expected_start_s() -> float:
    """Estimate how long a start would take on two cores, builds included, in seconds.

    It is 0 when the default testbed is running;
    downloads, where they work, are quicker than the builds assumed here.
    """
    if status().running:
        return 0.0
    missing = {
        known.component
        for known in known_sources(kubernetes_version=KUBERNETES_VERSION)
        if known.source is None
    }
    return EXPECTED_START_S + sum(
        component.build.seconds
        for component in catalogue(KUBERNETES_VERSION)
        if component.name in missing
    )


@contextlib.contextmanager
def temporary_testbed(*, report: Report) -> Iterator[None]:
    """Keep the default testbed running; remove it again if it was started here.

    Each piece of work holds a share of a lock, so that the end of one
    does not remove the testbed that another one uses.
    Without root it is started through sudo, which may ask for a password;
    the work itself needs no root.
    """
    with _shared_lock(report=report) as is_last:
        if status().running:
            report("using the testbed that is running")
            yield
            return
        _start_default(report=report)
        try:
            yield
        finally:
            last = is_last()
            with contextlib.suppress(OSError):  # of a terminal that is gone
                report(
                    "taking the testbed down again"
                    if last
                    else "another cmhot uses the testbed: it stays, and "
                    "`cmhot testbed down` takes it away"
                )
            if last:
                _end_default(report=report)


@contextlib.contextmanager
def _shared_lock(*, report: Report) -> Iterator[Callable[[], bool]]:
    """Hold a share of the testbed, until the context ends.

    The lock is on the folder of all testbeds' state, which stays: no file is left.
    Where there is none, or it cannot be locked, as on NFS, nobody is seen to share.
    Yields a function: whether nobody else has a share; newcomers wait then.
    """
    with contextlib.ExitStack() as opened:
        try:
            make_folder(state_dir())
            descriptor = os.open(state_dir(), os.O_RDONLY | os.O_DIRECTORY)
            opened.callback(os.close, descriptor)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                report("waiting: another cmhot is taking the testbed down")
                fcntl.flock(descriptor, fcntl.LOCK_SH)
        except OSError:
            descriptor = -1

        def is_last() -> bool:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            except (OSError, ValueError):
                return True
            return True

        yield is_last


def _start_default(*, report: Report) -> None:
    try:
        if os.geteuid() == 0:
            up(layout.make_spec(), report=report)
        else:
            _through_sudo("up")
    except HostError as error:
        msg = (
            f"{error}. Other targets: context:NAME measures a cluster of yours, "
            "model shows modelled numbers (make: TARGET=context:NAME, TARGET=model)"
        )
        raise HostError(msg) from error


def _end_default(*, report: Report) -> None:
    if os.geteuid() == 0:
        down(report=report)
    else:
        _through_sudo("down")


def _through_sudo(verb: str) -> None:
    if not host.runs_linux() or shutil.which("sudo") is None:
        # reports what is missing, in the words of a testbed's start
        host.require(nodes=len(DEFAULT_SETTINGS))
    # -P: as root, no modules of the working directory
    command = ["sudo", sys.executable, "-P", "-m", "cmhot", "testbed", verb]
    code = subprocess.run(command, check=False).returncode
    if code != 0:
        msg = f"`{' '.join(command)}` ended with {code}: see what it said above"
        raise TestbedError(msg)


@contextlib.contextmanager
def _locked(home: Home, *, report: Report) -> Iterator[None]:
    """Hold the testbed's lock; report a wait when another process has it."""
    make_folder(home.lock.parent)
    while True:
        descriptor = os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                report(f"waiting: another cmhot is changing testbed {home.folder.name}")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # `down` removes the file: ours may no longer be the lock.
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


def _start(
    spec: TestbedSpec,
    home: Home,
    programs: Programs,
    report: Report,
    *,
    clock: Clock,
    timeout_s: float,
) -> None:
    """Start the programs and wait until every node is Ready and pods can be made.

    `home` has no run in it; where this fails the caller removes the leftovers.
    """
    began = clock.monotonic()
    host_end, inner_end = host.free_link(host.taken_ranges())
    home.logs.mkdir(parents=True)
    home.client.mkdir(mode=0o700)
    _write_files(spec, home, programs, str(host_end), str(inner_end), clock=clock)
    report(f"starting Kubernetes {spec.kubernetes} with {len(spec.nodes)} nodes")
    cgroup = layout.cgroup_name(spec.name)
    host.make_cgroups(cgroup, [node.name for node in spec.nodes])
    _spawn(home)
    pid = _wait_for_first_process(home, clock=clock, timeout_s=timeout_s)
    try:
        host.enter_cgroup(cgroup, pid)
    except ProcessLookupError as error:
        raise TestbedError(_why_ended(home)) from error
    _link(layout.link_name(spec.name), pid, str(host_end), str(inner_end))
    api = Api(str(inner_end), layout.API_PORT, folder=home.client)
    _wait_until_ready(spec, home, api, report, clock=clock, timeout_s=timeout_s)
    home.kubeconfig.touch(mode=0o600)
    home.kubeconfig.write_bytes((home.run / "user.kubeconfig").read_bytes())
    record = {
        "spec": spec_record(spec),
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
        set_owner(path)
    report(f"all nodes Ready after {record['ready_after_s']:.1f} s")


def _write_files(
    spec: TestbedSpec,
    home: Home,
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


def _spawn(home: Home) -> None:
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


def _wait_for_first_process(home: Home, *, clock: Clock, timeout_s: float) -> int:
    seen = clock.monotonic()
    until = seen + timeout_s
    while clock.monotonic() < until:
        found = list(find_processes(home.run))
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
    home: Home,
    api: Api,
    report: Report,
    *,
    clock: Clock,
    timeout_s: float,
) -> None:
    until = clock.monotonic() + timeout_s
    wanted = {node.name: node for node in spec.nodes}
    annotated: set[str] = set()
    reported = -1
    while clock.monotonic() < until:
        nodes = {node["metadata"]["name"]: node for node in api.nodes()}
        for name in wanted.keys() & nodes.keys() - annotated:
            # 0 included: without the annotation a kubelet takes a TTL of 60 s
            ttl = f"{wanted[name].setting.ttl_s:g}"
            if api.annotate_node(name, {TTL_ANNOTATION: ttl}):
                annotated.add(name)
        ready = sum(is_ready(node) for node in nodes.values())
        if nodes and ready != reported:
            report(f"{ready} of {len(wanted)} nodes Ready")
            reported = ready
        if ready == len(annotated) == len(wanted) and api.has_default_service_account():
            return
        _fail_if_dying(home)
        clock.sleep(POLL_S)
    msg = (
        f"the testbed was not ready within {timeout_s:.0f} s "
        f"({max(reported, 0)} of {len(wanted)} nodes Ready); is the machine very busy?"
    )
    raise TestbedError(msg)


def _fail_if_dying(home: Home) -> None:
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


def _why_ended(home: Home) -> str:
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


def _clear(home: Home, name: str, *, clock: Clock) -> bool:
    """End the processes, then remove interface, cgroups and folder."""
    cgroup = layout.cgroup_name(name)
    found = home.folder.exists() or bool(host.cgroup_roots(cgroup))
    alive = kill_testbed(home.run, clock=clock, deadline_s=KILL_TIMEOUT_S)
    if alive:
        msg = f"processes {alive} of testbed {name!r} do not end: try again in a minute"
        raise TestbedError(msg)
    link = layout.link_name(name)
    if Path("/sys/class/net", link).exists():
        # The kernel removes it with the namespace, a little later than the processes.
        subprocess.run(["ip", "link", "delete", link], check=False, capture_output=True)
    until = clock.monotonic() + CLEAN_TIMEOUT_S
    while left := host.remove_cgroups(cgroup):
        if clock.monotonic() > until:
            msg = f"cgroup {left[0]} could not be removed: is a process left in it?"
            raise TestbedError(msg)
        clock.sleep(POLL_S)
    if home.folder.exists():
        shutil.rmtree(home.folder)
    return found
