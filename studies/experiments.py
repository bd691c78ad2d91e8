"""What `studies.coverage` counts: one experiment per interval, test and design.

An experiment draws one table of which the truth is known, applies one function of
`cmhot.statistics` or `studies` to it, and says of each statistic whether it was right:
whether an interval held the truth, whether a test rejected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import scipy

from cmhot import statistics as st
from cmhot.experiments.closed_loop import LOOK_EVERY_S
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.law import QUANTILES, Law, interval_pmf
from cmhot.statistics.agreement import MARGIN_P50, MARGIN_P99, MARGIN_SUP
from studies.checks import (
    bootstrap_confidence,
    equivalence_of_samples,
    exact_quantile,
    lattice_test,
    mean_in_step,
    median_of_stretches,
)
from studies.draws import TIMING, draw_delays, draw_in_step, draw_refresh, truth
from studies.simulated_plans import KubeletLaw, folk_laws, judge_hypotheses

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from cmhot.statistics.limits import Bounds
    from studies.simulated_plans import Hypothesis

    Floats = npt.NDArray[np.float64]
    Hits = Mapping[str, bool]
    Rng = np.random.Generator

Kind = Literal["exact", "approximate", "test", "power"]
"""What the share of an experiment must be: see `studies.coverage`."""

ALPHA = 0.05
S10, S60, S5, S20 = (Setting(s) for s in (10, 60, 5, 20))
GET = Setting(10, Strategy.GET)
CACHE = Setting(10, Strategy.CACHE, 60.0)


@dataclass(frozen=True, slots=True)
class Experiment:
    """One line of the study.

    Attributes
    ----------
    what
        The function, and what is asked of it.
    setting, blocks
        Of the design.
    kind
        What its share must be: see `studies.coverage`.
    nominal
        What it says of itself: coverage, or error of a test.
    run
        Draws one table, and tells of each statistic whether it hit.
    """

    what: str
    setting: str
    blocks: str
    kind: Kind
    nominal: float
    run: Callable[[Rng], Hits]


@dataclass(frozen=True, slots=True)
class Design:
    """Who is measured for how long: ``pods`` of which ``sharers`` share each cache."""

    setting: Setting
    pods: int
    window_s: float
    sharers: int = 1

    def __str__(self) -> str:
        """Say it for the table."""
        minutes = f"{self.window_s / 60:.3g} min"
        if self.setting != CACHE:
            return f"{self.pods} pods, {minutes}"
        nodes = self.pods // self.sharers
        return f"{nodes} node{'s' * (nodes > 1)} of {self.sharers}, {minutes}"

    def refresh(self, rng: Rng) -> pd.DataFrame:
        """Draw refresh intervals."""
        return draw_refresh(
            self.setting,
            rng,
            pods=self.pods,
            window_s=self.window_s,
            sharers=self.sharers,
        )

    def delays(self, rng: Rng) -> pd.DataFrame:
        """Draw delays."""
        return draw_delays(
            self.setting,
            rng,
            pods=self.pods,
            window_s=self.window_s,
            sharers=self.sharers,
        )

    @property
    def law(self) -> Law:
        """What they are drawn from."""
        return truth(self.setting, sharers=self.sharers)


@lru_cache(maxsize=64)
def _numbers(setting: Setting, sharers: int) -> dict[str, float]:
    found = truth(setting, sharers=sharers).summary()
    del found["max_s"]
    return found


def _inside(found: Mapping[str, Bounds | None], true: Mapping[str, float]) -> Hits:
    """Tell of each statistic whether its interval holds the truth."""
    hits = {}
    for name, value in true.items():
        pair = found[name]
        if pair is None:
            msg = f"no interval of {name}: the design is below the stated minimum"
            raise ValueError(msg)
        low, high = pair
        hits[name] = low <= value and (math.isnan(high) or value <= high)
    return hits


def _by_refresh(design: Design, rng: Rng) -> Hits:
    found = st.confidence(st.interval_blocks(design.refresh(rng)))
    return _inside(found, _numbers(design.setting, design.sharers))


def _at_level(design: Design, level: float, rng: Rng) -> Hits:
    """Take the level of one interval of a family, as H5 does."""
    found = st.confidence(st.interval_blocks(design.refresh(rng)), level=level)
    return _inside(found, _numbers(design.setting, design.sharers))


def _closed_loops(pause_s: float, rng: Rng) -> Hits:
    """Give limits of a closed loop's mean, of six loops as H10 does."""
    waits = _loop_waits(pause_s, 6 * 25, rng)
    means = waits.reshape(6, 25).mean(axis=1)
    half = scipy.stats.t.ppf(1 - ALPHA / 2, 5) * scipy.stats.sem(means)
    true = _loop_mean(pause_s)
    return {"mean": bool(abs(means.mean() - true) <= half)}


