"""Judge each hypothesis of the protocol from the published runs.

Every function takes measured tables and gives rows, each with ``holds``.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from cmhot.clock import NS_PER_S
from cmhot.errors import UsageError
from cmhot.kubelet.eras import LOOPS_S, TYPICAL
from cmhot.law import interval_pmf, law_for, reads_at_every_sync
from cmhot.law.prediction import predict
from cmhot.runs import schema
from cmhot.runs.delays import delays
from cmhot.runs.rundir import kubelet_version
from cmhot.runs.sync_intervals import refresh_intervals
from cmhot.statistics import (
    cdf_bounds,
    compare_quantiles,
    confidence,
    describe_delays,
    equivalence,
    fleet_maximum,
    interval_blocks,
    n_eff,
    phase_coherence,
)
from cmhot.statistics.mistakes import closed_loop_mean_s
from cmhot.statistics.population import populations, refresh_ends
from studies import protocol
from studies.checks import mean_in_step, median_of_stretches
from studies.disturbed import CALM_S
from studies.simulated_plans import KubeletLaw, folk_laws, judge_hypotheses

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cmhot.kubelet.settings import Setting
    from cmhot.runs.rundir import Run
    from cmhot.statistics import Blocks

    Rows = list[dict[str, Any]]
    Cells = dict[Setting, pd.DataFrame]

P50, P95, P99 = 0.5, 0.95, 0.99
REPLICATES = 999
"""Simulated plans for each hypothesis: p-values are multiples of 0.001, so that the
smallest can be below `protocol.ALPHA` divided among all cells."""
_EARLY_S = 0.05
TEN_S = 10.0
"""What is usually said of the delay."""
ABOUT_TEN_S = (8.0, 12.0)
"""What one who looks now and then may call "about 10 s"."""


def records(table: pd.DataFrame) -> Rows:
    """Give a table's rows, by the names of its columns."""
    return [
        {str(name): x for name, x in row.items()} for row in table.to_dict("records")
    ]


def by_setting(table: pd.DataFrame) -> Cells:
    """Take a table of several settings apart, in their order."""
    found = {}
    for key, own in populations(table):
        setting = schema.setting_of(key)
        if setting is not None:
            found[setting] = own
    return dict(sorted(found.items()))


def quantile(blocks: Blocks, share: float) -> float:
    """Give a quantile of the interval estimator, seconds."""
    return float(np.interp(share, blocks.cdf(), blocks.t))


def has_shape(setting: Setting) -> bool:
    """Tell whether the law can be told from another one at this S."""
    return setting.sync_frequency_s >= protocol.LEAST_SYNC_OF_SHAPE_S


def cells(waits: Cells, refreshes: Cells) -> Rows:
    """Describe each cell: both estimators, how many they are worth, the law."""
    found = []
    for setting, own in refreshes.items():
        blocks = interval_blocks(own, law=law_for(setting, timing=TYPICAL))
        # where all intervals are alike there is no chance that an interval tells of
        limits = confidence(blocks) if has_shape(setting) else {}
        law = predict(setting).to_dict()
        (direct,) = records(describe_delays(waits[setting]))
        effective = n_eff(blocks)
        found.append(
            {
                "setting": str(setting),
                "sync_frequency_s": setting.sync_frequency_s,
                "strategy": str(setting.strategy),
                "pods": int(own["pod"].nunique()),
                "n_delays": int(direct["n_delays"]),
                "n_syncs": len(own),
                "n_eff_p50": float(
                    np.interp(quantile(blocks, P50), blocks.t, effective)
                )
                if has_shape(setting)
                else None,
                **{
                    f"{name}_s": quantile(blocks, share)
                    for name, share in (("p50", P50), ("p95", P95), ("p99", P99))
                },
                **{
                    f"{name}_95": list(ends) if ends else None
                    for name in ("p50", "p95", "p99")
                    for ends in [limits.get(f"{name}_s")]
                },
                "mean_s": _mean(own),
                "max_s": float(direct["max_s"]),
                "missed": int((waits[setting]["status"] == "missed").sum()),
                "left_out": int(waits[setting]["status"].isin(schema.DEAD_ENDS).sum()),
                **(serial(own) if has_shape(setting) else {"lag_r": None}),
                "direct": {
                    name: float(direct[name])
                    for name in ("mean_s", "p50_s", "p95_s", "p99_s")
                },
                "law": {
                    name: law[name]
                    for name in ("mean_s", "p50_s", "p95_s", "p99_s", "max_s")
                },
            }
        )
    return found


