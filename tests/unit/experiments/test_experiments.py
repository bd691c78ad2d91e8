"""The live experiments on the model, in virtual time, and what they make of looks."""

from __future__ import annotations

import atexit
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from cmhot.cluster.model import ModelCluster
from cmhot.cluster.port import DEPLOYMENT, NAMESPACE, POD
from cmhot.cluster.probe import RUN_LABEL
from cmhot.collector.cleanup import find_leftovers
from cmhot.errors import CheckError, ClusterError, NotFoundError, UsageError
from cmhot.experiments import blog_post
from cmhot.experiments.blog_post import shares_by, time_updates
from cmhot.experiments.forcing import (
    ReadySample,
    RequestCounter,
    capacity,
    compare_methods,
    first_ready,
)
from cmhot.experiments.matrix import (
    FIXED,
    LATER,
    MAP,
    Cell,
    cases,
    consumer_matrix,
)
from cmhot.experiments.stage import (
    Stage,
    choose_node,
    config_map,
    one_update,
    spread_syncs,
)
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.kubelet.uses import CONFIG_MAP
from cmhot.propagation.changes import patch
from cmhot.propagation.inspection import ENVIRON
from cmhot.propagation.workload import TOUCHED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmhot.kubelet.uses import Kind

FAST = (Setting(5), Setting(10))
NAME = "start-here"


def hello(stage: Stage, *, pods: int) -> list[dict[str, Any]]:
    """Describe a ConfigMap and the pods that mount it."""
    return stage.mounted_config_map(NAME, pods=pods, data={"greeting": "hello"})


@pytest.fixture
def cluster() -> ModelCluster:
    """Have a node of 5 s and one of 10 s."""
    return ModelCluster(FAST)


class Refusing(ModelCluster):
    """A model that tells who owns labels, and refuses something.

    Parameters
    ----------
    refuse
        Is made, but the answer is lost.
    conflict
        Is made by somebody else just before.
    stays
        May not be deleted.
    """

    def __init__(
        self, *, refuse: str = "", conflict: str = "", stays: str = ""
    ) -> None:
        super().__init__(FAST)
        self._refuse, self._conflict, self._stays = refuse, conflict, stays

    def apply(
        self, manifest: Mapping[str, Any], *, namespace: str | None = None
    ) -> dict[str, Any]:
        """As the API server does it, unless it is refused."""
        name = manifest["metadata"]["name"]
        if name == self._conflict:
            super().apply(config_map(name, mine="precious"), namespace=namespace)
            msg = "conflict with somebody"
            raise ClusterError(msg, status=409)
        stored = super().apply(manifest, namespace=namespace)
        if name == self._refuse:
            msg = "no answer"
            raise ClusterError(msg)
        return stored

    def delete(self, kind: Kind, name: str, *, namespace: str | None = None) -> None:
        """Delete it, unless it stays."""
        if name == self._stays:
            msg = f"{name} may not be deleted"
            raise ClusterError(msg, status=403)
        super().delete(kind, name, namespace=namespace)

    def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[list[dict[str, Any]], str]:
        """List objects with whose their labels are, as the API server does."""
        found, version = super().list(kind, namespace=namespace, labels=labels)
        for one in found:
            owned: Any = {f"f:{key}": {} for key in one["metadata"].get("labels") or {}}
            fields = {"f:metadata": {"f:labels": owned}}
            for entry in one["metadata"].get("managedFields", []):
                entry.update(operation="Apply", fieldsV1=fields)
        return found, version


def namespaces(cluster: ModelCluster) -> int:
    """Count what is there."""
    return len(cluster.list(NAMESPACE)[0])


def samples(*ready: str) -> list[ReadySample]:
    """Make samples a second apart; each letter is a pod that was Ready."""
    return [ReadySample(float(at), frozenset(pods)) for at, pods in enumerate(ready)]


# the stage


def test_a_stage_leaves_nothing(cluster: ModelCluster) -> None:
    """Not even when the experiment fails in the middle of it."""
    stage = Stage(cluster)

    def experiment() -> None:
        with stage:
            stage.apply(*hello(stage, pods=2))
            stage.await_pods(NAME, 2)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        experiment()

    assert namespaces(cluster) == 0
    assert cluster.list(POD)[0] == []
    assert stage.left() == []


