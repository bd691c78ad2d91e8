"""The plan of a collection, fixed before it begins, and where its probes may run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.clock import ns
from cmhot.errors import UsageError
from cmhot.kubelet.eras import DEFAULT_TTL_S, JITTER
from cmhot.kubelet.settings import parse_duration, parse_setting
from cmhot.law import longest_interval_s, reads_at_every_sync

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cmhot.kubelet.settings import Setting


GAP_SHARE = 1 / 6
"""Mean gap over the shortest `syncFrequency`: the longest gap is then a quarter of it,
so that no sync finds nothing new and two intervals do not look like one."""
SHORTEST_GAP_S = 0.2
"""A write takes some milliseconds; closer together they would queue."""
DEFAULT_SYNC_S = 60.0
"""`syncFrequency` assumed for the gap where none is known: the kubelet's default."""
CACHE_CYCLES = 3
"""Fetches for which a cache is left alone before the measurement."""
DRAIN_S = 2.0
"""After the last update a collection waits 1.5 S + 2 s: longer than any healthy delay.
Under Cache, a TTL comes on top."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to collect.

    Attributes
    ----------
    pods
        Probe pods per setting.
    pods_at
        Other numbers of probe pods where `syncFrequency` is so long, in the form of
        `parse_pods_at`: the longer it is, the fewer looks a pod tells of.
    duration_s
        Length of the measuring window, from the first trial to the last, in seconds.
    gap_s
        Mean gap between updates in seconds; None: a sixth of the shortest
        `syncFrequency` measured.
    seed
        Of the schedule and of the phases; recorded, so that both can be made again.
    namespace
        An existing namespace to work in, which is not deleted;
        None: one of our own, deleted at the end.
    probe_image
        Image of the probes; None: the testbed's own, else a pinned busybox.
    setting
        The setting of kubelets that may not be asked for it, in the form of
        `parse_setting`; None: it stays unknown.
    node_selector, tolerations, image_pull_secret
        Where the probes may run, in the form of `make_placement`.
    node_labels
        Labels of the nodes to be recorded beside `cmhot.cluster.nodes.RECORDED_LABELS`.
    """

    pods: int = 20
    pods_at: tuple[str, ...] = ()
    duration_s: float = 180.0
    gap_s: float | None = None
    seed: int = 1
    namespace: str | None = None
    probe_image: str | None = None
    setting: str | None = None
    node_selector: tuple[str, ...] = ()
    tolerations: tuple[str, ...] = ()
    image_pull_secret: str | None = None
    node_labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        # as JSON gives them back, they are lists
        object.__setattr__(self, "pods_at", tuple(self.pods_at))
        for pods in (self.pods, *self._pods_at.values()):
            if pods < 1:
                msg = f"{pods} pods cannot measure anything: ask for at least one"
                raise UsageError(msg)
        if not self.duration_s > 0:
            msg = f"a duration of {self.duration_s:g} s is empty: try --duration 3m"
            raise UsageError(msg)
        if self.gap_s is not None and self.gap_s < SHORTEST_GAP_S:
            msg = (
                f"updates every {self.gap_s:g} s would queue at the API server: "
                f"the gap is at least {SHORTEST_GAP_S:g} s"
            )
            raise UsageError(msg)
        object.__setattr__(self, "node_selector", tuple(self.node_selector))
        object.__setattr__(self, "tolerations", tuple(self.tolerations))
        object.__setattr__(self, "node_labels", tuple(self.node_labels))
        _ = self.given_setting, self.placement  # an unreadable value is refused now

    @property
    def given_setting(self) -> Setting | None:
        """The setting given by hand, parsed."""
        return None if self.setting is None else parse_setting(self.setting)

    @property
    def placement(self) -> Placement:
        """Where the probes may run, parsed."""
        return make_placement(
            node_selector=self.node_selector,
            tolerations=self.tolerations,
            image_pull_secret=self.image_pull_secret,
        )

    def pods_of(self, setting: Setting | None) -> int:
        """Return the number of probe pods of a setting; None: it is not known."""
        if setting is None:
            return self.pods
        return self._pods_at.get(setting.sync_frequency_s, self.pods)

    @property
    def _pods_at(self) -> dict[float, int]:
        return dict(parse_pods_at(text) for text in self.pods_at)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as run.json keeps it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Plan:
        """Read the plan that run.json keeps.

        Keys of another cmhot raise `UsageError`.
        """
        try:
            return cls(**kept)
        except TypeError as error:
            msg = f"the plan in run.json is of another cmhot ({error}): use that one"
            raise UsageError(msg) from error

    def mean_gap_s(self, settings: Sequence[Setting]) -> float:
        """Return the mean gap between updates for these settings, in seconds."""
        if self.gap_s is not None:
            return self.gap_s
        shortest = min(
            (setting.sync_frequency_s for setting in settings), default=DEFAULT_SYNC_S
        )
        return max(shortest * GAP_SHARE, SHORTEST_GAP_S)


