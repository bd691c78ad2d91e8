"""Refreshing a workload's pods, in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cmhot import explain, refresh
from cmhot.cluster.port import DEPLOYMENT, POD
from cmhot.errors import ClusterError, ForbiddenError, NotFoundError, UsageError
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.kubelet.uses import CONFIG_MAP
from cmhot.propagation.methods import FIRST_LOOK_S, RECENT_S
from cmhot.propagation.refresh import refuse_recreate
from cmhot.propagation.remedies import Shell
from cmhot.propagation.workload import (
    REMEMBERED,
    RESTARTED,
    TOUCHED,
    Workload,
    WorkloadState,
    nodes_of_unready,
)
from tests.unit.living import Living, configmap
from tests.unit.propagation.obstacles import Hindered, budget, scaler

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmhot.kubelet.uses import Kind
    from tests.unit.living import Object

CACHING = Setting(60, Strategy.CACHE, 300)


@pytest.fixture
def living() -> Hindered:
    """Have three pods that never get an update by themselves."""
    cluster = Hindered()
    cluster.deploy(3)
    return cluster


def test_annotate_touches_each_pod_once(living: Hindered) -> None:
    """And it has landed when the sync is over."""
    living.update("2")

    done = refresh(living, "deployment/web", method="annotate")

    assert done.ok
    assert done.writes == 3
    assert done.seconds == pytest.approx(FIRST_LOOK_S)
    assert "in phase" not in done.to_text()  # the words are those of people
    assert any("synced at the same time" in one for one in done.warnings)


class Deaf(Living):
    """A pod is not synced by the first two touches."""

    left = 2

    def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
    ) -> Object:
        """Leave it untouched."""
        if name != "web-1" or self.left == 0:
            return super().patch(kind, name, body, namespace=namespace)
        self.left -= 1
        return self.inner.get(kind, name, namespace=namespace)


def test_annotate_repeats_where_old_content_was_read() -> None:
    """Only there."""
    living = Deaf()
    living.deploy(3)
    living.update("2")
    said: list[str] = []

    done = refresh(living, "deployment/web", method="annotate", tell=said.append)

    assert done.ok
    assert done.writes == 5
    assert said == [
        "touched 3 pods",
        *["touched 1 pod again: they still had the old content"] * 2,
    ]


def test_annotate_keeps_to_its_rate(living: Hindered) -> None:
    """Two a second: the first two at once, then the third."""
    living.update("2")

    done = refresh(living, "deployment/web", method="annotate", rate_per_s=2)

    assert done.ok
    assert done.acted_s == pytest.approx(0.5)


def test_annotate_says_where_it_cannot_force_anything() -> None:
    """Under Cache with a TTL, from 1.29 on."""
    living = Living(setting=CACHING)
    living.deploy(3)

    done = refresh(living, "deployment/web", method="annotate", timeout_s=1)

    assert "for up to 300 s (strategy Cache)" in done.to_text()
    assert "annotate" not in explain(living, "cm/m").rows[0].forced_by


def test_annotate_does_not_repeat_in_vain() -> None:
    """Where the kubelet keeps what it has read, another touch is another sync only."""
    living = Living(setting=CACHING)
    living.deploy(3)
    living.update("2")

    done = refresh(living, "deployment/web", method="annotate", timeout_s=10)

    assert not done.ok
    assert done.writes == 3


def test_rollout_replaces_the_pods() -> None:
    """With one write; what env holds is new as well."""
    living = Living(env=True)
    living.deploy(3)
    living.update("2")

    done = refresh(living, "deployment/web", method="rollout")

    assert done.ok
    assert done.writes == 1
    # one that is replaced may still be ending
    assert {"web-3", "web-4", "web-5"} <= set(living.pods)


def test_recreate_scales_to_nothing_and_back(living: Hindered) -> None:
    """Nothing is remembered afterwards."""
    living.update("2")

    done = refresh(living, "deployment/web", method="recreate")

    assert done.ok
    assert len(living.pods) == 3
    assert living.notes == {}


@pytest.mark.parametrize("method", ["recreate", "rollout", "annotate"])
def test_a_killed_recreate_is_restored(living: Hindered, method: str) -> None:
    """By the next call, whatever its method."""

    def die(_: str) -> None:  # after the first write: nothing is written any more
        living.failing["patch", "deployments"] = KeyboardInterrupt()

    with pytest.raises(KeyboardInterrupt):
        refresh(living, "deployment/web", method="recreate", tell=die)
    living.failing.clear()
    assert living.replicas == 0
    assert living.notes == {REMEMBERED: "3@2"}

    done = refresh(living, "deployment/web", method=method)

    assert done.ok
    assert done.restored == 3
    assert living.replicas == 3
    assert living.notes == {}


class Meddled(Hindered):
    """Somebody changes the Deployment just before we do."""

    def passing(self, verb: str, resource: str, name: str | None) -> None:
        """Change it."""
        super().passing(verb, resource, name)
        if (verb, resource) == ("patch", "deployments"):
            self.change(metadata={"labels": {"by": "another"}})


def test_recreate_does_not_overwrite_what_others_changed() -> None:
    """The number that is remembered is that of the version that was read."""
    living = Meddled()
    living.deploy(3)

    with pytest.raises(ClusterError, match="has been modified"):
        refresh(living, "deployment/web", method="recreate")

    assert living.replicas == 3


@pytest.mark.parametrize("method", ["annotate", "rollout", "recreate"])
def test_a_dry_run_changes_nothing(living: Hindered, method: str) -> None:
    """It says what would be done."""
    done = refresh(living, "deploy/web", method=method, dry_run=True)

    assert living.writes == 0
    assert done.steps
    assert "would" in done.to_text()


@pytest.mark.parametrize(
    ("case", "despite", "said"),
    [
        (("recreate", scaler(), {}), (), "autoscaler hpa"),
        (("recreate", budget(2), {}), (), "PodDisruptionBudget pdb"),
        (
            ("rollout", budget(0), {"strategy": {"type": "Recreate"}}),
            (),
            "allows 0 now",
        ),
        (("rollout", {}, {"paused": True}), (), "rollout resume"),
        (("rollout", {}, {"strategy": {"type": "OnDelete"}}), (), "delete them"),
        (("recreate", {}, {"replicas": 0}), (), "nothing to recreate"),
        (("restart", {}, {}), (), "choose one of annotate, rollout, recreate"),
        (("recreate", {}, {}), ("vpa",), "it takes hpa, pdb or current"),
    ],
)
def test_what_speaks_against_it(
    living: Hindered,
    case: tuple[str, dict[str, list[dict[str, object]]], dict[str, object]],
    despite: tuple[str, ...],
    said: str,
) -> None:
    """Each refusal names its remedy, and nothing was changed."""
    method, living.others, spec = case
    living.change(spec=spec)

    with pytest.raises(UsageError, match=said):
        refresh(living, "deployment/web", method=method, despite=despite)

    assert living.writes == 0


@pytest.mark.parametrize(
    ("others", "despite"),
    [(scaler(), "hpa"), (budget(0), "pdb"), (scaler("other"), "pdb")],
)
def test_one_may_insist(
    living: Hindered, others: dict[str, list[dict[str, object]]], despite: str
) -> None:
    """And an autoscaler of something else is no reason."""
    living.others = others

    done = refresh(living, "deployment/web", method="recreate", despite=[despite])

    assert done.ok


def test_an_autoscaler_that_may_not_be_seen_is_a_reason(living: Hindered) -> None:
    """To refuse; a rollout goes on."""
    living.failing["list", "horizontalpodautoscalers"] = ForbiddenError("no")

    with pytest.raises(UsageError, match="may not be seen"):
        refresh(living, "deployment/web", method="recreate")
    assert refresh(living, "deployment/web", method="rollout").ok


def source(kind: str, name: str, **more: object) -> Object:
    """Write a volume of a ConfigMap or a Secret."""
    own = {"secretName": name} if kind == "secret" else {"name": name}
    field = "secret" if kind == "secret" else "configMap"
    return {"name": "v", field: {**own, **more}}


SECRET = {"kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "MQ=="}}


def of_a_secret() -> Hindered:
    """Have pods that use a Secret alone."""
    cluster = Hindered()
    cluster.put(SECRET)
    cluster.deploy(2, volumes=[source("secret", "s")])
    cluster.put({**SECRET, "data": {"a": "Mg=="}})
    return cluster


@pytest.mark.parametrize("method", ["annotate", "rollout"])
def test_secrets_count_too(method: str) -> None:
    """They are looked at inside, by the same inspection."""
    done = refresh(of_a_secret(), "deployment/web", method=method)

    assert done.ok
    assert [str(one.reference) for one in done.verified] == ["secret/s"]
    assert done.verified[0].pods == 2


def test_what_may_not_be_read_is_not_verified() -> None:
    """The pods are new; whether they have it nobody has seen: that is the verdict."""
    living = of_a_secret()
    living.failing["get", "secrets"] = ForbiddenError("not allowed", status=403)

    done = refresh(living, "deployment/web", method="rollout")

    assert living.asked["patch", "deployments"] == 1
    assert not done.ok
    assert done.to_dict()["unseen"] == ["secret/s may not be read, and so not compared"]
    assert "not looked at: secret/s may not be read" in done.to_text()
    assert "verified" not in done.to_text()


@pytest.mark.parametrize("method", ["annotate", "rollout"])
def test_who_may_not_look_inside_may_refresh(living: Hindered, method: str) -> None:
    """It is done, and it is not verified: both are told."""
    living.update("2")
    living.failing["create", "pods/exec"] = ForbiddenError("no exec", status=403)

    done = refresh(living, "deployment/web", method=method)

    assert done.acted_s is not None
    assert (done.ok, done.verified) == (False, ())
    assert "not looked at: configmap/m: no exec" in done.to_text()


def test_what_no_sync_brings_is_in_the_verdict() -> None:
    """The files are new, the variable is not, and a rollout is named, which helps."""
    living = Living(env=True)
    living.deploy(2)
    living.update("2")

    done = refresh(living, "deployment/web", method="annotate")

    assert not done.ok
    stale = done.verified[0].stale
    assert {one.consumer for one in stale} == {"env"}
    assert {"--method rollout" in one.remedy for one in stale} == {True}
    assert "NOT verified after 0.3 s" in done.to_text()  # it is not waited for


def test_what_no_sync_brings_is_told_before_the_touch() -> None:
    """At the same price, and not where all pods have started since the change."""
    living = Living(env=True)
    living.deploy(2)
    asked = living.asked.total()
    without = Living()
    without.deploy(2)
    refresh(without, "deployment/web", method="annotate", dry_run=True)
    said: list[str] = []

    planned = refresh(living, "deployment/web", method="annotate", dry_run=True)
    asked = living.asked.total() - asked
    refresh(living, "deployment/web", method="annotate", tell=said.append)

    (only,) = planned.warnings
    assert "alone; where env A of container c has changed, use --method rollout" in only
    assert said[0] == only
    assert said[1] == "touched 2 pods"
    assert asked == without.asked.total()
    living.update("2")
    living.clock.sleep(5)
    refresh(living, "deployment/web", method="rollout")
    again = refresh(living, "deployment/web", method="annotate", dry_run=True)
    assert again.warnings == ()


def test_each_pod_is_looked_into_once(living: Hindered) -> None:
    """What is fresh is not read twice, and nothing is asked that does not matter."""
    living.update("2")

    refresh(living, "deployment/web", method="annotate")

    assert living.asked["list", "horizontalpodautoscalers"] == 0
    assert living.asked["list", "poddisruptionbudgets"] == 0
    assert living.asked["create", "pods/exec"] == 3  # its file and its folder
    assert living.asked["list", "pods"] == 2
    assert living.asked["get", "configmaps"] == 2
    assert living.asked["get", "deployments"] == 2


@pytest.mark.parametrize("method", ["rollout", "recreate"])
def test_pods_that_are_newer_than_their_content_are_not_restarted(method: str) -> None:
    """It is there already: that is said, seen, and fine; one may insist."""
    living = Hindered()
    living.deploy(3)
    living.update("2")
    living.clock.sleep(2)  # both instants are told in whole seconds
    refresh(living, "deployment/web", method="rollout")
    before = list(living.pods)

    planned = refresh(living, "deployment/web", method=method, dry_run=True)
    done = refresh(living, "deployment/web", method=method)

    assert "would restart nothing: all 3 pods have started since" in planned.to_text()
    assert (done.ok, done.writes, living.pods) == (True, 0, before)
    assert done.verified[0].fresh == 3
    again = refresh(living, "deployment/web", method=method, despite=["current"])
    assert again.writes > 0


def test_content_that_is_everywhere_is_said_before_a_restart(living: Hindered) -> None:
    """Files were renewed below a program that may have read them once."""
    living.update("2")
    refresh(living, "deployment/web", method="annotate")
    soon = refresh(living, "deployment/web", method="rollout", dry_run=True)
    living.clock.sleep(RECENT_S)

    planned = refresh(living, "deployment/web", method="rollout", dry_run=True)
    done = refresh(living, "deployment/web", method="rollout")

    said = "every container holds the current content already"
    assert soon.warnings == ()  # the reason is at hand: nothing is looked at
    assert any(said in one for one in planned.warnings)
    assert any(said in one for one in done.warnings)
    assert done.writes == 1


def blocked(*, way: str) -> Hindered:
    """Have pods that run, and need what has been taken away meanwhile."""
    cluster = Hindered()
    cluster.put(configmap("trust", ca="x"))
    ref = {"name": "trust", "key": "ca"}
    env = [{"name": "CA", "valueFrom": {"configMapKeyRef": ref}}]
    wanted = {"configMap": {"name": "trust", "items": [{"key": "ca", "path": "ca"}]}}
    own = {"configMap": {"name": "m"}}
    if way == "env":
        cluster.deploy(2, containers=[cluster.container(env=env)])
    else:
        volume = {"name": "v", "projected": {"sources": [own, wanted]}}
        cluster.deploy(2, volumes=[volume])
    cluster.update("2")
    if way == "object":
        cluster.inner.delete(CONFIG_MAP, "trust", namespace="default")
    else:
        cluster.inner.patch(
            CONFIG_MAP, "trust", {"data": {"ca": None}}, namespace="default"
        )
    return cluster


@pytest.mark.parametrize("named", [None, "m"])
@pytest.mark.parametrize(
    ("way", "why"),
    [
        ("env", "variable CA needs it: configmap/trust has no key 'ca'"),
        ("key", "configmap/trust has no key 'ca'"),
        ("object", "configmap/trust does not exist"),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_rollout_that_would_hang_is_refused(
    way: str, why: str, named: str | None, *, dry_run: bool
) -> None:
    """New pods would not start; the object, or its key, is named."""
    living = blocked(way=way)

    with pytest.raises(UsageError, match=f"its new pods would not start, since {why}"):
        refresh(
            *(living, "deployment/web"),
            method="rollout",
            configmap=named,
            dry_run=dry_run,
        )

    assert living.writes == 0


@pytest.mark.parametrize("way", ["key", "object"])
def test_a_sync_that_would_bring_nothing_is_refused(way: str) -> None:
    """A volume with a missing source is renewed in no part, whoever touches the pod."""
    living = blocked(way=way)

    with pytest.raises(UsageError, match="cannot renew its volumes, since configmap/t"):
        refresh(living, "deployment/web", method="annotate", configmap="m")

    assert living.writes == 0


def test_what_init_containers_read_is_not_brought_in() -> None:
    """It is no missing use: the reason is another."""
    living = Living()
    mount = {"name": "v", "mountPath": "/in"}
    init = {"name": "copy", "volumeMounts": [mount]}
    living.deploy(1, initContainers=[init], containers=[{"name": "app"}])

    with pytest.raises(
        UsageError, match=r"none but init containers .* use configmap/m, and no sync"
    ):
        refresh(living, "deployment/web", method="annotate")


@pytest.mark.parametrize(
    ("volumes", "offers"), [([source("configmap", "m")], True), ([], False)]
)
def test_pods_that_are_replaced_by_hand_are_no_circle(
    volumes: list[Object], *, offers: bool
) -> None:
    """Neither method sends to the other where that does not help."""
    living = Hindered()
    living.env = True
    container = living.container(**({} if volumes else {"volumeMounts": []}))
    living.deploy(2, volumes=volumes, containers=[container])
    living.change(spec={"strategy": {"type": "OnDelete"}})

    with pytest.raises(UsageError, match=r"one after the other, .* delete pod web-0"):
        refresh(living, "deployment/web", method="rollout")
    if not offers:
        with pytest.raises(UsageError, match=r"OnDelete.* delete pod web-0") as told:
            refresh(living, "deployment/web", method="annotate")
        assert "--method rollout" not in str(told.value)


@pytest.mark.parametrize(
    ("workload", "said"),
    [
        ("job/migrate", "make job/migrate anew: a deleted pod counts as a failed try"),
        ("cronjob/nightly", "the next run of cronjob/nightly has it"),
        ("pod/by-hand", "save its manifest, then delete it"),
        ("rs/front", "delete its pods one after the other"),
    ],
)
def test_what_has_no_template_to_roll_out_is_told_what_helps(
    living: Hindered, workload: str, said: str
) -> None:
    """And what that costs."""
    with pytest.raises(UsageError, match=said):
        refresh(living, workload, method="rollout")


def test_a_workload_of_another_group_is_none(living: Hindered) -> None:
    """Kinds have names that others use, too."""
    with pytest.raises(
        NotFoundError, match=r"no statefulset/search of apps/v1 .*group"
    ):
        refresh(living, "statefulset/search", method="rollout")


class Shared(Hindered):
    """One pod with the same labels is of a controller of the same name."""

    def shown(self, kind: Kind, one: Object) -> Object:
        """Change its owner."""
        if kind == POD and one["metadata"]["name"] == "web-1":
            owner: Object = {"apiVersion": "apps.kruise.io/v1", "kind": "Deployment"}
            owner |= {"name": "web", "uid": "of-another", "controller": True}
            one["metadata"]["ownerReferences"] = [owner]
        return one


def test_pods_of_a_foreign_controller_are_not_touched() -> None:
    """Whatever labels they have."""
    living = Shared()
    living.deploy(3)
    living.update("2")

    done = refresh(living, "deployment/web", method="annotate")

    assert (done.ok, done.writes, done.verified[0].pods) == (True, 2, 2)
    touched = [
        pod
        for pod in living.pods
        if TOUCHED
        in living.inner.get(POD, pod, namespace="default")["metadata"].get(
            "annotations", {}
        )
    ]
    assert touched == ["web-0", "web-2"]


def owned(living: Hindered) -> None:
    """Have an operator own the Deployment."""
    owner: Object = {"apiVersion": "monitoring.coreos.com/v1", "kind": "Prometheus"}
    owner |= {"name": "k8s", "uid": "1", "controller": True}
    living.change(metadata={"ownerReferences": [owner]})


class Reverted(Hindered):
    """Somebody takes back every change of the template, or of the replicas."""

    def passing(self, verb: str, resource: str, name: str | None) -> None:
        """Take it back when it is looked at next."""
        super().passing(verb, resource, name)
        if (verb, resource) != ("get", "deployments"):
            return
        spec = self.deployment["spec"]
        if RESTARTED in (spec["template"]["metadata"].get("annotations") or {}):
            self.change(spec={"template": {"metadata": {"annotations": None}}})
        if spec["replicas"] == 0:
            self.change(spec={"replicas": 3})

    def shown(self, kind: Kind, one: Object) -> Object:
        """Say who it was; the one who changes the status comes later, and does not."""
        if kind == DEPLOYMENT:
            one["metadata"]["managedFields"] = [
                {"manager": "prometheus-operator", "time": "2026-01-01T00:00:00Z"},
                {
                    "manager": "x",
                    "time": "2026-01-02T00:00:00Z",
                    "subresource": "status",
                },
            ]
        return one


def test_an_operator_that_takes_a_rollout_back_is_named() -> None:
    """At once; before, it is said that there is one."""
    living = Reverted()
    living.deploy(3)
    owned(living)
    living.update("2")

    planned = refresh(living, "deployment/web", method="rollout", dry_run=True)
    with pytest.raises(ClusterError, match="changed back by prometheus-operator while"):
        refresh(living, "deployment/web", method="rollout")

    assert any(
        "prometheus.monitoring.coreos.com/k8s" in one for one in planned.warnings
    )
    assert living.clock.monotonic() < 1


def test_replicas_that_are_set_back_are_not_waited_for() -> None:
    """Who did it is named, and what is in the pods is looked at."""
    living = Reverted()
    living.deploy(3, terminationGracePeriodSeconds=4)
    living.update("2")

    done = refresh(living, "deployment/web", method="recreate", timeout_s=60)

    assert any(
        "prometheus-operator has set the replicas of deployment/web back to 3" in one
        for one in done.warnings
    )
    assert (living.replicas, REMEMBERED in living.notes) == (3, False)


@pytest.mark.parametrize(
    "name", ["reloader.stakater.com/auto", "configmap.reloader.stakater.com/reload"]
)
def test_a_reloader_is_named_before_a_second_rollout(
    living: Hindered, name: str
) -> None:
    """It may be about to do the same."""
    living.change(metadata={"annotations": {name: "true"}})
    living.update("2")

    planned = refresh(living, "deployment/web", method="rollout", dry_run=True)

    assert any(name in one for one in planned.warnings)


def test_progress_is_told_as_it_is_made(living: Hindered) -> None:
    """As `kubectl rollout status` does."""
    living.update("2")
    said: list[str] = []

    refresh(living, "deployment/web", method="rollout", tell=said.append)

    assert said[0] == "changed the template: the rollout has begun"
    assert len(said) > 2
    assert len(set(said)) == len(said)
    assert any("of an older template" in one for one in said)


class Slow(Hindered):
    """Listing pods takes long, and so is not done often."""

    def passing(self, verb: str, resource: str, name: str | None) -> None:
        """Take the time."""
        super().passing(verb, resource, name)
        if (verb, resource) == ("list", "pods"):
            self.clock.sleep(2)


def test_the_last_new_pod_is_looked_into() -> None:
    """Also one that came after the last list; an old list keeps nobody waiting."""
    living = Slow()
    living.deploy(4)
    living.update("2")

    done = refresh(living, "deployment/web", method="rollout")

    assert done.ok
    assert done.verified[0].pods == 4
    assert done.seconds < 12  # listing takes two of them each time


def test_pods_that_start_have_the_processors(living: Hindered) -> None:
    """While a rollout goes on, its pods are neither listed nor looked into."""
    living.deploy(20)
    living.update("2")

    done = refresh(living, "deployment/web", method="rollout")

    assert done.verified[0].fresh == 20
    # before it, and at its end
    assert living.asked["list", "pods"] == 2


def test_a_rollout_that_hangs_is_shown_as_far_as_it_is(living: Hindered) -> None:
    """What was seen in the new pods is in the answer, and what is missing."""
    living.update("2")
    done = refresh(living, "deployment/web", method="rollout", timeout_s=1)

    assert not done.ok
    assert done.acted_s is None
    assert done.verified[0].pending
    assert done.verified[0].pods > 0
    assert "rollout status deployment/web" in done.to_text()
    assert "no running pod" not in done.to_text()


def test_a_daemon_set_whose_pods_are_deleted_by_hand_is_no_circle() -> None:
    """It has no replicas, and no rollout either."""
    found = {
        "metadata": {"name": "agent"},
        "spec": {"updateStrategy": {"type": "OnDelete"}},
    }
    state = WorkloadState(Workload("DaemonSet", "agent"), found, (), ())

    with pytest.raises(UsageError, match=r"OnDelete.*delete pod NAME") as told:
        refuse_recreate(state, (), shell=Shell("model", "n"))

    assert "--method rollout" not in str(told.value)


def test_nodes_whose_pods_are_not_ready_are_named() -> None:
    """A DaemonSet's rollout waits for them."""

    def pod(node: str, ready: str) -> Object:
        conditions = [{"type": "Ready", "status": ready}]
        return {"spec": {"nodeName": node}, "status": {"conditions": conditions}}

    assert nodes_of_unready([pod("a", "True"), pod("b", "False")]) == ["b"]
