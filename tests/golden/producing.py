"""What the program says and writes today, as text files: one folder a part.

`main` writes them in a process of its own: what tests do cannot change them.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import logging
import os
import re
import secrets
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock
from xml.etree import ElementTree as ET

import click
import pandas as pd
from click.testing import CliRunner
from matplotlib import font_manager

import cmhot
from cmhot.cli import cli
from cmhot.plots import NAMES as FIGURES

# All that is not a public name of `cmhot` stands in these three lines.
from cmhot.report import notebooks  # its `execute` and `to_html` are replaced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
DATA = ROOT / "data"
LINES = DATA / "testbed-2026-11-24" / "start-1"
AFTER = DATA / "testbed-2026-11-24" / "start-2"
PACKED = DATA / "study-2026-11-24" / "era-v1.26.15"
INVALID = DATA / "study-2026-11-24" / "ttl-shared-1-4"
DIGITS = 9
"""Of a number with a fraction: what follows differs between processors, of a difference
of two large ones sooner."""
PLACES = 3
"""Of a coordinate in a picture, for the same reason: a thousandth of a point."""

COLUMNS = 88
LATIN = "DejaVu Sans"  # comes with matplotlib, so every machine has the same
CJK = "Noto Sans CJK SC"

_BAR = re.compile(r"\d+/\d+ \|")
_MACHINE = re.compile(r'"(packages|host)": \{[^{}]*\}')
_MADE = re.compile(r'(?<="created_utc": ")[^"]*')
_FRACTION = re.compile(r"(?<![\w.])-?\d+\.\d+(?:e[-+]?\d+)?(?![\w.])")

PREDICTIONS = {
    "defaults": "",
    "fleet": "--sync 10s --pods 50",
    "rank": "--sync 20s --pods 50 --rank 25 --quantile .999 --quantile .25",
    "get": "--sync 60s --strategy Get --sharers 5",
    "cache": "--strategy Cache --ttl 60s --sharers 5",
    "cache-fleet": "--sync 10s --strategy Cache --ttl 15s --sharers 3 --pods 9",
    "cache-no-ttl": "--sync 10s --strategy Cache",
    "old-kubelet": "--strategy Cache --ttl 60s --kubernetes v1.28.15",
    "age": "--sync 60s --age 30s",
    "extra-syncs": "--sync 60s --extra-syncs 20",
    "wrong-quantile": "--quantile 1.5",
    "wrong-strategy": "--strategy Push",
}
PLANS = {
    "watch": "--sync 60s --width 1s --quantile .99",
    "median": "--sync 10s --width 500ms --quantile .5",
    "cache": "--sync 10s --strategy Cache --ttl 60s --sharers 5 --width 2s",
    "too-narrow": "--width 1ms --quantile .999",
}
MANIFESTS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: app}
data: {a: "1", b: two}
---
apiVersion: v1
kind: Secret
metadata: {name: tls}
stringData: {key: hidden}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: c
        image: i
        volumeMounts:
        - {name: v, mountPath: /etc/v}
        - {name: s, mountPath: /etc/s}
      volumes:
      - {name: v, configMap: {name: app}}
      - {name: s, secret: {secretName: tls}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: old}
spec:
  replicas: 2
  selector: {matchLabels: {app: old}}
  template:
    metadata: {labels: {app: old}}
    spec:
      containers:
      - name: c
        image: i
        env:
        - {name: A, valueFrom: {configMapKeyRef: {name: app, key: a}}}
        volumeMounts:
        - {name: v, mountPath: /etc/b, subPath: b}
        - {name: p, mountPath: /etc/p}
      volumes:
      - {name: v, configMap: {name: app}}
      - {name: p, projected: {sources: [{configMap: {name: app}}]}}
"""
CHANGED = """
apiVersion: v1
kind: ConfigMap
metadata: {name: app}
data: {a: "2", b: three}
"""


def invoke(*arguments: str) -> str:
    """Run a command; give its exit code, and what it says."""
    result = CliRunner().invoke(
        cli, arguments, prog_name="cmhot", terminal_width=COLUMNS
    )
    code, said = result.exit_code, result.stderr
    error = result.exception
    if error is not None and not isinstance(error, SystemExit):
        code = getattr(error, "exit_code", code)
        said += f"{type(error).__name__}: {error}\n"
    said = "".join(
        line for line in said.splitlines(keepends=True) if not _BAR.search(line)
    )  # a progress bar shows this machine's speed
    command = " ".join(["$ cmhot", *arguments])
    parts = [f"{command}\nexit {code}\n{result.stdout}"]
    if said:
        parts.append(f"--- standard error\n{said}")
    return "".join(parts)


_MADE_ID = re.compile(r"\b[A-Za-z]*[0-9a-f]{10}\b")
"""Of a picture's parts: matplotlib makes it from all digits of their coordinates."""


