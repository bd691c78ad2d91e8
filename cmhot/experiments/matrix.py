"""The ways in which a container can use a ConfigMap or a Secret, a pod for each.

Which containers see an update, and after which event: predicted, and observed inside.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.cluster.port import MANAGED_BY, POD
from cmhot.cluster.probe import LEAST
from cmhot.errors import ClusterError
from cmhot.experiments.parameters import at_least
from cmhot.experiments.stage import (
    EXPERIMENT_LABEL,
    Stage,
    choose_node,
    config_map,
    origin,
    together,
)
from cmhot.kubelet.uses import CONFIG_MAP, SECRET
from cmhot.law import law_for
from cmhot.propagation.explain import explain
from cmhot.propagation.inspection import ENVIRON

if TYPE_CHECKING:
    from collections.abc import Callable

    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.settings import Setting


PART = "consumers"
MAP, LATER, FIXED, HIDDEN = "matrix", "matrix-later", "matrix-fixed", "matrix-secret"
KEY = "log-level"
"""A name that a shell would hide from `env`."""
MAIN, OTHER = "main", "other"
FOREVER = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"
"""Ends on SIGTERM, which a PID 1 without a handler would ignore."""
OUT = [{"name": "out", "mountPath": "/out"}]


@dataclass(frozen=True, slots=True)
class Case:
    """One way to use an object, in a pod of its own."""

    name: str  # of its pods, before their number
    title: str  # for people
    reference: str  # the object
    container: str  # which container uses it
    look: str  # what is read in the main container, or in the ephemeral one
    spec: dict[str, Any]  # of the pod, over the common one
    ephemeral: dict[str, Any] | None = None
    """Container that is added to the running pod."""

    @property
    def seen_in(self) -> str:
        """Name the container that is inspected."""
        beside = self.ephemeral is not None or self.name == "sidecar"
        return OTHER if beside else MAIN

    def pod_name(self, number: int) -> str:
        """Name one of its pods."""
        return f"{self.name}-{number}"


def _mounted(source: dict[str, Any], **mount: object) -> dict[str, Any]:
    """Mount a volume in the main container."""
    return {
        "volumes": [{"name": "v", **source}],
        "mounts": [{"name": "v", "mountPath": "/etc/v", **mount}],
    }


def _map(name: str = MAP, **more: object) -> dict[str, Any]:
    return {"configMap": {"name": name, **more}}


def _variable(kind: str, name: str) -> dict[str, Any]:
    ref = {f"{kind}KeyRef": {"name": name, "key": KEY}}
    return {"env": [{"name": KEY, "valueFrom": ref}]}


def cases() -> list[Case]:
    """List the ways to use an object."""
    of, file, items = f"configmap/{MAP}", f"/etc/v/{KEY}", [{"key": KEY, "path": "d/f"}]
    projected = {"projected": {"sources": [_map(), _map(LATER, optional=True)]}}
    hidden = {"secret": {"secretName": HIDDEN}}
    own = _mounted(_map())
    one = _mounted(_map(), subPath=KEY, mountPath="/etc/f")
    by_name = _mounted(_map(), subPathExpr="$(KEY)", mountPath="/etc/f")
    by_name["env"] = [{"name": "KEY", "value": KEY}]
    copied = {"name": OTHER, "args": [f"cp {file} /out/copy"], **own}
    beside = {"name": OTHER, "restartPolicy": "Always", **own}
    late = {"name": OTHER, **_variable("configMap", MAP)}
    made = {"sharedVolumes": [{"name": "out", "emptyDir": {}}], "mounts": OUT}
    return [
        Case("volume", "volume", of, MAIN, file, own),
        Case(
            *("items", "volume with items", of, MAIN, "/etc/v/d/f"),
            _mounted(_map(items=items)),
        ),
        Case("projected", "projected volume", of, MAIN, file, _mounted(projected)),
        Case("subpath", "subPath", of, MAIN, "/etc/f", one),
        Case("subpathexpr", "subPathExpr", of, MAIN, "/etc/f", by_name),
        Case("env", "env", of, MAIN, ENVIRON, _variable("configMap", MAP)),
        Case(
            *("envfrom", "envFrom", of, MAIN, ENVIRON),
            {"envFrom": [{"configMapRef": {"name": MAP}}]},
        ),
        Case(
            *("optional", "optional volume, made later", f"configmap/{LATER}"),
            *(MAIN, file, _mounted(_map(LATER, optional=True))),
        ),
        Case(
            *("immutable", "volume, immutable", f"configmap/{FIXED}", MAIN, file),
            _mounted(_map(FIXED)),
        ),
        Case(
            *("init", "init container", of, OTHER, "/out/copy"),
            {"init": copied, **made},
        ),
        Case("sidecar", "sidecar's volume", of, OTHER, file, {"init": beside}),
        Case(
            *("ephemeral", "ephemeral container's env", of, OTHER, ENVIRON),
            *({}, late),
        ),
        Case(
            *("secret", "volume of a Secret", f"secret/{HIDDEN}", MAIN, file),
            _mounted(hidden),
        ),
        Case(
            *("secretenv", "env of a Secret", f"secret/{HIDDEN}", MAIN, ENVIRON),
            _variable("secret", HIDDEN),
        ),
    ]


def container_of(stage: Stage, given: dict[str, Any]) -> dict[str, Any]:
    """Describe a container from a case's fields."""
    mounts = given.get("mounts", [])
    if given.get("name") == OTHER and "args" in given:
        mounts = [*mounts, *OUT]
    taken: dict[str, Any] = {
        key: given[key] for key in ("env", "envFrom", "restartPolicy") if key in given
    }
    return {
        "name": given.get("name", MAIN),
        "image": stage.image,
        "imagePullPolicy": stage.pull_policy,
        "command": ["sh", "-c"],
        "args": given.get("args", [FOREVER]),
        "securityContext": dict(LEAST),
        **({"volumeMounts": mounts} if mounts else {}),
        **taken,
    }


