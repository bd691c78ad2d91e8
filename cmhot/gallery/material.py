"""What the named figures are made of: runs, read once, or a table."""

# ruff: noqa: RUF001 - Chinese punctuation is as it should be
from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd

from cmhot.errors import UsageError
from cmhot.gallery.words import listing
from cmhot.runs import schema
from cmhot.runs.pooling import pool
from cmhot.runs.rundir import read_meta, read_run
from cmhot.summaries.inferring import may_lack_settings, with_inferred
from cmhot.summaries.summarising import check_valid, summarise, tables_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from cmhot.runs.rundir import Run
    from cmhot.summaries.summary import Summary


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
        """The refreshes of all runs, as `cmhot.runs.refreshes.refresh_intervals`."""
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
