"""When all pods have an update, from the publications of each."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.errors import RunError, UsageError
from cmhot.law import QUANTILES, fleet_law, longest_interval_s, reads_at_every_sync
from cmhot.runs import schema
from cmhot.statistics.blocks import MIN_BLOCKS, MIN_TIME_BLOCKS, Assignment
from cmhot.statistics.limits import confidence
from cmhot.statistics.population import (
    codes_of,
    mean_and_quantiles,
    one_population,
    refresh_cdf,
    refresh_ends,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from cmhot.kubelet.settings import Setting

    Floats = npt.NDArray[np.float64]
    Codes = npt.NDArray[np.int64]

NAMES = ("mean_s", "p50_s", "p95_s", "p99_s")
"""The numbers given for a fleet."""
CYCLES = 12.0
"""Least length of a stretch of time, in longest intervals: the relative phases of a
group's pods change only over a few syncs (docs/studies/coverage.md)."""
STRETCHES = 12
"""Most stretches of time: few and long ones."""
_MOST_SEGMENTS = 50_000
_GRID = 1001


@dataclass(frozen=True, slots=True, eq=False)
class _Refreshes:
    """Refreshes in order of pod and time; seconds, shape (n,)."""

    start: Floats  # since when updates were brought by each
    current: Floats  # when the content that it brought was read
    published: Floats
    begin: Codes  # where each pod's rows begin; shape (pods,)
    end: Codes

    @classmethod
    def of(cls, refresh: pd.DataFrame, pod: Codes, number: int) -> _Refreshes:
        """Sort a table."""
        least, most = refresh_ends(refresh)
        stamps = refresh["start_ns"].to_numpy(dtype=np.int64)
        start = (stamps - stamps.min()) / NS_PER_S
        order = np.lexsort((start, pod))
        rows = np.bincount(pod, minlength=number)
        start, most, least = start[order], most[order], least[order]
        published = start + most
        end = np.cumsum(rows)
        return cls(start, published - least, published, end - rows, end)


@dataclass(frozen=True, slots=True, eq=False)
class _Waits:
    """How long groups of pods waited for their last one; seconds, shape (k,)."""

    at_s: Floats  # middle of a segment of time, between two refreshes
    least: Floats  # the wait at its end
    most: Floats  # and at its beginning
    group: Codes  # number of the group


