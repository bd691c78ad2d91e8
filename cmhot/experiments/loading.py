"""The runs that a notebook's question needs: given, found, or collected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmhot.cluster.nodes import observe_settings
from cmhot.cluster.targets import connect
from cmhot.collector.begin import collect
from cmhot.errors import RunError, UsageError
from cmhot.kubelet.settings import DEFAULT_SETTINGS, Setting, Strategy
from cmhot.law import reads_at_every_sync
from cmhot.runs import schema
from cmhot.runs.rundir import read_meta

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cmhot.cluster.port import Cluster
    from cmhot.collector.progress import Progress
    from cmhot.runs.plan import Plan


@dataclass(frozen=True, slots=True)
class Need:
    """The properties of a run that a question needs."""

    words: str  # the properties, in words that follow "needs"
    fits: Callable[[Sequence[Setting | None]], bool]
    """Whether pods of these settings, one each, have the properties."""
    nodes: tuple[Setting, ...] = DEFAULT_SETTINGS
    """Settings that have them: for the model, and for starting a testbed."""


def _several_syncs(pods: Sequence[Setting | None]) -> bool:
    return len({s.sync_frequency_s for s in pods if s and reads_at_every_sync(s)}) > 1


def _several_strategies(pods: Sequence[Setting | None]) -> bool:
    known = {setting for setting in pods if setting}
    return len(known) > len({setting.sync_frequency_s for setting in known})


def _several_pods(pods: Sequence[Setting | None]) -> bool:
    known = [setting for setting in pods if setting]
    return len(known) > len(set(known))


def _fresh(pods: Sequence[Setting | None]) -> bool:
    return any(setting and reads_at_every_sync(setting) for setting in pods)


ANY_RUN = Need("a run", lambda _: True)
SEVERAL_SYNCS = Need("nodes of two or more syncFrequency", _several_syncs)
SEVERAL_STRATEGIES = Need(
    "two or more change-detection strategies, or TTLs, at one syncFrequency",
    _several_strategies,
    (
        Setting(10, Strategy.WATCH),
        Setting(10, Strategy.GET),
        Setting(10, Strategy.CACHE),
        Setting(10, Strategy.CACHE, ttl_s=30),
    ),
)
SEVERAL_PODS = Need("two or more pods on nodes of one known setting", _several_pods)
FRESH_READS = Need(
    "a known setting under which each sync reads current content: Watch, Get, "
    "or Cache without a TTL",
    _fresh,
)


def load_runs(
    runs: Sequence[str | Path],
    *,
    need: Need,
    target: str,
    plan: Plan,
    out: str | Path,
    progress: Callable[[Progress], None] = lambda _: None,
) -> list[Path]:
    """Take the given runs, else the newest that fits, else collect a small one.

    Nothing is created when it is clear beforehand that the run would not fit.

    Parameters
    ----------
    runs
        Run directories; none: find or collect one.
    need
        The properties that they must have.
    target
        Where the run was, or is to be, collected, as `cmhot.connect` takes it;
        without effect on given runs.
    plan
        What to collect, if no run is given or found.
    out
        Folder of runs, in which one is looked for.
    progress
        As of `cmhot.collector.begin.collect`.

    Returns
    -------
    list of Path
        Run directories, at least one.

    Raises
    ------
    UsageError
        When the target's nodes cannot give such a run.
    RunError
        When the given runs lack the properties, or cannot be read.
    """
    if runs:
        given = [Path(run) for run in runs]
        pods = [one for path in given for one in _settings(read_meta(path))]
        if not need.fits(pods):
            names = ", ".join(path.name for path in given)
            msg = (
                f"this question needs {need.words}, and {names} has "
                f"{_said(pods)}: give another run, or collect one"
            )
            raise RunError(msg)
        return given
    found = _newest(Path(out), need, target)
    if found is not None:
        return [found]
    cluster = connect_for(target, need)
    observed = observe_settings(cluster, given=plan.given_setting)
    there = [node.setting for node in observed for _ in range(plan.pods)]
    if not need.fits(there):
        nodes = " ".join(f"--node {_option(setting)}" for setting in need.nodes)
        msg = (
            f"this question needs {need.words}, and {target} has {_said(there)}: "
            f"try a testbed started with `cmhot testbed up {nodes}`, or give runs"
        )
        raise UsageError(msg)
    return [collect(cluster, plan, out=Path(out), progress=progress)]


def _newest(out: Path, need: Need, target: str) -> Path | None:
    """Find the run of a target that was finished last and fits; None: there is none."""
    files = sorted(
        out.glob(f"*/{schema.RUN_FILE}"), key=lambda path: path.stat().st_mtime
    )
    for file in reversed(files):
        try:
            meta = read_meta(file.parent)
        except RunError:
            continue
        is_there = _kind(str(meta.get("target"))) == _kind(target)
        complete = meta.get("status") == "complete" and is_there
        if complete and need.fits(_settings(meta)):
            return file.parent
    return None


def _kind(target: str) -> str:
    """Take all testbeds for one target."""
    return "testbed" if target.partition(":")[0] == "testbed" else target


def connect_for(target: str, need: Need) -> Cluster:
    """Connect as `cmhot.connect`; the model gets the nodes that are needed."""
    if target == "model":
        from cmhot.cluster.model import ModelCluster  # noqa: PLC0415 - only who asks pays

        return ModelCluster(need.nodes)
    return connect(target)


def _settings(meta: Mapping[str, Any]) -> list[Setting | None]:
    """List the setting of each pod of a run.

    Where a run does not list its pods, each node is taken to have several.
    """
    known = meta.get("settings") or {}
    pods = meta.get("pods") or [{"node": node} for node in known for _ in range(2)]
    empty = dict.fromkeys(schema.SETTING)
    return [schema.setting_of({**empty, **known.get(pod["node"], {})}) for pod in pods]


def _said(pods: Sequence[Setting | None]) -> str:
    """Describe how many pods there are, by setting."""
    names = [str(setting or "unknown setting") for setting in pods]
    counted = [f"{names.count(name)} at {name}" for name in dict.fromkeys(names)]
    return f"{len(pods)} probe pods ({'; '.join(counted)})" if counted else "no probes"


def _option(setting: Setting) -> str:
    text = f"sync={setting.sync_frequency_s:g}s,strategy={setting.strategy.value}"
    return text + (f",ttl={setting.ttl_s:g}" if setting.ttl_s else "")
