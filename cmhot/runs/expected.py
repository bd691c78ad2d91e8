"""Which law the delays in a table should follow: by setting, version and sharers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cmhot.law import law_for, mixture
from cmhot.runs import schema

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from cmhot.law import Law


def expected_law(
    delays: pd.DataFrame,
    *,
    version_of: Callable[[str], str | None] = lambda _: None,
) -> Law | None:
    """Give the law of the delays of one setting and consumer.

    Under a TTL the law depends on how many pods of a node share the ConfigMap:
    those in the table are taken for all. Nodes with different numbers have different
    laws, and each counts by its rows: pods times updates, as both estimators do.

    Parameters
    ----------
    delays
        Rows of one population, as `cmhot.runs.delays.delays` gives them.
    version_of
        Gives the version of a node's kubelet; None: current.

    Returns
    -------
    Law or None
        None where none is known: an unknown setting or TTL,
        or a consumer that keeps what it started with.
    """
    first = delays.iloc[0]
    setting = schema.setting_of({name: first[name] for name in schema.SETTING})
    if setting is None or first["consumer"] in schema.NEVER_UPDATED:
        return None
    laws, weights = [], []
    for node, pods, maps, rows in _sharing(delays):
        sharers = max(pods // maps, 1)
        law = law_for(setting, sharers=sharers, kubernetes=version_of(node))
        if law is None:
            return None
        laws.append(law)
        weights.append(rows)
    return mixture(laws, weights)


def _sharing(delays: pd.DataFrame) -> list[tuple[str, int, int, int]]:
    """List the nodes in a table: how many pods, ConfigMaps and rows each has."""
    names = ("node", "pod", "configmap")
    columns = [delays[name].astype("category").cat for name in names]
    codes = [column.codes.to_numpy(dtype=np.int64) + 1 for column in columns]
    sizes = [len(column.categories) + 1 for column in columns]
    flat = np.ravel_multi_index(codes, sizes)
    counts = np.bincount(flat, minlength=int(np.prod(sizes)))
    seen = np.flatnonzero(counts)
    node, pod, configmap = np.unravel_index(seen, sizes)
    return [
        (
            str(columns[0].categories[one - 1]),
            len(set(pod[node == one].tolist())),
            len(set(configmap[node == one].tolist())),
            int(counts[seen][node == one].sum()),
        )
        for one in sorted(set(node.tolist()))
    ]
