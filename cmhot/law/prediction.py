"""What to expect before measuring: the delay by the law as a table, and its price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.display import Page, Shown
from cmhot.errors import UsageError
from cmhot.kubelet.eras import ERAS, IDEAL, era_of
from cmhot.kubelet.settings import MAX_PODS, Strategy
from cmhot.law.delay import (
    fleet_law,
    law_at_age,
    law_for,
    law_with_extra_syncs,
    reads_at_every_sync,
)
from cmhot.law.distribution import QUANTILES
from cmhot.law.price import price_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from cmhot.kubelet.eras import Era, Timing
    from cmhot.kubelet.settings import Setting
    from cmhot.law.distribution import Law
    from cmhot.law.price import Price


_S_PER_H = 3600
_POPULATION = "idle healthy pods, an update at an instant that knows nothing of them"


@dataclass(frozen=True, slots=True, repr=False)
class Prediction(Shown):
    """The delay to expect, by the law, and what the setting costs.

    Attributes
    ----------
    setting, sharers
        Of the kubelets, and pods per node that share the ConfigMap.
    pods, rank
        How many pods there are, and how many of them must have the update.
    kubelets
        Versions that it holds for, such as ``1.24 to 1.28``.
    one, law
        Laws of one pod's delay, and of the delay that was asked for.
    quantiles
        Shares asked for beside the usual ones.
    price
        What the setting costs the kubelet of a node.
    """

    setting: Setting
    sharers: int
    pods: int
    rank: int
    kubelets: str
    one: Law
    law: Law
    quantiles: tuple[float, ...]
    price: Price

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``predict --json``; seconds."""
        return {
            "setting": {
                "sync_frequency_s": self.setting.sync_frequency_s,
                "strategy": self.setting.strategy.value,
                "ttl_s": self.setting.ttl_s,
                "sharers": self.sharers,
            },
            "pods": self.pods,
            "rank": self.rank,
            "kubelets": self.kubelets,
            **self.law.summary(),
            "quantiles": {
                f"{p:g}": float(self.law.quantile(p)) for p in self.quantiles
            },
            "price": self.price.to_dict(),
        }

    def table(self) -> pd.DataFrame:
        """Give a row for one pod, and one for the pods asked for; seconds."""
        import pandas as pd  # noqa: PLC0415 - half a second that the text does not need

        return pd.DataFrame(self._rows()).set_index("delay until")

    def to_text(self) -> str:
        """Write the prediction for people."""
        rows = self._rows()
        width = max(len(str(row["delay until"])) for row in rows) + 2
        heads = [name for name in rows[0] if name != "delay until"]
        lines = [
            f"By the law, not measured: {self._where()}, kubelet {self.kubelets};",
            _POPULATION,
            "",
            f"{'seconds until':{width}}" + "".join(f"{head:>9}" for head in heads),
        ]
        for row in rows:
            cells = "".join(f"{row[head]:9.2f}" for head in heads)
            lines.append(f"{row['delay until']!s:{width}}{cells}")
        return "\n".join([*lines, "", *self.price.lines()])

    def _where(self) -> str:
        if self.sharers == 1:
            return str(self.setting)
        return f"{self.setting}, {self.sharers} pods a node share the ConfigMap"

    def _rows(self) -> list[dict[str, Any]]:
        laws = {"a given pod has it": self.one}
        if self.pods > 1:
            many = f"all {self.pods} pods have it"
            if self.rank < self.pods:
                many = f"{self.rank} of {self.pods} pods have it"
            laws[many] = self.law
        return [
            {"delay until": name, **self._numbers(law)} for name, law in laws.items()
        ]

    def _numbers(self, law: Law) -> dict[str, float]:
        found = {key.removesuffix("_s"): x for key, x in law.summary().items()}
        end = found.pop("max")
        also = {
            f"p{100 * p:g}": float(law.quantile(p))
            for p in self.quantiles
            if p not in QUANTILES.values()
        }
        return {**found, **also, "max": end}

    def page(self) -> Page:
        """Show a row for one pod, and one for the pods asked for."""
        rows = [
            {
                head: cell if isinstance(cell, str) else f"{cell:.2f} s"
                for head, cell in row.items()
            }
            for row in self._rows()
        ]
        heading = f"By the law, not measured: {self._where()}, kubelet {self.kubelets}"
        return Page(heading, rows, (_POPULATION, " ".join(self.price.lines())))


