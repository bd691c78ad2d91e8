"""Fifty trials of each remedy on one Deployment (H8 of the protocol).

``python -m studies.forced --target testbed:NAME --out FILE`` writes every trial.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from cmhot.cluster.targets import connect
from cmhot.experiments.forcing import NOTHING, compare_methods

PODS, TRIALS = 10, 50


@click.command()
@click.option("--target", required=True, help="A testbed, such as testbed:NAME.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(target: str, out: Path) -> None:
    """Try the methods in turn on the node of the longest syncFrequency."""
    cluster = connect(target)

    def tell(line: str) -> None:
        click.echo(line, err=True)

    table = compare_methods(cluster, repeats=TRIALS, pods=PODS, report=tell)
    trials = table[table["method"] != NOTHING]
    found = {
        "kubernetes": cluster.version(),
        **table.attrs,
        "pods": PODS,
        "trials": json.loads(trials.to_json(orient="records", double_precision=6)),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
