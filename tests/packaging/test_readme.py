"""The README's numbers come from a run, and its commands are commands."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from click.testing import CliRunner

import cmhot
from cmhot.cli import cli
from cmhot.collector import preflight
from studies import headline

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
APPLICATION = """
apiVersion: v1
kind: Namespace
metadata: {{name: shop}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: app}}
data: {{a: "{data}"}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 3
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers:
      - name: c
        image: i
        volumeMounts: [{{name: v, mountPath: /etc/v}}]
      volumes: [{{name: v, configMap: {{name: app}}}}]
"""


def test_the_headline_is_what_the_numbers_say() -> None:
    """Writing the block anew from docs/findings.json changes nothing."""
    readme = README.read_text()
    numbers = json.loads((ROOT / "docs" / "findings.json").read_text())

    assert headline.insert(readme, headline.block(numbers)) == readme


def commands(program: str) -> list[str]:
    """List what the README says to type, without remarks."""
    blocks = re.findall(
        r"^```\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL
    )
    return [
        line.partition("  #")[0].strip()
        for block in blocks
        for line in block.splitlines()
        if line.startswith(f"{program} ")
    ]


def test_it_is_short() -> None:
    """A question, its answer, the ways in, what people ask next, what is claimed."""
    assert len(README.read_text().splitlines()) <= 120


def test_every_target_of_the_readme_exists() -> None:
    """Each `make …` is a target."""
    makefile = (ROOT / "Makefile").read_text()

    assert commands("make") == ["make report", "make test"]
    for command in commands("make"):
        assert re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE), command


def test_the_first_way_in_needs_no_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As written: when a pod has an update, and the figure in this folder."""
    monkeypatch.chdir(tmp_path)
    (predict,) = [line for line in commands("cmhot") if "predict" in line]

    said = CliRunner().invoke(cli, predict.split()[1:])
    drawn = CliRunner().invoke(cli, ["figure", "headline"])

    assert (said.exit_code, drawn.exit_code) == (0, 0)
    assert "all 20 pods have it      77.40    78.07" in said.stdout
    assert "`cmhot figure headline`" in README.read_text()
    assert Path("headline.svg").is_file()


def test_commands_for_a_cluster_work_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the cluster, which is the model, with an application that is changed."""
    monkeypatch.chdir(tmp_path)
    cluster = cmhot.connect("model")
    for module in (sys.modules[cmhot.connect.__module__], preflight):
        monkeypatch.setattr(module, "connect", lambda *_, **__: cluster)
    for data in ("1", "2"):
        Path("app.yaml").write_text(APPLICATION.format(data=data))
        made = ["apply", "-f", "app.yaml", "--target", "model", "-n", "shop"]
        applied = CliRunner().invoke(cli, [*made, "--wait"])
        assert applied.exit_code == 0, applied.output
    answers = {}
    for line in commands("cmhot"):
        words = line.partition(" | ")[0].replace("-n NS", "-n shop")
        words = words.replace("--context NAME", "--target model")
        if "RUN" in words:
            words = words.replace("RUN", str(next(Path("runs").iterdir())))
        name = words.split()[1]
        if name == "report":  # its notebooks are executed by other tests
            assert CliRunner().invoke(cli, [name, "--help"]).exit_code == 0
            continue
        answers[name] = CliRunner().invoke(cli, words.split()[1:])
        assert answers[name].exit_code == 0, answers[name].output

    assert list(answers) == [
        *("predict", "rbac", "doctor", "collect", "clean"),
        *("explain", "wait", "refresh"),
    ]
    assert {
        name: (answer.exit_code, answer.stderr)
        for name, answer in answers.items()
        if answer.exit_code
    } == {}
