"""The editions of the study: of what each is made, where, and where it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studies import (
    beside,
    cost_law,
    eras,
    more_settings,
    protocol,
    second,
    validity,
)
from studies.disturbed import KINDS

if TYPE_CHECKING:
    from cmhot.kubelet.settings import Setting
    from studies.protocol import Batch

_ROOT = Path(__file__).parents[1]


def node_option(setting: Setting) -> str:
    """Write a setting as ``cmhot testbed up --node`` reads it."""
    ttl = "" if setting.ttl_s is None else f",ttl={setting.ttl_s:g}"
    return f"sync={setting.sync_frequency_s:g}s,strategy={setting.strategy}{ttl}"


@dataclass(frozen=True, slots=True)
class Experiment:
    """A part of the study that is no collection from idle pods.

    Attributes
    ----------
    name
        Of its module in `studies`, and of its testbed.
    nodes
        As ``cmhot testbed up --node`` reads them.
    made
        Files or folders that it makes; what is there is not made again.
    arguments
        Its module and more words for that, if the module has not its name.
    """

    name: str
    nodes: tuple[str, ...]
    made: tuple[str, ...]
    arguments: tuple[str, ...] = ()

    @property
    def command(self) -> tuple[str, ...]:
        """Module, and what it is called with beside target and place."""
        return self.arguments or (f"studies.{self.name}",)


@dataclass(frozen=True, slots=True)
class Edition:
    """What was declared by one protocol.

    Attributes
    ----------
    built
        Folder in which its runs are made.
    data
        Folder of what is published of it.
    batches, experiments
        Its parts.
    """

    built: Path
    data: Path
    batches: tuple[Batch, ...]
    experiments: tuple[Experiment, ...] = ()

    @property
    def parts(self) -> list[str]:
        """Names of all parts."""
        batches = [one.name for one in self.batches]
        return batches + [one.name for one in self.experiments]

    @property
    def tables(self) -> list[str]:
        """Files with what was counted otherwise than by collections."""
        return [name for name in self.made if name.endswith(".json")]

    @property
    def runs(self) -> list[str]:
        """Names of the collections."""
        return [one.name for batch in self.batches for one in batch.collections]

    @property
    def made(self) -> list[str]:
        """Names of the collections, and of what each experiment leaves."""
        return self.runs + [name for one in self.experiments for name in one.made]

    @property
    def is_published(self) -> bool:
        """Whether all of its collections are in `data`."""
        return all((self.data / name / "run.json").is_file() for name in self.runs)


FIRST = Edition(
    _ROOT / "build" / "study",
    _ROOT / "data" / "study-2026-11-24",
    protocol.BATCHES,
    (
        Experiment(
            "eras",
            tuple(
                f"{node_option(setting)},kubelet={version}"
                for version in eras.VERSIONS
                for setting in eras.SETTINGS
            ),
            tuple(f"era-{version}" for version in eras.VERSIONS),
        ),
        Experiment("never", ("sync=2s",), ("never.json",)),
        Experiment("closed", ("sync=10s",), ("closed-loop.json",)),
        Experiment("forced", ("sync=60s",), ("remedies.json",)),
        Experiment(
            "disturbed", ("sync=60s",), tuple(f"disturbed-{kind}" for kind in KINDS)
        ),
    ),
)
SECOND = Edition(
    _ROOT / "build" / "second",
    _ROOT / "data" / "study-second",
    second.BATCHES,
    (
        Experiment(
            "costs",
            # each is given many settings; the TTL of 0 is its node's for all of them
            ("sync=60s,strategy=Cache,ttl=0",) * len(cost_law.POPULATIONS),
            ("costs.json",),
        ),
        *(
            Experiment(
                f"validity-{part}",
                tuple(node_option(one.setting) for one in conditions),
                (f"validity-{part}.json", *(one.run for one in conditions)),
                ("studies.validity_runs", "--part", part),
            )
            for part, conditions in validity.PARTS.items()
        ),
        *(
            Experiment(
                f"beside-{part}",
                (node_option(beside.SETTING),),
                made,
                ("studies.beside_runs", "--part", part),
            )
            for part, made in beside.PARTS.items()
        ),
    ),
)
MORE = Edition(
    _ROOT / "build" / "more",
    _ROOT / "data" / "study-more",
    (more_settings.BATCH,),
    (
        Experiment(
            "controller",
            (node_option(more_settings.written(0)),) * more_settings.NODES,
            (
                *(more_settings.run_at(n) for n, _ in more_settings.MEASURED_AT),
                more_settings.TABLE,
            ),
            ("studies.controller_runs",),
        ),
    ),
)
EDITIONS = {"first": FIRST, "second": SECOND, "more": MORE}
