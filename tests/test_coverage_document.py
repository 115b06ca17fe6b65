"""The matrix of requirements names only what exists, and all of them."""

import pytest

from tests.coverage_document import faults, requirements, shown
from tests.servers import ROOT

DOCUMENT = ROOT / "docs" / "ASSIGNMENT2_REQUIREMENTS_COVERAGE.md"
TOPICS = {
    "M1": ["Git", "DVC", "baseline", "standard format", "MLflow", "confusion matrix"],
    "M2": ["/health", "/predict", "pinned", "container", "curl"],
    "M3": ["preprocessing", "inference", "push and merge request", "published"],
    "M4": ["Deployment", "Service", "main", "smoke test"],
    "M5": ["logged", "sensitive", "count and latency", "labelled requests", "bundle"],
}
SPECIFIED = [
    "src/ingest.py", "src/preprocessing.py", "src/train.py", "src/model.py", "src/main.py", "src/smoke_test.py",
    "src/post_deploy_eval.py", "k8s/deployment.yaml", "k8s/production-train-job.yaml", "k8s/mlflow.yaml",
    "k8s/monitoring/google-pod-monitor.yaml", ".github/workflows/mlops-pipeline.yml", "dvc.yaml", "params.yaml",
    "requirements.txt", "Dockerfile", "Dockerfile.serve", "tests",
]


def test_every_file_and_command_it_names_is_there() -> None:
    assert list(faults(DOCUMENT.read_text())) == []


@pytest.mark.parametrize("part", TOPICS)
def test_every_requirement_has_a_row(part: str) -> None:
    rows = [row for row in requirements(DOCUMENT.read_text()) if row.identity.startswith(part)]
    assert [row.identity for row in rows] == [f"{part}.{number + 1}" for number in range(len(rows))]
    text = " ".join(row.text for row in rows)
    assert [topic for topic in TOPICS[part] if topic not in text] == []


def test_every_file_of_the_specification_is_named() -> None:
    named = {name for row in requirements(DOCUMENT.read_text()) for name in row.files}
    assert [name for name in SPECIFIED if name not in named] == []


@pytest.mark.parametrize(("before", "after", "fault"), [
    ("`src/train.py`", "`src/trian.py`", "src/trian.py, which does not exist"),
    ("$ catsdogs lineage", "$ catsdogs linage", "no command catsdogs linage"),
    ("$ catsdogs doctor data/ingested", "$ catsdogs doctor data/ingested --sauce x", "has no flag --sauce"),
    ("$ make lint", "$ make lynt", "no target lynt"),
    ("$ ./scripts/create_submission_bundle.sh", "$ ./scripts/bundle.sh", "no script ./scripts/bundle.sh"),
    ("docker build -f Dockerfile.serve", "docker build -f Dockerfile.served", "no file Dockerfile.served"),
    ("$ pytest -q tests/", "$ pytest -q test/", "no test test/"),
])
def test_what_is_missing_is_found(before: str, after: str, fault: str) -> None:
    text = DOCUMENT.read_text()
    assert before in text
    found = list(faults(text.replace(before, after)))
    assert any(fault in line for line in found), found


def test_a_command_without_its_output_is_found() -> None:
    text = DOCUMENT.read_text()
    command, output = next(iter(shown(text).items()))
    assert any("no block shows" in line for line in faults(text.replace(output, "")))
    assert command in text
