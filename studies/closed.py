"""Closed loops really done at one setting (H10 of the protocol).

``python -m studies.closed --target testbed:NAME --out FILE`` writes every trial.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from cmhot.cluster.targets import connect
from cmhot.experiments.closed_loop import closed_loops
from cmhot.kubelet.settings import Setting
from studies.protocol import PAUSES_S

SETTING = Setting(10)
PODS, TRIALS, SEED = 6, 25, 12


@click.command()
@click.option("--target", required=True, help="A testbed, such as testbed:NAME.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(target: str, out: Path) -> None:
    """Run the loops of the protocol on the nodes of its setting."""
    cluster = connect(target)
    pauses = [pause_s / SETTING.sync_frequency_s for pause_s in PAUSES_S]
    trials = closed_loops(
        cluster, SETTING, pauses=pauses, pods=PODS, trials=TRIALS, seed=SEED
    )
    found = {
        "kubernetes": cluster.version(),
        "setting": str(SETTING),
        "trials": json.loads(trials.to_json(orient="records", double_precision=6)),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
