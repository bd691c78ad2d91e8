"""How fast the law answers, against numpy's evaluation of a polynomial of degree 8."""

from __future__ import annotations

import statistics
import sys
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.common import CLOCK, Result, publish
from cmhot.kubelet.eras import TYPICAL
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.law import ContinuousLaw, law_for

if TYPE_CHECKING:
    from collections.abc import Callable

POINTS, ROUNDS = 1_000_000, 15
MOST = 3.0


def ratio(ours: Callable[[], object], peer: Callable[[], object]) -> float:
    """Time both in turn; return the median of the paired ratios."""
    ratios = []
    for _ in range(ROUNDS + 1):
        began = CLOCK.monotonic()
        ours()
        between = CLOCK.monotonic()
        peer()
        ratios.append((between - began) / (CLOCK.monotonic() - between))
    return statistics.median(ratios[1:])


def main() -> int:
    """Measure quantiles of each kind of law."""
    rng = np.random.default_rng(1)
    shares, coefficients = rng.random(POINTS), rng.random(9)
    idle = law_for(Setting(60))
    cached = law_for(Setting(60, Strategy.CACHE, 60), sharers=5)
    blurred = law_for(Setting(60), timing=TYPICAL)
    laws = {"idle": idle, "cached": cached, "with loops": blurred}
    results = [
        Result(
            f"quantiles, {name}, over a polynomial",
            ratio(
                partial(law.quantile, shares), partial(np.polyval, coefficients, shares)
            ),
            "",
            MOST,
        )
        for name, law in {**laws, "continuous": ContinuousLaw.of(Setting(60))}.items()
        if law is not None
    ]
    return 0 if publish("law", results, points=POINTS, rounds=ROUNDS) else 1


if __name__ == "__main__":
    sys.exit(main())
