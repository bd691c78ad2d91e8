"""A result shows itself in each form, and what is other people's is escaped."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace

import pytest

from cmhot.clock import VirtualClock
from cmhot.display import Notebook, Page, Shown, Terminal, board, in_notebook
from cmhot.kubelet.settings import Setting
from cmhot.law.prediction import predict
from cmhot.propagation.explain import explain
from cmhot.propagation.refresh import refresh
from cmhot.propagation.wait import wait
from cmhot.runs import schema
from cmhot.statistics.sample_size import plan_precision
from cmhot.statistics.summary import STATISTICS, SettingSummary, Summary
from tests.unit.living import Living

EVIL = "<script>alert('x')</script>|*a*`b`"
PAGE = Page(
    "1 of 2 pods",
    [{"pod": "web-1", "why": "late"}, {"pod": EVIL, "why": "a & b"}],
    ["wait <longer>"],
)


@dataclass(frozen=True, slots=True, repr=False)
class Result(Shown):
    """A result with one page."""

    heading: str = "1 of 2 pods"

    def page(self) -> Page:
        """Give the page."""
        return Page(self.heading, PAGE.rows, PAGE.notes)


def test_text_has_columns() -> None:
    """They are aligned, under their names; that is what a prompt shows."""
    simple = Page("h", [{"pod": "web-1", "s": "1"}, {"pod": "b", "s": "22"}], ["n"])

    assert simple.to_text() == "h\npod    s\nweb-1  1\nb      22\nn"
    assert repr(Result()) == PAGE.to_text()
    assert Page("alone").to_text() == "alone"


def test_html_is_a_table_and_escaped() -> None:
    """With a caption and column headings; nothing in it is a tag of somebody's."""
    html = Result()._repr_html_()

    assert "<script" not in html
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;" in html
    assert "a &amp; b" in html
    assert "<li>wait &lt;longer&gt;</li>" in html
    assert html.count('<th scope="col"') == 2
    assert html.count("<td") == 4
    assert "1 of 2 pods</caption>" in html
    assert Page("a<b").to_html() == "<p>a&lt;b</p>"


def test_markdown_is_a_table_and_escaped() -> None:
    """A pipe in a cell is none of the table's."""
    text = Result()._repr_markdown_()

    assert text.splitlines() == [
        "1 of 2 pods",
        "",
        "| pod | why |",
        "| --- | --- |",
        "| web-1 | late |",
        r"| \<script\>alert('x')\</script\>\|\*a\*\`b\` | a \& b |",
        "",
        r"* wait \<longer\>",
    ]


def test_a_terminal_has_lines() -> None:
    """The beginning, the news, the end; nothing in between."""
    out = io.StringIO()
    terminal = Terminal(out)

    terminal.show(Result("begin"), [])
    terminal.show(Result("middle"), [])
    terminal.show(Result("middle"), ["web-1 turned"])
    terminal.show(Result("end"), [], is_last=True)

    assert out.getvalue() == "begin\nweb-1 turned\nend\n"


@dataclass(slots=True)
class Handle:
    """A display that keeps what it showed."""

    shown: list[str]

    def update(self, now: Shown) -> None:
        """Keep it."""
        self.shown.append(now.page().heading)


