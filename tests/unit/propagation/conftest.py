"""A cluster in memory for what explains, waits and refreshes."""

from __future__ import annotations

import pytest

from tests.unit.living import Living


@pytest.fixture
def living() -> Living:
    """Have three pods that never get an update by themselves."""
    cluster = Living()
    cluster.deploy(3)
    return cluster
