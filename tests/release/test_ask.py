"""The same photos to two services that answer over HTTP, one of which leaves some out."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from catsdogs.gate.judge import judge
from catsdogs.gate.report import GateReport
from catsdogs.release.ask import Photo, ask_both
from catsdogs.settings.release import ReleaseSettings
from catsdogs.slices import by_class
from tests.servers import Handler, answering
from tests.tiny_model import CLASSES

# Each says what is right, what a service answers and whether it is slow to: `cat-7` is a cat, and the seventh.
PHOTOS = [Photo(f"{number}.png", CLASSES[number % 2], f"{CLASSES[number % 2]}-{number}-".encode())
          for number in range(200)]


@contextmanager
def service(*, wrong: int = 0, silent: int = 0) -> Iterator[str]:
    """Answers rightly, but for the first `silent` photos (504: past the deadline) and the last `wrong` ones."""
    class Asked(Handler):
        def do_GET(self) -> None:
            self.say(200, {"version": "x", "model_digest": str(wrong), "classes": CLASSES})

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers["Content-Length"]))
            (label,) = [label for label in CLASSES if f"{label}-".encode() in sent]
            number = int(sent.partition(f"{label}-".encode())[2].partition(b"-")[0])
            if number < silent:
                self.say(504, {"detail": "past the deadline"})
                return
            if number >= len(PHOTOS) - wrong:
                label = CLASSES[1 - CLASSES.index(label)]
            self.say(200, {"label": label, "confidence": 0.95, "probabilities": dict.fromkeys(CLASSES, 0.5)})

        def say(self, status: int, body: object) -> None:
            self.send(status, json.dumps(body).encode())

    with answering(Asked) as port:
        yield f"http://127.0.0.1:{port}"


def judged(candidate: str, champion: str) -> tuple[GateReport, list[str]]:
    """As a release does."""
    new, old, errors = asyncio.run(ask_both(candidate, champion, PHOTOS, concurrency=4, timeout=30))
    truth = [photo.label for photo in PHOTOS]
    # Busy machines stand still, and the confidence is made up.
    limits = ReleaseSettings(max_latency_ratio=1000, max_calibration_error=1)
    return judge(truth, by_class(truth), new, old, limits), errors


def test_a_champion_that_does_not_answer_makes_no_worse_candidate_pass(capsys: pytest.CaptureFixture[str]) -> None:
    """A third of the champion's answers is missing; the candidate is wrong about a fifth of the photos."""
    with service(wrong=40) as candidate, service(silent=60) as champion:
        report, errors = judged(candidate, champion)
    assert not report.passed and errors == []
    assert report.reasons[0].startswith("the champion answered only 140 of 200 photos")
    assert "60 photos were not answered: status 504 (past the deadline)" in capsys.readouterr().err


def test_a_few_photos_that_the_champion_leaves_out_are_not_compared() -> None:
    with service() as candidate, service(silent=3) as champion:
        report, _ = judged(candidate, champion)
    assert report.passed and report.paired is not None
    assert (report.paired.photos, report.paired.lost, report.paired.gained) == (197, 0, 0)


def test_what_the_candidate_does_not_answer_is_wrong() -> None:
    with service(silent=20) as candidate, service() as champion:
        report, errors = judged(candidate, champion)
    assert report.paired is not None and (report.paired.photos, report.paired.lost) == (200, 20)
    assert errors == ["20 photos were not answered: status 504 (past the deadline)"]
