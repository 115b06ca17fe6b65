"""Processes that outlive the command which started them, and small questions to what they serve."""

import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STOP_SECONDS = 25.0  # the service finishes what is under way within 20
ASK_SECONDS = 2.0


def start(command: list[str], log: Path) -> str:
    """A session of its own, whose output goes to `log`; returns the handle that `alive` and `stop` know it by."""
    log.parent.mkdir(parents=True, exist_ok=True)
    # Not subprocess.Popen, whose object would have to live as long as the process, which is longer than ours does.
    pid = os.posix_spawnp(command[0], command, os.environ, setsid=True, file_actions=[
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ])
    return f"{pid}:{_started(pid)}"


def alive(handle: str) -> bool:
    pid, _, started = handle.partition(":")
    try:
        os.waitpid(int(pid), os.WNOHANG)
    except ChildProcessError:
        pass  # not ours: another command started it
    return started != "" and _started(int(pid)) == started


def stop(handle: str) -> None:
    """SIGTERM, and SIGKILL to what does not end; nothing where another process has the number by now."""
    pid = int(handle.partition(":")[0])
    deadline = time.monotonic() + STOP_SECONDS
    if alive(handle):
        os.kill(pid, signal.SIGTERM)
    while alive(handle):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    """Whether it answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=ASK_SECONDS) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def get_json(url: str) -> Mapping[str, Any]:
    """What it answers, whatever the status; {} where it answers no JSON object."""
    try:
        with urllib.request.urlopen(url, timeout=ASK_SECONDS) as answer:
            found = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            try:
                found = json.load(error)
            except ValueError:
                return {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _started(pid: int) -> str:
    """When the process began, which tells it from a later one of the same number; "" where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
