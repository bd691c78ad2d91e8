"""Notebooks: parameters documented and never misspelt, kernels that load no more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from cmhot.errors import UsageError
from cmhot.report import notebooks
from cmhot.report.notebooks import Kernel

if TYPE_CHECKING:
    from pathlib import Path


def test_names_are_in_order() -> None:
    """The notebooks are listed as a reader goes through them."""
    names = notebooks.names()

    assert names == sorted(names)
    assert {"02-collect", "03-delay-distribution"} <= set(names)


def test_unknown_notebook_is_wrong_use() -> None:
    """A wrong name gets the known ones."""
    with pytest.raises(UsageError, match=r"unknown notebook '04-x': .*02-collect"):
        notebooks.find("04-x")


def test_parameters_have_type_default_and_help() -> None:
    """The tagged cell is the notebook's documentation."""
    known = notebooks.parameters("02-collect")

    assert known["pods"] == ("int", "20", "probe pods per setting")
    assert known["target"].default == '"testbed"'
    assert list(known) == [
        "target",
        "pods",
        "pods_at",
        "duration_s",
        "gap_s",
        "seed",
        "out",
        "run_id",
        "namespace",
        "probe_image",
        "setting",
    ]


@pytest.mark.parametrize("name", notebooks.names())
def test_every_parameter_is_documented(name: str) -> None:
    """Each parameter has a type and a word of help."""
    for parameter in notebooks.parameters(name).values():
        assert parameter.type != "None"
        assert parameter.help


def test_unknown_parameter_is_refused(tmp_path: Path) -> None:
    """A misspelt parameter is an error that names the known ones; nothing is made."""
    known = r"no parameter podz: it knows target: str, pods: int, pods_at: list"
    with pytest.raises(UsageError, match=known):
        notebooks.execute("02-collect", {"podz": 3}, out=tmp_path / "new")

    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", notebooks.names())
def test_every_annotation_can_be_checked(name: str) -> None:
    """No parameter has a type of which values would go unchecked."""
    for parameter in notebooks.parameters(name).values():
        assert parameter.type in {"str", "int", "float", "bool", "list[str]"}


def test_wrong_type_is_refused(tmp_path: Path) -> None:
    """A value of another type is an error that names all parameters."""
    said = r"takes pods as int, and '3' is none: its parameters are target: str, pods: "
    with pytest.raises(UsageError, match=said):
        notebooks.execute("02-collect", {"pods": "3"}, out=tmp_path / "new")

    assert not (tmp_path / "new").exists()


def test_unwritable_folder_is_wrong_use(tmp_path: Path) -> None:
    """Where the copy cannot be saved, nothing is executed."""
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="cannot write to"):
        notebooks.execute("02-collect", {}, out=tmp_path / "file" / "sub")


@pytest.mark.parametrize(
    ("name", "transport"),
    [("x" * 60, "ipc"), ("测" * 20, "ipc"), ("x" * 100, "tcp"), ("测" * 33, "tcp")],
    ids=["short", "short-in-bytes", "long", "long-in-bytes"],
)
def test_a_socket_has_a_path_of_few_bytes(name: str, transport: str) -> None:
    """A folder whose path has more bytes than Linux allows a socket has none."""
    manager = Kernel(f"/tmp/{name}").manager_class()()

    assert manager.transport == transport


def test_a_kernel_shows_figures_in_the_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever backend or matplotlibrc the user has: there may be no window."""
    monkeypatch.setenv("MPLBACKEND", "TkAgg")
    monkeypatch.setenv("MATPLOTLIBRC", str(tmp_path))

    spec = Kernel(str(tmp_path)).manager_class()().kernel_spec_manager
    environ = spec.get_kernel_spec("python3").env

    assert environ["MPLBACKEND"] == "module://matplotlib_inline.backend_inline"
    assert environ["MATPLOTLIBRC"] == os.devnull


def test_a_kernel_loads_nothing_of_the_working_directory(tmp_path: Path) -> None:
    """Neither Python nor IPython looks for modules or start-up files there."""
    manager = Kernel(str(tmp_path)).manager_class()()
    spec = manager.kernel_spec

    assert spec is not None
    assert spec.argv[1:4] == ["-P", "-m", "ipykernel_launcher"]
    assert "--IPKernelApp.ignore_cwd=True" in spec.argv
    assert "--IPKernelApp.exec_PYTHONSTARTUP=False" in spec.argv
