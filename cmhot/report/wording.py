"""What a summary says, in sentences: every number in them is from the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmhot.law import law_for, reads_at_every_sync
from cmhot.runs import schema
from cmhot.settings import Setting, Strategy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cmhot.summaries.summary import SettingSummary, Summary

VOLUME = "volume"


def source_word(summary: Summary) -> str:
    """Say ``measured`` or ``modelled``."""
    return "modelled" if summary.modelled else "measured"


def seconds(value: float | None) -> str:
    """Write seconds to a tenth: ``12.9 s``."""
    return "unknown" if value is None else f"{value:.1f} s"


def listing(parts: Sequence[str]) -> str:
    """Join parts as a sentence does: ``a, b and c``."""
    if len(parts) < 2:  # noqa: PLR2004 - one needs no "and"
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def headline(summary: Summary, *, kubelets: Sequence[str]) -> str:
    """Say the result in one sentence.

    Parameters
    ----------
    summary
        What was measured.
    kubelets
        Versions of the kubelets.
    """
    chosen = _series(summary)
    if not chosen:
        return f"No delay was {source_word(summary)}: no pod showed any update."
    at = [_frequency(chosen[0]), *(_sync_s(own) for own in chosen[1:])]
    said = [
        f"{seconds(own.direct['p95_s'])} at {sync}"
        for own, sync in zip(chosen, at, strict=True)
    ]
    strategy = chosen[0].population["strategy"]
    where = [] if strategy is None else [str(strategy)]
    if not summary.modelled:
        where.append(f"kubelet {listing(kubelets)}")
    within = f"95 % of the pods that mount it within {listing(said)}"
    under = f" ({', '.join(where)})" if where else ""
    if summary.modelled:
        return f"Modelled, not measured: a changed ConfigMap reaches {within}{under}."
    return f"A changed ConfigMap reached {within}{under}."


def alt_text(summary: Summary) -> str:
    """Describe the figure to who cannot see it, with its numbers."""
    curves = []
    for own in summary.settings:
        law = own.law
        beside = (
            ""
            if law["p50_s"] is None
            else f" (law: {seconds(law['p50_s'])} and {seconds(law['p95_s'])})"
        )
        curves.append(
            f"{_name(own, summary)}: half by {seconds(own.direct['p50_s'])}, "
            f"95 % by {seconds(own.direct['p95_s'])}{beside}"
        )
    return (
        f"Line chart, {source_word(summary)}: the share of pods that have the update "
        "against the delay in seconds, one curve for each kubelet setting, "
        f"with the law dashed over it. {'; '.join(curves)}."
    )


def caption(summary: Summary, *, kubelets: Sequence[str]) -> str:
    """Say what the figure shows and where its data come from."""
    delays = sum(own.counts["n_delays"] for own in summary.settings)
    pods = sum(own.counts["pods"] for own in summary.settings)
    source = (
        "Modelled, not measured: no kubelet was involved"
        if summary.modelled
        else f"Measured on kubelet {listing(kubelets)}"
    )
    return (
        "Share of pods that have the update, against the time since the API server "
        f"acknowledged it; dashed: the law. {source}; {delays:,} delays in {pods} "
        f"pods; run {listing(summary.runs)}."
    )


def plain_words(summary: Summary) -> str:
    """Explain the result in one paragraph."""
    chosen = _series(summary)
    if not chosen:
        return "No pod showed any update, so there is nothing to explain."
    last = chosen[-1]
    own = last.direct
    verb = "had" if not summary.modelled else "would have had"
    said = [
        (
            "A pod does not see a changed ConfigMap when it is written, "
            "but when its kubelet next syncs the pod."
        ),
        (
            f"With {_frequency(last)}, half of the pods {verb} it after "
            f"{seconds(own['p50_s'])} and 99 in 100 after {seconds(own['p99_s'])}; "
            f"the mean is {seconds(own['mean_s'])}, the slowest of "
            f"{last.counts['n_delays']:,} took {seconds(own['max_s'])}."
        ),
    ]
    sync_s = last.population["sync_frequency_s"]
    if sync_s is not None and own["max_s"] is not None and own["max_s"] > sync_s:
        said.append(
            "So syncFrequency is not the longest delay: it is the shortest time "
            "between two syncs, which come up to one and a half times as far apart."
        )
    said += _growth(chosen)
    said += _strategies(summary)
    said += _agreement(summary)
    return " ".join(said)


def not_measured(summary: Summary, *, clocks_known: bool) -> list[str]:
    """List what a reader may wrongly take from the page.

    Parameters
    ----------
    summary
        What was measured.
    clocks_known
        Whether there is but one clock, or the runs bound how far they differ.
    """
    said = []
    if summary.modelled:
        said.append(
            "Nothing here was measured: all numbers are from a model of the kubelet, "
            "and show what the law says, not that a kubelet obeys it."
        )
    settings = [schema.setting_of(own.population) for own in summary.settings]
    default = Setting()
    law = law_for(default)
    if default not in settings and law is not None:
        said.append(
            f"The kubelet's default, {default}: by the law its mean is "
            f"{seconds(law.mean_s)}, its 99 % point "
            f"{seconds(float(law.quantile(0.99)))}."
        )
    if not any(s and s.strategy is Strategy.CACHE and s.ttl_s for s in settings):
        said.append(
            "Cache with a TTL above 0, as on clusters of more than 100 nodes: "
            "there the TTL adds to the delay."
        )
    consumers = {own.population["consumer"] for own in summary.settings}
    if consumers == {VOLUME}:
        said.append(
            "Other ways of using a ConfigMap: env, envFrom and subPath "
            "never update in a running container."
        )
    said.append(
        "Pods that are being restarted, edited or probed by exec: "
        "the probes were idle, and an edit of a pod syncs it at once."
    )
    if not clocks_known and not summary.modelled:
        said.append(
            "The difference between the clocks of the nodes and of the collector: "
            "it adds to each delay."
        )
    for own in summary.settings:
        lost = [
            f"{own.counts[f'n_{name}']} {name.replace('_', ' ')}"
            for name in schema.STATUSES[1:]
            if own.counts[f"n_{name}"]
        ]
        if lost:
            said.append(
                f"Delays at {_name(own, summary)} that ended otherwise: "
                f"{listing(lost)}."
            )
    return said


def _series(summary: Summary) -> list[SettingSummary]:
    """Pick the volumes of one strategy, Watch if there is any, by syncFrequency."""
    seen = [
        own
        for own in summary.settings
        if own.direct["p95_s"] is not None and own.population["consumer"] == VOLUME
    ]
    strategies = [own.population["strategy"] for own in seen]
    if not strategies:
        return []
    wanted = Strategy.WATCH.value
    strategy = wanted if wanted in strategies else strategies[0]
    chosen = [own for own in seen if own.population["strategy"] == strategy]
    return sorted(chosen, key=lambda own: own.population["sync_frequency_s"] or 0)


def _growth(chosen: Sequence[SettingSummary]) -> Iterable[str]:
    first, last = chosen[0], chosen[-1]
    low, high = (own.population["sync_frequency_s"] for own in (first, last))
    before, after = first.direct["mean_s"], last.direct["mean_s"]
    if low and high and high > low and before and after:
        yield (
            f"From {low:g} s to {high:g} s, a syncFrequency {high / low:.3g} times "
            f"as long made the mean delay {after / before:.1f} times as long."
        )


def _strategies(summary: Summary) -> Iterable[str]:
    by_sync: dict[float, list[SettingSummary]] = {}
    for own in summary.settings:
        setting = schema.setting_of(own.population)
        every = setting is not None and reads_at_every_sync(setting)
        if setting and every and own.direct["mean_s"] is not None:
            by_sync.setdefault(setting.sync_frequency_s, []).append(own)
    for sync_s, several in by_sync.items():
        if len({own.population["strategy"] for own in several}) > 1:
            means = [
                f"{seconds(own.direct['mean_s'])} under {own.population['strategy']}"
                for own in several
            ]
            yield (
                "How the kubelet detects changes matters little in comparison: "
                f"at {sync_s:g} s the means are {listing(means)}."
            )


def _agreement(summary: Summary) -> Iterable[str]:
    distances = [own.fit["sup_difference"] for own in summary.settings]
    known = [float(distance) for distance in distances if distance is not None]
    if known:
        yield (
            "Estimated from the intervals between syncs, no curve is further from "
            f"the law than {max(known) * 100:.1f} percentage points."
        )


def _sync_s(own: SettingSummary) -> str:
    sync_s = own.population["sync_frequency_s"]
    return "an unknown one" if sync_s is None else f"{sync_s:g} s"


def _frequency(own: SettingSummary) -> str:
    known = own.population["sync_frequency_s"] is not None
    return f"a syncFrequency of {_sync_s(own)}" if known else "an unknown syncFrequency"


def _name(own: SettingSummary, summary: Summary) -> str:
    consumers = {one.population["consumer"] for one in summary.settings}
    several = len(consumers) > 1
    return f"{own.name}, {own.population['consumer']}" if several else own.name
