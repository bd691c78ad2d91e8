"""The blog post's experiment, timed: volumes turn, environments do not.

``python -m studies.environment --target testbed:NAME`` writes
docs/studies/environment-or-volume.json, which ``make ship-data`` puts into the package.
"""

from __future__ import annotations

import json

import click

from cmhot.cluster.targets import connect
from cmhot.experiments.blog_post import scale, set_stage, start, time_updates
from cmhot.plots.figure import records
from studies.pages import DOCS

KEPT = (
    *("seq", "configmap", "node", "pod", "consumer", "acked_ns", "delay_s", "waited_s"),
    *("status", "sync_frequency_s", "strategy", "ttl_s"),
)
"""Columns that the figure is made of."""


@click.command()
@click.option("--target", required=True, help="As of cmhot collect.")
@click.option("--updates", default=8, show_default=True)
@click.option("--pods", default=10, show_default=True, help="Of each Deployment.")
def main(target: str, updates: int, pods: int) -> None:
    """Measure, and write the rows."""
    cluster = connect(target)
    stage = set_stage(cluster)
    stage.open()
    try:
        start(stage)
        scale(stage, pods)
        rows = time_updates(stage, updates=updates, pods=pods, report=click.echo)
    finally:
        stage.close()
    content = {
        "source": {
            "kubelets": [rows.attrs["kubelet"]],
            "modelled": rows.attrs["modelled"],
            "setting": rows.attrs["setting"],
        },
        "rows": records(rows[[*KEPT]]),
    }
    path = DOCS / "environment-or-volume.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    click.echo(path)


if __name__ == "__main__":
    main()
