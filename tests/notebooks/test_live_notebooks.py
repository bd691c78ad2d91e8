"""The notebooks that act on a cluster, executed in a real kernel on the model.

Each asserts in its last cell what its text says; on the testbed they are executed by
`tests/testbed/test_live_notebooks.py`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from cmhot.cluster import targets
from cmhot.cluster.model import ModelCluster
from cmhot.errors import NotFoundError, UsageError
from cmhot.report import notebooks

if TYPE_CHECKING:
    from pathlib import Path

SMALL: dict[str, dict[str, object]] = {
    "00-start-here": {"pods": 4},
    "01-environment-or-volume": {"updates": 3, "pods": 5},
    "06-force-it": {"repeats": 3, "pods": 8},
    "08-what-updates": {"rounds": 2, "copies": 1},
}
FIGURES = {
    "00-start-here": "timeline",
    "01-environment-or-volume": "environment-or-volume",
    "06-force-it": "remedies",
    "08-what-updates": "consumers",
}


def outputs(executed: Path) -> list[dict[str, Any]]:
    """List what an executed notebook shows."""
    cells = json.loads(executed.read_bytes())["cells"]
    return [one for cell in cells for one in cell.get("outputs", [])]


@pytest.mark.notebook
@pytest.mark.parametrize("name", SMALL)
def test_executes_on_the_model(name: str, tmp_path: Path) -> None:
    """Its assertions hold, its figure and words are there, and say modelled."""
    values = {**SMALL[name], "target": "model", "figures_out": tmp_path / "figures"}

    saved = notebooks.execute(name, values, out=tmp_path)

    svg = (tmp_path / "figures" / f"{FIGURES[name]}.svg").read_text()
    assert "modelled, not measured" in svg
    (alt,) = (
        one["metadata"]["image/png"]["alt"]
        for one in outputs(saved)
        if "image/png" in one.get("data", {})
    )
    assert len(alt) > 40
    words = tmp_path / "figures" / f"{FIGURES[name]}.json"
    if name != "00-start-here":  # whose figure is of one update, and not the report's
        assert json.loads(words.read_text())["modelled"] is True


@pytest.mark.notebook
def test_the_parameters_are_named(tmp_path: Path) -> None:
    """A wrong value is answered with what the notebook takes."""
    values = {"target": "model", "repeats": -1, "figures_out": tmp_path / "figures"}

    with pytest.raises(notebooks.NotebookError) as caught:
        notebooks.execute("06-force-it", values, out=tmp_path / "executed")

    assert "repeats = -1 is not possible: it must be at least 1" in str(caught.value)
    assert "parameters are target: str, repeats: int, pods: int" in str(caught.value)
    assert not (tmp_path / "figures").exists()


def run_here(name: str, values: dict[str, object]) -> None:
    """Run a notebook's cells in this process, with other parameters."""
    scope: dict[str, object] = {}
    for cell in json.loads(notebooks.find(name).read_bytes())["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), scope)  # noqa: S102 - the notebook itself
        if cell["metadata"].get("tags"):
            scope.update(values)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("00-start-here", {"pods": 0}, "pods = 0 is not possible"),
        ("00-start-here", {"target": "moon"}, "unknown target 'moon'"),
        ("00-start-here", {"node": "moon"}, "node = 'moon'"),
        ("01-environment-or-volume", {"wait_s": -1.0}, "wait_s = -1"),
        ("01-environment-or-volume", {"updates": 0}, "updates = 0"),
        ("01-environment-or-volume", {"pods": -3}, "pods = -3"),
        ("06-force-it", {"repeats": -1}, "repeats = -1"),
        ("06-force-it", {"pods": 0}, "pods = 0 is not possible"),
        ("06-force-it", {"methods": ["restart"]}, "'restart' is none; choose of"),
        ("08-what-updates", {"rounds": 0}, "rounds = 0"),
        ("08-what-updates", {"copies": -2}, "copies = -2"),
    ],
    ids=[
        *("00-pods", "00-target", "00-node", "01-wait", "01-updates", "01-pods"),
        *("06-repeats", "06-pods", "06-method", "08-rounds", "08-copies"),
    ],
)
def test_a_wrong_value_makes_nothing(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    values: dict[str, object],
    message: str,
) -> None:
    """It is named before anything is made."""
    cluster, real = ModelCluster(), targets.connect
    before = cluster._store.version
    monkeypatch.setattr(
        targets, "connect", lambda one: cluster if one == "model" else real(one)
    )

    with pytest.raises(UsageError, match=message):
        run_here(name, {"target": "model", **values})

    assert cluster._store.version == before


@pytest.mark.parametrize("name", SMALL)
def test_a_namespace_that_is_not_there_is_no_reason_to_make_one(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A misspelt name stops it, too."""
    cluster = ModelCluster()
    before = cluster._store.version
    monkeypatch.setattr(targets, "connect", lambda _: cluster)

    with pytest.raises(NotFoundError, match="namespaces/none-such"):
        run_here(name, {**SMALL[name], "target": "model", "namespace": "none-such"})

    assert cluster._store.version == before


@pytest.mark.parametrize("name", SMALL)
def test_a_misspelt_parameter_starts_nothing(name: str, tmp_path: Path) -> None:
    """The message names the parameters that there are; no kernel was started."""
    with pytest.raises(UsageError, match=r"no parameter podds: it knows target: str"):
        notebooks.execute(name, {"podds": 3}, out=tmp_path / "executed")

    assert not (tmp_path / "executed").exists()