def serial(refresh: pd.DataFrame) -> dict[str, Any]:
    """Correlate each interval with the next one of its pod: by the law they do not."""
    _, interval = refresh_ends(refresh)
    stamps = refresh[["pod", "start_ns", "published_ns"]].assign(x=interval)
    both = stamps.merge(
        stamps, left_on=["pod", "published_ns"], right_on=["pod", "start_ns"]
    )
    found = stats.pearsonr(both["x_x"], both["x_y"])
    low, high = found.confidence_interval(1 - protocol.ALPHA)
    return {
        "lag_r": float(found.statistic),
        "lag_p": float(found.pvalue),
        "lag_95": [float(low), float(high)],
    }


def _mean(refresh: pd.DataFrame) -> float:
    """Give the mean delay at a random instant: Σ X² / 2 Σ X."""
    least, most = refresh_ends(refresh)
    return float((most**2 - least**2).sum() / 2 / (most - least).sum())


def lateness(refreshes: Cells) -> Rows:
    """See how late each kubelet's tick was: publications after its own window."""
    found = []
    for setting, own in refreshes.items():
        for row in records(phase_coherence(own)):
            stamps = own.loc[own["node"] == row["node"], "published_ns"]
            late = _late_s(stamps.to_numpy(dtype=np.int64))
            share = float((late > LOOPS_S + protocol.MOST_LATE_S).mean())
            found.append(
                {
                    "setting": str(setting),
                    "node": str(row["node"]),
                    "n": int(row["n"]),
                    "coherence": float(row["coherence"]),
                    "p99_late_s": float(np.quantile(late, P99)),
                    "late_share": share,
                    "disturbed": share > 1 - P99,
                }
            )
    return found


def _late_s(stamps: np.ndarray[Any, np.dtype[np.int64]]) -> Any:  # noqa: ANN401
    """Give how long after the beginning of its kubelet's window each one came.

    The window is where most publications are; what seems up to 0.05 s early is not
    late by almost a second, since an mtime is early by up to a jiffy.
    """
    phase = np.sort((stamps % NS_PER_S) / NS_PER_S)
    twice = np.append(phase, phase + 1.0)
    inside = np.searchsorted(twice, phase + LOOPS_S, "right") - np.arange(len(phase))
    start = phase[int(np.argmax(inside))] - _EARLY_S
    return (phase - start) % 1.0 - _EARLY_S


def agreement(refreshes: Cells) -> Rows:
    """H1: equivalence with the law in each cell with a shape."""
    found = []
    for setting, own in refreshes.items():
        if not has_shape(setting):
            continue
        law = law_for(setting, timing=TYPICAL)
        if law is None:
            continue
        verdict = equivalence(own, law, sync_frequency_s=setting.sync_frequency_s)
        found.append(
            {
                "setting": str(setting),
                "n_syncs": len(own),
                **verdict,
                "margin_p50_s": protocol.MARGIN_P50 * setting.sync_frequency_s,
                "margin_p99_s": protocol.MARGIN_P99 * setting.sync_frequency_s,
                "holds": bool(verdict["equivalent"]),
            }
        )
    return found


def on_second(refreshes: Cells) -> Rows:
    """H2: at the shortest S all intervals are S + 1 s."""
    found = []
    for setting, own in refreshes.items():
        if has_shape(setting):
            continue
        _, interval = refresh_ends(own)
        expected = setting.sync_frequency_s + 1
        near = np.abs(interval - expected) <= protocol.INTERVAL_TOLERANCE_S
        found.append(
            {
                "setting": str(setting),
                "n_syncs": len(own),
                "expected_s": expected,
                "share": float(near.mean()),
                "longest_s": float(interval.max()),
                "holds": bool(near.mean() >= protocol.LEAST_ON_SECOND),
            }
        )
    return found


def strategies(refreshes: Cells) -> Rows:
    """H3: differences between strategies at the same S, beside the margins."""
    by_sync: defaultdict[float, list[Setting]] = defaultdict(list)
    for setting in refreshes:
        if has_shape(setting):
            by_sync[setting.sync_frequency_s].append(setting)
    found: Rows = []
    for sync_s, several in by_sync.items():
        samples = {str(one): interval_blocks(refreshes[one]) for one in several}
        family = [(str(one), str(other)) for one, other in combinations(several, 2)]
        table = compare_quantiles(samples, family=family, quantiles=(P50, P99))
        margins = {P50: protocol.MARGIN_P50, P99: protocol.MARGIN_P99}
        for row in records(table):
            margin_s = margins[row["quantile"]] * sync_s
            widest = max(abs(row["low_s"]), abs(row["high_s"]))
            half = (row["high_s"] - row["low_s"]) / 2
            found.append(
                {
                    **row,
                    "margin_s": margin_s,
                    "power": power(half, margin_s),
                    "holds": widest <= margin_s,
                }
            )
    return found


