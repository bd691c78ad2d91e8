"""Explain, wait and refresh on a cluster in memory, in virtual time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from cmhot import explain, refresh, wait
from cmhot.cli import cli
from cmhot.cluster.nodes import observe_settings
from cmhot.cluster.port import POD, Captured
from cmhot.errors import ClusterError, NotFoundError, UnreachableError, UsageError
from cmhot.kubelet.settings import Setting
from cmhot.kubelet.uses import Reference
from cmhot.propagation.wait import wait_for_applied
from cmhot.propagation.workload import REMEMBERED, is_rolling_out, will_use
from tests.unit.living import NEVER, Living, budget, scaler

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cmhot.cluster.port import Cluster
    from cmhot.kubelet.uses import Kind
    from cmhot.propagation.wait import WaitProgress

WRITES = {"patch", "ephemeral"}


@pytest.fixture
def living() -> Living:
    """Have three pods that never get an update by themselves."""
    cluster = Living()
    cluster.deploy(3)
    return cluster


def as_cluster(living: Living) -> Cluster:
    """See that it is one."""
    return living


def writes(living: Living) -> int:
    """Count what was changed."""
    return sum(n for (verb, _), n in living.asked.items() if verb in WRITES)


def test_explain_reads_each_kind_once(living: Living) -> None:
    """And writes nothing; the law is that of the kubelet's own setting."""
    found = explain(as_cluster(living), "configmap/m")

    (row,) = found.rows
    assert (str(row.owner), len(row.pods)) == ("deployment/web", 3)
    assert row.expected is not None
    assert row.expected.p50_s == pytest.approx(37.75)
    assert found.nodes[0].source == "configz"
    assert writes(living) == 0
    assert living.asked == {
        ("get", "configmaps"): 1,
        ("list", "deployments"): 1,
        ("list", "statefulsets"): 1,
        ("list", "daemonsets"): 1,
        ("list", "cronjobs"): 1,
        ("list", "pods"): 1,
        ("list", "nodes"): 1,
        ("configz", "n"): 1,
    }


def test_explain_goes_on_without_what_may_not_be_listed(living: Living) -> None:
    """It says so."""
    living.forbidden = {"cronjobs", "nodes"}

    found = explain(as_cluster(living), "configmap/m")

    assert len(found.rows) == 1
    assert "cronjobs may not be listed" in found.to_text()


def test_explain_of_a_typo_names_the_nearest(living: Living) -> None:
    """The object's name is in the message."""
    living.configmap["metadata"]["name"] = "app-config"

    with pytest.raises(NotFoundError, match="is 'app-config' meant"):
        explain(as_cluster(living), "configmap/app-confg")


def test_wait_until_it_has_landed(living: Living) -> None:
    """Looked at every second; nothing is written."""
    living.every_s = 41.5
    living.update("2")
    told: list[WaitProgress] = []

    waited = wait(as_cluster(living), "configmap/m", tell=told.append)

    assert waited.landed
    assert (waited.pods, waited.fresh) == (3, 3)
    assert waited.seconds == pytest.approx(42.0)
    assert (told[0].fresh, told[-1].fresh) == (0, 3)
    assert writes(living) == 0


def test_wait_tells_when_to_expect_it(living: Living) -> None:
    """By the law, from the instant of the update on."""
    living.update("2")
    stamp = "2026-01-01T00:00:00Z"  # the clock's beginning
    living.configmap["metadata"]["managedFields"] = [{"time": stamp}]
    told: list[WaitProgress] = []

    wait(as_cluster(living), "configmap/m", tell=told.append, timeout_s=95)

    # the last of three: F(t)³ = 0.99
    assert str(told[0]) == "0 of 3 pods, expected within 87 s"
    assert told[40].within_s == pytest.approx(48, abs=1.5)
    assert "later than the law allows" in str(told[-1])


