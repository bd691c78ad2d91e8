"""What a report is asked for reaches the collection that it makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from cmhot.cli import cli
from cmhot.errors import UsageError
from cmhot.report import make
from cmhot.report.order import Order
from cmhot.settings import Setting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def test_namespace_and_setting_are_in_the_plan() -> None:
    """As `cmhot collect` has them."""
    order = Order(target="model", namespace="theirs", setting="sync=10s")

    plan = order.plan([Setting(10)])

    assert (plan.namespace, plan.setting) == ("theirs", "sync=10s")
    assert order.given_setting == Setting(10)


def test_they_reach_the_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cmhot report -n NAMESPACE --setting …` are parameters of 02-collect."""
    executed: dict[str, Mapping[str, object]] = {}

    def execute(
        name: str, values: Mapping[str, object], _: Path, **__: object
    ) -> list[Any]:
        executed[name] = values
        return []

    monkeypatch.setattr(make, "_execute", execute)

    answer = CliRunner().invoke(
        cli,
        [
            *("report", "--target", "model", "--out", str(tmp_path)),
            *("-n", "theirs", "--setting", "sync=10s"),
        ],
    )

    assert answer.exit_code == 0, answer.stderr
    values = executed["02-collect"]
    assert (values["namespace"], values["setting"]) == ("theirs", "sync=10s")
    # the model's kubelets are asked, and most say something else
    assert "--setting gives 10 s, Watch, but kubelets say" in answer.stderr


def test_a_setting_that_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    """It is wrong use, told before anything is made."""
    out = tmp_path / "reports"
    with pytest.raises(UsageError, match="cannot read 'often'"):
        make.report(out=out, target="model", setting="often")

    assert not out.exists()
