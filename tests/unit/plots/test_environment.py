"""Environment and volume beside each other, by what the figure's artists hold."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from cmhot.errors import UsageError
from cmhot.kubelet.settings import Setting
from cmhot.law import law_for
from cmhot.plots import environment_or_volume
from tests.unit.plots.tables import curves, delays, legend


def both() -> pd.DataFrame:
    """Give a volume that saw four updates, and an environment that saw none."""
    unseen = delays([math.nan] * 4, consumer="env")
    return pd.concat([delays([1.0, 2.0, 3.0, 4.0]), unseen])


def test_an_environment_lies_flat_beside_its_volume() -> None:
    """The volume's share rises to 1, the environment's stays at 0 to the end."""
    drawn = curves(environment_or_volume(both()))

    assert drawn["environment"][1] == [0, 0]
    default = law_for(Setting(60))
    assert default is not None
    assert (default.t.tolist(), default.share.tolist()) in drawn.values()
    assert drawn["10 s, Watch"] == ([0, 1, 2, 3, 4], [0, 0.25, 0.5, 0.75, 1])


def test_a_volume_that_saw_nothing_is_nothing_to_compare() -> None:
    """The figure is of a volume that turned."""
    with pytest.raises(UsageError, match="no volume of the table saw an update"):
        environment_or_volume(delays([math.nan], consumer="env"))


def test_the_band_of_a_lone_curve_is_named() -> None:
    """Eight pods give a band, and the legend says what it is."""
    table = delays([*map(float, range(12))] * 2, pods=8)

    assert "95 % confidence" in legend(environment_or_volume(table))
