"""The parts of every named figure: its material, what it shows, and its words.

A module of a figure reads `Material` (runs, or a table) and gives a `Subject`, which
can be drawn, has numbers, and describes itself in English and in Chinese.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cmhot.errors import UsageError
from cmhot.kubelet.settings import Strategy
from cmhot.law import reads_at_every_sync
from cmhot.plots.files import NARROW, WIDE
from cmhot.plots.words import Pair, distinct_names, listing, say, seconds, semicolons
from cmhot.runs import schema
from cmhot.runs.delays import pool
from cmhot.runs.rundir import read_meta, read_run
from cmhot.statistics import GROUP
from cmhot.statistics.blocks import clock_bound_s
from cmhot.statistics.inference import may_lack_settings, with_inferred
from cmhot.statistics.summarise import check_valid, summarise, tables_of
from cmhot.statistics.summary import TOLD_FROM_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from matplotlib.axes import Axes

    from cmhot.runs.rundir import Run
    from cmhot.statistics.summary import Summary

    Row = Mapping[str, Any]
    Population = tuple[dict[str, Any], pd.DataFrame]


@dataclass(frozen=True, slots=True)
class NamedFigure:
    """A figure that can be asked for by its name.

    Attributes
    ----------
    name
        Of the figure and its files.
    question
        What it answers, by language.
    needs
        What it is drawn from, in words that follow "it needs".
    read
        Takes the data of the figure from the material; raises where they are not in it.
    wide, narrow
        Width and height in inches, on a page and on a phone.
    """

    name: str
    question: Mapping[str, str]
    needs: str
    read: Callable[[Material], Subject]
    wide: tuple[float, float] = WIDE
    narrow: tuple[float, float] = NARROW


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What one figure shows, ready to be drawn and described.

    Attributes
    ----------
    source
        Where what is drawn comes from.
    draw
        Draws it, when called with ``ax``, ``modelled`` and ``lang``.
    numbers
        What it shows, for programs; as JSON has it.
    describe
        Says what it shows, in the language that it is called with.
    """

    source: Source
    draw: Callable[..., Axes]
    numbers: dict[str, Any]
    describe: Callable[[str], Description]


@dataclass(frozen=True, slots=True)
class Description:
    """The words about a figure, in one language, as plain text.

    Attributes
    ----------
    title
        What it shows, in a few words.
    alt
        What it shows, with its numbers, for readers who cannot see it.
    caption
        What is drawn, how many, at which setting, from where.
    paragraph
        What follows from it; each number is that of the data.
    """

    title: str
    alt: str
    caption: str
    paragraph: str


def describe(
    words: Mapping[str, Pair], lang: str, *, paragraph: str = "", **values: object
) -> Description:
    """Fill the templates of title, alt, caption and paragraph in a language.

    A ``paragraph`` given here replaces the template: it has sentences for each case.
    """
    filled = {name: say(pair, lang, **values) for name, pair in words.items()}
    return Description(**({"paragraph": paragraph} | filled))


