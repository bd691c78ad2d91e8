"""The named figures: what they need, and that their words have their numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.container import ErrorbarContainer

from cmhot import plots
from cmhot.cluster.model.simulate import simulate
from cmhot.errors import UsageError
from cmhot.kubelet.settings import Setting, Strategy
from cmhot.law import mean_interval_s
from cmhot.law.price import price_of
from cmhot.plots.figure import Material, Source
from cmhot.plots.publishing import FIGURES, NAMES, named, publish
from cmhot.runs import schema
from cmhot.runs.delays import delays
from cmhot.runs.rundir import RunWriter, read_run
from cmhot.statistics.summarise import summarise
from tests.unit.conftest import T0

if TYPE_CHECKING:
    from tests.unit.conftest import SimulateRun

SETTINGS = ("sync=5s", "sync=10s", "sync=10s,strategy=Get")
FROM_RUNS = (
    *("headline", "delay-distribution", "timeline", "sync-frequency", "collapse"),
    *("change-detection", "fleet", "wrong-ways", "phase"),
)
TRIALS = pd.DataFrame(
    [
        ("nothing", 80.0, 0, 1.0, 0),
        ("nothing", 84.0, 0, 1.0, 0),
        ("annotate", 0.7, 0, 1.0, 50),
        ("rollout", 20.5, 50, 0.75, 1),
    ],
    columns=["method", "seconds", "restarted", "min_ready_share", "requests"],
)
CELLS = pd.DataFrame(
    [
        ("volume", "update", "later"),
        ("env", "update", "never"),
        ("volume", "pod restart", "at once"),
        ("env", "pod restart", "at once"),
    ],
    columns=["consumer", "event", "sees"],
)
LOOKS = pd.DataFrame(
    {
        "consumer": ["volume", "volume", "envFrom", "envFrom"],
        "node": "n",
        "pod": ["a", "b", "c", "c"],
        "configmap": "m",
        "acked_ns": pd.array([0, 1, 0, 1], dtype="Int64"),
        "status": ["observed", "observed", "timeout", "timeout"],
        "delay_s": [4.0, 12.0, None, None],
        "waited_s": [None, None, 30.0, 32.0],
        "sync_frequency_s": 20.0,
        "strategy": "Watch",
        "ttl_s": 0.0,
    }
)
COSTS = pd.DataFrame(
    [
        (110, 1, 10.0, "Watch", False, 50.0, 0.1, 110 / mean_interval_s(Setting(10))),
        (110, 1, 60.0, "Get", False, 30.0, 0.1, 0.0),
        (110, 1, 1.0, "Get", True, 90.0, 50.0, 55.0),
        (50, 10, 10.0, "Watch", False, 40.0, 0.1, 3.0),
    ],
    columns=[
        *("pods", "maps", "sync_frequency_s", "strategy", "saturated"),
        *("millicores", "requests", "syncs_per_s"),
    ],
)
LOADS = pd.DataFrame(
    [
        (110, "Watch", 1, 0, 1, None, 0.0, 14.5, 14.0, 15.0, "within"),
        (30, "Get", 10, 0, 1, None, 0.0, 14.6, 14.1, 15.6, "not decided"),
        (30, "Get", 50, 0, 1, None, 0.0, None, 40.0, None, "beyond"),
        (30, "Get", 90, 0, 1, None, 0.0, None, None, None, "no start"),
        (30, "Watch", 1, 102_400, 1, None, 0.0, 14.4, 14.0, 15.0, "within"),
        (30, "Watch", 1, 102_400, 1000, None, 0.0, 14.4, 14.0, 15.0, "within"),
        (50, "Watch", 1, 0, 1, 0.1, 0.0, 20.0, 19.0, 21.0, "beyond"),
        (30, "Get", 1, 0, 1, None, 0.5, 14.5, 14.0, 15.0, "within"),
    ],
    columns=[
        *("pods", "strategy", "maps", "bytes", "keys", "core", "late_s"),
        *("p99_s", "p99_s_low", "p99_s_high", "answer"),
    ],
).assign(sync_frequency_s=10.0, law_p99_s=14.4)
TABLES = {
    "costs": COSTS,
    "limits": LOADS,
    "remedies": TRIALS,
    "consumers": CELLS,
    "environment-or-volume": LOOKS,
}
ONE_UPDATE = pd.DataFrame(
    {
        "node": "n",
        "pod": ["a", "b", "c"],
        "consumer": "volume",
        "configmap": "m",
        "seq": 1,
        "planned_ns": 90_000_000,
        "sent_ns": 100_000_000,
        "acked_ns": 112_000_000,
        "published_ns": [1_112_000_000, 3_512_000_000, 2_112_000_000],
    }
)
"""Three pods that had it after 1, 3.4 and 2 s."""
KNOWN = Source(kubelets=("v1.37.1",), setting="60 s, Watch")


def test_there_are_fourteen() -> None:
    """Each name is drawn from runs or from a table, and asks a question twice."""
    assert set(NAMES) == {*FROM_RUNS, *TABLES}
    for figure in FIGURES.values():
        assert figure.question["en"].endswith("?")
        assert figure.question["zh"].endswith("\uff1f")


@pytest.mark.parametrize("name", FROM_RUNS)
def test_a_run_is_published(
    simulate_run: SimulateRun, tmp_path: Path, name: str
) -> None:
    """Drawing, phone's drawing, words and numbers are written; the run is named."""
    run = simulate_run("r", settings=SETTINGS, window_s=60, modelled=False)

    found = publish(name, runs=[run.path], out=tmp_path / "out")

    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {f"{name}{end}" for end in (".svg", ".png", "-narrow.svg", ".json")}
    said = json.loads(found.json.read_text())
    assert list(said) == [
        *("name", "title", "alt", "caption", "paragraph", "modelled", "numbers"),
    ]
    assert said["modelled"] is False
    assert "Measured on kubelet v1.37.1; run r." in said["caption"]
    assert "odelled" not in found.svg.read_text()
    assert not {"nan", "None", "inf"} & set(
        f"{found.alt} {found.caption} {found.paragraph}".replace(",", "").split()
    )


