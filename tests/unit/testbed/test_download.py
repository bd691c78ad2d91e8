"""A download is the pinned file or an error, and it says how far it is."""

from __future__ import annotations

import hashlib
import io
import socket
import sys
import tarfile
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from cmhot.clock import VirtualClock
from cmhot.cluster.testbed.programs import download
from cmhot.cluster.testbed.programs.download import (
    CUTS,
    Downloader,
    checksum_of,
    progress_bar,
    progress_display,
    progress_lines,
    unpack,
)
from cmhot.errors import ProgramsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = bytes(range(256)) * 4096
CHECKSUM = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@dataclass
class Mirror:
    """A server on the loopback address that has one file, and its moods."""

    url: str = ""
    content: bytes = CONTENT
    cut_after: list[int] = field(default_factory=list)  # bytes sent, per request
    ranges: bool = True
    asked: list[str | None] = field(default_factory=list)  # Range of each request

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Serve the file as the moods say."""
        asked = request.headers.get("Range")
        self.asked.append(asked)
        if request.path == "/moved":
            request.send_response(302)
            request.send_header("Location", "file")
            request.end_headers()
            return
        if not request.path.endswith("/file"):
            request.send_error(404)
            return
        start = 0
        if asked and self.ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(self.content):
                request.send_error(416)
                return
            request.send_response(206)
            end, whole = len(self.content) - 1, len(self.content)
            request.send_header("Content-Range", f"bytes {start}-{end}/{whole}")
        else:
            request.send_response(200)
        body = self.content[start:]
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: self.cut_after.pop(0)] if self.cut_after else body)


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """Run a mirror for one test."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    state = Mirror()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}
    )
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/file"
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(url: str, target: Path, *, checksum: str = CHECKSUM) -> list[int]:
    """Download, and return the byte counts that were shown."""
    shown: list[int] = []

    def advance(done: int, *, total: int | None) -> None:
        assert total == len(CONTENT)
        shown.append(done)

    Downloader().fetch(url, target=target, checksum=checksum, advance=advance)
    return shown


def test_whole(mirror: Mirror, tmp_path: Path) -> None:
    """The file arrives whole, its bytes are counted, and no part is left."""
    shown = fetch(mirror.url, tmp_path / "file")

    assert (tmp_path / "file").read_bytes() == CONTENT
    assert shown == sorted(shown)
    assert shown[-1] == len(CONTENT)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_wrong_checksum(mirror: Mirror, tmp_path: Path) -> None:
    """Another content is deleted; the error has both checksums and a remedy."""
    mirror.content = CONTENT[:-1] + b"!"
    got = hashlib.sha256(mirror.content).hexdigest()

    with pytest.raises(ProgramsError) as raised:
        fetch(mirror.url, tmp_path / "file")

    assert f"expected {CHECKSUM}" in str(raised.value)
    assert f"got sha256:{got}" in str(raised.value)
    assert "check the mirror" in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_absent(mirror: Mirror, tmp_path: Path) -> None:
    """A 404 is an error at once, with the address."""
    with pytest.raises(ProgramsError, match=r"nothing was answered with 404 .* mirror"):
        fetch(mirror.url.replace("/file", "/nothing"), tmp_path / "file")


def test_moved(mirror: Mirror, tmp_path: Path) -> None:
    """The file is fetched from where its server sends us, as GitHub does."""
    fetch(mirror.url.replace("/file", "/moved"), tmp_path / "file")

    assert (tmp_path / "file").read_bytes() == CONTENT