def pod_of(stage: Stage, case: Case, number: int) -> dict[str, Any]:
    """Describe one of the pods of a case."""
    spec = case.spec
    init = spec.get("init")
    volumes = [
        *spec.get("volumes", []),
        *(init or {}).get("volumes", []),
        *spec.get("sharedVolumes", []),
    ]
    more = {"initContainers": [container_of(stage, init)]} if init else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": case.pod_name(number),
            "labels": {**MANAGED_BY, EXPERIMENT_LABEL: PART},
        },
        "spec": stage.pod_spec(container_of(stage, spec), volumes=volumes, **more),
    }


def write_objects(stage: Stage, value: str, *, first: bool) -> None:
    """Write a value into all objects; the immutable one is removed and made anew.

    On the first call, before there are pods, the optional object is not made, and an
    object of these names that is not the experiment's is refused before any is made.
    """
    if first:
        stage.refuse_taken(SECRET, HIDDEN)
        for name in (MAP, LATER, FIXED):
            stage.refuse_taken(CONFIG_MAP, name)
    names = [MAP] if first else [MAP, LATER]
    stage.apply(*(config_map(name, **{KEY: value}) for name in names))
    if not first:
        stage.cluster.delete(CONFIG_MAP, FIXED, namespace=stage.namespace)
    secret = {**config_map(HIDDEN), "kind": "Secret", "stringData": {KEY: value}}
    del secret["data"]
    fixed = {**config_map(FIXED, **{KEY: value}), "immutable": True}
    stage.apply(fixed, secret)


EVENTS = {
    "update": "updates",
    "container restart": "after_container_restart",
    "pod restart": "after_pod_restart",
}
"""Events, each with its key in ``explain --json``."""
SLACK_S = 3.0
"""Beyond the longest delay of the law: an exec, and a busy machine."""
DEADLINE_S = 90.0
COLUMNS = (
    *("consumer", "event", "sees", "predicted", "seen", "n", "watched_s", "bound"),
)


