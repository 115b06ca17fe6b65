"""The scripts that speak to Google, Kubernetes and GitHub, with recorders in their place."""

from pathlib import Path

import pytest

from scripts.rehearsal import workflow
from tests.k8s.gcloud import complaint
from tests.pipeline.fakes import Fakes, fakes
from tests.pipeline.promises import SECRETS

GOOGLE = {"GCP_PROJECT_ID": "project", "GKE_CLUSTER_NAME": "cluster", "GKE_CLUSTER_LOCATION": "europe-west4-a"}
ALL = dict.fromkeys(SECRETS, "value")
IMAGE = "host/p/r/catsdogs-trainer@sha256:" + "a" * 64
JOB = GOOGLE | {"COMMIT": "abc", "TRAINER_IMAGE": IMAGE, "BUCKET": "gs://mine", "POLL_SECONDS": "0.1"}
COMPLETE = [(0, "SuccessCriteriaMet=CompletionsReached Complete=CompletionsReached ")]


@pytest.fixture
def cloud(tmp_path: Path) -> Fakes:
    return fakes(tmp_path, "gcloud", "kubectl", "gh", "docker", "catsdogs")


def test_every_missing_secret_is_named_at_once(cloud: Fakes) -> None:
    given = {name: value for name, value in ALL.items() if name not in ("GCP_BUCKET_NAME", "GKE_CLUSTER_NAME")}
    answer = cloud.run("require.sh", **given, GCP_BUCKET_NAME="", GITHUB_ACTIONS="true")
    assert answer.returncode == 2
    assert "missing: GCP_BUCKET_NAME GKE_CLUSTER_NAME." in answer.stderr
    assert answer.stdout.startswith("::error title=Secrets are missing::")


def test_the_evaluation_batch_is_the_only_secret_that_may_be_missing(cloud: Fakes) -> None:
    for name in SECRETS:
        answer = cloud.run("require.sh", **{**ALL, name: ""})
        assert answer.returncode == (0 if name == "EVAL_BATCH_GCS_URI" else 2), name
        assert name in answer.stderr
    assert cloud.run("require.sh", **{**ALL, "GCP_BUCKET_NAME": "gs://mine"}).returncode == 2


def test_a_bare_repository_lies_in_the_clusters_region(cloud: Fakes) -> None:
    answer = cloud.run("connect.sh", **GOOGLE, ARTIFACT_REGISTRY_REPO="catsdogs",
                       GOOGLE_APPLICATION_CREDENTIALS="/credentials.json")
    assert answer.returncode == 0, answer.stderr
    assert cloud.calls("gcloud") == [
        ["auth", "login", "--quiet", "--cred-file=/credentials.json"],
        ["auth", "configure-docker", "--quiet", "europe-west4-docker.pkg.dev"],
        ["container", "clusters", "get-credentials", "cluster", "--location", "europe-west4-a", "--project", "project"],
    ]
    assert complaint(cloud.calls("gcloud")[2]) == ""


def test_a_whole_address_of_a_registry_is_taken_as_it_is(cloud: Fakes) -> None:
    cloud.answer("docker", "image", "inspect", answers=[(0, "host:5000/p/r/cats-dogs-api@sha256:" + "b" * 64)])
    _models(cloud)
    answer = cloud.run("build_api.sh", COMMIT="abc", ARTIFACT_REGISTRY_REPO="host:5000/p/r")
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == "image=host:5000/p/r/cats-dogs-api@sha256:" + "b" * 64
    build, *pushes, _ = cloud.calls("docker")
    assert ["push", "--quiet", "host:5000/p/r/cats-dogs-api:abc"] in pushes
    assert "COMMIT=abc" in build and any(word.startswith("MODEL_DIGEST=sha256:") for word in build)


def test_a_pushed_image_without_a_digest_is_an_error(cloud: Fakes) -> None:
    cloud.answer("docker", "image", "inspect", answers=[(0, "elsewhere/cats-dogs-api@sha256:" + "b" * 64)])
    _models(cloud)
    answer = cloud.run("build_api.sh", COMMIT="abc", ARTIFACT_REGISTRY_REPO="host:5000/p/r")
    assert answer.returncode == 1 and "names no digest" in answer.stderr


