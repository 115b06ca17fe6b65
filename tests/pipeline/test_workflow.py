"""What the workflow promises, and that each check fails on a planted fault."""

import copy
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.rehearsal import workflow as rehearsal
from tests.servers import ROOT

BESIDE = Path(sys.executable).parent
SECRETS = {"GCP_PROJECT_ID", "GCP_WIF_PROVIDER", "GCP_SA_EMAIL", "GCP_BUCKET_NAME", "GKE_CLUSTER_NAME",
           "GKE_CLUSTER_LOCATION", "ARTIFACT_REGISTRY_REPO", "EVAL_BATCH_GCS_URI"}
PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
TEXT = rehearsal.WORKFLOW.read_text()
Jobs = dict[str, Any]


def secrets_of(value: object) -> set[str]:
    return set(re.findall(r"secrets\.(\w+)", yaml.safe_dump(value)))


def on_pull_request(job: Jobs) -> bool:
    return rehearsal.holds(job.get("if", ""), rehearsal.PULL_REQUEST)


def only_the_eight_secrets(jobs: Jobs) -> Iterator[str]:
    yield from (f"{name} is no secret of this project" for name in secrets_of(jobs) - SECRETS)


def pull_requests_have_no_rights(jobs: Jobs) -> Iterator[str]:
    for name, job in jobs.items():
        if on_pull_request(job):
            if secrets_of(job):
                yield f"{name} runs for pull requests and uses secrets"
            may_write = set(job["permissions"].values()) - {"read"}
            if may_write and (name != "report" or set(job["permissions"]) != {"contents", "pull-requests"}):
                yield f"{name} runs for pull requests and may write"
            if may_write and not runs_nothing_of_the_pull_request(job):
                yield f"{name} runs code of the pull request with a token that may write"
            if may_write and "head.repo.full_name == github.repository" not in job["if"]:
                yield f"{name} asks for rights that no fork has"


def runs_nothing_of_the_pull_request(job: Any) -> bool:
    checkouts = [step for step in job["steps"] if "actions/checkout" in step.get("uses", "")]
    return all(step["with"].get("ref") == "${{ github.event.pull_request.base.sha }}" for step in checkouts)


def least_permissions(jobs: Jobs) -> Iterator[str]:
    for name, job in jobs.items():
        granted = job.get("permissions")
        if not isinstance(granted, dict):
            yield f"{name} says no permissions of its own"
            continue
        asks_google = any("google-github-actions/auth@" in step.get("uses", "") for step in job["steps"])
        allowed = {"contents": "read"} | ({"id-token": "write"} if asks_google else {})
        allowed |= {"pull-requests": "write"} if name in ("comment", "report") else {}
        if granted != allowed:
            yield f"{name} may {granted}, needs {allowed}"


def scripts_exist(jobs: Jobs) -> Iterator[str]:
    for step in (step for job in jobs.values() for step in job["steps"] if "run" in step):
        line = step["run"].strip()
        if line.startswith("make "):
            if not re.search(rf"^(\$\(VENV\)/)?{re.escape(line[5:].removeprefix('.venv/'))}:",
                             (ROOT / "Makefile").read_text(), re.MULTILINE):
                yield f"{line}: no such target"
        elif not re.fullmatch(r"scripts/pipeline/\w+\.(sh|py)", line):
            yield f"{line!r} is neither a script nor a make target"
        elif not os.access(ROOT / line, os.X_OK):
            yield f"{line} cannot be run"


def everything_ends(jobs: Jobs) -> Iterator[str]:
    yield from (f"{name} has no timeout-minutes" for name, job in jobs.items() if "timeout-minutes" not in job)


def checkouts_keep_no_token(jobs: Jobs) -> Iterator[str]:
    for name, job in jobs.items():
        for step in job["steps"]:
            kept = step.get("with", {}).get("persist-credentials") is not False
            if "actions/checkout" in step.get("uses", "") and kept:
                yield f"{name} leaves a token in .git"


def production_is_one_at_a_time(jobs: Jobs) -> Iterator[str]:
    for name in ("release", "rollback"):
        if jobs[name].get("concurrency") != {"group": "production", "cancel-in-progress": False}:
            yield f"{name} may run beside another release"


def scripts_know_what_they_need(jobs: Jobs) -> Iterator[str]:
    """Every variable that a script `need`s is in the environment of each step that runs it."""
    for name, job in jobs.items():
        for step in job["steps"]:
            line = step.get("run", "").strip()
            if line.endswith(".sh") and (ROOT / line).exists():
                needed = re.findall(r"^need ([A-Z_ ]+)$", (ROOT / line).read_text(), re.MULTILINE)
                missing = {word for words in needed for word in words.split()} - {*step.get("env", {})}
                yield from (f"{name}: {line} needs {word}" for word in sorted(missing))


CHECKS: list[Callable[[Jobs], Iterator[str]]] = [
    only_the_eight_secrets, pull_requests_have_no_rights, least_permissions, scripts_exist, everything_ends,
    checkouts_keep_no_token, production_is_one_at_a_time, scripts_know_what_they_need,
]


def problems(jobs: Jobs) -> list[str]:
    return [problem for check in CHECKS for problem in check(jobs)]


def test_the_workflow_keeps_its_promises() -> None:
    assert problems(rehearsal.read()["jobs"]) == []


def _step(jobs: Jobs, job: str, run: str) -> Any:
    return next(step for step in jobs[job]["steps"] if step.get("run") == run)


def _another_secret(jobs: Jobs) -> None:
    _step(jobs, "train", "scripts/pipeline/train.sh")["env"]["TOKEN"] = "${{ secrets.TOKEN }}"


