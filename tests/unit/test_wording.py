"""Sentences about a run: each number in them is the run's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cmhot.report import wording
from cmhot.report.progress_bars import minutes
from cmhot.statistics.summarise import summarise

if TYPE_CHECKING:
    from cmhot.statistics.summary import Summary
    from tests.unit.conftest import SimulateRun

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

    assert wording.headline(measured, kubelets=["v1.37.1"]) == (
        f"A changed ConfigMap reached 95 % of the pods that mount it within {five} at "
        f"a syncFrequency of 5 s and {ten} at 10 s (Watch, kubelet v1.37.1)."
    )


def test_everything_of_a_model_says_so(modelled: Summary) -> None:
    """Headline and limits of a model are marked."""
    text = wording.headline(modelled, kubelets=["modelled"])

    assert text.startswith("Modelled, not measured")
    assert "kubelet modelled" not in text
    limits = wording.not_measured(modelled, clocks_known=True)
    assert limits[0].startswith("Nothing here was measured")


def test_default_setting_is_missed(measured: Summary) -> None:
    """A run without the kubelet's default says so, with the law's numbers."""
    limits = " ".join(wording.not_measured(measured, clocks_known=False))

    assert "60 s, Watch: by the law its mean is 38.2 s" in limits
    assert "the clocks" in limits
    assert "Nothing here was measured" not in limits


@pytest.mark.parametrize(
    ("parts", "text"),
    [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_listing(parts: list[str], text: str) -> None:
    """Parts are joined as a sentence does."""
    assert wording.listing(parts) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (40.4, "40 s"), (240, "4 min"), (3900, "1 h 5 min")],
)
def test_minutes(seconds: float, text: str) -> None:
    """Durations are written as people say them."""
    assert minutes(seconds) == text