def test_without_a_registry_nothing_is_pushed(cloud: Fakes) -> None:
    answer = cloud.run("build_trainer.sh", COMMIT="abc")
    assert answer.stdout.splitlines()[-1] == "image=catsdogs-trainer:abc"
    assert [call[0] for call in cloud.calls("docker")] == ["build"]


def test_a_serving_image_needs_a_model(cloud: Fakes) -> None:
    answer = cloud.run("build_api.sh", COMMIT="abc")
    assert answer.returncode == 1 and "models/model.pt is missing" in answer.stderr and not cloud.calls("docker")


def test_the_job_runs_the_image_and_its_end_is_waited_for(cloud: Fakes) -> None:
    settings = cloud.checkout / "k8s/overlays/gke/cluster.env"
    cloud.answer("kubectl", "apply", answers=[(0, "")], keep=str(settings))
    cloud.answer("kubectl", "get", "job", answers=[(0, ""), (1, "the server does not answer"), *COMPLETE])
    cloud.answer("kubectl", "logs", answers=[(0, "gate passed")])
    answer = cloud.run("train.sh", **JOB)
    assert answer.returncode == 0, answer.stderr
    assert "gate passed" in answer.stdout
    applied = (cloud.folder / "kept.txt").read_text()
    assert f"TRAINER_IMAGE={IMAGE}\n" in applied and "BUCKET=gs://mine\n" in applied
    assert not settings.exists()
    words = [call[0] for call in cloud.calls("kubectl")]
    assert words == ["delete", "apply", "get", "get", "get", "logs"]
    assert "app.kubernetes.io/name=production-train-job" in cloud.calls("kubectl")[1]


def test_credentials_are_renewed_while_the_job_runs(cloud: Fakes) -> None:
    cloud.answer("kubectl", "get", "job", answers=[*[(0, "")] * 4, *COMPLETE])
    assert cloud.run("train.sh", **JOB, REFRESH_SECONDS="0").returncode == 0
    assert len(cloud.calls("gcloud")) == 1 + 4
    assert "${REFRESH_SECONDS:-600}" in (cloud.checkout / "scripts/pipeline/train.sh").read_text()
    (step,) = [step for job in workflow.read()["jobs"].values() for step in job["steps"]
               if step.get("run") == "scripts/pipeline/train.sh"]
    assert "REFRESH_SECONDS" not in step["env"]  # every ten minutes, then


def test_a_job_that_fails_stops_the_pipeline(cloud: Fakes) -> None:
    cloud.answer("kubectl", "get", "job", answers=[(0, "FailureTarget=PodFailurePolicy ")])
    cloud.answer("kubectl", "logs", answers=[(0, "gate FAILED")])
    answer = cloud.run("train.sh", **JOB)
    assert answer.returncode == 1
    assert "gate FAILED" in answer.stdout and "PodFailurePolicy" in answer.stderr


def test_a_job_that_vanished_is_not_waited_for_until_the_end_of_the_run(cloud: Fakes) -> None:
    cloud.answer("kubectl", "get", "job", answers=[(0, ""), (1, "")])
    answer = cloud.run("train.sh", **JOB, SILENT_SECONDS="1")
    assert answer.returncode == 1 and "has told nothing of the training Job of abc for" in answer.stderr
    looks = [call for call in cloud.calls("kubectl") if call[0] == "get"]
    assert len(looks) >= 2 and all("--request-timeout" in call for call in looks)


def test_a_cluster_that_refuses_the_job_stops_the_pipeline(cloud: Fakes) -> None:
    cloud.answer("kubectl", "apply", answers=[(1, "forbidden")])
    assert cloud.run("train.sh", **JOB).returncode != 0
    assert not any(call[0] == "get" for call in cloud.calls("kubectl"))


