"""The first process of the testbed's namespaces: starts the programs, reaps, restarts.

It runs by itself (``python supervisor.py RUN_DIR``) under `unshare`,
with nothing but the standard library,
so that it starts in a few hundredths of a second
and outlives whoever started it.
As PID 1 of its PID namespace, its death by SIGKILL ends every program,
shim, container, mount and interface of the testbed at once:
the kernel does the cleaning up.

It reads ``RUN_DIR/launch.json``,
and appends a line to ``RUN_DIR/exits.jsonl`` for every program that ended.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

POLL_S = 0.02
"""How often conditions are checked while a program waits to be started."""
IDLE_POLL_S = 0.2
RESTART_DELAY_S = 1.0
"""A program that dies is started again after this long, as a service manager would."""
_libc = ctypes.CDLL(None, use_errno=True)
MS_BIND = 4096


def mount(source: str, target: str, fstype: str, flags: int, data: str) -> None:
    """Call mount(2): the program `mount` would write to /run, which is ours by then."""
    arguments = [text.encode() for text in (source, target, fstype)]
    if _libc.mount(*arguments, flags, data.encode()) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"mount {source} on {target}: {os.strerror(code)}")


def hide_fixed_paths(run_dir: str, programs: dict[str, str], inside: str) -> None:
    """Put private file systems over the fixed paths that the programs write to.

    /run/containerd, /run/netns, /var/lib/cni, /var/lib/kubelet, /var/log/containers
    and /var/log/pods are used whatever the configuration.
    The state folder and the programs are opened *before*,
    since they may themselves lie below /var or /run,
    and bound to fixed places after.
    """
    folders = sorted({str(Path(path).parent) for path in programs.values()})
    opened = [os.open(folder, os.O_PATH) for folder in folders]
    state = os.open(run_dir, os.O_PATH)
    for path in ("/run", "/var"):
        mount("tmpfs", path, "tmpfs", 0, "mode=0755")
    Path("/var/run").symlink_to("/run")
    for path in ("/var/lib", "/var/log", "/var/tmp"):  # noqa: S108 - private by now
        Path(path).mkdir()
    bind(state, Path(inside, "state"))
    for number, descriptor in enumerate(opened):
        bind(descriptor, Path(inside, "programs", str(number)))
    Path(inside, "bin").mkdir()
    # Links, not bound files: runc executes itself through an overlay of its folder,
    # in which a bound file is empty.
    for name, path in programs.items():
        number = folders.index(str(Path(path).parent))
        target = Path(inside, "programs", str(number), Path(path).name)
        link = Path(inside, "bin", name)
        link.parent.mkdir(exist_ok=True)  # an older kubelet's programs lie apart
        link.symlink_to(target)


def bind(descriptor: int, target: Path) -> None:
    """Bind an opened folder to a new one, wherever its old path has gone."""
    target.mkdir(parents=True)
    mount(f"/proc/self/fd/{descriptor}", str(target), "", MS_BIND, "")
    os.close(descriptor)


def shield_kernel_settings(values: dict[str, str], inside: str) -> None:
    """Put private files over kernel settings that have no namespace of their own.

    A kubelet sets them for the whole machine, and they would stay after the testbed
    (`setupKernelTunables`, pkg/kubelet/cm/container_manager_linux.go):
    with ``kernel/panic_on_oops`` a laptop would reboot at every oops.
    It finds the values that it wants, and writes to our files.
    """
    folder = Path(inside, "sysctl")
    folder.mkdir()
    for name, value in values.items():
        setting = Path("/proc/sys", name)
        if setting.exists():
            private = folder / name.replace("/", ".")
            private.write_text(value + "\n")
            mount(str(private), str(setting), "", MS_BIND, "")


def run_all(commands: list[list[str]]) -> None:
    """Run short commands, such as the network's set-up, one after the other."""
    for command in commands:
        if subprocess.run(command, check=False).returncode != 0:
            raise SystemExit(f"`{' '.join(command)}` failed")


def holds(condition: dict[str, Any]) -> bool:
    """Report whether a condition to start a program is met: a listening socket."""
    family = socket.AF_UNIX if "unix" in condition else socket.AF_INET
    address = condition.get("unix") or tuple(condition["tcp"])
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect(address)
        except OSError:
            return False
        return True


class Supervisor:
    """Starts each program when its conditions hold, and again when it dies.

    `programs` have ``name``, ``argv``, ``log``, ``after`` (conditions),
    ``once`` (not to be restarted) and ``nice``;
    nothing of the starter's own environment is handed on to them.
    """

    def __init__(
        self, programs: list[dict[str, Any]], exits: Path, environment: dict[str, str]
    ) -> None:
        self.waiting = [(program, 0.0) for program in programs]
        self.running: dict[int, tuple[dict[str, Any], float]] = {}
        self.exits = exits
        self.environment = environment

    def start_what_can_be(self) -> None:
        """Start every waiting program whose time and conditions have come."""
        still_waiting = []
        for program, not_before in self.waiting:
            if time.monotonic() < not_before or not all(
                holds(condition) for condition in program["after"]
            ):
                still_waiting.append((program, not_before))
                continue
            argv = program["argv"]
            if program["nice"]:
                argv = ["nice", "-n", str(program["nice"]), *argv]
            with Path(program["log"]).open("ab") as log:
                process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=self.environment,
                    start_new_session=True,
                )
            self.running[process.pid] = program, time.monotonic()
            # PID 1 reaps by waitpid(-1); Popen must not look for the child again.
            process.returncode = 0
        self.waiting = still_waiting

    def reap(self) -> None:
        """Collect every ended child, ours and the orphans that PID 1 inherits."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            known = self.running.pop(pid, None)
            if known is None:
                continue
            program, started = known
            code = os.waitstatus_to_exitcode(status)
            with self.exits.open("a") as file:
                line = {
                    "name": program["name"],
                    "code": code,
                    "lived_s": time.monotonic() - started,
                    "at_ns": time.time_ns(),
                }
                file.write(json.dumps(line) + "\n")
            if not program["once"] or code != 0:
                again = time.monotonic() + RESTART_DELAY_S
                self.waiting.append((program, again))

    def serve(self) -> None:
        """Go on until killed."""
        while True:
            self.start_what_can_be()
            self.reap()
            time.sleep(POLL_S if self.waiting else IDLE_POLL_S)


def main(run_dir: str) -> None:
    """Read the launch file, make the namespaces ours, and serve."""
    launch = json.loads(Path(run_dir, "launch.json").read_text())
    # The kernel drops signals for which a PID 1 has no handler; Python has one here.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.umask(0o022)
    hide_fixed_paths(run_dir, launch["programs_found"], launch["inside"])
    shield_kernel_settings(launch["shielded"], launch["inside"])
    os.chdir("/")
    run_all(launch["network"])
    run_all(launch["private_logs"])
    for key, value in launch["sysctl"].items():
        Path("/proc/sys", key).write_text(value)
    state = Path(launch["inside"], "state")
    Supervisor(launch["programs"], state / "exits.jsonl", launch["environment"]).serve()


if __name__ == "__main__":
    main(sys.argv[1])
