"""Whether a cluster is fit for a collection, and the load that this will be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cmhot.cluster import rights
from cmhot.cluster.model import ModelCluster
from cmhot.cluster.port import NAMESPACE, NODE, Authorising
from cmhot.cluster.probe import read_every_s
from cmhot.collector.preflight import (
    LIMITS,
    QUOTA,
    estimate_load,
    failed,
    needs,
    parse_quantity,
    suitability,
)
from cmhot.errors import ForbiddenError, NotFoundError, UnreachableError, UsageError
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.runs.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmhot.cluster.testbed.host import Check
    from cmhot.kubelet.uses import Kind


class Made(ModelCluster):
    """A model with authorisation and a namespace, both as the test wants them.

    Parameters
    ----------
    missing
        The right that its user lacks.
    objects
        What can be listed, by kind; what is not there may not be listed,
        nodes excepted.
    """

    def __init__(
        self,
        *,
        missing: rights.Right | None = None,
        objects: Mapping[Kind, list[dict[str, Any]]] | None = None,
    ) -> None:
        super().__init__([Setting(10)])
        self.missing = missing
        self.objects = dict(objects or {})
        self.stored: dict[str, Any] | None = {"metadata": {"name": "n"}}
        self.may_list_nodes = self.may_ask = True

    def may(self, right: rights.Right, *, namespace: str | None = None) -> bool:
        """Allow all but the one."""
        del namespace
        return right != self.missing

    def get(
        self, kind: Kind, name: str, *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Give the namespace."""
        if kind != NAMESPACE:
            return super().get(kind, name, namespace=namespace)
        if self.stored is None:
            msg = f"there is no {name}"
            raise NotFoundError(msg)
        return self.stored

    def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[list[dict[str, Any]], str]:
        """List what there is, or refuse."""
        if kind in self.objects:
            return self.objects[kind], "1"
        if kind in {QUOTA, LIMITS} or (kind == NODE and not self.may_list_nodes):
            msg = f"GET {kind.plural} is not allowed: ask"
            raise ForbiddenError(msg, status=403)
        return super().list(kind, namespace=namespace, labels=labels)

    def kubelet_configuration(self, node: str) -> dict[str, Any]:
        """Return it, or refuse."""
        if not self.may_ask:
            msg = "GET configz is not allowed: ask"
            raise ForbiddenError(msg, status=403)
        return super().kubelet_configuration(node)


def checked(cluster: Made, **plan: Any) -> dict[str, Check]:  # noqa: ANN401 - of a Plan
    """Ask, and give the checks by name."""
    return {
        check.name: check
        for check in suitability(cluster, Plan(**{"namespace": "n", **plan}))
    }


@pytest.mark.parametrize("right", rights.for_collection("n"), ids=str)
def test_a_missing_right_is_named(right: rights.Right) -> None:
    """Each right that a collection needs has a check of its name when it is missing."""
    checks = checked(Made(missing=right))

    found = checks[f"right to {right}"]
    assert not found.ok
    assert found.detail == (f"not allowed in namespace n; needed {right.purpose}")
    assert found.remedy == "`cmhot rbac --namespace n` prints the Role that has it"
    assert sum(not check.ok for check in checks.values()) == 1
    assert "rights" not in checks


@pytest.mark.parametrize("right", rights.OWN_NAMESPACE, ids=str)
def test_a_namespace_of_its_own_needs_more(right: rights.Right) -> None:
    """Without --namespace the rights to make one are asked for."""
    checks = checked(Made(missing=right), namespace=None)

    assert not checks[f"right to {right}"].ok
    assert "--create-namespace" in str(checks[f"right to {right}"].remedy)


def test_all_rights_are_one_line() -> None:
    """What is there need not be listed."""
    checks = checked(Made())

    assert checks["rights"].detail == "all 15 that a collection needs in namespace n"


def test_the_model_has_no_rights_to_ask_for() -> None:
    """A cluster without authorisation is not asked."""
    cluster = ModelCluster([Setting(10)])

    assert not isinstance(cluster, Authorising)
    assert isinstance(Made(), Authorising)
    assert [check.name for check in suitability(cluster, Plan())] == [
        "setting of model-1"
    ]


@pytest.mark.parametrize(
    ("may_list", "may_ask", "setting", "name", "said"),
    [
        (True, True, None, "setting of model-1", "10 s, Watch (configz)"),
        (True, True, "sync=60s", "setting of model-1", "10 s, Watch (configz)"),
        (True, False, "sync=60s", "setting of model-1", "60 s, Watch (given)"),
        (False, False, "sync=60s", "setting of all nodes", "60 s, Watch (given)"),
    ],
)
def test_how_settings_will_be_known(
    *, may_list: bool, may_ask: bool, setting: str | None, name: str, said: str
) -> None:
    """A kubelet's own word counts, then what is given by hand."""
    cluster = Made()
    cluster.may_list_nodes, cluster.may_ask = may_list, may_ask

    checks = checked(cluster, setting=setting)

    assert checks[name].detail == said
    assert all(check.ok for check in checks.values())


