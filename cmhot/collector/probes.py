"""The objects that a collection creates on a cluster, and removes again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cmhot.cluster import probe
from cmhot.cluster.nodes import observe_settings, probe_image
from cmhot.cluster.port import DEPLOYMENT
from cmhot.cluster.rights import PROBE_CONFIG_MAP
from cmhot.cluster.workspace import Workspace, run_of
from cmhot.collector.circumstances import circumstances
from cmhot.errors import ClusterError, NotFoundError, UsageError
from cmhot.kubelet.uses import CONFIG_MAP

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cmhot.cluster.nodes import Group
    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.uses import Kind
    from cmhot.runs.plan import Plan


CONFIG_MAP_NAME = PROBE_CONFIG_MAP
NOT_OURS = {409, 422}
"""HTTP statuses for a Deployment that others made: they own its fields, or another run
made it, and its selector, which holds the run, cannot change."""


@dataclass(slots=True)
class Setup:
    """The objects of one run: a ConfigMap, and a Deployment for each group of nodes."""

    cluster: Cluster
    plan: Plan
    run_id: str
    groups: Sequence[Group]
    workspace: Workspace = field(init=False)  # the namespace that they are in

    def __post_init__(self) -> None:
        """Find the namespace, which is not made yet."""
        self.workspace = Workspace.of(self.cluster, self.run_id, self.plan.namespace)

    @property
    def namespace(self) -> str:
        """Name of the namespace."""
        return self.workspace.namespace

    @property
    def labels(self) -> dict[str, str]:
        """Labels by which its pods are found."""
        return self.workspace.labels

    def check(self) -> None:
        """Check that a given namespace exists, and that no other run is in it.

        Raises
        ------
        UsageError
            When an object with one of our names is there, of another run or of none.
        ClusterError
            When the namespace does not exist, or may not be looked into.
        """
        if self.workspace.is_own:
            return
        self.workspace.open()
        for kind in (CONFIG_MAP, DEPLOYMENT):
            for one in self._standing(kind):
                if run_of(one) != self.run_id:
                    raise self._taken(kind, one)

    def create(self) -> None:
        """Create the objects; should that fail, `remove` deletes those created.

        Raises
        ------
        UsageError
            When another run began in the namespace since `check`; nothing of it
            is lost.
        """
        if self.workspace.is_own:
            self.workspace.open()
        image, pull_policy = probe_image(self.cluster, self.plan.probe_image)
        self._apply(probe.config_map(CONFIG_MAP_NAME, run_id=self.run_id))
        for group in self.groups:
            made = probe.deployment(
                _deployment_name(group),
                run_id=self.run_id,
                group=group.name,
                configmap=CONFIG_MAP_NAME,
                nodes=group.nodes,
                replicas=self.plan.pods_of(group.setting),
                image=image,
                pull_policy=pull_policy,
                placement=self.plan.placement,
            )
            try:
                self._apply(made)
            except ClusterError as error:
                if error.status in NOT_OURS:
                    self._yield_to_others(error)
                raise

    def _apply(self, manifest: Mapping[str, Any]) -> None:
        self.cluster.apply(manifest, namespace=self.namespace)

    def await_pods(self, report: Callable[[float], None]) -> list[dict[str, Any]]:
        """Wait until all probes are Ready."""
        wanted = sum(self.plan.pods_of(group.setting) for group in self.groups)
        return self.workspace.await_ready(wanted, report=report)

    def circumstances(self) -> dict[str, Any]:
        """Give the present versions and settings, as run.json has them."""
        observed = observe_settings(
            self.cluster, given=self.plan.given_setting, placement=self.plan.placement
        )
        return {"target": self.cluster.target, **circumstances(self.cluster, observed)}

    def remove(self) -> list[tuple[str, str]]:
        """Delete the objects; return those that could not be deleted, and why.

        In a namespace that others use as well, an object without the label of this run
        (any more) is not ours: it stays, and is not reported.
        """
        if self.workspace.is_own:
            return [(name, str(error)) for name, error in self.workspace.remove(())]
        left = []
        names = {
            DEPLOYMENT: [_deployment_name(group) for group in self.groups],
            CONFIG_MAP: [CONFIG_MAP_NAME],
        }
        for kind in (DEPLOYMENT, CONFIG_MAP):
            try:
                standing = self._standing(kind)
            except ClusterError as error:
                left += [(name, str(error)) for name in names[kind]]
                continue
            ours = [
                (kind, one["metadata"]["name"], one["metadata"].get("uid"))
                for one in standing
                if run_of(one) == self.run_id
            ]
            left += [(name, str(error)) for name, error in self.workspace.remove(ours)]
        return left

    def _standing(self, kind: Kind) -> list[dict[str, Any]]:
        """Find objects with our names, whoever made them."""
        if kind == CONFIG_MAP:
            try:
                found = self.cluster.get(
                    kind, CONFIG_MAP_NAME, namespace=self.namespace
                )
            except NotFoundError:
                return []
            return [found]
        # one request for all of them, however many groups there are
        listed, _ = self.cluster.list(kind, namespace=self.namespace)
        names = {_deployment_name(group) for group in self.groups}
        return [one for one in listed if one["metadata"]["name"] in names]

    def _yield_to_others(self, refused: ClusterError) -> None:
        """Give way to a run that began at the same time, if that is the reason.

        Selectors hold a run's label and cannot change: of two runs whose `check` found
        nothing, one has the Deployment. That one goes on, with the ConfigMap, which
        carries the label of the run that applied it last.
        """
        for one in self._standing(DEPLOYMENT):
            other = run_of(one)
            if other == self.run_id:
                continue
            if other is not None:
                self._apply(probe.config_map(CONFIG_MAP_NAME, run_id=other))
            raise self._taken(DEPLOYMENT, one) from refused

    def _taken(self, kind: Kind, one: Mapping[str, Any]) -> UsageError:
        """Make the error that names the owner of an object with one of our names."""
        run_id, name = run_of(one), one["metadata"]["name"]
        said = f"{kind.plural}/{name} in namespace {self.namespace} belongs to "
        if run_id is None:
            said += "no run of cmhot: measure in another --namespace, or rename it"
        else:
            said += (
                f"run {run_id}: measure in another --namespace, wait until that run "
                "has ended, or remove with `cmhot clean` what it left"
            )
        return UsageError(said)


def _deployment_name(group: Group) -> str:
    return f"cmhot-{group.name}"
