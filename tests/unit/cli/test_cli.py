"""The command line: help for everybody, and one sentence for a wrong use."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click
import pytest

from cmhot.cli import cli, main

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]


class Run(Protocol):
    """Run the command line in this process."""

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Return exit code, standard output and standard error."""


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Iterator[Run]:
    """Call `main` in an empty folder, with an empty home and no kubeconfig."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "home" / "none"))
    ends = (signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in ends}

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cmhot", *arguments])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)


def commands(
    group: click.Group = cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """List every command, groups included."""
    yield path
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


@pytest.mark.parametrize(
    "path", list(commands()), ids=lambda path: " ".join(path) or "cmhot"
)
def test_every_command_explains_itself(path: tuple[str, ...], run: Run) -> None:
    """`--help` of every command says how to use it, and what each option does."""
    code, output, messages = run(*path, "--help")

    assert (code, messages) == (0, "")
    usage = output.splitlines()[0]
    assert usage.startswith("Usage: ")
    assert f"{' '.join(('cmhot', *path))} [OPTIONS]" in usage
    assert "\\b" not in output  # click's mark for verbatim text, taken literally
    assert len(output.splitlines()) > 5


IN_OWN_WORDS = {
    "unknown-strategy": (
        ("testbed", "up", "--node", "strategy=Push"),
        "cmhot: unknown strategy 'Push': the kubelet knows Watch, Get, Cache",
    ),
    "sync-of-zero": (
        ("testbed", "up", "--node", "sync=0"),
        (
            "cmhot: sync=0 is not possible: a kubelet needs a syncFrequency "
            "above zero, such as sync=10s"
        ),
    ),
    "negative-sync": (
        ("testbed", "up", "--node", "sync=-5s"),
        (
            "cmhot: '-5s' is not a duration: write seconds or a Go duration, "
            "such as 10s, 1m30s or 500ms; it cannot be negative"
        ),
    ),
    "negative-ttl": (
        ("testbed", "up", "--node", "ttl=-1"),
        (
            "cmhot: '-1' is not a duration: write seconds or a Go duration, "
            "such as 10s, 1m30s or 500ms; it cannot be negative"
        ),
    ),
    "unknown-key": (
        ("testbed", "up", "--node", "frequency=5s"),
        (
            "cmhot: cannot read 'frequency=5s' in 'frequency=5s': a node is "
            "written as sync=10s,strategy=Watch with an optional ttl=60"
        ),
    ),
    "impossible-name": (
        ("testbed", "up", "--name", "../x"),
        (
            "cmhot: '../x' cannot name a testbed: use up to 32 lower-case letters, "
            "digits and inner hyphens"
        ),
    ),
    "no-pods": (
        ("collect", "--target", "model", "--pods", "0"),
        "cmhot: 0 pods cannot measure anything: ask for at least one",
    ),
    "negative-pods": (
        ("collect", "--target", "model", "--pods", "-3"),
        "cmhot: -3 pods cannot measure anything: ask for at least one",
    ),
    "no-duration": (
        ("collect", "--target", "model", "--duration", "0"),
        "cmhot: a duration of 0 s is empty: try --duration 3m",
    ),
    "tiny-gap": (
        ("collect", "--target", "model", "--gap", "10ms"),
        (
            "cmhot: updates every 0.01 s would queue at the API server: "
            "the gap is at least 0.2 s"
        ),
    ),
    "unknown-target": (
        ("collect", "--target", "moon"),
        (
            "cmhot: unknown target 'moon': choose testbed, testbed:NAME, context:NAME, "
            "in-cluster or model"
        ),
    ),
    "no-target": (
        ("collect",),
        (
            "cmhot: no target is given: choose testbed, testbed:NAME, context:NAME, "
            "in-cluster or model"
        ),
    ),
    "two-targets": (
        ("collect", "--target", "model", "--context", "kind"),
        "cmhot: --context is short for --target context:NAME: give one of them",
    ),
    "no-run": (
        ("summarise", "nowhere"),
        (
            "cmhot: nowhere is no run directory, it has no run.json: give the "
            "path that cmhot collect printed"
        ),
    ),
}


@pytest.mark.parametrize(
    ("arguments", "sentence"), IN_OWN_WORDS.values(), ids=IN_OWN_WORDS.keys()
)
def test_wrong_use_is_one_sentence(
    arguments: tuple[str, ...], sentence: str, run: Run, tmp_path: Path
) -> None:
    """A value that cannot be is named, with what to do; nothing is half made."""
    assert run(*arguments) == (2, "", f"{sentence}\n")
    assert list(tmp_path.rglob("*")) == [tmp_path / "work"]


@pytest.mark.parametrize("option", ["--duration", "--gap"])
@pytest.mark.parametrize("value", ["-5s", "-1", "soon"])
def test_a_wrong_duration_is_named(option: str, value: str, run: Run) -> None:
    """What is no duration, a negative one included, is refused by its option."""
    code, output, messages = run("collect", "--target", "model", option, value)

    assert (code, output) == (2, "")
    # above it stands the usage, as for every option that click reads
    assert messages.splitlines()[-1] == (
        f"Error: Invalid value for '{option}': '{value}' is not a duration: write "
        "seconds or a Go duration, such as 10s, 1m30s or 500ms; it cannot be negative"
    )


def test_a_kubeconfig_that_is_not_yaml(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is no kubeconfig is told as that, whatever is wrong with it."""
    for content in (b"a: [b", b"\xff\xfe\x00", b"just text", b"- a\n- list\n", b""):
        path = tmp_path / "kubeconfig"
        path.write_bytes(content)
        monkeypatch.setenv("KUBECONFIG", str(path))

        code, output, messages = run("collect", "--context", "any")

        assert (code, output) == (2, ""), content
        (sentence,) = messages.splitlines()
        assert sentence.startswith("cmhot: the kubeconfig "), content
        assert "KUBECONFIG" in sentence
        assert list((tmp_path / "work").iterdir()) == []


