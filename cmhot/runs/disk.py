"""Files of a run on disk: whole lines, whole files, one writer, and no space left."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from cmhot.errors import RunError

if TYPE_CHECKING:
    import io
    from collections.abc import Iterable, Iterator
    from pathlib import Path


def hold(folder: Path) -> int | None:
    """Lock a folder for this process alone, without leaving a trace in it.

    The system lets it go when the descriptor that is returned is closed, or the process
    ends in whatever way. None: it cannot be locked, for it is not there, or its file
    system locks no folders, as NFS, which wants to write to what it locks. Then it is
    written all the same: a measurement matters more. Raises `BlockingIOError` when
    somebody holds it.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def make_missing(folder: Path) -> list[Path]:
    """Make a folder and what is missing above it; what fails leaves nothing behind.

    Returns those that this very call made, the deepest first: what another process
    makes in the meantime is not ours to remove.
    """
    made: list[Path] = []
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        for path in reversed(absent):
            try:
                path.mkdir()
            except FileExistsError:
                if not path.is_dir():
                    raise
            else:
                made.insert(0, path)
    except OSError:
        remove_empty(made)
        raise
    return made


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those of the folders in which nothing is, in that order."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def append(file: Path, content: bytes, *, synced: bool) -> None:
    """Put whole lines at the end of a file; what a full disk took of them is undone.

    If `synced`, they are on the disk on return; if not, they outlive the process, and
    the machine only after `sync`.
    """
    with file.open("ab", buffering=0) as handle:
        whole = handle.tell()
        try:
            _write_all(handle, content)
            if synced:
                os.fsync(handle.fileno())
        except OSError:
            # a part of a line would tear the one that comes next
            handle.truncate(whole)
            raise


def sync(file: Path) -> None:
    """Put on the disk what was written to a file."""
    with file.open("ab", buffering=0) as handle:
        os.fsync(handle.fileno())


def cut_torn_line(file: Path) -> None:
    """Cut off what follows the last end of a line: nobody finished writing it."""
    with file.open("ab+") as handle:
        size = handle.tell()
        at, tail = size, b""
        while at > 0 and b"\n" not in tail:
            at = max(0, at - (1 << 16))
            handle.seek(at)
            tail = handle.read(size - at)
        whole = at + tail.rfind(b"\n") + 1
        if whole != size:
            handle.truncate(whole)
            os.fsync(handle.fileno())


def replace(file: Path, content: bytes) -> None:
    """Put a file in place as a whole, and on the disk."""
    draft = draft_of(file)
    draft.unlink(missing_ok=True)  # of a crash, or a link to a file of somebody
    with draft.open("xb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    draft.replace(file)


def draft_of(file: Path) -> Path:
    """Name the file that a new content is written to before it replaces the old."""
    return file.with_name(file.name + ".part")


def _write_all(file: io.RawIOBase, content: bytes) -> None:
    """Write all of it; a disk that is nearly full takes a part, and then refuses."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) or 0 :]


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Say what to do when the disk refuses a write to a run that goes on."""
    try:
        yield
    except OSError as error:
        msg = (
            f"cannot write to {path}: {error.strerror}; what was recorded before is "
            "kept: free some space or restore the folder, then resume the run"
        )
        raise RunError(msg) from error
