"""What the program says and writes is, byte by byte, what it said and wrote before.

After a change that is meant: ``pytest tests/golden --update-golden``; read the diff.
"""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.golden.producing import PARTS, TOGETHER

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
EXPECTED = Path(__file__).parent / "expected"
MOST_LINES = 60
"""Of a file's difference; more is hardly read."""

Texts = dict[str, str]


def produce(parts: tuple[str, ...], place: Path) -> None:
    """Have a process of its own write the files of some parts."""
    # not with -m: a process that this one spawns would import all of it again
    code = "from tests.golden.producing import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, str(place), *parts],
        cwd=ROOT,
        # with more threads than one the order of a sum may be another
        env={**os.environ, "MPLBACKEND": "Agg", "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def read(folder: Path) -> Texts:
    """Read the files of a folder by their names."""
    if not folder.is_dir():
        return {}
    files = sorted(folder.iterdir())
    return {path.name: path.read_bytes().decode() for path in files}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Produce all, in as many processes at a time as there are processors."""
    made = tmp_path_factory.mktemp("golden")
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for _ in pool.map(lambda parts: produce(parts, made), TOGETHER):
            pass
    return made


def difference(before: Texts, now: Texts) -> str:
    """Show which lines of which files are different, as ``diff -u`` does."""
    shown = []
    for name in sorted(before.keys() | now.keys()):
        if name not in now or name not in before:
            shown.append(f"{name} is {'gone' if name in before else 'new'}")
        elif before[name] != now[name]:
            lines = [*_compared(name, before[name], now[name])]
            more = len(lines) - MOST_LINES
            shown += lines[:MOST_LINES]
            shown += [f"… and {more} lines more"] if more > 0 else []
    return "\n".join(shown)


def _compared(name: str, before: str, now: str) -> Iterator[str]:
    """Compare two texts line by line; ends of lines count too."""
    if before.splitlines() == now.splitlines():
        yield f"{name} differs in the ends of its lines"
        return
    yield from difflib.unified_diff(
        before.splitlines(),
        now.splitlines(),
        f"expected/{name}",
        f"now/{name}",
        n=2,
        lineterm="",
    )


@pytest.mark.parametrize("part", PARTS)
def test_outputs_are_as_before(
    part: str, place: Path, request: pytest.FixtureRequest
) -> None:
    """No change of the code changes what users, programs and files get, unmeant."""
    now, folder = read(place / part), EXPECTED / part
    if request.config.getoption("--update-golden"):
        folder.mkdir(parents=True, exist_ok=True)
        for name in read(folder).keys() - now.keys():
            (folder / name).unlink()
        for name, text in now.items():
            (folder / name).write_bytes(text.encode())
        return

    changed = difference(read(folder), now)

    if changed:
        pytest.fail(f"{part}: not as before\n{changed}", pytrace=False)


def test_every_expectation_has_its_part() -> None:
    """Nothing is expected that nobody produces any more."""
    assert {path.name for path in EXPECTED.iterdir()} == {*PARTS}


def test_a_difference_can_be_read() -> None:
    """It names the file, what the line was, and what it is; equal files are silent."""
    before = {"a": "x\ny\n", "b": "same", "c": "z\n", "gone": ""}

    shown = difference(before, {"a": "x\nZ\n", "b": "same", "c": "z\r\n", "d": ""})

    assert "--- expected/a\n+++ now/a\n" in shown
    assert "-y\n+Z\n" in shown
    assert "c differs in the ends of its lines\nd is new\ngone is gone" in shown
    assert "/b" not in shown
