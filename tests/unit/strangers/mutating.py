"""Seeded changes of a run directory, as carelessness or malice might make them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from cmhot.clock import SystemClock
from cmhot.errors import CmhotError
from cmhot.plots.figure import Material
from cmhot.plots.publishing import FIGURES
from cmhot.runs.rundir import read_run
from cmhot.statistics.summarise import summarise

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from pathlib import Path


DRAWN = ("delay-distribution", "timeline", "phase", "sync-frequency")
"""Figures whose numbers and words are made of each run."""
STRANGE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**62, 2**63, -(2**63), 10**40),
    *(0.0, -0.5, 1e-300, 1e300, float("nan"), float("inf")),
    *("", "x", "volume", "gap", "../../x", "\u001b[2J", "\ud800", "y" * 5000),
    *([], [1], {}, {"a": {"b": [None]}}, [[[[]]]]),
)
"""Values that hardly anything expects."""


def flip_bytes(run: Path, rng: random.Random) -> None:
    """Change some bytes of a file."""
    file = _file(run, rng)
    content = bytearray(file.read_bytes())
    for _ in range(rng.randint(1, 8)):
        if content:
            content[rng.randrange(len(content))] = rng.randrange(256)
    file.write_bytes(content)


def cut(run: Path, rng: random.Random) -> None:
    """Leave only the beginning of a file."""
    file = _file(run, rng)
    content = file.read_bytes()
    file.write_bytes(content[: rng.randrange(len(content) + 1)])


def change_lines(run: Path, rng: random.Random) -> None:
    """Drop a line, have it twice, or put it elsewhere."""
    file = _file(run, rng, ".jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    if not lines:
        return
    line = lines.pop(rng.randrange(len(lines)))
    for _ in range(rng.randrange(3)):
        lines.insert(rng.randrange(len(lines) + 1), line)
    file.write_bytes(b"".join(lines))


def change_rows(run: Path, rng: random.Random) -> None:
    """Put a strange value into some rows."""
    file = _file(run, rng, ".jsonl")
    lines = file.read_text(errors="replace").splitlines()
    for _ in range(min(rng.randint(1, 3), len(lines))):
        at = rng.randrange(len(lines))
        lines[at] = _strange(lines[at], rng)
    file.write_text("".join(f"{line}\n" for line in lines), errors="replace")


def change_meta(run: Path, rng: random.Random) -> None:
    """Put a strange value somewhere into run.json."""
    file = run / "run.json"
    if file.is_symlink() or not file.is_file():
        return
    file.write_text(_strange(file.read_text(errors="replace"), rng))


def put_link(run: Path, rng: random.Random) -> None:
    """Put a link, a pipe or a folder in place of a file."""
    file = _file(run, rng)
    file.unlink()
    kind = rng.randrange(4)
    if kind == 0:
        os.mkfifo(file)
    elif kind == 1:
        file.mkdir()
    else:
        file.symlink_to(rng.choice(["/dev/zero", file.name, "/etc/hostname", "none"]))


def remove(run: Path, rng: random.Random) -> None:
    """Leave out a file."""
    _file(run, rng).unlink()


MUTATIONS: tuple[Callable[[Path, random.Random], None], ...] = (
    *(flip_bytes, cut, change_lines, change_rows, change_rows),
    *(change_meta, change_meta, change_meta, put_link, remove),
)


def mutate(run: Path, rng: random.Random) -> list[str]:
    """Change a run once or a few times; say how."""
    chosen = rng.choices(MUTATIONS, k=rng.randint(1, 3))
    for change in chosen:
        change(run, rng)
    return [change.__name__ for change in chosen]


def use(run: Path) -> tuple[str, float]:
    """Read, summarise and tell a run; give what became of it, and the seconds."""
    began = SystemClock().monotonic()
    try:
        read_run(run)
        summary = summarise([run], force=True)
        summary.to_text()
        json.dumps(summary.to_dict(), allow_nan=False)
        for name in DRAWN:
            _tell(run, name)
    except CmhotError as error:
        said = str(error)
        assert "\n" not in said.strip(), said
    else:
        said = ""
    return said, SystemClock().monotonic() - began


def _tell(run: Path, name: str) -> None:
    """Take a figure's numbers and words of a run, if it can be drawn of it."""
    try:
        subject = FIGURES[name].read(Material(paths=(run,)))
        json.dumps(subject.numbers)
        subject.describe("en")
    except CmhotError:
        return


def _file(run: Path, rng: random.Random, end: str = "") -> Path:
    """Choose a file of the run; one that is none any more is left alone."""
    files = [
        path
        for path in sorted(run.iterdir())
        if path.is_file() and not path.is_symlink() and path.name.endswith(end)
    ]
    if files:
        return rng.choice(files)
    spare = run / f"spare{end}"
    spare.write_bytes(b"")
    return spare


def _strange(text: str, rng: random.Random) -> str:
    """Put a strange value somewhere into JSON."""
    try:
        content = json.loads(text)
    except ValueError:
        return text
    places: list[tuple[Any, Any]] = []
    level = [content]
    while level:
        one = level.pop()
        if not isinstance(one, dict | list):
            continue
        keys = list(one) if isinstance(one, dict) else range(len(one))
        places += [(one, key) for key in keys]
        level += [one[key] for key in keys]
    if places:
        where, key = rng.choice(places)
        where[key] = rng.choice(STRANGE)
    return json.dumps(content)
