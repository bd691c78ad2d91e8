"""Where a setting that was given by hand is not what the kubelet itself says."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmhot.settings import Strategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmhot.nodes import ObservedNode
    from cmhot.settings import Setting

EVENT = "setting_contradicted"


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A kubelet whose word is another than the user's; the kubelet's counts.

    Attributes
    ----------
    node
        Its name.
    kubelet, given
        The two settings.
    """

    node: str
    kubelet: Setting
    given: Setting

    def row(self, *, at_ns: int) -> dict[str, Any]:
        """Give its row of events.jsonl."""
        return {
            "at_ns": at_ns,
            "kind": EVENT,
            "object": f"node/{self.node}",
            "detail": {"kubelet": self.kubelet.label, "given": self.given.label},
        }


def contradictions(
    observed: Sequence[ObservedNode], given: Setting | None
) -> list[Contradiction]:
    """List the kubelets that say something else than was given.

    A TTL matters under Cache alone.
    """
    if given is None:
        return []
    return [
        Contradiction(node.name, node.setting, given)
        for node in observed
        # what no kubelet said is what was given, or nothing
        if node.setting is not None and _effective(node.setting) != _effective(given)
    ]


def _effective(setting: Setting) -> tuple[float, Strategy, float | None]:
    ttl_s = setting.ttl_s if setting.strategy is Strategy.CACHE else None
    return setting.sync_frequency_s, setting.strategy, ttl_s


def warning(against: Sequence[Contradiction]) -> str:
    """Say it in a sentence, however many nodes there are."""
    given = against[0].given
    counts = Counter(one.kubelet for one in against)
    said = "; ".join(
        f"{setting} on {count} node{'s' * (count != 1)}"
        for setting, count in sorted(counts.items())
    )
    return (
        f"--setting gives {given}, but kubelets say {said}: the kubelets' word counts, "
        "and what was given only where none can be asked"
    )
