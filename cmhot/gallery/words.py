"""Numbers and lists in sentences, in English and in Chinese."""

# ruff: noqa: RUF001 - Chinese punctuation is as it should be
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cmhot.plots.words import setting_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cmhot.summaries.summary import SettingSummary, Summary

VOLUME = "volume"
"""The consumer that the law is about."""


def seconds(value: float | None, lang: str = "en") -> str:
    """Write seconds to a tenth: ``12.9 s``."""
    if value is None:
        return "unknown" if lang == "en" else "未知"
    return f"{value:.1f} s" if lang == "en" else f"{value:.1f} 秒"


def listing(parts: Sequence[str], lang: str = "en") -> str:
    """Join parts as a sentence does: ``a, b and c``."""
    if len(parts) < 2:  # noqa: PLR2004 - one needs no "and"
        return "".join(parts)
    comma, and_ = (", ", " and ") if lang == "en" else ("、", "和")
    if any(comma in part for part in parts):  # a name with a comma in it
        comma = "; " if lang == "en" else "；"
    if lang != "en":  # between Chinese and Latin there is room
        before, after = parts[-2][-1:], parts[-1][:1]
        and_ = f"{' ' * before.isascii()}{and_}{' ' * after.isascii()}"
    return f"{comma.join(parts[:-1])}{and_}{parts[-1]}"


def percent(share: float) -> str:
    """Write a share in whole percent: ``71 %``."""
    return f"{share * 100:.0f} %"


def counted(number: float | None, thing: str) -> str:
    """Write a number of things: ``1 pod``, ``2 pods``."""
    said = "–" if number is None else f"{number:g}"
    return f"{said} {thing}{'' if number == 1 else 's'}"


def joined(sentences: Sequence[str], lang: str = "en") -> str:
    """Make a paragraph of sentences."""
    return (" " if lang == "en" else "").join(sentences)


def name_of(own: SettingSummary, summary: Summary, lang: str = "en") -> str:
    """Name a setting: ``10 s, Watch``; with its consumer where there are several."""
    name = own.name if lang == "en" else setting_name(own.population, lang)
    consumers = {one.population["consumer"] for one in summary.settings}
    several = len(consumers) > 1
    comma = ", " if lang == "en" else "，"
    return f"{name}{comma}{own.population['consumer']}" if several else name


def names_of(summary: Summary, lang: str = "en") -> str:
    """List the settings of a summary, each once."""
    names = [name_of(own, summary, lang) for own in summary.settings]
    return ("; " if lang == "en" else "；").join(dict.fromkeys(names))


def sync_of(population: Mapping[str, Any], lang: str = "en") -> str:
    """Name the `syncFrequency` in a row: ``10 s``."""
    sync_s = population["sync_frequency_s"]
    if sync_s is None:
        return "an unknown one" if lang == "en" else "未知"
    return f"{sync_s:g} s" if lang == "en" else f"{sync_s:g} 秒"
