"""Whether settings differ, and whether delays agree with the law they should follow.

Agreement has to be shown: a test that does not reject may just have too little data.
So agreement means that upper bounds of the differences lie within stated margins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy

from cmhot.errors import UsageError
from cmhot.law import law_for, mixture
from cmhot.runs import schema
from cmhot.statistics.blocks import interval_blocks
from cmhot.statistics.limits import quantiles_of, resamples, tail_share, widening

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from cmhot.law import Law
    from cmhot.statistics.blocks import Blocks
    from cmhot.statistics.limits import Bounds

    Floats = npt.NDArray[np.float64]
    Verdict = dict[str, float | bool | None]

_RESAMPLES = 500  # enough for a standard error
MARGIN_SUP = 0.02
"""Largest sup|F̂ - F| that still counts as agreement."""
MARGIN_P50 = 0.5 / 60
"""Largest difference of the medians, as a share of S: 0.5 s at S = 60 s."""
MARGIN_P99 = 1.0 / 60
"""Largest difference of the 99 % quantiles, as a share of S: 1 s at S = 60 s."""
_ERROR = 0.05
AGREEMENT_RESAMPLES = 1000
SHARES = [0.5, 0.99]
CONTRADICTS_S = 1.0
"""Delays whose mean is further than this from the law's, and as much beyond its limits,
are of another law; less is what slow watches and busy kubelets add."""


def expected_law(
    delays: pd.DataFrame,
    *,
    version_of: Callable[[str], str | None] = lambda _: None,
) -> Law | None:
    """Give the law of the delays of one setting and consumer; None where none is known.

    No law is known for an unknown setting or TTL, nor for a consumer that keeps the
    content it started with. Under a TTL the law depends on how many pods of a node
    share the ConfigMap: those in the table are taken for all. Nodes with different
    numbers have different laws, and each counts by its rows, pods times updates, as
    both estimators count them. `version_of` gives the version of a node's kubelet;
    None: current.
    """
    first = delays.iloc[0]
    setting = schema.setting_of({name: first[name] for name in schema.SETTING})
    if setting is None or first["consumer"] in schema.NEVER_UPDATED:
        return None
    names = ["node", "pod", "configmap"]
    sizes = delays.groupby(names, observed=True, dropna=False).size()
    laws, weights = [], []
    for node, own in sizes.reset_index(name="rows").groupby("node", observed=True):
        maps = own["configmap"].nunique(dropna=False)
        law = law_for(
            setting,
            sharers=max(own["pod"].nunique() // maps, 1),
            kubernetes=version_of(str(node)),
        )
        if law is None:
            return None
        laws.append(law)
        weights.append(int(own["rows"].sum()))
    return mixture(laws, weights)


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
    By as much as clocks may have moved the delays of both, a difference may be chance.

    Parameters
    ----------
    samples
        Blocks by name of the setting.
    family
        The pairs of names that are compared, all of them.
    quantiles
        Shares between 0 and 1; each is a test of the family.
    level, seed
        Of the intervals, each for itself, and of the bootstrap.

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
    for pair in family:
        difference, half, ratio, df = _apart(pair, estimate, error, samples, level)
        p_value = np.asarray(2 * scipy.stats.t.sf(ratio, df))
        rows += [
            {
                "first": pair[0],
                "second": pair[1],
                "quantile": share,
                "difference_s": difference[place],
                "low_s": difference[place] - half[place],
                "high_s": difference[place] + half[place],
                "p_value": p_value[place],
            }
            for place, share in enumerate(shares)
        ]
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
    samples, family, level
        As of `compare_quantiles`, and refused likewise.

    Returns
    -------
    DataFrame
        One row per pair: ``first, second``, ``difference_s`` (first less second),
        ``low_s``, ``high_s`` and ``p_value``. An endless mean makes them NaN.
    """
    _check(samples, family)
    mean, error = {}, {}
    for name in dict.fromkeys(one for pair in family for one in pair):
        blocks = samples[name]
        mean[name] = np.array([blocks.mean_s()])
        spread, _ = blocks.spread_of_mean()
        error[name] = np.array([np.sqrt(spread) / blocks.total.sum()])
    rows = []
    for pair in family:
        found = _apart(pair, mean, error, samples, level)
        difference, half, ratio, df = (float(one[0]) for one in found)
        rows.append(
            {
                "first": pair[0],
                "second": pair[1],
                "difference_s": difference,
                "low_s": difference - half,
                "high_s": difference + half,
                "p_value": 2 * float(scipy.stats.t.sf(ratio, df)),
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
    """Refuse an empty family, unknown names, and samples of too few blocks."""
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


def _apart(
    pair: tuple[str, str],
    estimate: Mapping[str, Floats],
    error: Mapping[str, Floats],
    samples: Mapping[str, Blocks],
    level: float,
) -> tuple[Floats, Floats, Floats, Floats]:
    """Give differences, half their intervals, |t|, and Welch's degrees of freedom.

    What clocks may have made of a difference is no sign of one.
    """
    first, second = pair
    by = samples[first].clock_s + samples[second].clock_s
    a, b = error[first] ** 2, error[second] ** 2
    m, n = len(samples[first].total), len(samples[second].total)
    with np.errstate(invalid="ignore", divide="ignore"):
        df = (a + b) ** 2 / (a**2 / (m - 1) + b**2 / (n - 1))
        difference = estimate[first] - estimate[second]
        spread = np.hypot(error[first], error[second])
        beyond = np.maximum(np.abs(difference) - by, 0.0)
        ratio = np.where(beyond == 0, 0.0, beyond / spread)
    df = np.where(np.isfinite(df), df, m + n - 2.0)
    half = np.asarray(scipy.stats.t.ppf((1 + level) / 2, df)) * spread + by
    return difference, half, ratio, df


def equivalence(
    refresh: pd.DataFrame,
    law: Law,
    *,
    sync_frequency_s: float,
    kubernetes: str | None = None,
    clock_s: float = 0.0,
    seed: int = 0,
) -> Verdict:
    """Judge whether the refresh intervals of one setting agree with its law.

    Agreement is shown, not merely not refuted:
    the one-sided 95 % bounds of sup|F̂ - F| and of the differences of p50 and p99,
    from a bootstrap of whole blocks (`limits.tail_share` says how it is adjusted
    for few of them), must lie within the margins.
    Each bound errs in at most 5 % of cases, so the verdict as a whole does, too
    (intersection-union: Berger and Hsu, Statistical Science 11 (1996) 283-319).
    An interval between two stamps of one node does not depend on its clock; one from a
    fetch does, of which only the collector's stamps tell (Cache with a TTL).

    Parameters
    ----------
    refresh
        Rows of one setting and consumer,
        as `cmhot.runs.sync_intervals.refresh_intervals` gives them.
    law
        The law to compare them with.
    sync_frequency_s
        S, with which the margins of the quantiles scale.
    kubernetes
        Version of the kubelets, which decides what a TTL does; None: current.
    clock_s
        By how much clocks may have moved delays, in seconds.
    seed
        Of the bootstrap: the same table gives the same answer.

    Returns
    -------
    dict
        ``sup_difference``, ``p50_difference_s`` and ``p99_difference_s`` as estimated,
        ``upper_95``, the bound of the first, and ``equivalent``;
        the last two are None with too few blocks, and the last one where the clocks
        decide.
    """
    if clock_s and refresh["least_s"].any():
        moved = [
            equivalence(
                refresh.assign(
                    least_s=refresh["least_s"] + by, most_s=refresh["most_s"] + by
                ),
                law,
                sync_frequency_s=sync_frequency_s,
                kubernetes=kubernetes,
                seed=seed,
            )
            for by in (0.0, -clock_s, clock_s)
        ]
        if len({one["equivalent"] for one in moved}) > 1:
            moved[0]["equivalent"] = None
        return moved[0]
    blocks = interval_blocks(refresh, law=law, kubernetes=kubernetes)
    t = blocks.t
    expected, quantiles = law.cdf(t), law.quantile(SHARES)
    found = differences(t, blocks.cdf(), expected, quantiles)
    if blocks.shortfall() is not None:
        return verdict(found, None, sync_frequency_s, len(blocks.total))
    again = [
        differences(t, blocks.at(weights), expected, quantiles)
        for weights in resamples(
            len(blocks.total), seed=seed, number=AGREEMENT_RESAMPLES
        )
    ]
    return verdict(found, again, sync_frequency_s, len(blocks.total))


def contradicts(
    law: Law, mean: Bounds, *, clock_s: float, complete: bool
) -> bool | None:
    """Say whether delays are not of the law that they were taken to follow.

    As where another TTL, or version of the kubelet, was told than is in force: then the
    intervals between syncs may still agree with the law.

    Parameters
    ----------
    law
        That they were taken to follow.
    mean
        Interval of the delays' mean.
    clock_s
        By how much it was widened, since clocks are known no better.
    complete
        Whether nothing was waited for in vain: else the mean may be too short.

    Returns
    -------
    bool or None
        None: the clocks decide.
    """
    far_s = mean[0] - law.mean_s
    if complete:
        far_s = max(far_s, law.mean_s - mean[1])
    if far_s > CONTRADICTS_S:
        return True
    return None if far_s + clock_s > CONTRADICTS_S else False


def differences(
    t: Floats, f: Floats, expected: Floats, quantiles: Floats
) -> tuple[Floats, Floats]:
    """Give sup|F̂ - F| of shape (…,), and the quantiles' differences of shape (…, 2)."""
    return np.abs(f - expected).max(axis=-1), quantiles_of(t, f, SHARES) - quantiles


def verdict(
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