@dataclass(slots=True)
class Cell:
    """The prediction for a case and an event, and the observations."""

    case: Case
    event: str  # of `EVENTS`
    predicted: bool | None  # whether it holds the new content; None: no such case
    seen: int = 0  # how often it held the new content
    looks: int = 0  # of how many looks
    watched_s: float = 0.0  # from the events to the looks, seconds, all together

    @property
    def observed(self) -> bool | None:
        """Whether it was always seen, or never; None: there is no such case."""
        if self.predicted is None:
            return None
        return self.seen == self.looks

    @property
    def agrees(self) -> bool:
        """Whether each single look found what was predicted."""
        return self.predicted is None or self.seen == self.looks * self.predicted

    def row(self) -> dict[str, Any]:
        """Return the cell as a row of the table."""
        sees = None
        if self.predicted is not None:
            soon = "later" if self.event == "update" else "at once"
            sees = soon if self.seen else "never"
        # the rule of three: at a share of 3/n, no look of n sees it once in 20 times
        bound = min(3 / self.looks, 1.0) if sees == "never" else float("nan")
        return {
            "consumer": self.case.title,
            "event": self.event,
            "sees": sees,
            "predicted": self.predicted,
            "seen": self.seen,
            "n": self.looks,
            "watched_s": self.watched_s,
            "bound": bound,
        }


class Matrix:
    """All cases on one node, and what is done to them: ``copies`` pods of each case."""

    def __init__(self, stage: Stage, *, setting: Setting, copies: int = 1) -> None:
        self.stage = stage
        self.cases = cases()
        self._pods = [(case, number) for case in self.cases for number in range(copies)]
        law = law_for(setting)
        longest = law.max_s if law is not None else 2 * setting.sync_frequency_s
        self._patience_s = longest + SLACK_S

    def run(
        self, rounds: int = 1, report: Callable[[str], None] = lambda _: None
    ) -> list[Cell]:
        """Go through all events in each round, and compare."""
        write_objects(self.stage, "0", first=True)
        self._start()
        self._refuse_change()
        predicted = self._predictions()
        cells = {
            (case.name, event): Cell(case, event, predicted[case.name, event])
            for case in self.cases
            for event in EVENTS
        }
        for number in range(1, rounds + 1):
            value = str(number)
            for event in EVENTS:
                began_ns = self._happen(event, value)
                self._look_at_all(cells, event, value, began_ns)
            report(f"round {number} of {rounds}")
        return list(cells.values())

    def _happen(self, event: str, value: str) -> int:
        """Cause an event, and wait for its effect; return when it began."""
        clock = self.stage.cluster.clock
        began_ns = clock.utc_ns()
        if event == "update":
            write_objects(self.stage, value, first=False)
            clock.sleep(self._patience_s)
        elif event == "container restart":
            self._restart_containers()
        else:
            self._restart_pods()
        return began_ns

    def _look_at_all(
        self, cells: dict[tuple[str, str], Cell], event: str, value: str, began_ns: int
    ) -> None:
        due = [
            (cells[case.name, event], number)
            for case, number in self._pods
            if cells[case.name, event].predicted is not None
        ]
        found = together(
            self.stage, lambda one: self._holds(one[0].case, one[1], value), due
        )
        for (cell, _), (holds, at_ns) in zip(due, found, strict=True):
            cell.seen += holds
            cell.looks += 1
            cell.watched_s += (at_ns - began_ns) / NS_PER_S

    def _holds(self, case: Case, number: int, value: str) -> tuple[bool, int]:
        """Report whether a container holds a value, and when that was read."""
        answer = self.stage.run_in(
            case.pod_name(number), ["cat", case.look], container=case.seen_in
        )
        at_ns = self.stage.cluster.clock.utc_ns()
        if case.look.endswith("environ"):
            return f"{KEY}={value}".encode() in answer.output.split(b"\0"), at_ns
        return answer.output == value.encode(), at_ns

    # events

    def _start(self) -> None:
        """Make all pods, and their ephemeral containers; wait until they run."""
        self.stage.apply(*(pod_of(self.stage, *one) for one in self._pods))
        self.stage.await_pods(PART, len(self._pods))
        added = []
        for case, number in self._pods:
            if case.ephemeral is None:
                continue
            added.append(case.pod_name(number))
            container = container_of(self.stage, case.ephemeral)
            self.stage.cluster.add_ephemeral(
                added[-1], container, namespace=self.stage.namespace
            )
        self._until(lambda: all(self._runs(name) for name in added))

    def _runs(self, name: str) -> bool:
        """Report whether a pod's ephemeral container has started."""
        pod = self.stage.cluster.get(POD, name, namespace=self.stage.namespace)
        seen = pod["status"].get("ephemeralContainerStatuses") or []
        return any("running" in one["state"] for one in seen)

    def _refuse_change(self) -> None:
        """Check that the API server refuses to change an immutable object."""
        body = {"data": {KEY: "changed"}}
        try:
            self.stage.cluster.patch(
                CONFIG_MAP, FIXED, body, namespace=self.stage.namespace
            )
        except ClusterError:
            return
        msg = "the API server let an immutable object be changed"
        raise ClusterError(msg)

    def _predictions(self) -> dict[tuple[str, str], bool | None]:
        """Get the prediction of `explain` for each case and event."""
        explained = {
            reference: explain(
                self.stage.cluster, reference, namespace=self.stage.namespace
            )
            for reference in {case.reference for case in self.cases}
        }
        found: dict[tuple[str, str], bool | None] = {}
        for case in self.cases:
            (row,) = [
                row.to_dict(self.stage.namespace)
                for row in explained[case.reference].rows
                if case.pod_name(0) in row.pods and row.use.container == case.container
            ]
            for event, key in EVENTS.items():
                found[case.name, event] = row[key]
        return found

    def _restart_containers(self) -> None:
        """End each pod's container, if it is one that can be started again."""
        before = self._restarts()
        due = {
            case.pod_name(number): case.seen_in
            for case, number in self._pods
            if case.ephemeral is None
        }

        def end(name: str) -> None:
            self.stage.run_in(name, ["kill", "1"], container=due[name])

        together(self.stage, end, list(due))

        def are_back() -> bool:
            now = self._restarts(only_running=True)
            return all(now.get(name, 0) > before[name] for name in due)

        self._until(are_back)

    def _restarts(self, *, only_running: bool = False) -> Counter[str]:
        """Count restarts of each pod's inspected container."""
        homes = {case.pod_name(number): case.seen_in for case, number in self._pods}
        found: Counter[str] = Counter()
        for pod in self.stage.pods(PART):
            name, status = pod["metadata"]["name"], pod["status"]
            for one in [
                *(status.get("containerStatuses") or []),
                *(status.get("initContainerStatuses") or []),
            ]:
                if one["name"] == homes[name] and (
                    "running" in one["state"] or not only_running
                ):
                    found[name] = one["restartCount"]
        return found

    def _restart_pods(self) -> None:
        """Delete each pod, wait until it has gone, and make it again."""
        where = self.stage.namespace
        for case, number in self._pods:
            self.stage.cluster.delete(POD, case.pod_name(number), namespace=where)
        self._until(lambda: not self.stage.pods(PART))
        self._start()

    def _until(self, condition: Callable[[], object]) -> None:
        if not self.stage.until(condition, within_s=DEADLINE_S):
            msg = f"something of the matrix did not happen within {DEADLINE_S:g} s"
            raise ClusterError(msg)


