"""What a run puts into a namespace is its own: others' objects are let alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cmhot.cluster import probe
from cmhot.cluster.model import ModelCluster
from cmhot.cluster.nodes import Group
from cmhot.cluster.port import DEPLOYMENT, NAMESPACE
from cmhot.collector.begin import collect, resume
from cmhot.collector.probes import Setup
from cmhot.errors import ClusterError, UsageError
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.kubelet.uses import CONFIG_MAP
from cmhot.runs.plan import Plan
from cmhot.runs.rundir import read_run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from cmhot.collector.progress import Progress
    from cmhot.kubelet.uses import Kind

PLAN = Plan(pods=2, duration_s=40, seed=7, namespace="n")
LONG = replace(PLAN, duration_s=120)  # 30 s of refusals leave some of it
FIVE = Setting(5)
GROUP = Group(name=FIVE.label, setting=FIVE, nodes=())
DEPLOYED = f"cmhot-{FIVE.label}"


class Shared(ModelCluster):
    """A cluster with a namespace that several know of.

    Attributes
    ----------
    deleted
        What was asked to be deleted.
    """

    def __init__(self, *settings: Setting) -> None:
        super().__init__(settings or (FIVE,))
        self.deleted: list[str] = []
        super().apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
        )

    def delete(
        self,
        kind: Kind,
        name: str,
        *,
        namespace: str | None = None,
        uid: str | None = None,
    ) -> None:
        """Note it."""
        self.deleted.append(f"{kind.plural}/{name}")
        super().delete(kind, name, namespace=namespace, uid=uid)

    def standing(self) -> dict[str, tuple[str | None, str]]:
        """Give run and version of all that is in the namespace."""
        return {
            one["metadata"]["name"]: (
                (one["metadata"].get("labels") or {}).get(probe.RUN_LABEL),
                one["metadata"]["resourceVersion"],
            )
            for kind in (CONFIG_MAP, DEPLOYMENT)
            for one in self.list(kind, namespace="n")[0]
        }


def owners(cluster: Shared) -> dict[str, str | None]:
    """Say to which run each object belongs."""
    return {name: run for name, (run, _) in cluster.standing().items()}


def setup_of(run_id: str, cluster: ModelCluster) -> Setup:
    """Give a run's objects, which are not made yet."""
    return Setup(cluster, PLAN, run_id, [GROUP])


def bare(kind: str, name: str) -> dict[str, Any]:
    """Make an object that somebody made by hand."""
    made: dict[str, Any] = {"kind": kind, "metadata": {"name": name}}
    if kind == "ConfigMap":
        return {"apiVersion": "v1", **made, "data": {"seq": "theirs"}}
    labels = {"app": "theirs"}
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": []}},
    }
    return {"apiVersion": "apps/v1", **made, "spec": spec}


@pytest.mark.parametrize(
    "settings",
    [(FIVE,), (FIVE, Setting(10, Strategy.GET))],
    ids=["the same nodes", "other nodes too"],
)
def test_a_second_run_in_a_namespace_is_refused(
    tmp_path: Path, settings: tuple[Setting, ...]
) -> None:
    """It touches nothing, leaves nothing, and the first one never hears of it."""
    cluster = Shared(*settings)
    said = ""
    changed: list[bool] = []

    def meanwhile(progress: Progress) -> None:
        nonlocal said
        if progress.phase != "updates" or said:
            return
        before = cluster.standing()
        with pytest.raises(UsageError) as refusal:
            collect(cluster, PLAN, out=tmp_path / "second", run_id="second")
        said = str(refusal.value)
        changed.append(cluster.standing() != before)

    path = collect(cluster, PLAN, out=tmp_path, run_id="first", progress=meanwhile)

    assert said == (
        "configmaps/cmhot-probe in namespace n belongs to run first: measure in "
        "another --namespace, wait until that run has ended, or remove with `cmhot "
        "clean` what it left"
    )
    assert changed == [False]
    assert not (tmp_path / "second").exists()
    run = read_run(path)
    assert run.meta["status"] == "complete"
    assert set(run.updates["status"]) == {"acked"}
    assert owners(cluster) == {}


@pytest.mark.parametrize(
    ("kind", "name"), [("ConfigMap", "cmhot-probe"), ("Deployment", DEPLOYED)]
)
def test_what_is_nobodys_is_not_taken(tmp_path: Path, kind: str, name: str) -> None:
    """An object of our name without a run's label is somebody's own."""
    cluster = Shared()
    cluster.apply(bare(kind, name), namespace="n")
    before = cluster.standing()

    with pytest.raises(
        UsageError, match=rf"{kind.lower()}s/{name} in namespace n belongs to no run of"
    ):
        collect(cluster, PLAN, out=tmp_path / "runs", run_id="r")

    assert cluster.standing() == before
    assert cluster.deleted == []
    assert list(tmp_path.iterdir()) == []


