"""The ways to install name the same dependencies."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]

CONDA_NAMES = {
    "kubernetes": "python-kubernetes",
    "matplotlib": "matplotlib-base",
    "prometheus-client": "prometheus_client",
}
"""Where conda-forge's name differs: `kubernetes` there is Kubernetes itself."""


def project() -> dict[str, str]:
    """Return the project's dependencies and their ranges."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())
    matches = (
        re.fullmatch(r"([a-z0-9-]+)(.*)", text)
        for text in data["project"]["dependencies"]
    )
    return {match[1]: match[2] for match in matches if match}


def test_conda_has_what_the_project_needs() -> None:
    """environment.yml names every dependency by its conda name, with its range."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    listed = dict(
        text.partition(" ")[::2]
        for text in environment["dependencies"]
        if isinstance(text, str)
    )

    expected = {CONDA_NAMES.get(name, name): need for name, need in project().items()}
    assert {name: listed.get(name) for name in expected} == expected
    assert listed["python"] == ">=3.11"


def test_the_lock_pins_every_dependency_with_hashes() -> None:
    """What the make targets install is pinned, and its content is checked."""
    lock = (ROOT / "requirements.lock").read_text()
    pinned = re.findall(r"^([a-z0-9.-]+)==\S+(.*)\n", lock, flags=re.MULTILINE)

    assert project().keys() <= {name for name, _ in pinned}
    assert all(rest.endswith("\\") for _, rest in pinned), "an entry without hashes"
    assert "://" not in lock, "a lock names no package index"


def test_every_dependency_has_its_reason() -> None:
    """A dependency without a comment beside it is one nobody decided on."""
    text = (ROOT / "pyproject.toml").read_text()
    block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)

    assert block is not None
    assert all("  # " in line for line in block[1].splitlines())