def _loop_waits(pause_s: float, n: int, rng: Rng) -> Floats:
    """Draw delays of updates that are made some time after a sync.

    That is the pause, and the time until a look finds the update, half a second apart.
    """
    seconds, share = interval_pmf(S10)
    age = pause_s + LOOK_EVERY_S * (1 + rng.random(n))
    wait = rng.choice(seconds, n, p=share) - age
    while (wait < 0).any():  # synced during the pause, with nothing new
        wait = np.where(wait < 0, wait + rng.choice(seconds, n, p=share), wait)
    return wait


@lru_cache(maxsize=8)
def _loop_mean(pause_s: float) -> float:
    return float(_loop_waits(pause_s, 4_000_000, np.random.default_rng(0)).mean())


def _in_step(every_s: float, rng: Rng) -> Hits:
    """Give limits of the mean of ten pods disturbed in step, as H11 does."""
    waits, made_s = draw_in_step(S60, rng, every_s=every_s, window_s=520.0)
    low, high = mean_in_step(waits, made_s)[1]
    return {"mean": low <= _mean_in_step(every_s) <= high}


@lru_cache(maxsize=4)
def _mean_in_step(every_s: float) -> float:
    rng = np.random.default_rng(0)
    draws = [
        draw_in_step(S60, rng, every_s=every_s, window_s=50_000.0)[0] for _ in range(8)
    ]
    return float(np.mean([one.mean() for one in draws]))


def _dependent_trials(correlation: float, rng: Rng) -> Hits:
    """Give limits of the median of 50 trials, each like the one before, as H8 does."""
    noise = rng.standard_normal(70)
    for k in range(1, 70):
        noise[k] = correlation * noise[k - 1] + math.sqrt(1 - correlation**2) * noise[k]
    low, high = median_of_stretches(np.exp(noise[-50:]))
    return {"median": low <= 1.0 <= high}


def _by_delays(design: Design, rng: Rng) -> Hits:
    found = st.confidence(st.delay_blocks(design.delays(rng)))
    return _inside(found, _numbers(design.setting, design.sharers))


def _by_bootstrap(design: Design, rng: Rng) -> Hits:
    blocks = st.interval_blocks(design.refresh(rng))
    found = bootstrap_confidence(blocks, seed=_seed(rng))
    return _inside(found, _numbers(design.setting, design.sharers))


def _by_cdf(design: Design, rng: Rng) -> Hits:
    blocks = st.interval_blocks(design.refresh(rng))
    low, high = st.cdf_bounds(blocks)
    hits = {}
    for share in (0.1, 0.5, 0.9, 0.99):
        t = float(design.law.quantile(share))
        place = int(np.abs(blocks.t - t).argmin())
        value = float(design.law.cdf(blocks.t[place]))
        hits[f"F = {share:g}"] = bool(low[place] <= value <= high[place])
    return hits


def _one_sided(design: Design, rng: Rng) -> Hits:
    blocks = st.delay_blocks(design.delays(rng), worst_case=True)
    found = st.confidence(blocks, level=0.90)
    true = _numbers(design.setting, design.sharers)
    return {name: not pair or not pair[1] < true[name] for name, pair in found.items()}


def _by_survival(design: Design, rng: Rng) -> Hits:
    """Censor by the end of observation and by random interruptions."""
    table = design.delays(rng)
    limit = rng.exponential(6 * design.law.mean_s, len(table))
    late = limit < table["delay_s"].to_numpy()
    table = table.assign(
        waited_s=np.where(late, limit, table["delay_s"]),
        delay_s=np.where(late, np.nan, table["delay_s"]),
        status=np.where(late, "interrupted", "observed"),
    )
    found = st.kaplan_meier(table, seed=_seed(rng))
    true = design.law.quantile(found["quantile"].to_numpy())
    inside = (found["low_s"] <= true) & (true <= found["high_s"])
    return dict(zip(QUANTILES, inside.tolist(), strict=True))


