"""Waiting until containers hold the content, in virtual time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from cmhot import explain, refresh, wait
from cmhot.cluster.model.workloads import stamp
from cmhot.cluster.nodes import ObservedNode, observe_settings
from cmhot.cluster.port import DEPLOYMENT, NODE, POD, Captured
from cmhot.errors import (
    ClusterError,
    ForbiddenError,
    NotFoundError,
    UnreachableError,
    UsageError,
)
from cmhot.kubelet.settings import Setting
from cmhot.kubelet.uses import CONFIG_MAP, Reference
from cmhot.propagation import watch
from cmhot.propagation.expectation import expectation, remaining_s, sync_reads
from cmhot.propagation.inspection import ContentState, Inspection
from cmhot.propagation.remedies import PUT_BACK, REPLACE
from cmhot.propagation.wait import RESTART_S, wait_for_applied
from cmhot.propagation.workload import is_rolling_out, will_use
from tests.unit.living import NAMESPACE, NEVER, Living, configmap
from tests.unit.propagation.obstacles import Hindered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmhot.kubelet.uses import Kind
    from cmhot.propagation.wait import Waited, WaitProgress
    from tests.unit.living import Object

FORBIDDEN = ForbiddenError("deployments may not be listed")


def test_wait_until_it_has_landed(living: Living) -> None:
    """Looked at every half second; nothing is written."""
    living.every_s = 41.5
    living.update("2")
    told: list[WaitProgress] = []

    waited = wait(living, "configmap/m", tell=told.append)

    assert waited.landed
    assert (waited.pods, waited.fresh) == (3, 3)
    assert waited.seconds == pytest.approx(41.5)
    assert (told[0].fresh, told[-1].fresh) == (0, 3)
    assert living.writes == 0


def test_wait_tells_when_to_expect_it(living: Living) -> None:
    """By the law, from the instant of the update on."""
    living.update("2")
    told: list[WaitProgress] = []

    wait(living, "configmap/m", tell=told.append, timeout_s=95)

    # the last of three: F(t)³ = 0.99
    assert str(told[0]) == "0 of 3 pods, expected within 87 s"
    assert told[80].within_s == pytest.approx(48, abs=1.5)
    assert "later than the law allows" in str(told[-1])


def test_many_are_looked_into_a_few_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once, and then the first that lack it; before the end, all are."""
    monkeypatch.setattr("cmhot.propagation.wait.MOST_AGAIN", 2)
    living = Living(every_s=20)
    living.deploy(6)
    living.update("2")

    landed = wait(living, "configmap/m")
    looks = living.asked["get", "pods/exec"]
    living.update("3")
    living.due |= dict.fromkeys(living.pods[2:], living.clock.monotonic() + 3)
    late = wait(living, "configmap/m", timeout_s=10)

    assert landed.landed
    assert landed.seconds == pytest.approx(20, abs=1.5)
    # six, and two twice a second for 20 s, each by two commands; the rest once more
    assert looks < 120
    assert (late.fresh, len(late.stale)) == (4, 2)


def test_what_may_be_of_just_now_is_not_late(living: Living) -> None:
    """A removal leaves no time: the last that was left may be of a write before."""
    living.update("2")
    living.clock.sleep(600)
    told: list[WaitProgress] = []

    wait(living, "configmap/m", tell=told.append, timeout_s=95)

    assert str(told[0]) == "0 of 3 pods"
    assert "later than the law allows" in str(told[-1])


def test_a_wait_that_ends_in_time_out(living: Living) -> None:
    """Everybody who lags behind is named, with a remedy."""
    living.update("2")

    waited = wait(living, "configmap/m", timeout_s=5)

    assert not waited.landed
    assert waited.seconds == pytest.approx(5)
    assert [one.pod for one in waited.stale] == ["web-0", "web-1", "web-2"]
    assert (
        "remedy: wait longer, or: cmhot refresh deployment/web --method annotate "
        "--target fake -n default"
    ) in waited.to_text()


def test_what_no_update_reaches_ends_the_wait() -> None:
    """At once, with the remedy."""
    living = Living(env=True, every_s=1.0)
    living.deploy(2)
    living.update("2")

    waited = wait(living, "configmap/m")

    assert not waited.landed
    assert waited.seconds == 0
    (lagging,) = {one.why for one in waited.stale if not one.updates}
    assert lagging == "its environment has another A; no update reaches it"
    assert "--method rollout" in waited.to_text()


