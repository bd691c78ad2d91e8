"""Which notebooks a report executes, and what each of them is told.

A notebook is told what it has a parameter for, so that a new notebook needs no entry
here; `PROFILES` says which are left out, and how large the others are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot import notebooks
from cmhot.report.order import PROFILES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cmhot.plan import Plan
    from cmhot.report.order import Order

COLLECT = "02-collect"
"""The one that makes the run from which others live."""

RUNS, FIGURES = "runs", "figures"
"""Folders of a report, and the values that stand for them in a `Step`."""


@dataclass(frozen=True, slots=True)
class Step:
    """A notebook and what it is told.

    Attributes
    ----------
    notebook
        Its name.
    values
        By parameter, as JSON has them; paths are relative to the report's folder.
    """

    notebook: str
    values: Mapping[str, Any]

    @property
    def asks_cluster(self) -> bool:
        """Whether it has to do with a cluster."""
        lives_from_runs = self.values.get("runs") and not self.values.get("trials")
        return "target" in self.values and not lives_from_runs

    def absolute(self, folder: Path) -> dict[str, Any]:
        """Give the values with the paths of a report in that folder."""
        found = dict(self.values)
        for name in ("out", "figures_out"):
            if name in found:
                found[name] = str(folder / found[name])
        if "runs" in found:
            found["runs"] = [str(folder / run) for run in found["runs"]]
        return found


def plan_steps(order: Order, plan: Plan, *, run_id: str) -> list[Step]:
    """Choose the notebooks of a profile, in their order, and what they are told.

    Parameters
    ----------
    order
        What is asked for.
    plan
        Of the collection.
    run_id
        Of the run that it makes.
    """
    profile = PROFILES[order.profile]
    common = {
        "target": order.target,
        "runs": [f"{RUNS}/{run_id}"],
        "out": RUNS,
        "figures_out": FIGURES,
        "seed": order.seed,
        "namespace": order.namespace or "",
        "probe_image": order.probe_image or "",
        "image": order.probe_image or "",
        "setting": order.setting or "",
    }
    collection = {
        **common,
        "pods": plan.pods,
        "duration_s": plan.duration_s,
        "gap_s": plan.gap_s or 0.0,
        "run_id": run_id,
    }
    found = []
    for name in notebooks.names():
        if name not in profile.left_out:
            told = {**common, **profile.values.get(name, {})}
            found.append(_step(name, collection if name == COLLECT else told))
    return found


def steps_on_runs(paths: Sequence[str]) -> list[Step]:
    """Choose the notebooks that live from runs.

    Parameters
    ----------
    paths
        Of the runs, relative to the report's folder.
    """
    told = {"runs": list(paths), "figures_out": FIGURES, "trials": 0}
    found = [_step(name, told) for name in notebooks.names()]
    return [step for step in found if "runs" in step.values]


def _step(name: str, told: Mapping[str, Any]) -> Step:
    known = notebooks.parameters(name)
    return Step(name, {key: told[key] for key in known if key in told})
