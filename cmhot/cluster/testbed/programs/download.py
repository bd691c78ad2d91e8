"""Show something long while it lasts: a bar in a terminal, else a line at times.

Fetch a file that must be exactly the pinned one, and unpack what is wanted of it.

Nothing is unpacked, let alone run, before its checksum is right.
A download that was cut short goes on where it stopped, in the next run too.
A host that did not answer is not waited for twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import shutil
import socket
import ssl
import sys
import tarfile
import threading
import urllib.error
import urllib.parse
import urllib.request
import zlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

from tqdm import tqdm

from cmhot.clock import SystemClock
from cmhot.errors import ProgramsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from cmhot.clock import Clock

    Report = Callable[[str], None]

LINE_S = 30.0
"""Between two lines: a log stays readable, and nobody takes a build for dead."""
_BYTES_PER_MB = 1_000_000


class Advance(Protocol):
    """Told how far something is."""

    def __call__(self, done: int, *, total: int | None) -> None:
        """Take the amount done so far; a total of None is not known yet."""


class Progress(Protocol):
    """Shows something long while it lasts."""

    def __call__(
        self, what: str, *, unit: str
    ) -> contextlib.AbstractContextManager[Advance]:
        """Begin to show `what`, counted in `unit` (``B`` for bytes)."""


@contextlib.contextmanager
def bar(what: str, *, unit: str) -> Iterator[Advance]:
    """Show a bar on standard error where that is a terminal, else nothing."""
    with tqdm(
        desc=what, unit=unit, unit_scale=unit == "B", disable=None, leave=False
    ) as shown:

        def advance(done: int, *, total: int | None) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield advance


def lines(report: Report, *, clock: Clock) -> Progress:
    """Tell `report` how far it is, at most every `LINE_S`; what is quick says nothing.

    A line is told when something advances: there is no thread that would tell it.
    """

    @contextlib.contextmanager
    def show(what: str, *, unit: str) -> Iterator[Advance]:
        told = clock.monotonic()

        def advance(done: int, *, total: int | None) -> None:
            nonlocal told
            now = clock.monotonic()
            if now - told >= LINE_S:
                told = now
                report(f"{what}: {_amount(done, total=total, unit=unit)}")

        yield advance

    return show


def _amount(done: int, *, total: int | None, unit: str) -> str:
    """Say in words how much is done."""
    if unit == "B":
        unit = "MB"
        done //= _BYTES_PER_MB
        total = None if total is None else total // _BYTES_PER_MB
    return f"{done} {unit}" if total is None else f"{done} of {total} {unit}"


def suitable(report: Report) -> Progress:
    """Choose bars where standard error is a terminal, else lines through `report`."""
    return bar if sys.stderr.isatty() else lines(report, clock=SystemClock())


CONNECT_S = 5.0
"""Patience with the first host; a company's firewall drops instead of refusing."""
NEXT_CONNECT_S = 2.0
"""Patience with further hosts once one was unreachable: it is the network, then."""
READ_S = 30.0
"""A server that sends nothing for so long has forgotten us."""
CUTS = 3
"""How many times a download that is cut short is resumed before giving up."""
_CHUNK = 1 << 18
_OK, _PARTIAL, _NO_SUCH_RANGE = 200, 206, 416


class _CutShortError(Exception):
    """The connection ended before the file did."""


def _resolve(host: str, *, seconds: float | None) -> None:
    """Look the host up: getaddrinfo itself knows no deadline."""
    found: list[object] = []

    def look_up() -> None:
        try:
            found.append(socket.getaddrinfo(host, None))
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        msg = f"the name {host} was not resolved within {seconds:g} s"
        raise TimeoutError(msg)
    if isinstance(found[0], OSError):
        raise found[0]


class _Http(http.client.HTTPConnection):
    def connect(self) -> None:
        _resolve(self.host, seconds=self.timeout)
        super().connect()
        self.sock.settimeout(READ_S)


class _Https(http.client.HTTPSConnection):
    def connect(self) -> None:
        _resolve(self.host, seconds=self.timeout)
        super().connect()
        self.sock.settimeout(READ_S)


class _HttpHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Http, req)


class _HttpsHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Https, req, context=ssl.create_default_context())


