"""Which rows belong together, and the two estimators of their delay.

A number from an empty or mixed table is worse than no number,
so all statistics refuse such tables by these functions, in the same words.

The estimators must agree.
The *interval estimator* (the headline) takes every instant as a possible update:
F̂(t) = Σ [min(t, most) - min(t, least)]⁺ / Σ (most - least) over the refreshes,
which is Σ min(X, t) / Σ X over the intervals X between syncs
where each sync reads current content.
The *direct estimator* (the check) is the distribution of the delays themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.errors import RunError, UsageError
from cmhot.kubelet.settings import parse_setting
from cmhot.law import QUANTILES, reads_at_every_sync
from cmhot.runs import schema
from cmhot.runs.delays import delays
from cmhot.runs.rundir import kubelet_version, read_run
from cmhot.runs.sync_intervals import refresh_intervals

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from cmhot.kubelet.settings import Setting

    Floats = npt.NDArray[np.float64]
    Codes = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

GROUP = [*schema.SETTING, "consumer"]
"""Rows that agree in these columns are one population."""
LEAST_S = 5.0
"""A `syncFrequency` below this is not chosen where there is another: the
tick of a second shapes the delay more than the jitter (`cmhot.law.interval_pmf`)."""


def populations(table: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Go through the populations of a table, in order of the setting.

    Yields the columns of `GROUP` by name (unknown values are NaN), and the rows.
    """
    check_rows(table)
    number: Codes | None = None
    values = []
    for name in GROUP:  # one column at a time, and of one value none: rows may be many
        codes, names = _coded(table[name])
        values.append(names)
        if len(names) > 1:
            number = codes if number is None else number * len(names) + codes
    if number is None:
        yield {name: names[0] for name, names in zip(GROUP, values, strict=True)}, table
        return
    sizes = [len(names) for names in values]
    for one in np.flatnonzero(np.bincount(number, minlength=int(np.prod(sizes)))):
        places = np.unravel_index(one, sizes)
        key = {
            name: names[place]
            for name, names, place in zip(GROUP, values, places, strict=True)
        }
        yield key, table[number == one]


def one_population(table: pd.DataFrame) -> dict[str, Any]:
    """Give the population of a table that must have but one.

    Columns that the table lacks are left out of the comparison.
    """
    check_rows(table)
    key = {}
    for name in GROUP:
        if name not in table:
            continue
        _, names = _coded(table[name])
        if len(names) > 1:
            said = ", ".join(map(str, names))
            msg = (
                f"rows with different {name} ({said}) are no one population: "
                "pick the rows of one setting and consumer"
            )
            raise UsageError(msg)
        key[name] = names[0]
    return key


def check_rows(table: pd.DataFrame) -> None:
    """Refuse a table without rows, or with both modelled and measured ones."""
    if table.empty:
        msg = "a table without rows has no statistics: give one with rows"
        raise UsageError(msg)
    if "modelled" in table and len(pd.unique(table["modelled"])) > 1:
        msg = (
            "modelled and measured rows are mixed in one table: "
            "pick those of one origin, or compare the two"
        )
        raise RunError(msg)


def observed_delays(delays: pd.DataFrame) -> tuple[Floats, Flags]:
    """Give the delays of the observed rows, and a mask of these rows."""
    observed = (delays["status"] == "observed").to_numpy(dtype=np.bool_)
    found = delays["delay_s"].to_numpy(dtype=np.float64)
    if not observed.all():
        found = found[observed]
    if np.isnan(found).any():
        msg = (
            f"{int(np.isnan(found).sum())} observed rows have no delay: the table is "
            "damaged; compute it again from the run with cmhot.runs.delays.delays"
        )
        raise RunError(msg)
    return found, observed


