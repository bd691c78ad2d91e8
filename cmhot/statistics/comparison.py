"""Whether settings differ: differences of quantiles, and a family's tests together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy

from cmhot.errors import UsageError
from cmhot.statistics.limits import quantiles_of, resamples, widening

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from cmhot.statistics.blocks import Blocks

    Floats = npt.NDArray[np.float64]

_RESAMPLES = 500  # enough for a standard error


def compare_quantiles(
    samples: Mapping[str, Blocks],
    *,
    family: Sequence[tuple[str, str]],
    quantiles: Sequence[float] = (0.5, 0.95),
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare quantiles of the delay between settings.

    The standard error of each difference is from a bootstrap of whole blocks of both,
    widened by √(m / (m - 1)); interval and p-value are Student's,
    with Welch's degrees of freedom (Biometrika 34 (1947) 28-35).
    The p-values of the whole family, declared beforehand, are adjusted by `holm`.

    Parameters
    ----------
    samples
        Blocks by name of the setting.
    family
        The pairs of names that are compared, all of them.
    quantiles
        Shares between 0 and 1; each is a test of the family.
    level
        Of the intervals, each for itself.
    seed
        Of the bootstrap.

    Returns
    -------
    DataFrame
        One row per pair and quantile: ``first, second, quantile``,
        ``difference_s`` (first less second), ``low_s``, ``high_s``,
        ``p_value`` and ``p_holm``. An endless quantile makes them NaN.

    Raises
    ------
    UsageError
        For an empty family, an unknown name, or a sample with too few blocks.
    """
    _check(samples, family)
    shares = [*quantiles]
    estimate, error = {}, {}
    for number, name in enumerate(dict.fromkeys(n for pair in family for n in pair)):
        one = samples[name]
        m = len(one.total)
        again = np.concatenate(
            [
                quantiles_of(one.t, one.at(weights), shares)
                for weights in resamples(m, seed=seed + number, number=_RESAMPLES)
            ]
        )
        estimate[name] = quantiles_of(one.t, one.cdf(), shares)
        with np.errstate(invalid="ignore"):  # endless quantiles have no error
            error[name] = again.std(axis=0, ddof=1) * np.sqrt(m / (m - 1))
        error[name] = error[name] * np.array(widening(one, estimate[name])[1:])
    rows = []
    for first, second in family:
        df = _welch(error, samples, first, second)
        with np.errstate(invalid="ignore", divide="ignore"):
            difference = estimate[first] - estimate[second]
            spread = np.hypot(error[first], error[second])
            p_value = np.asarray(2 * scipy.stats.t.sf(np.abs(difference) / spread, df))
        half = np.asarray(scipy.stats.t.ppf((1 + level) / 2, df)) * spread
        for place, share in enumerate(shares):
            rows.append(
                {
                    "first": first,
                    "second": second,
                    "quantile": share,
                    "difference_s": difference[place],
                    "low_s": difference[place] - half[place],
                    "high_s": difference[place] + half[place],
                    "p_value": p_value[place],
                }
            )
    table = pd.DataFrame(rows)
    return table.assign(p_holm=holm(table["p_value"].to_numpy()))


def compare_means(
    samples: Mapping[str, Blocks],
    *,
    family: Sequence[tuple[str, str]],
    level: float = 0.95,
) -> pd.DataFrame:
    """Compare means of the delay between settings.

    The variance of each mean is that of a ratio of sums over blocks
    (`Blocks.spread_of_mean`); interval and p-value are Student's,
    with Welch's degrees of freedom.

    Parameters
    ----------
    samples
        Blocks by name of the setting.
    family
        The pairs of names that are compared.
    level
        Of the intervals, each for itself.

    Returns
    -------
    DataFrame
        One row per pair: ``first, second``, ``difference_s`` (first less second),
        ``low_s``, ``high_s`` and ``p_value``. An endless mean makes them NaN.

    Raises
    ------
    UsageError
        For an empty family, an unknown name, or a sample with too few blocks.
    """
    _check(samples, family)
    mean, error = {}, {}
    for name in dict.fromkeys(one for pair in family for one in pair):
        blocks = samples[name]
        mean[name] = blocks.mean_s()
        spread, _ = blocks.spread_of_mean()
        error[name] = np.array([np.sqrt(spread) / blocks.total.sum()])
    rows = []
    for first, second in family:
        difference = mean[first] - mean[second]
        width = float(np.hypot(error[first], error[second])[0])
        df = float(_welch(error, samples, first, second)[0])
        half = float(scipy.stats.t.ppf((1 + level) / 2, df)) * width
        t = abs(difference) / width if width else np.inf if difference else 0.0
        rows.append(
            {
                "first": first,
                "second": second,
                "difference_s": difference,
                "low_s": difference - half,
                "high_s": difference + half,
                "p_value": 2 * float(scipy.stats.t.sf(t, df)),
            }
        )
    return pd.DataFrame(rows)


def holm(p_values: npt.ArrayLike) -> Floats:
    """Adjust the p-values of a family so that together they err as one test may.

    The k-th smallest of n is multiplied by n - k + 1, and none is below a smaller one
    (Holm, Scandinavian Journal of Statistics 6 (1979) 65-70).

    Parameters
    ----------
    p_values
        Of all tests of the family, shape (n,); NaN stays NaN and counts as a test.

    Raises
    ------
    UsageError
        When one lies outside 0 … 1.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not np.all(np.isnan(p) | ((p >= 0) & (p <= 1))):
        msg = f"{p.tolist()} are no p-values: each lies between 0 and 1"
        raise UsageError(msg)
    order = np.argsort(p)  # NaN last
    factors = np.arange(len(p), 0, -1)
    raised = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    adjusted = np.empty_like(p)
    adjusted[order] = raised
    return adjusted


def _check(samples: Mapping[str, Blocks], family: Sequence[tuple[str, str]]) -> None:
    """Refuse what cannot be compared."""
    if not family:
        msg = "no pair to compare: name the family of pairs, all of it, beforehand"
        raise UsageError(msg)
    for name in (one for pair in family for one in pair):
        if name not in samples:
            msg = f"no sample {name!r} to compare; there are {', '.join(samples)}"
            raise UsageError(msg)
        why = samples[name].shortfall()
        if why is not None:
            msg = f"{name} cannot be compared: {why}"
            raise UsageError(msg)


def _welch(
    error: Mapping[str, Floats], samples: Mapping[str, Blocks], first: str, second: str
) -> Floats:
    """Give Welch's degrees of freedom of a difference."""
    a, b = error[first] ** 2, error[second] ** 2
    m, n = len(samples[first].total), len(samples[second].total)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (a + b) ** 2 / (a**2 / (m - 1) + b**2 / (n - 1))
    return np.where(np.isfinite(found), found, m + n - 2.0)