def power(half_s: float, margin_s: float) -> float:
    """Say how often an interval of this half width lies within the margin.

    Without any difference: the estimate is then normal about 0, and must be nearer to
    it than margin less half width.
    """
    z = stats.norm.isf(protocol.ALPHA / 2)
    return float(max(0.0, 2 * stats.norm.cdf((margin_s - half_s) * z / half_s) - 1))


def folk(waits: Cells) -> Rows:
    """H4: the folk laws are rejected, and the law is not."""
    shaped = {setting: own for setting, own in waits.items() if has_shape(setting)}
    level_of_law = protocol.ALPHA / max(len(shaped), 1)
    if level_of_law < 1 / (1 + REPLICATES):
        msg = f"{REPLICATES} replicates can reject no law of {len(shaped)}: take more"
        raise UsageError(msg)
    found = []
    for setting, own in shaped.items():
        ours = (KubeletLaw(setting, timing=TYPICAL),)
        for family, level, rejected in (
            (folk_laws(setting), protocol.ALPHA, True),
            (ours, level_of_law, False),
        ):
            table = judge_hypotheses(own, family, replicates=REPLICATES)
            for row in records(table):
                is_rejected = bool(row["p_holm"] <= level)
                found.append(
                    {
                        "setting": str(setting),
                        **row,
                        "rejected": is_rejected,
                        "holds": is_rejected is rejected,
                    }
                )
    return found


def shared(groups: Mapping[tuple[Setting, int], pd.DataFrame]) -> Rows:
    """H5: Cache with a TTL, for maps shared by several pods.

    Parameters
    ----------
    groups
        By setting and sharers.
    """
    family = 2 * len(groups)
    found = []
    for (setting, sharers), own in groups.items():
        law = law_for(setting, sharers=sharers, timing=TYPICAL)
        blocks = interval_blocks(own, law=law)
        limits = confidence(blocks, level=1 - protocol.ALPHA / family)
        bounds = confidence(blocks, level=1 - 2 * protocol.ALPHA)
        fetches = len(own[["node", "start_ns"]].drop_duplicates())
        for name, share in (("p50", P50), ("p95", P95)):
            ends = limits[f"{name}_s"]
            expected = None if law is None else float(law.quantile(share))
            found.append(
                {
                    "setting": str(setting),
                    "sharers": sharers,
                    "n_publications": len(own),
                    "n_fetches": fetches,
                    "blocks": len(blocks.total),
                    "quantile": name,
                    "measured_s": quantile(blocks, share),
                    "limits_s": None if ends is None else list(ends),
                    "law_s": expected,
                    "apart_s": _apart(bounds[f"{name}_s"], expected),
                    "holds": ends is not None
                    and expected is not None
                    and ends[0] <= expected <= ends[1],
                }
            )
    return found


def _apart(ends: Sequence[float] | None, expected: float | None) -> float | None:
    """Bound the distance from an expected value, given a 90 % interval: 95 %.

    Both one-sided bounds of the interval err in 5 % of cases, as in a test of
    equivalence: any margin above this one would have been shown.
    """
    if not ends or expected is None:
        return None
    return max(abs(end - expected) for end in ends)


def fleets(refreshes: Cells) -> Rows:
    """H6: until all of N pods of one kubelet have it."""
    wanted = [
        (setting, own)
        for setting, own in refreshes.items()
        if setting.sync_frequency_s in {20.0, 60.0}
    ]
    level = 1 - protocol.ALPHA / (len(wanted) * len(protocol.FLEETS))
    found = []
    for setting, own in wanted:
        table = fleet_maximum(own, sizes=protocol.FLEETS, level=level)
        wide = fleet_maximum(own, sizes=protocol.FLEETS, level=1 - 2 * protocol.ALPHA)
        for row, bound in zip(records(table), records(wide), strict=True):
            low, high = row["p50_low_s"], row["p50_high_s"]
            ends = (bound["p50_low_s"], bound["p50_high_s"])
            within = bool(low <= row["p50_law_s"] <= high)
            found.append(
                {
                    "setting": str(setting),
                    **{
                        name: _plain(row[name])
                        for name in (
                            *("pods", "groups", "blocks", "p50_s", "p50_low_s"),
                            *("p50_high_s", "p50_law_s", "p95_s", "p95_law_s"),
                            *("p99_s", "p99_law_s"),
                        )
                    },
                    "apart_s": None
                    if np.isnan(low)
                    else _apart(ends, row["p50_law_s"]),
                    # too few groups of so many pods for an interval: not judged
                    "holds": None if np.isnan(low) else within,
                }
            )
    return found


