"""What the workflow promises, and that each check fails on a planted fault."""

import copy
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.rehearsal import workflow as rehearsal
from tests.pipeline.promises import Jobs, on_pull_request, problems
from tests.servers import ROOT

BESIDE = Path(sys.executable).parent
PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
TEXT = rehearsal.WORKFLOW.read_text()


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


def _a_key(jobs: Jobs) -> None:
    (step,) = [step for step in jobs["train"]["steps"] if "google-github-actions/auth@" in step.get("uses", "")]
    step["with"] = {"credentials_json": "${{ secrets.GCP_SA_EMAIL }}"}


def _nobody_signs_in(jobs: Jobs) -> None:
    jobs["rollback"]["steps"] = [step for step in jobs["rollback"]["steps"] if "/auth@" not in step.get("uses", "")]


def _an_evaluation_without_end(jobs: Jobs) -> None:
    del _step(jobs, "release", "scripts/pipeline/evaluate.sh")["timeout-minutes"]


def _nothing_undone(jobs: Jobs) -> None:
    jobs["release"]["steps"].remove(_step(jobs, "release", "scripts/pipeline/rollback.sh"))


def _no_cache(jobs: Jobs) -> None:
    jobs["test"]["steps"] = [step for step in jobs["test"]["steps"] if "actions/cache@" not in step.get("uses", "")]


@pytest.mark.parametrize(("plant", "named"), [
    (_another_secret, "TOKEN is no secret"), (_a_secret_for_pull_requests, "build runs for pull requests and uses"),
    (_a_writing_pull_request, "lint runs for pull requests and may write"),
    (_a_report_of_the_pull_requests_own, "report runs code of the pull request with a token that may write"),
    (_a_report_for_forks, "report asks for rights that no fork has"),
    (_inherited_permissions, "image says no permissions"), (_a_needless_permission, "release may"),
    (_a_missing_script, "deploy.sh cannot be run"), (_a_thick_step, "is neither a script"),
    (_a_missing_target, "make lintt: no such target"), (_no_timeout, "train has no timeout"),
    (_a_kept_token, "test leaves a token"), (_two_releases, "rollback may run beside"),
    (_a_missing_variable, "release.sh needs API_IMAGE"), (_a_key, "train signs in to Google with"),
    (_nobody_signs_in, "rollback signs in to Google with []"),
    (_an_evaluation_without_end, "the evaluation may take the job's time"),
    (_nothing_undone, "nothing undoes a release"),
    (_no_cache, "test downloads every package anew"),
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
    assert workflow["concurrency"] == {
        "group": "${{ github.workflow }}-${{ github.event_name }}-${{ github.ref }}",
        "cancel-in-progress": "${{ github.event_name == 'pull_request' }}"}  # on main nothing is cut off half-way


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
