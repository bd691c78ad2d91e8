"""What a summary says, in sentences: every number in them is from the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmhot.gallery.distribution import series
from cmhot.gallery.words import VOLUME, listing, name_of, seconds, sync_of
from cmhot.law import law_for
from cmhot.runs import schema
from cmhot.settings import Setting, Strategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmhot.summaries.summary import Summary

__all__ = ["headline", "listing", "not_measured", "seconds"]


def headline(summary: Summary, *, kubelets: Sequence[str]) -> str:
    """Say the result in one sentence.

    Parameters
    ----------
    summary
        What was measured.
    kubelets
        Versions of the kubelets.
    """
    chosen = series(summary)
    if not chosen:
        word = "modelled" if summary.modelled else "measured"
        return f"No delay was {word}: no pod showed any update."
    known = chosen[0].population["sync_frequency_s"] is not None
    first = (
        f"a syncFrequency of {sync_of(chosen[0].population)}"
        if known
        else "an unknown syncFrequency"
    )
    at = [first, *(sync_of(own.population) for own in chosen[1:])]
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
                f"Delays at {name_of(own, summary)} that ended otherwise: "
                f"{listing(lost)}."
            )
    return said