def parse_pods_at(text: str) -> tuple[float, int]:
    """Read ``60s=80``: a `syncFrequency` in seconds, and a number of probe pods.

    Raises `UsageError` for any other text.
    """
    sync, _, pods = text.partition("=")
    if not pods.isdecimal():
        msg = f"cannot read the number of pods {text!r}: write it like 60s=80"
        raise UsageError(msg)
    return parse_duration(sync), int(pods)


def burn_in_s(
    settings: Sequence[Setting], *, late: float, kubernetes: str | None = None
) -> float:
    """From the first annotation until every pod is in equilibrium, in seconds.

    Annotations scramble the syncs, not the fetches of a node's cache: an entry's phase
    is lost over some times its TTL, and hardly at all where S is far below the TTL, so
    that fetches come almost exactly a TTL apart. So the window begins at a random
    instant of a TTL, `late`, a share drawn uniformly from 0 to 1. The version of
    the kubelets, `kubernetes`, decides whether a TTL matters; None: current.
    """
    return max(
        longest_interval_s(setting)
        + (CACHE_CYCLES + late) * _ttl_s(setting, kubernetes)
        for setting in settings
    )


def drain_s(settings: Sequence[Setting], *, kubernetes: str | None = None) -> float:
    """From the last update until every pod must have it, in seconds."""
    longest = [
        setting.sync_frequency_s * (1 + JITTER) + _ttl_s(setting, kubernetes)
        for setting in settings
    ]
    return max(longest) + DRAIN_S


def expected_duration_s(plan: Plan, settings: Sequence[Setting]) -> float:
    """Bound how long a collection takes once its probes are Ready, in seconds."""
    return burn_in_s(settings, late=1.0) + plan.duration_s + drain_s(settings)


def _ttl_s(setting: Setting, kubernetes: str | None) -> float:
    """Give the TTL where it may matter, else 0, in seconds."""
    if reads_at_every_sync(setting, kubernetes):
        return 0.0
    return DEFAULT_TTL_S if setting.ttl_s is None else setting.ttl_s


def update_offsets_ns(
    rng: np.random.Generator, *, duration_s: float, gap_s: float
) -> list[int]:
    """Draw the instants of the updates, before any outcome is known.

    Gaps are independent and uniform on [0.5, 1.5]·``gap_s``: bounded, so that every
    sync finds something new, and jittered, so that the updates do not lock onto the
    kubelets' ticks. The result is in nanoseconds after the beginning of the window,
    ascending and within it; there is at least one.
    """
    most = int(2 * duration_s / gap_s) + 2
    gaps = rng.uniform(0.5 * gap_s, 1.5 * gap_s, size=most)
    instants = np.cumsum(gaps) - gaps[0] * rng.uniform()
    inside = instants[instants < duration_s]
    if inside.size == 0:
        inside = np.array([duration_s / 2])
    return [ns(instant) for instant in inside]


