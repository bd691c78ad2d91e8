"""Delays from the raw records of a run, for `studies.recomputation` and its parts.

Nothing here has anything in common with `cmhot`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    Tables = dict[str, pd.DataFrame]
    Checks = Iterator[tuple[str, float, float, float]]


def load(path: Path) -> tuple[dict[str, Any], Tables]:
    """Read run.json, the raw records as they are, and the updates that count."""
    meta = json.loads((path / "run.json").read_bytes())
    tables = {}
    for name in ("updates", "publications"):
        file, lines = path / f"{name}.parquet", path / f"{name}.jsonl"
        read = pd.read_json(lines, lines=True) if lines.exists() else None
        tables[name] = pd.read_parquet(file) if read is None else read
    rows = tables["updates"]
    tables["trials"] = rows[rows["purpose"].eq("trial") & rows["status"].eq("acked")]
    return meta, tables


def series(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Give a pod's publications: the newest number so far, and when."""
    ordered = rows.sort_values(["published_ns", "seq"])
    at = ordered["published_ns"].to_numpy(np.int64)
    return np.maximum.accumulate(ordered["seq"].to_numpy(np.int64)), at


def waits(tables: Tables, pods: Sequence[str] = ()) -> np.ndarray:
    """Give the delay of each trial, seconds, for these pods or for all.

    It is endless where the update was not seen. Shape (pods, trials).
    """
    made, rows, found = tables["trials"], tables["publications"], []
    acked = made["acked_ns"].to_numpy(np.int64)
    for pod in pods or sorted(rows["pod"].unique()):
        newest, at = series(rows[rows["pod"] == pod])
        place = np.searchsorted(newest, made["seq"].to_numpy(np.int64))
        known = place < len(at)
        seconds = (at[np.where(known, place, -1)] - acked) / 1e9
        found.append(np.where(known, seconds, np.inf))
    return np.array(found)
