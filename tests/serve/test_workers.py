"""Several processes behind one port: what happens when they are killed, replaced, told to stop, and refuse a model."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from catsdogs.errors import CatsdogsError
from catsdogs.files import sha256
from catsdogs.serve.place import Worker
from catsdogs.serve.shared import Shared
from catsdogs.serve.supervisor import MOST_FAILURES, Supervisor
from catsdogs.serve.worker import REFUSED
from tests.serve.load import children, load, strangers, text
from tests.servers import free_port, running
from tests.tiny_model import WEIGHTS, write_tiny_model
from tests.waiting import until

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="several processes need fork")


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    address: str
    log: list[dict[str, Any]] = field(default_factory=list)

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.log if line.get("event") == name]

    def count(self, name: str) -> float:
        lines = [line for line in text(f"{self.address}/metrics").splitlines() if line.startswith(name)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


@contextmanager
def serving(model: Path, *flags: str, count: int = 2) -> Iterator[Running]:
    port = free_port()
    command = [sys.executable, "-m", "catsdogs", "serve", "--enable-real-model", "--port", str(port), "--model-path",
               str(model), "--processes", str(count), *flags]
    with running(command, port) as process:
        service = Running(process, f"http://127.0.0.1:{port}")
        # OpenVINO itself complains in other words where a file is no network.
        reading = threading.Thread(target=lambda: service.log.extend(
            json.loads(line) for line in process.stderr or () if line.startswith(b"{")))
        reading.start()
        until(lambda: service.events("serving"))
        yield service
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        reading.join(30)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model"))


def test_a_killed_process_is_missed_by_nobody_for_long_and_comes_back(model: Path) -> None:
    with serving(model, count=3) as service:
        before = children(service.process)
        assert len(before) == 3
        with load(service.address) as asked:
            until(lambda: asked.statuses[200] > 100)
            killed = min(before)
            os.kill(killed, signal.SIGKILL)
            until(lambda: len(now := children(service.process)) == 3 and killed not in now)
            answered = asked.statuses[200]
            until(lambda: asked.statuses[200] > answered + 100)
            assert len(asked.broken) <= 6, asked.broken  # what it was answering, and no more: one a client
        assert set(asked.statuses) == {200}
        assert "SIGKILL" in service.events("worker ended")[0]["reason"]
        counted = service.count('catsdogs_http_requests_total{method="POST",route="/predict",status="200"}')
        # What the killed process counted is counted still; what it was answering at that moment may not be.
        assert asked.statuses[200] <= counted <= asked.statuses[200] + len(asked.broken)
        until(lambda: service.count("catsdogs_queue_photos ") == 0)  # nor does its work under way stay


def test_a_rolling_restart_loses_nothing(model: Path) -> None:
    with serving(model) as service:
        before = children(service.process)
        with load(service.address) as asked:
            for _ in range(2):
                until(lambda: asked.statuses[200] > 50)
                service.process.send_signal(signal.SIGUSR1)
                until(lambda: len(now := children(service.process)) == 2 and not now & before)
                before, answered = children(service.process), asked.statuses[200]
                until(lambda: asked.statuses[200] > answered + 50)
        assert not asked.broken and set(asked.statuses) == {200}
        assert not service.events("worker ended")


def test_what_it_is_told_to_stop_under_load_answers_all_that_reached_it(model: Path) -> None:
    """The log and the clients agree, and a client is refused only once nobody listens any more."""
    with serving(model) as service, load(service.address) as asked:
        until(lambda: asked.statuses[200] > 200)
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(30) == 0
    logged = [line["status"] for line in service.events("request") if line["route"] == "/predict"]
    assert logged == [200] * asked.statuses[200] and set(asked.statuses) == {200}
    assert all("refused" in line for line in asked.broken), asked.broken  # uvicorn by itself resets one a client


@pytest.mark.parametrize("count", [1, 2])
def test_a_connection_that_begins_as_it_stops_is_answered_or_refused_and_never_reset(model: Path, count: int) -> None:
    """The kernel resets what it has accepted for a socket that is closed."""
    for _ in range(3):
        with serving(model, count=count) as service, strangers(int(service.address.rpartition(":")[2])) as seen:
            until(lambda: seen["answered"] > 100)
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(30) == 0
        assert set(seen) == {"answered", "refused"}, seen


def other_model(folder: Path, name: str, **damage: Any) -> bytes:
    """Weights that the serving model's model.pt does not know are given as model.onnx alone."""
    folder.mkdir()
    return write_tiny_model(folder, model_digest=sha256(name.encode()), **damage).read_bytes()