@pytest.mark.parametrize("name", FROM_RUNS)
def test_a_model_says_so(simulate_run: SimulateRun, tmp_path: Path, name: str) -> None:
    """What is modelled is called so in the caption, in the JSON and on the figure."""
    run = simulate_run("m", settings=SETTINGS, window_s=60)

    found = publish(name, runs=[run.path], out=tmp_path / "out")

    assert found.modelled
    assert "Modelled, not measured" in found.caption
    assert "modelled, not measured" in found.svg.read_text()


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_published(tmp_path: Path, name: str) -> None:
    """A table without a run is told with the source that is given for it."""
    found = publish(name, table=TABLES[name], source=KNOWN, out=tmp_path)

    assert "Measured on kubelet v1.37.1." in found.caption
    assert found.svg.is_file()


def test_one_update_is_told_without_a_run(tmp_path: Path) -> None:
    """A table of one update has its own timeline."""
    found = publish("timeline", table=ONE_UPDATE, source=KNOWN, out=tmp_path)

    assert found.numbers["seen_s"] == [1.0, 2.0, 3.4]
    assert found.numbers["sent_s"] == pytest.approx(-0.012)
    assert "60 s, Watch. Measured on kubelet v1.37.1." in found.caption


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_have_the_same_numbers(
    simulate_run: SimulateRun, name: str
) -> None:
    """A caption in Chinese has Chinese words; each number in seconds is in both."""
    run = simulate_run("r", settings=SETTINGS, window_s=60, modelled=False)
    material = Material(
        paths=(run.path,),
        table=TABLES.get(name),
        given=KNOWN if name in TABLES else None,
    )
    subject = named(name).read(material)
    english, chinese = subject.describe("en"), subject.describe("zh")

    assert "\u5b9e\u6d4b" in chinese.caption
    numbers = {word for word in _numbers(english.alt) if "." in word}
    assert numbers <= set(_numbers(chinese.alt))


def _numbers(text: str) -> list[str]:
    kept = "".join(one if one.isdigit() or one == "." else " " for one in text)
    return [word.strip(".") for word in kept.split()]


