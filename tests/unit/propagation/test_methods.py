"""A refresh leaves nothing at nothing, deletes nothing, and goes on where it can."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from cmhot import refresh
from cmhot.cluster.port import POD
from cmhot.errors import (
    ClusterError,
    ForbiddenError,
    NotFoundError,
    UnreachableError,
    UsageError,
)
from cmhot.propagation.refresh import refuse_recreate, refuse_rollout
from cmhot.propagation.remedies import Shell
from cmhot.propagation.workload import (
    REMEMBERED,
    Workload,
    WorkloadState,
    is_rolled_out,
)
from tests.unit.living import Living, configmap
from tests.unit.propagation.obstacles import Hindered, budget

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmhot.cluster.port import Captured
    from cmhot.errors import CmhotError
    from cmhot.kubelet.uses import Kind

Object = dict[str, Any]
TOO_MANY = ClusterError("too many requests (429)", status=429)
LOST = UnreachableError("no answer from the API server")
FORBIDDEN = ForbiddenError("not allowed", status=403)


class Troubled(Hindered):
    """A cluster whose API server stumbles over writes to the Deployment.

    Attributes
    ----------
    refused
        What is answered to the write of a number, instead of doing it.
    lost
        What is answered after the write of a number was done.
    delayed
        What is answered to a write that is done only after the next one.
    homeless
        Pods that are on no node.
    """

    def __init__(self) -> None:
        super().__init__()
        self.refused: dict[int, BaseException] = {}
        self.lost: dict[int, BaseException] = {}
        self.delayed: dict[int, BaseException] = {}
        self.homeless: set[str] = set()
        self.waiting: Mapping[str, Any] | None = None

    @property
    def number(self) -> int:
        """Of the last write to the Deployment."""
        return self.asked["patch", "deployments"]

    def passing(self, verb: str, resource: str, name: str | None) -> None:
        """Refuse."""
        super().passing(verb, resource, name)
        if (verb, resource) == ("patch", "deployments") and self.number in self.refused:
            raise self.refused[self.number]

    def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
    ) -> Object:
        """Stumble."""
        if self.number + 1 in self.delayed:
            self.passing("patch", kind.plural, name)
            self.waiting = body
            raise self.delayed[self.number]
        stored = super().patch(kind, name, body, namespace=namespace)
        if self.waiting is not None:
            late, self.waiting = self.waiting, None
            with pytest.raises(ClusterError, match="has been modified"):
                self.inner.patch(kind, name, late, namespace=namespace)
        if self.number in self.lost:
            raise self.lost[self.number]
        return stored

    def capture(
        self,
        pod: str,
        command: Sequence[str],
        *,
        namespace: str,
        container: str,
        timeout_s: float | None = None,
    ) -> Captured:
        """Look only into containers that run."""
        assert pod not in self.homeless
        return super().capture(
            pod, command, namespace=namespace, container=container, timeout_s=timeout_s
        )

    def shown(self, kind: Kind, one: Object) -> Object:
        """Take pods from their nodes."""
        if kind == POD and one["metadata"]["name"] in self.homeless:
            del one["spec"]["nodeName"]
            one["status"] = {"phase": "Pending"}
        return one


def outdated(**pod: Any) -> Troubled:  # noqa: ANN401 - see `Living.deploy`
    """Have three pods that hold old content."""
    cluster = Troubled()
    cluster.deploy(3, **pod)
    cluster.update("2")
    return cluster


@pytest.fixture
def troubled() -> Troubled:
    """Have three pods that hold old content."""
    return outdated()


@pytest.mark.parametrize(
    "error", [TOO_MANY, LOST, ClusterError("broken (500)", status=500)]
)
def test_one_failed_answer_does_not_leave_it_at_nothing(
    troubled: Troubled, error: BaseException
) -> None:
    """Scaling back is tried again."""
    troubled.refused = {2: error}

    done = refresh(troubled, "deployment/web", method="recreate")

    assert done.ok
    assert (troubled.replicas, troubled.notes) == (3, {})
    assert done.writes == 2
    # the pods go in 0.5 s, the pause is as long, and new ones take a second
    assert done.acted_s == pytest.approx(2.25)


def test_scaling_back_is_tried_past_the_deadline(troubled: Troubled) -> None:
    """For a minute at least: the time for all of it was a second."""
    troubled.refused = dict.fromkeys(range(2, 8), TOO_MANY)
    said: list[str] = []

    with pytest.raises(ClusterError, match="not complete in time"):
        refresh(
            troubled, "deployment/web", method="recreate", timeout_s=1, tell=said.append
        )

    # the pods go in 0.5 s; pauses of 0.5, 1, 2, 4, 8 and 8 s
    assert troubled.clock.monotonic() == pytest.approx(0.5 + 23.5)
    assert (troubled.replicas, troubled.notes) == (3, {})
    assert said.count(f"not scaled back yet, trying again: {TOO_MANY}") == 6


@pytest.mark.parametrize(("error", "after_s"), [(TOO_MANY, 60), (FORBIDDEN, 0)])
def test_whoever_cannot_scale_back_says_so(
    troubled: Troubled, error: BaseException, after_s: float
) -> None:
    """With the command that does; a right that is missing does not come by waiting."""
    troubled.refused = dict.fromkeys(range(2, 99), error)

    with pytest.raises(
        ClusterError,
        match=r"deployment/web IS AT 0 REPLICAS: `kubectl -n default scale "
        r"deployment/web --replicas=3`, or call again",
    ):
        refresh(troubled, "deployment/web", method="recreate", timeout_s=1)

    assert troubled.notes == {REMEMBERED: "3@2"}
    # the last pause may reach beyond it by its own length, 8 s
    assert after_s <= troubled.clock.monotonic() <= after_s + 8


def test_who_interrupts_the_tries_is_told(troubled: Troubled) -> None:
    """What is left, and how to mend it."""
    troubled.refused = {2: TOO_MANY, 3: KeyboardInterrupt()}
    said: list[str] = []

    with pytest.raises(KeyboardInterrupt):
        refresh(troubled, "deployment/web", method="recreate", tell=said.append)

    assert "IS AT 0 REPLICAS" in said[-1]


def test_a_workload_that_was_deleted_is_not_waited_for(troubled: Troubled) -> None:
    """Nothing is to be scaled."""
    troubled.refused = {2: NotFoundError("no deployments/web", status=404)}

    with pytest.raises(NotFoundError, match="no deployments/web"):
        refresh(troubled, "deployment/web", method="recreate")

    assert troubled.number == 2


class _Unlistable(Troubled):
    def pages(self, kind: Kind, **_: Any) -> Any:  # noqa: ANN401 - never returns
        """Fail while pods are awaited."""
        assert kind == POD
        raise TOO_MANY


def test_pods_that_cannot_be_listed_do_not_keep_it_at_nothing() -> None:
    """It is scaled back, and then the error is told."""
    cluster = _Unlistable()
    cluster.deploy(3)

    with pytest.raises(ClusterError, match="429"):
        refresh(cluster, "deployment/web", method="recreate")

    assert (cluster.replicas, cluster.notes) == (3, {})


@pytest.mark.parametrize(
    "error", [LOST, KeyboardInterrupt(), ClusterError("time is over", status=504)]
)
@pytest.mark.parametrize("what", ["lost", "delayed", "refused"])
def test_a_lost_answer_to_the_zero_does_not_leave_it_there(
    troubled: Troubled, error: BaseException, what: str
) -> None:
    """Nor does a zero that arrives after it was scaled back."""
    setattr(troubled, what, {1: error})

    with pytest.raises(type(error)):
        refresh(troubled, "deployment/web", method="recreate")

    assert troubled.replicas == 3
    assert REMEMBERED not in troubled.notes


@pytest.mark.parametrize("error", [TOO_MANY, FORBIDDEN])
def test_a_refused_zero_is_left_alone(troubled: Troubled, error: BaseException) -> None:
    """Nothing was changed, and nothing is."""
    troubled.refused = {1: error}

    with pytest.raises(ClusterError):
        refresh(troubled, "deployment/web", method="recreate")

    assert troubled.number == 1


def sleeping(troubled: Troubled, note: str) -> None:
    """Put it to sleep, with a number that an interrupted call has noted."""
    body = {"metadata": {"annotations": {REMEMBERED: note}}, "spec": {"replicas": 0}}
    troubled.change(**body)
    assert troubled.deployment["metadata"]["generation"] == 2


@pytest.mark.parametrize("note", ["3@1", "3", "3@"])
@pytest.mark.parametrize("method", ["annotate", "recreate"])
def test_what_was_put_to_sleep_on_purpose_sleeps_on(
    troubled: Troubled, method: str, note: str
) -> None:
    """The number is that of an older generation; it is told how to scale all the same.

    Whoever scaled it back by hand, and to nothing later, made others.
    """
    sleeping(troubled, note)

    with pytest.raises(UsageError, match=r"kubectl scale deployment/web --replicas=3"):
        refresh(troubled, "deployment/web", method=method)

    assert troubled.number == 0


def test_a_rollout_of_what_sleeps_is_a_rollout(troubled: Troubled) -> None:
    """It stays at nothing: nothing is looked at, and that is said."""
    sleeping(troubled, "3@1")

    done = refresh(troubled, "deployment/web", method="rollout")

    assert (done.ok, done.verified, done.restored) == (True, (), None)
    assert troubled.replicas == 0
    assert "deployment/web has no pods: nothing was looked at" in done.warnings
    assert any("--replicas=3" in one for one in done.warnings)


def test_the_number_of_this_generation_is_restored(troubled: Troubled) -> None:
    """Even if something is wrong with an object: first the pods, then the rest."""
    sleeping(troubled, "3@2")

    with pytest.raises(NotFoundError, match="nothing"):
        refresh(troubled, "deployment/web", method="annotate", configmap="nothing")

    assert (troubled.replicas, troubled.notes) == (3, {})


def claiming(**policy: str) -> Object:
    """Make what a StatefulSet says of its volume claims."""
    return {
        "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", **policy},
    }


def test_claims_are_not_deleted(troubled: Troubled) -> None:
    """Whatever is insisted on; a rollout does not delete them."""
    troubled.change(spec=claiming(whenScaled="Delete"))

    with pytest.raises(
        UsageError, match=r"would delete its PersistentVolumeClaims.*--method rollout"
    ):
        refresh(troubled, "deployment/web", method="recreate", despite=["hpa", "pdb"])

    assert troubled.number == 0
    assert refresh(troubled, "deployment/web", method="rollout").ok


@pytest.mark.parametrize(
    "spec",
    [
        claiming(whenScaled="Retain"),
        claiming(),
        {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"}},
    ],
)
def test_claims_that_stay_are_no_reason(troubled: Troubled, spec: Object) -> None:
    """Nor are claims that there are not."""
    troubled.change(spec=spec)

    assert refresh(troubled, "deployment/web", method="recreate").ok


def test_a_budget_that_may_not_be_seen_is_a_reason(troubled: Troubled) -> None:
    """To refuse to scale to nothing, unless one insists; a rollout goes on."""
    troubled.failing["list", "poddisruptionbudgets"] = FORBIDDEN
    troubled.others = budget(0)

    with pytest.raises(UsageError, match=r"may not be seen.*--despite pdb"):
        refresh(troubled, "deployment/web", method="recreate")
    assert troubled.number == 0
    assert refresh(troubled, "deployment/web", method="rollout").ok
    assert refresh(troubled, "deployment/web", method="recreate", despite=["pdb"]).ok


def stateful(strategy: Object, *, current: str = "db-1", generation: int = 5) -> Object:
    """Make a StatefulSet whose three pods are of revision db-2, and available."""
    return {
        "metadata": {"name": "db", "generation": generation},
        "spec": {
            "replicas": 3,
            "updateStrategy": strategy,
            "template": {"spec": {"containers": [{"name": "c"}]}},
        },
        "status": {
            "observedGeneration": 5,
            **dict.fromkeys(("replicas", "availableReplicas", "updatedReplicas"), 3),
            "currentRevision": current,
            "updateRevision": "db-2",
        },
    }


SHELL = Shell("context:prod", "shop")
POD_OF_DB = {"metadata": {"name": "db-0"}}


def around(found: Object) -> WorkloadState:
    """Have nothing that acts on it."""
    return WorkloadState(Workload("StatefulSet", "db"), found, (), ())


@pytest.mark.parametrize(
    ("strategy", "current", "is_over"),
    [
        ({"type": "OnDelete"}, "db-1", True),
        ({"type": "RollingUpdate"}, "db-1", False),
        ({"type": "RollingUpdate"}, "db-2", True),
        ({}, "db-1", False),
    ],
)
def test_a_stateful_set_is_complete(
    strategy: Object, current: str, *, is_over: bool
) -> None:
    """By its revision, which never moves where pods are replaced by deletion."""
    found = stateful(strategy, current=current)

    assert is_rolled_out(found, "StatefulSet") is is_over


def test_a_rollout_that_stops_at_a_partition_is_refused() -> None:
    """The pods below would keep what they have."""
    staged = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    whole = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}

    with pytest.raises(UsageError, match=r"leaves its pods below 2 .*delete pod db-0"):
        refuse_rollout(around(stateful(staged)), (), shell=SHELL, pods=[POD_OF_DB])
    refuse_rollout(around(stateful(whole)), (), shell=SHELL)


def test_an_update_that_is_held_back_is_not_let_go() -> None:
    """Scaled to nothing, a StatefulSet counts its update as complete."""
    staged = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}

    with pytest.raises(UsageError, match=r"holds back an update below pod 2"):
        refuse_recreate(around(stateful(staged)), (), shell=SHELL)
    refuse_recreate(around(stateful(staged, current="db-2")), (), shell=SHELL)
    refuse_recreate(around(stateful({"type": "OnDelete"})), (), shell=SHELL)


def test_a_pod_without_a_node_is_not_touched(troubled: Troubled) -> None:
    """The others are; it is named as one that does not have it yet."""
    troubled.homeless = {"web-1"}

    done = refresh(troubled, "deployment/web", method="annotate", timeout_s=9)

    assert troubled.asked["patch", "pods"] == 2
    assert [one.pod for one in done.verified[0].unknown] == ["web-1"]


def test_pods_without_a_node_alone_are_nothing_to_touch(troubled: Troubled) -> None:
    """And that is said."""
    troubled.homeless = set(troubled.pods)

    with pytest.raises(UsageError, match="no pod of deployment/web that is on a node"):
        refresh(troubled, "deployment/web", method="annotate")


METHODS = ["annotate", "rollout", "recreate"]


@pytest.mark.parametrize("method", METHODS)
def test_what_only_init_containers_use_is_not_looked_at(method: str) -> None:
    """There is nothing to look into; the other is verified.

    New pods have read it; the old ones may have before its change, and that counts.
    """
    source = {"configMapRef": {"name": "mig"}}
    troubled = outdated(initContainers=[{"name": "migrate", "envFrom": [source]}])
    troubled.put(configmap("mig", x="1"))

    done = refresh(troubled, "deployment/web", method=method)

    assert [str(one.reference) for one in done.verified] == ["configmap/m"]
    assert done.ok is (method != "annotate")
    assert len(done.unseen) == (method == "annotate")


def test_what_only_init_containers_use_can_be_named() -> None:
    """They are new after a rollout; what they read is not looked at, and that is said.

    A sync brings them nothing.
    """
    mount = {"name": "v", "mountPath": "/in"}
    troubled = outdated(
        initContainers=[{"name": "i", "volumeMounts": [mount]}],
        containers=[{"name": "c"}],
    )

    done = refresh(troubled, "deployment/web", method="rollout", configmap="m")

    assert (done.ok, done.verified) == (True, ())
    assert any("none but init containers" in one for one in done.warnings)
    with pytest.raises(UsageError, match="use --method rollout"):
        refresh(troubled, "deployment/web", method="annotate", configmap="m")


@pytest.mark.parametrize("method", METHODS)
def test_an_optional_map_that_is_not_there_is_left_out(method: str) -> None:
    """The pods start without it."""
    ref = {"name": "overrides", "optional": True}
    container = Living().container(envFrom=[{"configMapRef": ref}])
    troubled = outdated(containers=[container])

    done = refresh(troubled, "deployment/web", method=method)

    assert done.ok
    assert [str(one.reference) for one in done.verified] == ["configmap/m"]
    assert "configmap/overrides does not exist, and is optional" in done.warnings


@pytest.mark.parametrize(
    ("named", "maps", "error"),
    [
        (None, [], UsageError),
        ("typo", [], NotFoundError),
        ("of-another", ["of-another", "must"], UsageError),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_a_wrong_object_is_found_out_before_anything_is_changed(
    method: str,
    named: str | None,
    maps: list[str],
    error: type[CmhotError],
) -> None:
    """One that is missing, or that the workload does not use."""
    ref = {"configMapRef": {"name": "must"}}
    troubled = outdated(containers=[Living().container(envFrom=[ref])])
    for name in maps:
        troubled.put(configmap(name, x="1"))

    if method == "annotate" and named is None:
        done = refresh(troubled, "deployment/web", method=method)
        assert not done.ok
        assert "configmap/must does not exist: new pods need it" in done.to_text()
        return
    with pytest.raises(error):
        refresh(troubled, "deployment/web", method=method, configmap=named)

    assert troubled.writes == 0


class _Injecting(Troubled):
    """Pods that get a volume which is not in their template, as from a webhook."""

    def shown(self, kind: Kind, one: Object) -> Object:
        """Add it."""
        if kind != POD:
            return one
        pod = copy.deepcopy(one)
        pod["spec"]["volumes"].append({"name": "w", "configMap": {"name": "more"}})
        mount = {"name": "w", "mountPath": "/etc/w"}
        pod["spec"]["containers"][0]["volumeMounts"].append(mount)
        return pod


def test_what_pods_alone_use_can_be_named() -> None:
    """A webhook may have put it there."""
    cluster = _Injecting()
    cluster.put(configmap("more", x="1"))
    cluster.deploy(1)

    done = refresh(
        *(cluster, "deployment/web"),
        method="annotate",
        configmap="more",
        dry_run=True,
    )

    assert done.steps == (
        "touch 1 of 1 pod, and again those that still have the old content",
    )
