"""``cmhot predict`` and ``plan``: what the law says before anything is measured."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from cmhot.cli.options import Duration, as_json, setting_options

if TYPE_CHECKING:
    from cmhot.settings import Setting


@click.command()
@setting_options
@click.option(
    "--pods", default=1, show_default=True, help="How many pods must have the update."
)
@click.option(
    "--rank", type=int, help="Until so many of the pods have it. Default: all of them."
)
@click.option(
    "--quantile",
    "quantiles",
    type=float,
    multiple=True,
    metavar=".999",
    help="A share beside .5, .9, .95 and .99. Repeat it for more.",
)
@click.option(
    "--age",
    type=Duration(),
    help="Since the pod was last synced, where you know it: for instance since it "
    "started, or since its file last changed.",
)
@click.option(
    "--extra-syncs",
    type=float,
    default=0.0,
    metavar="PER_HOUR",
    help="Syncs of a pod from other causes: label changes, failing probes, restarts.",
)
@as_json
def predict(
    setting: Setting,
    sharers: int,
    kubernetes: str | None,
    pods: int,
    rank: int | None,
    quantiles: tuple[float, ...],
    age: float | None,
    extra_syncs: float,
    as_json: bool,
) -> None:
    """Say how long an update will take, by the law. Needs no cluster.

    \b
    Examples:
      cmhot predict                               the kubelet's defaults
      cmhot predict --sync 10s --pods 50          until all of 50 pods have it
      cmhot predict --strategy Cache --ttl 60s --sharers 5
      cmhot predict --strategy Cache --ttl 60s --kubernetes v1.28.15
    """
    from cmhot.prediction import predict as ask

    found = ask(
        setting,
        pods=pods,
        rank=rank,
        sharers=sharers,
        kubernetes=kubernetes,
        quantiles=quantiles,
        age_s=age,
        extra_syncs_per_h=extra_syncs,
    )
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else found.to_text())


@click.command()
@setting_options
@click.option(
    "--width",
    type=Duration(),
    required=True,
    help="Of the 95 % interval, from end to end.",
)
@click.option(
    "--quantile", default=0.99, show_default=True, help="Share between 0 and 1."
)
@as_json
def plan(
    setting: Setting,
    sharers: int,
    kubernetes: str | None,
    width: float,
    quantile: float,
    as_json: bool,
) -> None:
    """Say how many pods and minutes a quantile takes to be known. Needs no cluster.

    \b
    Example:
      cmhot plan --sync 60s --width 1s --quantile .99
    """
    from cmhot.summaries.precision import plan_precision

    found = plan_precision(
        setting,
        quantile=quantile,
        width_s=width,
        sharers=sharers,
        kubernetes=kubernetes,
    )
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else found.to_text())