def _exact(quantile: float, n: int, rng: Rng) -> Hits:
    law = truth(S10)
    table = pd.DataFrame(
        {"status": "observed", "delay_s": law.sample(rng, n), "pod": range(n)}
    )
    low, high = exact_quantile(table, quantile=quantile)
    return {f"p{100 * quantile:g}": low <= float(law.quantile(quantile)) <= high}


def _thinned(quantile: float, rng: Rng) -> Hits:
    table = draw_delays(S10, rng, pods=6, window_s=400.0, gaps_s=(16.2, 40.0))
    low, high = exact_quantile(table, quantile=quantile)
    return {f"p{100 * quantile:g}": low <= float(truth(S10).quantile(quantile)) <= high}


def _never(share: float, pods: int, rng: Rng) -> Hits:
    updated = rng.random(pods) < share
    table = pd.DataFrame(
        {
            "sync_frequency_s": 10.0,
            "strategy": "Watch",
            "ttl_s": 0.0,
            "consumer": "env",
            "pod": range(pods),
            "waited_s": 90.0,
            "status": np.where(updated, "observed", "timeout"),
        }
    )
    return {"upper": share <= float(st.never_updates(table)["upper"].iloc[0])}


def _by_fleet(design: Design, sizes: tuple[int, ...], rng: Rng) -> Hits:
    table = st.fleet_maximum(design.refresh(rng), sizes=sizes, seed=_seed(rng))
    hits = {}
    for row in table.to_dict("records"):
        true = _fleet_numbers(design.setting, int(row["pods"]))
        for name in ("mean", "p50", "p95", "p99"):
            low, high = row[f"{name}_low_s"], row[f"{name}_high_s"]
            covers = low <= true[f"{name}_s"] and not high < true[f"{name}_s"]
            hits[f"{name}_s, N = {row['pods']}"] = covers
    return hits


def _pairs_at_level(design: Design, level: float, rng: Rng) -> Hits:
    """Take the level of one interval of a family, of two pods, as H6 does."""
    table = st.fleet_maximum(
        design.refresh(rng), sizes=(2,), level=level, seed=_seed(rng)
    )
    true = _fleet_numbers(design.setting, 2)["p50_s"]
    row = table.iloc[0]
    return {"p50_s": bool(row["p50_low_s"] <= true <= row["p50_high_s"])}


@lru_cache(maxsize=64)
def _fleet_numbers(setting: Setting, pods: int) -> dict[str, float]:
    """Give the truth as a long draw has it: the law of a fleet is an approximation."""
    rng = np.random.default_rng(0)
    draws = [
        st.fleet_maximum(
            draw_refresh(
                setting, rng, pods=20, window_s=720 * setting.sync_frequency_s
            ),
            sizes=[pods],
        ).iloc[0]
        for _ in range(FLEET_DRAWS)
    ]
    names = ("mean_s", "p50_s", "p95_s", "p99_s")
    return {name: float(np.mean([one[name] for one in draws])) for name in names}


FLEET_DRAWS = 150
"""Long draws that the truth of a fleet is the mean of."""

FAMILY = (("a", "b"), ("a", "c"), ("b", "c"))


def _compared(design: Design, rng: Rng) -> pd.DataFrame:
    samples = {name: st.interval_blocks(design.refresh(rng)) for name in "abc"}
    return st.compare_quantiles(samples, family=FAMILY, seed=_seed(rng))


def _difference_covers(design: Design, rng: Rng) -> Hits:
    table = _compared(design, rng)[:2]
    covers = (table["low_s"] <= 0) & (table["high_s"] >= 0)
    return dict(zip(("p50_s", "p95_s"), covers.tolist(), strict=True))


def _family_errs(design: Design, rng: Rng) -> Hits:
    return {"any of 6": bool((_compared(design, rng)["p_holm"] <= ALPHA).any())}