def test_the_distribution_has_the_summary_s_numbers(
    simulate_run: SimulateRun, tmp_path: Path
) -> None:
    """Numbers are those of `summarise`; alternative text and paragraph have them."""
    run = simulate_run("r", settings=SETTINGS, window_s=60, modelled=False)
    summary = summarise([run.path])
    ten = summary.settings[-1].direct

    found = publish("delay-distribution", runs=[run.path], out=tmp_path / "out")

    assert found.numbers == summary.to_dict()
    assert f"10 s, Watch: half by {ten['p50_s']:.1f} s, 95 % by" in found.alt
    assert "(law: 6.5 s and 12.9 s)" in found.alt
    assert f"half of the pods had it after {ten['p50_s']:.1f} s" in found.paragraph
    assert "5 s, Watch" in found.caption
    n_delays = sum(one.counts["n_delays"] for one in summary.settings)
    assert f"{n_delays:,} delays in 24 pods" in found.caption


def test_the_distribution_says_what_clocks_add(simulate_run: SimulateRun) -> None:
    """Its band is wider by it; clocks that nobody compared are told as well."""
    captions = []
    for name, bounds_ns in (("known", [120_000_000]), ("unknown", [])):
        writer = simulate_run(name, window_s=60, modelled=False)
        for bound_ns in bounds_ns:
            row = {"node": "n0", "at_ns": T0, "offset_ns": 0, "bound_ns": bound_ns}
            writer.append_clock(row)
        subject = named("headline").read(Material((writer.path,)))
        captions += [subject.describe(lang).caption for lang in ("en", "zh")]

    english, chinese, nothing, _ = captions
    assert english.endswith(
        "; run known. Clocks are known to ± 0.13 s: each delay may be wrong by that, "
        "which limits allow for."
    )
    assert "± 0.13 秒" in chinese
    assert nothing.endswith("; run unknown. Clocks were not compared.")


OF_DELAYS = ("headline", "delay-distribution", "timeline")
CACHED = "sync=10s,strategy=Cache,ttl=60"


@pytest.mark.parametrize(
    ("settings", "drawn", "told"),
    [
        (SETTINGS, FROM_RUNS, {*OF_DELAYS, "wrong-ways"}),
        ((CACHED,), (*OF_DELAYS, "fleet", "phase"), {*OF_DELAYS, "fleet"}),
        (("sync=10s", CACHED), ("change-detection",), {"change-detection"}),
    ],
    ids=["each sync reads", "cached", "both"],
)
def test_captions_say_what_clocks_add_to_what_is_drawn(
    simulate_run: SimulateRun,
    settings: tuple[str, ...],
    drawn: tuple[str, ...],
    told: set[str],
) -> None:
    """To delays, and to intervals with a fetch; none is between two syncs of a pod."""
    writer = simulate_run("r", settings=settings, window_s=300, modelled=False)
    for number in range(len(settings)):
        row = {"node": f"n{number}", "at_ns": T0, "offset_ns": 0}
        writer.append_clock(row | {"bound_ns": 1_500_000_000})
    material = Material((writer.path,))

    captions = {
        lang: {
            name: named(name).read(material).describe(lang).caption for name in drawn
        }
        for lang in ("en", "zh")
    }

    found = {name for name, said in captions["en"].items() if "to ± 1.5 s" in said}
    assert found == told
    assert {name for name, said in captions["zh"].items() if "± 1.5 秒" in said} == told


def test_a_table_of_delays_says_what_clocks_add() -> None:
    """As notebook 01 has it: of what was not compared, too."""
    captions = [
        named("environment-or-volume")
        .read(Material(table=LOOKS.assign(clock_bound_s=bound_s), given=KNOWN))
        .describe("en")
        .caption
        for bound_s in (0.0, 1.5, np.nan)
    ]

    assert captions[0].endswith("Measured on kubelet v1.37.1.")
    assert "Clocks are known to ± 1.5 s: " in captions[1]
    assert captions[2].endswith("Clocks were not compared.")


def test_the_distribution_does_not_speak_of_agreement_where_there_is_none(
    tmp_path: Path,
) -> None:
    """Intervals between syncs agree with the law, and the delays are 6 s longer."""
    run = simulate(Setting(10), pods=10, duration_s=300, run_id="r")
    updates = run.updates.assign(
        **{name: run.updates[name] - 6 * 10**9 for name in ("sent_ns", "acked_ns")}
    )
    writer = RunWriter.create(tmp_path, meta=run.meta)
    tables = ((schema.PUBLICATIONS, run.publications), (schema.UPDATES, updates))
    for table, rows in tables:
        rows.to_json(writer.path / table.file, orient="records", lines=True)

    subject = named("headline").read(Material((writer.path,)))

    english, chinese = (subject.describe(lang).paragraph for lang in ("en", "zh"))
    assert "The delays with 10 s, Watch contradict the law: their mean is 1" in english
    assert "no curve is further from the law" not in english
    assert "与理论分布不符" in chinese


