"""The report, its notebooks executed in real kernels on the model."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest

from cmhot.collector.begin import collect
from cmhot.errors import CheckError, NotFoundError, RunError, UsageError
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.report import notebooks
from cmhot.report.make import (
    ReportProgress,
    make_report,
    report_on_runs,
    resume_report,
    target_of,
)
from cmhot.report.steps import COLLECT, Order
from cmhot.runs.plan import Plan
from tests.unit.collector.test_collect import Foreign

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.notebook

SMALL = Order(target="model", pods=10, duration_s=240.0)
"""Enough for what the notebooks assert of their figures; virtual time."""
FETCHES = re.compile(r"""(?:src|href)=["']?(?!data:|#)[a-z]+:""")
QUICK = [
    "00-start-here",
    "02-collect",
    "03-delay-distribution",
    "04-sync-frequency",
    "05-change-detection",
    "07-whole-fleet",
    "09-how-to-measure-it-wrong",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Make one small report; give its page and what was said."""
    said: list[str] = []
    out = tmp_path_factory.mktemp("it's {a} report") / "reports"
    page = make_report(SMALL, out=out, progress=ReportProgress(said.append))
    return page, said


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have notebooks of the given code instead of ours, beside our collection."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    ours = notebooks.find(COLLECT).read_bytes()
    (folder / f"{COLLECT}.ipynb").write_bytes(ours)
    monkeypatch.setattr(notebooks, "_FOLDERS", (folder,))

    def write(name: str, *sources: str) -> None:
        content: dict[str, Any] = json.loads(ours)
        heading = {"id": "a", "cell_type": "markdown", "metadata": {}}
        content["cells"] = [heading | {"source": f"# About {name}"}] + [
            {
                "id": f"cell-{number}",
                "cell_type": "code",
                "execution_count": None,
                "outputs": [],
                "metadata": {} if number else {"tags": ["parameters"]},
                "source": source,
            }
            for number, source in enumerate(sources)
        ]
        path = folder / f"{name}.ipynb"
        path.write_text(json.dumps(content), encoding="utf-8")

    return write


RUNS = "runs: list[str] = []  # runs\nfigures_out: str = ''  # folder"


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
        *(f"notebooks/{name}.{end}" for name in QUICK for end in ("html", "ipynb")),
        f"runs/{run_id}/run.json",
        f"runs/{run_id}/delays.parquet",
    } <= found
    assert "ready in about 42 s" in said[1]
    assert said[-1].startswith("notebook 7 of 7, 09-how-to-measure-it-wrong (How")


def test_report_says_modelled_everywhere(made: tuple[Path, list[str]]) -> None:
    """Headline, figures, table and numbers from the model say so."""
    folder = made[0].parent
    page = made[0].read_text()
    numbers = json.loads((folder / "numbers.json").read_text())

    assert '<h1 class="modelled">Modelled, not measured: ' in page
    assert "Modelled, not measured: delay from" in page
    assert numbers["modelled"] is True
    assert numbers["headline"].startswith("Modelled, not measured: ")
    for name, figure in numbers["figures"].items():
        assert figure["modelled"] is True
        svg = (folder / "figures" / f"{name}.svg").read_text()
        assert "modelled, not measured" in svg


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
    assert own["pods"] == 10


def test_each_figure_has_its_words(made: tuple[Path, list[str]]) -> None:
    """All figures of the notebooks are on the page, each with its own paragraph."""
    html = unescape(made[0].read_text()).replace("\N{NO-BREAK SPACE}", " ")
    numbers = json.loads((made[0].parent / "numbers.json").read_text())
    figures = numbers["figures"]

    assert next(iter(figures)) == "delay-distribution"
    assert {"sync-frequency", "collapse", "change-detection", "fleet"} <= set(figures)
    assert html.count("<img ") == len(figures)
    places = [html.index(f">{one['title']}</h2>") for one in figures.values()]
    assert places == sorted(places)
    assert len({one["paragraph"] for one in figures.values()}) == len(figures)


def test_what_was_left_out_is_said(made: tuple[Path, list[str]]) -> None:
    """The page names each notebook that was not executed, and why."""
    html = made[0].read_text()
    limits = html[html.index("What was not measured</h2>") :]

    for name in ("01-environment-or-volume", "06-force-it", "08-what-updates"):
        assert f"({name}): " in limits


def test_pages_fetch_nothing(made: tuple[Path, list[str]]) -> None:
    """No page of a report asks for anything from elsewhere."""
    pages = list(made[0].parent.rglob("*.html"))

    assert len(pages) == 1 + len(QUICK)
    for page in pages:
        text = page.read_text()
        assert FETCHES.findall(text) == []
        assert "<script" not in text


def test_links_of_the_page_lead_somewhere(made: tuple[Path, list[str]]) -> None:
    """Every link is relative, and what it names is there."""
    page, _ = made
    html = page.read_text()
    links = re.findall('<a href="([^"#]+)"', html)
    anchors = re.findall('<a href="#([^"]+)"', html)

    assert len(links) >= 20
    assert [link for link in links if not (page.parent / link).is_file()] == []
    assert [one for one in anchors if f'id="{one}"' not in html] == []


def test_a_finished_report_needs_nothing(made: tuple[Path, list[str]]) -> None:
    """Resumed, it executes no notebook, asks no cluster, and writes the same page."""
    page, _ = made
    said: list[str] = []
    executed = {file: file.stat().st_mtime_ns for file in page.parent.rglob("*.ipynb")}
    before = re.sub("made [^<]* UTC", "", page.read_text())

    again = resume_report(page.parent, progress=ReportProgress(said.append))

    assert target_of(page.parent) is None
    assert said == ["7 of 7 notebooks are done, so only the page is written"]
    assert {file: file.stat().st_mtime_ns for file in executed} == executed
    assert re.sub("made [^<]* UTC", "", again.read_text()) == before


def test_report_of_an_existing_run(
    made: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """An existing run is not measured again; the report takes a copy of it."""
    run = made[0].parent / "runs" / made[0].parent.name

    page = report_on_runs([run], out=tmp_path)

    assert page == tmp_path / run.name / "index.html"
    executed = {file.stem for file in (page.parent / "notebooks").glob("*.ipynb")}
    assert executed == {
        "03-delay-distribution",
        "04-sync-frequency",
        "05-change-detection",
        "07-whole-fleet",
        "09-how-to-measure-it-wrong",
    }
    copy = page.parent / "runs" / run.name / "publications.jsonl"
    assert copy.read_bytes() == (run / "publications.jsonl").read_bytes()


def test_report_of_kubelets_without_a_known_law(tmp_path: Path) -> None:
    """Each notebook is executed, or says what it lacks; no law is on the page."""
    settings = (Setting(5), Setting(10), Setting(10, Strategy.CACHE, 15))
    plan = Plan(pods=10, duration_s=240, seed=7)
    run = collect(Foreign(settings), plan, out=tmp_path / "runs")

    page = report_on_runs([run], out=tmp_path / "reports")

    html = unescape(page.read_text()).replace("\N{NO-BREAK SPACE}", " ")
    numbers = json.loads((page.parent / "numbers.json").read_text())
    assert "failed" not in html
    assert "v1.11.0-vk" in html
    assert [own["law"]["mean_s"] for own in numbers["settings"]] == [None] * 3
    assert 'scope="row">law<' not in html
    assert "delay-distribution" in numbers["figures"]


def test_the_users_matplotlib_changes_no_report(
    made: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a backend that is none, nor what stands in the working directory."""
    run = made[0].parent / "runs" / made[0].parent.name
    folder = tmp_path / "notebooks"
    folder.mkdir()
    name = "03-delay-distribution"
    for one in (COLLECT, name):
        (folder / f"{one}.ipynb").write_bytes(notebooks.find(one).read_bytes())
    monkeypatch.setattr(notebooks, "_FOLDERS", (folder,))
    here = tmp_path / "here"
    here.mkdir()
    wild = "backend: TkAgg\ntext.usetex: True\nsavefig.transparent: True\n"
    (here / "matplotlibrc").write_text(f"{wild}savefig.bbox: tight\n")
    monkeypatch.chdir(here)
    monkeypatch.setenv("MPLBACKEND", "nonsense")
    monkeypatch.setenv("MATPLOTLIBRC", str(here))

    page = report_on_runs([run], out=tmp_path / "reports")

    assert list(here.iterdir()) == [here / "matplotlibrc"]
    figures = sorted((page.parent / "figures").glob("delay-distribution*.[sp]*g"))
    assert len(figures) == 3
    for figure in figures:
        plain = made[0].parent / "figures" / figure.name
        assert figure.read_bytes() == plain.read_bytes()
    assert shown(page.parent, name) == shown(made[0].parent, name) != []


def shown(folder: Path, name: str) -> list[str]:
    """List the pictures in an executed notebook of a report."""
    cells = json.loads((folder / "notebooks" / f"{name}.ipynb").read_text())["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    return [
        content
        for output in outputs
        for kind, content in output.get("data", {}).items()
        if kind.startswith("image/")
    ]


def test_one_failed_notebook_stops_nobody(
    made: tuple[Path, list[str]], tmp_path: Path, made_up: Callable[..., None]
) -> None:
    """The page is written, shows the error, and the exit code is 1; mended, it is 0."""
    run = made[0].parent / "runs" / made[0].parent.name
    made_up("03-a", RUNS, "assert False, 'the law does not hold'")
    made_up("04-b", RUNS, "print('went on')")
    made_up(
        "05-c", RUNS, "from cmhot.errors import UsageError\nraise UsageError('one')"
    )

    with pytest.raises(CheckError, match="the law does not hold") as caught:
        report_on_runs([run], out=tmp_path / "reports")

    folder = tmp_path / "reports" / run.name
    html = (folder / "index.html").read_text()
    assert caught.value.exit_code == 1
    assert "Notebook 03-a failed: AssertionError: the law does not hold" in html
    assert '<a href="notebooks/03-a.html">' in html
    assert "About 05-c (05-c): one." in html
    assert "The numbers" in html
    assert "went on" in (folder / "notebooks" / "04-b.ipynb").read_text()
    before = (folder / "notebooks" / "04-b.ipynb").stat().st_mtime_ns

    made_up("03-a", RUNS, "print('mended')")
    page = resume_report(folder)

    assert "failed" not in page.read_text()
    assert (folder / "notebooks" / "04-b.ipynb").stat().st_mtime_ns == before


def test_interrupted_report_keeps_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Ctrl-C what was collected stays, and the user is told how to go on."""
    said: list[str] = []

    def interrupted(name: str, values: dict[str, Any], **_: object) -> None:
        if name == COLLECT:
            run = tmp_path / values["out"] / values["run_id"]
            run.mkdir()
            (run / "updates.jsonl").write_text("{}\n")
            raise KeyboardInterrupt

    monkeypatch.setattr(notebooks, "execute", interrupted)

    with pytest.raises(KeyboardInterrupt):
        make_report(
            SMALL, out=tmp_path / "reports", progress=ReportProgress(said.append)
        )

    (run,) = (tmp_path / "reports").glob("*/runs/*")
    assert f"`cmhot report --run {run}` makes a page of it" in said[-2]
    assert said[-1].startswith(f"`cmhot report --resume {run.parents[1]}` executes")


def test_wrong_use_found_late_leaves_nothing(tmp_path: Path) -> None:
    """What only the first notebook can find out is wrong use all the same."""
    with pytest.raises(NotFoundError, match="namespaces/none") as caught:
        make_report(replace(SMALL, namespace="none"), out=tmp_path / "a" / "b")

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
    values: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """A plan that cannot be is refused before anything is made."""
    with pytest.raises(UsageError, match=message):
        make_report(replace(Order(target="model"), **values), out=tmp_path / "new")

    assert not (tmp_path / "new").exists()


def test_unwritable_folder_is_wrong_use(tmp_path: Path) -> None:
    """Where no folder can be made, none is left."""
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="choose a writable folder with --out"):
        make_report(SMALL, out=tmp_path / "file")

    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_missing_run_is_an_error(tmp_path: Path) -> None:
    """A path that is no run makes no report."""
    with pytest.raises(RunError, match="is no run directory"):
        report_on_runs([tmp_path / "none"], out=tmp_path / "new")

    assert not (tmp_path / "new").exists()