def test_what_no_update_reaches_can_be_left_out() -> None:
    """The others are waited for."""
    living = Living(env=True, every_s=1.5)
    living.deploy(2)
    living.update("2")

    waited = wait(living, "configmap/m", updatable_only=True)

    assert waited.landed
    assert waited.ignored == 2
    assert waited.seconds == pytest.approx(1.5)


def test_an_environment_that_is_current_has_landed() -> None:
    """Such as after a restart: nothing is assumed of env but what is seen."""
    living = Living(env=True)
    living.deploy(2)

    assert wait(living, "configmap/m").landed


def test_a_container_without_cat_is_never_assumed_fresh(living: Living) -> None:
    """It is counted as unknown, and does not hold up the others' wait."""
    living.blind = {"web-1"}

    waited = wait(living, "configmap/m")

    assert not waited.landed
    assert (waited.fresh, len(waited.unknown), waited.stale) == (2, 1, ())
    assert "--ephemeral" in waited.to_text()
    assert waited.seconds == 0


class Barren(Living):
    """No ephemeral container starts."""

    def add_ephemeral(
        self, pod: str, container: Mapping[str, Any], *, namespace: str
    ) -> None:
        """Note that it was asked for."""
        assert namespace
        assert container["targetContainerName"] == "c"
        self.passing("patch", "pods/ephemeralcontainers", pod)


def test_an_ephemeral_container_is_made_when_asked_for() -> None:
    """The pod is named as changed; here it never starts."""
    living = Barren()
    living.deploy(3)
    living.blind = {"web-1"}

    waited = wait(living, "configmap/m", ephemeral=True)

    assert living.asked["patch", "pods/ephemeralcontainers"] == 1
    assert waited.changed == ("web-1",)
    assert not waited.landed


def test_content_that_changes_meanwhile_is_waited_for(living: Living) -> None:
    """What was seen of the older content does not count."""
    living.update("2")
    first, *others = living.pods
    living.due[first] = 0.0  # one pod has it already
    told: list[WaitProgress] = []

    def tell(progress: WaitProgress) -> None:
        told.append(progress)
        if len(told) == 2:
            living.update("3")
            now = living.clock.monotonic()
            living.due = {first: now + 6.0, **dict.fromkeys(others, now + 2.0)}

    waited = wait(living, "configmap/m", tell=tell)

    assert [one.fresh for one in told[:3]] == [1, 1, 0]
    assert waited.landed
    assert waited.seconds == pytest.approx(6.5)
    look = {"namespace": NAMESPACE, "container": "c"}
    held = {living.run_in(one, ["cat", "/etc/v/a"], **look) for one in living.pods}
    assert held == {"3"}


def test_kubelets_that_may_not_be_asked_are_asked_once(living: Living) -> None:
    """Rights are the same for each of a thousand; then what was given counts."""
    living.failing["get", "nodes/proxy"] = ForbiddenError("not allowed")

    nodes = observe_settings(living, sample=["n", "m"], given=Setting(30))

    assert living.asked["get", "nodes/proxy"] == 1
    assert {(one.setting, one.source) for one in nodes} == {(Setting(30), "given")}


def test_silent_kubelets_are_not_asked_for_long(living: Living) -> None:
    """Each may take ten seconds: after the second of them no other is asked."""
    living.failing["get", "nodes/proxy"] = ClusterError("the kubelet is silent")

    nodes = observe_settings(living, sample=[f"n-{i}" for i in range(9)])

    assert living.asked["get", "nodes/proxy"] == 2
    assert {one.source for one in nodes} == {"unknown"}


def test_only_so_many_kubelets_are_asked() -> None:
    """The others are taken to be like them, and that is said."""
    living = Living(nodes=30)

    nodes = observe_settings(living, sample=living.names(NODE, namespace=""))

    assert living.asked["get", "nodes/proxy"] == 20
    sources = [one.source for one in nodes]
    assert (sources.count("configz"), sources.count("sampled")) == (20, 10)


def test_nobody_to_wait_for_is_wrong_use() -> None:
    """A typo must not pass for an update that has landed."""
    living = Living()
    living.deploy(3, volumes=[], containers=[living.container(volumeMounts=[])])

    with pytest.raises(UsageError, match="no running pod in default uses configmap/m"):
        wait(living, "configmap/m")


def test_only_maps_and_secrets_are_waited_for(living: Living) -> None:
    """Of what was applied."""
    applied = [
        living.deployment,
        {"kind": "ConfigMap", "metadata": {"name": "m", "namespace": "default"}},
    ]

    (waited,) = wait_for_applied(living, applied)

    assert str(waited.reference) == "configmap/m"