def test_probes_without_their_configmap_are_still_a_runs(tmp_path: Path) -> None:
    """What a run left of itself is named, and nothing is made beside it."""
    cluster = Shared()
    setup_of("first", cluster).create()
    cluster.delete(CONFIG_MAP, "cmhot-probe", namespace="n")
    before = cluster.standing()

    with pytest.raises(
        UsageError, match=rf"deployments/{DEPLOYED} .* belongs to run first"
    ):
        collect(cluster, PLAN, out=tmp_path, run_id="second")

    assert cluster.standing() == before


class Racing(Shared):
    """A cluster on which somebody begins between our look and our first object.

    Attributes
    ----------
    begin
        What that one does.
    """

    begin: Callable[[], object] | None = None

    def apply(
        self, manifest: Mapping[str, Any], *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Let the other one be first."""
        if self.begin is not None and manifest["kind"] == "ConfigMap":
            begin, self.begin = self.begin, None
            begin()
        return super().apply(manifest, namespace=namespace)


def test_of_two_that_begin_at_once_one_goes_on(tmp_path: Path) -> None:
    """The Deployment's selector decides; the shared ConfigMap is given back."""
    cluster = Racing()
    cluster.begin = setup_of("first", cluster).create

    with pytest.raises(
        UsageError, match=rf"deployments/{DEPLOYED} .* belongs to run first"
    ):
        collect(cluster, PLAN, out=tmp_path / "runs", run_id="second")

    assert owners(cluster) == {"cmhot-probe": "first", DEPLOYED: "first"}
    assert cluster.deleted == []
    assert list(tmp_path.iterdir()) == []


def test_a_stranger_who_comes_in_between_is_let_alone(tmp_path: Path) -> None:
    """What we made before we met it is taken away again."""
    cluster = Racing()
    theirs = bare("Deployment", DEPLOYED)
    cluster.begin = lambda: cluster.apply(theirs, namespace="n")

    with pytest.raises(UsageError, match=r"belongs to no run of cmhot: .* or rename"):
        collect(cluster, PLAN, out=tmp_path / "runs", run_id="r")

    assert owners(cluster) == {DEPLOYED: None}
    assert cluster.deleted == ["configmaps/cmhot-probe"]
    assert list(tmp_path.iterdir()) == []


class Strict(Shared):
    """A cluster that finds fault with every Deployment."""

    def apply(
        self, manifest: Mapping[str, Any], *, namespace: str | None = None
    ) -> dict[str, Any]:
        """Refuse."""
        if manifest["kind"] == "Deployment":
            msg = "PATCH failed (422): spec.template.spec.tolerations: Invalid value"
            raise ClusterError(msg, status=422)
        return super().apply(manifest, namespace=namespace)


def test_another_refusal_stays_what_it_is(tmp_path: Path) -> None:
    """Nobody else's is there: the API server's words are said, what we made goes."""
    cluster = Strict()

    with pytest.raises(ClusterError, match="tolerations: Invalid value"):
        collect(cluster, PLAN, out=tmp_path, run_id="r")

    assert owners(cluster) == {}
    assert cluster.deleted == ["configmaps/cmhot-probe"]


def test_what_took_our_place_meanwhile_stays() -> None:
    """Cleaned away and begun anew by another run: that one's objects are not ours."""
    cluster = Shared()
    ours = setup_of("first", cluster)
    ours.create()
    cluster.delete(DEPLOYMENT, DEPLOYED, namespace="n")
    cluster.delete(CONFIG_MAP, "cmhot-probe", namespace="n")
    setup_of("second", cluster).create()
    cluster.deleted.clear()

    assert ours.remove() == []

    assert cluster.deleted == []
    assert owners(cluster) == {"cmhot-probe": "second", DEPLOYED: "second"}


class Blind(Shared):
    """A cluster that lets us look at nothing any more."""

    def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[list[dict[str, Any]], str]:
        """Refuse what is not a matter of nodes and pods."""
        if kind == DEPLOYMENT:
            msg = "GET deployments is not allowed"
            raise ClusterError(msg, status=403)
        return super().list(kind, namespace=namespace, labels=labels)


def test_what_cannot_be_looked_at_is_left_and_said() -> None:
    """Not knowing whose it is, we delete it not; the rest goes all the same."""
    cluster = Blind()
    ours = setup_of("r", cluster)
    ours.create()

    left = ours.remove()

    assert left == [(DEPLOYED, "GET deployments is not allowed")]
    assert cluster.deleted == ["configmaps/cmhot-probe"]


class Dying(Shared):
    """A cluster in front of which the collector loses its network, once."""

    away_from: int | None = 20

    def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, Any],
        *,
        namespace: str | None = None,
    ) -> dict[str, Any]:
        """Answer no more from a number on."""
        seq = int((body.get("data") or {}).get("seq", 0))
        if self.away_from is not None and seq >= self.away_from:
            msg = "PATCH failed (429): slow down"
            raise ClusterError(msg, status=429)
        return super().patch(kind, name, body, namespace=namespace)


