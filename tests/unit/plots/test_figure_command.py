"""``cmhot figure`` and ``cmhot export``, as they are typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cmhot.cli import cli
from cmhot.errors import UsageError
from cmhot.plots.publishing import FIGURES

if TYPE_CHECKING:
    from tests.unit.conftest import SimulateRun


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def cmhot(*arguments: str) -> None:
    """Run a command; errors come through as they are raised."""
    cli(arguments, standalone_mode=False)


@pytest.mark.parametrize("arguments", [(), ("--list",), ("headline", "--list")])
def test_without_a_name_it_lists_them(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    """Each name stands with its question; the data that it comes with are named."""
    cmhot("figure", *arguments)

    said = capsys.readouterr().out
    for name, figure in FIGURES.items():
        assert f"  {name} " in said
        assert figure.question["en"] in said
    assert "come with cmhot: cmhot study of 2026-11, Kubernetes 1.37.1." in said


def test_it_writes_three_files_and_prints_them(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a run: picture, numbers and snippet of measured data, in this folder."""
    cmhot("figure", "consumers")

    assert capsys.readouterr().out.splitlines() == [
        *("consumers.svg", "consumers.json", "consumers.md"),
    ]
    assert json.loads((here / "consumers.json").read_text())["modelled"] is False


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (("--format", "png"), "collapse.png"),
        (("--out", "there/mine.png"), "there/mine.png"),
        (("--out", "there"), "there/collapse.svg"),
        (("--out", "2026.11"), "2026.11/collapse.svg"),
    ],
)
def test_a_place_is_a_folder_or_a_file(
    here: Path, simulate_run: SimulateRun, arguments: tuple[str, ...], file: str
) -> None:
    """--out names a folder, or a file by its end; --format says what it is."""
    run = simulate_run("r", window_s=60)

    cmhot("figure", "collapse", "--run", str(run.path), *arguments)

    assert (here / file).is_file()
    assert (here / file).with_suffix(".md").is_file()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--out", "x.svg", "--format", "png"), "x.svg and --format png contradict"),
        (("--out", "x.pdf"), "x.pdf has to end in .svg or .png"),
        (("--out", "x.JPG", "--format", "png"), "x.JPG has to end in .svg or .png"),
        (("--out", "x.SVG"), "x.SVG has to end in .svg or .png"),
    ],
)
def test_a_picture_that_is_not_drawn_is_refused(
    here: Path, arguments: tuple[str, ...], says: str
) -> None:
    """No folder is made that has the name of a picture."""
    with pytest.raises(UsageError, match=says):
        cmhot("figure", "consumers", *arguments)

    assert not list(here.iterdir())


def test_a_folder_may_be_called_as_a_picture(here: Path) -> None:
    """One that is there already is taken as what it is."""
    (here / "x.svg").mkdir()

    cmhot("figure", "consumers", "--out", "x.svg")

    assert (here / "x.svg" / "consumers.svg").is_file()


def test_an_unknown_name_lists_those_there_are(here: Path) -> None:
    """Exit code 2, and the names."""
    with pytest.raises(UsageError, match="delay-distribution") as raised:
        cmhot("figure", "nonsense")

    assert raised.value.exit_code == 2
    assert not list(here.iterdir())


def test_export_says_what_it_is_for(here: Path, simulate_run: SimulateRun) -> None:
    """Without --anonymise it refuses and names the command that copies."""
    run = simulate_run("r", window_s=60)

    with pytest.raises(UsageError, match="cp -r"):
        cmhot("export", str(run.path), "--out", "copy")

    assert not list(here.iterdir())


def test_export_prints_the_copy(
    here: Path, simulate_run: SimulateRun, capsys: pytest.CaptureFixture[str]
) -> None:
    """The copy can be summarised by the command that its help names."""
    run = simulate_run("r", window_s=60)
    cmhot("export", "--anonymise", str(run.path), "--out", "copy")

    assert capsys.readouterr().out == "copy\n"
    assert (here / "copy" / "run.json").is_file()
    cmhot("summarise", "copy")
    assert "10 s, Watch, volume: 8 pods" in capsys.readouterr().out


def test_a_copy_is_never_overwritten(here: Path, simulate_run: SimulateRun) -> None:
    """A folder that exists is refused."""
    run = simulate_run("r", window_s=60)
    (here / "copy").mkdir()

    with pytest.raises(UsageError, match="copy"):
        cmhot("export", "--anonymise", str(run.path), "--out", "copy")


def test_no_backend_of_the_users_is_asked_for(tmp_path: Path) -> None:
    """Nor does one that is none end the program, nor a matplotlibrc of the folder."""
    (tmp_path / "matplotlibrc").write_text("backend: TkAgg\ntext.usetex: True\n")
    command = [sys.executable, "-m", "cmhot", "figure", "remedies"]
    path = str(Path(__file__).parents[3])
    environ = os.environ | {"MPLBACKEND": "nonsense", "PYTHONPATH": path}

    ended = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=tmp_path, env=environ
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "remedies.svg").is_file()
