"""The notebooks that act on a cluster, executed on real kubelets in small."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cmhot.cluster.port import MANAGED_BY, NAMESPACE
from cmhot.report import notebooks

if TYPE_CHECKING:
    from pathlib import Path

    from cmhot.cluster.port import Cluster
    from cmhot.cluster.testbed.status import Status

# each on the node of 2 s, in half a minute to a minute and a half
SMALL: dict[str, dict[str, object]] = {
    "00-start-here": {"pods": 4},
    "01-environment-or-volume": {"updates": 2, "pods": 3, "wait_s": 5.0},
    "06-force-it": {"repeats": 1, "pods": 4},
    "08-what-updates": {"rounds": 1, "copies": 1},
}


@pytest.mark.notebook
@pytest.mark.parametrize("name", SMALL)
def test_executes_on_real_kubelets(
    cluster: Cluster, testbed: Status, name: str, tmp_path: Path
) -> None:
    """Its assertions hold, nothing says modelled, and nothing of it is left."""
    values = {
        **SMALL[name],
        "target": f"testbed:{testbed.name}",
        "node": testbed.nodes[0].name,
        "figures_out": tmp_path / "figures",
    }

    saved = notebooks.execute(name, values, out=tmp_path)

    (svg,) = (
        one
        for one in (tmp_path / "figures").glob("*.svg")
        if not one.stem.endswith("-narrow")
    )
    assert "modelled" not in svg.read_text()
    errors = [
        output["ename"]
        for cell in json.loads(saved.read_bytes())["cells"]
        for output in cell.get("outputs", [])
        if output["output_type"] == "error"
    ]
    assert errors == []
    ours = cluster.list(NAMESPACE, labels=MANAGED_BY)[0]
    left = [one["metadata"]["name"] for one in ours]
    assert not [one for one in left if one.startswith("cmhot-live-")]
