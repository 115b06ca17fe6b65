"""Progress on a terminal, one JSON line per event elsewhere; both on standard error."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

EVERY_SECONDS = 10.0  # between progress lines where nobody watches a terminal


def event(name: str, **fields: Any) -> None:
    """Say that something happened."""
    if sys.stderr.isatty():
        details = "  ".join(f"{key}={value}" for key, value in fields.items())
        print(f"{name}  {details}".rstrip(), file=sys.stderr)
        return
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    sys.stderr.write(json.dumps({"time": stamp, "event": name, **fields}, default=str) + "\n")  # in one piece
    sys.stderr.flush()


class Progress(Protocol):
    """Counts finished items; `note` is shown beside the bar (a loss, a file name)."""

    def advance(self, count: int = 1, note: str = "") -> None: ...


class _Lines:
    def __init__(self, label: str, total: int, unit: str) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done, self.start = 0, time.monotonic()
        self.said = self.start
        self._counting = threading.Lock()

    def advance(self, count: int = 1, note: str = "") -> None:
        with self._counting:  # transfers count from many threads
            self.done += count
            now = time.monotonic()
            if now - self.said >= EVERY_SECONDS:
                self.said = now
                self.say("progress", note)

    def say(self, name: str, note: str = "") -> None:
        seconds = time.monotonic() - self.start
        rate = self.done / seconds if seconds else 0.0
        fields = {"stage": self.label, "done": self.done, "total": self.total, "seconds": round(seconds, 1)}
        fields[f"{self.unit}_per_second"] = round(rate, 1)
        if rate and self.done < self.total:
            fields["seconds_left"] = round((self.total - self.done) / rate)
        event(name, **fields, **({"note": note} if note else {}))


@contextmanager
def progress(label: str, total: int, unit: str = "photos") -> Iterator[Progress]:
    """A bar with rate and time left on a terminal; a JSON line every ten seconds elsewhere."""
    if sys.stderr.isatty():
        with _bar(label, total, unit) as bar:
            yield bar
        return
    lines = _Lines(label, total, unit)
    yield lines
    lines.say("finished")


@contextmanager
def _bar(label: str, total: int, unit: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as rich:
        task = rich.add_task(label, total=total, rate="", note="")

        class Bar:
            def advance(self, count: int = 1, note: str = "") -> None:
                speed = rich.tasks[0].speed
                rate = f"{speed:,.0f} {unit}/s" if speed else ""
                rich.update(task, advance=count, rate=rate, note=note or rich.tasks[0].fields["note"])

        yield Bar()
