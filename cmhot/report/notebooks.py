"""The notebooks as functions: found, checked, executed, turned into pages.

The only module that imports papermill, which only warns of a misspelt parameter and
starts whatever kernel a user has registered under a notebook's name. Here a misspelt
parameter is an error, and the kernel is the Python that runs this, without profile or
start-up files, reached through sockets in a folder that only this user may enter.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import papermill
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from papermill.exceptions import PapermillExecutionError

from cmhot.display import visible
from cmhot.errors import CheckError, UsageError
from cmhot.experiments.parameters import check_types, listed
from cmhot.runs import disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType


LONGEST_SOCKET = 100
"""Bytes of a socket's path; Linux allows 107, and a number is added to it.
A longer one (a long TMPDIR) leaves the loopback interface."""
_PACKAGE = Path(__file__).parents[1]
_FOLDERS = (_PACKAGE / "_notebooks", _PACKAGE.parent / "notebooks")
"""The notebooks' folder in an installed wheel, and in a checkout."""
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


class NotebookInfo(NamedTuple):
    """A notebook's own metadata, under ``cmhot``."""

    left_out: Mapping[str, str]
    """Profiles of a report that do not execute it, each with the reason."""
    values: Mapping[str, Mapping[str, Any]]
    """By profile, parameters that differ from its own defaults."""
    waits: Mapping[str, Any]
    """Its waits on a real cluster, in units of `cmhot.report.steps.Pace`;
    ``for_each`` names the parameter that gives their number."""


class NotebookError(CheckError):
    """A notebook failed; its executed copy holds the error.

    `name` and `text` are class and message of the exception in the notebook.
    """

    def __init__(self, message: str, *, name: str, text: str) -> None:
        super().__init__(message)
        self.name, self.text = name, text


class _InterruptedError(Exception):
    """An interrupt came between two cells; no further one is to begin."""


def names() -> list[str]:
    """List the notebooks, in order: such as ``02-collect``."""
    return sorted(path.stem for path in _folder().glob("*.ipynb"))


def find(name: str) -> Path:
    """Return the file of a notebook."""
    if name not in names():
        msg = f"unknown notebook {name!r}: there are {', '.join(names())}"
        raise UsageError(msg)
    return _folder() / f"{name}.ipynb"


def title(name: str) -> str:
    """Return the heading of a notebook, without markup."""
    lines = "".join(_content(name)["cells"][0]["source"]).splitlines()
    return lines[0].lstrip("# ").replace("`", "") if lines else name


def info(name: str) -> NotebookInfo:
    """Read a notebook's own metadata; missing keys are empty."""
    found = _content(name)["metadata"].get("cmhot", {})
    return NotebookInfo(*(found.get(field, {}) for field in NotebookInfo._fields))


def _content(name: str) -> dict[str, Any]:
    return dict(json.loads(find(name).read_bytes()))


def _folder() -> Path:
    return next((path for path in _FOLDERS if path.is_dir()), _FOLDERS[-1])


def parameters(notebook: str | Path) -> dict[str, Parameter]:
    """Read the parameters of a notebook (a name, or any path) from its tagged cell."""
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

    Parameters missing in `values` keep the notebook's defaults; `progress` gets how
    many cells have begun, and how many there are. The executed copy, whose path is
    returned, is in the folder `out`, also after an interrupt.

    Raises
    ------
    UsageError
        For a parameter that the notebook does not have, or a value of another type
        than its annotation, and for an unwritable folder: nothing is executed.
    NotebookError
        When a cell failed, or the kernel died.
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
            raise NotebookError(msg, name=name, text=text) from error
    return saved


def to_html(executed: Path) -> Path:
    """Write an executed notebook as a page beside it; no script, no request."""
    from nbconvert import HTMLExporter  # noqa: PLC0415 - takes half a second

    exporter: Any = HTMLExporter  # it has no types
    body, _ = exporter(raw_template=_TEMPLATE).from_filename(str(executed))
    page = executed.with_suffix(".html")
    disk.replace(page, visible(body).encode())
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
    """Let papermill execute it, with our kernel and our progress."""
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
    return NotebookError(msg, name=error.ename, text=error.evalue)


class _ThisPython(KernelSpecManager):
    """Knows one kernel: the Python that runs this, whatever the name asked for."""

    environ: dict[str, str]

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:  # noqa: ARG002
        # no modules of the working directory, which may be somebody else's
        command = [sys.executable, "-P", "-m", "ipykernel_launcher"]
        bare = ["--IPKernelApp.ignore_cwd=True"]
        bare += ["--IPKernelApp.exec_PYTHONSTARTUP=False"]  # nor of the user
        # an idle kernel is interrupted before it is ended, and would complain of it
        quiet = "--log-level=CRITICAL"
        return KernelSpec(
            argv=[*command, *bare, quiet, "-f", "{connection_file}"],
            display_name="cmhot",
            language="python",
            env=self.environ,
        )


class Kernel:
    """A kernel of this environment, with its sockets and its profile in one folder."""

    def __init__(self, folder: str) -> None:
        self.interrupted = False  # whether an interrupt was passed on to it
        self._folder = folder
        self._manager: AsyncKernelManager | None = None

    def manager_class(self) -> type[AsyncKernelManager]:
        """Return the class of which nbclient makes its manager of this kernel."""
        # the first one is left out by ipykernel where it is the working directory
        searched = [self._folder, str(Path(__file__).parents[2])]
        searched.append(os.environ.get("PYTHONPATH", ""))
        specs = _ThisPython()
        specs.environ = {
            "IPYTHONDIR": self._folder,  # nobody's start-up files
            "PYTHONPATH": os.pathsep.join(filter(None, searched)),
            # the user's may ask for a window, or change figures
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "MATPLOTLIBRC": os.devnull,
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # it would warn about nothing
        }
        connection = str(Path(self._folder, "connection.json"))
        transport, address = "ipc", str(Path(self._folder, "ipc"))
        if len(os.fsencode(address)) > LONGEST_SOCKET:
            transport, address = "tcp", "127.0.0.1"
        kernel = self

        class Manager(AsyncKernelManager):
            def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - nbclient's
                super().__init__(
                    transport=transport,
                    ip=address,
                    connection_file=connection,
                    kernel_spec_manager=specs,
                    **kwargs,
                )
                kernel._manager = self

        return Manager

    def interrupt(self) -> None:
        """Pass an interrupt on to the cell that runs."""
        self.interrupted = True
        provisioner = getattr(self._manager, "provisioner", None)
        group = getattr(provisioner, "pgid", None)
        if group is not None:
            os.killpg(group, signal.SIGINT)


@contextmanager
def interrupts_reach(kernel: Kernel) -> Iterator[None]:
    """Send the first Ctrl-C to the kernel; the second one ends all."""

    def pass_on(_signal: int, _frame: FrameType | None) -> None:
        if kernel.interrupted:
            raise KeyboardInterrupt
        kernel.interrupt()

    if threading.current_thread() is not threading.main_thread():
        yield  # signals arrive elsewhere
        return
    before = signal.signal(signal.SIGINT, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
