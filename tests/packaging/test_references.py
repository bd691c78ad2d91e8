"""What docstrings and documents refer to exists, and is not where one reads it."""

from __future__ import annotations

import ast
import functools
import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
TOP = sorted(
    path.name
    for path in ROOT.iterdir()
    if path.is_dir() and not path.name.startswith((".", "_", "build", "dist"))
)
MODULES = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("cmhot/**/*.py"))
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/*.md", "docs/*/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"  # of versions that had other names
)
NAMED = re.compile(r"(?:`|\A)(cmhot(?:\.\w+)+)(?:\(.*?\))?(?:`|\Z)")
"""In a sentence, or a whole string: errors name the function that makes a table."""
DIRECTIVE = re.compile(r"\.\. auto\w+:: (cmhot(?:\.\w+)+)$", re.MULTILINE)
PATH = re.compile(rf"`((?:{'|'.join(TOP)})/[\w./-]+(?::\w+)?)`")
"""A file or a folder, maybe with a name in it: ``cmhot/clock.py:Clock``."""
MODULE = re.compile(r"`((?:\w+/)+\w+\.py(?::\w+)?)`")
PAGE = re.compile(r"(?<![\w/])(docs/[\w./-]+\.md)")


def texts(path: str) -> Iterator[tuple[int, str]]:
    """Yield the strings of a module, or a document, each with its first line."""
    content = (ROOT / path).read_text("utf-8")
    if path.endswith(".md"):
        yield 1, content
        return
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def name_of(path: str) -> str:
    """Give a module's name; none for a document."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@functools.cache
def resolves(dotted: str) -> bool:
    """See whether a dotted name is a module, or a name in one."""
    parts = dotted.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            if not hasattr(found, part):
                fields = getattr(found, "__annotations__", {})
                return part in fields and part == parts[-1]
            found = getattr(found, part)
        return True
    return False


def exists(named: str) -> bool:
    """See whether the repository, or the package, has a file or folder of a path.

    After a colon a name stands, which the file has to define.
    """
    path, _, name = named.partition(":")
    found = [one for one in (ROOT / path, ROOT / "cmhot" / path) if one.exists()]
    if not name:
        return bool(found)
    defined = re.compile(rf"^\s*(?:(?:def|class) )?{name}\b(?:\(| = |:)", re.MULTILINE)
    return any(defined.search(one.read_text("utf-8")) for one in found)


REFERENCES: tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...] = (
    *((pattern, resolves) for pattern in (NAMED, DIRECTIVE)),
    *((pattern, exists) for pattern in (PATH, MODULE, PAGE)),
)


@pytest.mark.parametrize("path", [*MODULES, *DOCUMENTS])
def test_what_is_named_exists(path: str) -> None:
    """A dotted name resolves, and a path is one of the repository."""
    wrong = [
        f"{path}:{line}: {named}"
        for line, text in texts(path)
        for pattern, holds in REFERENCES
        for named in pattern.findall(text)
        if not holds(named)
    ]

    assert wrong == []


@pytest.mark.parametrize("path", MODULES)
def test_no_module_refers_to_itself(path: str) -> None:
    """Who is sent to another module for more is not sent to where one is."""
    own = name_of(path)

    assert [line for line, text in texts(path) if own in NAMED.findall(text)] == []
