"""Which notebooks a report executes, with which values, and how long they take.

A notebook gets a value for each parameter that it has. Its own metadata say what it
waits for, and its part in each profile (`notebooks.NotebookInfo`): adding a notebook is
adding a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from cmhot.errors import UsageError
from cmhot.kubelet.settings import longest_below_default_s, parse_setting
from cmhot.report import notebooks
from cmhot.runs.plan import DEFAULT_SYNC_S, Plan, expected_duration_s

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cmhot.kubelet.settings import Setting


COLLECT = "02-collect"
"""The notebook that collects the run for the others."""
RUNS, FIGURES = "runs", "figures"
"""Folders of a report, and the values that stand for them in a `Step`."""
SHORTEST_S = 60.0
"""A measuring window is at least this long, or twice the longest `syncFrequency`."""
FEWEST_PODS = 5
"""Probes of a setting on a machine without memory for more."""
POD_START_S = 0.25
"""What a probe pod takes to start, seconds: 100 of them were Ready after 18 s."""
NOTEBOOK_S = 6.0
"""Seconds of a notebook that only computes: most of them to start a kernel."""


class Profile(NamedTuple):
    """How much to collect for a report."""

    pods: int
    """Probe pods per setting."""
    pods_at_default: int
    """Probe pods where `syncFrequency` is the kubelet's default, on a testbed that has
    the memory: 80 left the 95 % interval of the 99 % point 2.04 s wide in 4 minutes."""
    total_s: float
    """How long collecting is to take in all, in seconds, once the probes run:
    the rest after burn-in and drain is the measuring window."""


PROFILES: Mapping[str, Profile] = {
    # ten minutes on a testbed of the default settings, the collection included
    "quick": Profile(pods=16, pods_at_default=100, total_s=425.0),
    # an hour
    "full": Profile(pods=40, pods_at_default=100, total_s=1800.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """The order for a report's collection; fields that `Plan` has mean the same.

    `pods` and `duration_s` replace the profile's; None: the profile's.
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
        """The setting given by hand, parsed."""
        return None if self.setting is None else parse_setting(self.setting)

    def plan(self, settings: Sequence[Setting], *, room: int | None = None) -> Plan:
        """Fix the plan for the settings that were found.

        `room` is how many probes there is memory for on a testbed; None: it is not
        known, and each setting gets the same number.

        Raises
        ------
        UsageError
            For an unknown profile, or impossible values.
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
            **self._pods(profile, settings, room),
            duration_s=round(duration_s, 1),
            gap_s=self.gap_s,
            seed=self.seed,
            namespace=self.namespace,
            probe_image=self.probe_image,
            setting=self.setting,
        )

    def _pods(
        self, profile: Profile, settings: Sequence[Setting], room: int | None
    ) -> dict[str, Any]:
        """Choose the probes: as many as asked for, or as there is memory for."""
        if self.pods is not None:
            return {"pods": self.pods}
        if room is None:
            return {"pods": profile.pods}
        pods = max(min(profile.pods, room // len(settings)), FEWEST_PODS)
        there = sum(one.sync_frequency_s == DEFAULT_SYNC_S for one in settings)
        if there == 0:
            return {"pods": pods}
        left = (room - pods * (len(settings) - there)) // there
        at_default = max(min(profile.pods_at_default, left), pods)
        return {"pods": pods, "pods_at": (f"{DEFAULT_SYNC_S:g}s={at_default}",)}


@dataclass(frozen=True, slots=True)
class Step:
    """A notebook and the values of its parameters."""

    notebook: str
    values: Mapping[str, Any]
    """As JSON has them; paths are relative to the report's folder."""

    @property
    def asks_cluster(self) -> bool:
        """Whether it needs a cluster."""
        only_reads_runs = self.values.get("runs") and not self.values.get("trials")
        return "target" in self.values and not only_reads_runs

    def absolute(self, folder: Path) -> dict[str, Any]:
        """Give the values with the paths of a report in that folder."""
        found = dict(self.values)
        for name in ("out", "figures_out"):
            if name in found:
                found[name] = str(folder / found[name])
        if "runs" in found:
            found["runs"] = [str(folder / run) for run in found["runs"]]
        return found


def left_out(profile: str) -> dict[str, str]:
    """Name the notebooks that a profile does not execute, each with the reason."""
    reasons = {name: notebooks.info(name).left_out for name in notebooks.names()}
    return {name: why[profile] for name, why in reasons.items() if profile in why}


def plan_steps(order: Order, plan: Plan, *, run_id: str) -> list[Step]:
    """Choose the notebooks of a profile, in their order, and their values."""
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
        "pods_at": list(plan.pods_at),
        "duration_s": plan.duration_s,
        "gap_s": plan.gap_s or 0.0,
        "run_id": run_id,
    }
    found = []
    for name in notebooks.names():
        about = notebooks.info(name)
        if order.profile not in about.left_out:
            own = about.values.get(order.profile, {})
            values = collection if name == COLLECT else {**common, **own}
            found.append(_step(name, values))
    return found


def steps_on_runs(paths: Sequence[str]) -> list[Step]:
    """Choose the notebooks that read runs; paths are relative to the report's."""
    values = {"runs": list(paths), "figures_out": FIGURES, "trials": 0}
    found = [_step(name, values) for name in notebooks.names()]
    return [step for step in found if "runs" in step.values]


def _step(name: str, values: Mapping[str, Any]) -> Step:
    known = notebooks.parameters(name)
    return Step(name, {key: values[key] for key in known if key in values})


class Pace(NamedTuple):
    """How long notebooks wait here, in seconds; on the model, whose time is virtual, 0.

    Its fields are the units of the waits in a notebook's metadata.
    """

    seconds: float = 0.0
    shortest_syncs: float = 0.0
    longest_syncs: float = 0.0
    collections: float = 0.0

    @classmethod
    def of(cls, plan: Plan, settings: Sequence[Setting]) -> Pace:
        """Compute the pace on a real cluster, a setting for each group of nodes."""
        pods_s = POD_START_S * sum(plan.pods_of(setting) for setting in settings)
        frequencies_s = [one.sync_frequency_s for one in settings]
        return cls(
            seconds=1.0,
            shortest_syncs=min(frequencies_s),
            longest_syncs=longest_below_default_s(settings),
            collections=pods_s + expected_duration_s(plan, list(settings)),
        )

    def left_s(self, steps: Sequence[Step]) -> float:
        """Estimate how long notebooks take, in seconds."""
        return sum(NOTEBOOK_S + self._waited_s(step) for step in steps)

    def _waited_s(self, step: Step) -> float:
        if self == Pace() or not step.asks_cluster:
            return 0.0
        waits = dict(notebooks.info(step.notebook).waits)
        times = float(step.values.get(waits.pop("for_each", ""), 1))
        once_s: float = sum(
            amount * getattr(self, unit) for unit, amount in waits.items()
        )
        return times * once_s
