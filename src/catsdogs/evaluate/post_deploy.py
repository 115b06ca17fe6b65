"""Stage 7c: send labelled photos to the running service, as its users do, and judge its answers."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from catsdogs.artifacts import EvalRow, read_eval_batch
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.evaluate.client import Client, Reply, checked_url, connected, json_object
from catsdogs.evaluate.verdict import Evaluation, Outcome, evaluate
from catsdogs.log import Progress, progress
from catsdogs.settings.serving import PostDeployEvalSettings


@dataclass(frozen=True)
class PostDeployResult:
    output_json: Path
    evaluation: Evaluation

    @property
    def passed(self) -> bool:
        return self.evaluation.passed

    def text(self) -> str:
        report = self.evaluation
        lines = [f"answered     {report.answered:,} of {report.photos:,} photos by model {report.model_version}"]
        if report.accuracy is not None:
            interval = report.accuracy
            lines += [
                f"accuracy     {interval.value:.1%} (95 % interval {interval.low:.1%} to {interval.high:.1%})",
                *(f"  {name:<11}precision {of.precision:.1%}  recall {of.recall:.1%}  of {of.count:,}"
                  for name, of in report.per_class.items()),
                f"latency      p50 {report.latency_ms['p50']:.1f} ms  p95 {report.latency_ms['p95']:.1f} ms  "
                f"p99 {report.latency_ms['p99']:.1f} ms with {report.concurrency} at a time",
                f"speed        {report.requests_per_second:,.0f} requests/s",
            ]
        verdict = "passed" if report.passed else "FAILED: " + "; ".join(report.reasons)
        return "\n".join([*lines, f"evaluation   {verdict}  -> {self.output_json}"])

    def data(self) -> dict[str, Any]:
        return {"output_json": str(self.output_json)} | self.evaluation.model_dump(mode="json")


def post_deploy_eval(settings: PostDeployEvalSettings) -> PostDeployResult:
    """Send every photo of the batch; the report is written also when the evaluation fails.

    Raises UsageError for an address or a batch that cannot be meant, after which there is nothing to report.
    """
    checked_url(settings.base_url)
    if not settings.input_csv.exists():
        raise UsageError(f"{settings.input_csv} does not exist: write it with `catsdogs eval-batch`.")
    rows = read_eval_batch(settings.input_csv)
    for row in rows:
        parts = PurePosixPath(row.path)
        if parts.is_absolute() or ".." in parts.parts:
            raise UsageError(f"{settings.input_csv} names {row.path!r}, which leaves its folder: refused.")
    evaluation = asyncio.run(_evaluated(settings, rows))
    evaluation.write(settings.output_json)
    return PostDeployResult(settings.output_json, evaluation)


async def _evaluated(settings: PostDeployEvalSettings, rows: list[EvalRow]) -> Evaluation:
    outcomes: list[Outcome] = []
    problems, version, wall = [], None, 0.0
    async with connected(settings.base_url, settings.timeout_seconds, settings.concurrency) as client:
        try:
            if not rows:
                raise CatsdogsError(f"{settings.input_csv} names no photos")
            await client.wait_ready(settings.wait_seconds)
            version = await _version(client)
            # One request before the clock starts: connections and lazy parts are not what is measured.
            await _ask(client, settings.input_csv.parent, rows[0])
            started = time.perf_counter()
            with progress("post-deploy-eval", len(rows)) as bar:
                outcomes = await _ask_all(client, settings, rows, bar)
            wall = time.perf_counter() - started
        except CatsdogsError as error:
            problems.append(str(error).rstrip("."))
    return evaluate(
        outcomes, base_url=settings.base_url, model_version=version, wall_seconds=wall,
        concurrency=settings.concurrency, min_accuracy=settings.min_accuracy, max_p99_ms=settings.max_p99_ms,
        problems=problems,
    )


async def _version(client: Client) -> str | None:
    reply = await client.get("/model")
    return str(json_object(reply, "/model").get("version")) if reply.status == 200 else None


async def _ask_all(
    client: Client, settings: PostDeployEvalSettings, rows: list[EvalRow], bar: Progress
) -> list[Outcome]:
    """`concurrency` workers take photos one after the other; outcomes are in the order of the rows."""
    waiting = iter(enumerate(rows))
    outcomes: dict[int, Outcome] = {}

    async def worker() -> None:
        for number, row in waiting:
            outcomes[number] = await _ask(client, settings.input_csv.parent, row)
            bar.advance()

    await asyncio.gather(*(worker() for _ in range(settings.concurrency)))
    return [outcomes[number] for number in range(len(rows))]


async def _ask(client: Client, folder: Path, row: EvalRow) -> Outcome:
    def failed(reason: str) -> Outcome:
        return Outcome(row.path, row.label, "", 0.0, 0.0, reason)

    try:
        data = (folder / row.path).read_bytes()
    except OSError as error:
        return failed(f"the photo cannot be read: {error.strerror}")
    try:
        reply = await client.predict(data, Path(row.path).name)
        return _outcome(row, reply)
    except CatsdogsError as error:
        return failed(str(error).rstrip("."))


def _outcome(row: EvalRow, reply: Reply) -> Outcome:
    body = json_object(reply, "/predict")
    if reply.status != 200:
        raise CatsdogsError(f"status {reply.status} ({body.get('detail')})")
    probabilities, label, confidence = body.get("probabilities"), body.get("label"), body.get("confidence")
    if not isinstance(probabilities, dict) or not isinstance(label, str) or not isinstance(confidence, int | float):
        raise CatsdogsError("/predict answered without label, confidence and probabilities")
    if row.label not in probabilities:
        known = ", ".join(sorted(probabilities))
        raise CatsdogsError(f"the service does not know the label {row.label!r}, only {known}")
    return Outcome(row.path, row.label, label, float(confidence), reply.seconds, "")
