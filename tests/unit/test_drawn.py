"""The figures of a report are found, put in order, and missed where spoilt."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cmhot.report.sections import find_drawn

if TYPE_CHECKING:
    from pathlib import Path

WORDS = ("title", "alt", "caption", "paragraph")


def draw(folder: Path, name: str, *, narrow: bool = False, **less: None) -> None:
    """Leave a figure's files, without the keys that are given as None."""
    content = {key: f"{key} of {name}" for key in WORDS}
    whole = {"name": name, **content, "modelled": True, "numbers": {"n": 1}}
    kept = {key: value for key, value in whole.items() if key not in less}
    (folder / f"{name}.json").write_text(json.dumps(kept))
    for suffix in (".svg", ".png", *(["-narrow.svg"] if narrow else [])):
        (folder / f"{name}{suffix}").write_text("<svg/>")


def test_the_headlines_figure_comes_first(tmp_path: Path) -> None:
    """Then those of the notebooks in their order, then what nobody claims."""
    for name in ("a-new-one", "collapse", "timeline", "delay-distribution"):
        draw(tmp_path, name)

    drawn, spoilt = find_drawn(tmp_path, order=["timeline", "collapse", "gone"])

    names = [one.name for one in drawn]
    assert names == ["delay-distribution", "timeline", "collapse", "a-new-one"]
    assert spoilt == []


def test_words_numbers_and_files_are_read(tmp_path: Path) -> None:
    """A figure has what its JSON says, and the files that are there."""
    draw(tmp_path, "fleet", narrow=True)
    (tmp_path / "fleet.png").unlink()

    (one,) = find_drawn(tmp_path, order=[])[0]

    assert (one.title, one.alt) == ("title of fleet", "alt of fleet")
    assert (one.modelled, one.numbers) == (True, {"n": 1})
    assert one.narrow == tmp_path / "fleet-narrow.svg"
    assert list(one.files) == ["SVG", "numbers"]


def test_a_spoilt_figure_is_told(tmp_path: Path) -> None:
    """One without words or without its drawing stops no other."""
    draw(tmp_path, "fleet", alt=None)
    draw(tmp_path, "phase")
    (tmp_path / "phase.svg").unlink()
    draw(tmp_path, "timeline")

    drawn, spoilt = find_drawn(tmp_path, order=[])

    assert [one.name for one in drawn] == ["timeline"]
    assert "Figure fleet cannot be shown" in spoilt[0]
    assert "'alt'" in spoilt[0]
    assert "Figure phase cannot be shown" in spoilt[1]