def refresh_ends(refresh: pd.DataFrame) -> tuple[Floats, Floats]:
    """Give the least and most delay of each refresh in seconds, each of shape (n,)."""
    least = refresh["least_s"].to_numpy(dtype=np.float64)
    most = refresh["most_s"].to_numpy(dtype=np.float64)
    wrong = ~(most > least)  # NaN compares as wrong, too
    if wrong.any():
        msg = (
            f"{int(wrong.sum())} refresh intervals have no length: the table is "
            "damaged; compute it again with cmhot.runs.sync_intervals.refresh_intervals"
        )
        raise RunError(msg)
    return least, most


def codes_of(column: pd.Series[Any]) -> tuple[Codes, int]:
    """Give the values of a column as numbers from 0, and how many there are."""
    codes, names = _coded(column)
    return codes, len(names)


def _coded(column: pd.Series[Any]) -> tuple[Codes, list[Any]]:
    """Give the values that occur as numbers, in their order; null comes last."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        small = column.cat.codes.to_numpy()
        names = [*column.cat.categories, np.nan]
        if small.size and small.min() == small.max():  # of most columns
            return np.zeros(small.size, dtype=np.int64), [names[small[0]]]
        names.pop()
        raw = small.astype(np.int64)
    else:
        found, values = pd.factorize(column, sort=True)
        raw, names = found.astype(np.int64), [*values]
    raw = np.where(raw < 0, len(names), raw)
    names.append(np.nan)
    present = np.bincount(raw, minlength=len(names)) > 0
    order = sorted(np.flatnonzero(present[:-1]).tolist(), key=names.__getitem__)
    order += [len(names) - 1] * bool(present[-1])
    place = np.zeros(len(names), dtype=np.int64)
    place[order] = np.arange(len(order))
    return place[raw], [names[one] for one in order]


def describe_delays(delays: pd.DataFrame) -> pd.DataFrame:
    """Give the direct estimator: mean, quantiles and maximum of observed delays.

    Returns
    -------
    DataFrame
        One row per setting and consumer: ``pods``, ``n_delays`` (observed)
        and the number of rows of each other status as ``n_<status>``,
        then ``mean_s`` … ``max_s``, NaN where nothing was observed.
    """
    rows = []
    for key, own in populations(delays):
        observed, _ = observed_delays(own)
        number = own["status"].value_counts()
        counts = {f"n_{name}": int(number.get(name, 0)) for name in schema.STATUSES}
        rows.append(
            {
                **key,
                "pods": codes_of(own["pod"])[1],
                "n_delays": counts.pop("n_observed"),
                **counts,
                **_described(observed),
            }
        )
    return pd.DataFrame(rows)


def describe_intervals(refresh: pd.DataFrame) -> pd.DataFrame:
    """Give the interval estimator of the delay.

    Parameters
    ----------
    refresh
        As `cmhot.runs.sync_intervals.refresh_intervals` has it.

    Returns
    -------
    DataFrame
        One row per setting and consumer: ``n_syncs``, the number of refreshes,
        and ``mean_s`` … ``max_s`` of the delay, whose maximum
        is the longest that any instant would have seen.
    """
    rows = []
    for key, own in populations(refresh):
        least, most = refresh_ends(own)
        numbers = mean_and_quantiles(least, most)
        end = float(most.max())
        rows.append({**key, "n_syncs": len(most), **numbers, "max_s": end})
    return pd.DataFrame(rows)


def mean_and_quantiles(least: Floats, most: Floats) -> dict[str, float]:
    """Give mean and quantiles of waits that fall evenly from most to least, seconds."""
    t, share = refresh_cdf(least, most)
    mean_s = float((most**2 - least**2).sum() / (2 * (most - least).sum()))
    quantiles = {name: float(np.interp(p, share, t)) for name, p in QUANTILES.items()}
    return {"mean_s": mean_s, **quantiles}


def refresh_cdf(least: Floats, most: Floats) -> tuple[Floats, Floats]:
    """Give F̂ of the interval estimator at its corners; between them it is straight.

    `least` and `most` are the ends of the delays that each refresh brought, seconds;
    shape (n,). Returns ascending corners, and F̂ there; shape (k,).
    """
    t = np.unique(np.concatenate([least, most]))
    share = (_area(most, t) - _area(least, t)) / (most - least).sum()
    return t, share


def _area(x: Floats, t: Floats) -> Floats:
    """Compute Σ min(x, t) at each t."""
    x = np.sort(x)
    shorter = np.searchsorted(x, t, "right")
    return np.concatenate([[0.0], np.cumsum(x)])[shorter] + t * (len(x) - shorter)


def _described(observed: Floats) -> dict[str, Any]:
    """Give mean, quantiles and maximum; NaN where there are no delays."""
    if not observed.size:
        return dict.fromkeys(["mean_s", *QUANTILES, "max_s"], float("nan"))
    ordered = np.sort(observed)  # a third of what np.quantile takes for four of them
    last = len(ordered) - 1
    place = last * np.array([*QUANTILES.values()])
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, last)
    quantiles = ordered[low] + (place - low) * (ordered[high] - ordered[low])
    return {
        "mean_s": float(observed.mean()),
        **dict(zip(QUANTILES, quantiles.tolist(), strict=True)),
        "max_s": float(ordered[-1]),
    }


@dataclass(frozen=True, slots=True, eq=False)
class Picked:
    """A run's tables for one setting under which each sync reads current content."""

    setting: Setting
    refresh: pd.DataFrame  # refresh intervals of one consumer
    kubernetes: str | None  # version of the kubelets; None: not known
    run: str  # id
    modelled: bool
    path: Path

    @property
    def pods(self) -> int:
        """How many pods there are."""
        return codes_of(self.refresh["pod"])[1]

    def delays(self) -> pd.DataFrame:
        """Compute the delays of the updates in these pods, as `cmhot.runs.delays`."""
        consumer = self.refresh["consumer"].iloc[0]
        (found,) = (
            rows
            for key, rows in populations(delays(read_run(self.path)))
            if schema.setting_of(key) == self.setting and key["consumer"] == consumer
        )
        return found


