"""Observe: what each container holds of a ConfigMap, now, or until it has changed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.display import Page, Shown, Silence, board
from cmhot.kubelet.uses import Reference
from cmhot.propagation.inspection import ContentState, inspect
from cmhot.propagation.watch import DEFAULT_TIMEOUT_S, ContainerWatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmhot.cluster.port import Cluster
    from cmhot.display import Board
    from cmhot.propagation.changes import Update
    from cmhot.propagation.inspection import ContainerUses, Inspection


PAUSE_S = 0.5
"""Between two rounds: so well is the instant of a change known."""
MOST_SHOWN = 100
"""Containers in a table that is shown; the DataFrame has all."""
LONGEST_CELL = 60
"""Characters of a content that a table shows; the DataFrame has all."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen of one container and one way of consuming."""

    part: ContainerUses
    state: ContentState  # at the last inspection, as `content`
    content: Mapping[str, str | None]  # by key; None: nothing, or not readable
    before: Mapping[str, str | None]  # the same at the first inspection
    where: tuple[str, ...] = ()  # paths or variables of it
    not_yet_s: float | None = None  # beginning of the last that found other content
    turned_s: float | None = None  # end of the first after it that found the current

    @property
    def way(self) -> str:
        """Name the way of consuming."""
        return self.part.uses[0].way.value

    @property
    def current(self) -> bool | None:
        """Whether it holds the current content; None: it could not be read."""
        return {ContentState.FRESH: True, ContentState.STALE: False}.get(self.state)

    @property
    def is_awaited(self) -> bool:
        """Whether an update will reach it that has not."""
        return self.part.updates and self.state in {
            ContentState.STALE,
            ContentState.PENDING,
        }

    def news(self) -> str:
        """Say that it has changed."""
        old, new = _difference(self.before, self.content)
        return (
            f"{self.turned_s:7.1f} s  {self.part.name}  {self.part.container}  "
            f"{self.way}: {old} -> {new}"
        )


