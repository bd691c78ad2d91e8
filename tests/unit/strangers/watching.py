"""What a command does beside its answer: where it writes, what it takes."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cmhot.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

MOST_S = 10.0
"""Seconds of the processor: other programs of the machine take none of them."""
STUCK_S = 300.0
"""Seconds after which something that waits for nobody has been waited for."""
MOST_KIB = 768 << 10
"""Memory beside what the process had: of a new one, a gibibyte in all."""
SECRET = "S3CRET"  # noqa: S105 - planted, to be seen nowhere
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_PLACES: Mapping[str, tuple[int, int | None]] = {
    "os.mkdir": (0, 2),
    "os.rename": (1, 3),
    "os.symlink": (1, 2),
    "os.link": (1, 3),
    "os.remove": (0, 1),
    "os.rmdir": (0, 1),
    "os.truncate": (0, None),
    "os.chmod": (0, 2),
    "os.chown": (0, 3),
    "os.utime": (0, 3),
}
"""Which argument of an event is the path that changes, and which its folder."""


_LEAVING = {"subprocess.Popen", "os.exec", "os.posix_spawn", "socket.connect"}
_NOTED = {"open", *_LEAVING, *_PLACES}


class StuckError(Exception):
    """A command waits for something that does not come."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said, and what it took."""

    code: int
    out: str
    err: str
    took_s: float
    grown_kib: int


class Watch:
    """The files that this process writes to, and programs and hosts that it reaches."""

    def __init__(self) -> None:
        self._touched: set[str] | None = None
        sys.addaudithook(self._note)  # for the life of the process

    @contextlib.contextmanager
    def __call__(self) -> Iterator[set[str]]:
        """Collect what is touched meanwhile."""
        self._touched = touched = set[str]()
        try:
            yield touched
        finally:
            self._touched = None

    def _note(self, event: str, arguments: tuple[object, ...]) -> None:
        """Note an event of the interpreter, when somebody wants to know."""
        if event not in _NOTED or self._touched is None:
            return
        if event in _LEAVING:
            self._touched.add(f"{event} {arguments[:2]}")
        elif event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING:
                follows = not flags & (os.O_EXCL | os.O_NOFOLLOW)
                self._touched.add(_place(path, None, follows=follows))
        else:
            of_path, of_folder = _PLACES[event]
            folder = None if of_folder is None else arguments[of_folder]
            follows = event in {"os.truncate", "os.chmod", "os.chown", "os.utime"}
            self._touched.add(_place(arguments[of_path], folder, follows=follows))


def _place(path: object, folder: object, *, follows: bool) -> str:
    """Say which file is meant, wherever links lead."""
    if isinstance(path, int):
        return os.path.realpath(f"/proc/self/fd/{path}")
    text = os.fsdecode(path)  # type: ignore[arg-type] # str, bytes or a path
    if isinstance(folder, int) and folder >= 0:
        text = str(Path(f"/proc/self/fd/{folder}", text))
    if follows:
        return os.path.realpath(text)
    parent, name = os.path.split(text)
    return str(Path(os.path.realpath(parent or "."), name))


WATCH = Watch()


def _stop(_number: int, _frame: FrameType | None) -> None:
    msg = f"nothing came in {STUCK_S:g} s"
    raise StuckError(msg)


_HANDLED = (signal.SIGALRM, signal.SIGTERM, signal.SIGHUP)


def call(*arguments: object) -> Answer:
    """Call the command line in this process; what it raises but exits is a fault."""
    out, err = io.StringIO(), io.StringIO()
    handlers = {one: signal.getsignal(one) for one in _HANDLED}
    was = sys.argv
    signal.signal(signal.SIGALRM, _stop)
    signal.setitimer(signal.ITIMER_REAL, STUCK_S)
    sys.argv = ["cmhot", *map(str, arguments)]
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: proc(5)
    had_kib, began = _peak_kib(), time.process_time()
    code: object = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as ended:
        code = ended.code or 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for one, handler in handlers.items():
            signal.signal(one, handler)
        sys.argv = was
    assert isinstance(code, int)
    took_s = time.process_time() - began
    return Answer(code, out.getvalue(), err.getvalue(), took_s, _peak_kib() - had_kib)


def _peak_kib() -> int:
    """Tell how much memory this process had at once."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(one.split()[1]) for one in lines if one.startswith("VmHWM"))


def check(answer: Answer) -> None:
    """See that an answer is one: a line of ours where it refuses, and soon."""
    said = answer.out + answer.err
    assert answer.code in {0, 1, 2}, said
    assert "Traceback" not in said, said
    assert SECRET not in said, said
    assert all(one.isprintable() or one == "\n" for one in said), repr(said)
    if answer.code:
        last = answer.err.splitlines()[-1]
        assert last.startswith("cmhot: "), answer.err
    assert answer.took_s < MOST_S
    assert answer.grown_kib < MOST_KIB