def _told_apart(first: Design, second: Design, rng: Rng) -> Hits:
    samples = {
        "a": st.interval_blocks(first.refresh(rng)),
        "b": st.interval_blocks(second.refresh(rng)),
    }
    table = st.compare_quantiles(samples, family=[("a", "b")], seed=_seed(rng))
    return {"p50 and p95": bool((table["p_holm"] <= ALPHA).all())}


def _shown(design: Design, law: Law, rng: Rng) -> Hits:
    sync = design.setting.sync_frequency_s
    found = st.equivalence(
        design.refresh(rng), law, sync_frequency_s=sync, seed=_seed(rng)
    )
    return {"equivalent": bool(found["equivalent"])}


def _shown_alike(design: Design, longer_s: float, rng: Rng) -> Hits:
    first, second = design.refresh(rng), design.refresh(rng)
    second["most_s"] += longer_s
    sync = design.setting.sync_frequency_s
    found = equivalence_of_samples(
        first, second, sync_frequency_s=sync, seed=_seed(rng)
    )
    return {"equivalent": bool(found["equivalent"])}


def _law_off_at_median(law: Law, sync_frequency_s: float) -> Law:
    """Move a law so that its median differs by just the margin."""
    shift = MARGIN_P50 * sync_frequency_s
    return Law(np.append(0.0, law.t + shift), np.append(0.0, law.share), law.max_s)


def _law_off_at_tail(law: Law, sync_frequency_s: float) -> Law:
    """Stretch the last tenth so that p99 differs by just the margin."""
    t = np.union1d(law.t, law.quantile(np.linspace(0.9, 1, 200)))
    p90, p99 = law.quantile([0.9, 0.99])
    scale = MARGIN_P99 * sync_frequency_s / (p99 - p90)
    return Law(t + scale * np.maximum(t - p90, 0), law.cdf(t), 2 * law.max_s)


def _law_off_in_share(law: Law, _: float) -> Law:
    """Bend a law between its quantiles so that the shares differ by just the margin."""
    low, middle, high = law.quantile([0.1, 0.25, 0.4])
    t = np.union1d(law.t, [low, middle, high])
    bump = np.interp(t, [low, middle, high], [0.0, MARGIN_SUP, 0.0])
    return Law(t, law.cdf(t) + bump, law.max_s)


def _rejects(
    design: Design,
    family: tuple[Hypothesis, ...],
    rng: Rng,
    *,
    replicates: int,
) -> Hits:
    table = judge_hypotheses(
        design.delays(rng), family, replicates=replicates, seed=_seed(rng)
    )
    rejected = (table["p_holm"] <= ALPHA).tolist()
    return dict(zip(table["hypothesis"], rejected, strict=True))


def _lattice(design: Design, rng: Rng) -> Hits:
    found = lattice_test(design.refresh(rng), design.setting, timing=TIMING)
    return {"rejected": found.p_value <= ALPHA}


def _lattice_finds(design: Design, other: Setting, rng: Rng) -> Hits:
    found = lattice_test(design.refresh(rng), other, timing=TIMING)
    return {"rejected": found.p_value <= ALPHA}


def _infers(design: Design, foreign: float, rng: Rng) -> Hits:
    """Infer S where a share of the intervals are merged or cut short."""
    table = design.refresh(rng)
    most = table["most_s"].to_numpy()
    odd = rng.random(len(most)) < foreign
    merged = rng.random(len(most)) < 1 / 2
    wrong = np.where(merged, most + rng.permutation(most), most * rng.random(len(most)))
    table["most_s"] = np.where(odd, np.maximum(wrong, 0.3), most)
    found = st.infer_sync_frequency(table)
    return {"S": found.low_s <= design.setting.sync_frequency_s <= found.high_s}


def _phases(n: int, rng: Rng) -> Hits:
    table = pd.DataFrame({"node": "n", "published_ns": rng.integers(0, 13 * 10**9, n)})
    found = st.phase_coherence(table, period_s=13.0)
    return {"rejected": bool(found["p_value"].iloc[0] <= ALPHA)}


def _seed(rng: Rng) -> int:
    return int(rng.integers(2**31))


def _lines(
    what: str,
    run: Callable[[Design, Rng], Hits],
    designs: tuple[Design, ...],
    *,
    kind: Kind = "approximate",
    nominal: float = 0.95,
) -> list[Experiment]:
    """Apply one function to several designs."""
    return [
        Experiment(what, str(one.setting), str(one), kind, nominal, partial(run, one))
        for one in designs
    ]


