"""What the law says for any setting, drawn, and by controls."""

from __future__ import annotations

import numpy as np
import pytest

from cmhot import Setting, Strategy, predict
from cmhot.plots import explore, measured_at, what_if


def test_curves_are_the_laws() -> None:
    """One of a given pod, one of all; each passes through its marked quantiles."""
    prediction = predict(Setting(10), pods=20)

    ax = what_if(prediction)

    one, *marks = ax.get_lines()
    t, share = np.asarray(one.get_data(), dtype=np.float64)
    assert np.allclose(share, prediction.one.cdf(t))
    labels = [text.get_text() for text in ax.texts]
    assert labels[:2] == [f"{prediction.one.quantile(p):.1f} s" for p in (0.5, 0.99)]
    assert labels[2:] == [f"{prediction.law.quantile(p):.1f} s" for p in (0.5, 0.99)]
    assert ax.get_title(loc="right") == "by the law, not measured"
    assert len(marks) == 5


def test_what_was_measured_is_told_apart() -> None:
    """The package's own data have the default, and not five minutes."""
    measured_s = measured_at(Setting())
    assert measured_s is not None

    ax = what_if(predict(Setting()), measured_s=measured_s)

    assert ax.get_title(loc="right") == "law, and measured"
    assert measured_at(Setting(300)) is None
    assert measured_at(Setting(10, Strategy.CACHE, 60)) is None


@pytest.mark.parametrize(
    ("strategy", "ttl_s", "disabled"),
    [
        ("Watch", 0, (True, True)),
        ("Cache", 0, (False, True)),
        ("Cache", 5, (False,) * 2),
    ],
)
def test_controls_that_decide_nothing_are_disabled(
    strategy: str, ttl_s: int, disabled: tuple[bool, bool]
) -> None:
    """A TTL is of Cache alone, and pods share something only under a TTL."""
    panel = explore()
    sync, kind, ttl, sharers, *_ = panel.children[0].children

    sync.value, kind.value, ttl.value = 5, strategy, ttl_s

    assert (ttl.disabled, sharers.disabled) == disabled


def test_a_control_redraws() -> None:
    """Picture and numbers follow, and pods that share are pods in all at least."""
    panel = explore()
    controls, picture, numbers = panel.children
    before = picture.value

    controls.children[0].value = 30

    assert picture.value != before
    assert bytes(picture.value).startswith(b"\x89PNG")
    assert f"{predict(Setting(30)).one.max_s:.1f}" in numbers.value


def test_controls_have_their_price() -> None:
    """Of all pods of a node and their ConfigMaps; what was not measured is said."""
    panel = explore()
    controls, _, numbers = panel.children
    sync, kind, ttl, _, _, pods, maps = controls.children

    pods.value, maps.value, sync.value = 50, 10, 20

    price = predict(Setting(20), pods_per_node=50, maps=10).price
    assert price.more
    assert f"<p>{'<br>'.join(price.lines())}</p>" in numbers.value
    kind.value, ttl.value = "Cache", 5
    assert "not measured under Cache with another TTL than 0" in numbers.value
