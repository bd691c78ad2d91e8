"""The site's figures in four forms, and the notebooks as executed.

Both are made before Sphinx reads the pages, and kept in ``build/docs/made`` until a
notebook or the package changes. On a page
``<!-- figure: NAME -->`` stands for a named figure with its caption,
``<!-- gallery -->`` for all of them with the lines that draw them, and
``<!-- notebooks -->`` for a list of the notebooks. Each figure, and each SVG that a
page shows, is there wide and narrow, light and dark.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import re
import shutil
from contextlib import chdir
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmhot.plots import FIGURES, publish
from cmhot.plots.figure import shipped_runs
from cmhot.plots.files import recoloured
from cmhot.report import notebooks

if TYPE_CHECKING:
    from collections.abc import Callable

    from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = DOCS / "notebooks"
"""Executed notebooks, for Sphinx to find; not in the repository."""
MADE = ROOT / "build" / "docs" / "made"
SHOWN = MADE / "shown"
"""What is copied to the site as it is."""
PHONE = "(max-width: 36rem)"

_RUNS = [f"runs/{path.name}" for path in shipped_runs()]
VALUES: dict[str, dict[str, Any]] = {
    "00-start-here": {"target": "model"},
    "01-environment-or-volume": {"target": "model"},
    "02-collect": {"target": "model"},
    "03-delay-distribution": {"runs": _RUNS},
    "04-sync-frequency": {"runs": _RUNS},
    "05-change-detection": {"runs": _RUNS},
    "06-force-it": {"target": "model", "repeats": 5},
    "07-whole-fleet": {"runs": _RUNS},
    "08-what-updates": {"target": "model", "rounds": 3, "copies": 1},
    "09-how-to-measure-it-wrong": {"runs": _RUNS, "trials": 0},
    "10-what-if": {},
    "11-costs": {},
    "12-limits": {},
}
"""Each is executed on the measured data that come with the package, or on the model."""

_MARK = re.compile(r"<!-- (figure|gallery|notebooks)(?:: ([a-z-]+))? -->")
_IMAGE = re.compile(r"!\[([^\]]*)\]\(([\w./-]+)\.(?:svg|png)\)")
_MENDED = {
    "<pre>": '<pre tabindex="0">',
    ' role="heading">': ' role="heading" aria-level="2">',
    '<aside class="sidebar-': '<aside aria-label="Site" class="sidebar-',
    '<aside class="toc-': '<aside aria-label="This page" class="toc-',
}
_LINES = """\
from pathlib import Path

from cmhot import plots

plots.publish("{name}", out=Path("figures"))
"""


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx when to call what is below."""
    SHOWN.mkdir(parents=True, exist_ok=True)
    app.connect("builder-inited", make)
    app.connect("source-read", fill)
    app.connect("build-finished", mend)
    # Sphinx shows what it would log of each notebook
    logging.getLogger("papermill").setLevel(logging.WARNING)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def make(_app: Sphinx) -> None:
    """Draw the figures, and execute the notebooks, that are not there yet."""
    package = _digest(*sorted((ROOT / "cmhot").rglob("*.[pj]*")))
    _once(MADE / "figures", package, _draw)
    for name in notebooks.names():
        state = f"{package} {_digest(notebooks.find(name))} {VALUES[name]}"
        _once(MADE / "notebooks" / name, state, _execute)
    shutil.rmtree(SHOWN)
    PAGES.mkdir(exist_ok=True)
    for path in PAGES.glob("*.ipynb"):
        if path.stem not in notebooks.names():
            path.unlink()
    for name in FIGURES:
        _show(MADE / "figures" / name, f"figures/{name}")
    for name in notebooks.names():
        page = json.dumps(_page(name), indent=1, ensure_ascii=False)
        file = PAGES / f"{name}.ipynb"
        if not file.is_file() or file.read_text(encoding="utf-8") != page:
            file.write_text(page, encoding="utf-8")


def _digest(*files: Path) -> str:
    """Give the state of some files."""
    found = hashlib.sha256()
    for path in files:
        if path.is_file() and path.suffix != ".pyc":
            found.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return found.hexdigest()


def _once(folder: Path, state: str, work: Callable[[Path], None]) -> None:
    """Do the work anew if the folder was not made in this state."""
    stamp = folder / "state"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == state:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    work(folder)
    stamp.write_text(state, encoding="utf-8")


def _draw(folder: Path) -> None:
    """Draw every named figure from the data that come with the package."""
    for name in FIGURES:
        publish(name, out=folder)


def _execute(folder: Path) -> None:
    """Execute the notebook of that name there: no path of a machine is shown."""
    name = folder.name
    if "runs" in VALUES[name]:
        for run in shipped_runs():
            shutil.copytree(run, folder / "runs" / run.name)
    with chdir(folder):
        notebooks.execute(name, VALUES[name], out=Path())


