"""The page of a comparison: what a change did to the delay, in one sentence first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cmhot import figures, plots
from cmhot.clock import SystemClock
from cmhot.collecting import utc_text
from cmhot.report.comparing import COMPARED, compare_runs
from cmhot.report.folder import make_folder, unwritable, write_json, write_page
from cmhot.report.page import (
    Figure,
    Links,
    Page,
    Points,
    Row,
    Section,
    Table,
    Text,
    build_page,
)
from cmhot.report.provenance import Origin, kubelets, origins, recorded
from cmhot.report.wording import listing, seconds

if TYPE_CHECKING:
    from pathlib import Path

    from cmhot.clock import Clock
    from cmhot.report.comparing import Change, Comparison, Difference
    from cmhot.report.page import Block

_SIZES = {"": figures.WIDE, "-narrow": figures.NARROW}
_WORDS = {
    "mean_s": "the mean",
    "p50_s": "the median",
    "p95_s": "the 95 % point",
    "p99_s": "the 99 % point",
}
_DIFFERING = {
    "target": "the target",
    "kubernetes": "the version of Kubernetes",
    "kubelets": "the kubelets' versions",
    "seed": "the schedule's seed",
    "plan": "the plan (pods, duration or gap)",
    "host": "the collector's machine",
}
_NONE = "–"  # noqa: RUF001 - a dash, not a minus
_MINUS = "\N{MINUS SIGN}"


def compare_report(
    before: Path, after: Path, *, out: Path, clock: Clock | None = None
) -> Path:
    """Compare two runs on a page of its own, with figures and numbers beside it.

    Parameters
    ----------
    before, after
        Run directories.
    out
        Folder of reports; the comparison gets a new folder in it.
    clock
        Of this machine.

    Returns
    -------
    Path
        ``<out>/compare-<before>-<after>/index.html``.

    Raises
    ------
    RunError
        When a run cannot be read, or the two are not to be compared.
    UsageError
        For an unwritable `out`.
    """
    clock = SystemClock() if clock is None else clock
    comparison = compare_runs(before, after)
    name = f"compare-{comparison.before}-{comparison.after}"
    new = make_folder(out, name, parts=["figures"])
    try:
        return _write(comparison, before, after, folder=new.path, clock=clock)
    except OSError as error:
        new.discard()
        raise unwritable(new.path, error) from error


def _write(
    comparison: Comparison, before: Path, after: Path, *, folder: Path, clock: Clock
) -> Path:
    """Draw it, and write page and numbers."""
    runs = [Origin.read(before), Origin.read(after)]
    made = utc_text(clock.utc_ns())
    sections = [
        _section(comparison, change, folder / "figures" / f"change-{number}")
        for number, change in enumerate(comparison.changes, start=1)
    ]
    page = Page(
        title=f"ConfigMap update delay, {comparison.before} and {comparison.after}",
        headline=headline(comparison, kubelets=sorted(set(_kubelets(runs)))),
        byline=(
            f"cmhot report --compare {comparison.before} {comparison.after}, "
            f"made {made[:16].replace('T', ' ')} UTC"
        ),
        modelled=comparison.modelled,
        sections=[
            *sections,
            Section("The differences", [_table(comparison)]),
            Section("What else to know", [Points(_limits(comparison))]),
            Section("Where the numbers before come from", origins(runs[:1])),
            Section("Where the numbers after come from", origins(runs[1:])),
            Section(
                "Files", [Links([("numbers.json", "numbers.json", "all numbers")])]
            ),
        ],
    )
    numbers: dict[str, Any] = {
        "report": folder.name,
        "created_utc": made,
        "headline": page.headline,
        **comparison.to_dict(),
        "provenance": {
            when: recorded(origin.meta)
            for when, origin in zip(("before", "after"), runs, strict=True)
        },
    }
    write_json(folder / "numbers.json", numbers)
    write_page(folder / "index.html", build_page(page))
    return folder / "index.html"


def headline(comparison: Comparison, *, kubelets: list[str]) -> str:
    """Say what the largest change did, in one sentence."""
    change = max(comparison.changes, key=_size)
    one = change.differences["p95_s"]
    where = "" if comparison.modelled else f" (kubelet {listing(kubelets)})"
    said = change.name
    if change.before.setting != change.after.setting:
        said = f"from {change.before.setting} to {change.after.setting}"
    if comparison.modelled:
        return f"Modelled, not measured: {said}: {_verdict(one)}{where}."
    return f"{said[0].upper()}{said[1:]}: {_verdict(one)}{where}."


def _verdict(one: Difference) -> str:
    """Say how the time within which 95 % of the pods have an update changed."""
    now = f"95 % of the pods have a changed ConfigMap within {seconds(one.after_s)}"
    if one.difference_s is None or one.low_s is None or one.high_s is None:
        return f"{now}, {seconds(one.before_s)} before; whether that is chance is open"
    ends = (
        f"95 % confidence {seconds(min(abs(one.low_s), abs(one.high_s)))} to "
        f"{seconds(max(abs(one.low_s), abs(one.high_s)))}"
    )
    if not one.shown:
        return (
            f"no difference was shown; {now}, {seconds(one.before_s)} before "
            f"(difference {_signed(one.difference_s)}, 95 % confidence "
            f"{_signed(one.low_s)} to {_signed(one.high_s)})"
        )
    word = "sooner" if one.difference_s < 0 else "later"
    return f"{now}, {seconds(abs(one.difference_s))} {word} than before ({ends})"


def _size(change: Change) -> float:
    return abs(change.differences["p95_s"].difference_s or 0.0)


def _kubelets(runs: list[Origin]) -> list[str]:
    return [version for run in runs for version in kubelets(run.meta)]


def _section(comparison: Comparison, change: Change, stem: Path) -> Section:
    """Draw a change, and say what it did."""
    import matplotlib.pyplot as plt  # noqa: PLC0415 - a second that only pages pay

    curves = change.curves()
    for suffix, size in _SIZES.items():
        with figures.style():
            fig, ax = plt.subplots(figsize=size)
            plots.before_and_after(curves, ax=ax, modelled=comparison.modelled)
            figures.save_figure(fig, stem.with_name(stem.name + suffix))
            plt.close(fig)
    source = "Modelled, not measured" if comparison.modelled else "Measured"
    where = f" on {_nodes(change)}" if change.nodes else ""
    figure = Figure(
        wide=stem.with_name(f"{stem.name}.svg"),
        narrow=stem.with_name(f"{stem.name}-narrow.svg"),
        alt=(
            f"Line chart, {source.lower()}: the share of pods that have the update "
            f"against the delay in seconds, before ({change.before.setting}, dashed) "
            f"and after ({change.after.setting}). {_sentences(change)}"
        ),
        caption=(
            f"Share of pods that have the update{where}, against the time since the "
            "API server acknowledged it; shaded: 95 % confidence. "
            f"{source}; {change.before.n_delays:,} delays in {change.before.pods} pods "
            f"before (run {comparison.before}), {change.after.n_delays:,} in "
            f"{change.after.pods} after (run {comparison.after})."
        ),
        links=[
            (form, f"figures/{stem.name}.{form.lower()}") for form in ("SVG", "PNG")
        ],
    )
    blocks: list[Block] = [figure, Text([_sentences(change)])]
    return Section(_title(comparison, change), blocks)


def _title(comparison: Comparison, change: Change) -> str:
    consumers = {one.consumer for one in comparison.changes}
    several = f", {change.consumer}" if len(consumers) > 1 else ""
    return f"{change.name}{several}"


def _nodes(change: Change) -> str:
    named = 3  # the rest is counted
    more = len(change.nodes) - named
    names = [*change.nodes[:named], f"{more} more"] if more > 0 else change.nodes
    return listing(names)


def _sentences(change: Change) -> str:
    """Say every difference of a change."""
    said = []
    for name, one in change.differences.items():
        what = _WORDS[name]
        if one.before_s is None or one.after_s is None or one.difference_s is None:
            said.append(f"{what} was not reached in one of the runs")
            continue
        moved = f"{what} went from {seconds(one.before_s)} to {seconds(one.after_s)}"
        if one.low_s is None or one.high_s is None:
            said.append(moved)
        else:
            verdict = "" if one.shown else ", which may be chance"
            said.append(
                f"{moved} ({_signed(one.difference_s)}, 95 % confidence "
                f"{_signed(one.low_s)} to {_signed(one.high_s)}{verdict})"
            )
    text = "; ".join(said)
    why = f" No interval is given: {change.too_few}." if change.too_few else ""
    return f"{text[0].upper()}{text[1:]}.{why}"


def _signed(value: float) -> str:
    sign = _MINUS if round(value, 1) < 0 else "+" if round(value, 1) > 0 else ""
    return f"{sign}{abs(value):.1f} s"


def _table(comparison: Comparison) -> Table:
    heads = [name.removesuffix("_s") for name in COMPARED]
    rows = [row for change in comparison.changes for row in _rows(comparison, change)]
    source = "Modelled, not measured" if comparison.modelled else "Measured"
    return Table(
        columns=["setting", *heads, "pods", "delays"],
        rows=rows,
        caption=(
            f"{source}: delay from the API server's answer to the new file in the pod, "
            "in seconds, before and after; below them the difference (after less "
            "before) and its 95 % confidence interval."
        ),
    )


def _rows(comparison: Comparison, change: Change) -> list[Row]:
    ones = change.differences.values()

    def counts(when: str) -> list[str]:
        side = change.before if when == "before" else change.after
        return [str(side.pods), f"{side.n_delays:,}"]

    rows = [
        Row(
            f"{_title(comparison, change)}: before",
            [_cell(one.before_s) for one in ones] + counts("before"),
        ),
        Row(
            "after", [_cell(one.after_s) for one in ones] + counts("after"), first=False
        ),
        Row(
            "difference",
            [_cell(one.difference_s, signed=True) for one in ones] + ["", ""],
            first=False,
        ),
    ]
    if change.too_few is None:
        limits = [_pair(one) for one in ones]
        rows.append(Row("95 % interval", [*limits, "", ""], tone="aside", first=False))
    return rows


def _cell(value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return _NONE
    sign = (_MINUS if value < 0 else "+") if signed else ""
    return f"{sign}{abs(value):.2f}" if signed else f"{value:.2f}"


def _pair(one: Difference) -> str:
    if one.low_s is None or one.high_s is None:
        return _NONE
    return f"{_cell(one.low_s, signed=True)} … {_cell(one.high_s, signed=True)}"


def _limits(comparison: Comparison) -> list[str]:
    """List what a reader may wrongly take from the page."""
    said = [
        (
            "The two runs were made one after the other: whatever else changed "
            "between them is in the difference, too."
        )
    ]
    said += [
        f"Between them {_DIFFERING[key]} changed as well{_change_of(key, pair)}."
        for key, pair in comparison.differing.items()
    ]
    if any(change.estimator == "intervals" for change in comparison.changes):
        said.append(
            "The numbers are estimated from the intervals between refreshes, which "
            "tell more than the delays of the updates themselves."
        )
    said.append(
        "Each interval stands for itself; with many of them one in twenty misses."
    )
    return said


def _change_of(key: str, pair: tuple[Any, Any]) -> str:
    plain = all(isinstance(one, str | int) for one in pair)
    return f", from {pair[0]} to {pair[1]}" if plain and key != "seed" else ""
