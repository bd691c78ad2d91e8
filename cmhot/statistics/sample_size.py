"""How many pods and minutes a quantile needs, to be known to a given width."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import scipy

from cmhot.display import Page, Shown
from cmhot.errors import UsageError
from cmhot.kubelet.eras import era_of
from cmhot.kubelet.settings import MAX_PODS
from cmhot.law import QUANTILES, fresh_reads_for, law_for, reads_at_every_sync
from cmhot.law.price import price_of
from cmhot.statistics.blocks import MIN_BLOCKS

if TYPE_CHECKING:
    from cmhot.kubelet.settings import Setting
    from cmhot.law.price import Price


PODS = (6, 10, 20, 50, 100)
"""Numbers of pods to choose from; the first is the least that gives an interval."""
_MARGIN = 1.15
"""Factor on the number of intervals: the asymptotic width is a little less than the
real one (seen in docs/studies/coverage.md)."""


@dataclass(frozen=True, slots=True, repr=False)
class Precision(Shown):
    """How much measuring one quantile of the delay needs.

    Pods are counted, or nodes under Cache with a TTL, where pods of a node do not
    count apart.
    """

    setting: Setting
    sharers: int
    quantile: float  # share between 0 and 1
    value_s: float  # by the law
    width_s: float  # wanted, of its 95 % interval
    intervals: int  # refresh intervals that it takes
    minutes: dict[int, float]  # of measuring, by the number of pods or nodes
    unit: str  # ``pods`` or ``nodes``
    price: Price  # of the setting, for a kubelet

    def to_dict(self) -> dict[str, Any]:
        """Give it as ``plan --json`` does."""
        return {
            "setting": {
                "sync_frequency_s": self.setting.sync_frequency_s,
                "strategy": self.setting.strategy.value,
                "ttl_s": self.setting.ttl_s,
                "sharers": self.sharers,
            },
            "quantile": self.quantile,
            "value_s": self.value_s,
            "width_s": self.width_s,
            "intervals": self.intervals,
            "unit": self.unit,
            "choices": [
                {self.unit: number, "duration_s": 60 * minutes}
                for number, minutes in self.minutes.items()
            ],
            "price": self.price.to_dict(),
        }

    def page(self) -> Page:
        """Show the choices, and the command for one."""
        rows = [
            {self.unit: str(number), "minutes": f"{minutes:.1f}"}
            for number, minutes in self.minutes.items()
        ]
        heading = (
            f"p{100 * self.quantile:g} at {self.setting}, by the law "
            f"{self.value_s:.1f} s, within {self.width_s:g} s from end to end of its "
            f"95 % interval: about {self.intervals} refresh intervals"
        )
        return Page(heading, rows, (" ".join(self.price.lines()), self._command()))

    def to_text(self) -> str:
        """Write the choices for people, and the command for one."""
        lines = [
            (
                f"To know p{100 * self.quantile:g} ({self.value_s:.1f} s by the law) "
                f"at {self.setting} within {self.width_s:g} s,"
            ),
            (
                f"from end to end of its 95 % interval, takes about {self.intervals} "
                "refresh intervals:"
            ),
            "",
            f"{self.unit:>8}{'minutes':>10}",
        ]
        lines += [f"{n:8}{minutes:10.1f}" for n, minutes in self.minutes.items()]
        return "\n".join([*lines, "", *self.price.lines(), "", self._command()])

    def _command(self) -> str:
        number, minutes = list(self.minutes.items())[min(2, len(self.minutes) - 1)]
        pods = f"--pods {number} " if self.unit == "pods" else ""
        return f"cmhot collect --target … {pods}--duration {math.ceil(minutes)}m"


def plan_precision(
    setting: Setting,
    *,
    quantile: float = QUANTILES["p99_s"],
    width_s: float,
    sharers: int = 1,
    kubernetes: str | None = None,
    pods_per_node: int = MAX_PODS,
    maps: int = 1,
) -> Precision:
    """Give the pods and minutes that it takes to know a quantile to a width in seconds.

    The width is that of the 95 % interval, from end to end.
    By the delta method the interval estimator of the quantile t has the variance
    Var(A - p B) / (n (E[B] f(t))²) over n intervals, A = min(B, (t - V)⁺) being the
    part of an interval B in which an update waits for at most t, and f the density
    there (Cochran, Sampling Techniques, 1977, section 6.3, for the ratio of sums).
    The price is that of `cmhot.law.price`, for all pods of a node.
    """
    era_of(kubernetes)  # refuses what is none
    if not 0 < quantile < 1 or not 0 < width_s < math.inf:
        msg = (
            f"no plan for a width of {width_s!r} s at {quantile!r}: the width is above "
            "0, and the quantile between 0 and 1, such as --width 1s --quantile .99"
        )
        raise UsageError(msg)
    law = law_for(setting, sharers=sharers, kubernetes=kubernetes)
    reads = fresh_reads_for(setting, sharers=sharers, kubernetes=kubernetes)
    if law is None or reads is None:
        msg = f"no plan without the TTL of {setting}: give it, for instance --ttl 60s"
        raise UsageError(msg)
    t = float(law.quantile(quantile))
    step = max(t, 1.0) * 1e-3
    density = float(law.cdf(t + step) - law.cdf(t - step)) / (2 * step)
    apart = bool(reads_at_every_sync(setting, kubernetes))
    deviation = math.sqrt(reads.spread_at(t, quantile, sharers=1 if apart else sharers))
    half = scipy.stats.norm.ppf(0.975) * deviation / (reads.mean_between_s * density)
    needed = _MARGIN * (2 * half / width_s) ** 2
    choices = PODS if apart else (1, 2, 5)
    least = 1.0 if apart else float(MIN_BLOCKS)
    intervals = max(math.ceil(needed), MIN_BLOCKS)
    return Precision(
        setting=setting,
        sharers=sharers,
        quantile=quantile,
        value_s=t,
        width_s=width_s,
        intervals=intervals,
        minutes={
            number: max(intervals / number, least) * reads.mean_between_s / 60
            for number in choices
        },
        unit="pods" if apart else "nodes",
        price=price_of(setting, pods=pods_per_node, maps=maps, kubernetes=kubernetes),
    )