_PODS = (
    Design(S10, 6, 60),
    Design(S10, 6, 180),
    Design(S10, 20, 180),
    Design(S10, 60, 60),
    Design(S5, 6, 120),
    Design(S20, 12, 240),
    Design(S60, 6, 600),
    Design(S60, 20, 600),
)
_CACHED = (
    Design(CACHE, 20, 1700, 20),
    Design(CACHE, 20, 3200, 20),
    Design(CACHE, 20, 7200, 20),
    Design(CACHE, 20, 1600, 10),
    Design(CACHE, 12, 900, 1),
)
_RESAMPLED = (
    Design(S10, 15, 180),
    Design(S10, 40, 180),
    Design(S60, 15, 600),
    Design(CACHE, 20, 3300, 20),
)
_FEW = (Design(S10, 6, 180), Design(S10, 20, 180), Design(CACHE, 20, 1700, 20))
_LARGE = Design(S10, 20, 1800)
_LAW = truth(S10)
_ALIKE: tuple[tuple[str, float, Kind, float], ...] = (
    ("p50 off by the margin", 2 * MARGIN_P50 * 10, "test", ALPHA),
    ("the same law", 0.0, "power", 1 - ALPHA),
)

OF_TWELVE, OF_EIGHTEEN = 1 - ALPHA / 12, 1 - ALPHA / 18
"""Levels of each of so many intervals that hold together: 99.6 % and 99.7 %."""

