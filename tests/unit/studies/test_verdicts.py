"""Hypotheses are answered by what the data can show."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
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


def test_a_delay_that_ended_late_is_no_endless_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The collector took it for interrupted by a restart; the other never came."""
    second = 10**9
    run: Any = SimpleNamespace(
        updates=pd.DataFrame(
            {
                "seq": [1, 2],
                "acked_ns": [second, 4 * second],
                "purpose": "trial",
                "status": "acked",
            }
        ),
        publications=pd.DataFrame(
            {"pod": "p", "published_ns": [0, 31 * second], "seq": [0, 1]}
        ),
    )
    table = pd.DataFrame(
        {
            "pod": "p",
            "acked_ns": run.updates["acked_ns"],
            "delay_s": np.nan,
            "status": pd.Categorical(
                ["interrupted", "timeout"],
                ["observed", "interrupted", "timeout", "missed"],
            ),
        }
    )
    monkeypatch.setattr(verdicts, "delays", lambda _: table)

    found = verdicts.delays_as_seen(run)

    assert found["status"].tolist() == ["observed", "timeout"]
    assert found["delay_s"].iloc[0] == 30.0
    assert np.isnan(found["delay_s"].iloc[1])
