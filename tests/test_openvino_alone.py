"""What importing the engine must not do: tell another host, leave files, threads or processes behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_model import write_tiny_model

SRC = Path(__file__).parent.parent / "src" / "catsdogs"

CODE = """
import os, sys, threading
from pathlib import Path
from catsdogs.openvino_alone import openvino
from catsdogs.predictor import load_checked
load_checked(Path(sys.argv[1]))
assert openvino() is sys.modules["openvino"]
children = Path(f"/proc/self/task/{os.getpid()}/children")
print([name for name in sys.modules if name.startswith(("openvino_telemetry", "openvino.tools.ovc"))],
      threading.active_count(), children.read_text().split() if children.exists() else [])
from openvino.tools.ovc import convert_model  # whoever asks for it has it
print(convert_model.__name__)
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny"))


def test_the_engine_tells_nobody_and_leaves_nothing_behind(tiny: Path, tmp_path: Path) -> None:
    """By itself it asks Google Analytics, except in CI."""
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | {"HOME": str(tmp_path)}
    alone = CODE.partition("from openvino.tools")[0]
    answer = subprocess.run([sys.executable, "-c", alone, str(tiny)], env=environment, capture_output=True, text=True,
                            check=True, timeout=60)
    assert answer.stdout.splitlines() == ["[] 1 []"]
    # What was measured at this moment may tell the predictor, not the engine, to say that it serves in float32.
    assert {json.loads(line)["event"] for line in answer.stderr.splitlines()} <= {"served_in_float32"}
    assert not list(tmp_path.iterdir())


def test_the_converter_is_there_for_who_asks_for_it(tiny: Path, tmp_path: Path) -> None:
    environment = os.environ | {"HOME": str(tmp_path), "CI": "true"}  # it tells nobody where it takes this for CI
    answer = subprocess.run([sys.executable, "-c", CODE, str(tiny)], env=environment, capture_output=True, text=True,
                            check=True, timeout=60)
    assert answer.stdout.splitlines()[-1] == "convert_model"


def test_nothing_else_imports_it() -> None:
    importing = [path.name for path in sorted(SRC.rglob("*.py")) if any(
        line.strip().startswith(("import openvino", "from openvino")) for line in path.read_text().splitlines())]
    assert importing == ["openvino_alone.py"]
