"""scripts/bootstrap_gcp.sh: its lines are lines that gcloud takes, it may be run again, and it keeps secrets."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.k8s.gcloud import complaint
from tests.servers import ROOT

NAMES = {"GCP_PROJECT_ID": "my-project", "GCP_BUCKET_NAME": "my-bucket", "GITHUB_REPOSITORY": "owner/name",
         "MLFLOW_DATABASE_URI": "postgresql+pg8000://u:p@h/d"}
SECRETS = ["GCP_PROJECT_ID", "GCP_WIF_PROVIDER", "GCP_SA_EMAIL", "GCP_BUCKET_NAME", "GKE_CLUSTER_NAME",
           "GKE_CLUSTER_LOCATION", "ARTIFACT_REGISTRY_REPO", "EVAL_BATCH_GCS_URI"]


@dataclass
class Cloud:
    folder: Path

    def run(self, *arguments: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
        """The script in a copy of the tree, with programs that only pretend."""
        named = {**NAMES, "FAKE_CLOUD": str(self.folder / "cloud"), "PATH": f"{self.folder}/bin:/usr/bin:/bin",
                 "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", **changes}
        return subprocess.run(["bash", str(self.folder / "tree/scripts/bootstrap_gcp.sh"), *arguments], text=True,
                              env={name: value for name, value in named.items() if value is not None},
                              capture_output=True)

    def calls(self) -> list[list[str]]:
        path = self.folder / "cloud/calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    for folder in ("bin", "cloud"):
        (tmp_path / folder).mkdir()
    for name in ("gcloud", "kubectl", "gke-gcloud-auth-plugin"):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.k8s.fake_cloud {name} "$@"\n')
        program.chmod(0o755)
    shutil.copytree(ROOT / "scripts", tmp_path / "tree/scripts")
    shutil.copytree(ROOT / "k8s", tmp_path / "tree/k8s", ignore=shutil.ignore_patterns("cluster.env"))
    return Cloud(tmp_path)


def changes(calls: list[list[str]]) -> list[list[str]]:
    return [call for call in calls if "create" in call or "create-oidc" in call]


def test_everything_is_made_once_and_a_second_run_makes_nothing(cloud: Cloud) -> None:
    first = cloud.run()
    assert first.returncode == 0, first.stderr
    made = changes(cloud.calls())
    assert len(made) == 13, made  # bucket, registry, 5 accounts, cluster, spot nodes, pool, provider, 2 Secrets
    second = cloud.run()
    assert second.returncode == 0, second.stderr
    assert changes(cloud.calls()) == made
    settings = (cloud.folder / "tree/k8s/overlays/gke/cluster.env").read_text()
    assert "BUCKET=gs://my-bucket" in settings
    example = (ROOT / "k8s/overlays/gke/cluster.env.example").read_text()
    assert [line.partition("=")[0] for line in settings.splitlines()] == [
        line.partition("=")[0] for line in example.splitlines() if not line.startswith("#")]


def test_it_ends_with_the_eight_secrets_of_github(cloud: Cloud) -> None:
    lines = cloud.run().stdout.split("GitHub secrets to set")[1].splitlines()[1:]
    assert [line.strip().partition("=")[0] for line in lines[:8]] == SECRETS
    text = "\n".join(lines)
    assert "GCP_SA_EMAIL=catsdogs-github@my-project.iam.gserviceaccount.com" in text
    assert "GCP_WIF_PROVIDER=projects/123456789/locations/global/workloadIdentityPools/github/providers/github" in text


def test_passwords_are_random_and_appear_nowhere(cloud: Cloud) -> None:
    answer = cloud.run()
    secret = json.loads((cloud.folder / "cloud/secret-mlflow-auth").read_text())
    assert secret["username"] == "admin" and len(secret["password"]) >= 40
    assert secret["password"] != secret["flask-secret-key"]
    database = json.loads((cloud.folder / "cloud/secret-mlflow-database").read_text())
    assert database == {"uri": NAMES["MLFLOW_DATABASE_URI"]}
    hidden = {secret["password"], secret["flask-secret-key"], database["uri"]}
    places = [answer.stdout, answer.stderr, json.dumps(cloud.calls()),
              *(path.read_bytes().decode(errors="replace")
                for path in (cloud.folder / "tree").rglob("*") if path.is_file())]
    assert not [value for value in hidden for place in places if value in place]


def test_without_a_database_there_is_no_secret_for_one(cloud: Cloud) -> None:
    assert cloud.run(MLFLOW_DATABASE_URI=None).returncode == 0
    assert not (cloud.folder / "cloud/secret-mlflow-database").exists()


def test_a_dry_run_calls_nothing_and_shows_the_lines_that_a_run_calls(cloud: Cloud) -> None:
    (cloud.folder / "bin/gcloud").unlink()
    dry = cloud.run("--dry-run")
    assert dry.returncode == 0 and cloud.calls() == [], dry.stderr
    assert dry.stdout.count("\n+ gcloud") + 1 >= 22
    assert not (cloud.folder / "tree/k8s/overlays/gke/cluster.env").exists()
    assert "postgresql" not in dry.stdout


@pytest.mark.parametrize("name", ["GCP_PROJECT_ID", "GCP_BUCKET_NAME", "GITHUB_REPOSITORY"])
def test_a_missing_variable_is_named_before_anything_is_done(cloud: Cloud, name: str) -> None:
    answer = cloud.run(**{name: None})
    assert answer.returncode == 2 and f"{name} is not set" in answer.stderr and cloud.calls() == []


@pytest.mark.parametrize("repository", ["name", "owner/name/more", "owner/name' || true || 'x", "*/*"])
def test_a_repository_that_would_widen_the_condition_is_refused(cloud: Cloud, repository: str) -> None:
    answer = cloud.run("--dry-run", GITHUB_REPOSITORY=repository)
    assert answer.returncode == 2 and "is not owner/name" in answer.stderr


def test_a_missing_program_is_named_before_anything_is_done(cloud: Cloud) -> None:
    (cloud.folder / "bin/gke-gcloud-auth-plugin").unlink()
    for name in ("bash", "dirname", "mktemp", "rm", "cat", "python3", "sleep"):
        (cloud.folder / "bin" / name).symlink_to(str(shutil.which(name)))
    answer = cloud.run(PATH=f"{cloud.folder}/bin")
    assert answer.returncode == 2 and "gke-gcloud-auth-plugin is missing" in answer.stderr and cloud.calls() == []


def test_a_line_that_google_refuses_ends_the_script(cloud: Cloud) -> None:
    answer = cloud.run(FAKE_CLOUD_FAILS="container clusters create")
    assert answer.returncode == 1 and "PERMISSION_DENIED" in answer.stderr
    assert "GitHub secrets to set" not in answer.stdout
    assert cloud.run().returncode == 0  # and the next run goes on


def test_only_the_main_branch_of_this_repository_may_sign_in(cloud: Cloud) -> None:
    cloud.run()
    (provider,) = [call for call in cloud.calls() if "create-oidc" in call]
    (condition,) = [word for word in provider if word.startswith("--attribute-condition=")]
    assert condition == ("--attribute-condition=assertion.repository == 'owner/name' && "
                         "assertion.ref == 'refs/heads/main'")
    members = [word for call in cloud.calls() for word in call if word.startswith("--member=principalSet")]
    assert members and all(word.endswith("/attribute.repository/owner/name") for word in members)


def test_no_account_may_more_than_its_role(cloud: Cloud) -> None:
    cloud.run()
    granted: dict[str, set[str]] = {}
    for call in cloud.calls():
        if "add-iam-policy-binding" in call and not any("workloadIdentityUser" in word for word in call):
            (member,) = [word for word in call if word.startswith("--member=serviceAccount:")]
            (role,) = [word for word in call if word.startswith("--role=")]
            granted.setdefault(member.split(":")[1].split("@")[0], set()).add(role.removeprefix("--role=roles/"))
    assert granted == {
        "catsdogs-nodes": {"container.defaultNodeServiceAccount", "artifactregistry.reader"},
        "catsdogs-trainer": {"storage.objectUser"}, "catsdogs-mlflow": {"storage.objectUser"},
        "catsdogs-github": {"storage.objectUser", "artifactregistry.writer", "container.developer"},
    }


def test_gcloud_takes_every_line(cloud: Cloud, tmp_path: Path) -> None:
    """By the table of its flags; and where gcloud is installed it reads each line itself, signed in as nobody: it ends
    with 2 where it does not know a word, with 1 where it only lacks an account."""
    cloud.run()
    cloud.run()  # describes what is there, and updates instead of creating
    lines = sorted({tuple(call[1:]) for call in cloud.calls() if call[0] == "gcloud"})
    assert len(lines) > 25 and not [line for line in lines if complaint(list(line))]
    assert complaint(["storage", "buckets", "create", "gs://b", "--uniform-bucket-levels"])
    assert complaint(["storage", "bucket", "create", "gs://b"])
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        return
    environment = os.environ | {"CLOUDSDK_CONFIG": str(tmp_path / "nobody"), "CLOUDSDK_CORE_DISABLE_PROMPTS": "1"}

    def read(line: tuple[str, ...]) -> tuple[int, str]:
        answer = subprocess.run([gcloud, *line], env=environment, capture_output=True, text=True)
        return answer.returncode, answer.stderr

    with ThreadPoolExecutor(2) as pool:
        for line, (status, said) in zip(lines, pool.map(read, lines), strict=True):
            assert status == 1 and "active account" in said, f"gcloud {' '.join(line)}: {said}"
    assert read(("storage", "buckets", "create", "gs://b", "--uniform-bucket-levels"))[0] == 2
