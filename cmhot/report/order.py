"""What a report is to collect: a profile, and what is asked for instead of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmhot.costs import expected_duration_s
from cmhot.errors import UsageError
from cmhot.plan import Plan
from cmhot.settings import parse_setting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmhot.settings import Setting

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
        As in `cmhot.plan.Plan`.
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
