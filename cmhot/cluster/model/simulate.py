"""Collect from modelled kubelets, straight to the tables of a run in memory.

Without port, requests, logs and disk: for studies of many runs.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.clock import NS_PER_S, VirtualClock, ns
from cmhot.cluster import probe
from cmhot.cluster.model.virtual_kubelet import (
    READ_AFTER_S,
    History,
    make_nodes,
    ttl_s,
    version_text,
)
from cmhot.cluster.rights import PROBE_CONFIG_MAP
from cmhot.errors import UsageError
from cmhot.kubelet.eras import TYPICAL
from cmhot.law import equilibrium
from cmhot.runs import schema
from cmhot.runs.plan import Plan, burn_in_s, drain_s, update_offsets_ns
from cmhot.runs.rundir import Run
from cmhot.runs.tables import frame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from cmhot.cluster.model.virtual_kubelet import ModelNode, Volume
    from cmhot.kubelet.eras import Timing
    from cmhot.kubelet.settings import Setting
    from cmhot.runs.schema import Table

    Integers = npt.NDArray[np.int64]


EPOCH_NS = VirtualClock().utc_ns()
"""The instant at which the model starts."""


def simulate(
    setting: Setting,
    *,
    pods: int,
    duration_s: float,
    gap_s: float | None = None,
    seed: int = 1,
    nodes: int = 1,
    kubernetes: str | None = None,
    timing: Timing = TYPICAL,
    scrambled: bool = True,
    run_id: str = "modelled",
) -> Run:
    """Collect from modelled kubelets of one setting, in memory.

    All pods share one ConfigMap. They are created together; two seconds later
    each is annotated once, after a time drawn from the equilibrium law, with a new
    number written at the same instant; after the burn-in the updates follow,
    at instants drawn beforehand, and then the drain.

    ``pods`` is for each of the ``nodes``. ``gap_s`` is the mean gap between updates
    (None: as `Plan` has it). Without ``scrambled`` there are no annotations and no
    burn-in: the window begins at once, with all pods of a node in phase, as in a
    careless measurement. The path of the run leads nowhere.

    Examples
    --------
    >>> from cmhot.kubelet.settings import Setting
    >>> run = simulate(Setting(10), pods=2, duration_s=60)
    >>> run.meta["modelled"], run.publications["pod"].nunique()
    (True, 2)
    """
    plan = Plan(pods=pods, duration_s=duration_s, gap_s=gap_s, seed=seed)
    if nodes < 1:
        msg = f"{nodes} nodes cannot run pods: ask for at least one"
        raise UsageError(msg)
    made = make_nodes(
        [setting] * nodes, seed=seed, kubernetes=kubernetes, timing=timing
    )
    schedule = _Schedule.draw(
        setting,
        plan,
        pods=pods * nodes if scrambled else 0,
        kubernetes=kubernetes,
    )
    history = History()
    for number, at_ns in enumerate([0, *schedule.written_ns.tolist()]):
        history.write(number, at_ns=at_ns)
    for turn, node in enumerate(made):
        added = node.kubelet.add([[history]] * pods, at_ns=0)
        # with fewer annotations than pods there are none
        touched_ns = schedule.touched_ns[turn::nodes].tolist()
        for pod, at_ns in zip(added, touched_ns, strict=False):
            node.kubelet.update(pod, at_ns=at_ns)
        node.kubelet.run(schedule.end_ns)
    version = version_text(kubernetes)
    listed = [_pod_entry(node.name, number) for node in made for number in range(pods)]
    meta: dict[str, Any] = {
        "format": schema.FORMAT,
        "run_id": run_id,
        "target": "model",
        "modelled": True,
        "plan": plan.to_dict(),
        "seed": seed,
        "status": "complete",
        "kubernetes": version,
        "kubelets": {node.name: version for node in made},
        "settings": {
            node.name: {
                "sync_frequency_s": setting.sync_frequency_s,
                "strategy": setting.strategy.value,
                "ttl_s": ttl_s(setting),
                "source": "given",
            }
            for node in made
        },
        "pods": listed,
        "measure_from_ns": EPOCH_NS + schedule.from_ns,
        "measure_until_ns": EPOCH_NS + schedule.until_ns,
        "observed_until_ns": EPOCH_NS + schedule.end_ns,
        "planned_updates": schedule.trials,
    }
    return Run(
        path=Path(run_id),
        meta=meta,
        updates=_updates(schedule),
        publications=_publications(made, listed, schedule.end_ns),
        events=frame([], schema.EVENTS),
        clock=frame([], schema.CLOCK),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Schedule:
    """The instants of a run's writes, in nanoseconds since the model's start."""

    touched_ns: Integers  # when each pod is annotated; shape (pods,), or (0,)
    written_ns: Integers
    """When each number from 1 on is written: one with each annotation, then trials."""
    trials: int  # how many numbers are trials
    from_ns: int
    until_ns: int
    end_ns: int

    @classmethod
    def draw(
        cls, setting: Setting, plan: Plan, *, pods: int, kubernetes: str | None
    ) -> _Schedule:
        """Draw all instants before anything is known of their outcome."""
        rng = np.random.default_rng(plan.seed)
        begin = from_ns = ns(probe.HEAD_START_S)
        touched = begin + (equilibrium(setting, rng, pods) * NS_PER_S).astype(np.int64)
        if pods:
            late = float(rng.random())
            from_ns += ns(burn_in_s([setting], late=late, kubernetes=kubernetes))
        offsets = update_offsets_ns(
            rng, duration_s=plan.duration_s, gap_s=plan.mean_gap_s([setting])
        )
        until_ns = from_ns + ns(plan.duration_s)
        return cls(
            touched_ns=touched,
            written_ns=np.append(
                np.sort(touched), from_ns + np.array(offsets, dtype=np.int64)
            ),
            trials=len(offsets),
            from_ns=from_ns,
            until_ns=until_ns,
            end_ns=until_ns + ns(drain_s([setting], kubernetes=kubernetes)),
        )


def _pod_entry(node: str, number: int) -> dict[str, str]:
    """Give an entry of run.json's ``pods``."""
    pod = f"{node}-{number}"
    return {
        "node": node,
        "pod": pod,
        "uid": f"uid-{pod}",
        "container": probe.CONTAINER,
        "consumer": "volume",
        "configmap": PROBE_CONFIG_MAP,
    }


