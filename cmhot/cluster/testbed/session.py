"""A testbed for the length of one piece of work: started if need be, and taken away.

Each piece of work holds a share of a lock, so that the end of one
does not take away what another one uses.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from cmhot.cluster.testbed import host, lifecycle, spec
from cmhot.cluster.testbed.owner import make_folder, state_dir
from cmhot.cluster.testbed.programs import known_sources
from cmhot.cluster.testbed.versions import KUBERNETES_VERSION, catalogue
from cmhot.errors import HostError, TestbedError
from cmhot.kubelet.settings import DEFAULT_SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Report = Callable[[str], None]

START_S = 10
"""A start with all programs at hand, generously: 4 to 9 s measured."""


def expected_start_s() -> float:
    """Say how long a start would take on two cores, builds included, in seconds.

    Returns
    -------
    float
        0 when the default testbed is running;
        downloads, where they work, are quicker than the builds assumed here.
    """
    if lifecycle.status().running:
        return 0.0
    missing = {
        outlook.part
        for outlook in known_sources(kubernetes_version=KUBERNETES_VERSION)
        if outlook.source is None
    }
    parts = catalogue(KUBERNETES_VERSION)
    return START_S + sum(part.build.seconds for part in parts if part.name in missing)


@contextlib.contextmanager
def running(*, report: Report) -> Iterator[None]:
    """Have the default testbed running; take it away again if it was started here.

    It stays where another piece of work uses it.

    Without root it is started through sudo, which may ask for a password;
    the work itself needs no root.

    Raises
    ------
    HostError
        No testbed can run here; the message offers the other targets.
    """
    with _sharing(report=report) as is_last:
        if lifecycle.status().running:
            report("using the testbed that is running")
            yield
            return
        _start(report=report)
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
                _down(report=report)


@contextlib.contextmanager
def _sharing(*, report: Report) -> Iterator[Callable[[], bool]]:
    """Hold a share of the testbed, until the context ends.

    The lock is on the folder of all testbeds' state, which stays: no file is left.
    Where there is none, or it cannot be locked, as on NFS, nobody is seen to share.

    Yields
    ------
    callable
        Tells whether nobody else has a share; then newcomers wait for the end.
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


def _start(*, report: Report) -> None:
    try:
        _up(report=report)
    except HostError as error:
        msg = (
            f"{error}. Other targets: context:NAME measures a cluster of yours, "
            "model shows modelled numbers (make: TARGET=context:NAME, TARGET=model)"
        )
        raise HostError(msg) from error


def _up(*, report: Report) -> None:
    if _is_root():
        lifecycle.up(spec.make_spec(), report=report)
    else:
        _through_sudo("up")


def _down(*, report: Report) -> None:
    if _is_root():
        lifecycle.down(report=report)
    else:
        _through_sudo("down")


def _is_root() -> bool:
    return os.geteuid() == 0


def _through_sudo(verb: str) -> None:
    if not host.runs_linux() or shutil.which("sudo") is None:
        # says what is missing, in the words of a testbed's start
        host.require(nodes=len(DEFAULT_SETTINGS))
    # -P: as root, no modules of the working directory
    command = ["sudo", sys.executable, "-P", "-m", "cmhot", "testbed", verb]
    code = subprocess.run(command, check=False).returncode
    if code != 0:
        msg = f"`{' '.join(command)}` ended with {code}: see what it said above"
        raise TestbedError(msg)
