"""A port of this machine that leads to a Service of the cluster, for as long as this process lives."""

import atexit
import re
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from catsdogs.errors import CatsdogsError

READY = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ->")
START_SECONDS = 30.0


class Forward:
    """`kubectl port-forward`: it goes through the kubelet, so no network policy needs to let the control plane in."""

    def __init__(self, command: Sequence[str], service: Mapping[str, Any]) -> None:
        port = service["spec"]["ports"][0]["port"]
        self._process = subprocess.Popen([*command, f":{port}", "--address=127.0.0.1"], stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        atexit.register(self.close)
        self._said: deque[str] = deque(maxlen=20)
        self._ready = threading.Event()
        self._port = 0
        self._reader = threading.Thread(target=self._read, daemon=True, name="port-forward")
        self._reader.start()
        if not self._ready.wait(START_SECONDS) or not self._port:
            self.close()
            raise CatsdogsError(f"kubectl port-forward did not start: {' '.join(self._said) or 'it said nothing'}.")
        self.address = f"http://127.0.0.1:{self._port}"

    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        atexit.unregister(self.close)
        if self.alive():
            self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        """To the end: a pipe that nobody empties would stop it."""
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._said.append(line.strip())
                if found := READY.match(line):
                    self._port = int(found[1])
                    self._ready.set()
        self._ready.set()  # it ended