def put(data: bytes, path: Path) -> None:
    path.with_suffix(".new").write_bytes(data)
    os.replace(path.with_suffix(".new"), path)


def test_a_signal_swaps_the_model_everywhere_and_a_refused_one_is_seen_everywhere(tmp_path: Path) -> None:
    (tmp_path / "serving").mkdir()
    path = write_tiny_model(tmp_path / "serving")
    good = other_model(tmp_path / "good", "good")
    bad = other_model(tmp_path / "bad", "bad", weights=WEIGHTS[::-1].copy())
    with serving(path, "--reload-seconds", "0", count=3) as service:
        put(good, path)
        service.process.send_signal(signal.SIGHUP)
        until(lambda: service.count("catsdogs_model_swapped_total") == 3)
        assert service.count("catsdogs_model_info{") == 1
        version = json.loads(text(f"{service.address}/model"))["version"]
        put(bad, path)
        os.kill(min(children(service.process)), signal.SIGHUP)  # only one of them looks at it
        until(lambda: service.count("catsdogs_model_refused_total") == 1)
        for _ in range(12):  # whichever is asked
            told = json.loads(text(f"{service.address}/model"))
            assert told["version"] == version and "Golden photo 0" in told["refused"]["reason"]
            assert json.loads(text(f"{service.address}/readyz"))["refused"]
        assert 'refusal_info{reason="Golden photo 0' in text(f"{service.address}/metrics")


def test_a_process_that_finds_a_bad_model_does_not_end_those_that_serve_the_good_one(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path)
    good = path.read_bytes()
    with serving(path, "--reload-seconds", "0") as service:
        version = json.loads(text(f"{service.address}/model"))["version"]
        path.write_bytes(b"half a file")
        os.kill(min(children(service.process)), signal.SIGKILL)
        until(lambda: any("no readable ONNX" in line["reason"] for line in service.events("worker ended")))
        for _ in range(12):
            assert json.loads(text(f"{service.address}/model"))["version"] == version
        service.process.send_signal(signal.SIGUSR1)  # nor does a replacement that cannot start
        until(lambda: service.events("replacement failed"))
        assert json.loads(text(f"{service.address}/model"))["version"] == version
        put(good, path)
        until(lambda: len(children(service.process)) == 2 and len(list(Path(
            service_folder(service)).glob("says_*.json"))) == 2)


def service_folder(service: Running) -> str:
    """Where its processes meet, as the first of them has it open."""
    for path in Path(f"/proc/{min(children(service.process))}/map_files").iterdir():
        if "catsdogs-serve-" in (target := os.readlink(path)):
            return str(Path(target).parent)
    raise AssertionError("no file of the folder is mapped")


def test_processes_end_with_the_one_that_started_them_and_leave_nothing(model: Path) -> None:
    with serving(model) as service:
        workers, folder = children(service.process), Path(service_folder(service))
        assert folder.exists()
        service.process.kill()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
        assert not folder.exists()


def test_signals_do_not_end_a_single_process(tmp_path: Path) -> None:
    port = free_port()
    stub = [sys.executable, "-m", "catsdogs", "serve", "--port", str(port), "--processes", "1"]
    with running(stub, port) as process:
        for number in (signal.SIGUSR1, signal.SIGHUP):
            process.send_signal(number)
            assert '"model_loaded":false' in text(f"http://127.0.0.1:{port}/health")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr is not None and b"There is no other process to answer meanwhile" in process.stderr.read()