@dataclass(frozen=True, slots=True)
class Source:
    """Where a figure's data come from.

    Attributes
    ----------
    runs
        Ids of the runs; empty: a table of another origin.
    kubelets
        Versions of the kubelets.
    modelled
        Whether nothing was measured.
    setting
        The setting in words, such as ``60 s, Watch``; None: each figure says its own.
    data_set
        What the data are published as, such as ``cmhot study of 2026-11``: readers are
        told that, and not the runs. None: they are not published.
    clock_bound_s
        By how much each delay that is shown may be wrong, since clocks are known no
        better; 0: none is between two clocks. None: they were not compared.
    """

    runs: tuple[str, ...] = ()
    kubelets: tuple[str, ...] = ()
    modelled: bool = False
    setting: str | None = None
    data_set: str | None = None
    clock_bound_s: float | None = 0.0

    @classmethod
    def of(cls, metas: Sequence[Row]) -> Source:
        """Make the source of some runs from their run.json."""
        data_sets = {meta.get("data_set") for meta in metas}
        versions = [version for meta in metas for version in _versions(meta) if version]
        return cls(
            runs=tuple(str(meta["run_id"]) for meta in metas),
            kubelets=tuple(sorted({str(version) for version in versions})),
            modelled=any(bool(meta.get("modelled")) for meta in metas),
            data_set=data_sets.pop() if len(data_sets) == 1 else None,
        )

    @property
    def kubernetes(self) -> str | None:
        """Version of the kubelets, where there is but one."""
        return self.kubelets[0] if len(self.kubelets) == 1 else None

    def with_clocks(self, delays: pd.DataFrame) -> Source:
        """Add what clocks may have added to the delays of a table, if it says so."""
        if self.modelled or delays.empty or "clock_bound_s" not in delays:
            return self
        return replace(self, clock_bound_s=clock_bound_s(delays))

    def short(self, lang: str = "en") -> str:
        """Name the data set or the runs, for a short line; empty: there are none."""
        if self.data_set is not None:
            return self._published_as(lang)
        return f"{self._run_or_runs()} {', '.join(self.runs)}" if self.runs else ""

    def sentence(self, lang: str = "en") -> str:
        """Write the source as a sentence, for a caption, and what clocks add."""
        return self._origin(lang) + self._clocks(lang)

    def _clocks(self, lang: str) -> str:
        if self.clock_bound_s is None:
            return say(_NO_CLOCKS, lang)
        if self.clock_bound_s < TOLD_FROM_S:
            return ""
        return say(_CLOCKS, lang, bound=self.clock_bound_s)

    def _origin(self, lang: str) -> str:
        if self.data_set is not None:
            return say(_DATA_SET, lang, name=self._published_as(lang))
        if self.modelled:
            words = _MODELLED
        else:
            words = _MEASURED_ON if self.kubelets else _MEASURED
        said = say(words, lang, kubelets=listing(self.kubelets, lang))
        if self.runs:
            runs = f"{self._run_or_runs()} {listing(self.runs, lang)}"
            said += say(("; ", "；"), lang) + runs
        return said + say((".", "。"), lang)

    def setting_sentence(self, lang: str) -> str:
        """Write the setting as a sentence; empty: the source names none."""
        if not self.setting:
            return ""
        said = f"{self.setting}. "
        return said if lang == "en" else said.replace(". ", "。")

    def _published_as(self, lang: str) -> str:
        """Write ``cmhot study of 2026-11, Kubernetes 1.37.1``."""
        versions = listing([one.removeprefix("v") for one in self.kubelets], lang)
        return say("with", lang, name=self.data_set, more=f"Kubernetes {versions}")

    def _run_or_runs(self) -> str:
        return "run" if len(self.runs) == 1 else "runs"


_MODELLED = Pair(
    "Modelled, not measured: no kubelet was involved",
    "模型结果，非实测：未涉及任何 kubelet",
)
_DATA_SET = Pair("Measured: {name}.", "实测：{name}。")
_CLOCKS = Pair(
    " Clocks are known to ± {bound:.2g} s: each delay may be wrong by that, which "
    "limits allow for.",
    "时钟差的误差不超过 ± {bound:.2g} 秒：各延迟的误差可达此值，已计入置信限。",
)
_NO_CLOCKS = Pair(" Clocks were not compared.", "未比较各时钟。")
_MEASURED = Pair("Measured", "实测")
_MEASURED_ON = Pair("Measured on kubelet {kubelets}", "在 kubelet {kubelets} 上实测")


def _versions(meta: Row) -> Sequence[Any]:
    """Give the kubelets' versions, or that of the API server."""
    return [*(meta.get("kubelets") or {}).values()] or [meta.get("kubernetes")]


