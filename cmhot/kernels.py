"""Kernels of this very environment, for notebooks that are executed.

Jupyter would start whatever kernel a user has registered under a notebook's name,
with the user's start-up files, and let it listen on TCP ports.
Here it is the Python that runs this, with no profile,
reached through sockets in a folder that only this user may enter.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


LONGEST_SOCKET = 100
"""Bytes of a socket's path; Linux allows 107, and a number is added to it.
A longer one (a long TMPDIR) leaves the loopback interface."""


class _ThisPython(KernelSpecManager):
    """Knows one kernel: the Python that runs this, whatever the name asked for."""

    environ: dict[str, str]

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:  # noqa: ARG002
        # no modules of the working directory, which may be somebody else's
        command = [sys.executable, "-P", "-m", "ipykernel_launcher"]
        bare = ["--IPKernelApp.ignore_cwd=True"]
        bare += ["--IPKernelApp.exec_PYTHONSTARTUP=False"]  # nor of the user
        # an idle kernel is interrupted before it is ended, and would complain of it
        quiet = "--log-level=CRITICAL"
        return KernelSpec(
            argv=[*command, *bare, quiet, "-f", "{connection_file}"],
            display_name="cmhot",
            language="python",
            env=self.environ,
        )


class Kernel:
    """A kernel of this environment: reached by sockets in a folder of ours, no profile.

    Attributes
    ----------
    interrupted
        Whether an interrupt was passed on to it.
    """

    def __init__(self, folder: str) -> None:
        self.interrupted = False
        self._folder = folder
        self._manager: AsyncKernelManager | None = None

    def manager_class(self) -> type[AsyncKernelManager]:
        """Return the class of which nbclient makes its manager of this kernel."""
        # the first one is left out by ipykernel where it is the working directory
        searched = [self._folder, str(Path(__file__).parent.parent)]
        searched.append(os.environ.get("PYTHONPATH", ""))
        specs = _ThisPython()
        specs.environ = {
            "IPYTHONDIR": self._folder,  # nobody's start-up files
            "PYTHONPATH": os.pathsep.join(filter(None, searched)),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # it would warn about nothing
        }
        connection = str(Path(self._folder, "connection.json"))
        transport, address = "ipc", str(Path(self._folder, "ipc"))
        if len(os.fsencode(address)) > LONGEST_SOCKET:
            transport, address = "tcp", "127.0.0.1"
        kernel = self

        class Manager(AsyncKernelManager):
            def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - nbclient's
                super().__init__(
                    transport=transport,
                    ip=address,
                    connection_file=connection,
                    kernel_spec_manager=specs,
                    **kwargs,
                )
                kernel._manager = self

        return Manager

    def interrupt(self) -> None:
        """Pass an interrupt on to the cell that runs."""
        self.interrupted = True
        provisioner = getattr(self._manager, "provisioner", None)
        group = getattr(provisioner, "pgid", None)
        if group is not None:
            os.killpg(group, signal.SIGINT)


@contextmanager
def interrupts_reach(kernel: Kernel) -> Iterator[None]:
    """Send the first Ctrl-C to the kernel; the second one ends all."""

    def pass_on(_signal: int, _frame: FrameType | None) -> None:
        if kernel.interrupted:
            raise KeyboardInterrupt
        kernel.interrupt()

    if threading.current_thread() is not threading.main_thread():
        yield  # signals arrive elsewhere
        return
    before = signal.signal(signal.SIGINT, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