def _a_secret_for_pull_requests(jobs: Jobs) -> None:
    _step(jobs, "build", "scripts/pipeline/build_api.sh")["env"]["X"] = "${{ secrets.GCP_PROJECT_ID }}"


def _a_writing_pull_request(jobs: Jobs) -> None:
    jobs["lint"]["permissions"] = {"contents": "write"}


def _a_report_of_the_pull_requests_own(jobs: Jobs) -> None:
    del jobs["report"]["steps"][0]["with"]["ref"]


def _a_report_for_forks(jobs: Jobs) -> None:
    jobs["report"]["if"] = "github.event_name == 'pull_request'"


def _inherited_permissions(jobs: Jobs) -> None:
    del jobs["image"]["permissions"]


def _a_needless_permission(jobs: Jobs) -> None:
    jobs["release"]["permissions"]["packages"] = "write"


def _a_missing_script(jobs: Jobs) -> None:
    _step(jobs, "release", "scripts/pipeline/release.sh")["run"] = "scripts/pipeline/deploy.sh"


def _a_thick_step(jobs: Jobs) -> None:
    _step(jobs, "release", "scripts/pipeline/release.sh")["run"] = "kubectl set image deployment/x x=$IMAGE"


def _a_missing_target(jobs: Jobs) -> None:
    _step(jobs, "lint", "make lint")["run"] = "make lintt"


def _no_timeout(jobs: Jobs) -> None:
    del jobs["train"]["timeout-minutes"]


def _a_kept_token(jobs: Jobs) -> None:
    del jobs["test"]["steps"][0]["with"]


def _two_releases(jobs: Jobs) -> None:
    del jobs["rollback"]["concurrency"]


def _a_missing_variable(jobs: Jobs) -> None:
    del _step(jobs, "release", "scripts/pipeline/release.sh")["env"]["API_IMAGE"]


@pytest.mark.parametrize(("plant", "named"), [
    (_another_secret, "TOKEN is no secret"), (_a_secret_for_pull_requests, "build runs for pull requests and uses"),
    (_a_writing_pull_request, "lint runs for pull requests and may write"),
    (_a_report_of_the_pull_requests_own, "report runs code of the pull request with a token that may write"),
    (_a_report_for_forks, "report asks for rights that no fork has"),
    (_inherited_permissions, "image says no permissions"), (_a_needless_permission, "release may"),
    (_a_missing_script, "deploy.sh cannot be run"), (_a_thick_step, "is neither a script"),
    (_a_missing_target, "make lintt: no such target"), (_no_timeout, "train has no timeout"),
    (_a_kept_token, "test leaves a token"), (_two_releases, "rollback may run beside"),
    (_a_missing_variable, "release.sh needs API_IMAGE"),
], ids=lambda value: getattr(value, "__name__", None))
def test_a_planted_fault_is_named(plant: Callable[[Jobs], None], named: str) -> None:
    jobs = copy.deepcopy(rehearsal.read()["jobs"])
    plant(jobs)
    assert any(named in problem for problem in problems(jobs)), problems(jobs)


def test_it_starts_on_pull_requests_pushes_to_main_and_by_hand_and_inherits_no_permission() -> None:
    workflow = rehearsal.read()
    triggers = workflow[True]  # YAML 1.1 reads the key `on` as a truth value
    assert triggers.keys() == {"pull_request", "push", "workflow_dispatch"}
    assert triggers["push"] == {"branches": ["main"]}
    assert triggers["workflow_dispatch"]["inputs"]["action"]["options"] == ["rollback", "champion"]
    assert workflow["permissions"] == {}


def test_every_action_is_pinned_by_commit_with_its_tag_beside_it() -> None:
    uses = [line.strip().removeprefix("- ") for line in TEXT.splitlines() if "uses:" in line]
    assert len(uses) > 20
    assert [line for line in uses if not PINNED.fullmatch(line)] == []


def test_one_action_has_one_pin() -> None:
    pins: dict[str, set[str]] = {}
    for action, pin in re.findall(r"uses: ([^@\s]+)@(.+)", TEXT):
        pins.setdefault(action, set()).add(pin)
    assert {action: found for action, found in pins.items() if len(found) > 1} == {}


def test_a_pull_request_starts_four_jobs_and_a_fork_needs_nothing() -> None:
    jobs = rehearsal.read()["jobs"]
    started = {name for name, job in jobs.items() if on_pull_request(job)}
    assert started == {"lint", "test", "build", "report"}
    assert "report" not in {need for job in jobs.values() for need in job.get("needs", [])}  # a fork's is left out
    assert not any(set(jobs[name].get("needs", [])) - started for name in started)


@pytest.mark.parametrize("command", [
    ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"], ["zizmor", "--offline", "--quiet"],
], ids=lambda command: command[0])
def test_linters_find_nothing(command: list[str]) -> None:
    answer = subprocess.run([str(BESIDE / command[0]), *command[1:], str(rehearsal.WORKFLOW)], capture_output=True,
                            text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_shellcheck_finds_nothing() -> None:
    scripts = [str(path) for path in sorted((ROOT / "scripts").rglob("*.sh"))]
    answer = subprocess.run([str(BESIDE / "shellcheck"), "-x", *scripts], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout


def test_every_script_says_what_it_is_for_and_what_it_reads() -> None:
    for path in sorted((ROOT / "scripts/pipeline").glob("*.sh")):
        text = path.read_text()
        head = text.split("\n. ")[0]
        assert "# " in head, path
        for words in re.findall(r"^need ([A-Z_ ]+)$", text, re.MULTILINE):
            assert all(word in head for word in words.split()), f"{path.name} does not explain {words}"
        assert not re.search(r"(^|[;&|(]\s*)eval\s", text, re.MULTILINE), f"{path.name} evaluates a string"
