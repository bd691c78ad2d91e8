"""The toolchain is new enough, or an error says what to install."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cmhot.cluster.testbed.programs.build import Go, find_go, require_libraries
from cmhot.cluster.testbed.versions import KUBERNETES_VERSION, catalogue
from cmhot.errors import ProgramsError

if TYPE_CHECKING:
    from pathlib import Path

PARTS = {part.name: part for part in catalogue(KUBERNETES_VERSION)}


def script(path: Path, text: str) -> Path:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def go_module(folder: Path, *, go: str = "1.24") -> Path:
    """Write the go.mod of an empty module."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "go.mod").write_text(f"module example.org/tiny\n\ngo {go}\n")
    return folder


def test_go_on_path(tmp_path: Path) -> None:
    """The toolchain on PATH is used where it is new enough."""
    go = script(tmp_path / "bin" / "go", "echo go1.99.1")
    environ = {"PATH": f"{tmp_path}/bin"}
    found = find_go(go_module(tmp_path / "m"), environ=environ, packaged=lambda: None)

    assert found == Go(go, "go1.99.1")


def test_packaged_go(tmp_path: Path) -> None:
    """An old toolchain on PATH gives way to the environment's package."""
    script(tmp_path / "bin" / "go", "echo go1.19")
    packaged = script(tmp_path / "site" / "go", "echo go1.26.0")
    found = find_go(
        go_module(tmp_path / "m"),
        environ={"PATH": f"{tmp_path}/bin"},
        packaged=lambda: packaged,
    )

    assert found == Go(packaged, "go1.26.0")


def test_go_that_fetches_another(tmp_path: Path) -> None:
    """An old toolchain that may fetch a newer one, by its GOTOOLCHAIN, will do."""
    answer = 'test "$GOTOOLCHAIN" = local && echo go1.21.0 || echo go1.26.0'
    script(tmp_path / "bin" / "go", answer)
    module = go_module(tmp_path / "m")
    environ = {"PATH": f"{tmp_path}/bin"}

    found = find_go(module, environ=environ, packaged=lambda: None)
    assert found.version == "go1.26.0"
    with pytest.raises(ProgramsError):
        find_go(module, environ=environ, packaged=lambda: None, may_fetch=False)


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        pytest.param(None, "no go is on PATH", id="none"),
        pytest.param("echo go1.19", "go is go1.19", id="too-old"),
        pytest.param("exit 1", "go is not working", id="broken"),
    ],
)
def test_no_go(tmp_path: Path, answer: str | None, seen: str) -> None:
    """Without a toolchain the error says what is there, and names both remedies."""
    if answer:
        script(tmp_path / "bin" / "go", answer)

    with pytest.raises(ProgramsError) as raised:
        find_go(
            go_module(tmp_path / "m", go="1.26.3"),
            environ={"PATH": f"{tmp_path}/bin"},
            packaged=lambda: None,
        )

    assert "needs Go 1.26.3 or newer" in str(raised.value)
    assert seen in str(raised.value)
    assert "https://go.dev/dl/" in str(raised.value)
    assert "pip install 'cmhot[build]'" in str(raised.value)


def test_missing_library(tmp_path: Path) -> None:
    """What the C compiler lacks is said before it is started, with the command."""
    script(tmp_path / "pkg-config", "exit 1")
    script(tmp_path / "gcc", "exit 0")

    with pytest.raises(
        ProgramsError,
        match="needs the headers of libseccomp: apt-get install -y libseccomp-dev",
    ):
        require_libraries(PARTS["runc"].build, environ={"PATH": str(tmp_path)})


def test_missing_compiler(tmp_path: Path) -> None:
    """A missing compiler and a missing pkg-config are said together."""
    with pytest.raises(ProgramsError, match="needs a C compiler and pkg-config"):
        require_libraries(PARTS["runc"].build, environ={"PATH": str(tmp_path)})
