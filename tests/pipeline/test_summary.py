"""What a run's page and the pull request show."""

import json
import subprocess
from pathlib import Path
from typing import Any

from catsdogs.reports import TrainingMetrics
from scripts.pipeline.summary import POINTS_SHOWN, charts, summary
from tests.servers import ROOT

INTERVAL = {"value": 0.91, "low": 0.89, "high": 0.93, "count": 800}
METRICS: dict[str, Any] = {
    "model_variant": "fast", "parameters": 1000, "classes": ["cat", "dog"], "test_accuracy": 0.91, "accuracy": INTERVAL,
    "majority_share": 0.5, "slices": {}, "test_loss": 0.21, "log_loss": 0.2,
    "auc": 0.97, "expected_calibration_error": 0.012, "temperature": 1.1,
    "per_class": {}, "unsure": {"threshold": 0.6, "target_error": 0.02, "share_unsure": 0.1, "error": None},
    "confusion": [[370, 30], [42, 358]], "best_epoch": 2, "best_val_accuracy": 0.9,
    "history": [{"epoch": number, "train_loss": 0.6 / number, "val_loss": 0.7 / number, "val_accuracy": 0.8,
                 "images_per_second": 100.0} for number in range(1, 4)],
    "images_per_second": 100.0, "input_share": 0.02, "seconds": {"training": 9.0}, "device": "cpu",
    "precision": "float32", "model_digest": "d", "export_difference": 0.0,
    "lineage": {"manifest_digest": "m", "splits_digest": "s", "parameters": {}, "commit": None, "versions": {}},
}
RELEASE = {
    "passed": False, "steps": ["the candidate is ready"], "decision": {"reasons": ["The gate refused it"]},
    "gate": {"checks": [{"name": "accuracy", "passed": False, "text": "60 % is below 70 %"}]},
}
EVALUATION = {"passed": True, "reasons": [], "accuracy": INTERVAL, "latency_ms": {"p50": 8.0, "p99": 21.0},
              "model_version": "abc", "requests_per_second": 80.0}


def written(folder: Path) -> Path:
    for name, report in (("training/metrics.json", METRICS), ("release.json", RELEASE),
                         ("post_deploy_eval.json", EVALUATION)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(report))
    return folder


def test_figures_chart_and_verdicts_are_shown(tmp_path: Path) -> None:
    TrainingMetrics.model_validate(METRICS)  # the report that training writes has this form
    text = summary(written(tmp_path), "0123456789abcdef")
    for words in ("`0123456789ab`", "91.00% of 800 photos", "| **cat** | 370 | 30 |", "line [0.6000, 0.3000, 0.2000]",
                  "line [0.8000, 0.8000, 0.8000]",
                  "Release: **refused**", "- The gate refused it", "| accuracy | **failed** | 60 % is below 70 % |",
                  "public address: passed", "| 8 ms | 21 ms | 80 |"):
        assert words in text, words
    assert text.count("```") == 4


def test_a_long_training_is_thinned() -> None:
    history = [METRICS["history"][0] | {"epoch": number} for number in range(1, 1000)]
    axis, same = [line for line in charts(history) if "x-axis" in line]
    assert 20 <= axis.count(",") < POINTS_SHOWN and same == axis
    assert charts(history[:1]) == []


def test_a_run_that_ended_early_says_so(tmp_path: Path) -> None:
    assert "ended before training" in summary(tmp_path, "abc")


def test_the_runs_page_gets_it_too(tmp_path: Path) -> None:
    written(tmp_path / "artifacts")
    page = tmp_path / "page.md"
    page.write_text("before\n")
    script = ROOT / "scripts/pipeline/summary.py"
    subprocess.run([str(script)], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL, env={
        "PATH": "/usr/bin:/usr/local/bin:/bin", "COMMIT": "abc", "GITHUB_STEP_SUMMARY": str(page)})
    assert page.read_text().startswith("before\n## catsdogs at `abc`")
    assert (tmp_path / "artifacts/summary.md").read_text() in page.read_text()
