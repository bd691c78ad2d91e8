"""What is said of kubelets: eras by version, and costs that can be."""

from __future__ import annotations

import pytest

from cmhot.errors import UsageError
from cmhot.kubelet.eras import (
    CURRENT,
    ERAS,
    Invalidation,
    Timing,
    caveat,
    era_of,
    find_era,
)
from cmhot.kubelet.settings import Setting
from cmhot.law import law_for, reads_at_every_sync
from cmhot.law.prediction import predict


@pytest.mark.parametrize(
    ("version", "invalidation"),
    [
        ("v1.9.6", Invalidation.POD_UPDATE),
        ("v1.12.0", Invalidation.POD_UPDATE),
        ("v1.20.2", Invalidation.POD_UPDATE),
        ("v1.22.8", Invalidation.POD_UPDATE),
        ("v1.22.9", Invalidation.EVERY_SYNC),
        ("v1.22.17-gke.800", Invalidation.EVERY_SYNC),
        ("v1.23.5+k3s1", Invalidation.POD_UPDATE),
        ("v1.23.6", Invalidation.EVERY_SYNC),
        ("1.21", Invalidation.POD_UPDATE),
        ("1.23", Invalidation.EVERY_SYNC),
        ("v1.24.0", Invalidation.EVERY_SYNC),
        ("v1.28.15", Invalidation.EVERY_SYNC),
        ("v1.29.0-rc.1", Invalidation.NEW_POD),
        ("v1.37.1+k3s1", Invalidation.NEW_POD),
        ("modelled v1.28.15", Invalidation.EVERY_SYNC),
    ],
)
def test_eras_by_version(version: str, invalidation: Invalidation) -> None:
    """What forgets a cached entry changed in 1.24, 1.23.6, 1.22.9 and again in 1.29."""
    assert era_of(version).invalidation is invalidation


@pytest.mark.parametrize("version", [None, "modelled", "", "v0.0.0-master+$Format:%H$"])
def test_an_unknown_version_is_current(version: str | None) -> None:
    """Where no version is known, today's kubelet is meant."""
    assert era_of(version) is CURRENT is ERAS[-1]


def test_older_versions_than_were_read_are_refused() -> None:
    """The blog post's 1.9.6 is the oldest kubelet that is known."""
    with pytest.raises(UsageError, match=r"begins with 1\.9"):
        era_of("v1.8.15")


@pytest.mark.parametrize(("version", "has"), [("v1.11.10", False), ("v1.12.0", True)])
def test_strategies_came_with_1_12(version: str, *, has: bool) -> None:
    """Before it the kubelet always cached, and there was nothing to choose."""
    assert era_of(version).has_strategies is has


@pytest.mark.parametrize(
    "nonsense", ["128", "1,28", "foo", "latest", "1.28foo", "2.1.30", "modelled x"]
)
def test_what_is_no_version_is_refused(nonsense: str) -> None:
    """A typing error is not taken for today's kubelet; the message says what is."""
    with pytest.raises(UsageError, match=r"is no version.*1\.28 or v1\.28\.15"):
        era_of(nonsense)


@pytest.mark.parametrize("version", ["fake", "kwok-v0.7.0", "v1.11.0-vk", "v1.8.15"])
def test_no_law_is_known_for_what_is_no_kubelet(version: str) -> None:
    """By no strategy, and no kubelet's law stands in; only `era_of` refuses it."""
    assert find_era(version) is None
    assert law_for(Setting(60), kubernetes=version) is None
    assert reads_at_every_sync(Setting(60), version) is None
    assert "no law is known" in str(caveat(version))
    with pytest.raises(UsageError):
        predict(Setting(60), kubernetes=version)


def test_a_newer_version_is_assumed_to_be_alike() -> None:
    """Else each release of Kubernetes would end every comparison; it is told."""
    assert find_era("v1.99.0") is CURRENT
    assert "newer than 1.37" in str(caveat("v1.99.0"))
    assert caveat("v1.37.1") is caveat(None) is None


def test_eras_are_in_order() -> None:
    """Each era begins after the one before."""
    since = [era.since for era in ERAS]

    assert since == sorted(set(since))
    assert [era.probes_sync for era in ERAS] == [False] * 2 + [True] * 4


@pytest.mark.parametrize("wrong", [-0.001, 1.0, float("nan")])
def test_costs_are_seconds_below_one(wrong: float) -> None:
    """A sync that takes a tick or runs backwards is refused."""
    with pytest.raises(UsageError, match="sync_s"):
        Timing(sync_s=wrong)
