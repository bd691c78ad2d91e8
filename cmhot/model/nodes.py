"""Modelled nodes: a kubelet each, and how they name their version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cmhot.kubelet import era_of
from cmhot.model.kubelet import Kubelet
from cmhot.settings import TTL_ANNOTATION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmhot.kubelet import Timing
    from cmhot.settings import Setting

MODELLED = "modelled"
"""What stands for a version, and before one: whoever reads it knows."""

READ_AFTER_S = 0.1
"""From a publication to the probe's line: half of its pause, nearly."""


@dataclass(frozen=True, slots=True)
class ModelNode:
    """A node of the model.

    Attributes
    ----------
    name
        ``model-1`` and so on.
    setting
        Of its kubelet.
    kubelet
        On which its pods run.
    """

    name: str
    setting: Setting
    kubelet: Kubelet


def version_text(kubernetes: str | None) -> str:
    """Name the version that is modelled: ``modelled v1.28.15``, or ``modelled``."""
    return MODELLED if kubernetes is None else f"{MODELLED} {kubernetes}"


def node_object(node: ModelNode, version: str) -> dict[str, Any]:
    """Write a node as the API server sends it."""
    ttl = node.setting.ttl_s
    return {
        "metadata": {
            "name": node.name,
            "labels": {"kubernetes.io/hostname": node.name},
            "annotations": {} if ttl is None else {TTL_ANNOTATION: f"{ttl:g}"},
        },
        "spec": {},
        "status": {
            "nodeInfo": {
                "kubeletVersion": version,
                "containerRuntimeVersion": MODELLED,
            }
        },
    }


def make_nodes(
    settings: Sequence[Setting], *, seed: int, kubernetes: str | None, timing: Timing
) -> list[ModelNode]:
    """Make a node for each setting; their phases and jitter are independent.

    Raises
    ------
    UsageError
        For a version of which nothing is known.
    """
    era = era_of(kubernetes)
    seeds = np.random.SeedSequence(seed).spawn(len(settings))
    return [
        ModelNode(
            f"model-{number}",
            setting,
            Kubelet(setting, np.random.default_rng(own), era=era, timing=timing),
        )
        for number, (setting, own) in enumerate(zip(settings, seeds, strict=True), 1)
    ]
