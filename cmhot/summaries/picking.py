"""The refreshes of one setting, for questions that are asked of one setting only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmhot.errors import RunError
from cmhot.law import reads_at_every_sync
from cmhot.runs import schema
from cmhot.runs.delays import delays
from cmhot.runs.meta import kubelet_version
from cmhot.runs.refreshes import refresh_intervals
from cmhot.runs.rundir import read_run
from cmhot.settings import parse_setting
from cmhot.statistics.population import codes_of, populations

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd

    from cmhot.settings import Setting

LEAST_S = 5.0
"""A `syncFrequency` below this is left alone where there is another:
the tick of a second has more to say than the jitter (law.syncs.interval_pmf)."""


@dataclass(frozen=True, slots=True, eq=False)
class Picked:
    """What one run says of one setting.

    Attributes
    ----------
    setting
        Under which each sync reads what there is.
    refresh
        Its refresh intervals, of one consumer.
    kubernetes
        Version of its kubelets; None: not known.
    run
        Id of the run.
    modelled
        Whether nothing was measured.
    path
        Of the run.
    """

    setting: Setting
    refresh: pd.DataFrame
    kubernetes: str | None
    run: str
    modelled: bool
    path: Path

    @property
    def pods(self) -> int:
        """How many pods there are."""
        return codes_of(self.refresh["pod"])[1]

    def delays(self) -> pd.DataFrame:
        """Compute the delays of the updates in these pods, as `cmhot.runs.delays`."""
        consumer = self.refresh["consumer"].iloc[0]
        (found,) = (
            rows
            for key, rows in populations(delays(read_run(self.path)))
            if schema.setting_of(key) == self.setting and key["consumer"] == consumer
        )
        return found


def pick(paths: Sequence[Path], *, at: str = "", longest: bool = False) -> Picked:
    """Choose a setting, and of the runs the one with the most pods at it.

    Parameters
    ----------
    paths
        Run directories. Pods of different runs are never taken together:
        they were not watched at the same instants.
    at
        The setting, as `cmhot.settings.parse_setting` reads it; empty: one is chosen,
        of those under which each sync reads what there is.
    longest
        Which is chosen: that of the longest `syncFrequency`,
        or that of the shortest one of 5 s or more.

    Raises
    ------
    UsageError
        When `at` is no setting.
    RunError
        When a run cannot be read, or none has such a setting.
    """
    wanted = parse_setting(at) if at else None
    every = [found for path in paths for found in _fresh(path)]
    fitting = [one for one in every if wanted is None or one.setting == wanted]
    if not fitting:
        there = "; ".join(dict.fromkeys(str(one.setting) for one in every))
        runs = ", ".join(path.name for path in paths)
        asked = "a known setting" if wanted is None else str(wanted)
        msg = (
            f"no refreshes at {asked} in {runs}, under which each sync reads what "
            f"there is: there is {there or 'none'}"
        )
        raise RunError(msg)

    def rank(one: Picked) -> tuple[bool, float, int]:
        sync_s = one.setting.sync_frequency_s
        order = sync_s if longest else -sync_s
        return sync_s >= LEAST_S, order, one.pods

    return max(fitting, key=rank)


def _fresh(path: Path) -> Iterator[Picked]:
    """List what a run says of settings under which each sync reads what there is."""
    run = read_run(path)
    refresh = refresh_intervals(run)
    if refresh.empty:
        return
    for key, rows in populations(refresh):
        setting = schema.setting_of(key)
        version = kubelet_version(run.meta, str(rows["node"].iloc[0]))
        if setting is not None and reads_at_every_sync(setting, version):
            yield Picked(
                setting,
                rows,
                version,
                str(run.meta["run_id"]),
                bool(run.meta.get("modelled")),
                path,
            )
