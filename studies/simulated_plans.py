"""Folk laws of the delay, and the law itself, held against what was measured.

Rows are dependent, so no textbook p-value holds: the null distribution of the
distance sup|F̂ - F| comes from simulating the whole plan, with its pods,
its update instants and the dependence that the hypothesis makes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.errors import RunError, UsageError
from cmhot.kubelet.eras import IDEAL
from cmhot.law import law_for
from cmhot.runs import schema
from cmhot.statistics import holm
from cmhot.statistics.population import codes_of, observed_delays, one_population
from studies.draws import draw_looks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from cmhot.kubelet.eras import Timing
    from cmhot.kubelet.settings import Setting
    from cmhot.law import Law

    Floats = npt.NDArray[np.float64]
    Codes = npt.NDArray[np.int64]

REPLICATES = 999
"""Simulated plans: p-values are multiples of 0.001."""
MOST_CENSORED = 0.01
"""Largest share of delays that may have been waited for in vain."""
_MOST_ROWS = 5000
_GRID = 501


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """What was measured, without its outcomes.

    Attributes
    ----------
    pod
        Pod of each row, by number; shape (n,), ascending.
    made_s
        When each row's update was made, seconds since the first; shape (n,).
    entry
        Node and ConfigMap of each pod, by number; shape (pods,).
    """

    pod: Codes
    made_s: Floats
    entry: Codes

    @property
    def window_s(self) -> float:
        """From the first update to the last, seconds."""
        return float(self.made_s.max())


class Hypothesis(Protocol):
    """A way in which delays might come about."""

    @property
    def name(self) -> str:
        """In the words of a table."""

    @property
    def max_s(self) -> float:
        """Longest delay, seconds."""

    def cdf(self, t: Floats) -> Floats:
        """Give its distribution of the delay."""

    def draw(self, design: Design, rng: np.random.Generator) -> Floats:
        """Simulate the plan; give the delay of each row, shape (n,)."""


@dataclass(frozen=True, slots=True)
class EveryPeriod:
    """Each pod is refreshed every so many seconds: the delay is U(0, period).

    Attributes
    ----------
    period_s
        Seconds; each pod has a phase of its own.
    """

    period_s: float

    @property
    def name(self) -> str:
        """Name it by its distribution."""
        return f"U(0, {self.period_s:g} s)"

    @property
    def max_s(self) -> float:
        """Give the period."""
        return self.period_s

    def cdf(self, t: Floats) -> Floats:
        """Rise evenly from 0 to the period."""
        return np.clip(t / self.period_s, 0.0, 1.0)

    def draw(self, design: Design, rng: np.random.Generator) -> Floats:
        """Wait for the pod's next refresh."""
        phase = rng.uniform(0, self.period_s, len(design.entry))
        return (phase[design.pod] - design.made_s) % self.period_s


@dataclass(frozen=True, slots=True)
class FixedDelay:
    """Each update takes the same time, give or take half a second.

    Attributes
    ----------
    delay_s
        Seconds.
    """

    delay_s: float

    @property
    def name(self) -> str:
        """Name it by its value."""
        return f"always {self.delay_s:g} s"

    @property
    def max_s(self) -> float:
        """Give the delay and half a second."""
        return self.delay_s + 0.5

    def cdf(self, t: Floats) -> Floats:
        """Rise within the second around the delay."""
        return np.clip(t - self.delay_s + 0.5, 0.0, 1.0)

    def draw(self, design: Design, rng: np.random.Generator) -> Floats:
        """Draw the half second."""
        return self.delay_s + rng.uniform(-0.5, 0.5, len(design.pod))


@dataclass(frozen=True, slots=True)
class KubeletLaw:
    """Pods are synced as the kubelet's code says, in equilibrium.

    Attributes
    ----------
    setting
        Of the kubelet.
    kubernetes
        Version of the kubelet; None: current.
    timing
        What its work costs.
    sharers
        Pods of a node that share the ConfigMap, for the law's F.
    """

    setting: Setting
    kubernetes: str | None = None
    timing: Timing = IDEAL
    sharers: int = 1

    @property
    def name(self) -> str:
        """Name it by its setting."""
        return f"the law at {self.setting}"

    @property
    def max_s(self) -> float:
        """Give the end of the law's support."""
        return self._law().max_s

    def cdf(self, t: Floats) -> Floats:
        """Give the law's F."""
        return self._law().cdf(t)

    def draw(self, design: Design, rng: np.random.Generator) -> Floats:
        """Simulate each pod's syncs, and what each of them read."""
        looks, current = draw_looks(
            self.setting,
            rng,
            entry=design.entry,
            until_s=design.window_s,
            kubernetes=self.kubernetes,
            timing=self.timing,
        )
        far = float(looks.max() - looks.min()) + 2.0 + design.window_s
        base = np.arange(len(looks)) * far
        wanted = design.made_s + self.timing.staleness_s + base[design.pod]
        place = np.searchsorted((current + base[:, None]).ravel(), wanted, "left")
        shown = looks.ravel()[np.minimum(place, looks.size - 1)]
        return shown + self.timing.write_s - design.made_s

    def _law(self) -> Law:
        law = law_for(
            self.setting,
            sharers=self.sharers,
            kubernetes=self.kubernetes,
            timing=self.timing,
        )
        if law is None:
            msg = f"no law is known without the TTL of {self.setting}: give it"
            raise UsageError(msg)
        return law