def test_a_namespace_of_others_is_kept(cluster: ModelCluster) -> None:
    """Only what was made in it is removed."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    cluster.apply(namespace)
    cluster.apply(config_map("theirs", a="1"), namespace="n")
    with Stage(cluster, namespace="n") as stage:
        stage.apply(*hello(stage, pods=1))
        stage.await_pods(NAME, 1)
        left = stage.left()

    assert left == [f"configmaps/{NAME}", f"deployments/{NAME}"]
    assert stage.left() == []
    assert namespaces(cluster) == 1
    names = [one["metadata"]["name"] for one in cluster.list(CONFIG_MAP)[0]]
    assert names == ["theirs"]
    assert cluster.list(DEPLOYMENT)[0] == []


def shared(cluster: ModelCluster, *theirs: dict[str, Any]) -> None:
    """Make a namespace "n" of the user's, with objects of theirs."""
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})
    for one in theirs:
        cluster.apply(one, namespace="n")


def contents(cluster: ModelCluster, kind: Kind = CONFIG_MAP) -> dict[str, Any]:
    """Read the data of the namespace "n", by object."""
    found = cluster.list(kind, namespace="n")[0]
    return {one["metadata"]["name"]: one.get("data") for one in found}


PRECIOUS = config_map(blog_post.VOLUME, mine="precious")
"""Of the user, by a name that documentation uses as well."""


def test_what_others_made_is_not_taken_over(cluster: ModelCluster) -> None:
    """It is refused before anything is applied, and the end does not delete it."""
    shared(cluster, PRECIOUS)
    stage = blog_post.set_stage(cluster, namespace="n")

    with (
        stage,
        pytest.raises(
            UsageError,
            match=r"configmaps/special-config in namespace n is there already.*"
            r"give another namespace",
        ),
    ):
        blog_post.start(stage)

    assert contents(cluster) == {blog_post.VOLUME: {"mine": "precious"}}
    assert contents(cluster, DEPLOYMENT) == {}
    assert stage.left() == []


@pytest.mark.parametrize("name", [MAP, LATER, FIXED])
def test_the_matrix_takes_nothing_over(cluster: ModelCluster, name: str) -> None:
    """Nor what it makes late, nor what it deletes to make it anew; it makes nothing."""
    shared(cluster, config_map(name, mine="precious"))
    before = cluster._store.version

    with pytest.raises(UsageError, match=f"configmaps/{name} in namespace n"):
        consumer_matrix(cluster, rounds=1, copies=1, namespace="n")

    assert contents(cluster) == {name: {"mine": "precious"}}
    assert cluster._store.version == before
    assert cluster.list(POD)[0] == []


def test_what_a_stage_made_it_may_apply_again(cluster: ModelCluster) -> None:
    """In a namespace of others too; not after its end, when it may be theirs."""
    shared(cluster)
    stage = Stage(cluster, namespace="n")
    with stage:
        stage.apply(config_map("m", a="1"))
        stage.open()  # as a cell does that is executed again
        stage.apply(config_map("m", a="2"))
        assert contents(cluster) == {"m": {"a": "2"}}
    cluster.apply(config_map("m", a="3"), namespace="n")

    with stage, pytest.raises(UsageError, match="configmaps/m in namespace n"):
        stage.apply(config_map("m", a="4"))

    assert contents(cluster) == {"m": {"a": "3"}}


def test_what_another_experiment_left_is_said_to_be(cluster: ModelCluster) -> None:
    """With what removes it: the labels of its run are on all that it made."""
    shared(cluster)
    killed = Stage(cluster, namespace="n").open()
    atexit.unregister(killed.close)
    killed.apply(*hello(killed, pods=1))

    with (
        Stage(cluster, namespace="n") as stage,
        pytest.raises(UsageError, match=f"{RUN_LABEL}={killed.run_id}"),
    ):
        stage.apply(*hello(stage, pods=1))

    left = killed.left()
    assert left == [f"configmaps/{NAME}", f"deployments/{NAME}"]


@pytest.mark.parametrize("namespace", ["", "n"])
def test_what_a_killed_stage_left_is_found(namespace: str) -> None:
    """Its namespace, or in one of others its Deployment and ConfigMap."""
    cluster = Refusing()
    shared(cluster, config_map("theirs", a="1"))
    stage = Stage(cluster, namespace=namespace).open()
    atexit.unregister(stage.close)
    stage.apply(*hello(stage, pods=1))

    found = find_leftovers(cluster)

    assert {one.run_id for one in found} == {stage.run_id}
    assert [f"{one.kind.plural}/{one.name}" for one in found] == (
        [f"deployments/{NAME}", f"configmaps/{NAME}"]
        if namespace
        else [f"namespaces/{stage.namespace}"]
    )