class Downloader:
    """Fetches files, and remembers which hosts cannot be reached.

    Proxies are used as the environment says (``https_proxy`` and so on).
    """

    def __init__(self) -> None:
        self._dead: dict[str, str] = {}
        self._open = urllib.request.build_opener(_HttpHandler, _HttpsHandler).open

    def fetch(self, url: str, *, target: Path, checksum: str, advance: Advance) -> None:
        """Download to `target`, by way of ``target.part``.

        Parameters
        ----------
        url
            An http or https address.
        target
            Exists with the right content when this returns.
        checksum
            ``sha256:…`` or ``sha512:…``.
        advance
            Told the bytes.

        Raises
        ------
        ProgramsError
            When the file cannot be had, or is not the pinned one.
            What arrived of an incomplete file is kept for the next try.
        UsageError
            When the address is none that can be fetched from.
        """
        if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
            msg = f"cannot fetch {url}: a mirror's address starts with https:// or http://"
            raise UsageError(msg)
        part = target.with_name(f"{target.name}.part")
        resumed = part.exists()
        self._fill(url, part, advance)
        if resumed and checksum_of(part, like=checksum) != checksum:
            part.unlink()  # the remains may be of another file: once more, anew
            self._fill(url, part, advance)
        got = checksum_of(part, like=checksum)
        if got != checksum:
            part.unlink()
            msg = (
                f"{url} is not the pinned file and was deleted: expected {checksum}, "
                f"got {got}; check the mirror, or download from upstream"
            )
            raise ProgramsError(msg)
        part.replace(target)

    def _fill(self, url: str, part: Path, advance: Advance) -> None:
        cuts = 0
        while True:
            try:
                self._read(url, part, advance)
            except _CutShortError as error:
                cuts += 1
                if cuts > CUTS:
                    msg = f"{error}; run it again, and it goes on from there"
                    raise ProgramsError(msg) from error
            else:
                return

    def _read(self, url: str, part: Path, advance: Advance) -> None:
        """Append what is missing of the file."""
        have = part.stat().st_size if part.exists() else 0
        request = urllib.request.Request(url)  # noqa: S310 - checked by the caller
        if have:
            request.add_header("Range", f"bytes={have}-")
        try:
            response = self._answer(request)
        except urllib.error.HTTPError as error:
            error.close()
            if have and error.code == _NO_SUCH_RANGE:
                return  # all of it is there; the checksum will tell
            msg = (
                f"{url} was answered with {error.code} {error.reason}: check the "
                "mirror's address, or whether the server is well"
            )
            raise ProgramsError(msg) from error
        with response:
            goes_on = response.status == _PARTIAL and (
                response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            )
            have = have if goes_on else 0
            length = response.headers.get("Content-Length")
            total = have + int(length) if length else None
            with part.open("ab" if goes_on else "wb") as file:
                have = _pour(response, file.write, have=have, total=total, show=advance)
        if total is not None and have < total:
            msg = f"{url} ended after {have} of {total} bytes"
            raise _CutShortError(msg)

    def _answer(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        host = request.host
        if host in self._dead:
            msg = f"{host} is unreachable ({self._dead[host]})"
            raise ProgramsError(msg)
        patience = NEXT_CONNECT_S if self._dead else CONNECT_S
        try:
            response = self._open(request, timeout=patience)
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            self._dead[host] = str(reason) or type(reason).__name__
            msg = (
                f"{host} is unreachable ({self._dead[host]}); where the network has "
                "a mirror or a proxy, set CMHOT_MIRROR_… or https_proxy"
            )
            raise ProgramsError(msg) from error
        assert isinstance(response, http.client.HTTPResponse)  # noqa: S101 - for mypy
        return response


def _pour(
    response: http.client.HTTPResponse,
    write: Callable[[bytes], object],
    *,
    have: int,
    total: int | None,
    show: Advance,
) -> int:
    """Write what arrives; a connection that breaks ends it like one that ends."""
    broken = (ConnectionError, TimeoutError, ssl.SSLError, http.client.HTTPException)
    with contextlib.suppress(*broken):
        while chunk := response.read(_CHUNK):
            write(chunk)
            have += len(chunk)
            show(have, total=total)
    return have


def checksum_of(path: Path, *, like: str = "sha256") -> str:
    """Compute ``algorithm:hex`` of a file; the algorithm is that of `like`."""
    algorithm = like.partition(":")[0]
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def unpack(archive: Path, *, members: Mapping[str, str | None], folder: Path) -> None:
    """Take the wanted programs, and nothing else, out of a verified download.

    Names inside the archive never become paths:
    each file is written below the name that was asked for.

    Parameters
    ----------
    archive
        A compressed tar file, or a bare program.
    members
        What to take: name of the program, and where the archive has it;
        None: the download is the program.
    folder
        Where the programs go, executable.

    Raises
    ------
    ProgramsError
        When it is no archive, or does not hold them all.
    """
    bare = [name for name, member in members.items() if member is None]
    for name in bare:
        shutil.copyfile(archive, folder / name)
        (folder / name).chmod(0o755)
    wanted = {
        PurePosixPath(member): name
        for name, member in members.items()
        if member is not None
    }
    try:
        if wanted:
            _take(archive, wanted, folder)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        msg = f"{archive.name} cannot be unpacked ({error}): it is no .tar.gz archive"
        raise ProgramsError(msg) from error
    if wanted:
        missing = ", ".join(str(member) for member in wanted)
        msg = (
            f"{archive.name} does not hold {missing}: is it another release's archive?"
        )
        raise ProgramsError(msg)


def _take(archive: Path, wanted: dict[PurePosixPath, str], folder: Path) -> None:
    """Write wanted members, striking each from the list; stop when there is none."""
    with tarfile.open(archive, mode="r:*") as tar:
        for info in tar:
            name = wanted.get(PurePosixPath(info.name))
            source = tar.extractfile(info) if name and info.isfile() else None
            if name is None or source is None:
                continue
            with (folder / name).open("wb") as file:
                shutil.copyfileobj(source, file, _CHUNK)
            (folder / name).chmod(0o755)
            del wanted[PurePosixPath(info.name)]
            if not wanted:
                return
