"""What the named figures are made of: runs, read once, or a table.

What makes a figure a named one: its question, its numbers, its words.

Rows of tables: as JSON has them, and which of them belong together.

Measured data that come with the package: figures without a cluster or a run.

``make ship-data`` puts them here; each is small, so that the wheel stays small.
"""
# ruff: noqa: RUF001 - Chinese punctuation is as it should be

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from cmhot.errors import UsageError
from cmhot.kubelet.settings import Strategy
from cmhot.law import reads_at_every_sync
from cmhot.plots.files import NARROW, WIDE
from cmhot.plots.words import listing, setting_name
from cmhot.runs import schema
from cmhot.runs.delays import pool
from cmhot.runs.rundir import read_meta, read_run
from cmhot.statistics import GROUP
from cmhot.statistics.inference import may_lack_settings, with_inferred
from cmhot.statistics.summarise import check_valid, summarise, tables_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from matplotlib.axes import Axes

    from cmhot.runs.rundir import Run
    from cmhot.statistics.summary import Summary

    Row = Mapping[str, Any]


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
    """

    runs: tuple[str, ...] = ()
    kubelets: tuple[str, ...] = ()
    modelled: bool = False
    setting: str | None = None

    @classmethod
    def of(cls, metas: Sequence[Mapping[str, Any]]) -> Source:
        """Read it from the run.json of runs."""
        versions = [version for meta in metas for version in _versions(meta) if version]
        return cls(
            runs=tuple(str(meta["run_id"]) for meta in metas),
            kubelets=tuple(sorted({str(version) for version in versions})),
            modelled=any(bool(meta.get("modelled")) for meta in metas),
        )

    @property
    def kubernetes(self) -> str | None:
        """Version of the kubelets, where there is but one."""
        return self.kubelets[0] if len(self.kubelets) == 1 else None

    def short(self) -> str:
        """Name the runs, for a line that says little else; empty: there are none."""
        return f"{_runs(self.runs)} {', '.join(self.runs)}" if self.runs else ""

    def sentence(self, lang: str = "en") -> str:
        """Say it, for a caption."""
        return self._english() if lang == "en" else self._chinese()

    def _english(self) -> str:
        if self.modelled:
            said = "Modelled, not measured: no kubelet was involved"
        elif self.kubelets:
            said = f"Measured on kubelet {listing(self.kubelets)}"
        else:
            said = "Measured"
        run = f"; {_runs(self.runs)} {listing(self.runs)}" if self.runs else ""
        return f"{said}{run}."

    def _chinese(self) -> str:
        if self.modelled:
            said = "模型结果，非实测：未涉及任何 kubelet"
        elif self.kubelets:
            said = f"在 kubelet {listing(self.kubelets, 'zh')} 上实测"
        else:
            said = "实测"
        run = f"；{_runs(self.runs)} {listing(self.runs, 'zh')}" if self.runs else ""
        return f"{said}{run}。"


@dataclass(frozen=True)
class Material:
    """Runs and a table, and what follows from them, computed once.

    Attributes
    ----------
    paths
        Run directories; may be empty.
    table
        What to draw instead of what the runs give; None: that.
    given
        What the caller says of the source; None: what the runs say.
    modelled
        What the caller says of it; None: what the source says.
    """

    paths: tuple[Path, ...] = ()
    table: pd.DataFrame | None = None
    given: Source | None = None
    modelled: bool | None = None

    @cached_property
    def source(self) -> Source:
        """Where the data come from."""
        if self.given is not None:
            return self._as_told(self.given)
        return self._as_told(Source.of(self.metas if self.paths else []))

    def source_of(self, rows: pd.DataFrame) -> Source:
        """Say where rows of the pooled tables come from: of these runs only."""
        pooled = {str(node) for node in rows["node"].unique()}
        drawn = {node.partition("/")[0] for node in pooled}
        return self._narrowed([meta for meta in self.metas if meta["run_id"] in drawn])

    def source_at(self, table: pd.DataFrame) -> Source:
        """Say where rows of `Summary.table` come from: of runs with their settings.

        A run of which a setting is not known is kept: it may be one of them.
        """
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
        return self._narrowed(found)

    def _narrowed(self, metas: Sequence[Mapping[str, Any]]) -> Source:
        """Give the source of some runs; what the caller said of it stays."""
        return self.source if self.given else self._as_told(Source.of(metas))

    def _as_told(self, source: Source) -> Source:
        if self.modelled is None:
            return source
        return replace(source, modelled=self.modelled)

    @cached_property
    def metas(self) -> list[dict[str, Any]]:
        """The run.json of each run."""
        return [read_meta(path) for path in self._some()]

    @cached_property
    def runs(self) -> list[Run]:
        """The runs, read whole; unknown settings are inferred where they can be."""
        check_valid(self.metas)
        return [with_inferred(read_run(path)) for path in self._some()]

    @cached_property
    def summary(self) -> Summary:
        """What the runs come to."""
        return summarise(self._some())

    @cached_property
    def delays(self) -> pd.DataFrame:
        """The delays of all runs, with the columns that a summary is made of."""
        return pool({run: one for run, (one, _) in self._tables()})

    @cached_property
    def refresh(self) -> pd.DataFrame:
        """The refreshes of all runs, as `refresh_intervals` makes them."""
        return pool({run: one for run, (_, one) in self._tables()})

    def _tables(self) -> Iterator[tuple[str, tuple[pd.DataFrame, pd.DataFrame]]]:
        """Read the tables of each run; ten million rows are not kept twice."""
        check_valid(self.metas)
        for path, meta in zip(self._some(), self.metas, strict=True):
            yield str(meta["run_id"]), tables_of(path, meta)

    @property
    def kubernetes(self) -> str | None:
        """Version of the kubelets, where there is but one."""
        return self.source.kubernetes

    def _some(self) -> tuple[Path, ...]:
        if not self.paths:
            msg = "this figure is drawn from a run: give one at least"
            raise UsageError(msg)
        return self.paths


def _runs(runs: Sequence[str]) -> str:
    return "run" if len(runs) == 1 else "runs"


def _versions(meta: Mapping[str, Any]) -> Sequence[Any]:
    """Give the kubelets' versions, or that of the API server."""
    return [*(meta.get("kubelets") or {}).values()] or [meta.get("kubernetes")]