EXPERIMENTS: tuple[Experiment, ...] = (
    *_lines("confidence, by refreshes", _by_refresh, _PODS + _CACHED),
    *(
        Experiment(
            "confidence at 99.6 %, by refreshes",
            str(one.setting),
            str(one),
            "approximate",
            OF_TWELVE,
            partial(_at_level, one, OF_TWELVE),
        )
        for one in (_PODS[2], _PODS[7], _CACHED[1], _CACHED[2], _CACHED[4])
    ),
    *(
        Experiment(
            "mean of closed loops",
            str(S10),
            f"6 loops of 25, pause of {pause_s:g} s",
            "approximate",
            0.95,
            partial(_closed_loops, pause_s),
        )
        for pause_s in (0.0, 2.0, 5.0, 10.0)
    ),
    *(
        Experiment(
            "mean_in_step",
            str(S60),
            f"10 pods, 8.67 min, disturbed every {every_s:g} s",
            "approximate",
            0.95,
            partial(_in_step, every_s),
        )
        for every_s in (20.0, 100.0)
    ),
    *(
        Experiment(
            "median_of_stretches",
            "any",
            f"50 trials, correlation {correlation:g}",
            "approximate",
            0.95,
            partial(_dependent_trials, correlation),
        )
        for correlation in (0.0, 0.6)
    ),
    *_lines("confidence, by delays", _by_delays, _PODS + _CACHED),
    *_lines("cdf_bounds", _by_cdf, _FEW),
    *_lines("upper bound for --require", _one_sided, _FEW),
    *_lines("bootstrap_confidence", _by_bootstrap, _RESAMPLED),
    *_lines("kaplan_meier, 15 % censored", _by_survival, _RESAMPLED),
    *(
        Experiment(
            "exact_quantile",
            str(S10),
            f"p{100 * p:g}, {n} independent delays",
            "exact",
            0.95,
            partial(_exact, p, n),
        )
        for p, n in (
            (0.5, 6),
            (0.5, 50),
            (0.9, 36),
            (0.95, 72),
            (0.95, 300),
            (0.99, 368),
            (0.99, 1000),
            (0.999, 3688),
        )
    ),
    *(
        Experiment(
            "exact_quantile",
            str(S10),
            f"p{100 * p:g}, 6 pods, gaps of 16 to 40 s",
            "exact",
            0.95,
            partial(_thinned, p),
        )
        for p in (0.5, 0.9)
    ),
    *(
        Experiment(
            "never_updates",
            "any",
            f"{pods} pods",
            "exact",
            0.95,
            partial(_never, share, pods),
        )
        for share, pods in ((0.14, 20), (0.0296, 100))
    ),
    *(
        Experiment(
            "fleet_maximum",
            str(one.setting),
            str(one),
            "approximate",
            0.95,
            partial(_by_fleet, one, (1, 5, 20)),
        )
        for one in (
            Design(S10, 20, 2100),
            Design(S10, 20, 3600),
            Design(S60, 20, 11400),
        )
    ),
    Experiment(
        "fleet_maximum at 99.7 %, two pods",
        str(S20),
        "50 pods, 15 min",
        "approximate",
        OF_EIGHTEEN,
        partial(_pairs_at_level, Design(S20, 50, 900), OF_EIGHTEEN),
    ),
    *_lines("compare_quantiles, interval", _difference_covers, (_PODS[1], _PODS[2])),
    *_lines(
        "compare_quantiles, family of 6 by Holm",
        _family_errs,
        (_PODS[1], _PODS[2]),
        kind="test",
        nominal=ALPHA,
    ),
    Experiment(
        "compare_quantiles, 10 s against 12 s",
        f"{S10} and {Setting(12)}",
        str(_PODS[2]),
        "power",
        1 - ALPHA,
        partial(_told_apart, _PODS[2], Design(Setting(12), 20, 180)),
    ),
    *(
        Experiment(
            f"equivalence, {name} off by the margin",
            str(design.setting),
            str(design),
            "test",
            ALPHA,
            partial(_shown, design, wrong(_LAW, 10.0)),
        )
        for design in (Design(S10, 6, 600), _LARGE)
        for name, wrong in (
            ("p50", _law_off_at_median),
            ("p99", _law_off_at_tail),
            ("a share", _law_off_in_share),
        )
    ),
    Experiment(
        "equivalence, the law itself",
        str(S10),
        str(_LARGE),
        "power",
        1 - ALPHA,
        partial(_shown, _LARGE, _LAW),
    ),
    *(
        Experiment(
            f"equivalence_of_samples, {name}",
            str(S10),
            str(_LARGE),
            kind,
            nominal,
            partial(_shown_alike, _LARGE, longer_s),
        )
        for name, longer_s, kind, nominal in _ALIKE
    ),
    *(
        Experiment(
            "judge_hypotheses, the law itself",
            str(design.setting),
            str(design),
            "test",
            ALPHA,
            partial(
                _rejects,
                design,
                (KubeletLaw(design.setting, None, TIMING, design.sharers),),
                replicates=199,
            ),
        )
        for design in (
            Design(S10, 8, 60),
            Design(S10, 20, 180),
            Design(S60, 8, 300),
            Design(CACHE, 20, 600, 20),
        )
    ),
    *(
        Experiment(
            "judge_hypotheses, folk laws",
            str(design.setting),
            str(design),
            "power",
            1 - ALPHA,
            partial(_rejects, design, folk_laws(design.setting), replicates=199),
        )
        for design in (Design(S10, 20, 180), Design(S60, 20, 600))
    ),
    *_lines(
        "lattice_test, the law itself",
        _lattice,
        (
            Design(S10, 6, 120),
            Design(S10, 20, 180),
            Design(S5, 20, 180),
            Design(S60, 20, 1200),
        ),
        kind="test",
        nominal=ALPHA,
    ),
    Experiment(
        "lattice_test, 11 s taken for 10 s",
        str(Setting(11)),
        "6 pods, 2 min",
        "power",
        1 - ALPHA,
        partial(_lattice_finds, Design(Setting(11), 6, 120), S10),
    ),
    *(
        Experiment(
            "infer_sync_frequency",
            str(design.setting),
            f"{design}, {100 * foreign:g} % foreign",
            "approximate",
            0.95,
            partial(_infers, design, foreign),
        )
        for design in (
            Design(S10, 6, 60),
            Design(S10, 20, 180),
            Design(Setting(7.5), 20, 180),
            Design(Setting(10.3), 20, 180),
            Design(S60, 20, 600),
        )
        for foreign in (0.0, 0.05)
    ),
    *(
        Experiment(
            "phase_coherence, even phases",
            "any",
            f"{n} pods",
            "test",
            ALPHA,
            partial(_phases, n),
        )
        for n in (8, 32)
    ),
)
"""All of them, in the order of the page."""
