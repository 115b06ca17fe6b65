import threading
import time

import pytest

from catsdogs.train.tracking import sender as module
from catsdogs.train.tracking.sender import Sender


class Away(Exception):
    pass


class Refusal(Exception):
    pass


class Server:
    def __init__(self) -> None:
        self.away, self.taken, self.asked = False, [], 0  # type: bool, list[object], int

    def take(self, value: object) -> None:
        self.asked += 1
        if self.away:
            raise Away("nobody there")
        if value == "nonsense":
            raise Refusal("no such thing")
        self.taken.append(value)


class Flapping(Server):
    """Takes a few, then it is away again."""

    room = 0

    def take(self, value: object) -> None:
        self.away = not self.room
        self.room = max(0, self.room - 1)
        super().take(value)


def refused(error: Exception) -> bool:
    return isinstance(error, Refusal)


def until(condition: object) -> None:
    deadline = time.monotonic() + 30
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_messages_arrive_in_order_and_a_refused_one_holds_nobody_up(capsys: pytest.CaptureFixture[str]) -> None:
    server, sending = Server(), Sender(refused)
    for value in (1, 2, "nonsense", 3, "nonsense", 4):
        sending.put(lambda value=value: server.take(value))
    assert sending.close(1) == 0
    assert server.taken == [1, 2, 3, 4]
    assert capsys.readouterr().err.count("tracking_refused") == 1


def test_a_server_that_comes_back_gets_everything_once(capsys: pytest.CaptureFixture[str]) -> None:
    server, sending = Server(), Sender(refused)
    server.away = True
    for value in range(5):
        sending.put(lambda value=value: server.take(value))
    until(lambda: server.asked >= 2)
    server.away = False
    assert sending.close(30) == 0
    assert server.taken == [0, 1, 2, 3, 4]
    said = capsys.readouterr().err
    assert said.count("tracking_waits") == 1 and said.count("tracking_caught_up") == 1


def test_closing_ends_a_long_wait_and_gives_up_after_its_patience() -> None:
    server, sending = Server(), Sender(refused)
    server.away = True
    sending.put(lambda: server.take(1))
    sending.put(lambda: server.take(2))
    until(lambda: server.asked >= 1)
    asked = server.asked
    assert sending.close(1.0) == 2
    assert 1 <= server.asked - asked <= 4, "one attempt each half second of patience, and one at once"


def test_an_interrupted_training_does_not_wait_for_a_server_that_hangs() -> None:
    sending, release = Sender(refused), threading.Event()
    sending.put(release.wait)
    assert sending.close(30, at_most=0.05) == 1
    release.set()


class TooLarge:
    """A file that the server cannot write, though it is there."""

    asked = 0

    def send(self) -> None:
        self.asked += 1
        raise Away("500: no room for this one")


def test_what_fails_while_the_server_takes_others_keeps_back_no_status(capsys: pytest.CaptureFixture[str]) -> None:
    server, sending, file = Server(), Sender(refused), TooLarge()
    for message in (file.send, *(lambda value=value: server.take(value) for value in range(3))):
        sending.put(message)
    assert sending.close(3.0) == 1 and server.taken == [0, 1, 2]
    assert sending.trouble == "500: no room for this one"


def test_what_goes_on_failing_alone_is_dropped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    server, sending, file = Server(), Sender(refused), TooLarge()
    sending.put(file.send)
    for value in range(module.ALONE):
        until(lambda: file.asked >= module.TRIES * (value + 1))  # noqa: B023
        sending.put(lambda value=value: server.take(value))
        until(lambda: len(server.taken) == value + 1)  # noqa: B023
    until(lambda: not sending._waiting)
    assert sending.close(1) == 0
    said = capsys.readouterr().err
    assert said.count("tracking_refused") == 1 and "no room for this one" in said


def test_a_server_that_goes_away_again_and_again_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.05)
    server, sending = Flapping(), Sender(refused)
    for value in range(30):
        sending.put(lambda value=value: server.take(value))
    for number in range(4):
        asked = server.asked
        until(lambda: server.asked >= asked + 10 * module.TRIES)  # noqa: B023
        server.room = 5
        until(lambda: len(server.taken) == 5 * number + 5)  # noqa: B023
    server.room = 30
    assert sending.close(30) == 0
    assert sorted(server.taken) == list(range(30))  # type: ignore[type-var]


def test_attempts_that_hang_count_as_waiting() -> None:
    tries: list[float] = []

    def hangs() -> None:
        tries.append(time.monotonic())
        time.sleep(0.5)
        raise Away("timed out")

    sending = Sender(refused)
    for _ in range(20):
        sending.put(hangs)
    assert sending.close(2.0) == 20
    assert len(tries) <= 3


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    server, sending = Server(), Sender(refused)
    server.away = True
    for value in range(6):
        sending.put(lambda value=value: server.take(value))
    assert sending.close(0) == 3
    assert capsys.readouterr().err.count("tracking_lost") == 1


def test_where_too_much_waits_old_points_of_curves_go_and_never_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "MOST", 5)
    server, sending = Server(), Sender(refused)
    server.away = True
    sending.put(lambda: server.take("parameters"))
    for value in range(9):
        sending.put(lambda value=value: server.take(value), live=True)
    sending.put(lambda: server.take("status"))
    until(lambda: server.asked)
    server.away = False
    assert sending.close(30) == 0
    assert set(server.taken) == {"parameters", 6, 7, 8, "status"}
    assert capsys.readouterr().err.count("tracking_lost") == 1


def test_a_point_that_is_being_sent_is_not_the_one_that_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    server, sending, began, go = Server(), Sender(refused), threading.Event(), threading.Event()

    def slow() -> None:
        began.set()
        go.wait(30)
        server.take("first")

    sending.put(slow, live=True)
    assert began.wait(30)
    for value in range(5):
        sending.put(lambda value=value: server.take(value), live=True)
    go.set()
    assert sending.close(30) == 0
    assert server.taken == ["first", 3, 4]
