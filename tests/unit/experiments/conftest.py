"""A modelled cluster for the experiments."""

from __future__ import annotations

import pytest

from cmhot.cluster.model import ModelCluster
from cmhot.kubelet.settings import Setting

FAST = (Setting(5), Setting(10))


@pytest.fixture
def cluster() -> ModelCluster:
    """Have a node of 5 s and one of 10 s."""
    return ModelCluster(FAST)
