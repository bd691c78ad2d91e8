"""Kubeconfigs and manifests with mistakes: a line each, in which no secret stands.

A short look at each; `make fuzz` takes thousands.
"""

from __future__ import annotations

import datetime as dt
import os
import random
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmhot.cluster.testbed.certificates import Authority
from cmhot.errors import UsageError
from cmhot.propagation.manifests import read_manifests
from tests.unit.strangers.kubeconfigs import CONTEXT, Material, write_kubeconfigs
from tests.unit.strangers.manifests import manifest_text
from tests.unit.strangers.watching import SECRET, call, check

NOBODY = 9
"""A port at which nobody listens."""
WHOLE = 20
"""Kubeconfigs whose bytes nobody changed."""


@pytest.fixture
def material(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Material:
    """Have the files that kubeconfigs refer to, and no proxy of the machine's."""
    for name in [one for one in os.environ if one.upper().endswith("_PROXY")]:
        monkeypatch.delenv(name)
    (tmp_path / "material").mkdir()
    found = Material(tmp_path / "material", NOBODY, NOBODY, SECRET)
    found.write(Authority(dt.datetime.now(dt.UTC)))
    return found


def spoil(file: Path, rng: random.Random) -> None:
    """Change some bytes, or cut the end off."""
    content = bytearray(file.read_bytes())
    for _ in range(rng.choice([0, 0, 1, 3])):
        if content:
            content[rng.randrange(len(content))] = rng.randrange(256)
    end = rng.randrange(len(content) + 1) if rng.randrange(8) == 0 else len(content)
    file.write_bytes(content[:end])


def test_a_kubeconfig_is_used_or_refused_in_a_line(
    material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No API server answers; until then nothing of a user's entry is shown."""
    said = Counter[bool]()

    def ask(rng: random.Random, *, spoilt: bool) -> None:
        with tempfile.TemporaryDirectory() as name:
            paths = write_kubeconfigs(Path(name), material, rng)
            for path in filter(os.path.isfile, paths.split(":") if spoilt else ()):
                spoil(Path(path), rng)
            monkeypatch.setenv("KUBECONFIG", paths)
            answer = call("explain", "configmap/m", "--context", CONTEXT)
        check(answer)
        assert answer.code == 2
        said.update(["(NewConnectionError)" in answer.err])

    @given(st.randoms(use_true_random=False))
    def one(rng: random.Random) -> None:
        ask(rng, spoilt=True)

    one()

    for seed in range(WHOLE):  # of which some are right
        ask(random.Random(seed), spoilt=False)  # noqa: S311 - no secret
    assert set(said) == {False, True}


def test_a_manifest_is_read_or_refused_in_a_line() -> None:
    """Whatever a document is, only names and lines of it are told."""
    read = Counter[bool]()

    @given(st.randoms(use_true_random=False))
    def one(rng: random.Random) -> None:
        text = manifest_text(rng, SECRET)
        with tempfile.TemporaryDirectory() as name:
            file = Path(name, "m.yaml")
            file.write_text(text, newline="")
            if rng.randrange(3) == 0:
                spoil(file, rng)
            try:
                read_manifests(file)
            except UsageError as error:
                said = str(error)
                assert SECRET not in said, text
                assert said.isprintable(), text
                read[False] += 1
            else:
                read[True] += 1

    one()

    assert set(read) == {False, True}