def test_proxy(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's proxy is asked for a host that only it can find."""
    monkeypatch.setenv("http_proxy", mirror.url.removesuffix("/file"))

    fetch("http://upstream.invalid/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_resumes_by_itself(mirror: Mirror, tmp_path: Path) -> None:
    """A connection that breaks is taken up where it broke."""
    mirror.cut_after = [1000, 500]
    fetch(mirror.url, tmp_path / "file")

    assert (tmp_path / "file").read_bytes() == CONTENT
    assert mirror.asked == [None, "bytes=1000-", "bytes=1500-"]


def test_truncated(mirror: Mirror, tmp_path: Path) -> None:
    """A file that never arrives whole is an error, and what came is kept."""
    mirror.cut_after = [10] * 10

    with pytest.raises(ProgramsError, match="ended after 40 of 1048576 bytes; run it"):
        fetch(mirror.url, tmp_path / "file")

    assert len(mirror.asked) == CUTS + 1
    assert (tmp_path / "file.part").read_bytes() == CONTENT[:40]


def test_resumes_an_earlier_run(mirror: Mirror, tmp_path: Path) -> None:
    """Only what an earlier run has not fetched is asked for."""
    (tmp_path / "file.part").write_bytes(CONTENT[:777])
    fetch(mirror.url, tmp_path / "file")

    assert (tmp_path / "file").read_bytes() == CONTENT
    assert mirror.asked == ["bytes=777-"]


def test_complete_part(mirror: Mirror, tmp_path: Path) -> None:
    """A part that is complete already is checked and used."""
    (tmp_path / "file.part").write_bytes(CONTENT)
    fetch(mirror.url, tmp_path / "file")

    assert (tmp_path / "file").read_bytes() == CONTENT
    assert mirror.asked == [f"bytes={len(CONTENT)}-"]


def test_server_without_ranges(mirror: Mirror, tmp_path: Path) -> None:
    """A server that cannot resume sends everything, and that is what is kept."""
    mirror.ranges = False
    (tmp_path / "file.part").write_bytes(b"old")
    fetch(mirror.url, tmp_path / "file")

    assert (tmp_path / "file").read_bytes() == CONTENT


def test_part_of_another_file(mirror: Mirror, tmp_path: Path) -> None:
    """Remains that do not fit cost one more download, not an error."""
    (tmp_path / "file.part").write_bytes(b"something else")
    fetch(mirror.url, tmp_path / "file")

    assert (tmp_path / "file").read_bytes() == CONTENT
    assert mirror.asked == ["bytes=14-", None]


def test_unreachable_only_once(tmp_path: Path) -> None:
    """A host that did not answer is not asked again."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        downloader = Downloader()
        for _ in range(2):
            with pytest.raises(ProgramsError, match=f"{host} is unreachable .*refused"):
                downloader.fetch(
                    f"http://{host}/file",
                    target=tmp_path / "file",
                    checksum=CHECKSUM,
                    advance=lambda done, *, total: None,  # noqa: ARG005 - the protocol
                )
            taken.listen()  # it would be accepted now, and then wait for an answer


def test_slow_name_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A name server that never answers does not hold us up; getaddrinfo would wait."""
    never = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: never.wait(30))
    monkeypatch.setattr(download, "CONNECT_S", 0.01)
    with pytest.raises(
        ProgramsError, match=r"dl\.example was not resolved within 0.01 s"
    ):
        fetch("https://dl.example/file", tmp_path / "file")
    never.set()


def test_unknown_scheme(tmp_path: Path) -> None:
    """Only web addresses are fetched from."""
    with pytest.raises(
        UsageError, match=r"cannot fetch file:///etc/passwd: .*https://"
    ):
        fetch("file:///etc/passwd", tmp_path / "file")


def test_checksum_algorithm(tmp_path: Path) -> None:
    """The algorithm is the one of the pinned checksum."""
    (tmp_path / "empty").touch()

    assert checksum_of(tmp_path / "empty", like="sha512:00").startswith("sha512:cf83e1")
    assert checksum_of(tmp_path / "empty").startswith("sha256:e3b0c4")


def archive(path: Path, *, members: dict[str, bytes | None]) -> Path:
    """Write a .tar.gz; None stands for a symbolic link to /etc/passwd."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            info.size = len(content or b"")
            tar.addfile(info, io.BytesIO(content or b""))
    return path


def test_unpack_wanted_only(tmp_path: Path) -> None:
    """What was not asked for stays in the archive, whatever it is called."""
    folder = tmp_path / "deep" / "out"
    folder.mkdir(parents=True)
    members: dict[str, bytes | None] = {
        "../../evil": b"x",
        "./tool": b"t",
        "other": b"o",
    }
    packed = archive(tmp_path / "a.tgz", members=members)
    unpack(packed, members={"tool": "tool"}, folder=folder)

    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "a.tgz",
        "deep",
        "out",
        "tool",
    ]
    assert (folder / "tool").read_bytes() == b"t"
    assert (folder / "tool").stat().st_mode & 0o777 == 0o755


def test_unpack_refuses_links(tmp_path: Path) -> None:
    """A link in the place of the program is not followed, so the program is missing."""
    packed = archive(tmp_path / "a.tgz", members={"bin/tool": None})

    with pytest.raises(ProgramsError, match=r"a\.tgz does not hold bin/tool"):
        unpack(packed, members={"tool": "bin/tool"}, folder=tmp_path)


def test_unpack_no_archive(tmp_path: Path) -> None:
    """A file that is no archive is said to be none."""
    (tmp_path / "a.tgz").write_bytes(b"<html>")

    with pytest.raises(ProgramsError, match=r"a\.tgz cannot be unpacked"):
        unpack(tmp_path / "a.tgz", members={"tool": "tool"}, folder=tmp_path)


def test_unpack_bare_program(tmp_path: Path) -> None:
    """A download that is the program itself becomes the program."""
    (tmp_path / "download").write_bytes(b"ELF")
    unpack(tmp_path / "download", members={"runc": None}, folder=tmp_path)

    assert (tmp_path / "runc").read_bytes() == b"ELF"
    assert (tmp_path / "runc").stat().st_mode & 0o777 == 0o755


def test_a_line_every_half_minute() -> None:
    """Eight minutes that advance each second make sixteen lines."""
    clock, said = VirtualClock(), list[str]()
    show = progress_lines(said.append, clock=clock)
    with show("compiling pair", unit="packages") as advance:
        for second in range(1, 481):
            clock.sleep(1)
            advance(second, total=1000)

    assert len(said) == 16
    assert said[0] == "compiling pair: 30 of 1000 packages, about 16 min left"
    assert said[-1] == "compiling pair: 480 of 1000 packages, about 9 min left"


def test_what_is_left_is_reckoned_from_what_was_last() -> None:
    """What went slowly at first does not count when it goes quickly now."""
    clock, said = VirtualClock(), list[str]()
    with progress_lines(said.append, clock=clock)("it", unit="packages") as advance:
        for done in (1, 2, 3, 4, 30, 60, 90, 120, 150, 180, 190, 200):
            clock.sleep(30)
            advance(done, total=200)

    assert said[3] == "it: 4 of 200 packages, about 98 min left"
    assert said[8] == "it: 150 of 200 packages, about a minute left"
    assert said[-1] == "it: 200 of 200 packages"


def test_what_it_takes_as_a_rule_counts() -> None:
    """A build that others slow down at first is not said to take for ever.

    The numbers are those of a real one, which ended after 470 s.
    """
    clock, said = VirtualClock(), list[str]()
    show = progress_lines(said.append, clock=clock)
    with show("it", unit="packages", expected_s=480) as advance:
        for at_s, done in ((35, 186), (65, 316), (185, 643), (245, 1033), (450, 2183)):
            clock.sleep(at_s - clock.monotonic())
            advance(done, total=2474)

    left = [line.partition(", about ")[2].removesuffix(" left") for line in said]
    assert left == ["7 min", "7 min", "7 min", "5 min", "a minute"]


def test_quick_work_says_nothing() -> None:
    """What is done within half a minute needs no line."""
    clock, said = VirtualClock(), list[str]()
    show = progress_lines(said.append, clock=clock)
    with show("compiling pair", unit="packages") as advance:
        clock.sleep(29.9)
        advance(5, total=5)

    assert said == []


@pytest.mark.parametrize(
    ("unit", "done", "total", "line"),
    [
        pytest.param(
            "B",
            12_999_999,
            340_000_000,
            "it: 12 of 340 MB, about 13 min left",
            id="bytes",
        ),
        pytest.param("B", 12_000_000, None, "it: 12 MB", id="bytes-of-unknown"),
        pytest.param("modules", 7, None, "it: 7 modules", id="things-of-unknown"),
    ],
)
def test_amounts(unit: str, done: int, total: int | None, line: str) -> None:
    """Bytes are counted in megabytes, and a total that is not known is left out."""
    clock, said = VirtualClock(), list[str]()
    with progress_lines(said.append, clock=clock)("it", unit=unit) as advance:
        clock.sleep(30)
        advance(done, total=total)

    assert said == [line]


def test_terminal_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars are for terminals; elsewhere lines go where all reports go."""
    terminal, file = io.StringIO(), io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)

    monkeypatch.setattr(sys, "stderr", terminal)
    assert progress_display(print) is progress_bar
    monkeypatch.setattr(sys, "stderr", file)
    assert progress_display(print) is not progress_bar


def test_bar_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Logs of a CI job are not filled with bars."""
    with progress_bar("downloading", unit="B") as advance:
        advance(1, total=2)

    assert capsys.readouterr() == ("", "")