def test_a_resumed_run_finds_its_own(tmp_path: Path) -> None:
    """What it left keeps others out, and not itself; at its end it is removed."""
    cluster = Dying()
    with pytest.raises(ClusterError, match="--resume") as ended:
        collect(cluster, LONG, out=tmp_path, run_id="first")
    cluster.away_from = None
    assert owners(cluster) == {"cmhot-probe": "first", DEPLOYED: "first"}
    with pytest.raises(UsageError, match="belongs to run first"):
        collect(cluster, PLAN, out=tmp_path, run_id="second")

    run = read_run(resume(cluster, tmp_path / "first"))

    assert ended.tb is not None  # a notebook keeps it, and by it the first's writer
    # a burst of refusals may well make the run invalid; it is over all the same
    assert run.meta["status"] in {"complete", "invalid"}
    assert (run.updates["status"] == "acked").iloc[-1]
    assert owners(cluster) == {}


def test_a_resumed_run_does_not_write_into_anothers_configmap(tmp_path: Path) -> None:
    """Where another run has made the ConfigMap anew, there is nothing to go on with."""
    cluster = Dying()
    with pytest.raises(ClusterError, match="--resume"):
        collect(cluster, PLAN, out=tmp_path, run_id="first")
    cluster.away_from = None
    cluster.apply(probe.config_map("cmhot-probe", run_id="second"), namespace="n")
    before = (tmp_path / "first" / "run.json").read_bytes()

    with pytest.raises(UsageError, match="belongs to run second"):
        resume(cluster, tmp_path / "first")

    assert (tmp_path / "first" / "run.json").read_bytes() == before
    assert owners(cluster)["cmhot-probe"] == "second"


OWN = replace(PLAN, namespace=None)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ({"team": "shop", "a": "b"}, r"of no run of cmhot \(labels: a=b, team=shop\)"),
        ({}, r"of no run of cmhot \(labels: none\)"),
        ({probe.RUN_LABEL: "another"}, "of run another"),
    ],
)
def test_a_namespace_that_is_there_is_never_adopted(
    tmp_path: Path, labels: dict[str, str], told: str
) -> None:
    """Nothing is put into it, it is not relabelled, and it is not deleted."""
    cluster = Shared()
    meta: dict[str, Any] = {"name": "cmhot-r", "labels": labels}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    before = cluster.get(NAMESPACE, "cmhot-r")

    with pytest.raises(UsageError, match=rf"cmhot-r.* is there already, {told}"):
        collect(cluster, OWN, out=tmp_path, run_id="r")

    assert cluster.get(NAMESPACE, "cmhot-r") == before
    assert cluster.deleted == []
    assert not (tmp_path / "r").exists()


def test_two_runs_of_one_name_do_not_meet(tmp_path: Path) -> None:
    """The second is refused, and the first goes on and removes its own."""
    cluster = Shared()
    said = ""

    def interfere(_: Progress) -> None:
        nonlocal said
        if not said:
            with pytest.raises(
                UsageError, match="of run r, and is left alone"
            ) as found:
                collect(cluster, OWN, out=tmp_path / "second", run_id="r")
            said = str(found.value)

    path = collect(cluster, OWN, out=tmp_path, run_id="r", progress=interfere)

    assert said
    assert read_run(path).meta["status"] == "complete"
    assert cluster.deleted == ["namespaces/cmhot-r"]


def test_a_namespace_that_took_the_place_of_ours_stays(tmp_path: Path) -> None:
    """Somebody deletes the run's namespace and makes one of its name."""
    cluster = Shared()
    meta = {"name": "cmhot-r", "uid": "theirs"}

    def interfere(now: Progress) -> None:
        if now.phase == "drain":
            cluster._store.remove(NAMESPACE, "cmhot-r", None)
            cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})

    path = collect(cluster, OWN, out=tmp_path, run_id="r", progress=interfere)

    assert read_run(path).meta["namespace_uid"] not in {None, "theirs"}
    assert cluster.get(NAMESPACE, "cmhot-r")["metadata"]["uid"] == "theirs"
