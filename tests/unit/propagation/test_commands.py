"""The commands explain, wait, apply and refresh, on a cluster in memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from cmhot.cli import cli
from cmhot.kubelet.uses import CONFIG_MAP
from tests.unit.living import NAMESPACE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.living import Living


@pytest.fixture
def connected(living: Living, monkeypatch: pytest.MonkeyPatch) -> Living:
    """Let the command line find it."""
    monkeypatch.setattr("cmhot.cluster.targets.connect", lambda _: living)
    return living


@pytest.mark.parametrize(
    ("arguments", "code", "key"),
    [
        (("explain", "cm/m"), 0, "consumers"),
        (("wait", "cm/m"), 0, "landed"),
        (("wait", "cm/m", "--for", "deploy/web"), 0, "landed"),
        (("refresh", "deploy/web", "--method", "annotate"), 0, "verified"),
    ],
)
@pytest.mark.usefixtures("connected")
def test_commands_speak_json(arguments: tuple[str, ...], code: int, key: str) -> None:
    """On standard output, and nothing else there."""
    result = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False)

    assert result.exit_code == code
    assert key in json.loads(result.stdout)


@pytest.mark.parametrize(
    ("every_s", "code", "said"),
    [(2.5, 0, "has landed in 3 of 3 pods"), (99.0, 1, "has NOT landed")],
)
def test_apply_waits_until_it_has_landed(
    connected: Living, tmp_path: Path, every_s: float, code: int, said: str
) -> None:
    """The exit code tells a script whether it has."""
    connected.every_s = every_s
    file = tmp_path / "m.yaml"
    file.write_text(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: m}, data: {a: '2'}}"
    )

    result = CliRunner().invoke(
        cli, ["apply", "-f", str(file), "--wait", "--timeout", "9s"]
    )

    assert result.exit_code == code
    assert said in result.stdout
    assert "configmap/m applied" in result.stderr


def test_apply_reads_standard_input(connected: Living) -> None:
    """And does not wait unasked."""
    text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: m}, data: {a: '2'}}"

    result = CliRunner().invoke(cli, ["apply", "-f", "-"], input=text)

    assert (result.exit_code, result.stdout) == (0, "")
    assert connected.get(CONFIG_MAP, "m", namespace=NAMESPACE)["data"] == {"a": "2"}
    assert connected.asked["get", "pods/exec"] == 0


def test_apply_says_what_no_pod_uses(connected: Living, tmp_path: Path) -> None:
    """Instead of nothing; standard output stays for what was waited for."""
    connected.change(spec={"replicas": 0})
    file = tmp_path / "m.yaml"
    file.write_text(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: m}, data: {a: '2'}}"
    )

    result = CliRunner().invoke(cli, ["apply", "-f", str(file), "--wait"])

    assert (result.exit_code, result.stdout) == (0, "")
    assert "no pod uses configmap/m" in result.stderr


def test_a_wait_in_vain_ends_with_one(connected: Living) -> None:
    """So that a script stops there."""
    connected.update("2")

    result = CliRunner().invoke(cli, ["wait", "cm/m", "--timeout", "3s"])

    assert result.exit_code == 1
    assert "has NOT landed" in result.stdout
    assert "0 of 3 pods" in result.stderr