def folk_laws(setting: Setting) -> tuple[Hypothesis, ...]:
    """List what is said of the delay where the law is not known: a declared family."""
    both_s = setting.sync_frequency_s + (setting.ttl_s or 0.0)
    said = (
        FixedDelay(10.0),
        EveryPeriod(60.0),
        EveryPeriod(90.0),
        FixedDelay(both_s),
    )
    return tuple(dict.fromkeys(said))


def judge_hypotheses(
    delays: pd.DataFrame,
    family: Sequence[Hypothesis],
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> pd.DataFrame:
    """Hold hypotheses against measured delays, each by simulating the whole plan.

    The distance is sup|F̂ - F| over 501 delays. With b of B simulated plans at least as
    far from their own F, p = (1 + b) / (1 + B)
    (Davison and Hinkley, Bootstrap Methods, 1997, section 4.2).
    Of more than 5000 rows each k-th update of a pod is taken,
    which does not depend on what became of it.

    Parameters
    ----------
    delays
        Rows of one setting and consumer, with ``node``, ``pod`` and ``acked_ns``.
    family
        All hypotheses of the family, declared beforehand:
        `folk_laws`, or a `KubeletLaw` by itself.
    replicates
        B.
    seed
        Of the simulations.

    Returns
    -------
    DataFrame
        One row per hypothesis: ``hypothesis, n`` (rows taken), ``distance``,
        ``p_value`` and ``p_holm``.

    Raises
    ------
    UsageError
        For an empty family, or a table of several populations.
    RunError
        When the table is damaged, no delay was observed,
        or more than 1 % of them were waited for in vain.
    """
    if not family:
        msg = "no hypothesis to judge: name the whole family beforehand"
        raise UsageError(msg)
    design, waited = _designed(delays)
    rng = np.random.default_rng(seed)
    rows = []
    for one in family:
        finite = waited[np.isfinite(waited)]
        t = np.linspace(0.0, max(one.max_s, float(finite.max())), _GRID)
        expected = one.cdf(t)
        distance = _distance(waited, t, expected)
        far = sum(
            _distance(one.draw(design, rng), t, expected) >= distance
            for _ in range(replicates)
        )
        rows.append(
            {
                "hypothesis": one.name,
                "n": len(waited),
                "distance": distance,
                "p_value": (1 + far) / (1 + replicates),
            }
        )
    table = pd.DataFrame(rows)
    return table.assign(p_holm=holm(table["p_value"].to_numpy()))


def _designed(delays: pd.DataFrame) -> tuple[Design, Floats]:
    """Take a plan and its outcomes apart; waiting in vain is endless."""
    one_population(delays)
    observed, seen = observed_delays(delays)
    kept = seen | delays["status"].isin(schema.DEAD_ENDS).to_numpy()
    if not observed.size:
        msg = f"none of {len(delays)} updates was seen to arrive: nothing can be judged"
        raise RunError(msg)
    vain = 1 - observed.size / kept.sum()
    if vain > MOST_CENSORED:
        msg = (
            f"{vain:.1%} of the delays were waited for in vain, so their distribution "
            f"is not known well enough (at most {MOST_CENSORED:.0%}): "
            "see kaplan_meier, and look for what kept them"
        )
        raise RunError(msg)
    rows = delays[kept]
    waited = np.where(seen[kept], rows["delay_s"].to_numpy(dtype=np.float64), np.inf)
    pod, pods = codes_of(rows["pod"])
    node, nodes = codes_of(rows["node"])
    maps = np.zeros(len(rows), dtype=np.int64)
    if "configmap" in rows:
        maps, _ = codes_of(rows["configmap"])
    made = rows["acked_ns"].to_numpy(dtype=np.int64)
    made_s = (made - made.min()) / NS_PER_S
    entry = np.zeros(pods, dtype=np.int64)
    entry[pod] = maps * nodes + node
    order = np.lexsort((made_s, pod))
    first = np.cumsum(np.bincount(pod)) - np.bincount(pod)
    rank = np.arange(len(rows)) - first[pod[order]]
    order = order[rank % -(-len(rows) // _MOST_ROWS) == 0]
    return Design(pod[order], made_s[order], entry), waited[order]


def _distance(waited: Floats, t: Floats, expected: Floats) -> float:
    """Give the largest difference of F̂ from what is expected, over all t."""
    found = np.searchsorted(np.sort(waited), t, "right") / len(waited)
    return float(np.abs(found - expected).max())


def shares_shown(
    simulate: Callable[[np.random.Generator], Mapping[str, bool]], replicates: int
) -> dict[str, float]:
    """Give the share of simulated studies in which each hypothesis was shown."""
    found = [simulate(np.random.default_rng(seed)) for seed in range(replicates)]
    return {name: sum(one[name] for one in found) / replicates for name in found[0]}