def test_what_was_made_before_a_refusal_is_removed() -> None:
    """An apply of several that fails half-way, or whose answer is lost, too."""
    cluster = Refusing(refuse="b")
    shared(cluster, config_map("theirs", a="1"))

    with (
        Stage(cluster, namespace="n") as stage,
        pytest.raises(ClusterError, match="no answer"),
    ):
        stage.apply(*(config_map(name, a="1") for name in "abc"))

    assert contents(cluster) == {"theirs": {"a": "1"}}


def test_what_somebody_makes_meanwhile_is_kept() -> None:
    """A conflict (409) after the name was free: it is theirs, and stays."""
    cluster = Refusing(conflict="b")
    shared(cluster)

    with (
        Stage(cluster, namespace="n") as stage,
        pytest.raises(ClusterError, match="conflict"),
    ):
        stage.apply(config_map("a", a="1"), config_map("b", a="1"))

    assert contents(cluster) == {"b": {"mine": "precious"}}


def test_what_cannot_be_removed_does_not_keep_the_rest() -> None:
    """The end goes on, and says so."""
    cluster = Refusing(stays="b")
    shared(cluster)
    stage = Stage(cluster, namespace="n").open()
    stage.apply(*(config_map(name, a="1") for name in "abc"))

    with pytest.raises(ClusterError, match="b may not be deleted"):
        stage.close()

    assert contents(cluster) == {"b": {"a": "1"}}
    assert stage.left() == ["configmaps/b"]


def test_a_namespace_that_is_not_there(cluster: ModelCluster) -> None:
    """Nothing is made in its place."""
    with pytest.raises(NotFoundError, match="namespaces/none"):
        Stage(cluster, namespace="none").open()

    assert namespaces(cluster) == 0


@pytest.mark.parametrize(
    ("name", "slowest", "found"),
    [("", True, "model-3"), ("", False, "model-1"), ("model-2", True, "model-2")],
    ids=["slowest", "quickest", "by-name"],
)
def test_a_node_is_chosen(name: str, found: str, *, slowest: bool) -> None:
    """The first of the longest or shortest frequency, or the one that is named."""
    cluster = ModelCluster(
        [Setting(5), Setting(10), Setting(20), Setting(20, Strategy.GET)]
    )

    assert choose_node(cluster, name, slowest=slowest).name == found


def test_a_node_that_is_not_there_is_refused(cluster: ModelCluster) -> None:
    """The message names the parameter, and the nodes that there are."""
    with pytest.raises(UsageError, match=r"node = 'moon' .* has model-1, model-2"):
        choose_node(cluster, "moon")


# one update, live


def test_the_first_update_reaches_each_pod(cluster: ModelCluster) -> None:
    """Its publications are those of the update, in their order."""
    with Stage(cluster, node=choose_node(cluster)) as stage:
        stage.apply(*hello(stage, pods=4))
        stage.await_pods(NAME, 4)
        where = {"namespace": stage.namespace}
        update = patch(cluster, NAME, {"greeting": "hi"}, **where)
        cluster.clock.sleep(17)
        found = one_update(stage, update)

    assert len(found) == 4
    assert found["delay_s"].is_monotonic_increasing
    # S = 10 s: at most 15 s, two ticks and two volume loops
    assert found["delay_s"].between(0, 16.3).all()
    assert set(found["sent_ns"]) == {update.sent_ns}
    assert set(found["acked_ns"]) == {update.acked_ns}


def test_scrambled_pods_are_as_if_they_had_run_for_long(cluster: ModelCluster) -> None:
    """Each is touched once; it takes the longest interval, 16.2 s at S = 10 s."""
    with Stage(cluster, node=choose_node(cluster)) as stage:
        stage.apply(*hello(stage, pods=5))
        stage.await_pods(NAME, 5)
        began = cluster.clock.monotonic()
        spread_syncs(stage, NAME, Setting(10), seed=1)
        took = cluster.clock.monotonic() - began
        pods = stage.pods(NAME)

    # a last request of 5 ms may come after it
    assert took == pytest.approx(16.2, abs=0.01)
    stamps = {one["metadata"]["annotations"][TOUCHED] for one in pods}
    assert len(stamps) == 5


