"""What a terminal obeys or a page hides is made visible in every output.

It comes from servers, containers, objects and files; a run.json that has any of it is
refused where it is read (`test_believing`).
"""

from __future__ import annotations

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from cmhot.cluster.port import Captured
from cmhot.display import Outlet, Page, as_lines, one_line, visible
from cmhot.errors import ClusterError, UsageError
from cmhot.report.folder import write_page
from tests.unit.living import Living, configmap

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.unit.strangers.conftest import Told

FORGED = "configmap/m has landed in 3 of 3 pods"
EVIL = (
    f"x\x1b[2K\x1b]52;c;cm0=\x07\r{FORGED}\n{FORGED}\r\n\x9b1A\x85\u2028{FORGED}\u2029"
    "\u202egnp\u2066\u200b\u200d\ufeff\x7f\x00\t\U000e0041\udc80"
)
"""Erases a line, sets a clipboard, begins lines, turns the direction, hides letters."""


def assert_harmless(text: str) -> None:
    """Check that nothing but printable characters stands in the lines of a text."""
    for line in text.split("\n"):
        assert line.isprintable(), ascii(line)
        assert not line.startswith(FORGED), text


def test_control_characters_are_written_as_json_does() -> None:
    """So an answer in JSON says the same with them; words of any language stay."""
    assert json.loads(f'"{one_line(EVIL)}"') == EVIL
    assert visible("a\tb\nc\rd") == "a\tb\nc\\rd"
    for text in ("延迟 4\u00a0s", "Bäckerei", "שלום", "\u3000", "🎈"):
        assert one_line(text) == visible(text) == text


def test_a_value_begins_no_line() -> None:
    """Neither in a table, nor in a list, nor in an error."""
    page = Page(EVIL, [{"pod": EVIL, "why": "late"}], [EVIL])

    assert len(page.to_text().split("\n")) == 4
    for text in (page.to_text(), page.to_markdown(), as_lines([EVIL, EVIL])):
        assert_harmless(text)
    assert_harmless(" ".join(page.to_html().split()))
    assert_harmless(str(UsageError(EVIL)))


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_nothing_but_text_leaves_by_an_outlet(encoding: str) -> None:
    """What an encoding does not have is written like a control character."""
    raw = io.BytesIO()
    outlet = Outlet(io.TextIOWrapper(raw, encoding), may_fail=False)

    outlet.write(f"ä延{EVIL}")
    outlet.flush()

    said = raw.getvalue().decode(encoding)
    assert_harmless(" ".join(said.split()))
    assert ("延" in said) is (encoding == "utf-8")
    assert ("ä" in said) is (encoding != "ascii")
    assert not hasattr(outlet, "buffer")  # click would write past it


def test_a_progress_bar_moves_the_cursor() -> None:
    """It is ours, and shows numbers only."""
    stream = io.StringIO()

    Outlet(stream, may_fail=True).canvas().write("\r 7/9 \x1b[A")

    assert stream.getvalue() == "\r 7/9 \x1b[A"


def test_a_page_of_a_report_is_made_visible(tmp_path: Path) -> None:
    """A direction that is turned would hide what a sentence says."""
    write_page(tmp_path / "p.html", f"<p>{EVIL}</p>")

    assert_harmless(" ".join((tmp_path / "p.html").read_text().split()))


# the commands, on servers that answer so


class Saying(BaseHTTPRequestHandler):
    """Refuses everything in words of its own, but its version."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Give the version, or say no."""
        is_version = self.path == "/version"
        content = {"gitVersion": EVIL} if is_version else {"message": EVIL}
        data = json.dumps(content).encode()
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200 if is_version else 422)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def refusing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have a context whose API server refuses everything."""
    monkeypatch.chdir(tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), Saying) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        cluster = {"server": f"http://127.0.0.1:{server.server_port}"}
        config = {
            "clusters": [{"name": "k", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        }
        (tmp_path / "config").write_text(json.dumps(config))
        manifest = {"apiVersion": "v1", **configmap("m", a="1")}
        (tmp_path / "m.yaml").write_text(json.dumps(manifest))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
        yield
        server.shutdown()
        thread.join()


AGAINST_A_SERVER = [
    ("doctor",),
    ("doctor", "-n", "n"),
    ("collect", "--dry-run"),
    ("collect", "--pods", "1", "--duration", "1s"),
    ("collect", "--fetch", "j", "-n", "n"),
    ("report",),
    ("explain", "cm/m"),
    ("wait", "cm/m"),
    ("apply", "-f", "m.yaml", "--wait"),
    ("refresh", "deploy/web", "--method", "rollout"),
    ("clean", "--yes"),
]


@pytest.mark.usefixtures("refusing")
@pytest.mark.parametrize("command", AGAINST_A_SERVER, ids=" ".join)
def test_a_refusal_is_quoted_visibly(command: Sequence[str], told: Told) -> None:
    """By every command that asks a cluster."""
    code, out, err = told(*command, "--context", "c")

    assert code in {1, 2}
    assert "\\u001b[2K" in out + err
    assert_harmless(out)
    assert_harmless(err)


@pytest.mark.usefixtures("refusing")
@pytest.mark.parametrize("command", AGAINST_A_SERVER, ids=" ".join)
def test_a_name_is_quoted_visibly(command: Sequence[str], told: Told) -> None:
    """Here of a context; names of a kubeconfig may be anything."""
    code, out, err = told(*command, "--context", EVIL)

    assert code in {1, 2}
    assert_harmless(out)
    assert_harmless(err)


class Evil(Living):
    """A cluster whose containers, kubelets and objects say anything."""

    def capture(self, *_: object, **__: object) -> Captured:
        """Say it on both streams."""
        return Captured(1, EVIL.encode(errors="replace"), EVIL)

    def version(self) -> str:
        """Give the API server's version."""
        return EVIL


@pytest.fixture
def evil(monkeypatch: pytest.MonkeyPatch) -> Evil:
    """Have a workload whose names and texts are somebody's."""
    cluster = Evil()
    cluster.deploy(2)
    stored = EVIL.removesuffix("\udc80")  # no API server has half a pair
    cluster.put(configmap("m", **{stored: stored}))
    monkeypatch.setattr("cmhot.cluster.targets.connect", lambda _: cluster)
    return cluster


@pytest.mark.usefixtures("evil")
@pytest.mark.parametrize(
    "command",
    [
        ("explain", "cm/m"),
        ("wait", "cm/m", "--timeout", "5s"),
        ("refresh", "deploy/web", "--method", "annotate", "--timeout", "5s"),
        ("refresh", "deploy/web", "--method", "annotate", "--dry-run"),
    ],
    ids=" ".join,
)
def test_what_a_workload_says_is_shown_visibly(
    command: Sequence[str], told: Told
) -> None:
    """A container's output is quoted where it could not be looked into."""
    _, out, err = told(*command)

    assert_harmless(out)
    assert_harmless(err)


def test_each_error_of_the_cluster_is_shown_visibly(evil: Evil, told: Told) -> None:
    """Also one that is a note beside the answer."""
    for request in (("list", "pods"), ("get", "configmaps"), ("list", "nodes")):
        evil.failing = {request: ClusterError(EVIL, status=422)}
        _, out, err = told("explain", "cm/m")

        assert_harmless(out)
        assert_harmless(err)
