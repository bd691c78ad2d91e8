"""Notebooks, executed in a real kernel on the model."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from cmhot.errors import CheckError
from cmhot.report import notebooks
from cmhot.runs.rundir import read_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.notebook

SMALL = {"target": "model", "pods": 4, "duration_s": 60.0}


@pytest.fixture
def notebook(tmp_path: Path) -> Callable[..., Path]:
    """Write a notebook of the given code cells, the first with its parameters."""

    def write(*sources: str, name: str = "09-made-up") -> Path:
        content = json.loads(notebooks.find("03-delay-distribution").read_bytes())
        empty: dict[str, object] = {
            "cell_type": "code",
            "execution_count": None,
            "outputs": [],
        }
        content["cells"] = [
            empty
            | {
                "id": f"cell-{number}",
                "metadata": {} if number else {"tags": ["parameters"]},
                "source": source,
            }
            for number, source in enumerate(sources)
        ]
        path = tmp_path / f"{name}.ipynb"
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write


def test_collected_run_obeys_its_parameters(tmp_path: Path) -> None:
    """What the notebook was told is what it did; progress counts its cells."""
    seen: list[tuple[int, int]] = []
    values = SMALL | {"out": tmp_path / "runs", "run_id": "mine", "seed": 7}

    saved = notebooks.execute(
        "02-collect",
        values,
        out=tmp_path,
        progress=lambda begun, total: seen.append((begun, total)),
    )

    run = read_run(tmp_path / "runs" / "mine")
    assert (run.meta["seed"], run.meta["plan"]["pods"]) == (7, 4)
    assert saved == tmp_path / "02-collect.ipynb"
    assert seen[0] == (1, seen[0][1])
    assert seen[-1][0] == seen[-1][1]


def test_failing_cell(notebook: Callable[..., Path], tmp_path: Path) -> None:
    """A failed cell is named with its exception; what there was is saved."""
    made_up = notebook("a: int = 1  # one", "print('before')", "assert a == 2, 'not 2'")

    with pytest.raises(CheckError, match=r"09-made-up failed in cell \d: .*not 2"):
        notebooks.execute(made_up, {}, out=tmp_path / "out")

    saved = (tmp_path / "out" / "09-made-up.ipynb").read_text()
    assert "before" in saved
    assert "AssertionError" in saved


def test_interrupt_reaches_the_cell(
    notebook: Callable[..., Path], tmp_path: Path
) -> None:
    """Ctrl-C lets the cell end properly, is raised here, and no cell follows."""
    made_up = notebook(
        f"folder: str = {str(tmp_path)!r}  # where",
        "import time\nfrom pathlib import Path\n"
        "try:\n    time.sleep(60)\nfinally:\n"
        "    Path(folder, 'closed').write_text('')",
        "Path(folder, 'went on').write_text('')",
    )

    def begun(cell: int, _total: int) -> None:
        if cell == 2:  # the cell that sleeps; the kernel has it a moment later
            timer = threading.Timer(1.0, os.kill, [os.getpid(), signal.SIGINT])
            timer.daemon = True
            timer.start()

    with pytest.raises(KeyboardInterrupt):
        notebooks.execute(made_up, {}, out=tmp_path / "out", progress=begun)

    assert (tmp_path / "closed").exists()
    assert not (tmp_path / "went on").exists()
    assert (tmp_path / "out" / "09-made-up.ipynb").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_kernel_runs_nobody_elses_code(
    notebook: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Modules of the working directory, and a start-up file, are not loaded.

    `cmhot` is found all the same, and files are relative to the working directory.
    """
    work = tmp_path / "work"
    work.mkdir()
    for name in ("pandas", "ipykernel_launcher", "startup"):
        (work / f"{name}.py").write_text(
            "import pathlib\n"
            f"pathlib.Path({str(tmp_path / 'loaded')!r}).write_text({name!r})\n"
        )
    monkeypatch.chdir(work)
    monkeypatch.setenv("PYTHONSTARTUP", str(work / "startup.py"))
    made_up = notebook(
        "a: int = 1  # one",
        "import os, sys\nimport pandas, cmhot\n"
        "print(pandas.__version__, cmhot.__version__, os.getcwd(), '' in sys.path)",
    )

    saved = notebooks.execute(made_up, {}, out=tmp_path / "out")

    printed = json.loads(saved.read_text())["cells"][-1]["outputs"][0]["text"]
    assert "".join(printed).split()[2:] == [str(work), "False"]
    assert not (tmp_path / "loaded").exists()


def test_kernel_is_this_python(notebook: Callable[..., Path], tmp_path: Path) -> None:
    """The kernel is this environment's, without a user's profile, off the network."""
    made_up = notebook(
        "a: int = 1  # one",
        "import os, sys\nimport cmhot\n"
        "from ipykernel.connect import get_connection_info\n"
        "info = get_connection_info(unpack=True)\n"
        "print(sys.prefix, os.environ['IPYTHONDIR'], info['transport'])",
    )

    saved = notebooks.execute(made_up, {}, out=tmp_path / "out")

    printed = json.loads(saved.read_text())["cells"][-1]["outputs"][0]["text"]
    prefix, profile, transport = "".join(printed).split()
    assert prefix == sys.prefix
    assert "cmhot-kernel-" in profile
    assert transport == "ipc"