def predict(
    setting: Setting,
    *,
    pods: int = 1,
    rank: int | None = None,
    sharers: int = 1,
    kubernetes: str | None = None,
    quantiles: Sequence[float] = (),
    age_s: float | None = None,
    extra_syncs_per_h: float = 0.0,
    timing: Timing = IDEAL,
    pods_per_node: int = MAX_PODS,
    maps: int = 1,
) -> Prediction:
    """Predict the delay of a ConfigMap update at a kubelet setting.

    Parameters
    ----------
    setting
        `syncFrequency`, strategy and TTL.
    pods
        How many pods must have the update.
    rank
        Ask for the instant when so many of them have it; None: all.
    sharers
        Pods per node that share the ConfigMap, under Cache with a TTL.
    kubernetes
        Version of the kubelets, such as ``v1.28.15``; None: current.
    quantiles
        Shares between 0 and 1 beside p50, p90, p95 and p99.
    age_s
        Seconds since the pod was last synced, where that is known
        (it has just started, or its files have just changed); None: not known.
    extra_syncs_per_h
        Syncs of a pod from other causes, per hour.
    timing
        How long the kubelet's work takes; by default no time.
    pods_per_node, maps
        For the price: all pods of a node, and ConfigMaps that each of them mounts.

    Returns
    -------
    Prediction
        A table in JupyterLab; ``to_text()``, ``to_dict()``, ``law``.

    Raises
    ------
    UsageError
        For impossible values, and where no law is known.

    Examples
    --------
    >>> from cmhot import Setting, predict
    >>> round(predict(Setting(60)).law.mean_s, 1)
    38.2
    """
    era = era_of(kubernetes)  # refuses a version without a law
    if setting.strategy is not Strategy.CACHE and not era.has_strategies:
        msg = (
            f"a kubelet of {kubernetes} knows no {setting.strategy}, it caches: "
            "ask for --strategy Cache with the TTL of its node, 60 s unless annotated"
        )
        raise UsageError(msg)
    one = _one_pod(
        setting,
        sharers=sharers,
        kubernetes=kubernetes,
        age_s=age_s,
        extra_syncs_per_h=extra_syncs_per_h,
        timing=timing,
    )
    law = one
    if age_s is None and not extra_syncs_per_h:
        asked = fleet_law(
            setting,
            pods=pods,
            rank=rank,
            sharers=sharers,
            kubernetes=kubernetes,
            timing=timing,
        )
        law = asked or one
    elif pods > 1:
        msg = (
            "with a known age or extra syncs the law is that of one pod: "
            "leave --pods out, or leave those out"
        )
        raise UsageError(msg)
    law.quantile(list(quantiles))  # a share outside 0 … 1 is refused here
    return Prediction(
        setting=setting,
        sharers=sharers,
        pods=pods,
        rank=pods if rank is None else rank,
        kubelets=_kubelets(setting, kubernetes),
        one=one,
        law=law,
        quantiles=tuple(quantiles),
        price=price_of(setting, pods=pods_per_node, maps=maps, kubernetes=kubernetes),
    )


def _kubelets(setting: Setting, kubernetes: str | None) -> str:
    """Name the versions around one that have the same law at a setting."""
    is_cached = setting.strategy is Strategy.CACHE
    own = era_of(kubernetes)
    alike = [
        (is_cached or one.has_strategies)
        and (one.ttl_works == own.ttl_works or bool(reads_at_every_sync(setting)))
        for one in ERAS
    ]
    first = last = ERAS.index(own)
    while first > 0 and alike[first - 1]:
        first -= 1
    while last + 1 < len(ERAS) and alike[last + 1]:
        last += 1
    if last + 1 == len(ERAS):
        return f"from 1.{ERAS[first].since}"
    text = f"1.{ERAS[first].since} to 1.{ERAS[last + 1].since - 1}"
    if ERAS[first].backports:
        text += f", and from {_releases(ERAS[first])}"
    if ERAS[last + 1].backports:
        text += f", before {_releases(ERAS[last + 1])}"
    return text


def _releases(era: Era) -> str:
    """Name the releases since which older branches are of an era."""
    return " and ".join(f"1.{minor}.{patch}" for minor, patch in era.backports)


def _one_pod(
    setting: Setting,
    *,
    sharers: int,
    kubernetes: str | None,
    age_s: float | None,
    extra_syncs_per_h: float,
    timing: Timing,
) -> Law:
    """Choose the law of one pod."""
    special = age_s is not None or extra_syncs_per_h != 0
    if special and not reads_at_every_sync(setting, kubernetes):
        msg = (
            f"at {setting} a sync may read old content: there no law is known for "
            "a known age or extra syncs"
        )
        raise UsageError(msg)
    if age_s is not None and extra_syncs_per_h:
        msg = "no law is known for a known age and extra syncs together: choose one"
        raise UsageError(msg)
    if age_s is not None:
        return law_at_age(setting, age_s=age_s, timing=timing)
    if extra_syncs_per_h:
        return law_with_extra_syncs(
            setting, per_s=extra_syncs_per_h / _S_PER_H, timing=timing
        )
    law = law_for(setting, sharers=sharers, kubernetes=kubernetes, timing=timing)
    if law is None:
        msg = f"no law without the TTL of {setting}: give it, for instance --ttl 60s"
        raise UsageError(msg)
    return law