def test_a_single_process_on_a_terminal_is_ended_in_order(tmp_path: Path) -> None:
    port = free_port()
    stub = [sys.executable, "-m", "catsdogs", "serve", "--port", str(port), "--processes", "1"]
    with running(stub, port) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr is not None and b"interrupted" not in process.stderr.read()


def test_where_the_system_has_no_process_left_the_others_answer(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", none_left)
    place = supervisor.places[0]
    place.worker, place.due = None, 0.0
    blocked, files = signal.pthread_sigmask(signal.SIG_BLOCK, []), len(os.listdir("/proc/self/fd"))
    supervisor._start_what_is_due()
    assert place.worker is None and place.due is not None and place.due > 0
    supervisor.rolling = list(supervisor.places)[1:]
    supervisor._roll()
    assert not supervisor.rolling and supervisor.places[1].successor is None
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == blocked and len(os.listdir("/proc/self/fd")) == files
    supervisor.places[1].worker = None
    with pytest.raises(CatsdogsError, match="No process of the service can be started.*--processes"):
        for _ in range(MOST_FAILURES):
            place.due = 0.0
            supervisor._start_what_is_due()


def test_one_that_dies_while_the_one_before_it_drains_is_started_again_at_once(supervisor: Supervisor) -> None:
    place, old = supervisor.places[0], supervisor.places[0].worker
    assert old is not None
    new = place.successor = Worker(2**22 + 2, Shared(supervisor.folder, 2), report=-1)
    supervisor._ready(place, new)
    assert place.worker is new and place.successor is old
    supervisor._ended(place, new, -signal.SIGKILL)
    assert place.worker is None and place.successor is old and place.due is not None
    supervisor._ended(place, old, 0)
    assert place.successor is None and place.due is not None


def test_a_key_has_one_rate_however_many_answer(tmp_path: Path) -> None:
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    from catsdogs.serve.new_key import new_key
    from catsdogs.settings.serving import KeySettings

    key = new_key(KeySettings(name="shop"))
    with serving(write_tiny_model(tmp_path), "--rate-per-key", "0.001", "--api-keys", key.line, count=3) as service:
        statuses = []
        for _ in range(12):  # a new connection each, so different processes answer
            try:
                with urlopen(Request(f"{service.address}/model", headers={"X-API-Key": key.key}), timeout=10) as answer:
                    statuses.append(answer.status)
            except HTTPError as error:
                statuses.append(error.code)
        assert statuses == [200] + [429] * 11


ENDING = """
import os, signal, socket, sys
from pathlib import Path
from catsdogs.serve.balance import Connections
from catsdogs.serve.shared import Shared
from catsdogs.serve.worker import work
from catsdogs.settings.serving import ServeSettings

class Interrupting:  # it is told SIGTERM while it is flushed, as a process is that refuses when another one just has
    def flush(self):
        os.kill(os.getpid(), signal.SIGTERM)

sys.stdout = Interrupting()
report = os.open(os.devnull, os.O_WRONLY)
try:
    work(ServeSettings(api_keys="no key"), socket.socket(), Shared(Path(sys.argv[1]), 0), Connections(1), report,
         os.getppid())
finally:
    os._exit(99)
"""


def test_a_process_that_is_told_to_end_while_it_ends_never_runs_on_as_its_parent(tmp_path: Path) -> None:
    """It went through the supervisor's own end, and said so: "Bad file descriptor"."""
    answer = subprocess.run([sys.executable, "-c", ENDING, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert answer.returncode == REFUSED and not answer.stderr


def test_what_cannot_be_served_is_refused_by_all_in_one_sentence(tmp_path: Path) -> None:
    for flags, status, words in (
        ([], 1, "does not exist"),
        (["--api-keys", "no key"], 2, "catsdogs key"),  # keys first: a model takes longer, and may say more
    ):
        command = [sys.executable, "-m", "catsdogs", "serve", "--enable-real-model", "--port", "0", "--processes", "3",
                   "--model-path", str(tmp_path / "none.pt")]
        answer = subprocess.run([*command, *flags], capture_output=True, text=True, timeout=60)
        assert answer.returncode == status and answer.stderr.count(words) == 1
        assert len(answer.stderr.splitlines()) == 1
