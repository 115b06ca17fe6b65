import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from catsdogs.cli import main
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.settings.tuning import TuneSettings
from catsdogs.train.tune.params import changed, difference
from catsdogs.train.tune.search import FIRST_WHOLE, alone
from catsdogs.train.tune.stage import tune
from catsdogs.train.tune.trial import OutOfTime, objective

optuna = pytest.importorskip("optuna")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.xdist_group("tune")]
PARAMS = """# kept
preprocess:
  learning_rate: 7  # not this one
train:
  epochs: 3
  batch_size: 64  # photos a step
  learning_rate: 0.001
other:
  batch_size: 1
"""


@pytest.fixture
def settings(data_dir: Path, tmp_path: Path) -> TuneSettings:
    (tmp_path / "params.yaml").write_text(PARAMS)
    return TuneSettings(data_dir=data_dir, artifact_dir=tmp_path / "tune", params=tmp_path / "params.yaml", trials=3,
                        epochs=2, force_cpu=True, precision="float32", mlflow_tracking_uri="none")


def test_only_the_section_train_is_changed_and_comments_stay() -> None:
    after = changed(PARAMS, {"batch_size": 128, "learning_rate": "0.0042"}, Path("params.yaml"))
    assert after == PARAMS.replace("batch_size: 64 ", "batch_size: 128 ").replace("0.001", "0.0042")
    shown = difference(PARAMS, after, "params.yaml")
    assert "-  batch_size: 64  # photos a step" in shown and "+  learning_rate: 0.0042" in shown
    with pytest.raises(UsageError, match="no beauty in its section 'train'"):
        changed(PARAMS, {"beauty": 1}, Path("params.yaml"))


def test_the_best_trial_becomes_a_diff_and_with_apply_a_change(settings: TuneSettings) -> None:
    result = tune(settings)
    assert len(result.trials) == 3 and all(trial.state in ("complete", "pruned") for trial in result.trials)
    accuracies = [trial.val_accuracy or 0 for trial in result.trials if trial.state == "complete"]
    assert result.best.val_accuracy == max(accuracies)
    assert settings.params.read_text() == PARAMS, "without --apply nothing is written"
    assert f"{result.best.parameters['learning_rate']:.3g}" in result.diff
    assert len({trial.parameters["learning_rate"] for trial in result.trials}) == 3
    json.dumps(result.data())

    again = tune(settings.model_copy(update={"apply": True}))  # enough trials: nothing is trained
    assert again.trials == result.trials
    assert f"learning_rate: {result.best.parameters['learning_rate']:.3g}" in settings.params.read_text()
    more = tune(settings.model_copy(update={"trials": 4}))
    assert len({trial.parameters["learning_rate"] for trial in more.trials}) == 4, "it goes on, with new suggestions"


