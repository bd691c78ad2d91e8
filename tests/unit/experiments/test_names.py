"""The names of `cmhot.experiments`: each is there, and loads no other's module."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cmhot import experiments


@pytest.mark.parametrize("name", experiments.__all__)
def test_each_name_is_there(name: str) -> None:
    """Also to `dir`."""
    assert getattr(experiments, name) is not None
    assert name in dir(experiments)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="no attribute 'compare'"):
        _ = experiments.compare


def test_one_name_loads_no_other() -> None:
    """A notebook about runs does not wait for what acts on pods."""
    program = (
        "import sys; from cmhot import experiments; experiments.at_least(1, pods=1); "
        "print(*sorted(m for m in sys.modules if m.startswith('cmhot.experiments.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["cmhot.experiments.parameters"]
