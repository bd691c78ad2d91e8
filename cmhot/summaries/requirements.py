"""Thresholds such as ``p99<90s``, judged so that a doubtful case fails."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmhot.errors import UsageError
from cmhot.runs import schema
from cmhot.settings import parse_duration
from cmhot.summaries.summary import LOCATIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cmhot.summaries.summary import SettingSummary, Summary


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a requirement held at one setting.

    Attributes
    ----------
    requirement
        As it was asked for.
    ok
        Whether the one-sided 95 % bound keeps it.
    detail
        The bound, or why there is none, in a sentence.
    """

    requirement: str
    ok: bool
    detail: str


def check_requirements(
    summary: Summary, requirements: Iterable[str]
) -> tuple[Judgement, ...]:
    """Judge requirements such as ``p99<90s``, at each setting of a summary.

    A requirement holds when the one-sided 95 % bound keeps it:
    the data must show it, so too little data fails.

    Raises
    ------
    UsageError
        When a requirement cannot be read.
    """
    return tuple(
        _judge(own, requirement, *_parse_requirement(requirement))
        for requirement in requirements
        for own in summary.settings
    )


def _parse_requirement(text: str) -> tuple[str, float]:
    names = [name.removesuffix("_s") for name in LOCATIONS]
    match = re.fullmatch(rf"\s*({'|'.join(names)})\s*<([^<=]+)", text)
    if match is None:
        msg = (
            f"cannot read the requirement {text!r}: write one of {', '.join(names)}, "
            "then < and a duration, such as 'p99<90s' "
            "(a maximum only grows with the number of trials, so it cannot be required)"
        )
        raise UsageError(msg)
    return f"{match[1]}_s", parse_duration(match[2])


def _judge(
    own: SettingSummary, requirement: str, statistic: str, limit_s: float
) -> Judgement:
    bound = own.upper_95[statistic]
    where = f"{own.name}, {own.population['consumer']}"
    lost = {name: own.counts[f"n_{name}"] for name in schema.DEAD_ENDS}
    if bound is not None:
        ok = bound < limit_s
        sign = "<" if ok else "≥"
        detail = f"{where}: 95 % upper bound {bound:.2f} s {sign} {limit_s:g} s"
        return Judgement(requirement, ok, detail)
    why = own.too_few or "no upper limit follows from them"
    detail = (
        f"{where}: too little data for a bound: {why}; {own.counts['n_delays']} delays "
        f"observed, {sum(lost.values())} waited for in vain"
    )
    return Judgement(requirement, ok=False, detail=detail)
