"""Stage 7a: is the service up, is it the right model, does it answer known photos rightly, does it refuse rightly?"""

import asyncio
import base64
import math
import re
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from catsdogs.artifacts import ModelCard
from catsdogs.errors import CatsdogsError
from catsdogs.evaluate.client import Client, Reply, connected, json_object
from catsdogs.images import encode
from catsdogs.settings.serving import SmokeTestSettings

TOLERANCE = 0.02  # as for golden answers: room for a coarser precision, none for another preparation
REQUEST_SECONDS = 30.0
LOOKS, LOOK_SECONDS = 20, 0.05  # at a counter that is behind
COUNTER = re.compile(r'^catsdogs_http_requests_total\{[^}]*route="/predict"[^}]*\} ([0-9.e+]+)$', re.MULTILINE)


@dataclass(frozen=True)
class Check:
    name: str
    passed: bool
    reason: str


@dataclass(frozen=True)
class SmokeResult:
    base_url: str
    checks: list[Check]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    def text(self) -> str:
        lines = [f"{'ok' if check.passed else 'FAIL':<6}{check.name:<12}{check.reason}" for check in self.checks]
        return "\n".join([*lines, f"smoke test of {self.base_url} {'passed' if self.passed else 'FAILED'}"])

    def data(self) -> dict[str, Any]:
        return {"base_url": self.base_url, "passed": self.passed, "checks": [asdict(check) for check in self.checks]}


def smoke_test(settings: SmokeTestSettings) -> SmokeResult:
    """Run every check, also after one has failed. Raises CatsdogsError where nobody answers."""
    return asyncio.run(_run(settings, _local_card(settings)))


def _local_card(settings: SmokeTestSettings) -> ModelCard | None:
    if not settings.model_path.with_suffix(".onnx").exists():
        return None
    from catsdogs.predictor import read_card  # not everybody who tests a service has an engine installed

    return read_card(settings.model_path)


async def _run(settings: SmokeTestSettings, card: ModelCard | None) -> SmokeResult:
    async with connected(settings.base_url, REQUEST_SECONDS) as client:
        said_by = await client.wait_ready(settings.wait_seconds)
        test = _SmokeTest(client, card)
        test.note("ready", True, f"{said_by} answers 200")
        before = await test.counted()
        for name, check in (("health", test.health), ("version", test.version), ("answers", test.answers),
                            ("refusals", test.refusals)):
            try:
                test.note(name, True, await check())
            except CatsdogsError as error:
                test.note(name, False, str(error))
        slowest = 1000 * max((reply.seconds for reply in test.replies), default=math.inf)
        test.note("latency", slowest <= settings.max_latency_ms,
                  f"slowest answer {slowest:.0f} ms, allowed {settings.max_latency_ms:.0f} ms")
        test.judge_counter(before, await test.counted_since(before))
        return SmokeResult(client.base_url, test.checks)


@dataclass
class _SmokeTest:
    client: Client
    card: ModelCard | None
    checks: list[Check] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)  # of /predict

    def note(self, name: str, passed: bool, reason: str) -> None:
        self.checks.append(Check(name, passed, reason))

    async def health(self) -> str:
        body = json_object(await self.client.get("/health"), "/health")
        if body.get("status") != "healthy" or body.get("model_loaded") is not True:
            raise CatsdogsError(f"/health says status {body.get('status')!r}, model_loaded {body.get('model_loaded')}.")
        return "healthy, a model is loaded"

    async def version(self) -> str:
        body = json_object(await self.client.get("/model"), "/model")
        if self.card is None:
            return f"{body.get('version')}; no local model to compare with"
        if body.get("version") != self.card.version:
            raise CatsdogsError(f"The service runs {body.get('version')}, expected {self.card.version}.")
        return f"{self.card.version}, as expected"

    async def answers(self) -> str:
        if self.card is None:
            await self._answer(encode(np.full((64, 64, 3), 127, dtype=np.uint8)))
            return "well-formed; without a local model (--model-path) no answer is known"
        for number, golden in enumerate(self.card.golden):
            answer = await self._answer(base64.b64decode(golden.png_base64))
            expected = dict(zip(self.card.classes, golden.probabilities, strict=True))
            given = answer["probabilities"]
            if given.keys() != expected.keys():
                raise CatsdogsError(f"The classes are {sorted(given)}, expected {sorted(expected)}.")
            worst = max(abs(given[label] - expected[label]) for label in expected)
            if answer["label"] != golden.label or worst > TOLERANCE:
                raise CatsdogsError(
                    f"Golden photo {number} is answered {answer['label']!r} with a difference of {worst:.3f}, "
                    f"expected {golden.label!r} within {TOLERANCE}."
                )
        return f"{len(self.card.golden)} golden photos are answered as in training"

    async def _answer(self, photo: bytes) -> dict[str, Any]:
        reply = await self.client.predict(photo, "photo.png")
        self.replies.append(reply)
        body = json_object(reply, "/predict")
        if reply.status != 200:
            raise CatsdogsError(f"/predict answered {reply.status} ({body.get('detail')}) to a good photo.")
        probabilities = body.get("probabilities")
        if not isinstance(probabilities, dict) or not probabilities or body.get("label") not in probabilities:
            raise CatsdogsError(f"/predict answered {sorted(body)} without a label among its probabilities.")
        if abs(sum(probabilities.values()) - 1) > 1e-3 or body.get("confidence") != max(probabilities.values()):
            raise CatsdogsError("/predict: the probabilities do not sum to 1, or the confidence is not the largest.")
        return body

    async def refusals(self) -> str:
        for data, name, expected in ((b"this is no photo", "file", 400), (b"", "file", 400), (b"x", "photo", 422)):
            reply = await self.client.send(data, "notes.txt", field=name)
            self.replies.append(reply)
            if reply.status != expected:
                raise CatsdogsError(f"{data!r} in the field {name!r} is answered {reply.status}, expected {expected}.")
            if not json_object(reply, "/predict").get("detail"):
                raise CatsdogsError(f"The refusal {expected} carries no `detail`.")
        return "no photo and an empty file: 400; no field `file`: 422"

    async def counted(self) -> float | None:
        reply = await self.client.get("/metrics")
        if reply.status != 200:
            return None
        return sum(float(value) for value in COUNTER.findall(reply.text))

    async def counted_since(self, before: float | None) -> float | None:
        """Where several processes answer, one may count a request just after the client has its answer: look again."""
        for _ in range(LOOKS):
            after = await self.counted()
            if before is None or after is None or after - before >= len(self.replies):
                break
            await asyncio.sleep(LOOK_SECONDS)
        return after

    def judge_counter(self, before: float | None, after: float | None) -> None:
        if before is None or after is None:
            self.note("metrics", False, "/metrics does not answer 200")
            return
        grown = after - before
        self.note("metrics", grown >= len(self.replies),
                  f"the counter of /predict grew by {grown:.0f} for {len(self.replies)} requests")
