"""Which nodes a cluster has, which setting each kubelet has, and how it is known.

A setting given by hand may differ from the one that the kubelet reports: such
conflicts are listed, and the kubelet's counts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cmhot.cluster.port import NODE
from cmhot.errors import (
    ClusterError,
    ForbiddenError,
    NotFoundError,
    UnreachableError,
    UsageError,
)
from cmhot.kubelet.eras import DEFAULT_TTL_S, caveat, find_era
from cmhot.kubelet.settings import (
    TTL_ANNOTATION,
    Setting,
    Strategy,
    parse_duration,
    parse_strategy,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from cmhot.cluster.port import Cluster
    from cmhot.runs.plan import Placement

    Object = Mapping[str, Any]


DEFAULT_IMAGE = (
    "docker.io/library/busybox:1.36.1"
    "@sha256:73aaf090f3d85aa34ee199857f03fa3a95c8ede2ffd4cc2cdb5b94e566b11662"
)
"""The probes' image on clusters that can pull, by the digest of the multi-arch index
as public repositories pin it;
the testbed and ``--probe-image`` bring their own."""
HOSTNAME_LABEL = "kubernetes.io/hostname"
UNLISTED = "*"
"""The entry for all nodes together, where nodes may not be listed."""
RECORDED_LABELS = (
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
)
"""Labels that make pools of nodes, and do not tell their owner
(https://kubernetes.io/docs/reference/labels-annotations-taints/)."""
OUR_LABELS = "cmhot.dev/"
"""Labels with this prefix are recorded, too."""
PATIENCE_S = 60.0
"""Most seconds that failing kubelets may take altogether.

A dead one takes 2 s to 10 s; where none can be reached, a thousand take no more.
"""
_STRATEGY = "configMapAndSecretChangeDetectionStrategy"
PAUSE_S = 1.0
"""Seconds until kubelets that failed are asked once more."""
MOST_ASKED = 20
"""Kubelets that are asked for a sample; a thousand of them would be too many."""
MOST_SILENT = 2
"""After so many kubelets of a sample without an answer no more are asked: each may take
ten seconds."""


@dataclass(frozen=True, slots=True)
class ObservedNode:
    """A node as the cluster shows it.

    Attributes
    ----------
    name
        Name of the Node object; `UNLISTED` for all of them.
    hostname
        Its label ``kubernetes.io/hostname``, by which pods are placed;
        empty for all of them.
    kubelet
        Version that the kubelet reports; None: the node may not be read.
    runtime
        Container runtime and version that the kubelet reports; None: as above.
    setting
        None when it is not known.
    source
        ``configz``, ``given`` (by the user), ``sampled`` (not asked, and all kubelets
        that were asked are alike) or ``unknown``; in a sample also ``no-kubelet`` (what
        says it is none, as virtual ones do) and ``not-ready``.
    labels
        The labels that are recorded; see `RECORDED_LABELS`.
    why
        Why the kubelet's own setting is not known, where it was asked for it.
    """

    name: str
    hostname: str
    kubelet: str | None
    runtime: str | None
    setting: Setting | None
    source: str
    labels: Mapping[str, str] = field(default_factory=dict)
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of run.json's ``settings``."""
        known = self.setting
        return {
            "sync_frequency_s": None if known is None else known.sync_frequency_s,
            "strategy": None if known is None else known.strategy.value,
            "ttl_s": None if known is None else known.ttl_s,
            "source": self.source,
            "kubelet": self.kubelet,
            "runtime": self.runtime,
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes of one setting, measured together."""

    name: str  # the setting's label value
    setting: Setting | None  # None: it is not known
    nodes: tuple[str, ...]  # host names; none: wherever the scheduler puts the probes


def setting_from_configz(
    configuration: dict[str, Any],
    annotations: dict[str, str],
    *,
    kubelet: str | None = None,
) -> Setting:
    """Read the three knobs from a kubelet's configuration and its node's annotations.

    The configuration is ``kubeletconfig`` of /configz, where durations are Go strings.
    Before 1.12 (`kubelet` is the version) it names no strategy: all is cached.

    Raises
    ------
    ClusterError
        When a knob is missing, or has a value that no known kubelet has.
    """
    ttl = annotations.get(TTL_ANNOTATION)
    era = find_era(kubelet)
    known = dict(configuration)
    if era is not None and not era.has_strategies:
        known.setdefault(_STRATEGY, Strategy.CACHE)
    try:
        return Setting(
            sync_frequency_s=parse_duration(known["syncFrequency"]),
            strategy=parse_strategy(known[_STRATEGY]),
            ttl_s=DEFAULT_TTL_S if ttl is None else float(ttl),
        )
    except KeyError as error:
        msg = f"its /configz has no {error.args[0]}"
        raise ClusterError(msg) from error
    except (UsageError, ValueError, TypeError, AttributeError) as error:
        msg = f"its /configz or TTL annotation is none that is known ({error})"
        raise ClusterError(msg) from error


def observe_settings(
    cluster: Cluster,
    *,
    given: Setting | None = None,
    placement: Placement | None = None,
    labels: Collection[str] = (),
    sample: Sequence[str] | None = None,
) -> list[ObservedNode]:
    """Ask every node that takes probes for its kubelet's setting, or a sample.

    The setting that a kubelet reports counts before the one given by hand.
    A cluster that does not allow it yields ``given`` or ``unknown``, not an error;
    so does a single kubelet that does not answer, for its own node.

    Parameters
    ----------
    cluster
        Where.
    given
        The setting of the kubelets that may not be asked; None: it is not known.
    placement
        Where probes may run; None: on any node that takes pods.
    labels
        Labels of the nodes to be kept beside `RECORDED_LABELS`; never all.
    sample
        Names of the nodes, of which `MOST_ASKED` are asked, once each: the others
        have the setting that all of these have. None: ask all that take probes.

    Returns
    -------
    list of ObservedNode
        Where nodes may not be listed: one entry for all (see `name_by_pods`),
        or one for each of the sample.
    """
    if sample is not None and not sample:
        return []
    source = "unknown" if given is None else "given"
    wanted = None if sample is None else set(sample)
    try:
        nodes = [
            node
            for page in cluster.pages(NODE)
            for node in page
            if _is_meant(node, wanted, placement)
        ]
    except ForbiddenError:
        if sample is None:
            return [ObservedNode(UNLISTED, "", None, None, given, source)]
        nodes = []
    if sample is not None:
        by_name = {node["metadata"]["name"]: node for node in nodes}
        nodes = [by_name.get(name, {"metadata": {"name": name}}) for name in sample]
    unfit = {} if sample is None else _unfit(nodes)
    metas = [one["metadata"] for one in nodes if one["metadata"]["name"] not in unfit]
    versions = {node["metadata"]["name"]: _info(node) for node in nodes}
    known, why, none_there = _ask_all(
        cluster, metas, versions, is_sample=sample is not None
    )
    if sample is not None:
        unfit |= dict.fromkeys(none_there, NO_KUBELET)
    observed = []
    for node in nodes:
        meta, info = node["metadata"], _info(node)
        setting = known.get(meta["name"])
        own_source = unfit.get(meta["name"])
        if own_source is None:
            own_source = source if setting is None else "configz"
        observed.append(
            ObservedNode(
                name=meta["name"],
                hostname=_hostname(meta),
                kubelet=info.get("kubeletVersion"),
                runtime=info.get("containerRuntimeVersion"),
                setting=None if meta["name"] in unfit else setting or given,
                source=own_source,
                labels=_recorded(meta.get("labels") or {}, labels),
                why=why.get(meta["name"], "") if setting is None else "",
            )
        )
    return observed if sample is None else _alike(observed)


NO_KUBELET, NOT_READY = "no-kubelet", "not-ready"


def _unfit(nodes: Sequence[Object]) -> dict[str, str]:
    """Find the nodes where no setting says when files are renewed, and why."""
    found = {}
    for node in nodes:
        status = node.get("status") or {}
        version = _info(node).get("kubeletVersion")
        ready = [
            one.get("status")
            for one in status.get("conditions") or ()
            if one.get("type") == "Ready"
        ]
        if version is not None and (not version or find_era(version) is None):
            found[node["metadata"]["name"]] = NO_KUBELET
        elif ready and ready != ["True"]:
            found[node["metadata"]["name"]] = NOT_READY
    return found


def unready_nodes(cluster: Cluster, names: Collection[str]) -> dict[str, str]:
    """Say of nodes that are not Ready since when, so far as nodes may be listed."""
    found = {}
    try:
        for page in cluster.pages(NODE) if names else ():
            for node in page:
                if (name := node["metadata"]["name"]) not in names:
                    continue
                for one in (node.get("status") or {}).get("conditions") or ():
                    if one["type"] == "Ready" and one["status"] != "True":
                        found[name] = f"NotReady since {one.get('lastTransitionTime')}"
    except ClusterError:
        return found
    return found


def _is_meant(
    node: Object, wanted: set[str] | None, placement: Placement | None
) -> bool:
    """Report whether a Node is in a sample, or (None) takes probes."""
    if wanted is not None:
        return node["metadata"]["name"] in wanted
    if placement is None:
        from cmhot.runs.plan import ANYWHERE  # noqa: PLC0415 - a sample needs no plan

        placement = ANYWHERE
    return placement.takes(node)


def _alike(observed: list[ObservedNode]) -> list[ObservedNode]:
    """Give nodes that were not asked the setting that all asked ones have."""
    unfit = {NO_KUBELET, NOT_READY}
    seen = {node.setting for node in observed if node.setting is not None}
    if len(seen) != 1:
        return observed
    (common,) = seen
    return [
        replace(node, setting=common, source="sampled")
        if node.setting is None and node.source not in unfit
        else node
        for node in observed
    ]


def _ask_all(
    cluster: Cluster,
    nodes: Sequence[dict[str, Any]],
    infos: Mapping[str, Object],
    *,
    is_sample: bool,
) -> tuple[dict[str, Setting], dict[str, str], list[str]]:
    """Ask kubelets for their settings, by the metadata of their nodes.

    Kubelets that fail are asked once more; of a sample, not all are asked, none twice.
    Also says why a kubelet's setting is not known, and names the nodes that have no
    such thing to ask for.

    Raises
    ------
    UnreachableError
        When the API server is gone.
    """
    known: dict[str, Setting] = {}
    why: dict[str, str] = {}
    none_there: list[str] = []
    left_s, silent = PATIENCE_S, 0
    nodes = nodes[:MOST_ASKED] if is_sample else nodes
    for pause_s in (0.0,) if is_sample else (0.0, PAUSE_S):
        cluster.clock.sleep(pause_s)
        failed = []
        for meta in nodes:
            if left_s <= 0 or (is_sample and silent == MOST_SILENT):
                break
            began_s = cluster.clock.monotonic()
            try:
                known[meta["name"]] = _ask(cluster, meta, infos[meta["name"]])
            except UnreachableError:
                raise
            except ForbiddenError:
                return known, {}, []  # rights are the same for each of a thousand nodes
            except NotFoundError:
                silent += 1  # no real kubelet: a virtual one
                none_there.append(meta["name"])
                why[meta["name"]] = "it has no /configz: a virtual node?"
            except ClusterError as error:
                why[meta["name"]] = str(error)
                failed.append(meta)  # ill, or not reached: this kubelet alone
                silent += 1
                left_s -= cluster.clock.monotonic() - began_s
        nodes = failed
        if not nodes:
            break
    return known, why, none_there


def _ask(cluster: Cluster, meta: dict[str, Any], info: Object) -> Setting:
    try:
        configuration = cluster.kubelet_configuration(meta["name"])
    except (LookupError, ValueError, TypeError) as error:
        msg = "its /configz is no kubelet's"
        raise ClusterError(msg) from error
    return setting_from_configz(
        configuration,
        meta.get("annotations") or {},
        kubelet=info.get("kubeletVersion"),
    )


def _info(node: Object) -> Object:
    return (node.get("status") or {}).get("nodeInfo") or {}


def caveats(observed: Sequence[ObservedNode]) -> list[str]:
    """Say which kubelets have no known law or setting: a sentence for those alike."""
    found: dict[str, list[str]] = {}
    for node in observed:
        said = caveat(node.kubelet)
        if said is not None:
            found.setdefault(said, []).append(node.name)
        if node.why:
            found.setdefault(f"its setting is not known: {node.why}", []).append(
                node.name
            )
    return [
        f"{names[0]}{f' and {len(names) - 1} more' * (len(names) > 1)}: {said}"
        for said, names in found.items()
    ]


def _recorded(labels: Mapping[str, str], asked_for: Collection[str]) -> dict[str, str]:
    """Keep the labels that may be recorded, sorted."""
    wanted = {*RECORDED_LABELS, *asked_for}
    return {
        key: value
        for key, value in sorted(labels.items())
        if key in wanted or key.startswith(OUR_LABELS)
    }


def _hostname(meta: dict[str, Any]) -> str:
    return str((meta.get("labels") or {}).get(HOSTNAME_LABEL, meta["name"]))


def name_by_pods(
    observed: list[ObservedNode], pods: Sequence[dict[str, Any]]
) -> list[ObservedNode]:
    """Name the nodes by the probes that run on them, where nodes may not be listed.

    Nodes of `observe_settings` that could be listed are returned as they are.
    """
    if [node.name for node in observed] != [UNLISTED]:
        return observed
    names = sorted({pod["spec"]["nodeName"] for pod in pods})
    return [replace(observed[0], name=name, hostname=name) for name in names]


def group_by_setting(nodes: list[ObservedNode]) -> list[Group]:
    """Put nodes of one setting together, in the order of their settings."""
    if not nodes:
        msg = (
            "the cluster has no schedulable node for probes: uncordon one, allow a "
            "taint (--toleration), or ask for another label (--node-selector)"
        )
        raise UsageError(msg)
    by_setting: dict[Setting | None, list[str]] = {}
    for node in nodes:
        hosts = by_setting.setdefault(node.setting, [])
        if node.hostname:
            hosts.append(node.hostname)
    known = sorted(setting for setting in by_setting if setting is not None)
    unknown = [None] if None in by_setting else []
    return [
        Group(
            name="setting-unknown" if setting is None else setting.label,
            setting=setting,
            nodes=tuple(by_setting[setting]),
        )
        for setting in [*known, *unknown]
    ]


def probe_image(cluster: Cluster, wanted: str | None) -> tuple[str, str]:
    """Choose the probes' image, and its ``imagePullPolicy``.

    A testbed's image is on its nodes already and in no registry.
    """
    if wanted is not None:
        return wanted, "IfNotPresent"
    if cluster.local_image is not None:
        return cluster.local_image, "Never"
    return DEFAULT_IMAGE, "IfNotPresent"


EVENT = "setting_contradicted"


@dataclass(frozen=True, slots=True)
class SettingConflict:
    """A kubelet that reports another setting than the given one; its own counts."""

    node: str
    kubelet: Setting
    given: Setting

    def row(self, *, at_ns: int) -> dict[str, Any]:
        """Give the conflict's row of events.jsonl."""
        return {
            "at_ns": at_ns,
            "kind": EVENT,
            "object": f"node/{self.node}",
            "detail": {"kubelet": self.kubelet.label, "given": self.given.label},
        }


def setting_conflicts(
    observed: Sequence[ObservedNode], given: Setting | None
) -> list[SettingConflict]:
    """List the kubelets that report another setting than the given one.

    A TTL matters under Cache alone.
    """
    if given is None:
        return []
    return [
        SettingConflict(node.name, node.setting, given)
        for node in observed
        # no kubelet's report: the given setting, or none
        if node.setting is not None and _effective(node.setting) != _effective(given)
    ]


def _effective(setting: Setting) -> tuple[float, Strategy, float | None]:
    ttl_s = setting.ttl_s if setting.strategy is Strategy.CACHE else None
    return setting.sync_frequency_s, setting.strategy, ttl_s


def conflict_warning(conflicts: Sequence[SettingConflict]) -> str:
    """Write the conflicts as one sentence, however many nodes there are."""
    given = conflicts[0].given
    counts = Counter(one.kubelet for one in conflicts)
    said = "; ".join(
        f"{setting} on {count} node{'s' * (count != 1)}"
        for setting, count in sorted(counts.items())
    )
    return (
        f"--setting gives {given}, but kubelets say {said}: the kubelets' word counts, "
        "and what was given only where none can be asked"
    )
