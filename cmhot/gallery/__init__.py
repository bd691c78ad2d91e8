"""The figures that can be asked for by name, each with its words and its numbers.

`cmhot.plots` draws a table on Axes; a named figure knows more: which question it
answers, what of a run it needs, and what there is to say of it, in English and in
Chinese, with the numbers of that run. Notebooks, the report and ``cmhot figure``
publish the same ones. A module a figure; `material` is what they are made of.
"""

from cmhot.gallery.index import ALIASES, FIGURES, NAMES, named
from cmhot.gallery.material import Material, Source
from cmhot.gallery.named import NamedFigure, Telling
from cmhot.gallery.publishing import Published, publish

__all__ = [
    "ALIASES",
    "FIGURES",
    "NAMES",
    "Material",
    "NamedFigure",
    "Published",
    "Source",
    "Telling",
    "named",
    "publish",
]