# the blog post's experiment


def test_the_post_as_it_was(cluster: ModelCluster) -> None:
    """INFO and INFO; INFO, and DEBUG sooner or later; DEBUG and DEBUG."""
    with blog_post.set_stage(cluster) as stage:
        blog_post.start(stage)
        seen = [list(blog_post.read_pods(stage)["printed"])]
        blog_post.edit(stage, "DEBUG")
        cluster.clock.sleep(17)
        seen.append(list(blog_post.read_pods(stage)["printed"]))
        blog_post.roll_out(stage)
        seen.append(list(blog_post.read_pods(stage)["printed"]))

    assert seen == [["INFO", "INFO"], ["INFO", "DEBUG"], ["DEBUG", "DEBUG"]]


def test_a_pod_knows_the_services_of_its_start(cluster: ModelCluster) -> None:
    """The seven variables of one port: in the new pod, and not in the old one."""
    with blog_post.set_stage(cluster) as stage:
        found = blog_post.service_variables(stage)

    assert len(found) == 7
    assert found["before"].isna().all()
    assert dict(zip(found["variable"], found["after"], strict=True))[
        "LATER_SERVICE_PORT"
    ] == ("80")


def test_timed_the_volume_follows_the_law(cluster: ModelCluster) -> None:
    """And the environment never changes: each look says how long it was watched."""
    with blog_post.set_stage(cluster, node="model-1") as stage:
        blog_post.start(stage)
        blog_post.scale(stage, 20)
        table = time_updates(stage, updates=30, pods=20)

    volume = table[table["consumer"] == "volume"]
    env = table[table["consumer"] == "envFrom"]
    assert len(volume) == len(env) == 600
    assert (volume["status"] == "observed").all()
    assert (env["status"] == "timeout").all()
    assert env["delay_s"].isna().all()
    assert env["waited_s"].min() > 8
    # the law's mean is 3.44 s; pods of an update share its instant, so some 100
    # of the 600 are independent: 2 s of spread / 10, three times
    assert volume["delay_s"].mean() == pytest.approx(3.44, abs=0.6)
    assert table.attrs["setting"] == "5 s, Watch"
    assert table.attrs["modelled"] is True


def test_shares_by_ten_seconds() -> None:
    """At S = 10 s three in four have it; at the default two in fifteen."""
    table = pd.DataFrame(
        {
            "consumer": ["volume"] * 4 + ["envFrom"],
            "delay_s": [1.0, 9.0, 10.0, 11.0, float("nan")],
        }
    )

    found = shares_by(table, Setting(10))

    assert found["measured"] == 0.75
    assert found["by the law"] == pytest.approx(0.75, abs=0.02)
    # 10 / 75.5, since no interval is shorter than 61 s
    assert found["by the law at the default"] == pytest.approx(0.1325, abs=0.001)
    assert found["environment"] == 0


def test_nginx_runs_as_it_is(cluster: ModelCluster) -> None:
    """It is not held to a user, nor given another command; other images sleep."""
    theirs = blog_post.set_stage(cluster, image="docker.io/library/nginx:1.28")
    ours = blog_post.set_stage(cluster)

    (nginx, sleeper) = (
        blog_post.manifests(one)[2]["spec"]["template"]["spec"]
        for one in (theirs, ours)
    )

    assert "command" not in nginx["containers"][0]
    assert "securityContext" not in nginx
    assert sleeper["containers"][0]["command"] == ["sleep", "86400"]
    assert sleeper["securityContext"]["runAsNonRoot"] is True


# remedies


def test_capacity_is_what_was_missing() -> None:
    """Of 4 replicas: 2 missing for a second, 4 for one, then all are there."""
    found = capacity(samples("abcd", "ab", "", "efgh", "efgh"), 4)

    assert found == (0.0, 6.0)


def test_more_than_the_replicas_are_no_gain() -> None:
    """A surge makes up for nothing."""
    assert capacity(samples("abcdef", "abc", "abcd"), 4) == (0.75, 1.0)


def test_a_pod_is_ready_from_its_first_look_on() -> None:
    """One that was never Ready is an error, since the refresh had said it was."""
    seen = samples("a", "ab", "abc")

    assert first_ready(seen, {"b", "c"}) == [1.0, 2.0]
    with pytest.raises(CheckError, match="pod d was not seen"):
        first_ready(seen, {"d"})