def rounded(text: str) -> str:
    """Shorten the numbers of a text to as many digits as every processor gives."""
    return _FRACTION.sub(
        lambda found: (
            found[0]
            if len(found[0].partition("e")[0].strip("-0.")) <= DIGITS
            else repr(float(f"{float(found[0]):.{DIGITS}g}"))
        ),
        text,
    )


def help_texts() -> Iterator[tuple[str, str]]:
    """Say what each command and sub-command says of itself."""
    for path in _commands(cli, ()):
        yield f"{'-'.join(('cmhot', *path))}.txt", invoke(*path, "--help")


def _commands(
    command: click.Command, path: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    """List every command, groups included."""
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _commands(inner, (*path, name))


def calculations() -> Iterator[tuple[str, str]]:
    """Say what the commands answer that need no cluster."""
    for command, asked in (("predict", PREDICTIONS), ("plan", PLANS)):
        for name, options in asked.items():
            words = [command, *options.split()]
            yield f"{command}-{name}.txt", invoke(*words) + invoke(*words, "--json")
    for run in (LINES, PACKED, INVALID):
        shutil.copytree(run, run.name)  # what is derived is written beside it
        yield from summaries(run.name)
    yield "export.txt", _exported(LINES.name)
    yield "figure-list.txt", invoke("figure") + invoke("figure", "--lang", "zh")
    yield (
        "rbac.txt",
        invoke("rbac", "-n", "shop", "--nodes", "--ephemeral")
        + invoke("rbac", "-n", "shop", "--clean", "--create-namespace"),
    )
    yield (
        "job.txt",
        invoke("job", "--image", "i", "-n", "shop", "--pods", "7", "--nodes"),
    )
    yield (
        "wrong-use.txt",
        invoke("explain", "cm/app", "--target", "nowhere")
        + invoke("explain", "cm/app")
        + invoke("summarise", "nothing")
        + invoke("summarise", LINES.name, "--json", "--openmetrics")
        + invoke("figure", "nothing")
        + invoke("report", "--run", LINES.name, "--pods", "3"),
    )


def summaries(run: str) -> Iterator[tuple[str, str]]:
    """Say how a run is summarised, for people, programs and monitoring."""
    yield f"summarise-{run}-json.txt", invoke("summarise", run, "--json", "--force")
    yield (
        f"summarise-{run}.txt",
        invoke("summarise", run)
        + invoke("summarise", run, "--openmetrics", "--force")
        + invoke("summarise", run, "--force", "--require", "p99<90s")
        + invoke("summarise", run, "--force", "--require", "p50<1s"),
    )


def _exported(run: str) -> str:
    """Anonymise a run; give what it is then."""
    said = invoke("export", "--anonymise", run, "--out", f"{run}-out")
    return said + "".join(
        f"--- {path.name}\n{_content(path)}"
        for path in sorted(Path(f"{run}-out").iterdir())
    )


def on_the_model() -> Iterator[tuple[str, str]]:
    """Say what the commands answer that look at a cluster: here, virtual kubelets."""
    yield (
        "doctor.txt",
        invoke("doctor", "--target", "model")
        + invoke("doctor", "--target", "model", "--json")
        + invoke("doctor", "--target", "model", "--json", "-n", "shop", "--pods", "3"),
    )
    dry = ("collect", "--target", "model", "--pods", "4", "--dry-run")
    yield "collect-dry-run.txt", invoke(*dry) + invoke(*dry, "--setting", "sync=60s")
    yield "clean.txt", invoke("clean", "--target", "model")
    Path("app.yaml").write_text(MANIFESTS, encoding="utf-8")
    Path("new.yaml").write_text(CHANGED, encoding="utf-8")
    where = ("--target", "model", "-n", "shop")
    with one_model():
        yield "1-apply.txt", invoke("apply", "-f", "app.yaml", "--wait", *where)
        for name in ("cm/app", "secret/tls", "configmap/ap"):
            asked: tuple[str, ...] = ("explain", name, *where)
            yield (
                f"2-explain-{name.replace('/', '-')}.txt",
                invoke(*asked) + invoke(*asked, "--json"),
            )
        yield "3-wait.txt", invoke("wait", "secret/tls", "--json", *where)
        yield "4-apply.txt", invoke("apply", "-f", "new.yaml", *where)
        asked = ("wait", "cm/app", "--timeout", "2s", *where)
        yield "5-wait-in-vain.txt", invoke(*asked) + invoke(*asked, "--json")
        asked = ("wait", "cm/app", "--for", "deploy/web", *where)
        yield "6-wait.txt", invoke(*asked) + invoke(*asked, "--json")
        asked = ("wait", "cm/app", "--updatable-only", *where)
        yield "7-wait-updatable.txt", invoke(*asked, "--json")
        for method in ("annotate", "rollout", "recreate"):
            for workload in ("web", "old"):
                asked = ("refresh", f"deploy/{workload}", "--method", method, *where)
                yield (
                    f"8-refresh-{method}-{workload}.txt",
                    invoke(*asked, "--dry-run") + invoke(*asked, "--dry-run", "--json"),
                )
        for place, method in enumerate(("annotate", "rollout", "recreate"), 1):
            asked = ("refresh", "deploy/old", "--method", method, *where)
            yield f"9-refresh-{place}-{method}.txt", invoke(*asked, "--json")


@contextlib.contextmanager
def one_model() -> Iterator[None]:
    """Let every command meet the same model, as commands meet the same cluster."""
    model = cmhot.connect("model")
    home = sys.modules[cmhot.connect.__module__]
    with mock.patch.object(home, "connect", return_value=model):
        yield


def collection() -> Iterator[tuple[str, str]]:
    """Give what a seeded collection from the model writes, and its summary."""
    with fixed_names():
        said = invoke(
            *("collect", "--target", "model", "--pods", "3"),
            *("--duration", "40s", "--seed", "7", "--out", "runs"),
        )
    yield "collect.txt", said
    (run,) = Path("runs").iterdir()
    run = run.rename("model-run")
    for path in sorted(run.iterdir()):
        end = ".csv" if path.suffix == ".parquet" else ""
        yield f"{path.name}{end}", _content(path)
    yield from summaries(run.name)


@contextlib.contextmanager
def fixed_names() -> Iterator[None]:
    """Let names that have a random tail have none."""
    with mock.patch.object(secrets, "token_hex", lambda size: "0" * 2 * size):
        yield


def _content(path: Path) -> str:
    """Give a file of a run as text; tables have sorted columns and rows."""
    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
        kinds = "".join(f"# {name}: {table[name].dtype}\n" for name in table)
        rows = table.to_csv(index=False).splitlines(keepends=True)
        return kinds + rows[0] + "".join(sorted(rows[1:]))
    text = path.read_text(encoding="utf-8")
    return _MACHINE.sub(_without_values, text) if path.name == "run.json" else text


def _without_values(found: re.Match[str]) -> str:
    """Keep which packages and facts a run names, but not those of this machine."""
    return re.sub(r'(": )"[^"]*"', r'\1"…"', found[0])


def reports() -> Iterator[tuple[str, str]]:
    """Give numbers and page of reports on runs, whose notebooks draw nothing."""

    def execute(name: str, _values: object, *, out: Path, **_: object) -> None:
        (out / f"{name}.ipynb").write_text("{}", encoding="utf-8")

    for run in (LINES, AFTER, INVALID):
        shutil.copytree(run, run.name)
    with (
        mock.patch.object(notebooks, "execute", execute),
        mock.patch.object(notebooks, "to_html", return_value=None),
    ):
        yield "invalid.txt", invoke("report", "--run", INVALID.name)
        said = invoke("report", "--run", LINES.name, "--out", "one")
        yield from _report("report", said, Path("one"))
        said = invoke("report", "--compare", LINES.name, AFTER.name, "--out", "both")
        yield from _report("compare", said, Path("both"))


def _report(name: str, said: str, out: Path) -> Iterator[tuple[str, str]]:
    """Give what a report says, writes as numbers and shows, but not when."""
    yield f"{name}.txt", said
    (folder,) = out.iterdir()
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    yield f"{name}-files.txt", "\n".join(files) + "\n"
    numbers = (folder / "numbers.json").read_text(encoding="utf-8")
    yield f"{name}-numbers.json", _MADE.sub("…", numbers)
    page = (folder / "index.html").read_text(encoding="utf-8")
    page = re.sub(r"made [\d :-]+ UTC", "made … UTC", page)
    page = re.sub(
        r"(?<=base64,)[\w+/=]{200,}", lambda found: _digest(found[0].encode()), page
    )
    yield f"{name}-page.html", page


def interface() -> Iterator[tuple[str, str]]:
    """Give the public names of the package, and what each is called with."""
    lines = [f"{name}{_signature(getattr(cmhot, name))}" for name in cmhot.__all__]
    yield "names.txt", "\n".join(lines) + "\n"
    for module in (cmhot.law, cmhot.plots):
        lines = [
            f"{name}{_signature(getattr(module, name))}" for name in module.__all__
        ]
        yield f"{module.__name__}.txt", "\n".join(lines) + "\n"


def _signature(value: object) -> str:
    """Write what a function or class is called with; of others nothing."""
    if not callable(value):
        return ""
    return re.sub(" at 0x[0-9a-f]+", "", str(inspect.signature(value)))


def notebook_parameters() -> Iterator[tuple[str, str]]:
    """Give the cell of each notebook that names its parameters."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_bytes())["cells"]:
            if "parameters" in cell["metadata"].get("tags", []):
                yield f"{path.stem}.txt", "".join(cell["source"]) + "\n"


def english_figures() -> Iterator[tuple[str, str]]:
    """Give every named figure from the data that come with the package."""
    with same_fonts():
        for name in FIGURES:
            yield from _figure(name, name)


def chinese_figures() -> Iterator[tuple[str, str]]:
    """Give them in Chinese, which is drawn for a phone in the dark here."""
    look = ("--lang", "zh", "--theme", "dark", "--width", "400")
    with same_fonts():
        for name in FIGURES:
            yield from _figure(name, name, *look)


def _figure(name: str, stem: str, *options: str) -> Iterator[tuple[str, str]]:
    """Draw a figure; give what is in its picture, its words and its numbers."""
    picture = Path(f"{stem}.svg")
    said = invoke("figure", name, "--out", str(picture), *options)
    yield f"{stem}.svg.txt", said + (drawn(picture) if picture.is_file() else "")
    for end in (".json", ".md"):
        path = picture.with_suffix(end)
        yield f"{path.name}.txt", path.read_text(encoding="utf-8")


@contextlib.contextmanager
def same_fonts() -> Iterator[None]:
    """Have the fonts that come with matplotlib, whatever is installed.

    Chinese is drawn as if its font were there, and measured as empty boxes.
    """
    manager = font_manager.fontManager
    ours = [one for one in manager.ttflist if "mpl-data" in one.fname]
    names = [*{one.name for one in ours}, CJK]
    logging.getLogger(font_manager.__name__).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", "Glyph .* missing from font")
    with (
        mock.patch.object(manager, "ttflist", ours),
        mock.patch.object(font_manager, "get_font_names", return_value=names),
    ):
        assert LATIN in names
        yield


def drawn(picture: Path) -> str:
    """Give a digest of a picture, and of its parts, so that a difference has a place.

    First of the whole; then how often each element occurs; then each group that has a
    name, with a digest of what is in it; then each text.
    """
    content = _with_less_digits(picture.read_text(encoding="utf-8"))
    root = ET.fromstring(content)  # noqa: S314 - our own file
    counts = Counter(_tag(one) for one in root.iter())
    lines = [f"whole: {_digest(content.encode())}"]
    lines += [f"{name}: {number}" for name, number in sorted(counts.items())]
    lines += [
        f"group {group.get('id')}: {len(list(group.iter()))} elements, "
        f"{_digest(ET.tostring(group))}"
        for group in root.iter()
        if _tag(group) == "g" and group.get("id")
    ]
    lines += [
        f"text: {''.join(one.itertext())}"
        for one in root.iter()
        if _tag(one) in {"title", "desc", "text"}
    ]
    return "\n".join(lines) + "\n"


def _with_less_digits(content: str) -> str:
    """Give a picture as every processor draws it."""
    numbers: dict[str, str] = {}
    named = _MADE_ID.sub(
        lambda found: numbers.setdefault(found[0], f"made-{len(numbers)}"), content
    )
    # plus nothing: no zero is negative
    return _FRACTION.sub(
        lambda found: f"{round(float(found[0]), PLACES) + 0:.{PLACES}f}", named
    )


def _tag(element: ET.Element) -> str:
    """Give the name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


def _digest(content: bytes) -> str:
    """Give 16 digits that hardly any other content has."""
    return f"sha256:{hashlib.sha256(content).hexdigest()[:16]}"


PARTS: dict[str, Callable[[], Iterator[tuple[str, str]]]] = {
    "figures": english_figures,
    "figures-zh": chinese_figures,
    "reports": reports,
    "help": help_texts,
    "calculations": calculations,
    "model": on_the_model,
    "collection": collection,
    "interface": interface,
    "notebooks": notebook_parameters,
}
"""By name, each gives names and texts of its files."""

TOGETHER = (
    ("figures", "figures-zh"),  # the second finds the runs summarised by the first
    ("reports",),
    tuple(sorted(PARTS.keys() - {"figures", "figures-zh", "reports"})),
)
"""Parts that one process makes, the longest first."""


def produce(part: str, folder: Path) -> None:
    """Write the files of a part, from an empty place and an empty home."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as place,
        contextlib.chdir(place),
        mock.patch.dict(os.environ, {"HOME": place, "KUBECONFIG": f"{place}/none"}),
    ):
        for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "SUDO_UID", "COLUMNS"):
            os.environ.pop(name, None)
        for name, text in PARTS[part]():
            whole = rounded(text.replace(place, "PLACE").replace(str(ROOT), "ROOT"))
            (folder / name).write_text(whole, encoding="utf-8")


def main() -> None:
    """Write the parts that the command line names, each to its folder in a place."""
    place, *parts = sys.argv[1:]
    for part in parts:
        produce(part, Path(place) / part)