@pytest.fixture
def closed_port() -> int:
    """Give a port of the loopback address on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


def test_an_unreachable_server(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    """A server that does not answer is named with its address."""
    path = tmp_path / "kubeconfig"
    path.write_text(
        f"""
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "http://127.0.0.1:{closed_port}"}}}}]
users: [{{name: u, user: {{token: t}}}}]
contexts: [{{name: gone, context: {{cluster: c, user: u}}}}]
"""
    )
    monkeypatch.setenv("KUBECONFIG", str(path))

    code, output, messages = run("collect", "--context", "gone")

    assert (code, output) == (2, "")
    assert messages == (
        f"cmhot: no answer from the API server at http://127.0.0.1:{closed_port} "
        "(NewConnectionError): is the cluster running and the address in the "
        "kubeconfig right?\n"
    )
    assert list((tmp_path / "work").iterdir()) == []


def test_an_unknown_context(run: Run, tmp_path: Path) -> None:
    """Without a kubeconfig there is no context, and the message says where to look."""
    code, output, messages = run("collect", "--context", "any")

    assert (code, output) == (2, "")
    assert "there is no kubeconfig: KUBECONFIG names" in messages
    assert len(messages.splitlines()) == 1
    assert list((tmp_path / "work").iterdir()) == []


def test_an_output_folder_that_cannot_be(run: Run, tmp_path: Path) -> None:
    """A file where the output folder should be is left as it is, and named."""
    # a file in the way and no mode: root may write anywhere
    (tmp_path / "work" / "file").write_text("precious")

    code, output, messages = run("collect", "--target", "model", "--out", "file/runs")

    assert (code, output) == (2, "")
    last = messages.splitlines()[-1]
    assert last.startswith("cmhot: cannot write a run to file/runs/")
    assert last.endswith("choose a writable folder with --out")
    assert "Traceback" not in messages
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["file"]
    assert (tmp_path / "work" / "file").read_text() == "precious"


def test_a_check_that_fails_ends_with_one(run: Run) -> None:
    """A command that finds what it looked for missing says so by its exit code."""
    code, output, messages = run("testbed", "status")

    assert output == "testbed default is not running\n"
    assert messages == ""
    assert code == 1


def test_exit_codes_reach_the_shell() -> None:
    """As a process of its own, a wrong use ends with 2 and without a traceback."""
    answer = subprocess.run(
        [sys.executable, "-m", "cmhot", "collect", "--target", "moon"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )

    assert answer.returncode == 2
    assert answer.stdout == ""
    assert len(answer.stderr.splitlines()) == 1


def test_predict_answers_without_a_cluster(run: Run) -> None:
    """The kubelet's defaults, for programs and for people."""
    code, output, messages = run("predict", "--json", "--quantile", ".999")

    assert (code, messages) == (0, "")
    found = json.loads(output)
    assert found["p50_s"] == pytest.approx(37.75)
    assert found["quantiles"] == {"0.999": pytest.approx(88.4, abs=0.05)}
    _, text, _ = run("predict", "--strategy", "cache", "--ttl", "60s", "--sharers", "5")
    assert "60 s, Cache (TTL 60 s), 5 pods a node share the ConfigMap" in text
    assert "59.43" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("predict", "--sync", "0"), "a kubelet needs a syncFrequency above zero"),
        (("predict", "--sync", "nan"), "is not a duration"),
        (("predict", "--quantile", "1.2"), "between 0 and 1"),
        (("predict", "--ttl", "-1"), "it cannot be negative"),
        (("predict", "--strategy", "Push"), "the kubelet knows Watch, Get, Cache"),
        (("predict", "--kubernetes", "128"), "'128' is no version of Kubernetes"),
        (
            ("plan", "--width", "1s", "--kubernetes", "latest"),
            "'latest' is no version of Kubernetes",
        ),
        (("plan", "--width", "0s"), "the width is above 0"),
        (("plan",), "Missing option '--width'"),
        (("summarise", "x", "--json", "--openmetrics"), "choose one"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, tuple) else "",
)
def test_nonsense_is_answered_in_a_sentence(
    arguments: tuple[str, ...], says: str, run: Run
) -> None:
    """Wrong use ends with 2, and the sentence says what would be right."""
    code, output, messages = run(*arguments)

    assert (code, output) == (2, "")
    assert says in messages
    assert "Traceback" not in messages