class Hiccup(Living):
    """Something goes wrong once."""

    exec_breaks: Captured | None = None
    fails: tuple[int, ClusterError] = (0, ClusterError(""))

    def capture(
        self,
        pod: str,
        command: Sequence[str],
        *,
        namespace: str,
        container: str,
        timeout_s: float | None = None,
    ) -> Captured:
        """Break off once."""
        if pod.endswith("-1") and self.exec_breaks is not None:
            broken, self.exec_breaks = self.exec_breaks, None
            return broken
        return super().capture(
            pod, command, namespace=namespace, container=container, timeout_s=timeout_s
        )

    def passing(self, verb: str, resource: str, name: str | None) -> None:
        """Fail once."""
        super().passing(verb, resource, name)
        number, error = self.fails
        is_get = (verb, resource) == ("get", "configmaps")
        if is_get and self.asked[verb, resource] == number:
            raise error


def test_a_command_that_breaks_off_is_run_again() -> None:
    """It says nothing about the container: no verdict is made of it."""
    living = Hiccup(every_s=20)
    living.exec_breaks = Captured(None, b"", "it ended without saying how")
    living.deploy(3)
    living.update("2")

    waited = wait(living, "configmap/m")

    assert waited.landed
    assert waited.seconds == pytest.approx(20)


@pytest.mark.parametrize(
    ("number", "error", "goes_on"),
    [
        (5, UnreachableError("no answer"), True),
        (5, ClusterError("too many requests", status=429), True),
        (5, ClusterError("no leader", status=503), True),
        (5, ClusterError("bad request", status=400), False),
        (1, UnreachableError("no answer"), False),  # a wrong address, as a rule
    ],
)
def test_a_request_without_an_answer(
    number: int, error: ClusterError, *, goes_on: bool
) -> None:
    """After the first round it is sent again; what another would not mend ends it."""
    living = Hiccup(every_s=20)
    living.fails = (number, error)
    living.deploy(3)
    living.update("2")

    if goes_on:
        assert wait(living, "configmap/m").seconds == pytest.approx(20)
    else:
        with pytest.raises(type(error), match=str(error)):
            wait(living, "configmap/m")


class Slow(Living):
    """Its pods are there from an instant to another."""

    from_s, to_s = 0.0, NEVER

    def shown(self, kind: Kind, one: Object) -> Object:
        """Let a pod leave."""
        if kind == POD and not self.from_s <= self.clock.monotonic() < self.to_s:
            one["metadata"]["deletionTimestamp"] = "now"
        return one


def test_between_an_old_and_a_new_pod() -> None:
    """That there is none for a while is no wrong use, and has not landed."""
    living = Slow(every_s=20)
    living.to_s = 5.0
    living.deploy(1)
    living.update("2")

    waited = wait(living, "configmap/m", timeout_s=30)

    assert not waited.landed
    assert waited.seconds == pytest.approx(30)
    assert "no running pod uses it now" in waited.to_text()


def test_pods_that_are_yet_to_be_made_are_waited_for() -> None:
    """Their template says that they will use it."""
    living = Slow()
    living.from_s = 3.0
    living.deploy(2)

    waited = wait(living, "configmap/m")

    assert (waited.landed, waited.pods) == (True, 2)
    assert waited.seconds == pytest.approx(3)


@pytest.mark.parametrize("why", ["no replicas", "templates may not be listed"])
def test_pods_that_nobody_will_make(why: str) -> None:
    """So far as one may see: that ends at once."""
    living = Slow()
    living.from_s = NEVER
    living.deploy(0 if why == "no replicas" else 2)
    if living.pods:
        living.failing["list", "deployments"] = FORBIDDEN

    with pytest.raises(UsageError, match="no running pod in default uses"):
        wait(living, "configmap/m")


def test_what_was_applied_says_who_will_use_it() -> None:
    """Of the same manifests: no right to list workloads is needed for that."""
    living = Slow()
    living.failing["list", "deployments"] = FORBIDDEN
    living.from_s = 3.0
    living.deploy(2)
    said: list[str] = []
    config = {"kind": "ConfigMap", "metadata": {"name": "m"}}

    (waited,) = wait_for_applied(living, [config, living.deployment])
    living.from_s = NEVER
    nobody = wait_for_applied(living, [config], skipped=said.append)

    assert waited.landed
    assert nobody == []
    assert said == ["no pod uses configmap/m: there is nothing to wait for"]


AT_S = 5.0


