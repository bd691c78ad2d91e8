"""What a collection puts on a cluster, and takes away again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.collecting.provenance import circumstances
from cmhot.errors import ClusterError
from cmhot.nodes import observe_settings, probe_image
from cmhot.pods import await_ready
from cmhot.port import probe
from cmhot.port.cluster import CONFIG_MAP, DEPLOYMENT, MANAGED_BY, NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cmhot.nodes import Group
    from cmhot.plan import Plan
    from cmhot.port.cluster import Cluster, Kind

CONFIG_MAP_NAME = "cmhot-probe"


@dataclass(frozen=True, slots=True)
class Setup:
    """The objects of one run.

    Attributes
    ----------
    cluster, plan, run_id
        Whose.
    groups
        The settings that are measured; a Deployment for each.
    """

    cluster: Cluster
    plan: Plan
    run_id: str
    groups: Sequence[Group]

    @property
    def namespace(self) -> str:
        """Where they are."""
        return self.plan.namespace or probe.namespace_of(self.run_id)

    @property
    def labels(self) -> dict[str, str]:
        """What its pods are found by."""
        return {probe.RUN_LABEL: self.run_id}

    def check(self) -> None:
        """See that the namespace that was asked for exists."""
        if self.plan.namespace is not None:
            self.cluster.get(NAMESPACE, self.plan.namespace)

    def create(self) -> None:
        """Make them."""
        if self.plan.namespace is None:
            self.cluster.apply(
                {
                    "apiVersion": "v1",
                    "kind": "Namespace",
                    "metadata": {
                        "name": self.namespace,
                        "labels": {**MANAGED_BY, **self.labels},
                    },
                }
            )
        image, pull_policy = probe_image(self.cluster, self.plan.probe_image)
        self.cluster.apply(
            probe.config_map(CONFIG_MAP_NAME, run_id=self.run_id),
            namespace=self.namespace,
        )
        for group in self.groups:
            self.cluster.apply(
                probe.deployment(
                    f"cmhot-{group.name}",
                    run_id=self.run_id,
                    group=group.name,
                    configmap=CONFIG_MAP_NAME,
                    nodes=group.nodes,
                    replicas=self.plan.pods,
                    image=image,
                    pull_policy=pull_policy,
                    placement=self.plan.placement,
                ),
                namespace=self.namespace,
            )

    def await_pods(self, tell: Callable[[float], None]) -> list[dict[str, Any]]:
        """Wait until all probes are Ready."""
        return await_ready(
            self.cluster,
            self.plan.pods * len(self.groups),
            namespace=self.namespace,
            labels=self.labels,
            tell=tell,
        )

    def circumstances(self) -> dict[str, Any]:
        """Say which versions and settings there are now, as run.json has them."""
        observed = observe_settings(
            self.cluster, given=self.plan.given_setting, placement=self.plan.placement
        )
        return {"target": self.cluster.target, **circumstances(self.cluster, observed)}

    def remove(self) -> list[tuple[str, str]]:
        """Delete them; return what could not be deleted, and why."""
        ours: list[tuple[Kind, str, str | None]]
        if self.plan.namespace is None:
            ours = [(NAMESPACE, self.namespace, None)]
        else:
            ours = [
                (DEPLOYMENT, f"cmhot-{group.name}", self.namespace)
                for group in self.groups
            ]
            ours.append((CONFIG_MAP, CONFIG_MAP_NAME, self.namespace))
        left = []
        for kind, name, namespace in ours:
            try:
                self.cluster.delete(kind, name, namespace=namespace)
            except ClusterError as error:
                left.append((name, str(error)))
        return left
