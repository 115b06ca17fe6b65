"""Asks a server: one photo at a time, or with wrk as fast as it can; and reads what its processes hold and use."""

import http.client
import json
import os
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import tree

SCRIPT = Path(__file__).parent / "serving.lua"
HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="p.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
TICKS = os.sysconf("SC_CLK_TCK")


class TooBusy(Exception):
    """Other work leaves a server so little that its figures would say nothing."""


@dataclass(frozen=True)
class Burst:
    """What a number of clients, each with one request under way, got in a few seconds."""

    answered: int  # refusals not counted
    per_second: float  # of these
    p50_ms: float
    p99_ms: float
    refused: int  # statuses of 400 and more
    broken: int  # connections, reads, writes, timeouts
    generator_us: float  # processor time of the generator for a request
    server_ms: float  # processor time of the server's processes for a request
    others: float  # share of all processor time that other work took meanwhile


def burst(port: int, pid: int, photos: list[Path], clients: int, seconds: int, path: str = "/predict") -> Burst:
    """Send the photos in turn on `clients` connections that stay open. The server's first process is `pid`.

    Raises TooBusy where not even every client got an answer.
    """
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "20s", "-s", str(SCRIPT),
               f"http://127.0.0.1:{port}", "--", path, *map(str, photos)]
    before, busy_before, began = processor_seconds(pid), busy_seconds(), time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    used, generator = processor_seconds(pid) - before, usage.ru_utime + usage.ru_stime
    others = (busy_seconds() - busy_before - used - generator) / (time.monotonic() - began) / (os.cpu_count() or 1)
    said = json.loads(output.splitlines()[-1])
    count = said["requests"]
    answered = count - said["refused"]
    if count < clients:
        raise TooBusy(f"{count} answers for {clients} clients in {seconds} s.")
    return Burst(answered, answered / said["seconds"], said["p50_ms"], said["p99_ms"], said["refused"], said["broken"],
                 1e6 * generator / count, 1e3 * used / count, max(0.0, others))


class Asking:
    """One connection that stays open."""

    def __init__(self, port: int, timeout: float = 20.0) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def predict(self, photo: bytes, path: str = "/predict") -> tuple[int, bytes]:
        self.connection.request("POST", path, HEAD + photo + b"\r\n--b--\r\n",
                                {"Content-Type": "multipart/form-data; boundary=b"})
        answer = self.connection.getresponse()
        return answer.status, answer.read()

    def get(self, path: str) -> int:
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        answer.read()
        return answer.status

    def close(self) -> None:
        self.connection.close()


def probabilities(port: int, photos: list[bytes], classes: list[str]) -> list[list[float]]:
    """What the server answers to each photo. Raises RuntimeError where it does not."""
    rows = []
    with closing(Asking(port)) as asking:
        for photo in photos:
            status, body = asking.predict(photo)
            if status != 200:
                raise RuntimeError(f"{status}: {body[:200]!r}")
            answered = _first(body)["probabilities"]
            rows.append([answered[label] for label in classes])
    return rows


def _first(body: bytes) -> dict[str, Any]:
    """BentoML answers a batch with a list, also where it is a batch of one."""
    answered = json.loads(body)
    return answered[0] if isinstance(answered, list) else answered


def first_answer(process: subprocess.Popen[bytes], port: int, photo: bytes, label: str, patience: float = 120) -> None:
    """Ask until the right answer comes. Raises RuntimeError where the server ends first, or it never does."""
    until = time.monotonic() + patience
    while time.monotonic() < until and process.poll() is None:
        try:
            with closing(Asking(port)) as asking:
                status, body = asking.predict(photo)
                if status == 200 and _first(body)["label"] == label:
                    return
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.005)
    raise RuntimeError(f"no right answer; the server {'ended' if process.poll() is not None else 'runs'}")


def processor_seconds(pid: int) -> float:
    """Of a process, its children and theirs, so far."""
    used = 0
    for member in tree(pid):
        try:
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        used += int(fields[11]) + int(fields[12])
    return used / TICKS


def busy_seconds() -> float:
    """Processor time of the whole machine so far, neither idle nor waiting for a disk; of a guest, time stolen too."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICKS


@dataclass(frozen=True)
class Memory:
    processes: int
    largest: int  # bytes of the largest process: anonymous memory, what no file backs
    largest_resident: int  # bytes of that one, files that are mapped included
    total: int  # bytes of all: anonymous, what is shared counted once


def memory(pid: int) -> Memory:
    found = []
    for member in tree(pid):
        try:
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()[1:]
        except OSError:
            continue
        parts = {line.split(":")[0]: 1024 * int(line.split()[1]) for line in lines}
        found.append((parts["Anonymous"], parts["Rss"], parts["Pss_Anon"]))
    largest = max(found)
    return Memory(len(found), largest[0], largest[1], sum(row[2] for row in found))