def test_an_unknown_setting_has_its_remedy() -> None:
    """It stops nothing, and the line says what would make it known."""
    cluster = Made()
    cluster.may_ask = False

    said = checked(cluster)["setting of model-1"]

    assert said.ok
    assert said.detail == (
        "not observable (unknown): give it by --setting, or let it be read: "
        "`cmhot rbac --configz kubelet`"
    )


def test_a_missing_namespace_has_its_remedy() -> None:
    """It is not made unasked."""
    cluster = Made()
    cluster.stored = None

    found = checked(cluster)["namespace n"]

    assert (found.ok, found.detail) == (False, "does not exist")
    assert "kubectl create namespace n" in str(found.remedy)


def test_a_namespace_that_goes_away_is_no_place() -> None:
    """Nothing can be created in it any more."""
    cluster = Made()
    cluster.stored = {"metadata": {"name": "n", "deletionTimestamp": "now"}}

    assert checked(cluster)["namespace n"].detail == "is being deleted"


def test_pod_security_is_told() -> None:
    """The level that the namespace enforces is named; the probes pass it."""
    cluster = Made()
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.stored = {"metadata": {"name": "n", "labels": labels}}

    found = checked(cluster)["namespace n"]

    assert found.ok
    assert "enforces restricted" in found.detail


def tainted(name: str, *taints: dict[str, str]) -> dict[str, Any]:
    """Make a node with taints."""
    info = {"kubeletVersion": "v1.37.1", "containerRuntimeVersion": "c"}
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {"taints": list(taints)},
        "status": {"nodeInfo": info},
    }


GPU = {"key": "gpu", "value": "a100", "effect": "NoSchedule"}


def test_taints_are_told_with_their_toleration() -> None:
    """The line is the option that would include the nodes."""
    nodes = [tainted("model-1"), tainted("b", GPU), tainted("c", GPU)]
    cluster = Made(objects={NODE: nodes})
    cluster.may_ask = False

    checks = checked(cluster)

    assert checks["taint gpu=a100:NoSchedule"].detail == (
        "2 nodes are left out (to measure there as well: "
        "--toleration gpu=a100:NoSchedule)"
    )
    assert "setting of b" not in checks
    cluster.objects[NODE] = nodes[1:]
    assert {"nodes", "taint gpu=a100:NoSchedule"} <= set(checked(cluster))
    tolerant = checked(cluster, tolerations=("gpu=a100:NoSchedule",))
    assert "setting of b" in tolerant
    assert not any(name.startswith("taint") for name in tolerant)


def test_many_nodes_are_told_by_setting() -> None:
    """A line a node would be no answer on a large cluster."""
    cluster = Made(objects={NODE: [tainted(f"n{i}") for i in range(30)]})
    cluster.may_ask = False

    checks = checked(cluster, setting="sync=10s")

    assert checks["setting of 30 nodes"].detail == "10 s, Watch (given)"


def quota(hard: dict[str, str], used: dict[str, str]) -> dict[str, Any]:
    """Make a ResourceQuota."""
    return {
        "metadata": {"name": "q"},
        "spec": {"hard": hard},
        "status": {"used": used},
    }


@pytest.mark.parametrize(
    ("hard", "used", "short"),
    [
        ({"pods": "25"}, {"pods": "5"}, None),
        ({"pods": "24"}, {"pods": "5"}, "pods: 20 needed, 19 free in q"),
        ({"requests.cpu": "40m"}, {}, None),
        ({"cpu": "30m"}, {}, "cpu: 0.04 needed, 0.03 free in q"),
        ({"limits.memory": "640Mi"}, {}, None),
        ({"services": "0"}, {}, None),
    ],
)
def test_quota_must_have_room(
    hard: dict[str, str], used: dict[str, str], short: str | None
) -> None:
    """Twenty probes, their requests and limits, against what is left."""
    checks = checked(Made(objects={QUOTA: [quota(hard, used)], LIMITS: []}))

    found = checks["quota"]
    assert (None if found.ok else found.detail) == short
    assert not found.ok or found.detail == "room for 20 probe pods"


