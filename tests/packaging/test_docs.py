"""The documentation builds without a warning, and leads nowhere wrong."""

from __future__ import annotations

import doctest
import re
import shlex
from html.parser import HTMLParser
from inspect import ismodule
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest

import cmhot
from cmhot.cli import cli
from cmhot.plots import NAMES
from cmhot.report import notebooks

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "README.md"]
FETCHING = {"img": "src", "script": "src", "source": "srcset", "iframe": "src"}
"""Attributes by which a page fetches; ``link`` is looked at by its ``rel``."""


class Html(HTMLParser):
    """What a page names, links to and fetches."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.without_alt = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in FETCHING and FETCHING[tag] in given:
            self.fetched.append(given[FETCHING[tag]])
        if tag == "link" and given.get("rel") in {"stylesheet", "icon", "preload"}:
            self.fetched.append(given["href"])
        self.without_alt += tag == "img" and "alt" not in given


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Html]:
    """Read every page."""
    found = {}
    for path in sorted(site.rglob("*.html")):
        found[path] = Html()
        found[path].feed(path.read_text(encoding="utf-8"))
    return found


def test_the_guide_and_the_reference_are_there(pages: dict[Path, Html]) -> None:
    """Every page of docs/ became one, and every public name has an entry."""
    built = {path.stem for path in pages}
    reference = {one for page in pages.values() for one in page.ids}

    wanted = {path.stem for path in DOCS.rglob("*.md")}
    if "findings" not in wanted:  # what leads there is left out (docs/conf.py)
        wanted = {name for name in wanted if not name.startswith("proposed-")}
    assert wanted <= built
    own = {name for name in cmhot.__all__ if not ismodule(getattr(cmhot, name))}
    assert {f"cmhot.{name}" for name in own - {"__version__"}} <= reference
    for package in (cmhot.law, cmhot.plots, cmhot.statistics, cmhot.experiments):
        names = [name for name in package.__all__ if callable(getattr(package, name))]
        found = [f"{package.__name__}.{name}" for name in names]
        assert [one for one in found if one not in reference] == []


def test_no_link_inside_is_broken(pages: dict[Path, Html]) -> None:
    """Each leads to a file that is there, and to a place in it that is there."""
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve()
            target = target if parts.path else path
            known = pages.get(target)
            if not target.exists() or (
                known is not None
                and parts.fragment
                and unquote(parts.fragment) not in known.ids
            ):
                broken.append(f"{path.name}: {link}")

    assert broken == []


def test_links_outside_are_addresses(pages: dict[Path, Html]) -> None:
    """By their syntax: whether somebody answers there is not asked."""
    outside = {
        link
        for page in pages.values()
        for link in page.links
        if urlsplit(link).scheme or urlsplit(link).netloc
    }

    assert [
        link
        for link in sorted(outside)
        if not re.fullmatch(r"https://[a-z0-9.-]+\.[a-z]+(?::\d+)?(/[^\s\"<>]*)?", link)
    ] == []


def test_nothing_is_fetched_from_elsewhere(site: Path, pages: dict[Path, Html]) -> None:
    """Scripts, styles, images and fonts are files of the site; images say what."""
    fetched = {link for page in pages.values() for link in page.fetched}
    styles = "\n".join(path.read_text("utf-8") for path in site.rglob("*.css"))

    assert [link for link in sorted(fetched) if urlsplit(link).netloc] == []
    gone = [
        link
        for path, page in pages.items()
        for link in page.fetched
        if not urlsplit(link).scheme
        and not (path.parent / unquote(urlsplit(link).path)).is_file()
    ]
    assert gone == []
    assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^)\s]*", styles) == []
    assert sum(page.without_alt for page in pages.values()) == 0


def test_all_figures_and_notebooks_are_shown(pages: dict[Path, Html]) -> None:
    """The gallery has each figure in four forms, and each notebook as executed."""
    (gallery,) = [page for path, page in pages.items() if path.stem == "gallery"]
    shown = {Path(link).stem for link in gallery.fetched}

    forms = ("", "-narrow", "-dark", "-narrow-dark")
    assert {f"{name}{form}" for name in NAMES for form in forms} <= shown
    for name in notebooks.names():
        (path,) = [path for path in pages if path.stem == name]
        text = path.read_text(encoding="utf-8")
        assert "cell_output" in text
        assert str(ROOT) not in text  # it is nobody else's path
        assert f"../notebooks/{name}.html" in gallery.links


def lines_of(page: Path, program: str) -> list[str]:
    """List the lines of a page's code blocks that call a program, without remarks."""
    blocks = re.findall(
        r"^ *```\n(.*?)^ *```",
        page.read_text("utf-8").replace("\\\n", " "),  # one line that was broken
        re.MULTILINE | re.DOTALL,
    )
    return [
        line.split(" | ")[0].split("  #")[0].strip()
        for block in blocks
        for line in block.splitlines()
        if line.strip().startswith(f"{program} ")
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_reads(page: Path) -> None:
    """Each ``cmhot …`` is a command whose options exist and take such a value."""
    for line in lines_of(page, "cmhot"):
        read(line)


def test_a_wrong_command_would_be_seen() -> None:
    """An option that does not exist, a choice that is none, a missing argument."""
    for line in ("cmhot predict --speed 3", "cmhot predict --sync soon", "cmhot wait"):
        with pytest.raises(click.ClickException):
            read(line)
    assert len([line for page in PAGES for line in lines_of(page, "cmhot")]) > 25


def read(line: str) -> None:
    """Read a command line as `cmhot` would, but for whether files exist.

    Raises
    ------
    click.ClickException
        It would refuse it.
    """
    command: click.Command = cli
    words = shlex.split(line)[1:]
    context = click.Context(command, info_name="cmhot")
    while isinstance(command, click.Group):
        name = words.pop(0)
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"no command {name}")
        command = found
        context = click.Context(command, info_name=name, parent=context)
    given, _, _ = command.make_parser(context).parse_args(words)
    for parameter in command.params:
        value = given.get(parameter.name or "")
        missing = value is None or parameter.value_is_missing(value)
        if missing and parameter.required:
            raise click.MissingParameter(param=parameter, ctx=context)
        if not missing and not isinstance(parameter.type, click.Path):
            parameter.type_cast_value(context, value)


def test_every_target_exists() -> None:
    """Each ``make …`` in a code block is a target of the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    wanted = {
        word
        for page in PAGES
        for line in lines_of(page, "make")
        for word in line.split()[1:]
        if "=" not in word
    }

    assert "report" in wanted
    assert wanted - targets == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_example_answers_so(page: Path) -> None:
    """What stands below ``>>>`` is what comes out."""
    failed, _ = doctest.testfile(str(page), module_relative=False, encoding="utf-8")

    assert failed == 0
