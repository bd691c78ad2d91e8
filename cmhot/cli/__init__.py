"""What can be typed: each command is a few lines over a public function.

`measure`, `propagation`, `cluster_access`, `testbed`, `report` and `sharing` hold the
commands, `options` what several of them take.

A command imports what it needs when it runs, so that each starts at once.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import signal
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from cmhot import __version__
from cmhot.cli.options import say
from cmhot.display import Outlet
from cmhot.errors import CmhotError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import TextIO


INTERRUPTED = 130
PIPE_CLOSED = 141
"""As a shell has it of a program whose reader (`head`) has gone: 128 and SIGPIPE.
It is neither a check that failed nor one that held."""
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""What writing to a full disk ends in, or to one that is broken."""
LEAN = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
"""Environment of the program and of the kernels it starts: with the system's allocator
Arrow gives back what is free; its own keeps a tenth more of a large run."""
PLAIN = {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
"""Environment of the program: a user's settings of matplotlib may want a window, LaTeX,
or what this version does not know."""


_HOMES = {
    "apply": "propagation",
    "clean": "cluster_access",
    "collect": "measure",
    "doctor": "cluster_access",
    "explain": "propagation",
    "export": "sharing",
    "figure": "sharing",
    "job": "cluster_access",
    "plan": "measure",
    "predict": "measure",
    "rbac": "cluster_access",
    "refresh": "propagation",
    "report": "report",
    "summarise": "measure",
    "testbed": "testbed",
    "wait": "propagation",
}
"""The module of each command."""


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        return [*_HOMES]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        if cmd_name not in _HOMES:
            return None
        home = importlib.import_module(f"cmhot.cli.{_HOMES[cmd_name]}")
        command: click.Command = getattr(home, cmd_name)
        return command


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
)
@click.version_option(__version__, prog_name="cmhot")
def cli() -> None:
    """Measure when pods see a changed ConfigMap, on real kubelets.

    \b
    Two commands answer the question on this machine:
      cmhot testbed up                  a real Kubernetes, one kubelet per setting
      cmhot report --target testbed     measure, and write an HTML report

    \b
    What the law says, without measuring:
      cmhot predict --sync 60s

    \b
    A figure for a blog, from data that come with this program:
      cmhot figure headline

    \b
    On your own cluster:
      cmhot report --target context:NAME

    \b
    Exit codes: 0 fine; 1 a check failed or the run is invalid;
    2 wrong use; 130 interrupted.
    """


def main() -> None:
    """Run the command line; errors of ours are one sentence, without a traceback."""
    # A service manager's or `timeout`'s polite end is an interruption, cleaned up after
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _mind_the_terminal()
    for name, value in LEAN.items():  # before Arrow is imported, which reads it then
        os.environ.setdefault(name, value)
    os.environ.update(PLAIN)
    with _outlets():
        code = _run()
    sys.exit(code)


def _run() -> int:
    """Run the command line, say what went wrong, and give the exit code."""
    stdout, code = sys.stdout, 0
    try:
        # click returns the code of an Exit here, and what a command returns: None
        code = cli(standalone_mode=False) or 0
        sys.stdout.flush()  # here what is full can be told
    except CmhotError as error:
        say(f"cmhot: {error}")
        code = error.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        say("cmhot: interrupted")
        code = INTERRUPTED
    except BrokenPipeError:
        code = PIPE_CLOSED
    except SystemExit:
        # click answers a closed pipe by an exit with 1, and with streams of its own
        if sys.stdout is stdout:
            raise
        code = PIPE_CLOSED
    except OSError as error:
        if error.errno not in FULL:
            raise
        where = "standard output" if error.filename is None else error.filename
        say(f"cmhot: cannot write to {where}: {error.strerror}; free some space")
        code = UsageError.exit_code
    return code


@contextlib.contextmanager
def _outlets() -> Iterator[None]:
    """Write by an `Outlet` each; what a command says beside its answer may be lost."""
    before = sys.stdout, sys.stderr
    with contextlib.ExitStack() as opened:
        out, err = (
            opened.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            if stream is None  # it was closed
            else stream
            for stream in before
        )
        sys.stdout = cast("TextIO", Outlet(out, may_fail=False))
        sys.stderr = cast("TextIO", Outlet(err, may_fail=True))
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before
            _write_no_more(out, err)


def _write_no_more(*streams: TextIO) -> None:
    """Let nothing be written at exit either: it would fail once more, with a trace."""
    for stream in streams:
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
            continue
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _mind_the_terminal() -> None:
    """End as after Ctrl-C when the terminal goes (a lost ssh), except under nohup."""
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _hung_up)


def _hung_up(number: int, frame: FrameType | None) -> None:
    """Clean up, once, without a word to the terminal: it would fail with an error."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the shell and the system send one
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        with contextlib.suppress(OSError):  # it may be closed
            if stat.S_ISCHR(os.fstat(stream).st_mode):
                os.dup2(nowhere, stream)
    signal.default_int_handler(number, frame)
