"""Measured data that come with the package: figures without a cluster or a run.

``make ship-data`` puts them here; each is small, so that the wheel stays small.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from cmhot.gallery.material import Material, Source

FOLDER = Path(__file__).parents[1] / "_shipped"
"""``runs/<run-id>/`` are runs, ``<figure>.json`` are tables of figures."""


def shipped_runs() -> tuple[Path, ...]:
    """List the run directories that come with the package."""
    return tuple(sorted((FOLDER / "runs").iterdir()))


def shipped(name: str) -> Material:
    """Give what a named figure is drawn from when nothing else is given.

    Parameters
    ----------
    name
        Of the figure.
    """
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        return Material(paths=shipped_runs())
    content = json.loads(path.read_bytes())
    source = content["source"]
    return Material(
        table=pd.DataFrame(content["rows"]),
        given=Source(
            runs=tuple(source.get("runs", ())),
            kubelets=tuple(source.get("kubelets", ())),
            modelled=bool(source.get("modelled")),
            setting=source.get("setting"),
        ),
    )
