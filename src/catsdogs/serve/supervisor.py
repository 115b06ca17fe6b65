"""Starts a process for every core, and again what ends; passes on what it is told by signals."""

import os
import selectors
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from catsdogs.errors import CatsdogsError
from catsdogs.log import event
from catsdogs.serve.balance import Connections
from catsdogs.serve.listening import another, reserved, turn_away
from catsdogs.serve.place import Place, Worker, reason
from catsdogs.serve.shared import Shared
from catsdogs.serve.worker import work
from catsdogs.settings.serving import ServeSettings

STOP_SECONDS = 24.0  # the longest that an orderly end takes is 22
MOST_FAILURES = 5
LONGEST_PAUSE = 5.0
SHORT_LIFE = 10.0
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


class Supervisor:
    """SIGTERM and SIGINT end all processes in order, SIGHUP has them look at the model file, SIGUSR1 replaces them
    one after another, each new one ready before the old one goes."""

    def __init__(self, settings: ServeSettings, count: int, folder: Path, gone: Callable[[Shared], None]) -> None:
        self.settings, self.folder, self.gone = settings, folder, gone
        listener = reserved(settings.host, settings.port)
        self.port = int(listener.getsockname()[1])
        self.places = [Place(listener), *(Place(another(settings.host, self.port)) for _ in range(count - 1))]
        self.connections = Connections(2 * count)  # each may be replaced by another, which begins before it ends
        self.selector = selectors.DefaultSelector()
        self.numbers: set[int] = set()
        self.rolling: list[Place] = []
        self.announced = self.stopping = False

    def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises CatsdogsError when no process can start."""
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        before = {number: signal.signal(number, _noted) for number in SIGNALS}
        signal.set_wakeup_fd(writing)
        self.selector.register(reading, selectors.EVENT_READ)
        try:
            for place in self.places:
                place.worker = self._start(place)
            while not self.stopping:
                for key, _ in self.selector.select(self._patience()):
                    if key.fd == reading:
                        for number in os.read(reading, 64):
                            self._told(number)
                    else:
                        self._heard(key.data)
                self._start_what_is_due()
                self._kill_what_stays()
                self._roll()
        finally:
            self._stop()
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(reading)
            os.close(writing)
            self.selector.close()

    def workers(self) -> list[Worker]:
        return [worker for place in self.places for worker in (place.worker, place.successor) if worker is not None]

    def _start(self, place: Place) -> Worker:
        """Raises CatsdogsError where the system has no process or file left."""
        number = next(number for number in range(len(self.connections.channels)) if number not in self.numbers)
        shared, parent = Shared(self.folder, number), os.getpid()
        try:
            if place.listener is None:
                place.listener = another(self.settings.host, self.port)
            reading, writing = os.pipe()
        except OSError as error:
            raise _no_process(error) from None
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until the child has handlers of its own
        try:
            pid = os.fork()
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(reading)
            os.close(writing)
            raise _no_process(error) from None
        if not pid:
            for listener in {other.listener for other in self.places} - {place.listener, None}:
                listener.close()  # type: ignore[union-attr]
            for key in self.selector.get_map().values():
                os.close(key.fd)
            os.close(reading)
            work(self.settings, place.listener, shared, self.connections, writing, parent)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(writing)
        self.numbers.add(number)
        worker = Worker(pid, shared, reading)
        self.selector.register(reading, selectors.EVENT_READ, (place, worker))
        return worker

    def _heard(self, data: tuple[Place, Worker]) -> None:
        """A worker's report, or the end of its pipe, which is its own."""
        place, worker = data
        if text := os.read(worker.report, 65536):
            worker.said += text
            if b'"ready"' in worker.said and not worker.ready:
                self._ready(place, worker)
            return
        self.selector.unregister(worker.report)
        os.close(worker.report)
        _, status = os.waitpid(worker.pid, 0)
        self.numbers.discard(worker.shared.number)
        self.connections.gone(worker.shared.number)
        self.connections.pass_on(self.numbers)
        self.gone(worker.shared)
        if not self.stopping:
            self._ended(place, worker, os.waitstatus_to_exitcode(status))

    def _ready(self, place: Place, worker: Worker) -> None:
        worker.ready = True
        self.connections.pass_on(self.numbers)  # what was handed to one that ended at that very moment
        if worker.reload:
            worker.tell(signal.SIGHUP)
        if not self.announced and all(place.worker and place.worker.ready for place in self.places):
            self.announced = True
            event("serving", address=f"http://{self.settings.host}:{self.port}", processes=len(self.places),
                  model=self.settings.model_path if self.settings.enable_real_model else "stub")
        if worker is place.successor:
            place.worker, place.successor = worker, place.worker
            if place.successor is not None:
                place.successor.leaving = True
                place.successor.until = time.monotonic() + STOP_SECONDS
                place.successor.tell(signal.SIGTERM)

    def _ended(self, place: Place, worker: Worker, status: int) -> None:
        error = reason(worker, status)
        if worker is place.successor:
            place.successor = None
            if not worker.ready:  # the old one goes on
                event("replacement failed", reason=str(error))
                self.rolling = []
            return
        place.worker = None
        if place.successor is not None and not place.successor.leaving:  # one that starts already
            place.worker, place.successor = place.successor, None
        if not worker.ready:
            if not self.announced:
                raise error
            self._failed(place, error)
        else:
            place.failures = place.failures + 1 if time.monotonic() - worker.started < SHORT_LIFE else 1
        if place.worker is None:
            self._again(place, error, worker.pid)

    def _failed(self, place: Place, error: CatsdogsError) -> None:
        """Raises the error where this has often been so, and nobody answers."""
        place.failures += 1
        if place.failures >= MOST_FAILURES and not any(other.ready for other in self.workers()):
            raise error

    def _again(self, place: Place, error: CatsdogsError, pid: int | None = None) -> None:
        """Start another process soon, or now where the last one lived long."""
        pause = min(LONGEST_PAUSE, 0.25 * 2.0 ** (place.failures - 2)) if place.failures > 1 else 0.0
        event("worker ended", reason=str(error), pid=pid, again_in_seconds=pause)
        place.due = time.monotonic() + pause
        if pause and place.listener is not None:
            place.listener.close()  # the others get its share
            place.listener = None

    def _start_what_is_due(self) -> None:
        for place in self.places:
            if place.due is not None and place.due <= time.monotonic():
                place.due = None
                try:
                    place.worker = self._start(place)
                except CatsdogsError as error:  # no process or file to be had just now: the others answer
                    self._failed(place, error)
                    self._again(place, error)

    def _patience(self) -> float | None:
        dues = [due for due in (*(place.due for place in self.places), *(worker.until for worker in self.workers()))
                if due is not None]
        return max(0.0, min(dues) - time.monotonic()) if dues else None

    def _kill_what_stays(self) -> None:
        """Or one that a photo holds up would keep the others from being replaced."""
        for worker in self.workers():
            if worker.until is not None and worker.until <= time.monotonic():
                worker.until = None
                worker.tell(signal.SIGKILL)

    def _roll(self) -> None:
        """Replace the next one, where none is being replaced."""
        if self.rolling and not any(place.successor for place in self.places):
            place = self.rolling.pop(0)
            if place.worker is not None:
                try:
                    place.successor = self._start(place)
                except CatsdogsError as error:
                    event("replacement failed", reason=str(error))
                    self.rolling = []

    def _told(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self.stopping = True
        elif number == signal.SIGHUP:
            for worker in self.workers():
                if worker.ready:
                    worker.tell(signal.SIGHUP)
                else:
                    worker.reload = True
        elif number == signal.SIGUSR1:
            self.rolling = list(self.places)

    def _stop(self) -> None:
        self.stopping = True
        for place in self.places:
            if place.listener is not None:
                turn_away(place.listener)
                place.listener.close()  # the workers have the last hold of it, and empty it before they let go
        for worker in self.workers():
            worker.tell(signal.SIGTERM)
        until = time.monotonic() + STOP_SECONDS
        left = {worker.report for worker in self.workers()} & set(self.selector.get_map())
        while left:
            events = self.selector.select(max(0.0, until - time.monotonic()))
            for key, _ in events:
                if key.data is not None:
                    self._heard(key.data)
                else:
                    os.read(key.fd, 64)  # it is told to stop, and does already
            left &= set(self.selector.get_map())
            if not events:
                for worker in self.workers():
                    worker.tell(signal.SIGKILL)
                until = time.monotonic() + STOP_SECONDS


def _noted(number: int, frame: FrameType | None) -> None:
    """The number comes through the wake-up pipe."""


def _no_process(error: OSError) -> CatsdogsError:
    return CatsdogsError(f"No process of the service can be started ({error.strerror}): lower --processes.")
