"""A figure for a blog: its width, its snippet, and the data that come with cmhot."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest

from cmhot.errors import UsageError
from cmhot.plots.figure import FOLDER, Material, Source, shipped, shipped_runs
from cmhot.plots.publishing import named, publish, render
from cmhot.statistics.summarise import summarise

if TYPE_CHECKING:
    from tests.unit.conftest import SimulateRun

DATA = Path(__file__).parents[3] / "data"
TRIALS = pd.DataFrame(
    {
        "method": ["annotate"],
        "seconds": [0.5],
        "restarted": [0],
        "min_ready_share": [1.0],
        "requests": [50],
    }
)


@pytest.fixture
def material() -> Material:
    """Give one trial of one remedy, whose source wants to be Markdown."""
    source = Source(kubelets=("v1.37.1",), setting="60 s, [Watch]_*")
    return Material(table=TRIALS, given=source)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("my figure.png", "my%20figure.png"),
        ("delay (1).svg", "delay%20%281%29.svg"),
        ("100%.png", "100%25.png"),
        ("a#b.svg", "a%23b.svg"),
        ("延迟.svg", "延迟.svg"),
        ("-x.svg", "-x.svg"),
    ],
)
def test_a_snippet_links_its_picture(
    material: Material, tmp_path: Path, name: str, address: str
) -> None:
    """Markdown ends an address at a space, and a browser at a number sign."""
    found = render("remedies", material, picture=tmp_path / name)

    assert f"]({address})\n" in found.snippet.read_text(encoding="utf-8")


SETTINGS: dict[str, Any] = {
    "text.usetex": True,
    "savefig.bbox": "tight",
    "savefig.transparent": True,
    "path.sketch": (1, 100, 2),
    "lines.linewidth": 6,
    "axes.xmargin": 0.4,
    "xtick.direction": "in",
    "xtick.minor.visible": True,
    "figure.autolayout": True,
    "figure.dpi": 50,
    "text.antialiased": False,
    "text.parse_math": False,
    "path.effects": ["withStroke"],
    "axes.formatter.use_locale": True,
    "font.weight": "bold",
}


@pytest.mark.parametrize("form", ["svg", "png"])
def test_the_users_settings_change_no_figure(
    material: Material, tmp_path: Path, form: str
) -> None:
    """The same data give the same bytes, and LaTeX is not asked for."""
    plain = render("remedies", material, picture=tmp_path / f"plain.{form}").picture

    with mpl.rc_context():
        params: dict[str, Any] = mpl.rcParams  # type: ignore[assignment] # it is one
        dict.update(params, SETTINGS)  # also what no matplotlibrc may hold
        own = render("remedies", material, picture=tmp_path / f"own.{form}").picture

    assert own.read_bytes() == plain.read_bytes()


def test_the_users_pyplot_is_left_alone(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is a window asked for, nor another figure the current one."""
    own, _ = plt.subplots()
    before = dict(mpl.rcParams)
    monkeypatch.setattr(plt, "switch_backend", None)

    render("remedies", material, picture=tmp_path / "r.svg")
    publish("remedies", out=tmp_path, table=TRIALS, source=material.given)

    assert plt.get_fignums() == [own.number]
    assert plt.gcf() is own
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("width", [320, 800, 1600])
def test_a_png_is_as_wide_as_asked(
    material: Material, tmp_path: Path, width: int
) -> None:
    """The picture has that many pixels; one of 1600 has the form of one of 960."""
    found = render("remedies", material, picture=tmp_path / "r.png", width=width)

    size = struct.unpack(">II", found.picture.read_bytes()[16:24])
    high = {320: 366, 800: 450, 1600: 900}[width]  # 4.2 to 4.8, and 16 to 9
    assert size[0] == width
    assert abs(size[1] - high) <= 1  # a part of a pixel