@dataclass(frozen=True, slots=True, repr=False)
class Scene(Shown):
    """What is shown during and after an observation."""

    configmap: str
    sights: tuple[Sight, ...]
    seconds: float  # since the update, or since the call
    modelled: bool
    ending: str = ""  # why it is over

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
            heading = f"no running container uses configmap/{self.configmap}{ending}"
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
            "node": one.part.node or "",
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
    if one.state is ContentState.UNREADABLE:
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
class _Observation(ContainerWatch):
    """Watches until all have changed, and shows each as it does."""

    since: Update | None = None
    board: Board = field(default_factory=Silence)
    is_live: bool = False
    offset_s: float = 0.0  # from the update to the beginning
    sights: dict[Any, Sight] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Since the update, or since the call."""
        return self._since_update(self.cluster.clock.monotonic())

    def _since_update(self, instant_s: float) -> float:
        return self.offset_s + instant_s - self.begin_s

    def observe(self, timeout_s: float) -> str:
        """Inspect once or until all have changed; say why it ended before they had."""
        if self.since is not None:
            now_ns = self.cluster.clock.utc_ns()
            self.offset_s = (now_ns - self.since.acked_ns) / NS_PER_S
        try:
            self.run(timeout_s if self.is_live else None)
        except KeyboardInterrupt:
            if not self.is_live:
                raise
            ending = "interrupted"
        else:
            ending = self._ending()
        self.board.show(self.scene(ending), (), is_last=True)
        return ending

    def _ending(self) -> str:
        if self.by_init and not self.parts:
            return "only init containers use it: what they made of it cannot be seen"
        if self.is_live and not self.is_answered:
            return "the API server no longer answers"
        return "the time is over" if self.is_live and not self.is_over() else ""

    def inspect(self, part: ContainerUses) -> Inspection:
        """Compare and read."""
        return inspect(
            self.cluster,
            part,
            self.reference,
            self.objects,
            is_repeated=self.is_live,
            reads=True,
        )

    def is_over(self) -> bool:
        """Tell whether all have changed that an update reaches."""
        return not any(one.is_awaited for one in self.listed())

    def show(self) -> None:
        """Show the table."""
        self.board.show(self.scene(), ())

    def forget(self) -> None:
        """Keep what was there, but not that it was current."""
        ContainerWatch.forget(self)
        self.sights = {
            key: replace(one, state=ContentState.PENDING, not_yet_s=None, turned_s=None)
            for key, one in self.sights.items()
        }

    def record(self, part: ContainerUses, found: Inspection) -> None:
        """Say what an inspection means after those before it."""
        ContainerWatch.record(self, part, found)
        known = self.sights.get(part.key)
        sight = Sight(part, found.state, found.held, found.held, found.places)
        is_fresh = found.state is ContentState.FRESH
        if known is not None:
            sight = replace(sight, before=known.before, not_yet_s=known.not_yet_s)
        elif self.since is not None and part.updates and is_fresh:
            # it has changed before the first inspection
            sight = replace(sight, before=dict.fromkeys(found.held), not_yet_s=0.0)
        if found.state is ContentState.STALE:
            sight = replace(sight, not_yet_s=self._since_update(found.began_s))
        elif is_fresh and sight.not_yet_s is not None:
            sight = replace(sight, turned_s=self._since_update(found.ended_s))
        self.sights[part.key] = sight
        if sight.turned_s is not None:
            self.board.show(self.scene(), [sight.news()])

    def listed(self) -> list[Sight]:
        """Give what was seen of the containers that there are now."""
        return [
            self.sights.get(part.key) or Sight(part, ContentState.PENDING, {}, {})
            for _, part in self.parts
        ]

    def scene(self, ending: str = "") -> Scene:
        """Give what there is to be seen."""
        return Scene(
            configmap=self.reference.name,
            sights=tuple(self.listed()),
            seconds=self.seconds,
            modelled=self.cluster.modelled,
            ending=ending,
        )


OBSERVED_COLUMNS = (
    *("namespace", "pod", "node", "container", "consumer"),
    *("where", "content", "current", "updates", "before", "not_yet_s", "turned_s"),
)


def observe(
    cluster: Cluster,
    configmap: str,
    *,
    namespace: str | None = None,
    labels: Mapping[str, str] | None = None,
    live: bool = False,
    since: Update | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> pd.DataFrame:
    """Look into every running pod that uses a ConfigMap, at what it sees now.

    Files are read as they are in the container.
    Variables are those that the runtime gives to the container's processes, read
    without a shell, which would hide names such as ``log-level``. Where no container
    uses it, that is said.

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
        Of the ConfigMap and the pods; None: that of the context.
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
        had turned (``interrupted``, ``the time is over``, …), or why there is no row
        of pods whose init containers alone use it; or nothing.

    Raises
    ------
    NotFoundError
        There is no such ConfigMap.
    ForbiddenError
        Nobody lets us run a command in a pod.
    """
    namespace = namespace or cluster.namespace
    observation = _Observation(
        cluster=cluster,
        reference=Reference("configmap", configmap),
        namespace=namespace,
        pause_s=PAUSE_S,
        by_way=True,
        only_running=True,
        labels=labels,
        since=since,
        board=board() if live else Silence(),
        is_live=live,
    )
    ending = observation.observe(timeout_s)
    scene = observation.scene(ending)
    if not (live or scene.sights):
        board().show(scene, (), is_last=True)  # an empty table does not say why
    rows = [_as_row(one, namespace) for one in scene.sights]
    table = pd.DataFrame(rows, columns=list(OBSERVED_COLUMNS), dtype=object)
    table.attrs.update(seconds=scene.seconds, ending=ending, modelled=scene.modelled)
    return table


def _as_row(one: Sight, namespace: str) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "pod": one.part.name,
        "node": one.part.node,
        "container": one.part.container,
        "consumer": one.way,
        "where": list(one.where),
        "content": dict(one.content),
        "current": one.current,
        "updates": one.part.updates,
        "before": dict(one.before),
        "not_yet_s": one.not_yet_s,
        "turned_s": one.turned_s,
    }