class Rolling(Living):
    """Its Deployment says what is given, until its pods are replaced after 5 s."""

    says: Mapping[str, Any]

    def passing(self, verb: str, resource: str, name: str | None) -> None:
        """Replace them."""
        super().passing(verb, resource, name)
        for one in ("web-0", "web-1") if self.clock.monotonic() > AT_S else ():
            self.remove(one)

    def shown(self, kind: Kind, one: Object) -> Object:
        """Let the Deployment say what is given."""
        is_early = self.clock.monotonic() <= AT_S
        return {**one, **self.says} if kind == DEPLOYMENT and is_early else one


ROLLING = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1}


@pytest.mark.parametrize(
    ("status", "spec", "landed"),
    [
        (ROLLING, {}, True),
        ({**ROLLING, "observedGeneration": 1, "updatedReplicas": 2}, {}, True),
        ({**ROLLING, "updatedReplicas": 2}, {}, False),
        (ROLLING, {"paused": True}, False),
        (ROLLING, {"updateStrategy": {"type": "OnDelete"}}, False),
        (ROLLING, {"updateStrategy": {"rollingUpdate": {"partition": 1}}}, False),
    ],
    ids=["under way", "not begun", "complete", "paused", "by hand", "partition"],
)
def test_a_rollout_under_way_brings_what_no_update_does(
    status: dict[str, int], spec: dict[str, object], *, landed: bool
) -> None:
    """A chart's checksum does that: its end is waited for, if there will be one."""
    living = Rolling(env=True)
    living.deploy(2)
    living.update("2")
    found = living.deployment
    found["metadata"]["generation"] = 2
    living.says = {**found, "spec": {**found["spec"], **spec}, "status": status}

    waited = wait(living, "configmap/m", timeout_s=60)

    assert waited.landed is landed
    # pods are listed every two seconds, and take one to start
    assert waited.seconds == pytest.approx(7.5 if landed else 0)


@pytest.mark.parametrize(
    ("spec", "status", "uses"),
    [
        ({}, {"desiredNumberScheduled": 2, "observedGeneration": 2}, True),
        ({}, {"desiredNumberScheduled": 0, "observedGeneration": 2}, False),
        ({}, {"desiredNumberScheduled": 0, "observedGeneration": 1}, True),
        ({}, {}, True),
        ({"template": {"spec": {"containers": []}}}, {}, False),
    ],
    ids=["nodes", "no node", "not yet seen", "new", "another's"],
)
def test_a_daemon_set_has_pods_where_nodes_suit(
    living: Living,
    spec: dict[str, object],
    status: dict[str, int],
    *,
    uses: bool,
) -> None:
    """It has no number of replicas; a controller that has not seen it says nothing."""
    template = living.deployment["spec"]["template"]
    found = {
        "metadata": {"generation": 2},
        "spec": {"template": template, **spec},
        "status": status,
    }

    assert will_use(found, "DaemonSet", Reference("configmap", "m")) is uses


@pytest.mark.parametrize(
    ("status", "rolling"),
    [
        ({"currentRevision": "a", "updateRevision": "b", "updatedReplicas": 1}, True),
        ({"currentRevision": "b", "updateRevision": "b"}, False),
    ],
    ids=["under way", "complete"],
)
def test_a_stateful_set_tells_by_its_revisions(
    status: dict[str, object], *, rolling: bool
) -> None:
    """It counts updated pods during a rollout alone."""
    found = {"metadata": {}, "spec": {}, "status": {"replicas": 3, **status}}

    assert is_rolling_out(found, "StatefulSet") is rolling


def test_ephemeral_containers_that_do_not_start_end_in_time() -> None:
    """No longer than was asked for, whatever the number of pods."""
    living = Barren()
    living.deploy(20)
    living.blind = set(living.pods)

    waited = wait(living, "configmap/m", timeout_s=60, ephemeral=True)

    assert not waited.landed
    # each of eight threads may move the common clock by half a second past the end
    assert waited.seconds <= 64


def test_ephemeral_containers_that_do_not_start_are_not_made_again() -> None:
    """Eight at the same time, and two until the third of them is known."""
    living = Barren()
    living.deploy(30)
    living.blind = set(living.pods)

    waited = wait(living, "configmap/m", timeout_s=9999, ephemeral=True)

    assert len(waited.unknown) == 30
    assert len(waited.changed) <= 10


class Leaving(Living):
    """A pod goes when it is to get an ephemeral container."""

    def add_ephemeral(
        self, pod: str, container: Mapping[str, Any], *, namespace: str
    ) -> None:
        """Be gone."""
        self.remove(pod)
        raise NotFoundError(f"no pod {namespace}/{pod} for {container['name']}")


