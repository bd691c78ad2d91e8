"""What does a kubelet's code say of the delay: constants, costs, and eras by version.

The law and the model take it from here: each fact is stated once, and a difference
between versions is a row of a table, not a branch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from cmhot.errors import UsageError

JITTER = 0.5
"""`workerResyncIntervalJitterFactor`, pkg/kubelet/pod_workers.go."""
TICK_S = 1.0
"""Period of `syncTicker`, seconds; pkg/kubelet/kubelet.go, syncLoop."""
LOOP_S = 0.1
"""Pause of the volume manager's populator, and of its reconciler, in seconds;
`desiredStateOfWorldPopulatorLoopSleepPeriod` and `reconcilerLoopSleepPeriod`,
pkg/kubelet/volumemanager/volume_manager.go."""
LOOPS_S = 2 * LOOP_S
"""Longest time from a sync to the look at the content: one loop after the other."""
RELIST_S = 1.0
"""`plegRelistPeriod`, pkg/kubelet/kubelet.go: how often containers are looked at.
A sync that is asked for sooner after another one waits for the next relist."""
DEFAULT_TTL_S = 60.0
"""What a kubelet takes without the annotation
(`defaultTTL`, pkg/kubelet/configmap/configmap_manager.go)."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What a kubelet's work costs, beyond what its code fixes; seconds."""

    sync_s: float = 0.0
    """ε: from the tick to the end of the pod's sync."""
    staleness_s: float = 0.0
    """L: from the API server's answer to a write until a kubelet that looks would find
    it: the watch's latency under Watch, a request's under Get and Cache."""
    write_s: float = 0.0
    """w: from the look at the content to the publication."""
    has_loops: bool = True
    """The two volume loops lie between a sync and its look; without them a look is at
    the tick."""

    def __post_init__(self) -> None:
        """Refuse what would run backwards in time."""
        for name in ("sync_s", "staleness_s", "write_s"):
            if not 0 <= getattr(self, name) < TICK_S:
                msg = (
                    f"{name}={getattr(self, name)!r} is no cost of a sync: "
                    "each is from 0 to below 1 second"
                )
                raise UsageError(msg)


IDEAL = Timing(has_loops=False)
"""Work that takes no time: the law on the bare tick, as textbooks would have it."""
TYPICAL = Timing(sync_s=0.01, staleness_s=0.005, write_s=0.003)
"""About what the testbed shows on two cores: the model's default."""


class Invalidation(Enum):
    """What makes a kubelet forget a cached ConfigMap before its TTL is over."""

    POD_UPDATE = "any addition, update or status change of a pod that refers to it"
    """`podManager.updatePodsInternal` registers the pod each time."""
    EVERY_SYNC = "every sync of a pod that refers to it"
    """`SyncPod` registers the pod each time (PR 107821): a TTL is without effect."""
    NEW_POD = "a pod that is new on the node and refers to it"
    """`AddReference` acts on a new pod only (PR 120255)."""


@dataclass(frozen=True, slots=True)
class Era:
    """Versions of the kubelet that behave alike, as far as the delay goes."""

    since: int
    """First minor version: 29 is 1.29. The era lasts until the next one begins."""
    invalidation: Invalidation
    """What forgets an entry of the Cache strategy."""
    probes_sync: bool
    """A change of a readiness or startup probe's result syncs the pod (PR 98376)."""
    crash_loop_s: float | None
    """A crash-looping pod is synced again after so many seconds to half as many again,
    whatever `syncFrequency` is (`backOffPeriod`);
    None: when its back-off expires (PR 133066)."""
    has_strategies: bool = True
    """Whether Watch and Get are there to be chosen (PR 64752); else all is cached."""
    backports: tuple[tuple[int, int], ...] = ()
    """Older branches that it was brought to, and the first release of each: (22, 9) is
    1.22.9. Read in the source of that release, and of the one before."""

    @property
    def name(self) -> str:
        """Name it for a table: ``from 1.29``."""
        return f"from 1.{self.since}"

    @property
    def ttl_works(self) -> bool:
        """Whether the Cache strategy's TTL has any effect on an idle pod."""
        return self.invalidation is not Invalidation.EVERY_SYNC


