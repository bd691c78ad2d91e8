"""Phases: whether pods sync together, and when in the second a kubelet ticks.

Pods created together are in phase, and lose it slowly;
what is measured before is not what a random instant sees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.errors import UsageError
from cmhot.statistics.population import not_empty

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Stamps = npt.NDArray[np.int64]


def phase_coherence(
    publications: pd.DataFrame, *, period_s: float = 1.0
) -> pd.DataFrame:
    """Measure how far the publications of a node fall at one phase of a period.

    The coherence is ``|mean exp(2πi t / period)|``: 1 when all fall together,
    and about 1/√n when they are spread evenly.
    With a period of 1 s it shows the tick of the kubelet's process.

    Parameters
    ----------
    publications
        With columns ``node`` and ``published_ns``:
        publications of a run, or its refresh intervals.
    period_s
        Seconds.

    Returns
    -------
    DataFrame
        One row per node: ``node, n, coherence, p_value``,
        the last by Rayleigh's test that independent phases are uniform.

    Raises
    ------
    UsageError
        When there are no publications, or the period is not above 0.
    """
    not_empty(publications)
    groups = publications.groupby("node", observed=True)["published_ns"]
    return pd.DataFrame(
        [
            {"node": node, "n": len(own), **_rayleigh(_stamps(own), period_s)}
            for node, own in groups
        ]
    )


def coherence_by_sync(publications: pd.DataFrame, *, period_s: float) -> pd.DataFrame:
    """Measure how far the pods of a node are in phase at their k-th publication.

    For pods created together and a period of E[X] it falls by the factor
    ``|E exp(2πi X / E[X])|`` from sync to sync, 0.78 at S = 10 s.

    Parameters
    ----------
    publications
        With columns ``node``, ``pod`` and ``published_ns``.
    period_s
        Seconds: the mean interval between syncs.

    Returns
    -------
    DataFrame
        One row per node and k: ``node, sync, pods, coherence, p_value``.

    Raises
    ------
    UsageError
        When there are no publications, or the period is not above 0.
    """
    not_empty(publications)
    ordered = publications.sort_values("published_ns", kind="stable")
    sync = ordered.groupby(["node", "pod"], observed=True).cumcount() + 1
    groups = ordered.assign(sync=sync).groupby(["node", "sync"], observed=True)
    return pd.DataFrame(
        [
            {
                "node": node,
                "sync": number,
                "pods": len(own),
                **_rayleigh(_stamps(own["published_ns"]), period_s),
            }
            for (node, number), own in groups
        ]
    )


def _rayleigh(stamps: Stamps, period_s: float) -> dict[str, float]:
    """Give coherence and the p-value of Rayleigh's test.

    exp(√(1 + 4n + 4(n² - R²)) - (1 + 2n)) with R = n times the coherence
    (Zar, Biostatistical Analysis, 2010, equation 27.4).
    """
    if not period_s > 0:
        msg = f"a period of {period_s!r} s has no phases: give one above 0"
        raise UsageError(msg)
    period_ns = round(period_s * NS_PER_S)
    angle = 2 * np.pi * ((stamps % period_ns) / period_ns)
    n = len(angle)
    coherence = float(np.hypot(np.cos(angle).mean(), np.sin(angle).mean()))
    root = np.sqrt(1 + 4 * n + 4 * n**2 * max(1 - coherence**2, 0.0))
    return {"coherence": coherence, "p_value": float(np.exp(root - (1 + 2 * n)))}


def _stamps(column: pd.Series[int]) -> Stamps:
    return np.asarray(column, dtype=np.int64)
