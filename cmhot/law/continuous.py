"""The law that forgets the tick: closed forms, for quick sums and for checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cmhot.errors import UsageError
from cmhot.kubelet import JITTER, TICK_S

if TYPE_CHECKING:
    import numpy.typing as npt

    from cmhot.settings import Setting

    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ContinuousLaw:
    """The delay with a sync interval that is uniform from a to b.

    A tick is waited for half a second on average, so a = S + ½ and b = 1.5 S + ½.
    Good to 0.02 s in each quantile at S = 60 s; for S of a few seconds the tick
    dominates, and `law_for` is to be asked.

    Attributes
    ----------
    a, b
        Shortest and longest interval, seconds.
    """

    a: float
    b: float

    @classmethod
    def of(cls, setting: Setting) -> ContinuousLaw:
        """Make it for a setting where each sync reads new content."""
        s = setting.sync_frequency_s
        return cls(s + TICK_S / 2, s * (1 + JITTER) + TICK_S / 2)

    @property
    def mean_interval_s(self) -> float:
        """μ = (a + b) / 2, seconds."""
        return (self.a + self.b) / 2

    @property
    def mean_s(self) -> float:
        """E[X²] / 2 E[X], seconds."""
        a, b = self.a, self.b
        return (a * a + a * b + b * b) / (3 * (a + b))

    @property
    def variance_s2(self) -> float:
        """E[X³] / 3 E[X] less the mean squared, seconds squared."""
        third = (self.b**4 - self.a**4) / (4 * (self.b - self.a))
        return third / (3 * self.mean_interval_s) - self.mean_s**2

    def cdf(self, t: npt.ArrayLike) -> Floats:
        """Give F: t/μ up to a, then less (t - a)² / 2 (b - a) μ, then 1."""
        x = np.clip(np.asarray(t, dtype=np.float64), 0.0, self.b)
        bend = np.maximum(x - self.a, 0.0) ** 2 / (2 * (self.b - self.a))
        return np.asarray((x - bend) / self.mean_interval_s)

    def quantile(self, p: npt.ArrayLike) -> Floats:
        """Invert F in closed form: p μ up to a, then b - √((b-a)² - 2(b-a)(pμ-a)).

        Raises
        ------
        UsageError
            When a probability lies outside 0 … 1.
        """
        shares = np.asarray(p, dtype=np.float64)
        if not np.all((shares >= 0) & (shares <= 1)):
            msg = f"no quantile at {p!r}: a quantile is asked for between 0 and 1"
            raise UsageError(msg)
        width = self.b - self.a
        straight = shares * self.mean_interval_s
        beyond = np.maximum(straight - self.a, 0.0)
        root = np.sqrt(np.maximum(width**2 - 2 * width * beyond, 0.0))
        return np.asarray(np.where(straight <= self.a, straight, self.b - root))