def test_the_distribution_tells_what_is_drawn_of_a_run(
    simulate_run: SimulateRun, tmp_path: Path
) -> None:
    """With a table, settings that are not in it are not told, counted or written."""
    run = simulate_run("r", settings=SETTINGS, window_s=60, modelled=False)
    rows = delays(read_run(run.path))
    shown = rows[(rows["sync_frequency_s"] == 10) & (rows["strategy"] == "Watch")]

    found = publish(
        *("delay-distribution",), runs=[run.path], table=shown, out=tmp_path / "out"
    )

    (own,) = found.numbers["settings"]
    assert (own["sync_frequency_s"], own["strategy"]) == (10.0, "Watch")
    n_delays = (shown["status"] == "observed").sum()
    assert f"law. 10 s, Watch; {n_delays:,} delays in 8 pods" in found.caption
    assert found.alt.count("half by") == 1
    said = f"{found.alt} {found.caption} {found.paragraph}"
    assert "Get" not in said
    assert " 5 s, Watch" not in said


@pytest.mark.parametrize("given", [False, True], ids=["a run", "a table"])
def test_the_headline_is_of_one_strategy(
    simulate_run: SimulateRun, *, given: bool
) -> None:
    """Of two settings of 10 s the one under Watch is drawn, told and counted."""
    run = simulate_run("r", settings=SETTINGS, window_s=60, modelled=False)
    table = delays(read_run(run.path)) if given else None

    subject = named("headline").read(Material(paths=(run.path,), table=table))

    assert [
        (own["sync_frequency_s"], own["strategy"])
        for own in subject.numbers["settings"]
    ] == [(5.0, "Watch"), (10.0, "Watch")]
    said = subject.describe("en")
    assert "5 s, Watch; 10 s, Watch; " in said.caption
    assert "in 16 pods" in said.caption
    assert "run r." in said.caption
    ax = subject.draw()
    assert [one.get_text() for one in ax.texts] == ["5 s, Watch", "10 s, Watch"]
    plt.close("all")


def test_a_headline_needs_a_volume(tmp_path: Path) -> None:
    """An environment never sees an update, so it has no answer."""
    looks = LOOKS[LOOKS["consumer"] == "envFrom"]
    run = Path(__file__).parents[3] / "data" / "testbed-2026-11-24" / "start-1"

    with pytest.raises(UsageError, match="a pod that mounts the ConfigMap"):
        publish("headline", runs=[run], table=looks, out=tmp_path)


def test_without_runs_it_is_drawn_from_what_comes_along(tmp_path: Path) -> None:
    """As by `cmhot figure`; the caption has the data set's name, and no run's."""
    found = publish("headline", out=tmp_path)

    assert found.caption.endswith(
        "Measured: cmhot study of 2026-11, Kubernetes 1.37.1."
    )
    assert len(found.numbers["settings"]) == 4
    with pytest.raises(UsageError, match="give one at least"):
        publish("headline", runs=[], out=tmp_path)


def test_environment_counts_by_ten_seconds(tmp_path: Path) -> None:
    """Of two volumes one has it by 10 s; the law at the default says 13 %."""
    found = publish("environment-or-volume", table=LOOKS, source=KNOWN, out=tmp_path)

    assert found.numbers["share_by_10_s"] == 0.5
    assert found.numbers["default_share_by_10_s"] == pytest.approx(10 / 75.5, rel=1e-12)
    assert (found.numbers["env_seen"], found.numbers["env_watched_s"]) == (0, 62.0)


def test_looks_into_an_environment_are_no_updates() -> None:
    """Two looks of 30 and 32 s: pods times updates, and pods' seconds."""
    figure = named("environment-or-volume")
    subject = figure.read(Material(table=LOOKS, given=KNOWN))

    assert subject.describe("en").paragraph.startswith(
        "Of 2 looks into an environment (one per pod and update) 0 saw the update, in "
        "62 pod-seconds of watching: it never changes"
    )
    chinese = subject.describe("zh").paragraph
    assert "2 \u6b21\uff08\u6bcf\u4e2a Pod \u6bcf\u6b21\u66f4\u65b0" in chinese
    assert "62 Pod\u00b7\u79d2" in chinese