@dataclass(frozen=True, slots=True)
class Telling:
    """What is said of a figure, in one language, as plain text.

    Attributes
    ----------
    title
        What it shows, in a few words.
    alt
        What it shows, with its numbers, for who cannot see it.
    caption
        What is drawn, how many, at which setting, from where.
    paragraph
        What follows from it; each number is that of the data.
    """

    title: str
    alt: str
    caption: str
    paragraph: str


class Subject(Protocol):
    """What one figure shows, ready to be drawn and told."""

    @property
    def source(self) -> Source:
        """Where what is drawn comes from."""

    def draw(self, ax: Axes, lang: str) -> object:
        """Draw it."""

    def numbers(self) -> dict[str, Any]:
        """Give what it shows, for programs; as JSON has it."""

    def tell(self, lang: str) -> Telling:
        """Say what it shows."""


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
        Takes from the material what is drawn; it raises where that is not in it.
    wide, narrow
        Width and height in inches, on a page and on a phone.
    """

    name: str
    question: Mapping[str, str]
    needs: str
    read: Callable[[Material], Subject]
    wide: tuple[float, float] = WIDE
    narrow: tuple[float, float] = NARROW


def plain(value: Any) -> Any:  # noqa: ANN401 - a cell of a table
    """Give a cell as JSON has it: None for what is not known or has no limit."""
    if pd.isna(value) or value in {math.inf, -math.inf}:
        return None
    return value.item() if isinstance(value, np.generic) else value


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Give a table's rows as JSON has them."""
    return [
        {str(name): plain(value) for name, value in row.items()}
        for row in table.to_dict("records")
    ]


def populations(table: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Give setting and consumer, and the rows of each."""
    for key, own in table.groupby(GROUP, dropna=False, observed=True):
        yield {name: plain(value) for name, value in zip(GROUP, key, strict=True)}, own


def reads_each_sync(row: Row) -> bool:
    """Tell whether each sync reads what there is, and the container sees it."""
    if row["consumer"] in schema.NEVER_UPDATED:
        return False
    setting = schema.setting_of(row)
    return setting is not None and bool(reads_at_every_sync(setting, None))


def best(row: Row, name: str) -> float:
    """Give a number of a row of `Summary.table` by the estimator that knows more.

    The row is one of `records`, where nothing is NaN.
    """
    value = row.get(f"intervals_{name}")
    return float(row[name] if value is None else value)


def distinct_names(rows: Sequence[Row], lang: str) -> list[str]:
    """Name settings, with the consumer where there are several."""
    several = len({row["consumer"] for row in rows}) > 1
    comma = ", " if lang == "en" else "，"
    return [
        setting_name(row, lang) + (f"{comma}{row['consumer']}" if several else "")
        for row in rows
    ]


def most_telling(
    found: Sequence[tuple[dict[str, Any], pd.DataFrame]],
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Pick the setting of most pods; then Watch; then the longest `syncFrequency`."""
    return max(
        found,
        key=lambda one: (
            one[1]["pod"].nunique(),
            one[0]["strategy"] == Strategy.WATCH.value,
            one[0]["sync_frequency_s"] or 0.0,
        ),
    )


FOLDER = Path(__file__).parent / "shipped"
"""``runs/<run-id>/`` are runs, ``<figure>.json`` are tables of figures."""


def shipped_runs() -> tuple[Path, ...]:
    """List the run directories that come with the package."""
    return tuple(sorted((FOLDER / "runs").iterdir()))


def shipped(name: str) -> Material:
    """Give what a named figure is drawn from when nothing else is given.

    Parameters
    ----------
    name
        Of the figure.
    """
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        return Material(paths=shipped_runs())
    content = json.loads(path.read_bytes())
    source = content["source"]
    return Material(
        table=pd.DataFrame(content["rows"]),
        given=Source(
            runs=tuple(source.get("runs", ())),
            kubelets=tuple(source.get("kubelets", ())),
            modelled=bool(source.get("modelled")),
            setting=source.get("setting"),
        ),
    )
