"""The README's numbers come from a run, and its commands are commands."""

import json
import re
from pathlib import Path

from click.testing import CliRunner

from cmhot.cli import cli
from studies import headline

ROOT = Path(__file__).parents[2]


def test_the_headline_is_what_the_numbers_say() -> None:
    """Writing the block anew from docs/findings.json changes nothing."""
    readme = (ROOT / "README.md").read_text()
    numbers = json.loads((ROOT / "docs" / "findings.json").read_text())

    assert headline.insert(readme, headline.block(numbers)) == readme


def test_every_command_of_the_readme_exists() -> None:
    """Each `cmhot …` of the README answers --help, each `make …` is a target."""
    readme = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    commands = re.findall(r"^cmhot ([a-z]+(?: (?:up|down))?)", readme, re.MULTILINE)
    targets = re.findall(r"^make ([a-z-]+)", readme, re.MULTILINE)

    assert len(commands) == 15
    for command in commands:
        answer = CliRunner().invoke(cli, [*command.split(), "--help"])
        assert answer.exit_code == 0, command
    assert set(targets) == {"report", "test"}
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