def _updates(schedule: _Schedule) -> pd.DataFrame:
    """Make the table of updates; a write without a request is acknowledged at once."""
    rows = schedule.written_ns.size
    at_ns = EPOCH_NS + schedule.written_ns
    purposes = ["scramble", "trial"]
    columns = {
        "seq": np.arange(1, rows + 1),
        "configmap": PROBE_CONFIG_MAP,
        "planned_ns": at_ns,
        "sent_ns": at_ns,
        "acked_ns": at_ns,
        "status": "acked",
        "purpose": repeated(purposes, [rows - schedule.trials, schedule.trials]),
    }
    return frame_of(columns, schema.UPDATES, rows=rows)


def _publications(
    nodes: list[ModelNode], listed: list[dict[str, str]], end_ns: int
) -> pd.DataFrame:
    """Make the table of publications, pod by pod, in the order of the list."""
    volumes = [pod.volumes[0] for node in nodes for pod in node.kubelet.pods]
    sizes, numbers, instants_ns = published(volumes, until_ns=end_ns)
    published_ns = EPOCH_NS + instants_ns
    columns = {
        name: repeated([entry[name] for entry in listed], sizes)
        for name in ("node", "pod", "uid")
    }
    constant = {
        name: listed[0][name] for name in ("container", "consumer", "configmap")
    }
    instants = {
        "published_ns": published_ns,
        "read_ns": published_ns + ns(READ_AFTER_S),
    }
    return frame_of(
        {**columns, **constant, "seq": numbers, **instants},
        schema.PUBLICATIONS,
        rows=numbers.size,
    )


def frame_of(columns: Mapping[str, Any], table: Table, *, rows: int) -> pd.DataFrame:
    """Make a table with all columns of the schema, and its dtypes.

    A column is an array with a value for each row, or one text for all;
    absent columns are null.
    """
    typed: dict[str, pd.Series[Any]] = {}
    for column in table.columns:
        value = columns.get(column.name)
        if value is None or isinstance(value, str):
            value = repeated([value], [rows])
        typed[column.name] = pd.Series(value, dtype=column.dtype)
    return pd.DataFrame(typed)


def repeated(names: Sequence[str | None], sizes: Sequence[int] | Integers) -> Any:  # noqa: ANN401
    """Repeat names, each by its size; an array of pandas' texts."""
    return pd.array(names, dtype="str").repeat(sizes)


def published(
    volumes: Sequence[Volume], *, until_ns: int
) -> tuple[Integers, Integers, Integers]:
    """Put the publications of volumes one behind the other, up to an instant.

    Returns how many each volume has, and the number and the instant of each, since the
    model's start.
    """
    sizes = [bisect_right(volume.instants_ns, until_ns) for volume in volumes]
    numbers, instants = array("q"), array("q")
    for volume, size in zip(volumes, sizes, strict=True):
        numbers += volume.numbers[:size]
        instants += volume.instants_ns[:size]
    return (
        np.array(sizes, dtype=np.int64),
        np.frombuffer(numbers, dtype=np.int64),
        np.frombuffer(instants, dtype=np.int64),
    )
