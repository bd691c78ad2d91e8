"""Node selectors and tolerations, as `kubectl` writes them."""

from __future__ import annotations

from typing import Any

import pytest

from cmhot.cluster.probe import deployment
from cmhot.errors import UsageError
from cmhot.runs.plan import (
    Placement,
    Toleration,
    make_placement,
    parse_label,
    parse_toleration,
)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("gpu", {"key": "gpu", "operator": "Exists"}),
        (
            "gpu=a100:NoSchedule",
            {
                "key": "gpu",
                "value": "a100",
                "effect": "NoSchedule",
                "operator": "Equal",
            },
        ),
        (
            "gpu:NoExecute",
            {"key": "gpu", "effect": "NoExecute", "operator": "Exists"},
        ),
        ("gpu=", {"key": "gpu", "value": "", "operator": "Equal"}),
        ("*", {"operator": "Exists"}),
    ],
)
def test_a_toleration_is_read(text: str, written: dict[str, str]) -> None:
    """Parts that are left out match anything."""
    assert parse_toleration(text).to_dict() == written


@pytest.mark.parametrize("text", ["", "=x", "gpu:Sometimes", ":NoSchedule", "gpu:"])
def test_a_wrong_toleration_is_wrong_use(text: str) -> None:
    """The message shows the form."""
    with pytest.raises(UsageError, match=r"KEY\[=VALUE\]\[:EFFECT\]"):
        parse_toleration(text)


def test_a_wrong_label_is_wrong_use() -> None:
    """A node selector needs both parts."""
    assert parse_label("pool=") == ("pool", "")
    with pytest.raises(UsageError, match="LABEL=VALUE"):
        parse_label("pool")


TAINT = {"key": "gpu", "value": "a100", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("toleration", "covered"),
    [
        (Toleration(), True),
        (Toleration("gpu"), True),
        (Toleration("gpu", "a100", "NoSchedule"), True),
        (Toleration("gpu", "t4"), False),
        (Toleration("gpu", None, "NoExecute"), False),
        (Toleration("fpga"), False),
    ],
)
def test_what_a_toleration_covers(toleration: Toleration, covered: bool) -> None:  # noqa: FBT001
    """Key, value and effect must agree, where they are given."""
    assert toleration.covers(TAINT) is covered


def node(**spec: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a spec
    """Make a node of pool ``a``."""
    return {"metadata": {"name": "n", "labels": {"pool": "a"}}, "spec": spec}


@pytest.mark.parametrize(
    ("placement", "spec", "taken"),
    [
        (Placement(), {}, True),
        (Placement(), {"unschedulable": True}, False),
        (Placement(), {"taints": [TAINT]}, False),
        (Placement(), {"taints": [{**TAINT, "effect": "PreferNoSchedule"}]}, True),
        (Placement(tolerations=(Toleration("gpu"),)), {"taints": [TAINT]}, True),
        (Placement(node_selector=(("pool", "a"),)), {}, True),
        (Placement(node_selector=(("pool", "b"),)), {}, False),
    ],
)
def test_which_nodes_take_probes(
    placement: Placement,
    spec: dict[str, Any],
    taken: bool,  # noqa: FBT001
) -> None:
    """As the scheduler decides: cordons, hard taints and labels."""
    assert placement.takes(node(**spec)) is taken


def test_a_probe_is_placed_as_asked() -> None:
    """The Deployment has it all, and no affinity where no node is named."""
    placement = make_placement(
        node_selector=["pool=a"],
        tolerations=["gpu"],
        image_pull_secret="s",  # noqa: S106 - a Secret's name
    )

    made = deployment(
        "d",
        run_id="r",
        group="g",
        configmap="c",
        nodes=(),
        replicas=1,
        image="i",
        pull_policy="Never",
        placement=placement,
    )

    spec = made["spec"]["template"]["spec"]
    assert "affinity" not in spec
    assert spec["nodeSelector"] == {"pool": "a"}
    assert spec["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert spec["imagePullSecrets"] == [{"name": "s"}]
