"""The package stays one that a stranger can see through; `-s` prints its measures."""

from __future__ import annotations

import ast
import configparser
import json
import re
import socket
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import cmhot

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "cmhot"
MODULES = sorted(PACKAGE.rglob("*.py"))
MOST_ENTRIES = 15
"""Modules and packages that one sees on opening the package."""
MOST_LAYERS = 15
MOST_NAMES = 35
"""Public names of `cmhot`: one screen."""
MOST_LOADED = {
    ("wait", "cm/app"): 30,
    ("collect",): 45,
}
"""Modules of ours that a command loads: what somebody reads who wants to know it."""

LOADED = """
import json, sys
from cmhot.cli import cli
from cmhot.errors import UnreachableError
try:
    cli(sys.argv[1:], standalone_mode=False)
except UnreachableError:
    print(json.dumps([*sys.modules]))
"""


def say(measure: str) -> None:
    """Print a measure, which `-s` shows."""
    sys.stdout.write(f"\n{measure}\n")


def several(places: Iterable[tuple[str, Path]]) -> dict[str, list[str]]:
    """Find the names that stand at more than one place."""
    found = defaultdict(list)
    for name, path in places:
        found[name].append(str(path.relative_to(PACKAGE)))
    return {name: paths for name, paths in found.items() if len(paths) > 1}


def loaded(*command: str) -> list[str]:
    """List the modules that a Python has loaded in the end, of ours."""
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=True, cwd=ROOT
    )
    names = json.loads(done.stdout.splitlines()[-1])
    return sorted(name for name in names if name.split(".")[0] == "cmhot")


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a context whose API server nobody answers for."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    path = tmp_path / "kubeconfig"
    path.write_text(
        f"""
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
users: [{{name: u, user: {{token: t}}}}]
contexts: [{{name: gone, context: {{cluster: c, user: u}}}}]
"""
    )
    monkeypatch.setenv("KUBECONFIG", str(path))


def test_few_entries_at_the_top() -> None:
    """Who opens the package sees few modules and packages."""
    entries = [
        path.stem
        for path in sorted(PACKAGE.iterdir())
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    ]
    seen = [name for name in entries if not name.startswith("_")]
    say(f"{len(MODULES)} modules; at the top {len(seen)}: {', '.join(seen)}")

    assert len(seen) <= MOST_ENTRIES


def test_clones_made_on_windows_keep_the_line_ends() -> None:
    """Scripts with carriage returns run nowhere, and other bytes are other data."""
    rules = (ROOT / ".gitattributes").read_text().splitlines()

    assert {"* text=auto eol=lf", "*.parquet binary", "*.png binary"} <= set(rules)


def test_no_two_modules_of_one_name() -> None:
    """A file's name says which module it is."""
    names = [(path.name, path) for path in MODULES if not path.stem.startswith("__")]

    assert several(names) == {}


def test_no_two_classes_of_one_name() -> None:
    """A public class's name says which class it is."""
    classes = [
        (node.name, path)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    say(f"{len(classes)} public classes")

    assert several(classes) == {}


def test_few_layers() -> None:
    """The order of imports, which import-linter holds, can be kept in mind."""
    linter = configparser.ConfigParser()
    linter.read(ROOT / ".importlinter")
    layers = linter["importlinter:contract:layers"]["layers"].split("\n")[1:]
    say(f"{len(layers)} layers")

    assert 0 < len(layers) <= MOST_LAYERS


def test_the_public_names_are_one_screen() -> None:
    """There are few, each is there, and none is hidden by a module of that name."""
    say(f"{len(cmhot.__all__)} public names")
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}

    assert len(cmhot.__all__) <= MOST_NAMES
    assert all(hasattr(cmhot, name) for name in cmhot.__all__)
    assert set(cmhot._HOMES) & (modules | packages) == set()


@pytest.mark.usefixtures("kubeconfig")
@pytest.mark.parametrize("command", MOST_LOADED, ids=lambda command: command[0])
def test_a_command_loads_what_it_needs(command: tuple[str, ...]) -> None:
    """It goes through few modules: here to a cluster that does not answer."""
    found = loaded("-c", LOADED, *command, "--context", "gone")
    say("\n  ".join([f"{command[0]} loads {len(found)} modules:", *found]))

    assert len(found) <= MOST_LOADED[command]


def test_the_package_alone_loads_nothing() -> None:
    """``import cmhot`` is quick: what is heavy is imported when it is used."""
    code = "import json, sys, cmhot; print(json.dumps([*sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    names = set(json.loads(done.stdout))
    heavy = {"click", "matplotlib", "numpy", "pandas", "scipy", "kubernetes"}
    assert names & heavy == set()
    assert {name for name in names if name.startswith("cmhot")} == {"cmhot"}


def test_notebooks_import_the_package_alone() -> None:
    """What a notebook needs is a public name: no import goes below `cmhot`."""
    deep = [
        f"{path.name}: {line}"
        for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
        for line in re.findall(
            r"(?:from|import) cmhot\.[^\\]*", path.read_text("utf-8")
        )
    ]

    assert deep == []
