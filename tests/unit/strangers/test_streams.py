"""Where the answer goes is not the measurement: a full disk, a reader that has gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "cmhot", "predict"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
@pytest.mark.parametrize("asked", [(), ("--json",)])
def test_a_full_disk_is_told_in_a_line(asked: tuple[str, ...]) -> None:
    """It is wrong use, and no traceback."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        ended = subprocess.run(
            [*COMMAND, *asked],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )

    assert ended.returncode == 2
    assert ended.stderr == (
        "cmhot: cannot write to standard output: No space left on device; "
        "free some space\n"
    )


@pytest.mark.parametrize("asked", [("predict",), ("figure", "--list"), ("--help",)])
def test_a_closed_pipe_is_no_failed_check(asked: tuple[str, ...]) -> None:
    """The code is a shell's for SIGPIPE: neither 1, of a check, nor 0, of one held."""
    with subprocess.Popen(
        [sys.executable, "-m", "cmhot", *asked],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        said = running.stderr.read()

    assert running.returncode == 141
    assert said == ""


@pytest.mark.parametrize(
    ("asked", "streams", "code"),
    [
        (("predict",), ">&-", 0),
        (("predict",), "2>&-", 0),
        (("collect", "--target", "nowhere"), "2>&-", 2),
        (("collect", "--target", "nowhere"), "2>/dev/full", 2),
        (("collect", "--target", "nowhere"), ">/dev/full", 2),
        (("collect", "--target", "model", "--dry-run"), "2>/dev/full", 0),
    ],
)
def test_a_stream_that_nobody_reads_changes_no_exit_code(
    asked: tuple[str, ...], streams: str, code: int
) -> None:
    """Closed, or full: what stands beside an answer may be lost, without a word."""
    if "full" in streams and not Path("/dev/full").exists():
        pytest.skip("no device that is full")
    command = [sys.executable, "-m", "cmhot", *asked]
    ended = subprocess.run(
        ["sh", "-c", f'"$@" {streams}', "sh", *command],
        check=False,
        capture_output=True,
        text=True,
    )

    assert ended.returncode == code
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