def test_a_wait_that_ends_in_time_out(living: Living) -> None:
    """Everybody who lags behind is named, with a remedy."""
    living.update("2")

    waited = wait(as_cluster(living), "configmap/m", timeout_s=5)

    assert not waited.landed
    assert waited.seconds == pytest.approx(5)
    assert [one.pod for one in waited.stale] == ["web-5f-0", "web-5f-1", "web-5f-2"]
    assert "cmhot refresh deployment/web -n default --method annotate" in (
        waited.to_text()
    )


def test_what_no_update_reaches_ends_the_wait() -> None:
    """At once, with the remedy."""
    living = Living(env=True, every_s=1.0)
    living.deploy(2)
    living.update("2")

    waited = wait(as_cluster(living), "configmap/m")

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

    waited = wait(as_cluster(living), "configmap/m", updatable_only=True)

    assert waited.landed
    assert waited.ignored == 2
    assert waited.seconds == pytest.approx(2)


def test_an_environment_that_is_current_has_landed() -> None:
    """Such as after a restart: nothing is assumed of env but what is seen."""
    living = Living(env=True)
    living.deploy(2)

    assert wait(as_cluster(living), "configmap/m").landed


def test_a_container_without_cat_is_never_assumed_fresh(living: Living) -> None:
    """It is counted as unknown, and does not hold up the others' wait."""
    living.blind = {"web-5f-1"}

    waited = wait(as_cluster(living), "configmap/m")

    assert not waited.landed
    assert (waited.fresh, len(waited.unknown), waited.stale) == (2, 1, ())
    assert "--ephemeral" in waited.to_text()
    assert waited.seconds == 0


def test_an_ephemeral_container_is_made_when_asked_for(living: Living) -> None:
    """The pod is named as changed; here it never starts."""
    living.blind = {"web-5f-1"}

    waited = wait(as_cluster(living), "configmap/m", ephemeral=True)

    assert living.asked["ephemeral", "web-5f-1"] == 1
    assert waited.changed == ("web-5f-1",)
    assert not waited.landed


def test_content_that_changes_meanwhile_is_waited_for(living: Living) -> None:
    """What was seen of the older content does not count."""
    living.update("2")
    first, *others = living.inside.values()
    first.due_s = 0.0  # one pod has it already
    told: list[WaitProgress] = []

    def tell(progress: WaitProgress) -> None:
        told.append(progress)
        if len(told) == 2:
            living.update("3")
            first.due_s = living.clock.monotonic() + 6.0
            for one in others:
                one.due_s = living.clock.monotonic() + 2.0

    waited = wait(as_cluster(living), "configmap/m", tell=tell)

    assert [one.fresh for one in told[:3]] == [1, 1, 0]
    assert waited.landed
    assert waited.seconds == pytest.approx(7)
    assert {one.file for one in living.inside.values()} == {"3"}


def test_kubelets_that_may_not_be_asked_are_asked_once(living: Living) -> None:
    """Rights are the same for each of a thousand; then what was given counts."""
    living.refuses = True

    nodes = observe_settings(as_cluster(living), sample=["n", "m"], given=Setting(30))

    assert living.asked["configz", "n"] + living.asked["configz", "m"] == 1
    assert {(one.setting, one.source) for one in nodes} == {(Setting(30), "given")}


def test_silent_kubelets_are_not_asked_for_long(living: Living) -> None:
    """Each may take ten seconds: after the second of them no other is asked."""
    living.is_silent = True

    nodes = observe_settings(as_cluster(living), sample=[f"n-{i}" for i in range(9)])

    asked = sum(n for (verb, _), n in living.asked.items() if verb == "configz")
    assert asked == 2
    assert {one.source for one in nodes} == {"unknown"}


def test_only_so_many_kubelets_are_asked(living: Living) -> None:
    """The others are taken to be like them, and that is said."""
    names = [f"n-{i}" for i in range(30)]

    nodes = observe_settings(as_cluster(living), sample=names)

    asked = sum(n for (verb, _), n in living.asked.items() if verb == "configz")
    assert asked == 20
    sources = [one.source for one in nodes]
    assert (sources.count("configz"), sources.count("sampled")) == (20, 10)


