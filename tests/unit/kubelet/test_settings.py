"""Settings: what users write is read as a kubelet would, or refused with a remedy."""

from __future__ import annotations

import pytest

from cmhot.errors import UsageError
from cmhot.kubelet.settings import (
    Setting,
    Strategy,
    format_seconds,
    parse_duration,
    parse_setting,
    parse_strategy,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10), ("1m30s", 90), ("1h", 3600), ("500ms", 0.5), ("1.5", 1.5), ("0", 0)],
)
def test_durations_are_read_as_go_writes_them(text: str, seconds: float) -> None:
    """A duration is a Go duration or bare seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "ten", "-5s", "10 s", "10x", "s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """The message shows how a duration is written."""
    with pytest.raises(UsageError, match="such as 10s"):
        parse_duration(text)


def test_seconds_are_written_without_needless_decimals() -> None:
    """Whole seconds have no decimal point."""
    assert format_seconds(10.0) == "10s"
    assert format_seconds(0.5) == "0.5s"


def test_defaults_are_the_kubelets() -> None:
    """A setting of nothing is 60 s, Watch, TTL 0."""
    assert Setting() == Setting(60.0, Strategy.WATCH, 0.0)
    assert parse_setting("sync=60s") == Setting()


def test_a_setting_is_read_from_its_parts() -> None:
    """All three knobs can be given, in any order and case."""
    setting = parse_setting("ttl=60,strategy=cache,sync=10s")

    assert setting == Setting(10.0, Strategy.CACHE, 60.0)


@pytest.mark.parametrize(
    "text", ["sync", "speed=1", "sync=1s,sync=2s", "sync=0", "strategy=Push", "ttl=-1"]
)
def test_impossible_settings_are_refused(text: str) -> None:
    """Unknown keys, doubled keys and values no kubelet accepts raise."""
    with pytest.raises(UsageError):
        parse_setting(text)


def test_a_negative_ttl_is_refused() -> None:
    """A TTL is zero or more seconds."""
    with pytest.raises(UsageError, match="zero or more"):
        Setting(ttl_s=-1.0)


def test_an_unknown_strategy_lists_the_known() -> None:
    """The message of a wrong strategy names the three."""
    with pytest.raises(UsageError, match="Watch, Get, Cache"):
        parse_strategy("Push")


@pytest.mark.parametrize(
    ("setting", "label", "words"),
    [
        (Setting(10.0), "sync-10s.watch.ttl-0", "10 s, Watch"),
        (
            Setting(60.0, Strategy.CACHE, 15.0),
            "sync-60s.cache.ttl-15",
            "60 s, Cache (TTL 15 s)",
        ),
        (
            Setting(0.5, Strategy.CACHE, None),
            "sync-0.5s.cache.ttl-unknown",
            "0.5 s, Cache",
        ),
    ],
)
def test_a_setting_has_a_label_and_words(
    setting: Setting, label: str, words: str
) -> None:
    """The node label and the legend say the same setting."""
    assert setting.label == label
    assert str(setting) == words
