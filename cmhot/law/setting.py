"""Which law holds at a kubelet's setting, by version."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from cmhot.errors import UsageError
from cmhot.kubelet import IDEAL, era_of
from cmhot.law.refresh import at_every_sync, through_cache
from cmhot.law.residual import residual_law
from cmhot.law.syncs import interval_pmf, longest_interval_s
from cmhot.settings import Strategy

if TYPE_CHECKING:
    from cmhot.kubelet import Timing
    from cmhot.law.distribution import Law
    from cmhot.law.refresh import Refresh
    from cmhot.settings import Setting


def reads_at_every_sync(setting: Setting, kubernetes: str | None = None) -> bool | None:
    """Tell whether each sync of a pod reads what the API server has.

    So it is under Watch and Get, and under Cache with a TTL of 0,
    or of any TTL in the versions where a TTL is without effect.

    Returns
    -------
    bool or None
        None where it depends on a TTL that is not known.
    """
    if setting.strategy is not Strategy.CACHE or not era_of(kubernetes).ttl_works:
        return True
    return None if setting.ttl_s is None else setting.ttl_s == 0


def law_for(
    setting: Setting,
    *,
    sharers: int = 1,
    kubernetes: str | None = None,
    timing: Timing = IDEAL,
) -> Law | None:
    """Give the law of one pod's delay at a setting; None where none is known.

    Parameters
    ----------
    setting
        Of the kubelet.
    sharers
        Pods on the pod's node that use the same ConfigMap, itself included.
        It matters under Cache with a TTL above 0 only.
    kubernetes
        Version of the kubelet, such as ``v1.28.15``; None: current.
    timing
        What the kubelet's work costs; the default is none.

    Returns
    -------
    Law or None
        None for Cache with an unknown TTL.

    Raises
    ------
    UsageError
        For fewer than one sharer.

    Examples
    --------
    >>> from cmhot.settings import Setting
    >>> law_for(Setting(60)).summary()["p95_s"]
    75.45...
    """
    refresh = refresh_for(
        setting, sharers=sharers, kubernetes=kubernetes, timing=timing
    )
    return None if refresh is None else _law(setting, refresh, kubernetes, timing)


def refresh_for(
    setting: Setting,
    *,
    sharers: int = 1,
    kubernetes: str | None = None,
    timing: Timing = IDEAL,
) -> Refresh | None:
    """Give how often new content is read at a setting; parameters as of `law_for`."""
    if sharers < 1:
        msg = f"{sharers} pods cannot share a ConfigMap: there is at least one"
        raise UsageError(msg)
    every = reads_at_every_sync(setting, kubernetes)
    if every is None:
        return None
    if every:
        return at_every_sync(*interval_pmf(setting, timing=timing))
    return _cached(setting, sharers, timing)


def law_of_node(
    setting: Setting,
    *,
    pods: int,
    sharers: int,
    kubernetes: str | None,
    timing: Timing,
) -> Law:
    """Give the delay until some pods of one node all have it, which share its cache.

    They are any `pods` of the `sharers`.
    """
    refresh = _cached(setting, sharers, timing, awaited=pods)
    return _law(setting, refresh, kubernetes, timing)


@lru_cache(maxsize=64)  # some take a tenth of a second, and are asked for again
def _cached(
    setting: Setting, sharers: int, timing: Timing, *, awaited: int = 0
) -> Refresh:
    if setting.ttl_s is None:
        msg = f"the TTL of {setting} is not known"
        raise UsageError(msg)
    return through_cache(
        interval_pmf(setting, timing=timing),
        ttl_s=setting.ttl_s,
        sharers=sharers,
        timing=timing,
        awaited=awaited,
    )


def _law(
    setting: Setting, refresh: Refresh, kubernetes: str | None, timing: Timing
) -> Law:
    longest = longest_interval_s(setting)
    cached = not reads_at_every_sync(setting, kubernetes)
    if cached and (refresh.between + refresh.wait).max() > longest:
        longest += setting.ttl_s or 0.0
    return residual_law(refresh, timing=timing, max_s=longest)