def test_remedies_are_told_by_their_medians(tmp_path: Path) -> None:
    """Waiting is the law's, and each method has its median and its cost."""
    found = publish("remedies", table=TRIALS, source=KNOWN, out=tmp_path)

    assert "the median of that is 82.0 s, by the law" in found.paragraph
    assert (
        "all pods have it after 20.5 s (median of 1), for 50 pods replaced and 1 "
        "request to" in found.paragraph
    )


def test_costs_are_drawn_at_the_law_s_number_of_syncs() -> None:
    """A window that held none is moved by what the fit gives for those of the law.

    Neither a saturated window nor pods with ten ConfigMaps are drawn.
    """
    ax = plots.sync_costs(COSTS)

    assert ax.figure is not None
    cpu, requests = ax.figure.axes[:2]
    cpu_points, request_points = (
        [
            (float(x), float(y))
            for line in panel.get_lines()
            if line.get_linestyle() == "None"
            for x, y in zip(*np.asarray(line.get_data()), strict=True)
        ]
        for panel in (cpu, requests)
    )
    assert np.array(cpu_points) == pytest.approx(
        np.array([(10, 50), (60, 31.3)]), abs=0.5
    )
    reads = 110 / mean_interval_s(Setting(60))
    assert np.array(request_points) == pytest.approx(
        np.array([(10, 0.1), (60, 0.1 + reads)]), rel=0.02
    )
    assert requests.get_yscale() == cpu.get_xscale() == "log"


def test_costs_say_the_price_of_the_shorter_one() -> None:
    """In both languages, with the interval of the CPU."""
    subject = named("costs").read(Material(table=COSTS, given=KNOWN))
    cpu = price_of(Setting(10)).more["millicores"]

    for lang in ("en", "zh"):
        text = subject.describe(lang).paragraph
        assert f"{cpu['value']:+.1f}" in text
        assert f"{cpu['95'][0]:.1f}" in text
    prices = subject.numbers["prices"]
    assert [row["millicores"] for row in prices] == [
        price_of(Setting(10)).spent["millicores"],
        price_of(Setting(60, Strategy.GET)).spent["millicores"],
    ]


def test_loads_are_drawn_where_their_p99_lies() -> None:
    """Each in the colour of its answer; an endless one begins at its lower limit.

    What p99 may be at most lies beyond the Axes where nobody knows it.
    """
    ax = plots.law_limits(LOADS)

    _, right = ax.get_xlim()
    found = {
        float(y): (float(x), line.get_marker())
        for line in ax.get_lines()
        if line.get_marker() in {"o", "s", "^", "D"}
        for x, y in zip(*np.asarray(line.get_data()), strict=True)
    }
    assert [found[y] for y in sorted(found)] == [
        *((14.5, "o"), (14.6, "s"), (40.0, "^")),
        (pytest.approx(right / 1.05), "D"),
        *((14.4, "o"), (14.4, "o"), (20.0, "^"), (14.5, "o")),
    ]
    ends = [
        max(float(x) for x, _ in segment)
        for bars in ax.containers
        if isinstance(bars, ErrorbarContainer)
        for segment in bars.lines[2][0].get_segments()
    ]
    ends_of_three = [21.0, pytest.approx(right / 1.05), pytest.approx(2 * right)]
    assert sorted(ends)[-3:] == ends_of_three
    assert [text.get_text() for text in ax.get_yticklabels()] == [
        *("110", "10", "50", "90", "100 KiB", "1,000", "10 %", "0.5 s")
    ]
    assert [text.get_text() for text in ax.texts] == [
        "pods",
        "ConfigMaps a pod, Get, 30 pods",
        "size of the ConfigMap, 30 pods",
        "keys of 100 KiB, 30 pods",
        "share of a core, 50 pods",
        "API server late, Get, 30 pods",
    ]