def test_a_pod_that_goes_meanwhile_is_not_missed() -> None:
    """The others are waited for, and its successor."""
    living = Leaving(every_s=20)
    living.deploy(3)
    living.blind = {"web-0"}
    living.update("2")

    waited = wait(living, "configmap/m", ephemeral=True)

    assert (waited.landed, waited.pods, waited.changed) == (True, 3, ())


@pytest.mark.parametrize("fresh", [True, False])
def test_binary_data_of_the_map_are_no_variables(fresh: bool) -> None:  # noqa: FBT001
    """Such as a logo: the variable A is from `data`."""
    living = Living()
    logo = {"binaryData": {"logo.png": "iVBORw0="}}
    living.put({**configmap("m", A="1"), **logo})
    source = {"configMapRef": {"name": "m"}}
    living.deploy(1, containers=[{"name": "c", "envFrom": [source]}])
    if not fresh:
        living.put({**configmap("m", A="2"), **logo})

    waited = wait(living, "configmap/m")

    assert waited.landed is fresh


def test_a_pod_that_may_hold_what_was_removed_is_replaced_by_a_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The remedy names its workload and where: it can be pasted."""
    living = Living()
    source = {"configMapRef": {"name": "m"}}
    living.deploy(1, containers=[{"name": "c", "envFrom": [source]}])
    found = Inspection(ContentState.UNREADABLE, "it has B", REPLACE)
    monkeypatch.setattr("cmhot.propagation.wait.inspect", lambda *_, **__: found)

    (unknown,) = wait(living, "configmap/m", timeout_s=1).unknown

    command = "cmhot refresh deployment/web --method rollout --target fake -n default"
    assert unknown.remedy == f"replace the pod to be sure: {command}"


class Saying(Living):
    """Its Deployment says what is given."""

    status: Mapping[str, Any] = {}
    spec: Mapping[str, Any] = {}

    def shown(self, kind: Kind, one: Object) -> Object:
        """Put it in."""
        if kind != DEPLOYMENT:
            return one
        parts = {"status": self.status, "spec": self.spec}
        return {**one, **{name: {**one[name], **part} for name, part in parts.items()}}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"replicas": 1}, "2 of its 3 pods are not there yet"),
        ({"replicas": 4, "updatedReplicas": 1}, "3 of its 4 pods are of an older"),
        ({"replicas": 4, "updatedReplicas": 4}, "it has 4 pods, and wants 3"),
        ({"observedGeneration": 0}, "its controller has not seen its last change"),
    ],
    ids=["created one by one", "rolling out", "too many", "not seen"],
)
def test_pods_to_come_have_not_got_it(status: dict[str, int], said: str) -> None:
    """All pods that there are hold it, and still it has not landed."""
    living = Saying()
    living.deploy(3)
    living.status = {"updatedReplicas": 3, **status}

    waited = wait(living, "configmap/m", timeout_s=5)

    assert (waited.landed, waited.fresh, waited.pods) == (False, 3, 3)
    (pending,) = waited.pending
    assert pending.startswith(f"deployment/web: {said}")
    assert "kubectl -n default rollout status deployment/web" in waited.to_text()


class Growing(Living):
    """One pod is made after the first list of pods, and its workload is complete."""

    is_grown = False

    def get(
        self, kind: Kind, name: str, *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Make the second pod just before the Deployment is read."""
        if kind == DEPLOYMENT and not self.is_grown:
            self.is_grown = True
            self.deploy(2)
        return super().get(kind, name, namespace=namespace)


def test_pods_that_were_made_after_the_list_count() -> None:
    """A workload that is complete may have pods that the list before has not."""
    living = Growing()
    living.deploy(1)

    waited = wait(living, "configmap/m")

    assert living.is_grown
    assert (waited.landed, waited.fresh, waited.pods) == (True, 2, 2)


