"""An object that does not exist: who asks is told which name may be meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cmhot import explain, observe, wait
from cmhot.errors import ForbiddenError, NotFoundError
from cmhot.kubelet.uses import CONFIG_MAP
from tests.unit.living import configmap

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.living import Living


def explained(living: Living, name: str) -> object:
    """Ask `explain`."""
    return explain(living, f"configmap/{name}")


def waited(living: Living, name: str) -> object:
    """Ask `wait`."""
    return wait(living, f"configmap/{name}")


@pytest.mark.parametrize("ask", [explained, waited, observe])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "web",
            r"versions have a hash in their names: web-9t4h2c6b8k \(deployment/web",
        ),
        ("shop-confg", "no pod names it: is 'shop-config' meant"),
        ("nothing-like-it", "check the name and --namespace"),
    ],
)
def test_the_name_that_may_be_meant_is_told(
    living: Living, ask: Callable[[Living, str], object], name: str, said: str
) -> None:
    """By all of them alike; people know the name without its hash."""
    living.put(configmap("web-9t4h2c6b8k", a="1"))
    living.put(configmap("shop-config", a="1"))
    volume = {"name": "v", "configMap": {"name": "web-9t4h2c6b8k"}}
    living.change(spec={"template": {"spec": {"volumes": [volume]}}})
    living.clock.sleep(60)

    with pytest.raises(NotFoundError, match=said):
        ask(living, name)


def test_without_the_right_to_list_names_those_in_use_count(living: Living) -> None:
    """As `explain` has it."""
    living.failing["list", "configmaps"] = ForbiddenError("may not be listed")
    living.put(configmap("shop-config", a="1"))
    volume = {"name": "v", "configMap": {"name": "shop-config"}}
    living.change(spec={"template": {"spec": {"volumes": [volume]}}})
    living.clock.sleep(60)

    with pytest.raises(NotFoundError, match="no pod names it: is 'shop-config' meant"):
        wait(living, "configmap/shop-confg")


def test_an_object_that_pods_name_is_not_said_to_be_unused(living: Living) -> None:
    """It was deleted below them."""
    living.inner.delete(CONFIG_MAP, "m", namespace="default")

    with pytest.raises(NotFoundError, match="and pods of deployment/web name it"):
        wait(living, "configmap/m")