@dataclass(frozen=True)
class Material:
    """Runs and a table, and what follows from them, computed once.

    Attributes
    ----------
    paths
        Run directories; may be empty.
    table
        The table to draw; None: the one that the runs give.
    given
        The source by the caller's word; None: by the runs.
    modelled
        Whether nothing was measured, by the caller's word; None: by the source.
    """

    paths: tuple[Path, ...] = ()
    table: pd.DataFrame | None = None
    given: Source | None = None
    modelled: bool | None = None

    def table_of(self, measured: str) -> pd.DataFrame:
        """Give the table of what no run has; ``measured`` says how it is made.

        Raises `UsageError` where runs were given instead.
        """
        if self.table is None:
            msg = (
                f"{measured}, not by a run: leave out --run for those that come with "
                "cmhot"
            )
            raise UsageError(msg)
        return self.table

    @cached_property
    def source(self) -> Source:
        """Where the data come from."""
        return self._source(self.metas if self.paths and not self.given else [])

    def source_of(self, rows: pd.DataFrame) -> Source:
        """Give the source of rows of the pooled tables: only the runs they are from.

        Of the table that was given it is the one that was given with it.
        """
        if self.table is not None:
            return self.source.with_clocks(rows)
        pooled = {str(node) for node in rows["node"].unique()}
        drawn = {node.partition("/")[0] for node in pooled}
        metas = [meta for meta in self.metas if meta["run_id"] in drawn]
        return self._source(metas).with_clocks(rows)

    def source_at(self, table: pd.DataFrame) -> Source:
        """Give the source of rows of `Summary.table`: the runs with their settings.

        A run of which a setting is not known is kept: it may be one of them.
        Clocks add to delays, and to intervals that begin with a fetch, but to none
        between two stamps of a node.
        """
        moved = table[
            [
                row.get("intervals_p50_s") is None or not reads_each_sync(row)
                for row in records(table)
            ]
        ]
        if self.table is not None:
            return self.source.with_clocks(moved)
        drawn = {
            tuple(None if pd.isna(value) else value for value in row)
            for row in table[[*schema.SETTING]].itertuples(index=False, name=None)
        }
        found = [
            meta
            for meta in self.metas
            if may_lack_settings(meta)
            or any(
                tuple(one.get(name) for name in schema.SETTING) in drawn
                for one in meta["settings"].values()
            )
        ]
        return self._source(found).with_clocks(moved)

    def _source(self, metas: Sequence[Row]) -> Source:
        """Give the source of some runs; the caller's word counts before theirs."""
        source = self.given or Source.of(metas)
        if self.modelled is None:
            return source
        return replace(source, modelled=self.modelled)

    @property
    def named_setting(self) -> Pair:
        """The setting's text as the source has it, not translated, as a pair."""
        named = self.source.setting or ""
        return Pair(named, named)

    @cached_property
    def metas(self) -> list[dict[str, Any]]:
        """The run.json of each run."""
        return [read_meta(path) for path in self._runs_or_refuse()]

    @cached_property
    def runs(self) -> list[Run]:
        """The runs, read whole; unknown settings are inferred where they can be."""
        check_valid(self.metas)
        return [with_inferred(read_run(path)) for path in self._runs_or_refuse()]

    @cached_property
    def summary(self) -> Summary:
        """The summary of the runs."""
        return summarise(self._runs_or_refuse())

    @cached_property
    def delays(self) -> pd.DataFrame:
        """The delays of all runs, with the columns that a summary needs."""
        return pool({run: one for run, (one, _) in self._tables()})

    @cached_property
    def refresh(self) -> pd.DataFrame:
        """The refreshes of all runs, as `refresh_intervals` makes them."""
        return pool({run: one for run, (_, one) in self._tables()})

    def _tables(self) -> Iterator[tuple[str, tuple[pd.DataFrame, pd.DataFrame]]]:
        """Read the tables of each run; ten million rows are not kept twice."""
        check_valid(self.metas)
        for path, meta in zip(self._runs_or_refuse(), self.metas, strict=True):
            yield str(meta["run_id"]), tables_of(path, meta)

    @property
    def kubernetes(self) -> str | None:
        """Version of the kubelets, where there is but one."""
        return self.source.kubernetes

    def _runs_or_refuse(self) -> tuple[Path, ...]:
        if not self.paths:
            msg = "this figure is drawn from a run: give one at least"
            raise UsageError(msg)
        return self.paths


