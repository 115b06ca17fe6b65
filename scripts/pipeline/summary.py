#!/usr/bin/env python3
"""Writes what a run came to as Markdown: artifacts/summary.md, and the run's page where GITHUB_STEP_SUMMARY names it.

Reads whichever reports are there below artifacts/: training/metrics.json, release.json, post_deploy_eval.json. Plots
are Mermaid charts: docs/pipeline.md says why.
The standard library is enough: runs before anything is installed.

  COMMIT               the commit, for the heading
  GITHUB_STEP_SUMMARY  file that GitHub shows as the run's summary
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

ARTIFACTS = Path("artifacts")
POINTS_SHOWN = 40
"""Epochs in a chart at most; more are thinned."""


def training(metrics: dict[str, Any]) -> list[str]:
    accuracy, classes = metrics["accuracy"], metrics["classes"]
    lines = [
        "### Training", "",
        "| model | test accuracy | 95 % interval | test loss | best epoch | calibration error |",
        "| --- | --- | --- | --- | --- | --- |",
        f"| {metrics['model_variant']} | {accuracy['value']:.2%} of {accuracy['count']:,} photos | "
        f"{accuracy['low']:.2%} to {accuracy['high']:.2%} | {metrics['test_loss']:.4f} | {metrics['best_epoch']} | "
        f"{metrics['expected_calibration_error']:.4f} |", "",
        *confusion(classes, metrics["confusion"]),
    ]
    return lines + charts(metrics["history"])


def confusion(classes: list[str], counts: list[list[int]]) -> list[str]:
    """Rows: what the photo is. Columns: what was answered."""
    return [
        f"| photo \\ answer | {' | '.join(classes)} |", f"| --- |{' --- |' * len(classes)}",
        *(f"| **{label}** | {' | '.join(f'{count:,}' for count in row)} |"
          for label, row in zip(classes, counts, strict=True)), "",
    ]


def charts(history: list[dict[str, Any]]) -> list[str]:
    """Losses and accuracy by epoch."""
    if len(history) < 2:
        return []
    shown = history[:: -(-len(history) // POINTS_SHOWN)]
    highest = max(max(epoch["train_loss"], epoch["val_loss"]) for epoch in shown)
    return [
        *chart("Loss by epoch (first line: training, second: validation)", "loss", highest * 1.05, shown,
               "train_loss", "val_loss"),
        *chart("Accuracy on the validation photos by epoch", "accuracy", 1.0, shown, "val_accuracy"),
    ]


def chart(title: str, axis: str, highest: float, shown: list[dict[str, Any]], *names: str) -> list[str]:
    return [
        title, "", "```mermaid", "xychart-beta",
        f"  x-axis \"epoch\" [{', '.join(str(epoch['epoch']) for epoch in shown)}]",
        f"  y-axis \"{axis}\" 0 --> {highest:.3f}",
        *(f"  line [{', '.join(f'{epoch[name]:.4f}' for epoch in shown)}]" for name in names), "```", "",
    ]


def release(report: dict[str, Any]) -> list[str]:
    """What was done, and the gate's comparison on the evaluation batch."""
    lines = verdict("Release", report | {"reasons": report["decision"]["reasons"]})
    lines += [f"- {step}" for step in report["steps"]] + [""]
    checks = (report["gate"] or {}).get("checks", [])
    if checks:
        lines += ["| gate | verdict | |", "| --- | --- | --- |"]
        lines += [f"| {check['name']} | {'ok' if check['passed'] else '**failed**'} | {check['text']} |"
                  for check in checks]
        lines.append("")
    return lines


def evaluation(report: dict[str, Any]) -> list[str]:
    lines = verdict("Evaluation through the public address", report)
    accuracy, latency = report.get("accuracy"), report.get("latency_ms") or {}
    if accuracy:
        lines += [
            "| model | accuracy | 95 % interval | p50 | p99 | requests/s |", "| --- | --- | --- | --- | --- | --- |",
            f"| `{report.get('model_version')}` | {accuracy['value']:.2%} of {accuracy['count']:,} photos | "
            f"{accuracy['low']:.2%} to {accuracy['high']:.2%} | {latency.get('p50', 0):.0f} ms | "
            f"{latency.get('p99', 0):.0f} ms | {report.get('requests_per_second', 0):.0f} |", "",
        ]
    return lines


def verdict(title: str, report: dict[str, Any]) -> list[str]:
    """Heading with the verdict, and the reasons where it failed."""
    reasons = report.get("reasons") or []
    return [f"### {title}: {'passed' if report.get('passed') else '**refused**'}", "",
            *(f"- {reason}" for reason in reasons), *([""] if reasons else [])]


SECTIONS = {
    "training/metrics.json": training, "release.json": release, "post_deploy_eval.json": evaluation,
}


def summary(folder: Path, commit: str) -> str:
    lines = [f"## catsdogs at `{commit[:12]}`", ""]
    for name, section in SECTIONS.items():
        if (folder / name).exists():
            lines += section(json.loads((folder / name).read_text()))
    if len(lines) == 2:
        lines.append("No report was written: the run ended before training.")
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    text = summary(ARTIFACTS, os.environ.get("COMMIT", "unknown"))
    ARTIFACTS.mkdir(exist_ok=True)
    (ARTIFACTS / "summary.md").write_text(text)
    page = os.environ.get("GITHUB_STEP_SUMMARY")
    if page:
        with open(page, "a") as output:
            output.write(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
