"""Whether two distributions agree, which is to be shown, not merely not refuted.

A test that failed to reject may have had too little data;
so agreement means that upper bounds of the differences lie within stated margins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.errors import UsageError
from cmhot.statistics.blocks import interval_blocks
from cmhot.statistics.limits import quantiles_of, resamples, tail_share
from cmhot.statistics.population import one_population

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from cmhot.law import Law

    Floats = npt.NDArray[np.float64]
    Verdict = dict[str, float | bool | None]

MARGIN_SUP = 0.02
"""Largest sup|F̂ - F| that still counts as agreement."""

MARGIN_P50 = 0.5 / 60
"""Largest difference of the medians, as a share of S: 0.5 s at S = 60 s."""

MARGIN_P99 = 1.0 / 60
"""Largest difference of the 99 % quantiles, as a share of S: 1 s at S = 60 s."""

_ERROR = 0.05
_RESAMPLES = 1000
_SHARES = [0.5, 0.99]


def equivalence(
    refresh: pd.DataFrame,
    law: Law,
    *,
    sync_frequency_s: float,
    kubernetes: str | None = None,
    seed: int = 0,
) -> Verdict:
    """Judge whether the refresh intervals of one setting agree with its law.

    Agreement is shown, not merely not refuted:
    the one-sided 95 % bounds of sup|F̂ - F| and of the differences of p50 and p99,
    from a bootstrap of whole blocks (`bootstrap_confidence` says how it is adjusted
    for few of them), must lie within the margins.
    Each bound errs in at most 5 % of cases, so the verdict as a whole does, too
    (intersection-union: Berger and Hsu, Statistical Science 11 (1996) 283-319).

    Parameters
    ----------
    refresh
        Rows of one setting and consumer,
        as `cmhot.runs.refreshes.refresh_intervals` gives them.
    law
        What they are compared with.
    sync_frequency_s
        S, with which the margins of the quantiles scale.
    kubernetes
        Version of the kubelets, which decides what a TTL does; None: current.
    seed
        Of the bootstrap: the same table gives the same answer.

    Returns
    -------
    dict
        ``sup_difference``, ``p50_difference_s`` and ``p99_difference_s`` as estimated,
        ``upper_95``, the bound of the first, and ``equivalent``;
        the last two are None with too few blocks.

    Raises
    ------
    UsageError, RunError
        For a table that is empty, damaged or of several populations.
    """
    blocks = interval_blocks(refresh, law=law, kubernetes=kubernetes)
    t = blocks.t
    expected, quantiles = law.cdf(t), law.quantile(_SHARES)
    found = _differences(t, blocks.cdf(), expected, quantiles)
    if blocks.shortfall() is not None:
        return _verdict(found, None, sync_frequency_s, len(blocks.total))
    again = [
        _differences(t, blocks.at(weights), expected, quantiles)
        for weights in resamples(len(blocks.total), seed=seed, number=_RESAMPLES)
    ]
    return _verdict(found, again, sync_frequency_s, len(blocks.total))


def equivalence_of_samples(
    first: pd.DataFrame,
    second: pd.DataFrame,
    *,
    sync_frequency_s: float,
    kubernetes: str | None = None,
    seed: int = 0,
) -> Verdict:
    """Judge whether two samples agree, such as a measured and a modelled one.

    As `equivalence` does, with the same margins;
    the blocks of both are resampled.
    Differences are those of the first less the second.

    Parameters
    ----------
    first, second
        Refresh intervals, each of one setting and consumer.
    sync_frequency_s
        S, with which the margins of the quantiles scale.
    kubernetes
        Version of the kubelets of both; None: current.
    seed
        Of the bootstrap.

    Returns
    -------
    dict
        As `equivalence` has it.

    Raises
    ------
    UsageError, RunError
        For tables that are empty or damaged, or that are not of the same population.
    """
    keys = [one_population(table) for table in (first, second)]
    if [*map(str, keys[0].values())] != [*map(str, keys[1].values())]:
        msg = f"samples of {keys[0]} and of {keys[1]} are not to be compared: pick one"
        raise UsageError(msg)
    one, two = (
        interval_blocks(table, kubernetes=kubernetes) for table in (first, second)
    )
    t = np.union1d(one.t, two.t)

    def differences(f: Floats, g: Floats) -> tuple[Floats, Floats]:
        f, g = _on(t, one.t, f), _on(t, two.t, g)
        return _differences(t, f, g, quantiles_of(t, g, _SHARES))

    fewest = min(len(one.total), len(two.total))
    found = differences(one.cdf(), two.cdf())
    if one.shortfall() is not None or two.shortfall() is not None:
        return _verdict(found, None, sync_frequency_s, fewest)
    pairs = zip(
        resamples(len(one.total), seed=seed, number=_RESAMPLES),
        resamples(len(two.total), seed=seed + 1, number=_RESAMPLES),
        strict=True,
    )
    again = [differences(one.at(v), two.at(w)) for v, w in pairs]
    return _verdict(found, again, sync_frequency_s, fewest)


def _differences(
    t: Floats, f: Floats, expected: Floats, quantiles: Floats
) -> tuple[Floats, Floats]:
    """Give sup|F̂ - F| of shape (…,), and the quantiles' differences of shape (…, 2)."""
    return np.abs(f - expected).max(axis=-1), quantiles_of(t, f, _SHARES) - quantiles


def _on(t: Floats, own: Floats, f: Floats) -> Floats:
    """Take F̂, straight between its own t, at other ones; shapes (…, g) → (…, k)."""
    place = np.clip(np.searchsorted(own, t, "left"), 1, len(own) - 1)
    part = np.clip((t - own[place - 1]) / (own[place] - own[place - 1]), 0.0, 1.0)
    return np.asarray(f[..., place - 1] * (1 - part) + f[..., place] * part)


def _verdict(
    found: tuple[Floats, Floats],
    again: list[tuple[Floats, Floats]] | None,
    sync_frequency_s: float,
    m: int,
) -> Verdict:
    """Put estimates and bounds together, and compare them with the margins."""
    sup, quantiles = found
    verdict: dict[str, Any] = {
        "sup_difference": float(sup),
        "p50_difference_s": float(quantiles[0]),
        "p99_difference_s": float(quantiles[1]),
        "upper_95": None,
        "equivalent": None,
    }
    if again is None:
        return verdict
    share = 1 - tail_share(m, _ERROR)
    upper = float(np.quantile(np.concatenate([one for one, _ in again]), share))
    far = np.abs(np.concatenate([both for _, both in again]))
    p50, p99 = np.quantile(far, share, axis=0)
    verdict["upper_95"] = upper
    verdict["equivalent"] = bool(
        upper <= MARGIN_SUP
        and p50 <= MARGIN_P50 * sync_frequency_s
        and p99 <= MARGIN_P99 * sync_frequency_s
    )
    return verdict
