"""What a workflow of this project must keep to, one check a promise; each yields what breaks it."""

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from scripts.rehearsal import workflow as rehearsal
from tests.servers import ROOT

SECRETS = {"GCP_PROJECT_ID", "GCP_WIF_PROVIDER", "GCP_SA_EMAIL", "GCP_BUCKET_NAME", "GKE_CLUSTER_NAME",
           "GKE_CLUSTER_LOCATION", "ARTIFACT_REGISTRY_REPO", "EVAL_BATCH_GCS_URI"}
OIDC = {"workload_identity_provider": "${{ secrets.GCP_WIF_PROVIDER }}",
        "service_account": "${{ secrets.GCP_SA_EMAIL }}"}
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


def google_is_asked_without_keys(jobs: Jobs) -> Iterator[str]:
    """Who needs a cluster, a registry or the bucket signs in through the identity provider, and in no other way."""
    for name, job in jobs.items():
        ways = [step.get("with") for step in job["steps"] if "google-github-actions/auth@" in step.get("uses", "")]
        given = "secrets.GCP_" in str([step.get("env") for step in job["steps"]])
        if given and name != "preflight" and ways != [OIDC]:
            yield f"{name} signs in to Google with {ways}"


def an_evaluation_that_hangs_is_undone(jobs: Jobs) -> Iterator[str]:
    steps = jobs["release"]["steps"]
    (evaluation,) = [step for step in steps if step.get("run") == "scripts/pipeline/evaluate.sh"]
    if evaluation.get("timeout-minutes", 99) > jobs["release"]["timeout-minutes"] / 2:
        yield "the evaluation may take the job's time, whose end undoes nothing"
    if "failure()" not in steps[steps.index(evaluation) + 1].get("if", ""):
        yield "nothing undoes a release whose evaluation fails"


def packages_are_cached(jobs: Jobs) -> Iterator[str]:
    for name in ("lint", "test"):
        keys = [step["with"]["key"] for step in jobs[name]["steps"] if "actions/cache@" in step.get("uses", "")]
        if not any("hashFiles('constraints.txt')" in key for key in keys):
            yield f"{name} downloads every package anew"


CHECKS: list[Callable[[Jobs], Iterator[str]]] = [
    only_the_eight_secrets, pull_requests_have_no_rights, least_permissions, scripts_exist, everything_ends,
    checkouts_keep_no_token, production_is_one_at_a_time, scripts_know_what_they_need, google_is_asked_without_keys,
    an_evaluation_that_hangs_is_undone, packages_are_cached,
]


def problems(jobs: Jobs) -> list[str]:
    return [problem for check in CHECKS for problem in check(jobs)]
