"""Amounts as Kubernetes writes them."""

import pytest

from cmhot.collector.preflight import parse_quantity
from cmhot.errors import UsageError


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("100m", 0.1),
        ("2", 2),
        (5, 5),
        ("32Mi", 33_554_432),
        ("1k", 1000),
        ("1E", 1e18),
        ("1e3", 1000),
        ("0.5Gi", 536_870_912),
        ("500u", 0.0005),
    ],
)
def test_an_amount_is_read(text: str | float, amount: float) -> None:
    """Decimal, binary and scientific forms are one number."""
    assert parse_quantity(text) == pytest.approx(amount)


@pytest.mark.parametrize("text", ["", "Mi", "5 Mi", "ten", "5mi"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    """The message shows how Kubernetes writes them."""
    with pytest.raises(UsageError, match="Kubernetes writes"):
        parse_quantity(text)
