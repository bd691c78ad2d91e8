"""Refreshing a workload's pods, in virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cmhot import explain, refresh
from cmhot.errors import ClusterError, ForbiddenError, UsageError
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.propagation.workload import REMEMBERED
from tests.unit.living import Living
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
    assert done.seconds == pytest.approx(1.2)
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
        *["touched 1 pods again: they had read too early"] * 2,
    ]


def test_annotate_keeps_to_its_rate(living: Hindered) -> None:
    """Two a second: the first two at once, then the third."""
    living.update("2")

    done = refresh(living, "deployment/web", method="annotate", rate_per_s=2)

    assert done.ok
    assert done.seconds == pytest.approx(1.2)


def test_annotate_says_where_it_cannot_force_anything() -> None:
    """Under Cache with a TTL, from 1.29 on."""
    living = Living(setting=CACHING)
    living.deploy(3)

    done = refresh(living, "deployment/web", method="annotate", dry_run=True)

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
    assert set(living.pods) == {"web-3", "web-4", "web-5"}


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
        (("rollout", {}, {"paused": True}), (), "kubectl rollout resume"),
        (("rollout", {}, {"strategy": {"type": "OnDelete"}}), (), "delete them"),
        (("recreate", {}, {"replicas": 0}), (), "nothing to recreate"),
        (("restart", {}, {}), (), "choose one of annotate, rollout, recreate"),
        (("recreate", {}, {}), ("vpa",), "it takes hpa or pdb"),
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