class Overtaken(Living):
    """The last old pod is replaced after the list of pods."""

    is_replaced = False

    def get(
        self, kind: Kind, name: str, *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Replace it just before the Deployment is read, which then is complete."""
        if kind == DEPLOYMENT and not self.is_replaced:
            self.is_replaced = True
            self.remove("web-0")
        return super().get(kind, name, namespace=namespace)


def test_a_pod_that_is_replaced_while_one_looks_is_not_stale() -> None:
    """The workload is complete, and what was seen is of a pod that has gone."""
    living = Overtaken(env=True)
    living.deploy(1)
    living.update("2")

    waited = wait(living, "configmap/m")

    assert living.is_replaced
    assert waited.landed


def test_pods_that_stay_by_the_users_will_are_not_to_come() -> None:
    """Under OnDelete, or a pause, old ones stay: what they hold decides."""
    living = Saying()
    living.deploy(3)
    living.status, living.spec = {"updatedReplicas": 1}, {"paused": True}

    assert wait(living, "configmap/m").landed


def with_init(living: Living, *, before: bool) -> Waited:
    """Wait for an object that an init container alone reads."""
    reads = {"name": "copy", "volumeMounts": [{"name": "v", "mountPath": "/from"}]}
    living.deploy(2, initContainers=[reads], containers=[{"name": "app"}])
    if before:
        living.clock.sleep(5)
        living.update("2")
    told: list[WaitProgress] = []
    waited = wait(living, "configmap/m", tell=told.append)
    assert told == []
    assert waited.seconds == 0
    return waited


def test_what_init_containers_read_before_the_change_is_unknown() -> None:
    """It is said at once, with what brings the new content; never that it landed."""
    waited = with_init(Living(), before=True)

    assert not waited.landed
    assert not waited.ok
    assert "2 of 2 pods may not have read it since its last change" in waited.heading
    assert [one.container for one in waited.unknown] == ["copy (init)"] * 2
    assert waited.remedies == (
        "cmhot refresh deployment/web --method rollout --target fake -n default",
    )


def test_init_containers_that_read_it_since_are_fine() -> None:
    """It has not landed for all that is seen, but there is nothing to be done."""
    waited = with_init(Living(), before=False)

    assert waited.ok
    assert not waited.landed
    assert "landed" not in waited.to_text()
    assert "all 2 pods were made since its last change" in waited.heading


class Unbegun(Living):
    """No init container has begun."""

    def shown(self, kind: Kind, one: Object) -> Object:
        """Leave the states of init containers out."""
        one = super().shown(kind, one)
        if kind == POD:
            one["status"].pop("initContainerStatuses", None)
        return one


def test_init_containers_that_have_not_begun_are_waited_for() -> None:
    """A pod on a node whose kubelet is dead has read nothing since any change."""
    living = Unbegun()
    reads = {"name": "copy", "volumeMounts": [{"name": "v", "mountPath": "/from"}]}
    living.deploy(2, initContainers=[reads], containers=[{"name": "app"}])

    waited = wait(living, "configmap/m", timeout_s=5)

    assert not waited.ok
    assert waited.seconds == pytest.approx(5)
    assert "2 of 2 pods may not have read it since its last change" in waited.heading
    why = "an init container that reads it has not begun"
    assert {one.why for one in waited.unknown} == {why}
    assert waited.remedies[0] == "see why: kubectl -n default describe pod web-0"


class Behind(Living):
    """Init containers begin when they are asked for, in pods that had waited."""

    def shown(self, kind: Kind, one: Object) -> Object:
        """Have the pod's status written now."""
        one = super().shown(kind, one)
        if kind == POD:
            now = stamp(self.clock.utc_ns())
            one["metadata"]["resourceVersion"] = "999999"
            for status in one["status"].get("initContainerStatuses", ()):
                status["state"] = {"terminated": {"startedAt": now}}
        return one


def test_an_init_container_that_begins_after_the_change_may_be_given_the_old() -> None:
    """Its volume was set up with the pod, and is renewed beside the container's start.

    Seen on real kubelets, under Watch up to 2 s after the change and under Cache with a
    TTL later: "old" was read.
    """
    living = Behind()
    reads = {"name": "copy", "volumeMounts": [{"name": "v", "mountPath": "/from"}]}
    living.deploy(2, initContainers=[reads], containers=[{"name": "app"}])
    living.clock.sleep(5)
    living.update("2")
    living.clock.sleep(5)

    waited = wait(living, "configmap/m")

    assert not waited.ok
    assert waited.seconds == 0
    assert "2 of 2 pods may not have read it since its last change" in waited.heading
    assert all("its pod is older" in one.why for one in waited.unknown)
    assert "--method rollout" in waited.remedies[0]


def test_what_is_left_out_whole_has_not_landed() -> None:
    """Nothing is to be waited for, and nothing was seen."""
    living = Living(env=True)
    living.deploy(2, volumes=[], containers=[living.container(volumeMounts=[])])
    living.update("2")
    told: list[WaitProgress] = []

    waited = wait(living, "configmap/m", updatable_only=True, tell=told.append)

    assert (waited.ok, waited.landed, told) == (True, False, [])
    assert waited.to_text() == (
        "configmap/m: no update reaches anything that uses it\n"
        "left out: 2 uses that no update reaches (env, subPath, init containers)"
    )


class Annotated(Living):
    """Something restarts the Deployment's pods after a change."""

    def shown(self, kind: Kind, one: Object) -> Object:
        """Add the annotation of Reloader."""
        if kind == DEPLOYMENT:
            notes = {"reloader.stakater.com/auto": "true"}
            one["metadata"]["annotations"] = notes
        return one


def test_who_restarts_pods_after_a_change_is_waited_for() -> None:
    """For some seconds from the change on; then the annotation is named."""
    living = Annotated(env=True)
    living.deploy(1)
    living.clock.sleep(5)
    living.update("2")

    waited = wait(living, "configmap/m")
    late = wait(living, "configmap/m")

    assert waited.seconds == pytest.approx(RESTART_S, abs=1)
    assert late.seconds == 0
    assert "has the annotation reloader.stakater.com/auto" in waited.to_text()


def test_a_restart_that_has_come_is_not_announced() -> None:
    """The pod that was old is another one: nothing may yet begin."""
    living = Annotated(env=True)
    living.deploy(1)
    living.clock.sleep(5)
    living.update("2")

    replaced: list[str] = []

    def tell(_: WaitProgress) -> None:
        if living.clock.monotonic() > 2 * AT_S and not replaced:
            replaced.append("web-0")
            living.remove("web-0")

    waited = wait(living, "configmap/m", tell=tell)

    assert waited.landed
    assert "reloader" not in waited.to_text()


def test_nothing_is_asked_of_an_api_server_that_is_silent(living: Living) -> None:
    """The verdict is of what was seen, and comes in time."""
    living.update("2")
    silent = UnreachableError("no answer")

    def tell(_: WaitProgress) -> None:
        for place in ("configmaps", "deployments"):
            living.failing["get", place] = silent
        for place in ("nodes", "events", "pods"):
            living.failing["list", place] = silent

    waited = wait(living, "configmap/m", timeout_s=3, tell=tell)

    assert not waited.landed
    assert waited.seconds == pytest.approx(3)
    assert waited.remarks == ("the API server no longer answers: this was seen before",)
    assert waited.remedies == ("wait again once the API server answers",)


class Borrowed(Living):
    """One pod is of somebody else, who uses the same labels."""

    def shown(self, kind: Kind, one: Object) -> Object:
        """Give it another owner of the same kind and name."""
        if kind == POD and one["metadata"]["name"] == "web-0":
            other = {"apiVersion": "example.org/v1", "kind": "Deployment"}
            owner = {**other, "name": "web", "controller": True}
            one["metadata"]["ownerReferences"] = [owner]
        return one


def test_somebody_elses_pod_does_not_hold_up_a_workload() -> None:
    """Owners are told apart by their API group; and its remedy is not ours."""
    living = Borrowed(env=True)
    living.deploy(2)
    living.update("2")

    ours = wait(living, "configmap/m", workload="deployment/web")
    both = wait(living, "configmap/m")

    assert {one.pod for one in ours.stale} == {"web-1"}
    assert {str(one.owner) for one in both.stale} == {
        "deployment.example.org/web",
        "deployment/web",
    }
    assert any("delete pod web-0" in one for one in both.remedies)


def test_a_volume_that_cannot_be_renewed_ends_the_wait() -> None:
    """At once, and no time is promised: what is missing is named."""
    living = Living()
    items = {"name": "m", "items": [{"key": key, "path": key} for key in ("a", "b")]}
    living.put(configmap("m", a="1", b="1"))
    living.deploy(1, volumes=[{"name": "v", "configMap": items}])
    living.put(configmap("m", a="2"))
    told: list[WaitProgress] = []

    waited = wait(living, "configmap/m", tell=told.append)

    assert waited.seconds == 0
    assert [str(one) for one in told] == ["0 of 1 pods"]
    (lagging,) = waited.stale
    assert "configmap/m has no key 'b'" in lagging.why
    assert lagging.remedy.startswith("put back what is missing")


def test_what_no_new_pod_can_start_without_has_one_remedy() -> None:
    """Words, and the same of explain, wait and refresh: no rollout would end."""
    living = Living(env=True)
    living.deploy(1)
    living.put(configmap("m", b="1"))

    waited = wait(living, "configmap/m", updatable_only=False, timeout_s=1)
    explained = explain(living, "configmap/m")
    with pytest.raises(UsageError, match=PUT_BACK):
        refresh(living, "deployment/web", method="rollout")

    variable = next(one for one in waited.stale if one.consumer == "env")
    assert variable.remedy.startswith(PUT_BACK)
    assert "configmap/m has no key 'a'" in variable.remedy
    (mistake,) = [one for one in explained.mistakes if one.kind == "env"]
    assert mistake.remedy.startswith(PUT_BACK)


def test_no_touch_is_advised_where_another_volume_holds_the_sync_up() -> None:
    """`refresh` refuses it: the object that is missing has to come back."""
    living = Living()
    trust = {"name": "w", "configMap": {"name": "trust"}}
    own = {"name": "v", "configMap": {"name": "m"}}
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("v", "w")]
    living.put(configmap("trust", ca="1"))
    living.deploy(
        1, volumes=[own, trust], containers=[living.container(volumeMounts=mounts)]
    )
    living.inner.delete(CONFIG_MAP, "trust", namespace=NAMESPACE)
    living.update("2")

    (lagging,) = wait(living, "configmap/m", timeout_s=1).stale

    assert lagging.remedy.startswith(PUT_BACK)
    assert "configmap/trust does not exist" in lagging.remedy