KEEPING_OUT = ("NoSchedule", "NoExecute")
"""Effects of a taint that keep a pod off a node; PreferNoSchedule only asks."""
EFFECTS = (*KEEPING_OUT, "PreferNoSchedule")


@dataclass(frozen=True, slots=True)
class Toleration:
    """A taint on which probes may run: its key, value and effect; None: any."""

    key: str | None = None
    value: str | None = None
    effect: str | None = None

    def to_dict(self) -> dict[str, str]:
        """Return the toleration as a pod's specification has it."""
        return {
            **{name: text for name, text in asdict(self).items() if text is not None},
            "operator": "Exists" if self.value is None else "Equal",
        }

    def covers(self, taint: Mapping[str, Any]) -> bool:
        """Report whether a pod with the toleration may run on a node with the taint."""
        return (
            self.key in {None, taint["key"]}
            and self.value in {None, taint.get("value", "")}
            and self.effect in {None, taint["effect"]}
        )


def parse_toleration(text: str) -> Toleration:
    """Read ``KEY[=VALUE][:EFFECT]``, as `kubectl` writes it; ``*`` is every taint.

    Raises `UsageError` without a key, or with an effect that Kubernetes does not know.
    """
    if text == "*":
        return Toleration()
    pair, colon, effect = text.partition(":")
    key, equals, value = pair.partition("=")
    if not key or (colon and effect not in EFFECTS):
        msg = (
            f"cannot read the toleration {text!r}: write KEY[=VALUE][:EFFECT] with an "
            f"effect of {', '.join(EFFECTS)}, or * for every taint"
        )
        raise UsageError(msg)
    return Toleration(key, value if equals else None, effect or None)


def parse_label(text: str) -> tuple[str, str]:
    """Read ``LABEL=VALUE``, or raise `UsageError`."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        msg = f"cannot read the node selector {text!r}: write LABEL=VALUE"
        raise UsageError(msg)
    return key, value


@dataclass(frozen=True, slots=True)
class Placement:
    """Where probes may run, and with which credentials their image is pulled."""

    node_selector: tuple[tuple[str, str], ...] = ()  # labels that a node must have
    tolerations: tuple[Toleration, ...] = ()
    image_pull_secret: str | None = None  # of the namespace; None: none is needed

    def takes(self, node: Mapping[str, Any]) -> bool:
        """Report whether a probe may be scheduled to a Node."""
        spec, labels = node["spec"], node["metadata"].get("labels") or {}
        return (
            not spec.get("unschedulable")
            and all(labels.get(key) == value for key, value in self.node_selector)
            and not self.untolerated(node)
        )

    def untolerated(self, node: Mapping[str, Any]) -> list[str]:
        """List the taints that keep the probes off a node, as `kubectl` writes them."""
        return [
            f"{taint['key']}={taint.get('value', '')}:{taint['effect']}"
            for taint in node["spec"].get("taints") or []
            if taint["effect"] in KEEPING_OUT
            and not any(one.covers(taint) for one in self.tolerations)
        ]

    def to_pod_spec(self) -> dict[str, Any]:
        """Return the placement as fields of a pod's specification."""
        spec: dict[str, Any] = {}
        if self.node_selector:
            spec["nodeSelector"] = dict(self.node_selector)
        if self.tolerations:
            spec["tolerations"] = [one.to_dict() for one in self.tolerations]
        if self.image_pull_secret is not None:
            spec["imagePullSecrets"] = [{"name": self.image_pull_secret}]
        return spec


ANYWHERE = Placement()
"""Any node that takes pods without tolerations."""


def make_placement(
    *,
    node_selector: Iterable[str] = (),
    tolerations: Iterable[str] = (),
    image_pull_secret: str | None = None,
) -> Placement:
    """Make a placement from the command line's texts."""
    return Placement(
        node_selector=tuple(parse_label(text) for text in node_selector),
        tolerations=tuple(parse_toleration(text) for text in tolerations),
        image_pull_secret=image_pull_secret,
    )
