"""From refreshes to the law of the delay: residual lives, known ages, extra syncs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from cmhot.errors import UsageError
from cmhot.kubelet import IDEAL, JITTER, LOOPS_S, TICK_S
from cmhot.law.distribution import Law
from cmhot.law.refresh import loops_cdf, loops_excess
from cmhot.law.syncs import interval_pmf, longest_interval_s

if TYPE_CHECKING:
    import numpy.typing as npt

    from cmhot.kubelet import Timing
    from cmhot.law.refresh import Refresh
    from cmhot.settings import Setting

    Floats = npt.NDArray[np.float64]

_AROUND = np.linspace(-LOOPS_S, LOOPS_S, 9)
"""Where the loops round a corner of F: it is followed on these points."""

_FINE = 16
"""Points per tick along a curve: between them F is straight to below 0.0001."""


def residual_law(refresh: Refresh, *, timing: Timing, max_s: float) -> Law:
    """Give the delay of an update at a random instant.

    With Y between two reads and V from the second to the pod's own look,
    F(t) = E[min(Y, (t - V)⁺)] / E[Y] = (E[(t - V)⁺] - E[(t - V - Y)⁺]) / E[Y]:
    of a random interval, the part that an update must fall into.
    Without V this is the residual life of Y.

    Parameters
    ----------
    refresh
        Y and V, in ticks.
    timing
        Its loops blur each look by up to 0.2 s,
        its staleness and write time shift the whole law.
    max_s
        End of the support, seconds, before that shift.
    """
    shown = refresh.wait + refresh.between
    corners = np.union1d(refresh.wait, shown)
    t = corners
    if timing.has_loops:
        t = np.unique(np.maximum(corners[:, None] + _AROUND, 0.0).round(9))
    moved = refresh.wait > 0
    below = _excess(t, refresh.wait[moved], refresh.probability[moved], timing)
    below += refresh.probability[~moved].sum() * t  # the pod that read, shows at once
    below -= _excess(t, shown, refresh.probability, timing)
    shift = timing.staleness_s + timing.write_s
    share = np.maximum.accumulate(np.clip(below / refresh.mean_between_s, 0.0, 1.0))
    share[-1] = 1.0
    return Law(t + shift, share, max_s + shift)


def _excess(t: Floats, ticks: Floats, probability: Floats, timing: Timing) -> Floats:
    """Give E[(t - K)⁺] at each t, K a whole number of ticks, blurred by the loops."""
    if ticks.size == 0:
        return np.zeros_like(t)
    weight = np.bincount(ticks.astype(int), probability)
    k = np.flatnonzero(weight)
    late = t[:, None] - k[None, :]
    beyond = loops_excess(late) if timing.has_loops else np.maximum(late, 0.0)
    return np.asarray(beyond @ weight[k])


def law_at_age(setting: Setting, *, age_s: float, timing: Timing = IDEAL) -> Law:
    """Give the time until the next sync of a pod whose last one is known.

    A pod that was last seen to be synced `age_s` ago (its ``..data`` changed then)
    has X - age left, given X > age. For a pod that has just started this is far
    longer than for a random instant.
    Holds where each sync reads new content, and nothing but the timer syncs the pod.

    Parameters
    ----------
    setting
        Of the kubelet.
    age_s
        Seconds since the last publication; from 0 to below the longest interval.
    timing
        Its loops blur both looks; without them the law is one of whole seconds.

    Raises
    ------
    UsageError
        For an age that no idle pod reaches, or a negative one.
    """
    values, probabilities = interval_pmf(setting, timing=timing)
    reach = float(values[-1]) + (LOOPS_S if timing.has_loops else 0.0)
    if not 0 <= age_s < reach:
        msg = (
            f"no idle pod is {age_s:g} s old at {setting}: "
            f"an age is from 0 to below {reach:g} s"
        )
        raise UsageError(msg)
    width = _AROUND if timing.has_loops else np.array([-1e-9, 0.0])
    t = np.unique((values[:, None] + width).ravel().round(9))
    late = t[:, None] - values[None, :]
    steps = loops_cdf(late) if timing.has_loops else (late >= 0).astype(np.float64)
    shares = steps @ probabilities
    alive = float(np.interp(age_s, t, shares, left=0.0))
    t, shares = t - age_s, (shares - alive) / (1.0 - alive)
    kept = t > 0
    shift = timing.staleness_s + timing.write_s
    return Law(
        np.append(0.0, t[kept]) + shift,
        np.append(0.0, np.clip(shares[kept], 0.0, 1.0)),
        longest_interval_s(setting) - age_s + shift,
    )


def law_with_extra_syncs(
    setting: Setting, *, per_s: float, timing: Timing = IDEAL
) -> Law:
    """Give the delay where other causes sync the pod too, at random and at a rate.

    Causes are changes of the pod's labels and annotations, container starts and
    exits, failing probes. Each sync, whatever caused it, sets the timer anew, so the
    interval is Z = min(X, E), E exponential: P(Z > u) = P(X > u) exp(-rate u).
    After an extra sync X begins between two ticks and is S (1 + U/2) plus a uniform
    part of a second: the two kinds of interval are weighed by how often they occur.
    Holds where each sync reads new content.

    Parameters
    ----------
    setting
        Of the kubelet.
    per_s
        Extra syncs per second and pod; not negative.
    timing
        Of the kubelet; its loops are left out, which shifts no quantile by 0.02 s.

    Raises
    ------
    UsageError
        For a negative rate.
    """
    if not 0 <= per_s < math.inf:
        msg = f"{per_s!r} extra syncs a second are not possible: a rate is 0 or more"
        raise UsageError(msg)
    values, probabilities = interval_pmf(setting, timing=timing)
    s = setting.sync_frequency_s + timing.sync_s
    t = np.linspace(0.0, values[-1] + TICK_S, int(values[-1] + TICK_S) * _FINE + 1)
    longer = np.append(1.0, 1.0 - np.cumsum(probabilities))
    on_tick = longer[np.searchsorted(values, t, "right")]
    off_tick = 1.0 - _ramp(t, s, setting.sync_frequency_s * JITTER)
    decay = np.exp(-per_s * t)
    # each survival function, integrated to t: straight within a step, times the decay
    steps = np.diff(t)
    mass = (decay[:-1] - decay[1:]) / per_s if per_s else steps

    def area(survival: Floats, *, flat: bool) -> Floats:
        level = survival[:-1] if flat else (survival[:-1] + survival[1:]) / 2
        return np.append(0.0, np.cumsum(level * mass))

    lattice, between = area(on_tick, flat=True), area(off_tick, flat=False)
    # P(ended by the timer) = 1 - rate E[Z]; the chain of kinds of interval is balanced
    timed_on, timed_off = 1 - per_s * lattice[-1], 1 - per_s * between[-1]
    share_on = timed_off / (1 - timed_on + timed_off)
    total = share_on * lattice + (1 - share_on) * between
    shift = timing.staleness_s + timing.write_s
    return Law(t + shift, total / total[-1], longest_interval_s(setting) + shift)


def _ramp(t: Floats, start: float, spread: float) -> Floats:
    """Give the distribution function of start + spread U + a uniform part of a tick."""

    def area(x: Floats) -> Floats:
        return np.maximum(x, 0.0) ** 2 / 2

    x = t - start
    corners = area(x) - area(x - spread) - area(x - TICK_S) + area(x - spread - TICK_S)
    return np.asarray(corners / (spread * TICK_S))