def consumer_matrix(
    cluster: Cluster,
    *,
    rounds: int = 15,
    copies: int = 2,
    node: str = "",
    namespace: str = "",
    image: str = "",
    report: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """Try each way to use an object against each event, again and again.

    Parameters
    ----------
    cluster
        Where.
    rounds
        Each is an update, a restart of all containers, and one of all pods.
    copies
        Pods of each way.
    node
        Where they run; empty: the first one of the shortest `syncFrequency`.
    namespace, image
        As of `Stage`; the image has ``sh`` and ``cat``.
    report
        Called with a line after each round.

    Returns
    -------
    DataFrame
        One row per way and event: ``consumer``, ``event``, ``sees`` (``at once``,
        ``later``, ``never``; None: there is no such case), ``predicted`` (by
        `cmhot.explain`), ``seen`` of ``n`` looks, ``watched_s`` from the events to the
        looks, and ``bound``: where it was never seen, the largest share that does
        not contradict that (95 %, the rule of three, 3/n). ``attrs`` as of
        `cmhot.experiments.stage.origin`.

    Raises
    ------
    UsageError
        For impossible numbers, before anything is made.
    """
    at_least(1, rounds=rounds, copies=copies)
    chosen = choose_node(cluster, node, slowest=False)
    assert chosen.setting is not None, "choose_node knows the setting"  # noqa: S101
    with Stage(cluster, node=chosen, namespace=namespace, image=image) as stage:
        matrix = Matrix(stage, setting=chosen.setting, copies=copies)
        cells = matrix.run(rounds, report)
    table = pd.DataFrame([cell.row() for cell in cells], columns=list(COLUMNS))
    table.attrs.update(origin(cluster, chosen))
    return table