def test_a_loss_that_is_no_number_ends_a_trial_not_the_search(
    settings: TuneSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catsdogs.train.tune.trial.RATES", (1e30, 1e31))
    assert main(["tune", "--trials", "2", "--mlflow-tracking-uri", "none", "--force-cpu", "--precision", "float32",
                 "--data-dir", str(settings.data_dir), "--artifact-dir", str(settings.artifact_dir),
                 "--params", str(settings.params)]) == 1
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{settings.artifact_dir}/study.db")
    assert [trial.state.name for trial in study.trials] == ["PRUNED", "PRUNED"]
    assert "lower --learning-rate" in study.trials[0].user_attrs["because"]


def test_a_trial_whose_loss_is_no_number_is_recorded_as_failed_with_its_reason(
    settings: TuneSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import mlflow

    monkeypatch.setattr("catsdogs.train.tune.trial.RATES", (1e30, 1e31))
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with pytest.raises(CatsdogsError, match="No trial was ended"):
        tune(settings.model_copy(update={"trials": 1, "mlflow_tracking_uri": uri}))
    client = mlflow.MlflowClient(tracking_uri=uri)
    found = client.search_runs([client.get_experiment_by_name(settings.mlflow_experiment).experiment_id])
    (trial,) = [run for run in found if run.info.run_name == "trial 0"]
    assert trial.info.status == "FAILED" and "lower --learning-rate" in trial.data.tags["error"]


def test_a_trial_that_is_worse_than_most_is_given_up_on_the_way(settings: TuneSettings) -> None:
    tune(settings.model_copy(update={"trials": 1}))
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{settings.artifact_dir}/study.db")
    known = study.trials[0]
    for _ in range(FIRST_WHOLE):  # as if others had been better than any can be
        study.add_trial(optuna.trial.create_trial(
            params=known.params, distributions=known.distributions, value=2.0, intermediate_values={1: 2.0, 2: 2.0}))
    tune(settings.model_copy(update={"trials": FIRST_WHOLE + 2}))
    assert [trial.state.name for trial in study.trials[-2:]] == ["COMPLETE", "PRUNED"]
    assert study.trials[-1].user_attrs["because"] == "worse than most at this point"


def test_killed_it_goes_on_and_two_processes_share_the_trials(settings: TuneSettings) -> None:
    command = [sys.executable, "-m", "catsdogs", "tune", "--data-dir", str(settings.data_dir), "--artifact-dir",
               str(settings.artifact_dir), "--params", str(settings.params), "--trials", "4", "--epochs", "2",
               "--force-cpu", "--precision", "float32", "--mlflow-tracking-uri", "none", "--processes", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    trials = settings.artifact_dir / "trials"
    while process.poll() is None and not (trials.is_dir() and any(trials.iterdir())):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = subprocess.run([*command, "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    states = [trial["state"] for trial in json.loads(done.stdout)["trials"]]
    assert sum(state in ("complete", "pruned") for state in states) == 4
    assert "running" not in states


def command_of(settings: TuneSettings, *more: str) -> list[str]:
    return [sys.executable, "-m", "catsdogs", "tune", "--data-dir", str(settings.data_dir), "--artifact-dir",
            str(settings.artifact_dir), "--params", str(settings.params), "--force-cpu", "--precision", "float32",
            "--mlflow-tracking-uri", "none", *more]


@pytest.mark.parametrize("processes", ["1", "2"])
def test_sigterm_ends_the_search_and_no_trial_of_it_counts(settings: TuneSettings, processes: str) -> None:
    command = command_of(settings, "--trials", "50", "--epochs", "500", "--processes", processes)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list(settings.artifact_dir.glob("trials/*/checkpoint*")):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143 and "run the same command again" in said and "Traceback" not in said
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{settings.artifact_dir}/study.db")
    assert {trial.state.name for trial in study.trials} == {"FAIL"}


@pytest.mark.parametrize("processes", ["1", "2"])
def test_what_no_trial_can_mend_ends_the_search_and_counts_for_nothing(
    settings: TuneSettings, processes: str, tmp_path: Path
) -> None:
    nowhere = f"pretrained:{tmp_path}/nowhere"
    done = subprocess.run(command_of(settings, "--model-variant", nowhere, "--processes", processes),
                          capture_output=True, text=True, timeout=120)
    assert done.returncode in (1, 2) and "nowhere" in done.stderr and "Traceback" not in done.stderr
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{settings.artifact_dir}/study.db")
    assert {trial.state.name for trial in study.trials} == {"FAIL"} and len(study.trials) <= int(processes)


def test_a_network_that_compares_others_is_none_to_search_for(settings: TuneSettings) -> None:
    with pytest.raises(UsageError, match="auto compares networks by itself"):
        tune(settings.model_copy(update={"model_variant": "auto"}))


def test_a_second_search_in_the_same_folder_is_refused(settings: TuneSettings) -> None:
    settings.artifact_dir.mkdir()
    with alone(settings.artifact_dir), pytest.raises(CatsdogsError, match="Another search is at work in"):
        tune(settings)
    assert len(tune(settings.model_copy(update={"trials": 1, "epochs": 1})).trials) == 1


def test_what_the_environment_says_of_trainings_is_not_of_trials(
    settings: TuneSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CATSDOGS_TRAIN_TIME_BUDGET", "1s")
    monkeypatch.setenv("CATSDOGS_TRAIN_CHECKPOINT_BUCKET", str(tmp_path / "bucket"))
    result = tune(settings.model_copy(update={"trials": 1, "epochs": 1}))
    assert [trial.state for trial in result.trials] == ["complete"] and not (tmp_path / "bucket").exists()


def test_processes_share_the_cores() -> None:
    script = ("from catsdogs.machine import cores, take_share\n"
              "from catsdogs.train.device import choose\n"
              "import torch\n"
              "before = cores()\ntake_share(2)\nchoose(True, 'float32')\n"
              "print(before, cores(), torch.get_num_threads())")
    before, after, threads = map(int, subprocess.check_output([sys.executable, "-c", script], text=True).split())
    assert after == threads == max(1, before // 2)


def workers_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Without multiprocessing's own process, which ends a moment later."""
    return [child for child in psutil.Process(process.pid).children() if "spawn_main" in " ".join(child.cmdline())]


def test_a_process_that_crashes_is_no_wish_to_stop(settings: TuneSettings) -> None:
    command = command_of(settings, "--trials", "50", "--epochs", "500", "--processes", "2")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and len(list(settings.artifact_dir.glob("trials/*/checkpoint*"))) < 2:
        time.sleep(0.02)
    workers_of(process)[0].kill()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1 and "A process of the search was ended by SIGKILL" in said
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{settings.artifact_dir}/study.db")
    assert {trial.state.name for trial in study.trials} == {"FAIL"}, "the killed one's as well"


@pytest.mark.parametrize("terminal", [False, True])
def test_interrupted_alone_or_by_a_terminal_it_leaves_no_process_behind(settings: TuneSettings, terminal: bool) -> None:
    command = command_of(settings, "--trials", "50", "--epochs", "500", "--processes", "2")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               start_new_session=True)
    while process.poll() is None and len(list(settings.artifact_dir.glob("trials/*/checkpoint*"))) < 2:
        time.sleep(0.02)
    workers = workers_of(process)
    if terminal:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in said, said
    assert len(workers) == 2 and not any(worker.is_running() for worker in workers)


def test_the_time_is_kept(settings: TuneSettings) -> None:
    result = tune(settings.model_copy(update={"trials": 1}))
    before = len(result.trials)
    later = tune(settings.model_copy(update={"trials": 1000, "time_budget": 3.0, "epochs": 2}))
    assert before <= len(later.trials) < 1000


def test_each_trial_is_a_child_run(settings: TuneSettings, tmp_path: Path) -> None:
    import mlflow

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    tune(settings.model_copy(update={"trials": 2, "mlflow_tracking_uri": uri}))
    client = mlflow.MlflowClient(tracking_uri=uri)
    found = client.search_runs([client.get_experiment_by_name("catsdogs").experiment_id])
    (parent,) = [run for run in found if run.info.run_name == "tune"]
    children = [run for run in found if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(found) == 3 and len(children) == 2
    assert parent.data.metrics["best_val_accuracy"] == max(
        run.data.metrics["best_val_accuracy"] for run in children)


def test_a_trial_that_the_end_of_the_time_cuts_short_is_no_failure(settings: TuneSettings, tmp_path: Path) -> None:
    import mlflow

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    trial = optuna.create_study().ask()
    with pytest.raises(OutOfTime):
        objective(settings.model_copy(update={"mlflow_tracking_uri": uri, "model_variant": "baseline"}), None,
                  time.time() - 1)(trial)
    client = mlflow.MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name("catsdogs").experiment_id])
    assert run.info.status == "KILLED" and "error" not in run.data.tags


def test_a_file_of_parameters_that_is_missing_is_met_before_the_search(settings: TuneSettings) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        tune(settings.model_copy(update={"params": Path("nowhere.yaml")}))
    assert not settings.artifact_dir.exists()


def test_what_is_left_open_is_searched_for_as_the_file_of_parameters_trains_it(settings: TuneSettings) -> None:
    open_ = settings.model_copy(update={"epochs": None, "trials": 1})
    settings.params.write_text(PARAMS.replace("epochs: 3", "epochs: 1\n  model_variant: wider"))
    assert tune(open_).best.val_accuracy
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{settings.artifact_dir}/study.db")
    assert len(study.trials[0].intermediate_values) == 1
    settings.params.write_text(PARAMS.replace("epochs: 3", "epochs: 0"))
    with pytest.raises(UsageError, match="params.yaml: --epochs 0"):
        tune(open_)
    settings.params.write_text(PARAMS + "model_variant: [")
    with pytest.raises(UsageError, match="params.yaml cannot be read as YAML"):
        tune(open_)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_what_the_system_refuses_is_one_sentence(settings: TuneSettings, processes: str) -> None:
    settings.artifact_dir.mkdir()
    (settings.artifact_dir / "trials").touch()  # where their folder would be
    done = subprocess.run(command_of(settings, "--processes", processes), capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "trials" in done.stderr and "Traceback" not in done.stderr, done.stderr
