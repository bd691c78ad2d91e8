"""What a setting costs a kubelet: its CPU and its requests, by a law that was fitted.

Kubelets counted both, window by window (docs/studies/costs-protocol.md). Each is a sum
of `TERMS`; how much each term is, and how well that is known, stands in ``price.json``
beside this module, which ``python -m studies.findings`` writes. It is the fit without
windows in which pods still started (docs/findings.md has the declared one beside it).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.kubelet.eras import minor_of
from cmhot.kubelet.settings import MAX_PODS, Setting, Strategy
from cmhot.law.delay import law_for
from cmhot.law.distribution import QUANTILES
from cmhot.law.reads import mean_interval_s

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Estimate = dict[str, Any]
    """``value``, and ``95``: the ends of its 95 % interval."""

FILE = Path(__file__).with_name("price.json")
TERMS = ("idle", "pod", "map", "sync", *(f"read_{one}" for one in Strategy))
"""A kubelet without pods; each pod, and each ConfigMap of each pod; each sync a second,
and each ConfigMap that a sync reads a second, by strategy."""
REQUESTS_PER_S = 50.0
"""A kubelet's kubeAPIQPS, by default from 1.27 on."""
SATURATED = 0.8
"""Where reads alone would take more than this share of it, nothing was fitted."""
_LIMITED = {
    "sync_frequency_s": "syncFrequency of {:g} s",
    "pods": "{:g} pods a node",
    "maps": "{:g} ConfigMaps a pod",
}


def syncs_per_s(setting: Setting, pods: int) -> float:
    """Say how often a kubelet syncs its idle pods, by the law."""
    return pods / mean_interval_s(setting)


def is_saturated(setting: Setting, *, pods: int, maps: int) -> bool:
    """Tell whether reads alone take nearly all requests that a kubelet may send."""
    if setting.strategy is Strategy.WATCH:
        return False
    return syncs_per_s(setting, pods) * maps > SATURATED * REQUESTS_PER_S


def design(
    *,
    pods: npt.ArrayLike,
    maps: npt.ArrayLike,
    syncs_per_s: npt.ArrayLike,
    strategy: npt.ArrayLike,
) -> Floats:
    """Write how much there is of each of `TERMS`.

    Parameters
    ----------
    pods, maps, syncs_per_s, strategy
        Pods of a node, ConfigMaps of each, their syncs, and the strategy's name;
        numbers, or each of shape (n,).

    Returns
    -------
    array
        Shape (terms,), or (n, terms).
    """
    m, n, syncs = (np.asarray(one, np.float64) for one in (maps, pods, syncs_per_s))
    reads = [syncs * m * (np.asarray(strategy) == one.value) for one in Strategy]
    return np.stack([np.ones_like(n), n, n * m, syncs, *reads], axis=-1)


def row_of(setting: Setting, *, pods: int, maps: int) -> Floats:
    """Give the row of `design` of so many idle pods at a setting, by the law."""
    syncs = syncs_per_s(setting, pods)
    return design(
        pods=pods, maps=maps, syncs_per_s=syncs, strategy=setting.strategy.value
    )


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A law that is a sum of `TERMS`, and how well each is known.

    Attributes
    ----------
    value, covariance
        Of the terms.
    t
        Half of a 95 % interval, in standard errors.
    """

    value: Floats
    covariance: Floats
    t: float

    def of(self, row: Floats) -> Estimate:
        """Give a sum of the terms, with its 95 % interval."""
        value = float(row @ self.value)
        half = self.t * float(np.sqrt(row @ self.covariance @ row))
        return {"value": value, "95": [value - half, value + half]}


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What was measured and fitted.

    Attributes
    ----------
    kubelet
        Its version.
    limits
        Least and most of `syncFrequency` in seconds, of pods and of ConfigMaps a pod.
    fits
        Of ``millicores`` and ``requests_per_s``.
    """

    kubelet: str
    limits: Mapping[str, Sequence[float]]
    fits: Mapping[str, Fit]

    def lacks(
        self, setting: Setting, *, pods: int, maps: int, kubernetes: str | None
    ) -> str:
        """Say what of it was not measured; empty: all of it was."""
        if minor_of(kubernetes) not in {None, minor_of(self.kubelet)}:
            return f"on kubelet {kubernetes}, only on {self.kubelet}"
        if setting.strategy is Strategy.CACHE and setting.ttl_s != 0:
            return "under Cache with another TTL than 0"
        asked = (setting.sync_frequency_s, pods, maps)
        for value, (name, words) in zip(asked, _LIMITED.items(), strict=True):
            least, most = self.limits[name]
            if not least <= value <= most:
                return f"for {words.format(value)}, only for {least:g} to {most:g}"
        if is_saturated(setting, pods=pods, maps=maps):
            return (
                f"at {setting}: reads take over {SATURATED:.0%} of the "
                f"{REQUESTS_PER_S:g} requests/s of a kubelet"
            )
        return ""


