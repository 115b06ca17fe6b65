"""Runs what the README says, in a copy of the tree, in the README's order.

The block marked `install` and `make demo` are run by .ci/run; the one marked `test` is this suite itself; those
marked `docker` and `bundle` are run by tests/containers and tests/bundle.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.checkouts import copied_to
from tests.servers import ROOT, free_port, running

pytestmark = pytest.mark.xdist_group("readme")  # one after the other, in one process
BLOCK = re.compile(r"<!-- (\w+) -->\n```bash\n(.*?)```", re.DOTALL)
BLOCKS = BLOCK.findall((ROOT / "README.md").read_text())


def commands(mark: str) -> list[str]:
    return [line for kind, text in BLOCKS if kind == mark for line in text.strip().splitlines()]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that git knows or would add, committed, with this environment as .venv."""
    folder = copied_to(tmp_path_factory.mktemp("checkout") / "catsdogs")
    (folder / ".venv").symlink_to(Path(sys.executable).parent.parent)
    return folder


def run(line: str, folder: Path) -> str:
    # The folder's own package first, as an editable install of that checkout would have it.
    path = f"{folder}/.venv/bin:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(folder / "src")}
    answer = subprocess.run(["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, f"$ {line}\n{answer.stdout}\n{answer.stderr}"
    return answer.stdout


def test_every_block_of_the_readme_is_accounted_for() -> None:
    text = (ROOT / "README.md").read_text()
    assert text.count("```bash") == len(BLOCKS) + 1  # and `make demo`, `make test`
    assert {kind for kind, _ in BLOCKS} == {"install", "run", "serve", "ask", "docker", "bundle", "test", "show"}
    assert "make demo\nmake test\n" in text


def test_the_specifications_commands_are_there_word_for_word() -> None:
    text = (ROOT / "README.md").read_text()
    for line in (
        "python3 -m venv .venv && source .venv/bin/activate && pip install -r requirements.txt",
        "PYTHONPATH=. python src/ingest.py --source-dir data/raw --output-dir data/ingested",
        "PYTHONPATH=. python src/preprocessing.py --input-dir data/ingested --output-dir data/processed "
        "--image-size 224 --train-ratio 0.8 --val-ratio 0.1 --seed 42",
        "PYTHONPATH=. python src/train.py --data-dir data/processed --output-model models/model.pt --artifact-dir "
        "artifacts/training --epochs 3 --batch-size 64 --learning-rate 0.001 --model-variant baseline --force-cpu",
        "PYTHONPATH=. ENABLE_REAL_MODEL=1 MODEL_PATH=$(pwd)/models/model.pt uvicorn src.main:app --host 0.0.0.0 "
        "--port 8080",
        "curl http://127.0.0.1:8080/health",
        'curl -X POST http://127.0.0.1:8080/predict -F "file=@path/to/image.jpg"',
        'PATH="$PWD/.venv/bin:$PATH" PYTHONPATH=. dvc repro',
        "docker build -f Dockerfile.serve -t cats-dogs-api:latest .",
        "docker run --rm -p 8080:8080 -e ENABLE_REAL_MODEL=1 -e MODEL_PATH=/app/models/model.pt cats-dogs-api:latest",
        "./scripts/create_submission_bundle.sh",
        "PYTHONPATH=. pytest -q",
        "flake8 src tests scripts",
        "PYTHONPATH=. python scripts/create_eval_batch.py --processed-dir data/processed --output-csv "
        "artifacts/eval_batch.csv --per-class 100 --seed 42",
    ):
        assert line in text


@pytest.fixture(scope="module")
def ran(checkout: Path) -> Path:
    """The checkout after every command; a fixture, so that no test depends on another one's having run before it."""
    lines = commands("run")
    repro = next(number for number, line in enumerate(lines) if "dvc repro" in line)
    for line in lines[:repro]:
        run(line, checkout)
    for name in ("models/model.pt", "models/model.onnx", "artifacts/training/metrics.json",
                 "artifacts/training/confusion_matrix.png", "artifacts/training/loss_curve.png", "mlflow.db"):
        assert (checkout / name).stat().st_size > 0
    _serve_and_ask(checkout)
    for line in lines[repro:]:
        run(line, checkout)
    return checkout


def test_the_commands_of_the_readme_run(ran: Path) -> None:
    assert (ran / "dvc.lock").exists()


def _serve_and_ask(checkout: Path) -> None:
    (serve,) = commands("serve")
    port = str(free_port())
    with running(["bash", "-c", f"cd {checkout} && exec env PATH={checkout}/.venv/bin:$PATH " + serve.replace(
            "8080", port).replace("0.0.0.0", "127.0.0.1")], int(port)):
        photo = next((checkout / "data/ingested/cat").glob("*.jpg"))
        for line in commands("ask"):
            answer = run(line.replace("8080", port).replace("path/to/image.jpg", str(photo)), checkout)
            if "/predict" in line:
                assert '"model_loaded":true' in answer
            if "post_deploy_eval" in line:
                assert "evaluation   passed" in answer


@pytest.fixture
def stages_run(checkout: Path) -> Iterator[object]:
    """Which DVC stages a `dvc repro` would run; parameters are put back afterwards."""
    before = (checkout / "params.yaml").read_text()

    def pending(**changes: dict[str, object]) -> set[str]:
        params = yaml.safe_load(before)
        for stage, values in changes.items():
            params[stage] |= values
        (checkout / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        text = run("dvc repro --dry", checkout)
        return {stage for stage in ("ingest", "preprocess", "train", "eval_batch")
                if f"Running stage '{stage}'" in text}

    yield pending
    (checkout / "params.yaml").write_text(before)


def test_dvc_reruns_only_what_depends_on_a_change(ran: Path, stages_run: object) -> None:
    assert stages_run() == set()
    assert "train" in stages_run(train={"epochs": 4})
    assert "preprocess" not in stages_run(train={"epochs": 4})
    assert stages_run(eval_batch={"per_class": 5}) == {"eval_batch"}
    assert "ingest" not in stages_run(preprocess={"seed": 1}) and "preprocess" in stages_run(preprocess={"seed": 1})


def test_the_recorded_runs_are_shown(ran: Path) -> None:
    checkout = ran
    (line,) = commands("show")
    port = free_port()
    experiments = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/search?max_results=10"
    environment = os.environ | {"PATH": f"{checkout}/.venv/bin:{os.environ['PATH']}"}
    with (checkout / "mlflow-ui.log").open("wb") as log:
        process = subprocess.Popen(["bash", "-c", f"exec {line} --host 127.0.0.1 --port {port}"], cwd=checkout,
                                   env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(600):
            assert process.poll() is None, (checkout / "mlflow-ui.log").read_text()
            try:
                with urllib.request.urlopen(experiments, timeout=5) as answer:
                    assert "catsdogs" in {each["name"] for each in json.load(answer)["experiments"]}
                    break
            except OSError:
                time.sleep(0.2)
        else:
            raise AssertionError((checkout / "mlflow-ui.log").read_text())
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # it starts processes of its own
        process.wait()


def test_doors_and_commands_lists_are_complete(checkout: Path) -> None:
    from catsdogs.commands import COMMANDS

    text = (ROOT / "README.md").read_text()
    for name in COMMANDS.keys() - {"demo"}:
        assert f"`catsdogs {name}`" in text
    block = text.split("## Where things are")[1]
    for path in (ROOT / "src" / "catsdogs").iterdir():
        if path.name not in ("__pycache__", "__init__.py", "__main__.py", "py.typed"):
            assert path.name in block, f"{path.name} is missing from the README's file map"