def test_what_is_beyond_is_named() -> None:
    """And what was not decided; p99 that nobody saw is more than its lower limit."""
    subject = named("limits").read(Material(table=LOADS, given=KNOWN))

    text = subject.describe("en").paragraph
    assert text == (
        "Under 4 of 8 loads p99 of the delay stayed within 1 s of the law's 14.4 s. "
        "It was more under these: ConfigMaps a pod, Get, 30 pods: 50 (over 40.0 s); "
        "share of a core, 50 pods: 10 % (20.0 s). "
        "Nothing was measured with ConfigMaps a pod, Get, 30 pods: 90 (pods did not "
        "start). Not decided: ConfigMaps a pod, Get, 30 pods: 10 (14.6 s)."
    )
    assert "超过 40.0 秒" in subject.describe("zh").alt


def test_an_unknown_name_is_refused_with_those_there_are(tmp_path: Path) -> None:
    """A misspelt name lists all names."""
    with pytest.raises(UsageError, match=r"no figure 'headlin'.*headline.*collapse"):
        publish("headlin", out=tmp_path)


@pytest.mark.parametrize(
    ("name", "lacks"),
    [
        ("sync-frequency", "two values of syncFrequency"),
        ("change-detection", "two strategies or TTLs"),
        ("environment-or-volume", "in their environment"),
        ("remedies", "06-force-it"),
        ("consumers", "08-what-updates"),
        ("costs", "PARTS=costs"),
        ("limits", "PARTS=validity"),
    ],
)
def test_a_run_that_lacks_it_is_refused(
    simulate_run: SimulateRun, tmp_path: Path, name: str, lacks: str
) -> None:
    """What a figure needs and this run has not is named, and nothing is left."""
    run = simulate_run("r", window_s=60)

    with pytest.raises(UsageError, match=lacks):
        publish(name, runs=[run.path], out=tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_a_fleet_of_one_is_refused(simulate_run: SimulateRun, tmp_path: Path) -> None:
    """One pod is no fleet."""
    run = simulate_run("r", window_s=60, pods=1)

    with pytest.raises(UsageError, match="two pods"):
        publish("fleet", runs=[run.path], out=tmp_path)


def test_a_notebook_shows_it_with_its_words(
    simulate_run: SimulateRun, tmp_path: Path
) -> None:
    """The result of `publish` shows the PNG, and the alternative text goes with it."""
    run = simulate_run("r", window_s=60)
    found = publish("collapse", runs=[run.path], out=tmp_path / "out")

    data, about = found._repr_mimebundle_()

    assert data["image/png"].startswith("iVBOR")
    assert about["image/png"]["alt"] == found.alt


def test_a_run_without_a_summary_s_settings_has_sources() -> None:
    """Without kubelets' versions the API server's is taken; without any, none."""
    metas: list[dict[str, Any]] = [
        {"run_id": "a", "kubernetes": "v1.36.0", "modelled": False},
        {"run_id": "b", "kubernetes": None, "kubelets": {"n": "v1.36.0"}},
    ]

    found = Source.of(metas)

    assert found.sentence() == "Measured on kubelet v1.36.0; runs a and b."
    assert found.sentence("zh").endswith("\uff1bruns a \u548c b\u3002")
    published = Source.of([{**meta, "data_set": "a study"} for meta in metas])
    assert published.sentence() == "Measured: a study, Kubernetes 1.36.0."
    assert published.short() == "a study, Kubernetes 1.36.0"
    assert Source.of([*metas, {**metas[0], "data_set": "a study"}]).data_set is None
    assert Source(modelled=True).sentence() == (
        "Modelled, not measured: no kubelet was involved."
    )


def test_an_environment_is_drawn_as_long_as_it_was_watched() -> None:
    """Its line is flat at 0, and ends where nobody looked any more."""
    ax = plots.environment_or_volume(LOOKS)

    (flat,) = [one for one in ax.get_lines() if one.get_label() == "environment"]
    assert np.asarray(flat.get_xdata()).tolist() == [0.0, 32.0]
    assert np.asarray(flat.get_ydata()).tolist() == [0.0, 0.0]
    plt.close("all")


def test_a_table_without_a_volume_is_refused() -> None:
    """Environments alone are nothing to compare with."""
    with pytest.raises(UsageError, match="no volume"):
        plots.environment_or_volume(LOOKS[LOOKS["consumer"] == "envFrom"])
