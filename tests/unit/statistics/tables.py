"""Tables to test statistics with: a few rows by hand, or many from the law."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.kubelet.settings import Setting
from cmhot.law import law_for

if TYPE_CHECKING:
    from cmhot.law import Law

T0 = 1_767_225_600_000_000_000

POPULATION: dict[str, Any] = {
    "sync_frequency_s": 10.0,
    "strategy": "Watch",
    "ttl_s": 0.0,
    "consumer": "volume",
}
CACHED = POPULATION | {"strategy": "Cache", "ttl_s": 60.0}


def known_law(sync_frequency_s: float = 10) -> Law:
    """Give the law under Watch."""
    law = law_for(Setting(sync_frequency_s))
    assert law is not None
    return law


def delays(pods: dict[str, list[float]]) -> pd.DataFrame:
    """Give observed delays by pod, each from a publication of its own."""
    rows = [
        {
            **POPULATION,
            "node": "n",
            "pod": pod,
            "configmap": "probe",
            "acked_ns": T0 + number * NS_PER_S,
            "published_ns": T0 + round((number + value) * NS_PER_S),
            "status": "observed",
            "delay_s": value,
            "waited_s": value,
            "sync": number,
        }
        for pod, values in pods.items()
        for number, value in enumerate(values, start=1)
    ]
    return pd.DataFrame(rows)


def lost(table: pd.DataFrame, status: str, *, waited_s: float) -> pd.DataFrame:
    """Say that the delays of a table were waited for in vain."""
    nothing = pd.array([None] * len(table), dtype="Int64")
    return table.assign(
        status=status,
        delay_s=np.nan,
        waited_s=waited_s,
        published_ns=nothing,
        sync=nothing,
    )


def refreshes(
    pods: dict[str, list[float]], *, least: dict[str, list[float]] | None = None
) -> pd.DataFrame:
    """Give the refreshes of pods, one after the other: most delays, and least ones."""
    rows = []
    for pod, values in pods.items():
        low = (least or {}).get(pod, [0.0] * len(values))
        begin = 0.0
        for low_s, high_s in zip(low, values, strict=True):
            rows.append(
                {
                    **POPULATION,
                    "node": "n",
                    "pod": pod,
                    "configmap": "probe",
                    "start_ns": T0 + round(begin * NS_PER_S),
                    "published_ns": T0 + round((begin + high_s) * NS_PER_S),
                    "least_s": low_s,
                    "most_s": high_s,
                }
            )
            begin += high_s - low_s
    return pd.DataFrame(rows)


def counted(counts: dict[float, int]) -> dict[str, list[float]]:
    """Give so many intervals of each length, in one pod."""
    return {"p": [x for x, number in counts.items() for _ in range(number)]}
