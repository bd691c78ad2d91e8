"""Hypotheses are answered by what the data can show."""

from __future__ import annotations

import pandas as pd
import pytest

from studies import verdicts


@pytest.mark.parametrize(
    ("half_s", "expected"),
    [(0.1, 1.0), (0.25, 0.95), (0.48, 0.065), (0.5, 0.0), (1, 0)],
)
def test_power_of_equivalence(half_s: float, expected: float) -> None:
    """An interval as wide as the margin can show nothing, whatever the truth."""
    assert verdicts.power(half_s, 0.5) == pytest.approx(expected, abs=0.001)


def test_overlapping_remedies_are_not_ordered() -> None:
    """Only what is apart from both others is answered; waiting was not measured."""
    seconds = {
        "annotate": [0.2, 0.4] * 6,
        "rollout": [9.0, 9.0, *[4.0, 5.0] * 5],
        "recreate": [5.0, 7.0] * 6,
    }
    trials = pd.DataFrame(
        [(name, one) for name, several in seconds.items() for one in several],
        columns=["method", "seconds"],
    )

    found = verdicts.remedies(trials, pods=10, law_p50_s=73.0)

    assert [(row["method"], row["holds"]) for row in found] == [
        ("annotate", True),
        ("rollout", None),
        ("recreate", None),
    ]
    assert found[1]["limits_s"] == [4.5, 9.0]
    assert found[1]["max_s"] == 9.0