def test_on_this_machine_the_jobs_own_arguments_run_in_docker(cloud: Fakes, tmp_path: Path) -> None:
    (tmp_path / "job.env").write_text("A=b\n")
    assert cloud.run("train.sh", **JOB, CLUSTER="docker", JOB_ENV_FILE=str(tmp_path / "job.env")).returncode == 0
    (call,) = cloud.calls("docker")
    assert call[call.index(IMAGE) + 1:][:2] == ["job", "--work-dir=/app/data/job"]
    assert "--read-only" in call and not cloud.calls("kubectl")


def test_a_release_hands_on_its_address_or_ends_with_its_reasons(cloud: Fakes) -> None:
    given = {"API_IMAGE": IMAGE, "COMMIT": "abc", "BUCKET": "gs://mine", "WHO": "Ann"}
    cloud.answer("catsdogs", "release", answers=[
        (0, '{"public_address": "http://192.0.2.1"}'), (1, '{"decision": {"reasons": ["too slow", "too wrong"]}}'),
        (2, "")])
    released, refused, wrong = (cloud.run("release.sh", **given) for _ in range(3))
    assert (released.returncode, released.stdout.splitlines()[-1]) == (0, "address=http://192.0.2.1")
    assert (refused.returncode, refused.stderr) == (1, "refused:\n  too slow\n  too wrong\n")
    assert wrong.returncode == 2 and "address=" not in wrong.stdout
    assert ["--cluster", "kubectl"] == cloud.calls("catsdogs")[0][-5:-3]


@pytest.mark.parametrize(("result", "said"), [("success", "is released"), ("failure", "was refused or rolled back"),
                                              ("skipped", "was not released")])
def test_the_pull_request_is_told(cloud: Fakes, result: str, said: str) -> None:
    cloud.answer("gh", "api", answers=[(0, "17")])
    (cloud.checkout / "artifacts").mkdir()
    (cloud.checkout / "artifacts/summary.md").write_text("## figures\n")
    answer = cloud.run("comment.sh", COMMIT="abc", REPOSITORY="o/n", RUN_URL="https://x", RESULT=result, GH_TOKEN="t")
    assert answer.returncode == 0, answer.stderr
    assert cloud.calls("gh")[1][:3] == ["pr", "comment", "17"]
    text = (cloud.folder / "said.txt").read_text()
    assert said in text and "## figures" in text


def test_a_pull_requests_run_tells_it_in_one_comment_that_is_kept_up_to_date(cloud: Fakes) -> None:
    given = {"COMMIT": "abc", "NUMBER": "17", "REPOSITORY": "o/n", "RUN_URL": "https://x", "LINT": "success",
             "TESTS": "failure", "BUILD": "success", "GH_TOKEN": "t"}
    (cloud.checkout / "artifacts").mkdir()
    (cloud.checkout / "artifacts/summary.md").write_text("## figures\n")
    assert cloud.run("report.sh", **given).returncode == 0
    assert cloud.calls("gh") == [["pr", "comment", "17", "--repo", "o/n", "--edit-last", "--create-if-none",
                                  "--body-file", "-"]]
    text = (cloud.folder / "said.txt").read_text()
    assert "| success | failure | success |" in text and "## figures" in text
    (cloud.checkout / "artifacts/summary.md").unlink()  # the build failed
    assert cloud.run("report.sh", **given | {"BUILD": "failure"}).returncode == 0
    assert "small model" not in (cloud.folder / "said.txt").read_text()
    assert cloud.run("report.sh", **given | {"NUMBER": ""}).returncode == 2


def test_a_push_without_a_pull_request_tells_nobody(cloud: Fakes) -> None:
    cloud.answer("gh", "api", answers=[(0, "")])
    answer = cloud.run("comment.sh", COMMIT="abc", REPOSITORY="o/n", RUN_URL="https://x", RESULT="success",
                       GH_TOKEN="t")
    assert answer.returncode == 0 and len(cloud.calls("gh")) == 1


def _models(cloud: Fakes) -> None:
    (cloud.checkout / "models").mkdir()
    for name in ("model.pt", "model.onnx"):
        (cloud.checkout / "models" / name).write_bytes(b"x")