# rows of tables


def plain(value: Any) -> Any:  # noqa: ANN401 - a cell of a table
    """Give a cell as JSON has it: None for an unknown or an endless number."""
    if pd.isna(value) or value in {math.inf, -math.inf}:
        return None
    return value.item() if isinstance(value, np.generic) else value


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Give a table's rows as JSON has them."""
    return [
        {str(name): plain(value) for name, value in row.items()}
        for row in table.to_dict("records")
    ]


def populations(table: pd.DataFrame) -> Iterator[Population]:
    """Give setting and consumer, and the rows of each."""
    for key, own in table.groupby(GROUP, dropna=False, observed=True):
        yield {name: plain(value) for name, value in zip(GROUP, key, strict=True)}, own


def reads_each_sync(row: Row) -> bool:
    """Report whether each sync reads current content, and the container sees it."""
    if row["consumer"] in schema.NEVER_UPDATED:
        return False
    setting = schema.setting_of(row)
    return setting is not None and bool(reads_at_every_sync(setting, None))


def reading_each_sync(table: pd.DataFrame) -> list[Population]:
    """Give the populations in which each sync reads current content."""
    return [(row, own) for row, own in populations(table) if reads_each_sync(row)]


def with_most_pods(found: Sequence[Population]) -> Population:
    """Pick the setting of most pods; then Watch; then the longest `syncFrequency`."""
    return max(
        found,
        key=lambda one: (
            one[1]["pod"].nunique(),
            one[0]["strategy"] == Strategy.WATCH.value,
            one[0]["sync_frequency_s"] or 0.0,
        ),
    )


def best(row: Row, name: str) -> float:
    """Give a number of a row of `Summary.table` by the estimator that knows more.

    The row is one of `records`, where nothing is NaN.
    """
    value = row.get(f"intervals_{name}")
    return float(row[name] if value is None else value)


def quantile_values(table: pd.DataFrame, lang: str) -> dict[str, Any]:
    """Give the values for templates that come from rows of `Summary.table`."""
    rows = records(table)
    names = distinct_names(rows, lang)
    points = [
        quantile_point(name, best(row, "p50_s"), best(row, "p99_s"), lang)
        for name, row in zip(names, rows, strict=True)
    ]
    return {
        "names": semicolons(names, lang),
        "points": semicolons(points, lang),
        "n_delays": int(table["n_delays"].sum()),
        "n_pods": int(table["pods"].sum()),
    }


def quantile_point(
    name: str, p50_s: float | None, p99_s: float | None, lang: str
) -> str:
    """Write a name with its median and its 99 % point."""
    p50, p99 = seconds(p50_s, lang), seconds(p99_s, lang)
    return say("quantiles", lang, name=name, p50=p50, p99=p99)


# measured data that come with the package: figures without a cluster or a run


FOLDER = Path(__file__).parent / "shipped"
"""``runs/<run-id>/`` are runs, ``<figure>.json`` are tables of figures.

``make ship-data`` puts them here; each is small, so that the wheel stays small.
"""


STUDY = "cmhot study of 2026-11"
"""What they are published as; captions say that, and not the names of runs."""


def shipped_runs() -> tuple[Path, ...]:
    """List the run directories that come with the package."""
    return tuple(sorted((FOLDER / "runs").iterdir()))


@cache
def _shipped_material() -> Material:
    """Keep what follows from the shipped runs: figures share it."""
    return Material(paths=shipped_runs())


def shipped(name: str) -> Material:
    """Give the shipped material of a named figure, for when no other is given."""
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        return _shipped_material()
    content = json.loads(path.read_bytes())
    source = content["source"]
    return Material(
        table=pd.DataFrame(content["rows"]),
        given=Source(
            runs=tuple(source.get("runs", ())),
            kubelets=tuple(source.get("kubelets", ())),
            modelled=bool(source.get("modelled")),
            setting=source.get("setting"),
            data_set=source.get("data_set"),
        ),
    )
