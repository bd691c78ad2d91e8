"""Fast evaluation of a straight-line function with many corners at many points.

`numpy.interp` searches each point's corner anew. Where there are many points, a guide
table (Chen and Asau, Journal of Applied Statistics 23 (1974) 163-167) finds it
by one multiplication: most of its cells lie between two corners.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_MANY = 100_000
"""Points from which the table is worth making."""
_CELLS = 1 << 13
_CHUNK = 1 << 14
"""Points at a time, so that what lies between two steps stays in the cache."""


def evaluate(at: Floats, corners: Floats, values: Floats) -> Floats:
    """Give the values of the straight lines between corners, as `numpy.interp` does.

    Parameters
    ----------
    at
        Points, none of them NaN; any shape.
    corners, values
        The function; corners ascend, outside of them it is constant.
    """
    first, width = corners[0], corners[-1] - corners[0]
    if at.size < _MANY or not width > 0:
        return np.asarray(np.interp(at, corners, values))
    edges = first + width * np.arange(_CELLS + 1) / _CELLS
    heights = np.interp(edges, corners, values)
    slope = np.append(np.diff(heights) * (_CELLS / width), 0.0)
    base = heights - slope * edges
    # a cell with a corner in it is no straight line, nor are its neighbours to rounding
    bent = ((corners - first) * (_CELLS / width)).astype(np.intp)
    bent = np.clip(bent[:, None] + np.array([-1, 0, 1]), 0, _CELLS)
    slope[bent] = np.nan
    flat, found = at.ravel(), np.empty(at.size)
    for begin in range(0, at.size, _CHUNK):
        part = flat[begin : begin + _CHUNK]
        out = found[begin : begin + _CHUNK]
        inside = np.clip(part, first, corners[-1])
        cell = ((inside - first) * (_CELLS / width)).astype(np.intp)
        np.take(slope, cell, out=out, mode="clip")
        out *= inside
        out += base[cell]
        doubtful = np.isnan(out)
        out[doubtful] = np.interp(part[doubtful], corners, values)
    return found.reshape(at.shape)