def test_an_svg_is_as_wide_as_asked_and_has_words(
    material: Material, tmp_path: Path
) -> None:
    """Its width is in pixels of CSS, and it names and describes itself."""
    found = render("remedies", material, picture=tmp_path / "r.svg", width=1600)

    text = found.picture.read_text()
    root = re.search(r"<svg [^>]*>", text)
    assert root is not None
    assert 'role="img"' in root[0]
    assert 'width="1600"' in root[0]
    assert "<title>What forces an update" in text
    assert re.search(r"<desc>Point chart.*0\.5 s\.</desc>", text)


def test_the_same_data_give_the_same_bytes(material: Material, tmp_path: Path) -> None:
    """Neither picture holds a date or anything else that changes."""
    for form in ("svg", "png"):
        first, second = (
            render("remedies", material, picture=tmp_path / f"{name}.{form}")
            for name in "ab"
        )
        assert first.picture.read_bytes() == second.picture.read_bytes()


def test_a_snippet_can_be_pasted(material: Material, tmp_path: Path) -> None:
    """It has the image with its words, title, caption, source and licence, escaped."""
    found = render("remedies", material, picture=tmp_path / "my.svg", licence="CC0")
    text = found.snippet.read_text()
    said = json.loads(found.numbers.read_text())

    assert text.startswith("![Point chart on a log scale")
    assert "](my.svg)\n" in text
    assert "60 s, \\[Watch\\]\\_\\*" in text
    assert text.endswith(
        "Source: [cmhot](https://github.com/cmhot/cmhot). Licence: CC0.\n"
    )
    assert (said["lang"], said["licence"]) == ("en", "CC0")


def test_a_snippet_in_chinese_has_its_licence(
    simulate_run: SimulateRun, tmp_path: Path
) -> None:
    """The licence line links CC BY 4.0 and names the run."""
    run = simulate_run("r7", window_s=60, modelled=False)
    material = Material(paths=(run.path,))

    found = render("collapse", material, picture=tmp_path / "c.svg", lang="zh")

    assert found.snippet.read_text().splitlines()[-1] == (
        "\u6765\u6e90\uff1a[cmhot](https://github.com/cmhot/cmhot)\uff0crun r7\u3002"
        "\u8bb8\u53ef\uff1a[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/)\u3002"
    )


@pytest.mark.parametrize(
    ("picture", "width", "says"),
    [("r.gif", 800, r"\.svg or \.png"), ("r.svg", 100, "320 to 4000 pixels")],
)
def test_what_cannot_be_drawn_is_refused(
    material: Material, tmp_path: Path, picture: str, width: int, says: str
) -> None:
    """Another format, or a width that nobody can read, is wrong use."""
    with pytest.raises(UsageError, match=says):
        render("remedies", material, picture=tmp_path / picture, width=width)


def test_a_folder_that_cannot_be_written_is_named(
    material: Material, tmp_path: Path
) -> None:
    """Where a file stands in the way the error names the place and the option."""
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match="--out"):
        render("remedies", material, picture=tmp_path / "file" / "r.svg")


def test_shipped_data_are_small_and_the_measured_ones() -> None:
    """At most 300 KB; each setting is summarised as in data/, number by number."""
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 313_000
    of_run = {
        json.loads(file.read_text())["run_id"]: file.parent
        for file in DATA.glob("**/run.json")
    }
    for path in shipped_runs():
        whole = summarise([of_run[path.name]]).to_dict()["settings"]
        shipped_settings = summarise([path]).to_dict()["settings"]

        assert shipped_settings
        assert all(one in whole for one in shipped_settings)


@pytest.mark.parametrize(
    "name", ["timeline", "remedies", "consumers", "environment-or-volume"]
)
def test_shipped_data_are_enough(name: str) -> None:
    """Figures of runs and of tables are told from what comes with the package."""
    material = shipped(name)

    said = named(name).read(material).describe("en")

    assert "Measured: cmhot study of 2026-11, Kubernetes 1." in said.caption
    assert not material.source.modelled
