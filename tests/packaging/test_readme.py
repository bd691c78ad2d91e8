"""The README's numbers come from a run, and its commands are commands."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

from click.testing import CliRunner

from cmhot.cli import cli

ROOT = Path(__file__).parents[2]


def headline() -> ModuleType:
    """Import tools/headline.py, which is a script."""
    path = ROOT / "tools" / "headline.py"
    spec = importlib.util.spec_from_file_location("headline", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_headline_is_what_the_numbers_say() -> None:
    """Writing the block anew from docs/headline/numbers.json changes nothing."""
    readme = (ROOT / "README.md").read_text()
    numbers = json.loads((ROOT / "docs" / "headline" / "numbers.json").read_text())
    module = headline()

    assert numbers["modelled"] is False
    assert module.insert(readme, module.block(numbers)) == readme


def test_every_command_of_the_readme_exists() -> None:
    """Each `cmhot …` of the README answers --help, each `make …` is a target."""
    readme = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    commands = re.findall(r"^cmhot ([a-z]+(?: (?:up|down))?)", readme, re.MULTILINE)
    targets = re.findall(r"^make ([a-z-]+)", readme, re.MULTILINE)

    assert len(commands) == 13
    for command in commands:
        answer = CliRunner().invoke(cli, [*command.split(), "--help"])
        assert answer.exit_code == 0, command
    assert set(targets) == {"report", "test"}
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