def test_a_notebook_has_one_display(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is changed in place, at most four times a second, and shows the end."""
    clock, shown = VirtualClock(), list[str]()

    def display(now: Shown, *, display_id: bool) -> Handle:
        assert display_id
        shown.append(f"made {now.page().heading}")
        return Handle(shown)

    fake = ModuleType("IPython.display")
    fake.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    notebook = Notebook(clock)
    for number in range(10):  # one every 0.1 s
        notebook.show(Result(str(number)), [])
        clock.sleep(0.1)
    notebook.show(Result("end"), [], is_last=True)

    assert shown == ["made 0", "3", "6", "9", "end"]


@pytest.mark.parametrize(
    ("shell", "expected"),
    [
        (None, False),
        (SimpleNamespace(), False),
        (SimpleNamespace(kernel=object()), True),
    ],
    ids=["no IPython", "IPython in a terminal", "a kernel"],
)
def test_where_it_runs(
    monkeypatch: pytest.MonkeyPatch, shell: object, *, expected: bool
) -> None:
    """Only in a kernel there is a notebook."""
    fake = ModuleType("IPython")
    fake.get_ipython = lambda: shell  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", fake)

    assert in_notebook() is expected
    assert isinstance(board(), Notebook if expected else Terminal)


def test_without_ipython_there_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not imported to find out."""
    monkeypatch.delitem(sys.modules, "IPython", raising=False)

    assert not in_notebook()
    assert "IPython" not in sys.modules


def setting_summary() -> SettingSummary:
    """Make a population of which something was lost."""
    population = {
        "sync_frequency_s": 60.0,
        "strategy": "Watch",
        "ttl_s": 0.0,
        "consumer": "volume",
    }
    counts = {f"n_{status}": 0 for status in schema.STATUSES[1:]}
    nothing: dict[str, float | None] = dict.fromkeys(STATISTICS)
    return SettingSummary(
        population=population,
        counts={"pods": 20, "n_delays": 4320, **counts, "n_timeout": 3},
        direct={**nothing, "mean_s": 38.3, "p50_s": 37.8},
        confidence={"mean_s": [38.0, 38.6], "p50_s": [37.1, None]},
        intervals={"n_syncs": None},
        law={**nothing, "mean_s": 38.25, "p50_s": 37.75},
        fit={"upper_95": None},
        upper_95={},
        clock_bound_s=0.0,
    )


def results() -> dict[str, Shown]:
    """Make one of each kind that a user gets."""
    cluster = Living(env=True)
    cluster.deploy(2)
    cluster.update("2")
    return {
        "prediction": predict(Setting(60), pods=20),
        "precision": plan_precision(Setting(60), width_s=1.0),
        "explanation": explain(cluster, "configmap/m"),
        "waited": wait(cluster, "configmap/m"),
        "refreshed": refresh(
            cluster, "deployment/web", method="annotate", dry_run=True
        ),
        "summary": Summary(
            ("r1",), modelled=True, kubernetes=None, settings=(setting_summary(),)
        ),
    }


@pytest.mark.parametrize(
    ("kind", "heading", "row"),
    [
        (
            "prediction",
            "By the law, not measured: 60 s, Watch, kubelet from 1.12",
            ["a given pod has it", "38.25 s", "37.75 s", "69.21 s"],
        ),
        (
            "precision",
            (
                "p99 at 60 s, Watch, by the law 83.8 s, within 1 s from end to end of "
                "its 95 % interval: about 851 refresh intervals"
            ),
            ["6", "178.5"],
        ),
        (
            "explanation",
            "configmap/m in default: used by 1 workload, 2 pods",
            ["deployment/web", "2", "c", "env"],
        ),
        (
            "waited",
            (
                "configmap/m has NOT landed: it is in 0 of 2 pods, seen from inside "
                "after 0.0 s"
            ),
            ["stale", "web-0", "model-1", "c"],
        ),
        (
            "summary",
            "Modelled, not measured, Kubernetes of unknown version; run r1",
            [
                *("60 s, Watch", "volume", "20 pods, 4,320 delays, 3 not observed"),
                *("38.30 (38.00 to 38.60)", "37.80 (37.10 to -)"),
            ],
        ),
    ],
)
def test_results_show_themselves(kind: str, heading: str, row: list[str]) -> None:
    """As a table in JupyterLab, with what is to be known first in its caption."""
    result = results()[kind]

    page = result.page()
    assert page.heading == heading
    assert list(page.rows[0].values())[: len(row)] == row
    assert f"{heading}</caption>" in result._repr_html_()
    assert result._repr_markdown_()
    assert repr(result) == result.to_text()


def test_a_refresh_shows_its_steps() -> None:
    """A dry run says what it would do; there is nobody who lags behind yet."""
    page = results()["refreshed"].page()

    assert page.heading == "deployment/web in default, annotate would"
    assert page.rows == []
    assert page.notes[0].startswith("would ")
