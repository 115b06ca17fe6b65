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


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    server, sending = Server(), Sender(refused)
    server.away = True
    for value in range(6):
        sending.put(lambda value=value: server.take(value))
    assert sending.close(0) == 3
    assert capsys.readouterr().err.count("tracking_lost") == 1
