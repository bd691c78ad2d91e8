"""A stage, and what is read in its pods, on the model in virtual time."""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING, Any

import pytest

from cmhot.cluster.model import ModelCluster
from cmhot.cluster.port import DEPLOYMENT, NAMESPACE, POD
from cmhot.cluster.probe import RUN_LABEL
from cmhot.collector.cleanup import find_leftovers
from cmhot.errors import ClusterError, NotFoundError, UsageError
from cmhot.experiments import blog_post
from cmhot.experiments.matrix import (
    FIXED,
    LATER,
    MAP,
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
from cmhot.plots.figure import Material, Source
from cmhot.plots.publishing import named
from cmhot.propagation.changes import patch
from cmhot.propagation.workload import TOUCHED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmhot.kubelet.uses import Kind

FAST = (Setting(5), Setting(10))


NAME = "start-here"


def hello(stage: Stage, *, pods: int) -> list[dict[str, Any]]:
    """Describe a ConfigMap and the pods that mount it."""
    return stage.mounted_config_map(NAME, pods=pods, data={"greeting": "hello"})


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

    def delete(
        self,
        kind: Kind,
        name: str,
        *,
        namespace: str | None = None,
        uid: str | None = None,
    ) -> None:
        """Delete it, unless it stays."""
        if name == self._stays:
            msg = f"{name} may not be deleted"
            raise ClusterError(msg, status=403)
        super().delete(kind, name, namespace=namespace, uid=uid)

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


def test_a_clock_that_is_ahead_is_taken_off_as_far_as_it_is_known(
    cluster: ModelCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is not known of it goes along with each delay, to the caption."""
    with Stage(cluster, node=choose_node(cluster)) as stage:
        stage.apply(*hello(stage, pods=2))
        stage.await_pods(NAME, 2)
        update = patch(cluster, NAME, {"greeting": "hi"}, namespace=stage.namespace)
        cluster.clock.sleep(17)
        plain = one_update(stage, update)
        monkeypatch.setattr(
            "cmhot.experiments.stage.ahead_ns", lambda *_, **__: (5 * 10**9, 15 * 10**8)
        )
        found = one_update(stage, update)

    assert set(plain["clock_bound_s"]) == {0.0}
    assert found["delay_s"].to_list() == pytest.approx(plain["delay_s"] - 5)
    subject = named("timeline").read(Material(table=found, given=Source()))
    assert "Clocks are known to ± 1.5 s" in subject.describe("en").caption


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
