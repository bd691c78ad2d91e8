"""A workload to refresh, and what speaks against it: autoscalers, budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmhot.propagation.methods import AUTOSCALER, BUDGET
from tests.unit.living import Living

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmhot.kubelet.uses import Kind
    from tests.unit.living import Object


class Hindered(Living):
    """A cluster that has objects of kinds that the model has not."""

    def __init__(self) -> None:
        super().__init__()
        self.others: dict[str, list[Object]] = {}  # by plural

    @property
    def replicas(self) -> int:
        """How many the Deployment wants."""
        return int(self.deployment["spec"]["replicas"])

    @property
    def notes(self) -> dict[str, str]:
        """Annotations of the Deployment."""
        return dict(self.deployment["metadata"].get("annotations") or {})

    def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[list[Object], str]:
        """List them too."""
        found, version = super().list(kind, namespace=namespace, labels=labels)
        return [*self.others.get(kind.plural, []), *found], version


def scaler(name: str = "web") -> dict[str, list[Object]]:
    """Make an autoscaler of a Deployment."""
    ref = {"kind": "Deployment", "name": name}
    one = {"metadata": {"name": "hpa"}, "spec": {"scaleTargetRef": ref}}
    return {AUTOSCALER.plural: [one]}


def budget(allowed: int) -> dict[str, list[Object]]:
    """Make a PodDisruptionBudget of the Deployment's pods."""
    one = {
        "metadata": {"name": "pdb"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": allowed},
    }
    return {BUDGET.plural: [one]}
