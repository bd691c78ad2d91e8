"""The distribution that every law is: moments, inversion, samples, nonsense."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cmhot.errors import UsageError
from cmhot.kubelet.settings import Setting
from cmhot.law import ContinuousLaw, Law, law_for, mixture
from cmhot.law.distribution import evaluate

UNIFORM = Law(np.array([2.0, 6.0]), np.array([0.0, 1.0]), 6.5)


def test_moments_of_a_uniform_delay() -> None:
    """Between 2 and 6 s: mean 4, half by 4 s."""
    assert UNIFORM.mean_s == 4.0
    assert UNIFORM.summary() == pytest.approx(
        {
            "mean_s": 4,
            "p50_s": 4,
            "p90_s": 5.6,
            "p95_s": 5.8,
            "p99_s": 5.96,
            "max_s": 6.5,
        }
    )
    assert UNIFORM.survival([1.0, 3.0, 7.0]).tolist() == [1.0, 0.75, 0.0]


def test_samples_have_its_moments() -> None:
    """A million draws have the law's mean and deviation."""
    law = law_for(Setting(60))
    assert law is not None

    drawn = law.sample(np.random.default_rng(1), 1_000_000)

    assert drawn.mean() == pytest.approx(38.246, abs=0.09)  # four standard errors
    assert drawn.std() == pytest.approx(22.633, abs=0.06)


def test_a_mixture_weighs_its_parts() -> None:
    """A quarter of the cases at 2 … 6 s, three quarters at 0 … 1 s."""
    short = Law(np.array([0.0, 1.0]), np.array([0.0, 1.0]), 1.0)

    mixed = mixture([UNIFORM, short], [5, 15])

    assert mixed.mean_s == pytest.approx(0.25 * 4 + 0.75 * 0.5)
    assert float(mixed.cdf(1.0)) == 0.75
    assert mixed.max_s == 6.5
    assert mixture([short], [3]) is short


@pytest.mark.parametrize("p", [1.2, -0.1, math.nan, [0.5, math.nan]])
def test_nonsense_shares_are_refused(p: float | list[float]) -> None:
    """A quantile is asked for between 0 and 1."""
    with pytest.raises(UsageError, match="between 0 and 1"):
        UNIFORM.quantile(p)


def test_no_delay_has_no_share() -> None:
    """NaN is no delay."""
    with pytest.raises(UsageError, match="no number"):
        UNIFORM.cdf([1.0, math.nan])


def test_no_points_have_no_values() -> None:
    """An empty question has an empty answer."""
    assert UNIFORM.quantile([]).tolist() == []


@pytest.mark.parametrize("corners", [2, 31, 1500])
def test_many_points_are_evaluated_as_few_are(corners: int) -> None:
    """The guide table changes nothing but the time, at corners and outside too."""
    rng = np.random.default_rng(corners)
    x = np.cumsum(rng.exponential(size=corners)) ** 1.5
    y = np.cumsum(rng.exponential(size=corners))
    at = np.concatenate([rng.uniform(-1, x[-1] * 1.1, 200_000), x, [x[0], x[-1]]])

    assert evaluate(at, x, y) == pytest.approx(np.interp(at, x, y), abs=1e-9)


def test_the_continuous_form_in_numbers() -> None:
    """At S = 60 s: 38.25, 37.75, 75.45 and 83.77 s, up to 90.5 s."""
    law = ContinuousLaw.of(Setting(60))

    assert (law.a, law.b, law.mean_interval_s) == (60.5, 90.5, 75.5)
    assert law.mean_s == pytest.approx(38.25, abs=0.005)
    assert law.quantile([0.5, 0.95, 0.99, 1.0]).tolist() == pytest.approx(
        [37.75, 75.45, 83.77, 90.5], abs=0.006
    )


def test_the_continuous_form_is_consistent() -> None:
    """F and its inverse cancel; the mean is that of a fine sum over quantiles."""
    law = ContinuousLaw.of(Setting(20))
    p = (np.arange(100_000) + 0.5) / 100_000

    assert law.cdf(law.quantile(p)) == pytest.approx(p)
    assert law.quantile(p).mean() == pytest.approx(law.mean_s, rel=1e-6)
    with pytest.raises(UsageError, match="between 0 and 1"):
        law.quantile(1.2)


def test_the_lattice_agrees_with_the_continuous_form() -> None:
    """At S = 60 s no quantile differs by more than 0.02 s."""
    law, smooth = law_for(Setting(60)), ContinuousLaw.of(Setting(60))
    assert law is not None
    p = np.linspace(0.01, 0.99, 99)

    assert law.quantile(p) == pytest.approx(smooth.quantile(p), abs=0.02)
