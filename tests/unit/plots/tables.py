"""Small tables to draw, and what to look at in the figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

S = 1_000_000_000
"""Nanoseconds."""


def delays(
    delay_s: list[float],
    *,
    sync_frequency_s: float = 10.0,
    strategy: str = "Watch",
    consumer: str = "volume",
    pods: int = 1,
    waited_s: float = 15.0,
) -> pd.DataFrame:
    """Give delays of one setting, dealt out to pods; NaN is a timeout."""
    lost = [math.isnan(value) for value in delay_s]
    return pd.DataFrame(
        {
            "delay_s": delay_s,
            "sync_frequency_s": sync_frequency_s,
            "strategy": strategy,
            "ttl_s": 0.0,
            "consumer": consumer,
            "node": "n",
            "pod": [f"p{number % pods}" for number in range(len(delay_s))],
            "configmap": "probe",
            "acked_ns": [number * S for number in range(len(delay_s))],
            "published_ns": pd.array([None] * len(delay_s), dtype="Int64"),
            "waited_s": [
                waited_s if missing else value
                for missing, value in zip(lost, delay_s, strict=True)
            ],
            "status": ["timeout" if missing else "observed" for missing in lost],
        }
    )


def refresh(
    lengths_s: list[float], *, sync_frequency_s: float = 10.0, strategy: str = "Watch"
) -> pd.DataFrame:
    """Give refresh intervals of one setting."""
    return pd.DataFrame(
        {
            "least_s": 0.0,
            "most_s": lengths_s,
            "sync_frequency_s": sync_frequency_s,
            "strategy": strategy,
            "ttl_s": 15.0 if strategy == "Cache" else 0.0,
            "consumer": "volume",
        }
    )


def summary(**columns: Any) -> pd.DataFrame:  # noqa: ANN401 - cells of a table
    """Give a row of a summary's table: at S = 10 s, p50 6, p90 11 and p99 14 s."""
    row: dict[str, Any] = {
        "sync_frequency_s": 10.0,
        "strategy": "Watch",
        "ttl_s": 0.0,
        "consumer": "volume",
        "law_max_s": 16.2,
    }
    for name, value in {"p50": 6.0, "p90": 11.0, "p99": 14.0}.items():
        row |= {
            f"{name}_s": value + 1.0,
            f"intervals_{name}_s": value,
            f"intervals_{name}_s_low": value - 0.5,
            f"intervals_{name}_s_high": value + 0.25,
            f"law_{name}_s": value + 0.125,
        }
    return pd.DataFrame([row | columns])


def curves(ax: Axes) -> dict[str, tuple[list[float], list[float]]]:
    """Give the data of the labelled lines."""
    return {
        str(line.get_label()): (
            np.asarray(line.get_xdata(), dtype=float).tolist(),
            np.asarray(line.get_ydata(), dtype=float).tolist(),
        )
        for line in ax.get_lines()
        if not str(line.get_label()).startswith("_")
    }


def bars(ax: Axes, number: int) -> list[list[list[float]]]:
    """Give the ends of the bars of the number-th series that has error bars."""
    container = ax.containers[number]
    (collection,) = container.lines[2]  # type: ignore[attr-defined]
    return [np.asarray(segment).tolist() for segment in collection.get_segments()]


def dashed(ax: Axes) -> list[float]:
    """Give where each dashed line begins."""
    lines = [line for line in ax.get_lines() if line.get_linestyle() == "--"]
    return [float(np.asarray(line.get_ydata())[0]) for line in lines]


def legend(ax: Axes) -> list[str]:
    """Give the legend's entries."""
    found = ax.get_legend()
    return [] if found is None else [text.get_text() for text in found.get_texts()]


def texts(ax: Axes) -> list[str]:
    """Give what is written inside the Axes."""
    return [text.get_text() for text in ax.texts]
