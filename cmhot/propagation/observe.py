"""Observe: what each container holds of a ConfigMap, now, or until it has turned."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.cluster.port import POD, Capturing
from cmhot.display import Page, Shown, Silence, board
from cmhot.errors import ClusterError, ForbiddenError, UsageError
from cmhot.kubelet.uses import CONFIG_MAP, Reference, uses_of
from cmhot.kubelet.view import binary_keys, content_of
from cmhot.propagation.inspection import State, expected, look, parts_of, read
from cmhot.propagation.owners import is_leaving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cmhot.cluster.port import Cluster
    from cmhot.display import Board
    from cmhot.propagation.changes import Update
    from cmhot.propagation.inspection import Part


DEFAULT_NAMESPACE = "default"
DEFAULT_TIMEOUT_S = 180.0
"""Twice what the default setting allows, 91 s."""
AT_ONCE = 8
"""Looks at the same time: each is a process started by a kubelet."""
PAUSE_S = 0.5
"""Between two rounds of looks."""
LIST_EVERY_S = 2.0
"""Pods come and go."""
MOST_SHOWN = 100
"""Containers in a table that is shown; the DataFrame has all."""
LONGEST_CELL = 60
"""Characters of a content that a table shows; the DataFrame has all."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen of one container and one way of consuming.

    Attributes
    ----------
    part
        The container, and what in it.
    state
        What the last look found.
    content
        From the ConfigMap's keys to what was there; None: nothing,
        or it could not be looked at.
    before
        The same at the first look.
    not_yet_s
        When the last look began that found something else; None: there was none.
    turned_s
        When the look ended that first found the current content after that;
        None: it has not turned.
    """

    part: Part
    state: State
    content: Mapping[str, str | None]
    before: Mapping[str, str | None]
    not_yet_s: float | None = None
    turned_s: float | None = None

    @property
    def way(self) -> str:
        """Name the way of consuming."""
        return self.part.uses[0].way.value

    @property
    def current(self) -> bool | None:
        """Whether it holds the current content; None: it could not be looked at."""
        return {State.FRESH: True, State.STALE: False}.get(self.state)

    @property
    def is_awaited(self) -> bool:
        """Whether an update will reach it that has not."""
        return self.part.updates and self.state in {State.STALE, State.WAITING}

    def news(self) -> str:
        """Say that it has turned."""
        old, new = _difference(self.before, self.content)
        return (
            f"{self.turned_s:7.1f} s  {self.part.name}  {self.part.container}  "
            f"{self.way}: {old} -> {new}"
        )


@dataclass(frozen=True, slots=True, repr=False)
class Scene(Shown):
    """How it is while somebody watches.

    Attributes
    ----------
    configmap
        Its name.
    sights
        Of each container.
    seconds
        Since the update, or since the call.
    modelled
        Whether these are no real pods.
    ending
        Why it is over; empty: it goes on.
    """

    configmap: str
    sights: tuple[Sight, ...]
    seconds: float
    modelled: bool
    ending: str = ""

    def page(self) -> Page:
        """Say who has turned, and when."""
        reached = [one for one in self.sights if one.part.updates]
        fresh = sum(one.current is True for one in reached)
        ending = f", {self.ending}" if self.ending else ""
        heading = (
            f"configmap/{self.configmap}: {fresh} of {len(reached)} containers that an "
            f"update reaches hold the current content, {self.seconds:.1f} s{ending}"
        )
        if not self.sights:
            heading = f"no running pod uses configmap/{self.configmap}"
        never = sum(not one.part.updates for one in self.sights)
        notes = []
        if never:
            notes.append(f"{never} that no update reaches (env, envFrom, subPath)")
        if self.modelled:
            notes.append("modelled, not measured")
        if len(self.sights) > MOST_SHOWN:
            notes.append(f"and {len(self.sights) - MOST_SHOWN:,} more containers")
        rows = [self._row(one) for one in self.sights[:MOST_SHOWN]]
        return Page(heading, rows, notes)

    def _row(self, one: Sight) -> dict[str, str]:
        old, new = _difference(one.before, one.content)
        return {
            "pod": one.part.name,
            "node": one.part.pod["spec"].get("nodeName") or "",
            "container": one.part.container,
            "consumer": one.way,
            "old": old,
            "new": new if one.turned_s is not None or old != new else "",
            "state": _state(one),
            "seconds": "" if one.turned_s is None else f"{one.turned_s:.1f}",
        }


def _state(one: Sight) -> str:
    if one.current:
        return "turned" if one.turned_s is not None else "current"
    if not one.content:
        return "not looked at yet"
    if not one.part.updates:
        return "never updates"
    if one.state is State.BLIND:
        return "cannot be looked into"
    is_known = any(text is not None for text in one.content.values())
    return "waiting" if is_known else "not running"


def _difference(
    before: Mapping[str, str | None], after: Mapping[str, str | None]
) -> tuple[str, str]:
    """Show the keys that differ, or all of them, each side as ``key=value``."""
    keys = [key for key in after if before.get(key) != after[key]] or list(after)
    sides = []
    for side in (before, after):
        cells = (f"{key}={'?' if side.get(key) is None else side[key]}" for key in keys)
        text = " ".join(", ".join(cells).split())
        sides.append(text if len(text) <= LONGEST_CELL else text[:LONGEST_CELL] + "…")
    return sides[0], sides[1]


@dataclass(slots=True)
class _Watcher:
    """One observation: where, of what, and what has been seen so far."""

    cluster: Cluster
    door: Capturing
    configmap: str
    namespace: str
    labels: Mapping[str, str] | None
    since: Update | None
    board: Board
    offset_s: float = 0.0
    begin: float = 0.0
    content: dict[str, bytes] = field(default_factory=dict)
    sights: dict[Any, Sight] = field(default_factory=dict)
    listed: list[Part] = field(default_factory=list)
    listed_at: float | None = None
    binary: frozenset[str] = frozenset()
    is_live: bool = False
    is_immutable: bool = False

    @property
    def seconds(self) -> float:
        """Since the update, or since the call."""
        return self.offset_s + self.cluster.clock.monotonic() - self.begin

    def run(self, timeout_s: float | None) -> str:
        """Look until all have turned or the time is over; say how it ended.

        None is one look: then nothing is to be kept when it fails.
        """
        clock = self.cluster.clock
        self.begin = clock.monotonic()
        self.is_live = timeout_s is not None
        if self.since is not None:
            self.offset_s = (clock.utc_ns() - self.since.acked_ns) / NS_PER_S
        # the model is no more than one thread can ask
        pool = ThreadPoolExecutor(1 if self.cluster.modelled else AT_ONCE)
        try:
            while True:
                ending = self._turn(pool)
                if timeout_s is None or not ending:
                    return self._end("")
                left_s = timeout_s - (clock.monotonic() - self.begin)
                if left_s <= 0:
                    return self._end(ending)
                self.board.show(self.scene(), ())
                clock.sleep(min(PAUSE_S, left_s))
        except KeyboardInterrupt:
            if timeout_s is None:
                raise
            return self._end("interrupted")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _turn(self, pool: ThreadPoolExecutor) -> str:
        """Look at all once; say why that is the end if the time is over, or nothing.

        After the first turn, one that gets no answer is as if it had not been.
        """
        try:
            self._learn()
            self._round(pool)
        except ClusterError as error:
            if not self.is_live or not self.sights or not error.is_passing:
                raise
            return "the API server no longer answers"
        return "the time is over" if any(s.is_awaited for s in self._seen()) else ""

    def _end(self, ending: str) -> str:
        self.board.show(self.scene(ending), (), is_last=True)
        return ending

    def _learn(self) -> None:
        """Get the object, and list the pods unless that was just done."""
        stored = self.cluster.get(CONFIG_MAP, self.configmap, namespace=self.namespace)
        content = content_of(stored)
        if content != self.content:
            self.content = content
            self.sights = {
                key: replace(one, state=State.WAITING, not_yet_s=None, turned_s=None)
                for key, one in self.sights.items()
            }
        self.binary = binary_keys(stored)
        self.is_immutable = bool(stored.get("immutable"))
        now = self.cluster.clock.monotonic()
        if self.listed_at is None or now - self.listed_at >= LIST_EVERY_S:
            self.listed = list(self._parts())
            self.listed_at = now

    def _parts(self) -> Iterator[Part]:
        """Find what to look at: for each container, one thing for each way."""
        reference = Reference("configmap", self.configmap)
        pods, _ = self.cluster.list(POD, namespace=self.namespace, labels=self.labels)
        for pod in pods:
            if is_leaving(pod) or pod["status"].get("phase") != "Running":
                continue
            together: dict[tuple[str, str], list[Any]] = {}
            for use in uses_of(pod, reference):
                together.setdefault((use.container, use.way), []).append(use)
            for uses in together.values():
                yield from parts_of(pod, uses, immutable=self.is_immutable)

    def _seen(self) -> list[Sight]:
        """Give what was seen of the containers that there are now."""
        return [
            self.sights.get(part.key) or Sight(part, State.WAITING, {}, {})
            for part in self.listed
        ]

    def scene(self, ending: str = "") -> Scene:
        """Give what there is to be seen."""
        return Scene(
            configmap=self.configmap,
            sights=tuple(self._seen()),
            seconds=self.seconds,
            modelled=self.cluster.modelled,
            ending=ending,
        )

    def _round(self, pool: ThreadPoolExecutor) -> None:
        """Look at whoever is not known to be current."""
        due = [
            part
            for part in self.listed
            if (seen := self.sights.get(part.key)) is None
            or seen.is_awaited
            or seen.state is State.WAITING
        ]
        asked = {pool.submit(self._look, part): part for part in due}
        for answer in as_completed(asked):
            sight = self._judge(asked[answer], *answer.result())
            self.sights[sight.part.key] = sight
            if sight.turned_s is not None:
                self.board.show(self.scene(), [sight.news()])

    def _judge(
        self,
        part: Part,
        began_s: float,
        ended_s: float,
        state: State,
        content: dict[str, str | None],
    ) -> Sight:
        """Say what a look means after those before it."""
        known = self.sights.get(part.key)
        sight = Sight(part, state, content, before=content)
        if known is not None:
            sight = replace(sight, before=known.before, not_yet_s=known.not_yet_s)
        elif self.since is not None and part.updates and state is State.FRESH:
            # it has turned before anybody looked
            sight = replace(sight, before=dict.fromkeys(content), not_yet_s=0.0)
        if state is State.STALE:
            return replace(sight, not_yet_s=began_s)
        if state is State.FRESH and sight.not_yet_s is not None:
            return replace(sight, turned_s=ended_s)
        return sight

    def _look(self, part: Part) -> tuple[float, float, State, dict[str, str | None]]:
        """Look once; say from when to when, what is there and whether it is current."""
        began_s = self.seconds
        wanted = self.content
        binary = self.binary
        found = look(
            self.door,
            part,
            wanted,
            namespace=self.namespace,
            binary=binary,
            is_repeated=self.is_live,
        )
        state = found.state
        keys = {
            place: key
            for use in part.uses
            for place, key in use.places(sorted(wanted)).items()
        }
        should = expected(part, wanted, binary=binary)
        holds: dict[str, bytes | None] = dict.fromkeys(keys.values())
        if state is State.FRESH:
            holds = {key: wanted.get(key) for key in holds}
        elif state is State.STALE:
            try:
                there = read(self.door, part, sorted(wanted), namespace=self.namespace)
            except ForbiddenError:
                raise
            except ClusterError:
                state = State.WAITING
            else:
                wrong = {at: there[at] for at in should if there[at] != should[at]}
                holds = {keys[at]: there[at] for at in there}
                holds |= {keys[at]: one for at, one in wrong.items()}
                # it may have turned between the two looks
                state = State.STALE if wrong else State.FRESH
        texts = {
            key: None if there is None else there.decode(errors="replace")
            for key, there in holds.items()
        }
        return began_s, self.seconds, state, texts


OBSERVED_COLUMNS = (
    *("namespace", "pod", "node", "container", "consumer"),
    *("where", "content", "current", "updates", "before", "not_yet_s", "turned_s"),
)


def observe(
    cluster: Cluster,
    configmap: str,
    *,
    namespace: str = DEFAULT_NAMESPACE,
    labels: Mapping[str, str] | None = None,
    live: bool = False,
    since: Update | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> pd.DataFrame:
    """Look into every running pod that uses a ConfigMap, at what it sees now.

    Files are read as they are in the container.
    Variables are read from ``/proc/1/environ``, what the process was started with:
    a shell would hide names such as ``log-level``.

    With ``live`` it looks again and again, and shows each container as it turns:
    in a notebook in one display, elsewhere in lines. It ends when all hold the current
    content that an update reaches, when the time is over, or when it is interrupted
    (Ctrl-C, "interrupt kernel"); what was seen until then is returned in any case.

    Parameters
    ----------
    cluster
        From `connect`.
    configmap
        Name of an existing ConfigMap.
    namespace
        Of the ConfigMap and the pods.
    labels
        Only pods with these labels; None: all.
    live
        Whether to look until they have turned.
    since
        Update from whose acknowledgement seconds are counted; None: from the call.
    timeout_s
        Longest time in seconds, if ``live``.

    Returns
    -------
    DataFrame
        One row per pod, container and consumer, with columns
        ``namespace``, ``pod``, ``node``, ``container``, ``consumer``,
        ``where`` (paths or variables), ``content`` (a dict from the ConfigMap's keys
        to what is there; None: nothing, or it could not be looked at),
        ``current`` (whether all of that is the ConfigMap's content;
        None: it could not be looked at), ``updates`` (whether an update reaches it
        while it runs), ``before`` (content at the first look), ``not_yet_s`` and
        ``turned_s``: it turned after the first of these and before the second, seconds
        (None: it was not seen to). How far they are apart is how often we look; where
        the first look after `since` found it current, the first of them is 0.
        ``attrs`` has ``seconds`` at the end, and ``ending``: why it ended before all
        had turned (``interrupted``, ``the time is over``, …), or nothing.

    Raises
    ------
    NotFoundError
        There is no such ConfigMap.
    ForbiddenError
        Nobody lets us run a command in a pod.
    """
    if not isinstance(cluster, Capturing):
        msg = f"target {cluster.target} lets nobody look into its containers"
        raise UsageError(msg)
    watcher = _Watcher(
        cluster=cluster,
        door=cluster,
        configmap=configmap,
        namespace=namespace,
        labels=labels,
        since=since,
        board=board() if live else Silence(),
    )
    ending = watcher.run(timeout_s if live else None)
    scene = watcher.scene(ending)
    rows = [_as_row(one, namespace) for one in scene.sights]
    table = pd.DataFrame(rows, columns=list(OBSERVED_COLUMNS), dtype=object)
    table.attrs.update(seconds=scene.seconds, ending=ending, modelled=scene.modelled)
    return table


def _as_row(one: Sight, namespace: str) -> dict[str, Any]:
    keys: Sequence[str] = sorted(one.content)
    return {
        "namespace": namespace,
        "pod": one.part.name,
        "node": one.part.pod["spec"].get("nodeName"),
        "container": one.part.container,
        "consumer": one.way,
        "where": [at for use in one.part.uses for at in use.places(keys)],
        "content": dict(one.content),
        "current": one.current,
        "updates": one.part.updates,
        "before": dict(one.before),
        "not_yet_s": one.not_yet_s,
        "turned_s": one.turned_s,
    }
