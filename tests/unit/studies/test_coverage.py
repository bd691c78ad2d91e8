"""A quick look at what `studies.coverage` counts in earnest: intervals cover."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from studies.coverage import Line
from studies.experiments import EXPERIMENTS

if TYPE_CHECKING:
    from studies.experiments import Experiment

QUICK = [
    one
    for one in EXPERIMENTS
    if (one.what, one.blocks)
    in {
        ("confidence, by refreshes", "6 pods, 3 min"),
        ("confidence, by delays", "6 pods, 3 min"),
        ("exact_quantile", "p90, 36 independent delays"),
        ("never_updates", "20 pods"),
        ("lattice_test, the law itself", "6 pods, 2 min"),
    }
    and one.setting in {"10 s, Watch", "any"}
]


@pytest.mark.parametrize("one", QUICK, ids=lambda one: one.what)
def test_a_quick_look(one: Experiment) -> None:
    """In 150 runs coverage is at least 89 %, and a test errs in 10 % at most.

    The nominal share less three standard errors, with a little for few blocks.
    """
    rng = np.random.default_rng(11)
    hits: dict[str, int] = {}
    for _ in range(150):
        for name, hit in one.run(rng).items():
            hits[name] = hits.get(name, 0) + bool(hit)

    if one.kind == "test":
        assert max(hits.values()) <= 15
    else:
        assert min(hits.values()) >= 134


def test_five_are_looked_at() -> None:
    """The quick look did not lose its experiments to a new name."""
    assert len(QUICK) == 5


@pytest.mark.parametrize(
    ("kind", "hits", "holds"),
    [
        ("exact", 1881, True),
        ("exact", 1880, False),
        ("approximate", 1860, True),
        ("approximate", 1859, False),
        ("power", 1600, True),
        ("power", 1599, False),
    ],
)
def test_what_coverage_must_be(kind: str, hits: int, holds: bool) -> None:  # noqa: FBT001
    """Of 2000: exact ≥ 95 % - 2 SE (0.97 %), approximate ≥ 93 %, power ≥ 80 %."""
    line = Line("f", "s", "b", kind, 0.95, 2000, {"p50": hits, "p99": 2000})  # type: ignore[arg-type]

    assert line.critical == "p50"
    assert line.holds is holds


@pytest.mark.parametrize(("hits", "holds"), [(119, True), (120, False)])
def test_what_a_test_may_err(hits: int, holds: bool) -> None:  # noqa: FBT001
    """Of 2000 at 5 %: at most 5 % + 2 SE (0.97 %), in the worst of its statistics."""
    line = Line("f", "s", "b", "test", 0.05, 2000, {"a": hits, "b": 3})

    assert line.critical == "a"
    assert line.holds is holds