def _page(name: str) -> dict[str, Any]:
    """Give an executed notebook as Sphinx is to show it: figures in all their forms.

    Of a picture that is no named figure the alternative text is the heading above it.
    """
    folder = MADE / "notebooks" / name
    content: dict[str, Any] = json.loads((folder / f"{name}.ipynb").read_bytes())
    content["metadata"].pop("widgets", None)  # it would fetch scripts from elsewhere
    figures = {path.read_bytes(): path for path in folder.glob("reports/figures/*.png")}
    heading = ""
    for cell in content["cells"]:
        text = "".join(cell["source"])
        heading = next((s for s in text.splitlines() if s.startswith("#")), heading)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                own = base64.b64decode(data.pop("image/png"))
                alt = output["metadata"].get("image/png", {}).get("alt")
                if own in figures:
                    place = f"notebooks/figures/{name}/{figures[own].stem}"
                    _show(figures[own].with_suffix(""), place)
                    shown = picture(f"../{place}", alt)
                else:
                    source = f"data:image/png;base64,{base64.b64encode(own).decode()}"
                    alt = escape(alt or heading.lstrip("# "), quote=True)
                    shown = f'<img class="light-card" src="{source}" alt="{alt}">'
                data["text/html"] = shown
            elif "application/vnd.jupyter.widget-view+json" in data:
                data.clear()
                data["text/html"] = "<p>Here JupyterLab shows the controls.</p>"
            elif "<table" in "".join(data.get("text/html", "")):
                data["text/html"] = _table("".join(data["text/html"]))
    return content


def _table(shown: str) -> str:
    """Let a table be scrolled with a keyboard, and have no heading without words."""
    shown = re.sub(r"<th([^>]*)>(?:&nbsp;)?</th>", r"<td\1></td>", shown)
    shown = shown.replace('<div style="overflow-x: auto">', "<div>")
    return (
        f'<div class="wide" tabindex="0" role="group" aria-label="Table">{shown}</div>'
    )


def _show(stem: Path, place: str) -> None:
    """Put the forms of a figure to what is copied to the site."""
    target = SHOWN / place
    target.parent.mkdir(parents=True, exist_ok=True)
    for form in ("", "-narrow"):
        source = stem.with_name(f"{stem.name}{form}.svg")
        if source.is_file():
            text = source.read_text(encoding="utf-8")
            for theme, drawn in (("", text), ("-dark", recoloured(text))):
                name = f"{target.name}{form}{theme}.svg"
                target.with_name(name).write_text(drawn, encoding="utf-8")


def picture(address: str, alt: str) -> str:
    """Write a figure as HTML: the form that the screen and the theme ask for."""
    alt = escape(alt, quote=True)
    said = []
    for theme, end in (("light", ""), ("dark", "-dark")):
        narrow, wide = _size(address, f"-narrow{end}"), _size(address, end)
        phone = f'<source media="{PHONE}" srcset="{address}-narrow{end}.svg"{narrow}>'
        said.append(
            f'<picture class="only-{theme}">{phone if narrow else ""}'
            f'<img src="{address}{end}.svg" alt="{alt}" loading="lazy"{wide}></picture>'
        )
    return f'<div class="drawn">{"".join(said)}</div>'


def _size(address: str, form: str) -> str:
    """Write a form's width and height, to keep room for it; empty: there is none."""
    path = SHOWN / f"{address.lstrip('./')}{form}.svg"
    if not path.is_file():
        return ""
    root = path.read_text(encoding="utf-8").partition("<svg ")[2].partition(">")[0]
    sizes = re.findall(r'\b(width|height)="([\d.]+)pt"', root)
    return "".join(f' {name}="{float(value):.0f}"' for name, value in sizes)


def fill(_app: Sphinx, page: str, source: list[str]) -> None:
    """Put figures and lists in the places that a page has for them."""
    up = "../" * page.count("/")

    def marked(found: re.Match[str]) -> str:
        what, name = found.groups()
        if what == "gallery":
            return "\n\n".join(_section(name, up) for name in FIGURES)
        if what == "notebooks":
            return "\n".join(
                f"* [{notebooks.title(name)}]({up}notebooks/{name}.ipynb)"
                for name in notebooks.names()
            )
        return _captioned(name, up)

    def image(found: re.Match[str]) -> str:
        alt, path = found.groups()
        file = (DOCS / page).parent / path
        place = f"figures/pages/{page}/{file.name}"
        _show(file, place)
        return picture(f"{up}{place}", alt)

    if not page.startswith("notebooks/"):
        source[0] = _MARK.sub(marked, _IMAGE.sub(image, source[0]))


def _captioned(name: str, up: str) -> str:
    """Write a named figure with its caption."""
    said = json.loads((MADE / "figures" / f"{name}.json").read_bytes())
    return (
        f"<figure>{picture(f'{up}figures/{name}', said['alt'])}"
        f"<figcaption>{escape(said['caption'])}</figcaption></figure>"
    )


def _section(name: str, up: str) -> str:
    """Write the gallery's section of a figure."""
    mine = [
        f"[{notebook}]({up}notebooks/{notebook}.ipynb)"
        for notebook in notebooks.names()
        if f'"{name}"' in _code(notebook)
    ]
    made_by = f" Notebook: {', '.join(mine)}." if mine else ""
    return (
        f"## {FIGURES[name].question['en']}\n\n{_captioned(name, up)}\n\n"
        f"```python\n{_LINES.format(name=name)}```\n\n"
        f"In a shell: `cmhot figure {name}`.{made_by}"
    )


def _code(name: str) -> str:
    """Give the code of a notebook."""
    cells = json.loads(notebooks.find(name).read_bytes())["cells"]
    return "\n".join(
        "".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"
    )


def mend(app: Sphinx, error: Exception | None) -> None:
    """Make pages usable without a mouse or eyes where theme and Sphinx forget it.

    Code that is wider than a phone can be scrolled with a keyboard, captions of the
    list of pages have a level, and the two lists beside a page have names.
    """
    if error is None:
        for path in Path(app.outdir).rglob("*.html"):
            text = path.read_text(encoding="utf-8")
            for wanting, mended in _MENDED.items():
                text = text.replace(wanting, mended)
            path.write_text(text, encoding="utf-8")