ERAS = (
    Era(
        9,
        Invalidation.POD_UPDATE,
        probes_sync=False,
        crash_loop_s=10.0,
        has_strategies=False,
    ),
    Era(12, Invalidation.POD_UPDATE, probes_sync=False, crash_loop_s=10.0),
    Era(21, Invalidation.POD_UPDATE, probes_sync=True, crash_loop_s=10.0),
    Era(
        24,
        Invalidation.EVERY_SYNC,
        probes_sync=True,
        crash_loop_s=10.0,
        backports=((22, 9), (23, 6)),  # PRs 108754 and 108756
    ),
    Era(29, Invalidation.NEW_POD, probes_sync=True, crash_loop_s=10.0),
    Era(35, Invalidation.NEW_POD, probes_sync=True, crash_loop_s=None),
)
"""Oldest first. 1.9 was read in the source of 1.9.6 and measured there
(data/kubelet-1.9.6); 1.10 and 1.11 lie between two versions that are alike."""
CURRENT = ERAS[-1]
"""What is assumed where no version is known."""
READ_UNTIL = 37
"""Minor version of the newest source that the eras were read in."""
_VIRTUAL = "-vk"
"""In versions of Virtual Kubelet, such as ``v1.11.0-vk``: none of a kubelet's code runs
(https://github.com/virtual-kubelet/virtual-kubelet)."""


def era_of(version: str | None) -> Era:
    """Find the era of a kubelet's version, such as ``v1.28.15`` or ``1.28``.

    What names none is taken to be current: None, ``modelled``, or ``v0.0.0-…``,
    as a kubelet says that was built without one. A branch such as ``1.23`` stands for
    its last release.

    Raises
    ------
    UsageError
        For a version before 1.9, or what is no kubelet's.

    Examples
    --------
    >>> era_of("v1.28.15").ttl_works
    False
    >>> era_of("v1.23.5").ttl_works, era_of("v1.23.6").ttl_works
    (True, False)
    """
    era = find_era(version)
    if era is not None:
        return era
    if minor_of(version) is None:
        msg = f"{version!r} is no version of Kubernetes: give one as 1.28 or v1.28.15"
    elif _VIRTUAL in _said(version):
        msg = f"no law is known for {version}: it is a virtual node's, and no kubelet's"
    else:
        msg = (
            f"no law is known for Kubernetes {version}: "
            f"it begins with 1.{ERAS[0].since}"
        )
    raise UsageError(msg)


def find_era(version: str | None) -> Era | None:
    """Find the era of a version as `era_of` does; None: no law is known for it."""
    said = _said(version)
    if not said:
        return CURRENT
    minor = minor_of(said)
    if minor is None or _VIRTUAL in said:
        return None
    patch = re.match(r"v?1\.\d+\.(\d+)", said)
    for era in reversed(ERAS):
        first = dict(era.backports).get(minor)
        if era.since <= minor or (
            first is not None and (patch is None or int(patch[1]) >= first)
        ):
            return era
    return None


def caveat(version: str | None) -> str | None:
    """Say what is not known of a kubelet's law by its version; None: nothing."""
    if find_era(version) is None:
        return (
            f"no law is known for kubelet {version}, so none is shown beside what is "
            "measured, and no time is promised; a virtual node's pods may show nothing"
        )
    if (minor_of(version) or 0) > READ_UNTIL:
        return (
            f"kubelet {version} is newer than 1.{READ_UNTIL}, whose law is assumed: "
            "see whether the measurement agrees with it"
        )
    return None


def minor_of(version: str | None) -> int | None:
    """Read the minor number of a kubelet's version; None: it names none."""
    match = re.match(r"v?1\.(\d+)(?![0-9A-Za-z])", _said(version))
    return None if match is None else int(match[1])


def _said(version: str | None) -> str:
    said = (version or "").removeprefix("modelled").strip()
    return "" if said.startswith("v0.0.0") else said