def _plain(value: Any) -> float | int | None:  # noqa: ANN401 - numpy's scalars
    number = float(value)
    if np.isnan(number):
        return None
    return int(number) if number.is_integer() else number


def eras(groups: Mapping[str, Cells]) -> Rows:
    """H7: what a TTL does on kubelets of each era, and the law of the era as in H5.

    Parameters
    ----------
    groups
        By version of the kubelet.
    """
    found = []
    family = sum(len(refreshes) for refreshes in groups.values())
    for version, refreshes in groups.items():
        for setting, own in refreshes.items():
            cached = setting.ttl_s not in {None, 0.0}
            pods = own["pod"].nunique()
            sharers = pods // own["node"].nunique()
            law = law_for(setting, sharers=sharers, kubernetes=version, timing=TYPICAL)
            blocks = interval_blocks(own, law=law, kubernetes=version)
            median = quantile(blocks, P50)
            ends = confidence(blocks, level=1 - protocol.ALPHA / family)["p50_s"]
            expected = None if law is None else float(law.quantile(P50))
            effective = cached and not reads_at_every_sync(setting, version)
            found.append(
                {
                    "kubelet": version,
                    "setting": str(setting),
                    "sharers": sharers,
                    "n_publications": len(own),
                    "blocks": len(blocks.total),
                    "p50_s": median,
                    "limits_s": None if ends is None else list(ends),
                    "law_p50_s": expected,
                    "law_within": None
                    if ends is None or expected is None
                    else bool(ends[0] <= expected <= ends[1]),
                    "ttl_effective": effective,
                    "holds": median > 20.0 if effective else median < 10.0,  # noqa: PLR2004 - the protocol's
                }
            )
    return found


def remedies(trials: pd.DataFrame, *, pods: int, law_p50_s: float) -> Rows:
    """H8: medians of the remedies, in order of speed.

    Trials follow each other on the same pods, and depend on each other: limits are by
    stretches of trials (`median_of_stretches`). Nothing was measured of waiting, so
    that only `annotate` is judged, against the other two.

    Parameters
    ----------
    trials
        A row per trial: ``method``, ``seconds``, in order.
    pods
        Of the Deployment.
    law_p50_s
        Median until all of so many pods have it, if nothing is done.
    """
    rows: Rows = []
    for method, own in trials.groupby("method"):
        seconds = own["seconds"].to_numpy(dtype=np.float64)
        rows.append(
            {
                "method": str(method),
                "n": len(own),
                "pods": pods,
                "median_s": float(np.median(seconds)),
                "limits_s": list(median_of_stretches(seconds)),
                "max_s": float(seconds.max()),
                "lag_r": float(np.corrcoef(seconds[:-1], seconds[1:])[0, 1]),
                "trend_rho": float(
                    stats.spearmanr(np.arange(len(seconds)), seconds).statistic
                ),
                "law_waiting_s": law_p50_s,
            }
        )
    rows.sort(key=lambda row: row["median_s"])
    first, others = rows[0], rows[1:]
    quickest = first["method"] == "annotate" and all(
        first["limits_s"][1] < row["limits_s"][0] for row in others
    )
    return [
        {**first, "holds": quickest},
        *({**row, "holds": None} for row in others),
    ]


def never(rows: Sequence[Mapping[str, Any]]) -> Rows:
    """H9: none of n pods, with the bound 3/n; the volume shows that one could."""
    return [
        {
            **row,
            "bound": 3 / row["pods"] if row["consumer"] != "volume" else None,
            "holds": row["had_before"] == row["pods"]
            and row["saw"] == (row["pods"] if row["consumer"] == "volume" else 0),
        }
        for row in rows
    ]


