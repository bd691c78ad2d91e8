"""What a report says: sentences with the run's numbers, and the figures there are."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cmhot.plots.words import listing
from cmhot.report.page import Notice
from cmhot.report.sections import (
    Report,
    compose,
    find_figures,
    headline,
    not_measured,
)
from cmhot.statistics.summarise import summarise

if TYPE_CHECKING:
    from pathlib import Path

    from cmhot.statistics.summary import Summary
    from tests.unit.conftest import SimulateRun

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

    drawn, spoilt = find_figures(tmp_path, order=["timeline", "collapse", "gone"])

    names = [one.name for one in drawn]
    assert names == ["delay-distribution", "timeline", "collapse", "a-new-one"]
    assert spoilt == []


def test_words_numbers_and_files_are_read(tmp_path: Path) -> None:
    """A figure has what its JSON says, and the files that are there."""
    draw(tmp_path, "fleet", narrow=True)
    (tmp_path / "fleet.png").unlink()

    (one,) = find_figures(tmp_path, order=[])[0]

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

    drawn, spoilt = find_figures(tmp_path, order=[])

    assert [one.name for one in drawn] == ["timeline"]
    assert "Figure fleet cannot be shown" in spoilt[0]
    assert "'alt'" in spoilt[0]
    assert "Figure phase cannot be shown" in spoilt[1]


SETTINGS = ("sync=5s", "sync=10s", "sync=10s,strategy=Get")


@pytest.fixture
def measured(simulate_run: SimulateRun) -> Summary:
    """Give a summary of three settings that counts as measured."""
    run = simulate_run("r", settings=SETTINGS, modelled=False)
    return summarise([run.path])


@pytest.fixture
def modelled(simulate_run: SimulateRun) -> Summary:
    """Give a summary of one modelled setting."""
    return summarise([simulate_run("m").path])


def p95(summary: Summary, number: int) -> str:
    """Give a setting's 95 % point as the sentences have it."""
    return f"{summary.settings[number].direct['p95_s']:.1f} s"


def test_headline_of_a_measurement(measured: Summary) -> None:
    """The headline has each Watch setting's 95 % point, and the kubelet's version."""
    five, ten = p95(measured, 0), p95(measured, 2)

    assert headline(measured, kubelets=["v1.37.1"]) == (
        f"A changed ConfigMap reached 95 % of the pods that mount it within {five} at "
        f"a syncFrequency of 5 s and {ten} at 10 s (Watch, kubelet v1.37.1)."
    )


def test_headline_begins_with_the_default(simulate_run: SimulateRun) -> None:
    """Where the kubelet's default was measured, its limits come first."""
    run = simulate_run(
        "d", settings=("sync=5s", "sync=60s"), modelled=False, window_s=260, pods=80
    )
    summary = summarise([run.path])
    low, high = summary.settings[1].intervals["confidence"]["p99_s"]

    said = headline(summary, kubelets=["v1.37.1"])

    assert said.startswith(
        "With the kubelet's default, a syncFrequency of 60 s, half of"
    )
    assert f"(95 % interval {low:.1f} to {high:.1f} s)" in said
    assert said.endswith(
        f"95 % of them had it within {p95(summary, 0)} at a syncFrequency of 5 s "
        "(Watch, kubelet v1.37.1)."
    )
    assert high - low < 2  # what the quick profile's 80 pods are for


def test_everything_of_a_model_says_so(modelled: Summary) -> None:
    """Headline and limits of a model are marked."""
    text = headline(modelled, kubelets=["modelled"])

    assert text.startswith("Modelled, not measured")
    assert "kubelet modelled" not in text
    limits = not_measured(modelled)
    assert limits[0].startswith("Nothing here was measured")


def test_default_setting_is_missed(measured: Summary) -> None:
    """A run without the kubelet's default says so, with the law's numbers."""
    limits = " ".join(not_measured(measured))

    assert "60 s, Watch: by the law its mean is 38.2 s" in limits
    assert "Clocks were not compared, and what they differ by" in limits
    assert "Nothing here was measured" not in limits


def test_delays_that_contradict_the_law_are_told_first(
    simulate_run: SimulateRun, tmp_path: Path
) -> None:
    """And the headline is of them, not of the intervals between syncs."""
    run = simulate_run("d", settings=("sync=60s",), window_s=260, pods=80)
    (tmp_path / "notebooks").mkdir()
    right = summarise([run.path])
    (own,) = right.settings
    fit = {**own.fit, "equivalent": False, "contradicted": True}
    wrong = replace(right, settings=(replace(own, fit=fit),))

    def of(summary: Summary) -> Report:
        made = "2026-01-01T00:00:00Z"
        return Report("r", made, tmp_path, [], summary, None, {}, {}, [], [])

    notices, told = (compose(of(one)).sections[0].blocks for one in (right, wrong))

    assert notices == []
    assert told == [Notice(f"{wrong.settings[0].contradiction}.")]
    assert "half of the pods" in of(right).headline
    assert f"within {p95(wrong, 0)} at a syncFrequency of 60 s" in of(wrong).headline


@pytest.mark.parametrize(
    ("parts", "text"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_listing(parts: list[str], text: str) -> None:
    """Parts are joined as a sentence does."""
    assert listing(parts) == text