def test_a_limit_range_must_fit_a_probe() -> None:
    """A smallest request above ours would refuse each pod."""
    item = {"type": "Container", "min": {"memory": "16Mi"}, "max": {"cpu": "1"}}
    limits = [{"metadata": {"name": "l"}, "spec": {"limits": [item]}}]

    found = checked(Made(objects={QUOTA: [], LIMITS: limits}))["quota"]

    assert not found.ok
    assert "LimitRange l has a min of 16Mi" in found.detail
    assert "cpu" not in found.detail


def test_quota_that_may_not_be_seen_is_no_failure() -> None:
    """It is not in the least Role."""
    found = checked(Made())["quota"]

    assert found.ok
    assert "may not be looked at" in found.detail


def test_needs_are_summed_over_deployments() -> None:
    """Two groups of three pods count six, and two Deployments."""
    resources = {"requests": {"cpu": "2m"}, "limits": {"cpu": "100m"}}
    pod = {"spec": {"containers": [{"resources": resources}]}}
    made = {"spec": {"replicas": 3, "template": pod}}

    total = needs([made, made])

    assert total["pods"] == total["count/pods"] == 6
    assert total["count/deployments.apps"] == 2
    assert total["requests.cpu"] == total["cpu"] == pytest.approx(0.012)
    assert total["limits.cpu"] == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("100m", 0.1),
        ("2", 2),
        (5, 5),
        ("32Mi", 33_554_432),
        ("1k", 1000),
        ("1E", 1e18),
        ("1e3", 1000),
        ("0.5Gi", 536_870_912),
        ("500u", 0.0005),
    ],
)
def test_an_amount_is_read(text: str | float, amount: float) -> None:
    """Decimal, binary and scientific forms are one number."""
    assert parse_quantity(text) == pytest.approx(amount)


@pytest.mark.parametrize("text", ["", "Mi", "5 Mi", "ten", "5mi"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    """The message shows how Kubernetes writes them."""
    with pytest.raises(UsageError, match="Kubernetes writes"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("nodes", "pods", "watching"),
    [(1, 9, 1), (5, 9, 5), (50, 9, 9)],
    ids=["one node", "fewer nodes than probes", "more nodes than probes"],
)
def test_only_kubelets_with_probes_watch(nodes: int, pods: int, watching: int) -> None:
    """A thousand nodes without a probe get no event; under Get nobody does."""
    cluster = ModelCluster([Setting(10)] * nodes + [Setting(10, Strategy.GET)])

    cost = estimate_load(cluster, Plan(pods=pods, gap_s=1))

    assert cost.watch_events_per_s == watching


@pytest.mark.parametrize(("pods", "every_s"), [(1, 45), (225, 45), (5000, 1000)])
def test_logs_are_read_five_times_a_second_at_most(pods: int, every_s: float) -> None:
    """Each twice a minute at most, and all together five times a second."""
    assert read_every_s(pods) == every_s


def test_a_dry_run_names_the_log_reads() -> None:
    """The load is the one that will be."""
    cost = estimate_load(ModelCluster([Setting(60)]), Plan(pods=5000))

    assert cost.reads_per_s == 5


def test_an_error_is_not_cut_at_a_colon() -> None:
    """It may quote what has one, such as an address; its remedy is in the sentence."""
    error = UnreachableError("no answer from https://k: is it there; or: log in")

    found = failed("API server", error)

    assert (found.detail, found.remedy) == (str(error), None)


class Far(Made):
    """A cluster that is not on this machine, and takes its time to answer."""

    modelled = False
    target = "context:c"
    answers_s = 0.1

    def version(self) -> str:
        """Answer late."""
        self.clock.sleep(self.answers_s)
        return super().version()


def test_how_well_clocks_will_be_known_is_said_beforehand() -> None:
    """A stamp made until the answer is known to half of that, and limits are wider."""
    check = checked(Far())["clocks"]

    assert check.ok
    assert check.detail.startswith("those of nodes will be known to ± 0.05 s at best")
    assert check.detail.endswith("limits of delays are wider by what they are known to")
    assert f"clocks: {check.detail}" in estimate_load(Far(), Plan()).lines()


def test_clocks_that_will_make_the_run_invalid_are_told_beforehand() -> None:
    """Before anything is created, with the remedy."""
    far = Far()
    far.answers_s = 0.7

    check = checked(far)["clocks"]

    assert not check.ok
    assert "± 0.35 s" in check.detail
    assert check.detail.endswith("a run with more than ± 0.25 s is invalid")
    assert "cmhot job" in str(check.remedy)


def test_one_clock_is_not_asked_for() -> None:
    """The model and a testbed have but one."""
    near = Far()
    near.target = "testbed:t"

    assert "clocks" not in checked(Made()) | checked(near)