def test_each_remedy_has_its_price(cluster: ModelCluster) -> None:
    """To annotate replaces nobody, rollout keeps three quarters, recreate nothing."""
    told: list[str] = []
    table = compare_methods(cluster, repeats=2, pods=8, report=told.append)

    by = table.groupby("method")
    assert by.size().to_dict() == dict.fromkeys(
        ["nothing", "annotate", "rollout", "recreate"], 2
    )
    costs = by[["restarted", "min_ready_share", "requests"]].first()
    assert costs.T.to_dict("list") == {
        "nothing": [0, 1.0, 0],
        "annotate": [0, 1.0, 8],
        "rollout": [8, 0.75, 1],
        "recreate": [8, 0.0, 2],
    }
    seconds = by["seconds"].max()
    # the volume loops' 0.2 s, the watch, and 8 writes of 5 ms
    assert 0.01 < seconds["annotate"] < 0.3
    assert seconds["annotate"] < seconds["rollout"] < seconds["recreate"]
    lost = by["pod_seconds_lost"].first()
    assert lost["annotate"] == 0 < lost["rollout"] < lost["recreate"]
    assert (by["api_requests"].first() >= by["requests"].first()).all()
    assert len(told) == 6
    # five seconds before each of six trials, which take some 20 s together
    assert cluster.clock.monotonic() > 45
    assert namespaces(cluster) == 0


def test_looks_are_not_counted(cluster: ModelCluster) -> None:
    """What is asked for through it is; a sleep of a second looks five times."""
    with Stage(cluster) as stage:
        labels = {"a": "b"}
        counter = RequestCounter(cluster, namespace=stage.namespace, labels=labels)
        counter.get(NAMESPACE, stage.namespace)
        # each look takes a request of 5 ms of the second
        counter.clock.sleep(1.0)

    assert counter.requests == 1
    assert len(counter.samples) == 5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"repeats": -1}, "repeats = -1 is not possible"),
        ({"pods": 0}, "pods = 0 is not possible"),
        ({"methods": ["restart"]}, "'restart' is none; choose of annotate, rollout"),
        ({"methods": []}, "none is given"),
        ({"node": "moon"}, "node = 'moon'"),
    ],
    ids=["repeats", "pods", "method", "no-method", "node"],
)
def test_what_cannot_be_compared_makes_nothing(
    cluster: ModelCluster, values: dict[str, object], message: str
) -> None:
    """A wrong value is named, before there is a namespace."""
    before = cluster._store.version

    with pytest.raises(UsageError, match=message):
        compare_methods(cluster, **values)  # type: ignore[arg-type]

    assert cluster._store.version == before


# consumers


def test_every_cell_is_as_predicted(cluster: ModelCluster) -> None:
    """By looks into each of two copies, in each of two rounds."""
    table = consumer_matrix(cluster, rounds=2, copies=2)

    known = table.dropna(subset="predicted")
    assert len(table) == len(cases()) * 3
    assert len(known) == len(table) - 2  # an ephemeral container is never restarted
    assert (known["n"] == 4).all()
    assert (known["seen"] == known["n"] * known["predicted"].astype(int)).all()
    assert namespaces(cluster) == 0


def test_never_has_its_bound() -> None:
    """Three in n; where it was seen there is none."""
    update = Cell(cases()[0], "update", predicted=False)
    never = replace(update, seen=0, looks=30, watched_s=90.0)
    later = replace(update, predicted=True, seen=30, looks=30)
    once = replace(later, event="pod restart")
    odd = replace(update, seen=1, looks=30)
    none = replace(update, predicted=None)

    assert never.row()["bound"] == pytest.approx(0.1)
    assert (never.row()["sees"], never.agrees) == ("never", True)
    assert (later.row()["sees"], later.agrees) == ("later", True)
    assert pd.isna(later.row()["bound"])
    assert once.row()["sees"] == "at once"
    assert not odd.agrees
    assert (none.row()["sees"], none.agrees) == (None, True)


def test_what_the_matrix_cannot_be_makes_nothing(cluster: ModelCluster) -> None:
    """A wrong value is named."""
    with pytest.raises(UsageError, match="rounds = 0"):
        consumer_matrix(cluster, rounds=0)

    assert namespaces(cluster) == 0


def test_variables_are_read_from_the_process() -> None:
    """Not from a shell, which hides names like log-level."""
    looks_at = {case.look for case in cases() if "env" in case.title}

    assert looks_at == {ENVIRON}