class Silent(Living):
    """One container does not answer; its node is ill, and an event tells of its pod."""

    ready = "True"
    warning: str | None = None

    def __init__(self) -> None:
        super().__init__()
        self.stopped = threading.Event()

    def capture(self, pod: str, command: Sequence[str], **asked: Any) -> Captured:  # noqa: ANN401
        """Hang in one of them, until the test is over."""
        if pod == "web-0":
            self.stopped.wait(10)
        return super().capture(pod, command, **asked)

    def shown(self, kind: Kind, one: Object) -> Object:
        """Show how the node is."""
        if kind == NODE:
            since = "2026-01-01T00:00:00Z"
            ready = {"type": "Ready", "status": self.ready, "lastTransitionTime": since}
            one["status"] = {**one.get("status", {}), "conditions": [ready]}
        return one

    def events(self, pod: str, *, namespace: str) -> list[Object]:
        """Tell of it."""
        assert namespace == NAMESPACE
        event = {"type": "Warning", "reason": "FailedMount", "involvedObject": {}}
        return [{**event, "message": f"{pod}: {self.warning}"}] if self.warning else []


@pytest.mark.parametrize(
    ("ready", "warning", "why"),
    [
        ("Unknown", None, "is NotReady since 2026-01-01T00:00:00Z"),
        ("True", "no such\nvolume", "; FailedMount: web-0: no such volume"),
        ("True", None, "no answer yet"),
    ],
)
def test_who_does_not_answer_does_not_hold_up_the_others(
    monkeypatch: pytest.MonkeyPatch, ready: str, warning: str | None, why: str
) -> None:
    """And it is unknown, with the cause that its node or its events tell."""
    monkeypatch.setattr(watch, "ROUND_S", 0.05)
    living = Silent()
    living.ready, living.warning = ready, warning
    living.deploy(2)

    try:
        waited = wait(living, "configmap/m", timeout_s=1)
    finally:
        living.stopped.set()

    assert (waited.pods, waited.fresh, waited.stale) == (2, 1, ())
    (unknown,) = waited.unknown
    assert why in unknown.why


def test_who_may_use_it_later_or_unseen_is_told() -> None:
    """The next run of a CronJob; nothing is said of who reads it through the API."""
    living = Hindered()
    living.put(configmap("other", a="1"))
    living.deploy(1)
    env = [{"configMapRef": {"name": "other"}}]
    spec = {"containers": [{"name": "c", "envFrom": env}]}
    job = {"spec": {"template": {"spec": spec}}}
    cronjob = {"metadata": {"name": "nightly"}, "spec": {"jobTemplate": job}}
    living.others["cronjobs"] = [cronjob]

    with pytest.raises(UsageError) as raised:
        wait(living, "configmap/other")

    assert "the next run of cronjob/nightly will" in str(raised.value)
    assert "through the API cannot be seen" in str(raised.value)


def test_nodes_without_a_real_kubelet_have_no_law() -> None:
    """Neither an error nor a time: their versions are none of Kubernetes."""
    node = ObservedNode("n", "n", "kwok-v0.7.0", None, Setting(60), "sampled")
    pods = {"n": 1}

    assert expectation(pods, {"n": node}, sharers=pods) is None
    assert remaining_s(pods, {"n": node}, sharers=pods, waited_s=1) is None
    assert sync_reads(node)
