"""What a collection left is found by labels that our field manager owns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cmhot.cluster.model import ModelCluster
from cmhot.cluster.port import DEPLOYMENT, NAMESPACE
from cmhot.collector.cleanup import Leftover, find_leftovers, is_ours, remove
from cmhot.errors import ForbiddenError
from cmhot.kubelet.uses import CONFIG_MAP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cmhot.kubelet.uses import Kind

OURS = {"app.kubernetes.io/managed-by": "cmhot", "cmhot.dev/run": "r1"}
MADE = "2025-12-31T22:00:00Z"
"""Two hours before the model's clock begins."""


def made(
    name: str,
    *,
    namespace: str | None = None,
    labels: dict[str, str] | None = None,
    manager: str = "cmhot",
    written: str = MADE,
    **meta: str,
) -> dict[str, Any]:
    """Make an object as the API server shows one that `cmhot` applied."""
    labels = OURS if labels is None else labels
    owned: dict[str, Any] = {f"f:{key}": {} for key in labels}
    fields = {"f:metadata": {"f:labels": owned}}
    entry = {"manager": manager, "operation": "Apply", "time": MADE, "fieldsV1": fields}
    update = {"manager": "cmhot", "operation": "Update", "time": written}
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            **({} if namespace is None else {"namespace": namespace}),
            "labels": labels,
            "creationTimestamp": MADE,
            "managedFields": [entry, update],
            **meta,
        }
    }


class Left(ModelCluster):
    """A cluster on which things were left.

    Parameters
    ----------
    objects
        By kind; a kind that is not in it may not be listed.
    """

    def __init__(self, objects: Mapping[Kind, list[dict[str, Any]]]) -> None:
        super().__init__()
        self.objects = objects
        self.deleted: list[str] = []

    def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> tuple[list[dict[str, Any]], str]:
        """List those with the labels."""
        if kind not in self.objects:
            msg = f"GET {kind.plural} is not allowed: ask"
            raise ForbiddenError(msg, status=403)
        wanted = (labels or {}).items()
        return [
            one
            for one in self.objects[kind]
            if namespace in {None, one["metadata"].get("namespace")}
            and wanted <= one["metadata"]["labels"].items()
        ], "1"

    def delete(
        self,
        kind: Kind,
        name: str,
        *,
        namespace: str | None = None,
        uid: str | None = None,
    ) -> None:
        """Note it."""
        assert uid == f"uid-{name}"
        self.deleted.append(f"{kind.plural} {namespace}/{name}")


def nothing() -> dict[Kind, list[dict[str, Any]]]:
    """Give a cluster on which nothing was left."""
    return {NAMESPACE: [], DEPLOYMENT: [], CONFIG_MAP: []}


def test_what_is_in_our_namespace_goes_with_it() -> None:
    """A namespace that we made is one leftover, whatever is in it."""
    cluster = Left(
        {
            NAMESPACE: [made("cmhot-r1")],
            DEPLOYMENT: [made("d", namespace="cmhot-r1")],
            CONFIG_MAP: [made("c", namespace="cmhot-r1")],
        }
    )

    leftovers = find_leftovers(cluster)
    remove(cluster, leftovers)

    assert cluster.deleted == ["namespaces None/cmhot-r1"]


def test_in_a_namespace_of_others_only_ours_go() -> None:
    """Probes first, then their ConfigMap; the namespace stays."""
    cluster = Left(
        {
            DEPLOYMENT: [made("d", namespace="n"), made("e", namespace="other")],
            CONFIG_MAP: [
                made("c", namespace="n"),
                made("theirs", namespace="n", labels={"app": "x"}),
            ],
        }
    )

    remove(cluster, find_leftovers(cluster, namespace="n"))

    assert cluster.deleted == ["deployments n/d", "configmaps n/c"]


@pytest.mark.parametrize(
    ("one", "ours"),
    [
        (made("a"), True),
        (made("b", labels={"app.kubernetes.io/managed-by": "cmhot"}), False),
        (made("c", manager="kubectl"), False),
        (
            {"metadata": {**made("f", labels={"a": "b"})["metadata"], "labels": OURS}},
            False,
        ),
        ({"metadata": {"name": "d", "labels": OURS}}, False),
        ({"metadata": {"name": "e"}}, False),
    ],
    ids=[
        *("applied", "no run", "made by hand", "labelled by hand"),
        *("no field managers", "no labels"),
    ],
)
def test_labels_alone_are_no_proof(one: dict[str, Any], *, ours: bool) -> None:
    """A namespace on which somebody copied our labels is not ours."""
    assert is_ours(one["metadata"]) is ours
    cluster = Left(
        {**nothing(), NAMESPACE: [one] if "labels" in one["metadata"] else []}
    )
    assert bool(find_leftovers(cluster)) is ours


def test_what_is_going_away_is_left_alone() -> None:
    """A namespace that is being deleted needs no second deletion."""
    going = made("cmhot-r1", deletionTimestamp=MADE)

    assert find_leftovers(Left({**nothing(), NAMESPACE: [going]})) == []


def test_a_run_under_way_is_told_by_its_last_write() -> None:
    """Any object of the run that was written lately makes all of it so."""
    lately = "2025-12-31T23:59:57Z"
    cluster = Left(
        {
            **nothing(),
            NAMESPACE: [made("cmhot-r1")],
            CONFIG_MAP: [made("c", namespace="cmhot-r1", written=lately)],
        }
    )

    (found,) = find_leftovers(cluster)

    assert str(found) == (
        "namespaces/cmhot-r1, of run r1, made 2 hours ago, last written 3 seconds ago"
    )
    assert find_leftovers(cluster, idle_s=60) == []
    assert find_leftovers(cluster, idle_s=2) == [found]


def test_who_may_not_look_everywhere_can_look_in_one_place() -> None:
    """In one namespace, namespaces are not listed."""
    with pytest.raises(ForbiddenError, match="namespaces is not allowed"):
        find_leftovers(Left({DEPLOYMENT: [], CONFIG_MAP: []}))

    assert find_leftovers(Left({DEPLOYMENT: [], CONFIG_MAP: []}), namespace="n") == []


@pytest.mark.parametrize(
    ("age_s", "said"),
    [(0, "0 seconds"), (119, "119 seconds"), (7199, "120 minutes"), (2e5, "2 days")],
)
def test_ages_are_told_in_whole_units(age_s: float, said: str) -> None:
    """A person reads them."""
    one = Leftover(CONFIG_MAP, "c", "n", "r", "u", age_s, 0)

    assert f"made {said} ago" in str(one)