def fleet_maximum(
    refresh: pd.DataFrame,
    *,
    sizes: Sequence[int] | None = None,
    level: float = 0.95,
    kubernetes: str | None = None,
    clock_s: float = 0.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Estimate how long it takes until all of N pods have an update.

    For an update at any instant it is the largest of the pods' waits,
    each known from the publications. Between two refreshes, of whichever pods,
    the last pod to publish stays the same, so the wait falls evenly:
    all instants are taken, from when all pods' refreshes are known
    to when the last of them began.
    Pods are put into as many groups of N, at random, as there are.
    A block is such a group, where pods are independent and there are 6 groups or more;
    else a stretch of time with all groups in it.

    Parameters
    ----------
    refresh
        Refresh intervals of one setting and consumer.
    sizes
        N; None: 1, 2, 5, 10, 20, 50 … as far as there are pods, and all of them.
    level, seed
        Of the intervals, and of the groups.
    kubernetes
        Version of the kubelets; None: current.
    clock_s
        By how much clocks may have moved delays, seconds: where pods share what one of
        them fetched, limits are wider by it.

    Returns
    -------
    DataFrame
        One row per N: ``pods``, ``groups``, ``blocks``, and for mean, p50, p95 and
        p99 ``<name>_s``, ``<name>_low_s``, ``<name>_high_s``
        (NaN: too few blocks, or no limit)
        and ``<name>_law_s``, by `fleet_law` for pods of one kubelet, which share
        its tick, or as if each were on a node of its own where there are several
        (NaN where pods share a cache, or no law is known).

    Raises
    ------
    UsageError, RunError
        For an N above the number of pods, or a window that is too short.
    """
    key = one_population(refresh)
    setting = schema.setting_of(key)
    pod, number = codes_of(refresh["pod"])
    sizes = _sizes(number) if sizes is None else [*sizes]
    wrong = [size for size in sizes if not 1 <= size <= number]
    if wrong:
        msg = f"a fleet of {wrong[0]} pods is not to be had of {number}: ask for fewer"
        raise UsageError(msg)
    _, nodes = codes_of(refresh["node"])
    rows = _Refreshes.of(refresh, pod, number)
    order = np.random.default_rng(seed).permutation(number)
    by_s = clock_s if refresh["least_s"].any() else 0.0
    found = []
    for size in sizes:
        groups = order[: number // size * size].reshape(-1, size)
        waits = _waits(rows, groups)
        block = _assigned(waits, len(groups), setting, kubernetes)
        numbers = {"pods": size, "groups": len(groups), "blocks": block.number}
        law = _by_law(setting, size, kubernetes, on_one_node=nodes == 1)
        found.append({**numbers, **_described(waits, block, law, level, by_s)})
    return pd.DataFrame(found)


def _sizes(number: int) -> list[int]:
    """List 1, 2, 5, 10, 20 … below the number of pods, and that number."""
    steps = [digit * 10**power for power in range(6) for digit in (1, 2, 5)]
    return [size for size in steps if size < number] + [number]


def _waits(rows: _Refreshes, groups: Codes) -> _Waits:
    """Cut time where any pod of a group refreshes, and find who is last in each part.

    Parts that a break in some pod's records covers are left out.
    """
    # from when all pods' refreshes are known to when the last one began
    from_s, to_s = rows.start[rows.begin].max(), rows.start.max()
    parts = []
    for number, group in enumerate(groups):
        own = [slice(rows.begin[one], rows.end[one]) for one in group]
        ends = [rows.start[one] for one in own] + [rows.current[one] for one in own]
        cuts: Floats = np.unique(np.concatenate([np.array([from_s, to_s]), *ends]))
        cuts = cuts[(cuts >= from_s) & (cuts <= to_s)]
        begin, end = cuts[:-1], cuts[1:]
        step = max(1, -(-len(begin) // _MOST_SEGMENTS))  # of very many, each k-th
        begin, end = begin[::step], end[::step]
        middle = (begin + end) / 2
        last = np.full(len(middle), -np.inf)
        for one in own:
            place = np.searchsorted(rows.start[one], middle, "right") - 1
            shown = np.where(
                middle <= rows.current[one][place], rows.published[one][place], np.inf
            )
            last = np.maximum(last, shown)
        known = np.isfinite(last)
        columns = (middle, last - end, last - begin, np.full(len(middle), number))
        parts.append([column[known] for column in columns])
    at_s, least, most, group = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    if not at_s.size:
        msg = (
            "at no instant are the refreshes of all pods known: "
            "measure them together, and for some multiples of syncFrequency"
        )
        raise RunError(msg)
    return _Waits(at_s, least, most, group)


def _assigned(
    waits: _Waits, groups: int, setting: Setting | None, kubernetes: str | None
) -> Assignment:
    """Take groups as blocks where pods are independent and groups enough, else time."""
    every = setting is not None and bool(reads_at_every_sync(setting, kubernetes))
    if every and groups >= MIN_BLOCKS:
        return Assignment(waits.group, groups, "groups of pods", MIN_BLOCKS)
    begin, length = float(waits.at_s.min()), float(np.ptp(waits.at_s))
    cycle = math.inf
    if setting is not None and (every or setting.ttl_s is not None):
        cycle = longest_interval_s(setting) + (0.0 if every else setting.ttl_s or 0.0)
    number = max(1, min(STRETCHES, math.floor(length / (CYCLES * cycle))))
    part = ((waits.at_s - begin) / max(length, 1e-9) * number).astype(np.int64)
    code = np.minimum(part, number - 1)
    return Assignment(code, number, "stretches of time", MIN_TIME_BLOCKS)


def _described(
    waits: _Waits,
    block: Assignment,
    law: dict[str, float],
    level: float,
    clock_s: float,
) -> dict[str, float]:
    """Give mean, p50, p95 and p99 of the largest wait, with limits and the law's."""
    every, share = refresh_cdf(waits.least, waits.most)
    t = np.unique(np.interp(np.linspace(0, 1, _GRID), share, every))
    blocks = block.of_waits(waits.least, waits.most, t)
    limits = confidence(replace(blocks, clock_s=clock_s), level=level)
    point = mean_and_quantiles(waits.least, waits.most)
    row: dict[str, float] = {}
    for name in NAMES:
        low, high = limits[name] or (math.nan, math.nan)
        stem = name.removesuffix("_s")
        row |= {
            name: point[name],
            f"{stem}_low_s": low,
            f"{stem}_high_s": high,
            f"{stem}_law_s": law[name],
        }
    return row


def _by_law(
    setting: Setting | None, size: int, kubernetes: str | None, *, on_one_node: bool
) -> dict[str, float]:
    """Give these numbers by the law of the fleet; NaN where no law is known."""
    law = None
    if setting is not None and reads_at_every_sync(setting, kubernetes):
        sharers = size if on_one_node else 1
        law = fleet_law(setting, pods=size, sharers=sharers, kubernetes=kubernetes)
    if law is None:
        return dict.fromkeys(["mean_s", *QUANTILES], math.nan)
    return law.summary()
