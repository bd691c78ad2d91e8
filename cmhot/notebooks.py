"""The notebooks as functions: found, checked, executed, turned into pages.

The only module that imports papermill.
papermill only warns of a misspelt parameter, and starts whatever kernel a user
has registered under the notebook's name; here the one is an error,
and the kernel is always this very Python, with a profile of its own.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import papermill
from papermill.exceptions import PapermillExecutionError

from cmhot.errors import CheckError, UsageError
from cmhot.kernels import Kernel, interrupts_reach
from cmhot.parameters import check_types, listed
from cmhot.runs import disk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_PACKAGE = Path(__file__).parent
_FOLDERS = (_PACKAGE / "_notebooks", _PACKAGE.parent / "notebooks")
"""Where they are in an installed wheel, and in a checkout."""

_TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js -%}<link rel="icon" href="data:,">{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
"""
"""JupyterLab's look without its scripts: a page must not fetch from elsewhere."""


class Parameter(NamedTuple):
    """One parameter of a notebook, as its tagged cell declares it."""

    type: str
    default: str
    help: str


class NotebookError(CheckError):
    """A notebook failed; what it had shown until then was saved.

    Attributes
    ----------
    saved
        The executed copy, with the error in it.
    name, text
        Class and message of the exception in the notebook.
    """

    def __init__(self, message: str, *, saved: Path, name: str, text: str) -> None:
        super().__init__(message)
        self.saved, self.name, self.text = saved, name, text


class _InterruptedError(Exception):
    """An interrupt came between two cells; no further one is to begin."""


def names() -> list[str]:
    """List the notebooks, in order: such as ``02-collect``."""
    return sorted(path.stem for path in _folder().glob("*.ipynb"))


def find(name: str) -> Path:
    """Return the file of a notebook.

    Raises
    ------
    UsageError
        For an unknown name; the message lists the known ones.
    """
    if name not in names():
        msg = f"unknown notebook {name!r}: there are {', '.join(names())}"
        raise UsageError(msg)
    return _folder() / f"{name}.ipynb"


def title(name: str) -> str:
    """Return the heading of a notebook, without markup."""
    cells = json.loads(find(name).read_bytes())["cells"]
    lines = "".join(cells[0]["source"]).splitlines()
    return lines[0].lstrip("# ").replace("`", "") if lines else name


def _folder() -> Path:
    return next((path for path in _FOLDERS if path.is_dir()), _FOLDERS[-1])


def parameters(notebook: str | Path) -> dict[str, Parameter]:
    """Read the parameters of a notebook from its tagged cell.

    Parameters
    ----------
    notebook
        A name, or the path of any notebook.
    """
    inspected = papermill.inspect_notebook(_literal(_path(notebook)))
    return {
        name: Parameter(found["inferred_type_name"], found["default"], found["help"])
        for name, found in inspected.items()
    }


def execute(
    notebook: str | Path,
    values: Mapping[str, object],
    *,
    out: Path,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Path:
    """Execute a notebook in a kernel of this environment, saving after each cell.

    Relative paths in `values` are relative to the working directory,
    which the kernel shares. An interrupt reaches the cell that runs, as in
    JupyterLab, so that it can end properly; a second one stops at once.

    Parameters
    ----------
    notebook
        A name, or the path of any notebook.
    values
        By parameter; what is left out keeps the notebook's default.
    out
        Folder of the executed copy; made if it is not there.
    progress
        Told how many cells have begun, and how many there are.

    Returns
    -------
    Path
        The executed copy.

    Raises
    ------
    UsageError
        For a parameter that the notebook does not have, or a value of another type
        than its annotation, and for an unwritable folder: nothing is executed.
    NotebookError
        When a cell failed, or the kernel died.
    KeyboardInterrupt
        After an interrupt; the copy is saved.
    """
    source = _path(notebook)
    known = parameters(source)
    annotations = {name: parameter.type for name, parameter in known.items()}
    check_types(values, annotations, of=f"notebook {source.stem}")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"cannot write to {out}: {error.strerror}; choose another folder"
        raise UsageError(msg) from error
    saved = out / source.name
    plain = {name: _plain(value) for name, value in values.items()}
    with tempfile.TemporaryDirectory(prefix="cmhot-kernel-") as folder:
        try:
            _run(source, saved, plain, Kernel(folder), progress)
        except PapermillExecutionError as error:
            if error.ename == "KeyboardInterrupt":
                raise KeyboardInterrupt from error
            raise _failure(source, saved, error, annotations) from error
        except _InterruptedError as error:
            raise KeyboardInterrupt from error
        except RuntimeError as error:  # of nbclient: no answer, or a dead kernel
            msg = f"the kernel of notebook {source.stem} ended: {error}"
            name, text = type(error).__name__, str(error)
            raise NotebookError(msg, saved=saved, name=name, text=text) from error
    return saved


def to_html(executed: Path) -> Path:
    """Write an executed notebook as a page beside it; no script, no request.

    Returns
    -------
    Path
        ``<executed>.html``.
    """
    from nbconvert import HTMLExporter  # noqa: PLC0415 - takes half a second

    exporter: Any = HTMLExporter  # it has no types
    body, _ = exporter(raw_template=_TEMPLATE).from_filename(str(executed))
    page = executed.with_suffix(".html")
    disk.replace(page, body.encode(errors="replace"))
    return page


def _path(notebook: str | Path) -> Path:
    return notebook if isinstance(notebook, Path) else find(notebook)


def _literal(path: Path) -> str:
    """Keep papermill from filling in the braces of a path."""
    return str(path.resolve()).replace("{", "{{").replace("}", "}}")


def _run(
    source: Path,
    saved: Path,
    values: Mapping[str, object],
    kernel: Kernel,
    progress: Callable[[int, int], None],
) -> None:
    """Let papermill do it, with our kernel and our progress."""
    total = 0

    def count(notebook: Any) -> None:  # noqa: ANN401 - a NotebookNode
        nonlocal total
        total = len(notebook.cells)

    def begin(cell: object, cell_index: int) -> None:  # noqa: ARG001 - by keyword
        if kernel.interrupted:
            raise _InterruptedError
        progress(cell_index + 1, total)

    with interrupts_reach(kernel):
        papermill.execute_notebook(
            _literal(source),
            _literal(saved),
            dict(values),
            kernel_name="python3",
            language="python",
            progress_bar=False,
            kernel_manager_class=kernel.manager_class(),
            coalesce_streams=True,  # of a progress bar only the last state is kept
            on_notebook_start=count,
            on_cell_start=begin,
        )


def _plain(value: object) -> object:
    """Give a value as papermill writes it into the notebook."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _failure(
    source: Path,
    saved: Path,
    error: PapermillExecutionError,
    annotations: Mapping[str, str],
) -> NotebookError:
    what = f"{error.ename}: {error.evalue}".strip(": ").splitlines()[-1]
    if error.ename == UsageError.__name__:  # as a rule of a value that cannot be
        what += f"; the notebook's parameters are {listed(annotations)}"
    msg = (
        f"notebook {source.stem} failed in cell {error.exec_count}: {what} "
        f"(the executed copy is {saved})"
    )
    return NotebookError(msg, saved=saved, name=error.ename, text=error.evalue)
