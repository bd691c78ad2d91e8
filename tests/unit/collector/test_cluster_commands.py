"""Commands about clusters of others: what they print, and how they end."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from click.testing import CliRunner

from cmhot.cli import cli
from cmhot.cluster.model import ModelCluster
from cmhot.cluster.port import NAMESPACE
from cmhot.cluster.testbed.host import Check
from cmhot.collector import cleanup as cleaning
from cmhot.errors import UsageError

if TYPE_CHECKING:
    from click.testing import Result

ROOT = Path(__file__).parents[3]


def invoke(*arguments: str, answer: str | None = None) -> Result:
    """Run a command; errors of ours are raised as they are."""
    return CliRunner().invoke(cli, arguments, input=answer, catch_exceptions=False)


def test_rbac_prints_what_can_be_applied() -> None:
    """Nothing but YAML goes to standard output."""
    result = invoke("rbac", "-n", "measuring", "--account", "me", "--nodes")

    kinds = [one["kind"] for one in yaml.safe_load_all(result.stdout)]
    assert result.exit_code == 0
    assert kinds == [
        *("ServiceAccount", "Role", "RoleBinding"),
        *("ClusterRole", "ClusterRoleBinding"),
    ]
    assert "namespace: measuring" in result.stdout


def test_job_prints_what_can_be_applied() -> None:
    """The plan's options reach the Job."""
    result = invoke(
        *("job", "--image", "i", "-n", "measuring", "--pods", "7"),
        *("--duration", "5m", "--setting", "sync=10s"),
    )

    made = list(yaml.safe_load_all(result.stdout))[-1]
    (container,) = made["spec"]["template"]["spec"]["containers"]
    assert container["args"] == [
        *("--pods", "7", "--duration", "300s", "--seed", "1"),
        *("--namespace", "measuring", "--setting", "sync=10s", "--print-run"),
    ]


def test_doctor_looks_at_the_model_as_at_any_cluster() -> None:
    """The JSON keeps its keys."""
    result = invoke("doctor", "--target", "model", "--json")

    answer = json.loads(result.stdout)
    assert result.exit_code == 0
    assert answer["ok"] is True
    assert answer["checks"][0] == {
        "name": "API server",
        "ok": True,
        "detail": "model answers, modelled",
        "remedy": None,
    }


def test_a_remedy_for_many_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the last of those that it is for."""
    checks = [
        Check("a", ok=False, detail="x", remedy="do this"),
        Check("b", ok=False, detail="x", remedy="do this"),
        Check("c", ok=False, detail="x", remedy="do that"),
        Check("d", ok=False, detail="x: do it"),
        Check("e", ok=True, detail="y"),
    ]
    monkeypatch.setattr("cmhot.collector.preflight.examine", lambda *_: checks)

    result = invoke("doctor", "--target", "model")

    assert result.exit_code == 1
    assert [line[:9].strip() for line in result.stdout.splitlines()] == [
        *("MISS  a:", "MISS  b:", "do", "MISS  c:", "do", "MISS  d:", "ok    e:"),
    ]


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Leave a namespace on the model; give the names of what was deleted."""
    one = cleaning.Leftover(NAMESPACE, "cmhot-r", None, "r", "u", 7200.0, 3600.0)
    deleted: list[str] = []
    monkeypatch.setattr(cleaning, "find_leftovers", lambda *_, **__: [one])
    monkeypatch.setattr(
        ModelCluster, "delete", lambda *call, **_: deleted.append(str(call[2]))
    )
    return deleted


@pytest.mark.parametrize(
    ("arguments", "answer", "deleted"),
    [
        ((), "y\n", ["cmhot-r"]),
        ((), "n\n", []),
        ((), "\n", []),
        (("--yes",), None, ["cmhot-r"]),
    ],
    ids=["yes", "no", "no word", "said before"],
)
def test_clean_asks_before_it_removes(
    left: list[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    answer: str | None,
    deleted: list[str],
) -> None:
    """Only a yes, or --yes, removes anything; what it is stands before the question."""
    # the package has a command of the module's name
    module = importlib.import_module("cmhot.cli.cluster_access")
    monkeypatch.setattr(module, "is_terminal", lambda: answer is not None)

    result = invoke("clean", "--target", "model", *arguments, answer=answer)

    assert result.stdout.startswith(
        "namespaces/cmhot-r, of run r, made 2 hours ago, last written 60 minutes ago\n"
    )
    assert left == deleted


def test_clean_without_anybody_to_ask_removes_nothing(left: list[str]) -> None:
    """In a script, --yes must be said."""
    with pytest.raises(UsageError, match="say --yes"):
        invoke("clean", "--target", "model")

    assert left == []


def test_clean_of_a_tidy_cluster_says_so() -> None:
    """There is nothing to ask about."""
    result = invoke("clean", "--target", "model")

    assert (result.exit_code, result.stdout) == (0, "nothing of ours is left\n")


def test_fetching_needs_a_namespace() -> None:
    """A Job is named by two words."""
    with pytest.raises(UsageError, match="--namespace"):
        invoke("collect", "--target", "model", "--fetch", "cmhot")


def test_a_run_can_be_printed(tmp_path: Path) -> None:
    """What a Job prints is what `unpack` reads."""
    from cmhot.collector.job import unpack  # noqa: PLC0415 - here only

    result = invoke(
        *("collect", "--target", "model", "--pods", "1", "--duration", "30s"),
        *("--out", str(tmp_path / "there"), "--print-run"),
    )

    (path,) = (tmp_path / "there").iterdir()
    home = unpack(result.stdout, tmp_path / "here")
    assert home.name == path.name
    assert (home / "run.json").read_bytes() == (path / "run.json").read_bytes()


def test_docker_gets_what_the_dockerfile_copies() -> None:
    """The context leaves out all but those paths: `.venv` alone is a gigabyte."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        path
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ")
        for path in line.split()[1:-1]
    }

    assert "*" in lines
    assert copied == allowed
