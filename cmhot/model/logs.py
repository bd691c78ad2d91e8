"""The log of a modelled probe, as the kubelet would give it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

import numpy as np

from cmhot.clock import NS_PER_S
from cmhot.model.kubelet import ns
from cmhot.model.nodes import READ_AFTER_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmhot.model.pods import Volume

NUMBER = "seq"
"""The key that a probe prints (`cmhot.port.probe`)."""


def printed(
    volume: Volume,
    contents: Sequence[Mapping[str, bytes]],
    *,
    at_ns: int,
    epoch_ns: int,
    since_ns: int | None,
) -> str:
    """Write the lines that the probe has printed since an instant, and no others.

    As the kubelet does, it starts at the whole second.

    Parameters
    ----------
    volume
        That the probe watches.
    contents
        What each number of a publication stands for.
    at_ns
        Now, nanoseconds since the model's start.
    epoch_ns
        The model's start, UTC epoch nanoseconds.
    since_ns
        Leave out older lines, UTC epoch nanoseconds; None: none are.
    """
    instants, late = volume.instants_ns, ns(READ_AFTER_S)
    first = 0
    if since_ns is not None:
        second_ns = since_ns // NS_PER_S * NS_PER_S
        first = bisect_left(instants, second_ns - epoch_ns - late)
    until = bisect_right(instants, at_ns - late)
    if first >= until:
        return ""
    published_ns = np.array(instants[first:until]) + epoch_ns
    read = np.datetime_as_string((published_ns + late).view("M8[ns]"))
    published = np.datetime_as_string(published_ns.view("M8[ns]"))
    lines = [
        f"{stamp}Z publication {contents[number].get(NUMBER, b'').decode()} "
        f"{modified.replace('T', ' ')} +0000\n"
        for stamp, number, modified in zip(
            read.tolist(),
            volume.numbers[first:until],
            published.tolist(),
            strict=True,
        )
    ]
    return "".join(lines)
