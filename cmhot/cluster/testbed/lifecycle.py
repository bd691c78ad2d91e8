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
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from cmhot.clock import NS_PER_S, SystemClock
from cmhot.cluster.testbed import configuration, host, layout, supervisor
from cmhot.cluster.testbed.image import find_busybox, oci_archive
from cmhot.cluster.testbed.owner import as_root, make_folder, set_owner, state_dir
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
    cgroup_of,
    damaged,
    first_process,
    is_ready,
    is_running,
    kill_testbed,
    not_running,
    read_record,
    spec_record,
    state_kept,
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
    "damaged",
    "down",
    "expected_start_s",
    "log_files",
    "not_running",
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
    asked = ["up", *layout.options(spec)]
    asked += [] if bin_dir is None else ["--bin-dir", str(bin_dir)]
    with state_kept(home, *asked), contextlib.ExitStack() as held:
        if os.geteuid() == 0:
            held.enter_context(_locked(home, report=report))
        if not _runs_already(spec, home, report=report):
            if os.geteuid() == 0:
                _clear(home, spec.name, clock=clock)
            host.require(nodes=len(spec.nodes), again=as_root("testbed", *asked))
            programs = _ensure(spec, bin_dir=bin_dir, report=report)
            try:
                _start(spec, home, programs, report, clock=clock, timeout_s=timeout_s)
            except BaseException:
                _clear(home, spec.name, clock=clock)
                raise
    return status(spec.name, asked=asked)


def _runs_already(spec: TestbedSpec, home: Home, *, report: Report) -> bool:
    """Report whether it runs, with these nodes; one with others is an error."""
    record = read_record(home)
    if record is None or not is_running(home):
        return False
    if record["spec"] != spec_record(spec):
        running = ", ".join(node["name"] for node in record["spec"]["nodes"])
        msg = (
            f"testbed {spec.name!r} is running with other nodes ({running}): "
            f"`cmhot testbed down --name {spec.name}` first, or start this "
            "one beside it with another --name"
        )
        raise UsageError(msg)
    report(f"testbed {spec.name} is running already")
    return True


def down(
    name: str = "default",
    *,
    report: Report = lambda _: None,
    clock: Clock | None = None,
) -> bool:
    """Remove a testbed, or its leftovers; return whether there was anything."""
    layout.check_name(name)
    home = layout.home(name)
    with state_kept(home, "down", "--name", name):
        if os.geteuid() != 0:
            if not _is_there(home):
                return False
            again = as_root("testbed", "down", "--name", name)
            msg = f"testbed {name!r} is root's to take away: run `{again}`"
            raise HostError(msg)
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
    home = layout.home(name)
    with state_kept(home, "logs", "--name", name):
        try:
            return {path.stem: path for path in sorted(home.logs.iterdir())}
        except FileNotFoundError as error:
            raise not_running(name) from error


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
    command = as_root("testbed", verb)
    code = subprocess.run(shlex.split(command), check=False).returncode
    if code != 0:
        msg = f"`{command}` ended with {code}: see what it said above"
        raise TestbedError(msg)


def _is_there(home: Home) -> bool:
    """Report whether there is anything of a testbed."""
    return home.folder.exists() or bool(host.cgroup_roots(cgroup_of(home)))


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
    home.logs.mkdir(parents=True)
    home.client.mkdir(mode=0o700)
    cgroup = layout.cgroup_name(spec.name)
    host.make_cgroups(cgroup, [node.name for node in spec.nodes])
    with host.addresses_kept():
        link = host.free_link(host.taken_ranges())
        if link.within is not None:
            report(f"the link to the testbed takes {link}")
        _write_files(spec, home, programs, link, clock=clock)
        report(f"starting Kubernetes {spec.kubernetes} with {len(spec.nodes)} nodes")
        _spawn(home, cgroup)
        pid = _wait_for_first_process(home, clock=clock, timeout_s=timeout_s)
        _connect(layout.link_name(spec.name), pid, link)
    api = Api(str(link.inner), layout.API_PORT, folder=home.client)
    _wait_until_ready(spec, home, api, report, clock=clock, timeout_s=timeout_s)
    home.kubeconfig.touch(mode=0o600)
    home.kubeconfig.write_bytes((home.run / "user.kubeconfig").read_bytes())
    record = {
        "spec": spec_record(spec),
        "cgroup": cgroup,
        "api_address": str(link.inner),
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
    link: host.Link,
    *,
    clock: Clock,
) -> None:
    files = configuration.files(
        spec,
        cgroup=layout.cgroup_name(spec.name),
        api_address=str(link.inner),
        now=dt.datetime.fromtimestamp(clock.utc_ns() / NS_PER_S, dt.UTC),
        snapshotter=host.snapshotter(home.run),
        image=oci_archive(find_busybox(), architecture=host.architecture()),
    )
    plan = configuration.launch_plan(
        spec,
        programs={name: str(path) for name, path in programs.paths.items()},
        api_address=str(link.inner),
        host_address=str(link.host),
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


def _spawn(home: Home, cgroup: str) -> None:
    """Start the namespaces in the cgroup; nothing ties them to this process."""
    isolate = ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts"]
    isolate += ["--fork", "--kill-child", "--mount-proc"]
    python = [sys.executable, "-I", "-S", supervisor.__file__]
    with (
        (home.logs / "supervisor.log").open("ab") as log,
        host.entering_cgroup(cgroup) as enter,
    ):
        # forked once more, so that a starter that lives on (a notebook's kernel)
        # need not wait for its end, and keeps no zombie of it
        code = subprocess.run(
            ["setsid", "--fork", *isolate, *python, str(home.run)],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": os.environ.get("PATH", os.defpath)},
            preexec_fn=enter,
        ).returncode
    if code != 0:
        raise TestbedError(_why_ended(home))


def _wait_for_first_process(home: Home, *, clock: Clock, timeout_s: float) -> int:
    until = clock.monotonic() + timeout_s
    while clock.monotonic() < until:
        pid = first_process(home)
        if pid is not None:
            return pid
        if not host.cgroup_members(cgroup_of(home), host.PROGRAMS):
            break
        clock.sleep(POLL_S / 5)
    tail = _tail(home.logs / "supervisor.log")
    msg = f"the testbed's namespaces could not be made: {tail or 'no output'}"
    raise TestbedError(msg)


def _connect(name: str, pid: int, link: host.Link) -> None:
    """Make the one link between the host and the testbed."""
    peer = "host"
    inside = ["nsenter", "--target", str(pid), "--net"]
    commands = [
        [
            *("ip", "link", "add", name, "type", "veth"),
            *("peer", "name", peer, "netns", str(pid)),
        ],
        ["ip", "addr", "add", f"{link.host}/30", "dev", name],
        ["ip", "link", "set", name, "up"],
        [*inside, "ip", "addr", "add", f"{link.inner}/30", "dev", peer],
        [*inside, "ip", "link", "set", peer, "up"],
    ]
    for command in commands:
        host.run_tool(command)


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
    if first_process(home) is None:
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
            # others may have taken what was left when it was looked for
            short = host.check_inotify(1)
            if not short.ok:
                msg = f"{short.detail}: {short.remedy}; {msg}"
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
    cgroup = cgroup_of(home)
    found = _is_there(home)
    alive = kill_testbed(home, clock=clock, deadline_s=KILL_TIMEOUT_S)
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
