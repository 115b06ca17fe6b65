import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from catsdogs.cli import main, parse
from catsdogs.commands import COMMANDS
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.provenance import DECISIVE_CODE

ROOT = Path(__file__).parent.parent
DOORS = {"src/ingest.py": "ingest", "src/preprocessing.py": "preprocess", "src/train.py": "train",
         "src/model.py": "models", "src/smoke_test.py": "smoke-test", "src/post_deploy_eval.py": "post-deploy-eval",
         "scripts/create_eval_batch.py": "eval-batch"}


def test_help_has_a_line_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert f"  {name:<18}{command.help}\n" in text


def test_help_imports_nothing_heavy() -> None:
    """What keeps `catsdogs --help` under 0.3 s: no settings, no numpy, no stage."""
    code = ("import sys; from catsdogs.cli import main; main(['--help']); "
            "print([m for m in ('pydantic', 'numpy', 'PIL', 'torch', 'rich') if m in sys.modules], file=sys.stderr)")
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stderr.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_describes_its_flags(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: catsdogs {name} ")
    fields = COMMANDS[name].settings_type().model_fields
    assert all(field.description for field in fields.values())
    for field in fields:
        assert f"--{field.replace('_', '-')}" in text


@pytest.mark.parametrize(("door", "command"), DOORS.items())
def test_doors_run_in_a_checkout_that_is_not_installed(door: str, command: str, tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, str(ROOT / door), "--help"], capture_output=True, text=True, cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": "."},
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith(f"usage: catsdogs {command} ")


def test_unknown_commands_and_flags_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian"]) == 2
    assert main([]) == 2
    with pytest.raises(SystemExit) as caught:
        main(["ingest", "--sauce-dir", "x"])
    assert caught.value.code == 2
    assert "--sauce-dir" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "status", "words"), [
    (UsageError("no such folder"), 2, "no such folder"),
    (CatsdogsError("it failed"), 1, "it failed"),
    (OSError(28, "No space left on device", "/data"), 1, "disk is full"),
    (PermissionError(13, "Permission denied", "/data"), 2, "No permission (/data)"),
    (OSError(30, "Read-only file system", "/data"), 2, "there (/data): it is mounted read-only"),
    (MemoryError(), 1, "--batch-size"),
    (KeyboardInterrupt(), 130, "run the same command again"),
    (ModuleNotFoundError("No module named 'torch'", name="torch"), 1, "catsdogs[train]"),
])
def test_errors_become_a_sentence_and_a_status(
    error: BaseException, status: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from catsdogs.cli import guarded

    def fail() -> int:
        raise error

    assert guarded("train", fail) == status
    printed = capsys.readouterr().err
    assert words in printed and printed.startswith("catsdogs train: ") and printed.count("\n") == 1


def test_our_own_bugs_keep_their_traceback() -> None:
    from catsdogs.cli import guarded

    def fail() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        guarded("train", fail)


def test_params_yaml_is_equal_to_the_defaults() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    names = ("ingest", "doctor", "preprocess", "train", "gate", "eval_batch")
    settings = {name: name.replace("_", "-") for name in names}
    assert params.keys() == settings.keys()
    for stage, values in params.items():
        fields = COMMANDS[settings[stage]].settings_type().model_fields
        assert values == {name: fields[name].default for name in values}, stage


def test_dvc_passes_every_parameter_and_records_it() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    del params["gate"]  # no stage: its champion lies in a bucket, and its verdict is for a release, not for a file
    assert params.keys() == stages.keys()
    for stage, values in params.items():
        assert stages[stage]["params"] == [stage]
        for name in values:
            assert f"--{name.replace('_', '-')} ${{{stage}.{name}}}" in " ".join(stages[stage]["cmd"].split())


def test_dvc_trains_anew_where_code_changes_that_decides_a_model() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    known = {*stages["train"]["deps"], *stages["preprocess"]["deps"]}
    assert {f"src/catsdogs/{name}" for name in DECISIVE_CODE} <= known


def test_an_environment_variable_sets_a_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATSDOGS_TRAIN_EPOCHS", "7")
    assert COMMANDS["train"].settings_type()().epochs == 7
    monkeypatch.setenv("ENABLE_REAL_MODEL", "1")
    monkeypatch.setenv("MODEL_PATH", "/app/models/model.pt")
    serve = COMMANDS["serve"].settings_type()()
    assert serve.enable_real_model and str(serve.model_path) == "/app/models/model.pt"


def test_the_rules_of_params_yaml_count_without_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below flags and the environment, above defaults; a release has rules of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("gate: {margin: 0.011, level: 0.01, min_accuracy: 0.9}\n"
                                          "doctor: {max_imbalance: 1.5}\n")
    monkeypatch.setenv("CATSDOGS_GATE_LEVEL", "0.02")
    found = parse("gate", COMMANDS["gate"], ["--min-accuracy", "0.8"])
    assert (found.margin, found.level, found.min_accuracy, found.max_latency_ratio) == (0.011, 0.02, 0.8, 1.5)
    assert COMMANDS["gate"].settings_type()(margin=0.5).margin == 0.5  # as `catsdogs job` gives what it knows
    assert parse("doctor", COMMANDS["doctor"], []).max_imbalance == 1.5
    assert parse("release", COMMANDS["release"], []).margin != 0.011


@pytest.mark.parametrize(("text", "words"), [
    ("gate: {margins: 0.01}", "no such rule under `gate`: margins"), ("gate: [", "no YAML of sections"),
    ("just words", "no YAML of sections"), ("gate: 3", "no YAML of sections"), ("gate: {margin: 2}", "--margin 2: "),
    ("gate: {margin: x}", "--margin x: "),
])
def test_rules_that_cannot_be_meant_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(text)
    assert main(["gate"]) == 2
    printed = capsys.readouterr().err
    assert words in printed and printed.startswith("catsdogs gate: ") and printed.count("\n") == 1