def pick(paths: Sequence[Path], *, at: str = "", longest: bool = False) -> Picked:
    """Choose a setting, and of the runs the one with the most pods at it.

    Pods of different runs are never taken together: they were not watched at the same
    instants. The setting is `at`, as `parse_setting` reads it; if that is empty, among
    those under which each sync reads current content the one with the longest
    `syncFrequency`, or with the shortest one of 5 s or more.
    """
    wanted = parse_setting(at) if at else None
    every = [found for path in paths for found in _fresh(path)]
    fitting = [one for one in every if wanted is None or one.setting == wanted]
    if not fitting:
        there = "; ".join(dict.fromkeys(str(one.setting) for one in every))
        runs = ", ".join(path.name for path in paths)
        asked = "a known setting" if wanted is None else str(wanted)
        msg = (
            f"no refreshes at {asked} in {runs}, under which each sync reads what "
            f"there is: there is {there or 'none'}"
        )
        raise RunError(msg)

    def rank(one: Picked) -> tuple[bool, float, int]:
        sync_s = one.setting.sync_frequency_s
        order = sync_s if longest else -sync_s
        return sync_s >= LEAST_S, order, one.pods

    return max(fitting, key=rank)


def _fresh(path: Path) -> Iterator[Picked]:
    """List a run's settings under which each sync reads current content."""
    run = read_run(path)
    refresh = refresh_intervals(run)
    if refresh.empty:
        return
    for key, rows in populations(refresh):
        setting = schema.setting_of(key)
        version = kubelet_version(run.meta, str(rows["node"].iloc[0]))
        if setting is not None and reads_at_every_sync(setting, version):
            yield Picked(
                setting,
                rows,
                version,
                str(run.meta["run_id"]),
                bool(run.meta.get("modelled")),
                path,
            )
