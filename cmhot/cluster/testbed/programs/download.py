"""Fetch a file that must be exactly the pinned one, and unpack its programs.

Nothing is unpacked, let alone run, before its checksum is right.
A download that was cut short goes on where it stopped, in the next run too.
A host that did not answer is not waited for twice.
Progress is a bar in a terminal, elsewhere a line now and then.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import socket
import sys
import tarfile
import threading
import urllib.parse
import urllib.request
import zlib
from collections import deque
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

import urllib3
from tqdm import tqdm

from cmhot.clock import SystemClock
from cmhot.display import canvas
from cmhot.errors import ProgramsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from cmhot.clock import Clock

    Report = Callable[[str], None]

LINE_S = 30.0
"""Seconds between two lines: a log stays readable, and a build does not look dead."""
_RECKONED_LINES = 4
CONNECT_S = 5.0
"""Longest wait for the first host; a company's firewall drops instead of refusing."""
NEXT_CONNECT_S = 2.0
"""Longest wait for further hosts once one was unreachable: it is the network then."""
READ_S = 30.0
"""A server that sends nothing for so long has forgotten us."""
CUTS = 3
"""How many times a download that is cut short is resumed before giving up."""
MAX_REDIRECTS = 10
_SCHEMES = ("https://", "http://")
_CHUNK = 1 << 18
_BYTES_PER_MB = 1_000_000
_OK, _PARTIAL, _REDIRECT, _NO_SUCH_RANGE = 200, 206, 300, 416


class Advance(Protocol):
    """Called whenever a long task has advanced."""

    def __call__(self, done: int, *, total: int | None) -> None:
        """Take the amount done so far; a total of None is not known yet."""


class ProgressDisplay(Protocol):
    """Shows the progress of a long task."""

    def __call__(
        self, what: str, *, unit: str, expected_s: float | None = None
    ) -> contextlib.AbstractContextManager[Advance]:
        """Begin to show `what`, counted in `unit` (``B`` for bytes).

        ``expected_s`` is what all of it takes as a rule; None: that is not known.
        """


def progress_display(report: Report) -> ProgressDisplay:
    """Choose bars where standard error is a terminal, else lines through `report`."""
    if sys.stderr.isatty():
        return progress_bar
    return progress_lines(report, clock=SystemClock())


@contextlib.contextmanager
def progress_bar(
    what: str,
    *,
    unit: str,
    expected_s: float | None = None,  # noqa: ARG001 - tqdm reckons by itself
) -> Iterator[Advance]:
    """Show a bar on standard error where that is a terminal, else nothing."""
    with tqdm(
        file=canvas(),
        desc=what,
        unit=unit,
        unit_scale=unit == "B",
        disable=None,
        leave=False,
    ) as shown:

        def advance(done: int, *, total: int | None) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield advance


def progress_lines(report: Report, *, clock: Clock) -> ProgressDisplay:
    """Report progress at most every `LINE_S`; a quick task reports nothing.

    A line is reported only when the task advances: no thread does it in between.
    The time that is left is reckoned from the last lines: what a task does first,
    and what goes on beside it, may be slower or quicker than the rest. Where it is
    known what a task takes, all of it so far is set beside half of that.
    """

    @contextlib.contextmanager
    def show(
        what: str, *, unit: str, expected_s: float | None = None
    ) -> Iterator[Advance]:
        start = (clock.monotonic(), 0)
        reported = deque([start], maxlen=_RECKONED_LINES)

        def advance(done: int, *, total: int | None) -> None:
            now = clock.monotonic()
            if now - reported[-1][0] >= LINE_S:
                began, had = start if expected_s else reported[0]
                reported.append((now, done))
                left = ""
                if total is not None and had < done < total:
                    known_s = (expected_s or 0.0) / 2
                    known = total / 2 if expected_s else 0
                    rate = (done - had + known) / (now - began + known_s)
                    left = _left((total - done) / rate)
                report(f"{what}: {_amount(done, total=total, unit=unit)}{left}")

        yield advance

    return show


def _left(seconds: float) -> str:
    """Say how long a task will still take, in the unit that it is known to."""
    minutes = round(seconds / 60)
    return f", about {minutes} min left" if minutes > 1 else ", about a minute left"


def _amount(done: int, *, total: int | None, unit: str) -> str:
    """Write in words how much is done."""
    if unit == "B":
        unit = "MB"
        done //= _BYTES_PER_MB
        total = None if total is None else total // _BYTES_PER_MB
    return f"{done} {unit}" if total is None else f"{done} of {total} {unit}"


class _CutShortError(Exception):
    """The connection ended before the file did."""


