"""What a report is to collect: a profile, and what is asked for instead of it.

Which notebooks a report executes, and what each of them is told.

A notebook is told what it has a parameter for, so that a new notebook needs no entry
here; `PROFILES` says which are left out, and how large the others are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmhot.errors import UsageError
from cmhot.kubelet.settings import parse_setting
from cmhot.report import notebooks
from cmhot.runs.plan import Plan, expected_duration_s

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cmhot.kubelet.settings import Setting


_INCLUDED = "the full profile includes it."
SHORTEST_S = 60.0
"""A measuring window is at least this long, or twice the longest `syncFrequency`."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How much to collect for a report, and which notebooks it executes.

    Attributes
    ----------
    pods
        Probe pods per setting.
    total_s
        How long collecting is to take in all, in seconds, once the probes run:
        what burn-in and drain leave of it is measured.
    left_out
        Notebooks that are not executed, each with the reason in a sentence.
    values
        By notebook, parameters that differ from its own defaults.
    """

    pods: int
    total_s: float
    left_out: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


PROFILES: Mapping[str, Profile] = {
    # six minutes on a testbed of the default settings, the collection included
    "quick": Profile(
        pods=20,
        total_s=240.0,
        left_out={
            "01-environment-or-volume": f"it takes about 5 minutes; {_INCLUDED}",
            "06-force-it": f"each remedy is tried thirty times; {_INCLUDED}",
            "08-what-updates": f"it takes about 8 minutes; {_INCLUDED}",
        },
        # the closed loops are replayed on the syncs that were seen
        values={"09-how-to-measure-it-wrong": {"trials": 0}},
    ),
    # an hour
    "full": Profile(
        pods=40,
        total_s=1800.0,
        values={
            "01-environment-or-volume": {"updates": 6},
            "06-force-it": {"repeats": 30},
            "08-what-updates": {"rounds": 15},
            "09-how-to-measure-it-wrong": {"trials": 12},
        },
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a report is to collect.

    Attributes
    ----------
    target
        Where; None: the caller gave none, which is an error unless there are runs.
    profile
        A name in `PROFILES`.
    pods, duration_s
        Instead of the profile's; None: the profile's.
    gap_s, seed, namespace, probe_image, setting
        As in `cmhot.runs.plan.Plan`.
    """

    target: str | None
    profile: str = "quick"
    pods: int | None = None
    duration_s: float | None = None
    gap_s: float | None = None
    seed: int = 1
    namespace: str | None = None
    probe_image: str | None = None
    setting: str | None = None

    @property
    def given_setting(self) -> Setting | None:
        """The setting given by hand, read.

        Raises
        ------
        UsageError
            When it cannot be read.
        """
        return None if self.setting is None else parse_setting(self.setting)

    def plan(self, settings: Sequence[Setting]) -> Plan:
        """Fix the plan for the settings that were found.

        Raises
        ------
        UsageError
            For an unknown profile, or values that cannot be.
        """
        if self.profile not in PROFILES:
            known = ", ".join(PROFILES)
            msg = f"unknown profile {self.profile!r}: there are {known}"
            raise UsageError(msg)
        profile = PROFILES[self.profile]
        duration_s = self.duration_s
        if duration_s is None:
            longest_s = max(setting.sync_frequency_s for setting in settings)
            around_s = expected_duration_s(Plan(duration_s=1.0), [*settings]) - 1.0
            duration_s = max(profile.total_s - around_s, SHORTEST_S, 2 * longest_s)
        return Plan(
            pods=profile.pods if self.pods is None else self.pods,
            duration_s=round(duration_s, 1),
            gap_s=self.gap_s,
            seed=self.seed,
            namespace=self.namespace,
            probe_image=self.probe_image,
            setting=self.setting,
        )


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
