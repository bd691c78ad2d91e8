"""Point estimates: of the delays seen, and of those that any instant would have seen.

Two estimators that must agree.
The *interval estimator* (the headline) takes every instant as a possible update:
F̂(t) = Σ [min(t, most) - min(t, least)]⁺ / Σ (most - least) over the refreshes,
which is Σ min(X, t) / Σ X over the intervals X between syncs
where each sync reads what there is.
The *direct estimator* (the check) is the distribution of the delays themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.law import QUANTILES
from cmhot.runs import schema
from cmhot.statistics.population import (
    codes_of,
    observed_delays,
    populations,
    refresh_ends,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


def describe_delays(delays: pd.DataFrame) -> pd.DataFrame:
    """Give the direct estimator: mean, quantiles and maximum of observed delays.

    Returns
    -------
    DataFrame
        One row per setting and consumer: ``pods``, ``n_delays`` (observed)
        and the number of rows of each other status as ``n_<status>``,
        then ``mean_s`` … ``max_s``, NaN where nothing was observed.

    Raises
    ------
    UsageError, RunError
        For a table that is empty or damaged, or mixed of modelled and measured rows.
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
        As `cmhot.runs.refreshes.refresh_intervals` has it.

    Returns
    -------
    DataFrame
        One row per setting and consumer: ``n_syncs``, the number of refreshes,
        and ``mean_s`` … ``max_s`` of the delay, whose maximum
        is the longest that any instant would have seen.

    Raises
    ------
    UsageError, RunError
        For a table that is empty or damaged, or mixed of modelled and measured rows.
    """
    rows = []
    for key, own in populations(refresh):
        least, most = refresh_ends(own)
        t, share = refresh_cdf(least, most)
        length = (most - least).sum()
        rows.append(
            {
                **key,
                "n_syncs": len(most),
                "mean_s": float((most**2 - least**2).sum() / (2 * length)),
                **{
                    name: float(np.interp(p, share, t)) for name, p in QUANTILES.items()
                },
                "max_s": float(most.max()),
            }
        )
    return pd.DataFrame(rows)


def refresh_cdf(least: Floats, most: Floats) -> tuple[Floats, Floats]:
    """Give F̂ of the interval estimator at its corners; between them it is straight.

    Parameters
    ----------
    least, most
        Ends of the delays that each refresh brought, seconds; shape (n,).

    Returns
    -------
    t, share
        Ascending corners, and F̂ there; shape (k,).
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
    """Give mean, quantiles and maximum; NaN of nothing."""
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
