import json
import shutil
from pathlib import Path

import pytest

from catsdogs.cli import main
from catsdogs.files import sha256_file
from tests.tiny_model import golden_photo, write_tiny_model


def test_the_chain_is_printed(model_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lineage", str(model_path.with_suffix(".onnx"))]) == 0
    text = capsys.readouterr().out
    assert sha256_file(model_path)[:12] in text and sha256_file(model_path.with_suffix(".onnx"))[:12] in text
    assert "(beside it)" in text and "16 px" in text
    assert main(["lineage", "--model-path", str(model_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model_digest"] == sha256_file(model_path)


def test_weights_that_belong_to_another_model_are_named(
    model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(model_path.with_suffix(".onnx"), tmp_path / "model.onnx")
    assert main(["lineage", str(tmp_path / "model.onnx")]) == 0
    assert "(not beside it)" in capsys.readouterr().out
    (tmp_path / "model.pt").write_bytes(b"other weights")
    assert main(["lineage", str(tmp_path / "model.onnx")]) == 0
    assert "ANOTHER" in capsys.readouterr().out


def test_without_a_model_it_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lineage", str(tmp_path / "model.onnx")]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_a_check_lets_it_answer_its_golden_photos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tiny_model(tmp_path)
    assert main(["lineage", str(tmp_path / "model.pt"), "--check"]) == 0
    assert "2 golden photos, answered as in training" in capsys.readouterr().out
    wrong = golden_photo(0).model_copy(update={"label": "dog"})
    write_tiny_model(tmp_path, golden=[wrong])
    assert main(["lineage", str(tmp_path / "model.pt")]) == 0
    assert main(["lineage", str(tmp_path / "model.pt"), "--check"]) == 1
    assert "Golden photo 0 is answered 'cat'" in capsys.readouterr().err
    write_tiny_model(tmp_path, golden=[])
    assert main(["lineage", str(tmp_path / "model.pt"), "--check"]) == 1
    assert "no golden photos" in capsys.readouterr().err