def test_nobody_to_wait_for_is_wrong_use(living: Living) -> None:
    """A typo must not pass for an update that has landed."""
    living.deployment["spec"]["template"]["spec"]["volumes"] = []
    living.deployment["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = []

    with pytest.raises(UsageError, match="no running pod in default uses configmap/m"):
        wait(as_cluster(living), "configmap/m")


def test_only_maps_and_secrets_are_waited_for(living: Living) -> None:
    """Of what was applied."""
    applied = [
        {"kind": "Deployment", **living.deployment},
        {"kind": "ConfigMap", "metadata": {"name": "m", "namespace": "default"}},
    ]

    (waited,) = wait_for_applied(as_cluster(living), applied)

    assert str(waited.reference) == "configmap/m"


class Hiccup(Living):
    """Something goes wrong once, and what was asked for then is told."""

    exec_breaks: Captured | None = None
    fails: tuple[int, ClusterError] = (0, ClusterError(""))
    asked_for = 0

    def capture(
        self, pod: str, command: Sequence[str], *, namespace: str, container: str
    ) -> Captured:
        """Break off once."""
        if pod.endswith("-1") and self.exec_breaks is not None:
            broken, self.exec_breaks = self.exec_breaks, None
            return broken
        return Living.capture(
            self, pod, command, namespace=namespace, container=container
        )

    def get(
        self, kind: Kind, name: str, *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Fail once."""
        number, error = self.fails
        self.asked_for += 1
        if self.asked_for == number:
            raise error
        return Living.get(self, kind, name, namespace=namespace)


def test_a_command_that_breaks_off_is_run_again() -> None:
    """It says nothing about the container: no verdict is made of it."""
    living = Hiccup(every_s=20)
    living.exec_breaks = Captured(None, b"", "it ended without saying how")
    living.deploy(3)
    living.update("2")

    waited = wait(as_cluster(living), "configmap/m")

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
        assert wait(as_cluster(living), "configmap/m").seconds == pytest.approx(20)
    else:
        with pytest.raises(type(error), match=str(error)):
            wait(as_cluster(living), "configmap/m")


class Slow(Living):
    """Its pods are there from an instant to another."""

    from_s, to_s = 0.0, NEVER

    def _pod(self, name: str) -> dict[str, Any]:
        pod = Living._pod(self, name)
        if not self.from_s <= self.clock.monotonic() < self.to_s:
            pod["metadata"]["deletionTimestamp"] = "now"
        return pod


def test_between_an_old_and_a_new_pod() -> None:
    """That there is none for a while is no wrong use, and has not landed."""
    living = Slow(every_s=20)
    living.to_s = 5.0
    living.deploy(1)
    living.update("2")

    waited = wait(as_cluster(living), "configmap/m", timeout_s=30)

    assert not waited.landed
    assert waited.seconds == pytest.approx(30)
    assert "no running pod uses it now" in waited.to_text()


def test_pods_that_are_yet_to_be_made_are_waited_for() -> None:
    """Their template says that they will use it."""
    living = Slow()
    living.from_s = 3.0
    living.deploy(2)

    waited = wait(as_cluster(living), "configmap/m")

    assert (waited.landed, waited.pods) == (True, 2)
    assert waited.seconds == pytest.approx(3)


@pytest.mark.parametrize("why", ["no replicas", "templates may not be listed"])
def test_pods_that_nobody_will_make(why: str) -> None:
    """So far as one may see: that ends at once."""
    living = Slow()
    living.from_s = NEVER
    living.deploy(0 if why == "no replicas" else 2)
    living.forbidden = {"deployments"} if living.inside else set()

    with pytest.raises(UsageError, match="no running pod in default uses"):
        wait(as_cluster(living), "configmap/m")


def test_what_was_applied_says_who_will_use_it() -> None:
    """Of the same manifests: no right to list workloads is needed for that."""
    living = Slow(forbidden={"deployments"})
    living.from_s = 3.0
    living.deploy(2)
    said: list[str] = []
    config = {"kind": "ConfigMap", "metadata": {"name": "m"}}
    deployment = {"kind": "Deployment", **living.deployment}

    (waited,) = wait_for_applied(as_cluster(living), [config, deployment])
    living.from_s = NEVER
    nobody = wait_for_applied(as_cluster(living), [config], skipped=said.append)

    assert waited.landed
    assert nobody == []
    assert said == ["no pod uses configmap/m: there is nothing to wait for"]


class Rolling(Living):
    """Its pods are replaced after five seconds."""

    def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[list[dict[str, Any]], str]:
        """Replace them."""
        if kind == POD and self.clock.monotonic() > 5 and self.born == 2:
            self._replace()
        return Living.list(self, kind, namespace=namespace, labels=labels)


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
    living.deployment["metadata"]["generation"] = 2
    living.deployment["status"] = status
    living.deployment["spec"] |= spec

    waited = wait(as_cluster(living), "configmap/m", timeout_s=60)

    assert waited.landed is landed
    # pods are listed every two seconds
    assert waited.seconds == pytest.approx(6 if landed else 0)


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
    living = Living()
    living.deploy(20)
    living.blind = set(living.inside)

    waited = wait(as_cluster(living), "configmap/m", timeout_s=60, ephemeral=True)

    assert not waited.landed
    # each of eight threads may move the common clock by half a second past the end
    assert waited.seconds <= 64


def test_ephemeral_containers_that_do_not_start_are_not_made_again() -> None:
    """Eight at the same time, and two until the third of them is known."""
    living = Living()
    living.deploy(30)
    living.blind = set(living.inside)

    waited = wait(as_cluster(living), "configmap/m", timeout_s=9999, ephemeral=True)

    assert len(waited.unknown) == 30
    assert len(waited.changed) <= 10


class Leaving(Living):
    """A pod goes when it is to get an ephemeral container."""

    def add_ephemeral(
        self, pod: str, container: Mapping[str, Any], *, namespace: str
    ) -> None:
        """Be gone."""
        self.inside.pop(pod, None)
        raise NotFoundError(f"no pod {namespace}/{pod} for {container['name']}")


def test_a_pod_that_goes_meanwhile_is_not_missed() -> None:
    """The others are waited for."""
    living = Leaving(every_s=20)
    living.deploy(3)
    living.blind = {"web-5f-0"}
    living.update("2")

    waited = wait(as_cluster(living), "configmap/m", ephemeral=True)

    assert (waited.landed, waited.pods, waited.changed) == (True, 2, ())


@pytest.mark.parametrize("fresh", [True, False])
def test_binary_data_of_the_map_are_no_variables(fresh: bool) -> None:  # noqa: FBT001
    """Such as a logo: the variable A is from `data`."""
    living = Living(env=True)
    living.deploy(1)
    container = living.deployment["spec"]["template"]["spec"]["containers"][0]
    container["env"] = []
    container["volumeMounts"] = []
    container["envFrom"] = [{"configMapRef": {"name": "m"}}]
    living.configmap["data"] = {"A": "1" if fresh else "2"}
    living.configmap["binaryData"] = {"logo.png": "iVBORw0="}

    waited = wait(as_cluster(living), "configmap/m")

    assert waited.landed is fresh


def test_annotate_touches_each_pod_once(living: Living) -> None:
    """And it has landed when the sync is over."""
    living.update("2")

    done = refresh(as_cluster(living), "deployment/web", method="annotate")

    assert done.ok
    assert done.writes == 3
    assert done.seconds == pytest.approx(1.2)
    assert "in phase" not in done.to_text()  # the words are those of people
    assert any("synced at the same time" in one for one in done.warnings)


def test_annotate_repeats_where_old_content_was_read(living: Living) -> None:
    """Only there."""
    living.update("2")
    living.deaf["web-5f-1"] = 2
    said: list[str] = []

    done = refresh(
        as_cluster(living), "deployment/web", method="annotate", tell=said.append
    )

    assert done.ok
    assert done.writes == 5
    assert said == [
        "touched 3 pods",
        *["touched 1 pods again: they had read too early"] * 2,
    ]


def test_annotate_keeps_to_its_rate(living: Living) -> None:
    """Two a second: the first two at once, then the third."""
    living.update("2")

    done = refresh(
        as_cluster(living), "deployment/web", method="annotate", rate_per_s=2
    )

    assert done.ok
    assert done.seconds == pytest.approx(1.2)


def test_annotate_says_where_it_cannot_force_anything(living: Living) -> None:
    """Under Cache with a TTL, from 1.29 on."""
    living.setting["configMapAndSecretChangeDetectionStrategy"] = "Cache"
    living.annotations = {"node.alpha.kubernetes.io/ttl": "300"}

    done = refresh(
        as_cluster(living), "deployment/web", method="annotate", dry_run=True
    )

    assert "for up to 300 s (strategy Cache)" in done.to_text()
    assert "annotate" not in explain(as_cluster(living), "cm/m").rows[0].forced_by


def test_annotate_does_not_repeat_in_vain(living: Living) -> None:
    """Where the kubelet keeps what it has read, another touch is another sync only."""
    living.setting["configMapAndSecretChangeDetectionStrategy"] = "Cache"
    living.annotations = {"node.alpha.kubernetes.io/ttl": "300"}
    living.update("2")
    living.deaf.update(dict.fromkeys(living.inside, 9))

    done = refresh(
        as_cluster(living), "deployment/web", method="annotate", timeout_s=10
    )

    assert not done.ok
    assert done.writes == 3


def test_rollout_replaces_the_pods() -> None:
    """With one write; what env holds is new as well."""
    living = Living(env=True)
    living.deploy(3)
    living.update("2")

    done = refresh(as_cluster(living), "deployment/web", method="rollout")

    assert done.ok
    assert done.writes == 1
    assert set(living.inside) == {"web-5f-3", "web-5f-4", "web-5f-5"}


def test_recreate_scales_to_nothing_and_back(living: Living) -> None:
    """Nothing is remembered afterwards."""
    living.update("2")

    done = refresh(as_cluster(living), "deployment/web", method="recreate")

    assert done.ok
    assert len(living.inside) == 3
    assert living.deployment["metadata"]["annotations"] == {}


@pytest.mark.parametrize("method", ["recreate", "rollout", "annotate"])
def test_a_killed_recreate_is_restored(living: Living, method: str) -> None:
    """By the next call, whatever its method."""
    living.die_after = 1
    with pytest.raises(KeyboardInterrupt):
        refresh(as_cluster(living), "deployment/web", method="recreate")
    living.die_after = None
    assert living.deployment["spec"]["replicas"] == 0
    assert living.deployment["metadata"]["annotations"] == {REMEMBERED: "3@2"}

    done = refresh(as_cluster(living), "deployment/web", method=method)

    assert done.ok
    assert done.restored == 3
    assert living.deployment["spec"]["replicas"] == 3
    assert living.deployment["metadata"]["annotations"] == {}


def test_recreate_does_not_overwrite_what_others_changed(living: Living) -> None:
    """The number that is remembered is that of the version that was read."""
    living.late = True

    with pytest.raises(ClusterError, match="conflict"):
        refresh(as_cluster(living), "deployment/web", method="recreate")

    assert living.deployment["spec"]["replicas"] == 3


@pytest.mark.parametrize("method", ["annotate", "rollout", "recreate"])
def test_a_dry_run_changes_nothing(living: Living, method: str) -> None:
    """It says what would be done."""
    done = refresh(as_cluster(living), "deploy/web", method=method, dry_run=True)

    assert writes(living) == 0
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
        (("rollout", {}, {"paused": True}), (), "kubectl rollout resume"),
        (("rollout", {}, {"strategy": {"type": "OnDelete"}}), (), "delete them"),
        (("recreate", {}, {"replicas": 0}), (), "nothing to recreate"),
        (("restart", {}, {}), (), "choose one of annotate, rollout, recreate"),
        (("recreate", {}, {}), ("vpa",), "it takes hpa or pdb"),
    ],
)
def test_what_speaks_against_it(
    living: Living,
    case: tuple[str, dict[str, list[dict[str, object]]], dict[str, object]],
    despite: tuple[str, ...],
    said: str,
) -> None:
    """Each refusal names its remedy, and nothing was changed."""
    method, living.others, spec = case
    living.deployment["spec"] |= spec

    with pytest.raises(UsageError, match=said):
        refresh(as_cluster(living), "deployment/web", method=method, despite=despite)

    assert writes(living) == 0


@pytest.mark.parametrize(
    ("others", "despite"),
    [(scaler(), "hpa"), (budget(0), "pdb"), (scaler("other"), "pdb")],
)
def test_one_may_insist(
    living: Living, others: dict[str, list[dict[str, object]]], despite: str
) -> None:
    """And an autoscaler of something else is no reason."""
    living.others = others

    done = refresh(
        as_cluster(living), "deployment/web", method="recreate", despite=[despite]
    )

    assert done.ok


def test_an_autoscaler_that_may_not_be_seen_is_a_reason(living: Living) -> None:
    """To refuse; a rollout goes on."""
    living.forbidden = {"horizontalpodautoscalers"}

    with pytest.raises(UsageError, match="may not be seen"):
        refresh(as_cluster(living), "deployment/web", method="recreate")
    assert refresh(as_cluster(living), "deployment/web", method="rollout").ok


@pytest.fixture
def connected(living: Living, monkeypatch: pytest.MonkeyPatch) -> Living:
    """Let the command line find it."""
    monkeypatch.setattr("cmhot.cluster.targets.connect", lambda _: living)
    return living


@pytest.mark.parametrize(
    ("arguments", "code", "key"),
    [
        (("explain", "cm/m"), 0, "consumers"),
        (("wait", "cm/m"), 0, "landed"),
        (("wait", "cm/m", "--for", "deploy/web"), 0, "landed"),
        (("refresh", "deploy/web", "--method", "annotate"), 0, "verified"),
    ],
)
@pytest.mark.usefixtures("connected")
def test_commands_speak_json(arguments: tuple[str, ...], code: int, key: str) -> None:
    """On standard output, and nothing else there."""
    result = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False)

    assert result.exit_code == code
    assert key in json.loads(result.stdout)


@pytest.mark.parametrize(
    ("every_s", "code", "said"),
    [(2.5, 0, "has landed in 3 of 3 pods"), (99.0, 1, "has NOT landed")],
)
def test_apply_waits_until_it_has_landed(
    connected: Living, tmp_path: Path, every_s: float, code: int, said: str
) -> None:
    """The exit code tells a script whether it has."""
    connected.every_s = every_s
    file = tmp_path / "m.yaml"
    file.write_text(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: m}, data: {a: '2'}}"
    )

    result = CliRunner().invoke(
        cli, ["apply", "-f", str(file), "--wait", "--timeout", "9s"]
    )

    assert result.exit_code == code
    assert said in result.stdout
    assert "configmap/m applied" in result.stderr


def test_apply_reads_standard_input(connected: Living) -> None:
    """And does not wait unasked."""
    text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: m}, data: {a: '2'}}"

    result = CliRunner().invoke(cli, ["apply", "-f", "-"], input=text)

    assert (result.exit_code, result.stdout) == (0, "")
    assert connected.configmap["data"] == {"a": "2"}
    assert connected.asked["exec", "c"] == 0


def test_apply_says_what_no_pod_uses(connected: Living, tmp_path: Path) -> None:
    """Instead of nothing; standard output stays for what was waited for."""
    connected.inside.clear()
    connected.deployment["spec"]["replicas"] = 0
    file = tmp_path / "m.yaml"
    file.write_text(
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: m}, data: {a: '2'}}"
    )

    result = CliRunner().invoke(cli, ["apply", "-f", str(file), "--wait"])

    assert (result.exit_code, result.stdout) == (0, "")
    assert "no pod uses configmap/m" in result.stderr


def test_a_wait_in_vain_ends_with_one(connected: Living) -> None:
    """So that a script stops there."""
    connected.update("2")

    result = CliRunner().invoke(cli, ["wait", "cm/m", "--timeout", "3s"])

    assert result.exit_code == 1
    assert "has NOT landed" in result.stdout
    assert "0 of 3 pods" in result.stderr