def closed(trials: pd.DataFrame, setting: Setting) -> Rows:
    """H10: the mean that closed loops find, beside what the law says of such loops.

    Parameters
    ----------
    trials
        Of `cmhot.experiments.closed_loop.closed_loops`: each of its pods a block.
    setting
        At which they were done.
    """
    law = law_for(setting)
    truth = float("nan") if law is None else law.mean_s
    found = []
    for pause_s, rows in trials.groupby("pause_s"):
        known = rows.dropna(subset=["age_s", "delay_s"])
        means = known.groupby("pod")["delay_s"].mean()
        half = float(stats.t.isf(protocol.ALPHA / 2, len(means) - 1) * stats.sem(means))
        mean = float(means.mean())
        # the loops look at intervals, so that a pause is longer than was asked for
        expected = float(
            np.mean(
                [
                    closed_loop_mean_s(*interval_pmf(setting), pause_s=age)
                    for age in known["age_s"]
                ]
            )
        )
        misses = not mean - half <= truth <= mean + half
        found.append(
            {
                "pause_s": _plain(pause_s),
                "age_s": float(known["age_s"].mean()),
                "loops": len(means),
                "n": len(known),
                "mean_s": mean,
                "mean_95": [mean - half, mean + half],
                "law_s": expected,
                "truth_s": truth,
                "holds": abs(mean - expected) <= half and (misses or pause_s != 0),
            }
        )
    return found


def disturbed(runs: Mapping[str, Run]) -> Rows:
    """H11: mean delay of pods that are not idle, since what disturbs them began.

    Syncs that are not the timer's are what makes these pods another population. So
    delays are taken as they are seen: from each acknowledged trial to the pod's first
    publication of its number or a later one, whatever caused it. They are disturbed
    nearly in step, which `mean_in_step` heeds.

    Parameters
    ----------
    runs
        By what disturbs the pods: collections at one setting.
    """
    found = []
    for kind, run in runs.items():
        (setting,) = {schema.setting_of(one) for one in run.meta["settings"].values()}
        law = None if setting is None else law_for(setting)
        acked, waits = as_seen(run)
        # the first publication of a pod is at its start
        began = run.publications.groupby("pod")["published_ns"].min().max()
        made_s = (acked - int(began)) / NS_PER_S
        after = made_s >= CALM_S
        mean, ends = mean_in_step(waits[:, after], made_s[after])
        expected = None if law is None else law.mean_s
        found.append(
            {
                "kind": kind,
                "setting": str(setting),
                "pods": len(waits),
                "n_updates": int(after.sum()),
                "before_onset": int((~after).sum()),
                "correlation": in_step(waits),
                "mean_s": mean,
                "mean_95": list(ends),
                "p99_s": float(np.quantile(waits[:, after], P99)),
                "law_mean_s": expected,
                "holds": expected is not None and ends[1] < expected,
            }
        )
    return found


def in_step(waits: Any) -> float:  # noqa: ANN401 - an array of shape (pods, n)
    """Give the mean correlation of two pods' delays: 0 where none are in step."""
    alike = np.corrcoef(waits)
    return float(alike[np.triu_indices(len(alike), 1)].mean())


def as_seen(run: Run) -> tuple[Any, Any]:
    """Give when each trial was acknowledged, ns, and each pod's delay of it, seconds.

    It is endless where the pod never had it. Shapes (n,) and (pods, n).
    """
    trials = run.updates[
        (run.updates["purpose"] == "trial") & (run.updates["status"] == "acked")
    ]
    wanted = trials["seq"].to_numpy(dtype=np.int64)
    acked = trials["acked_ns"].to_numpy(dtype=np.int64)
    waits = []
    for _, own in run.publications.groupby("pod"):
        ordered = own.sort_values("published_ns")
        newest = np.maximum.accumulate(ordered["seq"].to_numpy(dtype=np.int64))
        at = np.searchsorted(newest, wanted, "left")
        instants = ordered["published_ns"].to_numpy(dtype=np.int64)
        known = at < len(instants)
        seconds = (instants[np.where(known, at, -1)] - acked) / NS_PER_S
        waits.append(np.where(known, seconds, np.inf))
    return acked, np.array(waits)


def delays_as_seen(run: Run) -> pd.DataFrame:
    """Give a run's delays, those that the collector ended before as they were seen.

    It takes publications that come late for a restart, and a delay for interrupted
    that ended all the same: under a load this is what is measured.
    """
    table = delays(run)
    pods = [str(pod) for pod, _ in run.publications.groupby("pod")]
    acked, waits = as_seen(run)
    both = pd.MultiIndex.from_product([pods, acked])
    known = pd.Series(waits.ravel(), index=both)
    lost = np.flatnonzero(table["status"].isin(schema.DEAD_ENDS))
    of = [table["pod"].astype(str).iloc[lost], table["acked_ns"].iloc[lost]]
    seconds = known.reindex(pd.MultiIndex.from_arrays(of)).to_numpy()
    seen = np.isfinite(seconds)
    table.loc[table.index[lost[seen]], "delay_s"] = seconds[seen]
    table.loc[table.index[lost[seen]], "status"] = "observed"
    return table


