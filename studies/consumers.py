"""What `cmhot explain` predicts beside what real pods show, consumer by consumer.

``python -m studies.consumers --target testbed`` writes docs/studies/consumers.md:
each way to use a ConfigMap or a Secret, against an update, a restart of the container
and a restart of the pod, by `cmhot.experiments.consumer_matrix`: one round
of what notebook 08 does. `tests/testbed/test_remedies.py` asserts each cell.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cmhot.cluster.targets import connect
from cmhot.experiments.matrix import EVENTS, Matrix
from cmhot.experiments.stage import Stage, choose_node
from cmhot.kubelet.settings import Setting
from studies import pages

if TYPE_CHECKING:
    from cmhot.experiments.matrix import Cell


def page(cells: list[Cell], kubernetes: str, setting: Setting) -> str:
    """Write the page."""
    names = list(dict.fromkeys(cell.case.title for cell in cells))
    by = {(cell.case.title, cell.event): cell for cell in cells}
    rows = [[name, *(_said(by[name, event]) for event in EVENTS)] for name in names]
    agree = sum(cell.agrees for cell in cells)
    return f"""# Which containers see an update

Made by `python -m studies.consumers` on Kubernetes {kubernetes}, a node of {setting}.
Each way to use a ConfigMap or a Secret has a pod of its own. After the update and the
longest delay of the law, after a restart of the container in its pod, and after the pod
was deleted and made again: does the container hold the new content, seen from inside?
The immutable object cannot be updated (the API server refuses, seen here too): it is
removed and made anew. An ephemeral container is never started again.

{agree} of {len(cells)} cells are as `cmhot explain` predicts; **bold** are those that
are not.

{pages.table(["consumer", *EVENTS], rows)}
"""


def _said(cell: Cell) -> str:
    word = {True: "yes", False: "no", None: "none such"}[cell.observed]
    return word if cell.agrees else f"**{word}**"


@click.command()
@click.option("--target", required=True, help="A testbed, such as testbed:NAME.")
def main(target: str) -> None:
    """Fill the matrix on the node of the smallest syncFrequency, and write the page."""
    cluster = connect(target)
    node = choose_node(cluster, slowest=False)
    setting = node.setting or Setting()
    with Stage(cluster, node=node) as stage:
        cells = Matrix(stage, setting=setting).run()
    numbers = {
        "kubernetes": cluster.version(),
        "holds": all(cell.agrees for cell in cells),
        "cells": [
            {
                "consumer": cell.case.title,
                "event": cell.event,
                "predicted": cell.predicted,
                "observed": cell.observed,
            }
            for cell in cells
        ],
    }
    text = page(cells, cluster.version(), setting)
    sys.exit(not pages.write("consumers", text=text, numbers=numbers))


if __name__ == "__main__":
    main()