@cache
def fitted() -> Fitted:
    """Read what comes with the package."""
    content = json.loads(FILE.read_bytes())
    fits = {
        name: Fit(np.array(one["value"]), np.array(one["covariance"]), one["t"])
        for name, one in content["fits"].items()
    }
    return Fitted(content["kubelet"], content["limits"], fits)


@dataclass(frozen=True, slots=True)
class Price:
    """What a kubelet spends at a setting, and how much more than at another one.

    Attributes
    ----------
    setting, instead_of
        The two settings.
    pods, maps
        Pods of the node, and ConfigMaps that each of them mounts.
    kubelet
        Version of the kubelets that were measured.
    not_measured
        What was not, in words; empty: all of it was.
    spent, more
        ``millicores`` of the kubelet's process and ``requests_per_s`` to the API
        server, each with ``value`` and the ends of its interval, ``95``; `more` is the
        difference between the settings. Empty: not measured.
    p99_s
        99 % point of a pod's delay by the law, at both settings; empty: not measured.
    """

    setting: Setting
    instead_of: Setting
    pods: int
    maps: int
    kubelet: str
    not_measured: str
    spent: Mapping[str, Estimate]
    more: Mapping[str, Estimate]
    p99_s: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Give it as ``predict --json`` does."""
        return {
            "pods_per_node": self.pods,
            "maps": self.maps,
            "kubelet": self.kubelet,
            "not_measured": self.not_measured or None,
            "spent": self.spent,
            "instead_of": {
                "sync_frequency_s": self.instead_of.sync_frequency_s,
                "strategy": self.instead_of.strategy.value,
                "p99_s": self.p99_s[1] if self.p99_s else None,
            },
            "more": self.more,
        }

    def lines(self) -> list[str]:
        """Write it for people."""
        maps = "1 ConfigMap" if self.maps == 1 else f"{self.maps} ConfigMaps"
        first = (
            f"Price for the kubelet ({self.kubelet}, fitted) of {self.pods} idle pods "
            f"with {maps} each:"
        )
        if self.not_measured:
            return [first, f"not measured {self.not_measured}"]
        if self.setting == self.instead_of:
            return [first, said(self.spent, sign="")]
        here_s, there_s = self.p99_s
        default = "the default, " if self.instead_of == Setting() else ""
        return [
            first,
            (
                f"{self.setting} instead of {default}{self.instead_of}: "
                f"p99 {here_s:.1f} s instead of {there_s:.1f} s,"
            ),
            said(self.more, sign="+"),
        ]


def said(costs: Mapping[str, Estimate], *, sign: str) -> str:
    """Write millicores and requests with their intervals."""
    parts = []
    for name, words, digits in (
        ("millicores", "millicores", 1),
        ("requests_per_s", "requests/s", 2),
    ):
        low, high = costs[name]["95"]
        form = f"z.{digits}f"
        value = f"{costs[name]['value']:{sign}{form}}"
        parts.append(f"{value} {words} (95 %: {low:{form}} to {high:{form}})")
    return ", ".join(parts)


def price_of(
    setting: Setting,
    *,
    pods: int = MAX_PODS,
    maps: int = 1,
    instead_of: Setting | None = None,
    kubernetes: str | None = None,
) -> Price:
    """Say what a setting costs a kubelet, and how much more than another one.

    It was measured for idle, healthy pods that all mount the same ConfigMaps, which do
    not change, on a kubelet that has the node's pods alone; what containerd, the API
    server and etcd spend is not counted (docs/findings.md).

    Parameters
    ----------
    setting
        `syncFrequency`, strategy and TTL.
    pods, maps
        Pods of the node, and ConfigMaps that each of them mounts.
    instead_of
        What it is compared with; None: the kubelet's default.
    kubernetes
        Version of the kubelet; None: the one that was measured.

    Returns
    -------
    Price
        ``lines()`` say it; where something was not measured, they say that.

    Examples
    --------
    >>> from cmhot import Setting
    >>> price_of(Setting(10), pods=500).not_measured
    'for 500 pods a node, only for 0 to 110'
    """
    law, other = fitted(), instead_of or Setting()
    lacking = [
        law.lacks(one, pods=pods, maps=maps, kubernetes=kubernetes)
        for one in (setting, other)
    ]
    not_measured = next(filter(None, lacking), "")
    spent: dict[str, Estimate] = {}
    more: dict[str, Estimate] = {}
    p99_s: tuple[float, ...] = ()
    if not not_measured:
        here, there = (row_of(one, pods=pods, maps=maps) for one in (setting, other))
        spent = {name: fit.of(here) for name, fit in law.fits.items()}
        more = {name: fit.of(here - there) for name, fit in law.fits.items()}
        p99_s = tuple(map(_p99_s, (setting, other)))
    return Price(
        setting=setting,
        instead_of=other,
        pods=pods,
        maps=maps,
        kubelet=law.kubelet,
        not_measured=not_measured,
        spent=spent,
        more=more,
        p99_s=p99_s,
    )


def _p99_s(setting: Setting) -> float:
    law = law_for(setting)
    assert law is not None  # noqa: S101 - a TTL that is not known was not measured
    return float(law.quantile(QUANTILES["p99_s"]))