class Downloader:
    """Fetches files, and remembers which hosts cannot be reached.

    Proxies are used as the environment says (``https_proxy`` and so on).
    """

    def __init__(self) -> None:
        self._unreachable: dict[str, str] = {}  # why, by host

    def fetch(self, url: str, *, target: Path, checksum: str, advance: Advance) -> None:
        """Download an http or https address to `target`, by way of ``target.part``.

        `checksum` is ``sha256:…`` or ``sha512:…``; `advance` takes the bytes.
        The part of an incomplete file is kept for the next try.
        """
        if not url.lower().startswith(_SCHEMES):
            msg = f"cannot fetch {url}: a mirror's address starts with https:// or http://"
            raise UsageError(msg)
        part = target.with_name(f"{target.name}.part")
        resumed = part.exists()
        self._fill(url, part, advance)
        if resumed and checksum_of(part, like=checksum) != checksum:
            part.unlink()  # the part may be of another file: once more, from the start
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
        for cuts in range(CUTS + 1):
            try:
                self._append(url, part, advance)
            except _CutShortError as error:
                if cuts == CUTS:
                    msg = f"{error}; run it again, and it goes on from there"
                    raise ProgramsError(msg) from error
            else:
                return

    def _append(self, url: str, part: Path, advance: Advance) -> None:
        """Append the missing part of the file."""
        have = part.stat().st_size if part.exists() else 0
        with self._request(url, have=have) as response:
            if have and response.status == _NO_SUCH_RANGE:
                return  # all of it is there; the checksum will show
            if not _OK <= response.status < _REDIRECT:
                msg = (
                    f"{url} was answered with {response.status} {response.reason}: "
                    "check the mirror's address, or whether the server is well"
                )
                raise ProgramsError(msg)
            goes_on = response.status == _PARTIAL and (
                response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
            )
            have = have if goes_on else 0
            length = response.headers.get("Content-Length")
            total = have + int(length) if length else None
            with (
                part.open("ab" if goes_on else "wb") as file,
                # a connection that breaks ends the file like one that ends
                contextlib.suppress(urllib3.exceptions.HTTPError),
            ):
                while chunk := response.read(_CHUNK, decode_content=False):
                    file.write(chunk)
                    have += len(chunk)
                    advance(have, total=total)
        if total is not None and have < total:
            msg = f"{url} ended after {have} of {total} bytes"
            raise _CutShortError(msg)

    def _request(self, url: str, *, have: int) -> urllib3.BaseHTTPResponse:
        host = urllib.parse.urlsplit(url).netloc
        if host in self._unreachable:
            msg = f"{host} is unreachable ({self._unreachable[host]})"
            raise ProgramsError(msg)
        seconds = NEXT_CONNECT_S if self._unreachable else CONNECT_S
        try:
            return _follow(url, have=have, connect_s=seconds)
        except (OSError, urllib3.exceptions.HTTPError) as error:
            reason: BaseException = error
            while reason.__cause__ or reason.__context__:  # below urllib3's own words
                reason = reason.__cause__ or reason.__context__ or reason
            self._unreachable[host] = str(reason) or type(reason).__name__
            msg = (
                f"{host} is unreachable ({self._unreachable[host]}); where the network "
                "has a mirror or a proxy, set CMHOT_MIRROR_… or https_proxy"
            )
            raise ProgramsError(msg) from error


def _follow(
    url: str, *, have: int, connect_s: float, redirects: int = MAX_REDIRECTS
) -> urllib3.BaseHTTPResponse:
    """Ask for the file from byte `have` on, wherever it has been moved to."""
    response = _connections(url, connect_s=connect_s).request(
        "GET",
        url,
        headers={"Range": f"bytes={have}-"} if have else {},
        timeout=urllib3.Timeout(connect=connect_s, read=READ_S),
        preload_content=False,
        redirect=False,  # by hand: another host may need another proxy, or none
        retries=False,
    )
    target = urllib.parse.urljoin(url, response.get_redirect_location() or "")
    if not redirects or target == url or not target.startswith(_SCHEMES):
        return response
    response.close()
    return _follow(target, have=have, connect_s=connect_s, redirects=redirects - 1)


def _connections(url: str, *, connect_s: float) -> urllib3.PoolManager:
    """Connect to the address's host, or to the proxy that the environment names."""
    address = urllib.parse.urlsplit(url)
    proxies = urllib.request.getproxies()
    if address.scheme not in proxies or urllib.request.proxy_bypass(address.netloc):
        _resolve(address.hostname or "", seconds=connect_s)
        return urllib3.PoolManager()
    text = proxies[address.scheme]
    proxy = urllib.parse.urlsplit(text if "://" in text else f"http://{text}")
    _resolve(proxy.hostname or "", seconds=connect_s)
    user, password = proxy.username, proxy.password
    login = user and urllib.parse.unquote(f"{user}:{password or ''}")
    headers = urllib3.make_headers(proxy_basic_auth=login or None)
    return urllib3.ProxyManager(proxy.geturl(), proxy_headers=headers)


def _resolve(host: str, *, seconds: float) -> None:
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


def checksum_of(path: Path, *, like: str = "sha256") -> str:
    """Compute ``algorithm:hex`` of a file; the algorithm is that of `like`."""
    algorithm = like.partition(":")[0]
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def unpack(archive: Path, *, members: Mapping[str, str | None], folder: Path) -> None:
    """Take the wanted programs, and nothing else, out of a verified download.

    `members` says where the archive has each program; None: the download is it.
    Names inside the archive never become paths:
    each file is written below the name that was asked for.
    """
    wanted: dict[PurePosixPath, str] = {}
    for name, member in members.items():
        if member is None:
            shutil.copyfile(archive, folder / name)
            (folder / name).chmod(0o755)
        else:
            wanted[PurePosixPath(member)] = name
    try:
        if wanted:
            _extract(archive, wanted, folder)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        msg = f"{archive.name} cannot be unpacked ({error}): it is no .tar.gz archive"
        raise ProgramsError(msg) from error
    if wanted:
        missing = ", ".join(str(member) for member in wanted)
        msg = (
            f"{archive.name} does not hold {missing}: is it another release's archive?"
        )
        raise ProgramsError(msg)


def _extract(archive: Path, wanted: dict[PurePosixPath, str], folder: Path) -> None:
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
