"""Notebooks and the report, executed in a real kernel on the model."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from cmhot import notebooks
from cmhot.errors import CheckError, NotFoundError, RunError, UsageError
from cmhot.report.make import report
from cmhot.runs.rundir import read_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.notebook

SMALL = {"target": "model", "pods": 4, "duration_s": 60.0}
FETCHES = re.compile(r"""(?:src|href)=["']?(?!data:|#)[a-z]+:""")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Make one small report; give its page and what was said."""
    said: list[str] = []
    out = tmp_path_factory.mktemp("it's {a} report") / "reports"
    page = report(
        target="model", pods=4, duration_s=60.0, out=out, report_line=said.append
    )
    return page, said


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


def test_report_is_complete(made: tuple[Path, list[str]]) -> None:
    """A report has its page, figures, numbers, executed notebooks and raw data."""
    page, said = made
    folder = page.parent
    run_id = folder.name
    found = {str(file.relative_to(folder)) for file in folder.rglob("*.*")}

    assert page.name == "index.html"
    assert {
        "figures/delay-distribution.svg",
        "figures/delay-distribution.png",
        "numbers.json",
        "notebooks/02-collect.html",
        "notebooks/02-collect.ipynb",
        "notebooks/03-delay-distribution.html",
        f"runs/{run_id}/run.json",
        f"runs/{run_id}/delays.parquet",
    } <= found
    assert "ready in about 30 s" in said[0]


def test_report_says_modelled_everywhere(made: tuple[Path, list[str]]) -> None:
    """Headline, figure, table and numbers from the model say so."""
    folder = made[0].parent
    page = made[0].read_text()
    numbers = json.loads((folder / "numbers.json").read_text())

    assert '<h1 class="modelled">Modelled, not measured: ' in page
    assert "Modelled, not measured: delay from" in page
    assert re.search('alt="Line chart, modelled: ', page)
    svg = (folder / "figures" / "delay-distribution.svg").read_text()
    assert "modelled, not measured" in svg
    assert numbers["modelled"] is True
    assert numbers["headline"].startswith("Modelled, not measured: ")


def test_report_numbers_agree(made: tuple[Path, list[str]]) -> None:
    """The numbers in headline, alternative text and file are the same."""
    page, _ = made
    numbers = json.loads((page.parent / "numbers.json").read_text())
    (own,) = [
        one
        for one in numbers["settings"]
        if (one["sync_frequency_s"], one["strategy"]) == (10.0, "Watch")
    ]

    assert f"{own['p95_s']:.1f} s at 10 s" in numbers["headline"]
    alt = numbers["figures"]["delay-distribution"]["alt"]
    assert f"10 s, Watch: half by {own['p50_s']:.1f} s, 95 % by" in alt
    assert own["pods"] == 4


def test_pages_fetch_nothing(made: tuple[Path, list[str]]) -> None:
    """No page of a report asks for anything from elsewhere."""
    pages = list(made[0].parent.rglob("*.html"))

    assert len(pages) == 3
    for page in pages:
        text = page.read_text()
        assert FETCHES.findall(text) == []
        assert "<script" not in text


def test_links_of_the_page_lead_somewhere(made: tuple[Path, list[str]]) -> None:
    """Every link is relative, and what it names is there."""
    page, _ = made
    links = re.findall('<a href="([^"]+)"', page.read_text())

    assert len(links) >= 8
    assert [link for link in links if not (page.parent / link).is_file()] == []


def test_report_of_an_existing_run(
    made: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """An existing run is not measured again; the report takes a copy of it."""
    run = next((made[0].parent / "runs").iterdir())

    page = report(runs=[run], out=tmp_path)

    assert page == tmp_path / run.name / "index.html"
    assert not (page.parent / "notebooks" / "02-collect.ipynb").exists()
    copy = page.parent / "runs" / run.name / "publications.jsonl"
    assert copy.read_bytes() == (run / "publications.jsonl").read_bytes()


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


def test_failing_notebook_leaves_the_page(
    notebook: Callable[..., Path],
    made: tuple[Path, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When a notebook fails, the page is written, shows it, and the exit code is 1."""
    run = next((made[0].parent / "runs").iterdir())
    notebook(
        "runs: list[str] = []  # runs\nfigures_out: str = ''  # folder",
        "assert False, 'the law does not hold'",
        name="03-delay-distribution",
    )
    monkeypatch.setattr(notebooks, "_FOLDERS", (tmp_path,))

    with pytest.raises(CheckError, match="the law does not hold") as caught:
        report(runs=[run], out=tmp_path / "reports")

    page = tmp_path / "reports" / run.name / "index.html"
    assert caught.value.exit_code == 1
    assert "the law does not hold" in page.read_text()
    assert "notebooks/03-delay-distribution.html" in page.read_text()
    assert "The numbers" in page.read_text()


def test_interrupted_report_keeps_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Ctrl-C what was collected stays, and the user is told where."""
    said: list[str] = []

    def interrupted(_name: str, values: dict[str, Path | str], **_: object) -> None:
        (tmp_path / values["out"] / str(values["run_id"])).mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(notebooks, "execute", interrupted)

    with pytest.raises(KeyboardInterrupt):
        report(target="model", out=tmp_path / "reports", report_line=said.append)

    (run,) = (tmp_path / "reports").glob("*/runs/*")
    assert f"`cmhot report --run {run}` makes a page of it" in said[-1]


def test_wrong_use_found_late_leaves_nothing(tmp_path: Path) -> None:
    """What only the notebook can find out is wrong use all the same."""
    with pytest.raises(NotFoundError, match="namespaces/none") as caught:
        report(target="model", namespace="none", out=tmp_path / "a" / "b")

    assert caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"target": None}, "no target is given"),
        ({"target": "moon"}, "unknown target"),
        ({"profile": "huge"}, "unknown profile 'huge': there are quick, full"),
        ({"pods": 0}, "0 pods cannot measure"),
        ({"duration_s": -1.0}, "is empty"),
    ],
    ids=["no-target", "unknown-target", "profile", "pods", "duration"],
)
def test_wrong_use_makes_nothing(
    values: dict[str, object], message: str, tmp_path: Path
) -> None:
    """A plan that cannot be is refused before anything is made."""
    with pytest.raises(UsageError, match=message):
        report(**{"target": "model", "out": tmp_path / "new"} | values)  # type: ignore[arg-type]

    assert not (tmp_path / "new").exists()


def test_unwritable_folder_is_wrong_use(tmp_path: Path) -> None:
    """Where no folder can be made, none is left."""
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="choose a writable folder with --out"):
        report(target="model", out=tmp_path / "file")

    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_missing_run_is_an_error(tmp_path: Path) -> None:
    """A path that is no run makes no report."""
    with pytest.raises(RunError, match="is no run directory"):
        report(runs=[tmp_path / "none"], out=tmp_path / "new")

    assert not (tmp_path / "new").exists()
