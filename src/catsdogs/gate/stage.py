"""Stage 5: challenger against champion, on test photos that the challenger has not seen."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catsdogs.gate.judge import check_classes, judge
from catsdogs.gate.measure import answered, answers, latencies
from catsdogs.gate.report import Check, GateReport
from catsdogs.gate.split import advantage, check_unseen
from catsdogs.packed import open_packed
from catsdogs.predictor import load_checked
from catsdogs.settings.gate import GateSettings
from catsdogs.slices import slices_of


@dataclass(frozen=True)
class GateResult:
    report: GateReport
    output_json: Path

    @property
    def passed(self) -> bool:
        return self.report.passed

    def text(self) -> str:
        alone = [] if self.report.champion else ["no champion: only the limits were checked"]
        verdict = "passed" if self.passed else "FAILED: " + "; ".join(self.report.reasons)
        return "\n".join([self.report.table(), *alone, f"gate {verdict}  -> {self.output_json}"])

    def data(self) -> dict[str, Any]:
        return {"output_json": str(self.output_json)} | self.report.model_dump(mode="json")


def gate(settings: GateSettings) -> GateResult:
    """Judge the challenger; the report is written also when it is refused.

    Raises ModelRefused for a file that is no sound model, CatsdogsError for models of other classes, UsageError for a
    challenger that was trained on another split.
    """
    paths = [settings.challenger] + ([settings.champion] if settings.champion else [])
    predictors = [load_checked(path) for path in paths]  # one thread each, as the service runs them
    photos = open_packed(settings.data_dir)
    truth = [row.label for row in photos.test.rows]
    check_classes(truth, *(each.card.classes for each in predictors))
    unseen = check_unseen(predictors[0].card, photos.about, settings.challenger, settings.data_dir)
    times = latencies(predictors)
    both = [answered(predictor, answers(predictor, photos, settings.data_dir), path, latency)
            for predictor, path, latency in zip(predictors, paths, times, strict=True)]
    report = judge(truth, slices_of(photos.test, settings.data_dir), both[0], both[1] if len(both) > 1 else None,
                   settings, splits_digest=photos.about.splits_digest,
                   further=[unseen, *_own_limits(both[0].latency_ms, both[0].megabytes or 0.0, settings)],
                   unfair=advantage(predictors[-1].card, photos.about))  # the champion's, where there is one
    report.write(settings.output_json)
    return GateResult(report, settings.output_json)


def _own_limits(latency_ms: float, megabytes: float, settings: GateSettings) -> list[Check]:
    fast, small = latency_ms <= settings.max_latency_ms, megabytes <= settings.max_megabytes
    return [
        Check(name="one thread", passed=fast, text=f"{latency_ms:.2f} ms a photo is {'within' if fast else 'above'} "
              f"--max-latency-ms {settings.max_latency_ms:g}"),
        Check(name="size", passed=small, text=f"{megabytes:.2f} MB is {'within' if small else 'above'} "
              f"--max-megabytes {settings.max_megabytes:g}"),
    ]
