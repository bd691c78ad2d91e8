"""Looking into containers, once or until they have turned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from cmhot.errors import ForbiddenError, NotFoundError, UnreachableError
from cmhot.propagation.changes import Update
from cmhot.propagation.observe import OBSERVED_COLUMNS, observe
from tests.unit.living import NEVER, Living
from tests.unit.propagation.clocks import Interrupted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmhot.display import Page, Shown


@dataclass(slots=True)
class Noted:
    """A board that keeps what it is shown."""

    pages: list[Page] = field(default_factory=list)
    news: list[str] = field(default_factory=list)
    ends: int = 0

    def show(self, now: Shown, news: Sequence[str], *, is_last: bool = False) -> None:
        """Keep it."""
        self.pages.append(now.page())
        self.news += news
        self.ends += is_last


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> Noted:
    """Watch on a board that notes."""
    board = Noted()
    monkeypatch.setattr("cmhot.propagation.observe.board", lambda: board)
    return board


def living(
    kind: type[Living] = Living,
    *,
    pods: int = 2,
    **more: Any,  # noqa: ANN401
) -> Living:
    """Make a cluster with a Deployment of some pods."""
    cluster = kind(**more)
    cluster.deploy(pods)
    return cluster


def test_one_look_tells_what_is_there() -> None:
    """A row per pod, container and way; the variable keeps what it was."""
    cluster = living(pods=1, env=True)
    cluster.update("2")

    table = observe(cluster, "m")

    assert table[["pod", "node", "container", "consumer"]].to_numpy().tolist() == [
        ["web-0", "model-1", "c", "volume"],
        ["web-0", "model-1", "c", "env"],
    ]
    assert table["where"].tolist() == [["/etc/v/a"], ["A"]]
    assert table["content"].tolist() == [{"a": "1"}, {"a": "1"}]
    assert table["current"].tolist() == [False, False]
    assert table["updates"].tolist() == [True, False]
    assert table["turned_s"].tolist() == [None, None]
    assert cluster.clock.monotonic() == 0


def test_what_is_current_is_read_once() -> None:
    """A container that holds the content costs one command."""
    cluster = living(pods=3)

    table = observe(cluster, "m")

    assert table["current"].tolist() == [True] * 3
    assert table["content"].tolist() == [{"a": "1"}] * 3
    # each is read, and its folder listed, at once
    assert cluster.asked["get", "pods/exec"] == 3


def test_what_init_containers_alone_use_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """There is no row of them, and the reason is a sentence, which is also shown."""
    cluster = Living()
    reads = cluster.container(name="copy")
    cluster.deploy(1, initContainers=[reads], containers=[{"name": "app"}])

    table = observe(cluster, "m")

    assert table.empty
    assert table.attrs["ending"] == (
        "only init containers use it: what they made of it cannot be seen"
    )
    shown = capsys.readouterr()
    assert table.attrs["ending"] in shown.out + shown.err


def test_a_container_that_hides_is_unknown() -> None:
    """Without `cat` nothing is concluded."""
    cluster = living(pods=1)
    cluster.blind = {"web-0"}

    table = observe(cluster, "m")

    assert table["current"].tolist() == [None]
    assert table["content"].tolist() == [{"a": None}]


def test_pods_turn_one_by_one(noted: Noted) -> None:
    """Each is told once, within a pause of the instant at which it turned."""
    cluster = living(pods=2, every_s=10)
    cluster.update("2")
    cluster.due["web-1"] = 4

    table = observe(cluster, "m", live=True)

    assert table["current"].tolist() == [True, True]
    assert table["before"].tolist() == [{"a": "1"}] * 2
    assert table["content"].tolist() == [{"a": "2"}] * 2
    assert table["turned_s"].tolist() == [10.0, 4.0]
    assert table["not_yet_s"].tolist() == [9.5, 3.5]
    assert noted.news == [
        "    4.0 s  web-1  c  volume: a=1 -> a=2",
        "   10.0 s  web-0  c  volume: a=1 -> a=2",
    ]
    assert noted.ends == 1
    assert table.attrs == {"seconds": 10.0, "ending": "", "modelled": False}
    # what was current was not looked at again: 20 + 8 looks of two, and two that found
    assert cluster.asked["get", "pods/exec"] == 2 * (20 + 8) + 2


def test_seconds_count_from_the_update(noted: Noted) -> None:
    """With an update given, from its acknowledgement."""
    cluster = living(pods=1, every_s=10)
    cluster.update("2")
    at = cluster.clock.utc_ns()
    update = Update("m", "2", planned_ns=at, sent_ns=at, acked_ns=at)
    cluster.clock.sleep(7)

    table = observe(cluster, "m", live=True, since=update)

    assert table["turned_s"].tolist() == [10.0]
    assert table["not_yet_s"].tolist() == [9.5]
    assert noted.news == ["   10.0 s  web-0  c  volume: a=1 -> a=2"]


def test_what_turned_before_the_first_look(noted: Noted) -> None:
    """With an update given: between it and the look; what it held is not known."""
    cluster = living(pods=1, env=True, every_s=1)
    at = cluster.clock.utc_ns()
    cluster.update("2")
    update = Update("m", "2", planned_ns=at, sent_ns=at, acked_ns=at)
    cluster.clock.sleep(3)

    table = observe(cluster, "m", live=True, since=update)

    assert table["not_yet_s"].tolist() == [0.0, 3.0]
    assert table["turned_s"].tolist() == [3.0, None]
    assert noted.news == ["    3.0 s  web-0  c  volume: a=? -> a=2"]


def test_what_never_updates_is_not_waited_for(noted: Noted) -> None:
    """It is in the table, and says so."""
    cluster = living(pods=1, env=True, every_s=3)
    cluster.update("2")

    table = observe(cluster, "m", live=True)

    assert table["turned_s"].tolist() == [3.0, None]
    last = noted.pages[-1]
    assert [row["state"] for row in last.rows] == ["turned", "never updates"]
    assert last.notes == ["1 that no update reaches (env, envFrom, subPath)"]
    assert last.heading == (
        "configmap/m: 1 of 1 containers that an update reaches hold the current "
        "content, 3.0 s"
    )


def test_time_runs_out(noted: Noted) -> None:
    """What was seen is returned, and why it ended is said."""
    cluster = living(pods=1)
    cluster.update("2")

    table = observe(cluster, "m", live=True, timeout_s=2.2)

    assert table["current"].tolist() == [False]
    assert table.attrs["ending"] == "the time is over"
    assert table.attrs["seconds"] == 2.2
    assert noted.pages[-1].heading.endswith("2.2 s, the time is over")


def test_an_interruption_keeps_what_was_seen(noted: Noted) -> None:
    """One has turned, the other has not; nothing is raised."""
    cluster = living(pods=2, every_s=60, clock=Interrupted())
    cluster.update("2")
    cluster.due["web-1"] = 4

    table = observe(cluster, "m", live=True)

    assert table["turned_s"].tolist() == [None, 4.0]
    assert table.attrs["ending"] == "interrupted"
    assert noted.pages[-1].heading.endswith("5.0 s, interrupted")
    assert noted.ends == 1


def test_another_update_starts_anew(noted: Noted) -> None:
    """A container that had turned waits again."""
    cluster = living(pods=1, every_s=3)
    cluster.update("2")
    again = cluster.clock.monotonic() + 2.0
    sleep = cluster.clock.sleep

    def sleep_and_change(seconds: float) -> None:
        sleep(seconds)
        if seconds and cluster.clock.monotonic() == again:
            cluster.update("3")

    cluster.clock.sleep = sleep_and_change  # type: ignore[method-assign]

    table = observe(cluster, "m", live=True)

    assert table["content"].tolist() == [{"a": "3"}]
    assert table["before"].tolist() == [{"a": "1"}]
    assert table["turned_s"].tolist() == [5.0]
    assert len(noted.news) == 1


class Slow(Living):
    """A cluster where the second look never comes back in time."""

    modelled = True  # one look after the other

    def passing(self, verb: str, resource: str, name: str | None) -> None:
        """Answer for one pod only."""
        super().passing(verb, resource, name)
        if resource == "pods/exec" and name != "web-0":
            raise KeyboardInterrupt


def test_an_interruption_in_the_first_round(noted: Noted) -> None:
    """Who was not looked at is in the table, and is not said to be absent."""
    cluster = living(Slow)

    table = observe(cluster, "m", live=True)

    assert table["current"].tolist() == [True, None]
    assert [row["state"] for row in noted.pages[-1].rows] == [
        "current",
        "not looked at yet",
    ]
    assert noted.pages[-1].heading.startswith("configmap/m: 1 of 2 containers")
    with pytest.raises(KeyboardInterrupt):
        observe(cluster, "m")  # of one look there is nothing to be kept


class Falling(Living):
    """A cluster whose API server falls silent."""

    back_s = NEVER

    def passing(self, verb: str, resource: str, name: str | None) -> None:
        """Fall silent, and be back or not."""
        super().passing(verb, resource, name)
        if 3 < self.clock.monotonic() < self.back_s:
            raise UnreachableError("no answer")


class Returning(Falling):
    """It is back three seconds later."""

    back_s = 6.0


class Silent(Living):
    """A cluster whose kubelet gives no answer for two seconds."""

    def passing(self, verb: str, resource: str, name: str | None) -> None:
        """Answer later."""
        super().passing(verb, resource, name)
        if resource == "pods/exec" and self.clock.monotonic() < 2:
            raise UnreachableError("no answer")


def test_a_kubelet_that_gives_no_answer_is_asked_again(noted: Noted) -> None:
    """It is not the API server, which answers."""
    cluster = living(Silent, pods=1)

    table = observe(cluster, "m", live=True)

    assert table["current"].tolist() == [True]
    assert table.attrs["seconds"] == 2.0
    assert noted.ends == 1


def test_an_api_server_that_is_back_is_asked_again(noted: Noted) -> None:
    """What turned meanwhile is seen then: between the looks before and after."""
    cluster = living(Returning, pods=1, every_s=4)
    cluster.update("2")

    table = observe(cluster, "m", live=True)

    assert table["not_yet_s"].tolist() == [3.0]
    assert table["turned_s"].tolist() == [6.0]
    assert noted.ends == 1


def test_an_api_server_that_falls_silent_for_good(noted: Noted) -> None:
    """What was seen is kept, and why there is no more is said."""
    cluster = living(Falling, every_s=60)
    cluster.update("2")
    cluster.due["web-0"] = 1

    table = observe(cluster, "m", live=True)

    assert table["turned_s"].tolist() == [1.0, None]
    assert table.attrs["ending"] == "the API server no longer answers"
    assert noted.ends == 1


def test_one_look_without_an_answer_is_an_error() -> None:
    """Nobody asks again: the reason is all there is to tell."""
    cluster = living(Silent, pods=1)

    with pytest.raises(UnreachableError, match="no answer"):
        observe(cluster, "m")


def test_nobody_uses_it(noted: Noted) -> None:
    """It ends at once, and says so."""
    cluster = living(pods=0)

    table = observe(cluster, "m", live=True)

    assert table.empty
    assert list(table.columns) == list(OBSERVED_COLUMNS)
    assert noted.pages[-1].heading == "no running container uses configmap/m"


def test_what_cannot_be_is_an_error() -> None:
    """A missing object, a missing right."""
    refusing = living(pods=1)
    refusing.failing["get", "pods/exec"] = ForbiddenError("pods/exec is not allowed")

    with pytest.raises(NotFoundError, match="there is no configmap/x in default"):
        observe(living(), "x")
    with pytest.raises(ForbiddenError, match="pods/exec"):
        observe(refusing, "m")


def test_a_long_table_is_cut(noted: Noted) -> None:
    """A hundred rows are shown, and how many more there are."""
    table = observe(living(pods=103), "m", live=True)

    assert len(table) == 103
    assert len(noted.pages[-1].rows) == 100
    assert noted.pages[-1].notes == ["and 3 more containers"]