def width(described: Iterable[Mapping[str, Any]]) -> Rows:
    """H12: how well p99 is known at the kubelet's defaults, of which it was said."""
    return [
        {
            "setting": row["setting"],
            "p99_s": row["p99_s"],
            "p99_95": row["p99_95"],
            "half_s": (row["p99_95"][1] - row["p99_95"][0]) / 2,
            "holds": (row["p99_95"][1] - row["p99_95"][0]) / 2 <= protocol.P99_WITHIN_S,
        }
        for row in described
        if row["setting"] == str(protocol.DEFAULT) and row["p99_95"]
    ]


def beside_law(run: Run) -> Rows:
    """Describe each setting of a run made elsewhere, beside its kubelets' law."""
    refreshes, waits = by_setting(refresh_intervals(run)), by_setting(delays(run))
    found = []
    for setting, refresh in refreshes.items():
        for version, nodes in _nodes_by_version(run, refresh).items():
            own = refresh[refresh["node"].isin(nodes)]
            waited = waits[setting]
            rows = waited[waited["node"].isin(nodes)]
            found.append(
                {
                    "run": run.path.name,
                    "status": run.meta["status"],
                    "kubelet": version,
                    **_beside_law(setting, version, own, rows),
                }
            )
    return found


def _nodes_by_version(run: Run, refresh: pd.DataFrame) -> dict[str, list[str]]:
    """Group the nodes of a table by what their kubelets say of themselves."""
    found: dict[str, list[str]] = {}
    for node in sorted(refresh["node"].astype(str).unique()):
        found.setdefault(kubelet_version(run.meta, node) or "", []).append(node)
    return found


def _beside_law(
    setting: Setting, version: str, refresh: pd.DataFrame, rows: pd.DataFrame
) -> dict[str, Any]:
    cached = reads_at_every_sync(setting, version) is False
    pods, nodes = int(refresh["pod"].nunique()), int(refresh["node"].nunique())
    sharers = pods // nodes if cached else 1
    law = law_for(setting, sharers=sharers, kubernetes=version, timing=TYPICAL)
    assert law is not None, "each run says its setting and its TTL"  # noqa: S101
    blocks = interval_blocks(refresh, law=law, kubernetes=version)
    limits = confidence(blocks)
    seconds = rows.loc[rows["status"] == "observed", "delay_s"].to_numpy()
    least, most = ABOUT_TEN_S
    low, high = cdf_bounds(blocks)
    at = int(np.abs(blocks.t - TEN_S).argmin())
    enough = blocks.shortfall() is None
    return {
        "setting": str(setting),
        "pods": pods,
        "sharers": sharers,
        "n_delays": len(seconds),
        "n_publications": len(refresh),
        "n_fetches": len(refresh[["node", "start_ns"]].drop_duplicates())
        if cached
        else None,
        "direct_mean_s": float(seconds.mean()),
        "max_s": float(seconds.max()),
        "mean_s": _mean(refresh),
        **{
            f"{name}_s": quantile(blocks, share)
            for name, share in (("p50", P50), ("p95", P95), ("p99", P99))
        },
        **{
            f"{name}_95": None if ends is None else list(ends)
            for name in ("mean", "p50", "p95", "p99")
            for ends in [limits[f"{name}_s"]]
        },
        "law": {name: float(value) for name, value in law.summary().items()},
        "direct_by_10_s": float((seconds <= TEN_S).mean()),
        "by_10_s": float(blocks.cdf()[at]),
        "by_10_s_95": [float(low[at]), float(high[at])] if enough else None,
        "law_by_10_s": float(law.cdf(TEN_S)),
        "direct_about_10_s": float(((seconds >= least) & (seconds <= most)).mean()),
        "law_about_10_s": float(law.cdf(most) - law.cdf(least)),
        "three_by_12_s": float(law.cdf(most)) ** 3,
        "equivalent": equivalence(
            refresh,
            law,
            sync_frequency_s=setting.sync_frequency_s,
            kubernetes=version,
        )
        if enough
        else None,
    }