@pytest.mark.parametrize(
    "command",
    [
        ("summarise",),
        ("figure", "headline", "--run"),
        ("report", "--run"),
        ("report", "--compare", "nowhere"),
        ("export", "--anonymise", "--out", "copy"),
    ],
    ids=" ".join,
)
def test_a_file_is_no_run(command: tuple[str, ...], run: Run, tmp_path: Path) -> None:
    """Who gives the run.json of a run is told that its directory is wanted."""
    file = tmp_path / "work" / "run.json"
    file.write_text("{}")

    code, output, messages = run(*command, "run.json")

    assert (code, output) == (2, "")
    assert messages.splitlines()[-1].endswith(
        "run.json is a file, no run directory: give the path that cmhot collect printed"
    )
    assert [*file.parent.iterdir()] == [file]


def test_plan_ends_with_a_command(run: Run) -> None:
    """It says pods and minutes, and what to type."""
    code, output, _ = run("plan", "--sync", "60s", "--width", "1s", "--quantile", ".99")

    assert code == 0
    assert output.splitlines()[-1].startswith("cmhot collect --target … --pods 20")


@pytest.mark.parametrize("command", [("predict",), ("plan", "--width", "1s")])
def test_the_price_is_that_of_a_node_like_mine(
    command: tuple[str, ...], run: Run
) -> None:
    """Both commands take the pods of a node and their ConfigMaps, at least 1."""
    node = ("--sync", "10s", "--pods-per-node", "30", "--maps", "2")

    _, text, _ = run(*command, *node)
    _, output, _ = run(*command, *node, "--json")

    price = json.loads(output)["price"]
    assert (price["pods_per_node"], price["maps"]) == (30, 2)
    assert "of 30 idle pods with 2 ConfigMaps each:" in text
    assert f"{price['more']['millicores']['value']:+.1f} millicores" in text
    code, _, messages = run(*command, "--pods-per-node", "0")
    assert (code, "0 is not in the range x>=1" in messages) == (2, True)


def test_a_lost_terminal_ends_as_ctrl_c_does(run: Run) -> None:
    """SIGHUP is an interruption, too; under nohup it is ignored as before."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    run("--help")
    under_nohup = signal.getsignal(signal.SIGHUP)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    run("--help")

    assert under_nohup is signal.SIG_IGN
    assert signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL  # it would end us
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGHUP)  # a second one does not end the cleaning up


HUNG_UP = """
import os, pty, signal, sys
from cmhot import cli

master, slave = pty.openpty()
kept = os.dup(1)
for stream in (0, 1, 2):
    os.dup2(slave, stream)
os.close(slave)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # who runs these tests may ignore it
cli._mind_the_terminal()
try:
    os.close(master)  # the terminal is gone
    signal.raise_signal(signal.SIGHUP)
except KeyboardInterrupt:
    print("cleaning up", flush=True)
    print("cleaning up", file=sys.stderr, flush=True)
    os.write(kept, b"cleaned up")
"""


def test_a_lost_terminal_is_not_written_to() -> None:
    """What is told while cleaning up goes nowhere, instead of ending that."""
    ended = subprocess.run(
        [sys.executable, "-c", HUNG_UP], check=False, capture_output=True
    )

    assert ended.stdout == b"cleaned up"
