"""Tables of which the truth is known, with the dependence that kubelets make."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.clock import NS_PER_S
from cmhot.kubelet.eras import Timing
from cmhot.law import Law, law_for, reads_at_every_sync
from cmhot.statistics.hypotheses import draw_looks
from cmhot.statistics.population import refresh_cdf, refresh_ends

if TYPE_CHECKING:
    import numpy.typing as npt

    from cmhot.kubelet.settings import Setting

    Floats = npt.NDArray[np.float64]
    Codes = npt.NDArray[np.int64]

TIMING = Timing(sync_s=0.01)
"""Of the simulated kubelets: ticks, volume loops and a sync's own 10 ms."""

T0 = 1_767_225_600_000_000_000


LONG_NODES, LONG_S = 400, 7200.0
"""Size of the draw that is the truth where pods share a cache."""


@lru_cache(maxsize=16)
def truth(setting: Setting, *, sharers: int = 1) -> Law:
    """Give the law that the tables are drawn from.

    Of pods that share a cache `law_for` is an approximation, good to 0.5 %;
    long tables have narrower intervals, so there the truth is a long draw.
    """
    if sharers > 1 and not reads_at_every_sync(setting):
        rng = np.random.default_rng(0)
        tables = [
            draw_refresh(setting, rng, pods=sharers, window_s=LONG_S, sharers=sharers)
            for _ in range(LONG_NODES)
        ]
        least, most = refresh_ends(pd.concat(tables))
        t, share = refresh_cdf(least, most)
        every = np.linspace(0, len(t) - 1, 4001).astype(np.int64)
        return Law(t[every], share[every], float(t[-1]))
    law = law_for(setting, sharers=sharers, timing=TIMING)
    if law is None:
        msg = f"no law at {setting}"
        raise ValueError(msg)
    return law


def draw_refresh(
    setting: Setting,
    rng: np.random.Generator,
    *,
    pods: int,
    window_s: float,
    sharers: int = 1,
) -> pd.DataFrame:
    """Draw the refresh intervals that begin in a window, as a run gives them."""
    entry = _entries(setting, pods, sharers)
    looks, current = draw_looks(
        setting, rng, entry=entry, until_s=window_s, timing=TIMING
    )
    shows = np.diff(current, axis=1, prepend=np.nan) > 0  # a look with something new
    shows[:, 0] = True
    pod, place = np.nonzero(shows)
    same = pod[1:] == pod[:-1]
    start, pod = current[pod, place][:-1][same], pod[1:][same]
    published = looks[shows][1:][same]
    shown = current[shows][1:][same]
    kept = (start >= 0) & (start < window_s)
    if not reads_at_every_sync(setting):
        published = np.where(published > shown, published, shown)
    return pd.DataFrame(
        {
            **_names(setting, pod[kept], entry),
            "start_ns": _ns(start[kept]),
            "published_ns": _ns(published[kept]),
            "least_s": published[kept] - shown[kept],
            "most_s": published[kept] - start[kept],
        }
    )


def draw_delays(
    setting: Setting,
    rng: np.random.Generator,
    *,
    pods: int,
    window_s: float,
    sharers: int = 1,
    gaps_s: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Draw the delays of updates that all pods see; each is observed.

    Gaps between updates are uniform, by default from S/12 to S/4, as a plan has them.
    """
    s = setting.sync_frequency_s
    low, high = gaps_s or (s / 12, s / 4)
    made = np.cumsum(rng.uniform(low, high, int(window_s / low) + 1))
    made = made[made < window_s]
    entry = _entries(setting, pods, sharers)
    looks, current = draw_looks(
        setting, rng, entry=entry, until_s=window_s, timing=TIMING
    )
    sync = np.array([np.searchsorted(own, made, "left") for own in current])
    delay = np.take_along_axis(looks, sync, axis=1) - made
    pod = np.repeat(np.arange(pods), len(made))
    acked = _ns(np.tile(made, pods))
    return pd.DataFrame(
        {
            **_names(setting, pod, entry),
            "seq": np.tile(np.arange(1, len(made) + 1), pods),
            "acked_ns": acked,
            "published_ns": acked + _ns(delay.ravel()) - T0,
            "delay_s": delay.ravel(),
            "waited_s": delay.ravel(),
            "status": pd.Categorical(["observed"] * pod.size),
            "sync": sync.ravel(),
        }
    )


def _entries(setting: Setting, pods: int, sharers: int) -> Codes:
    """Put pods on nodes: all on one, or so many that so many share each cache."""
    if reads_at_every_sync(setting):
        return np.zeros(pods, dtype=np.int64)
    return np.arange(pods) // sharers


def _names(setting: Setting, pod: Codes, entry: Codes) -> dict[str, Any]:
    """Say whose rows they are."""
    return {
        "sync_frequency_s": setting.sync_frequency_s,
        "strategy": setting.strategy.value,
        "ttl_s": setting.ttl_s,
        "consumer": "volume",
        "node": _coded("n", entry[pod]),
        "pod": _coded("p", pod),
        "configmap": "probe",
    }


def _coded(letter: str, codes: Codes) -> pd.Categorical[str]:
    most = int(codes.max(initial=0)) + 1
    names = pd.Index([f"{letter}{k}" for k in range(most)])
    return pd.Categorical.from_codes(codes, categories=names)


def _ns(seconds: Floats) -> Codes:
    return T0 + (seconds * NS_PER_S).round().astype(np.int64)
