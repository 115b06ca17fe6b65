"""Reads the workflow and plans its push path: which scripts run in which order, with which environment.

The rehearsal has no list of steps of its own, so the two cannot drift apart. What a runner of GitHub understands and
this does not (functions, operators, matrices) is refused by name rather than guessed.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

WORKFLOW = Path(__file__).resolve().parents[2] / ".github/workflows/mlops-pipeline.yml"

# Conditions of jobs and steps in the workflow, and the events for which they hold while everything has gone well.
PUSH, PULL_REQUEST, BY_HAND = "push", "pull_request", "workflow_dispatch"
CONDITIONS = {
    "": {PUSH, PULL_REQUEST, BY_HAND},
    "!cancelled()": {PUSH, PULL_REQUEST, BY_HAND},
    "github.event_name == 'push'": {PUSH},
    "github.event_name == 'pull_request'": {PULL_REQUEST},
    "github.event_name != 'pull_request'": {PUSH, BY_HAND},
    "github.event_name != 'workflow_dispatch'": {PUSH, PULL_REQUEST},
    "inputs.action == 'rollback'": {BY_HAND},
    "needs.build.result == 'success'": {PULL_REQUEST},
    "!cancelled() && github.event.pull_request.head.repo.full_name == github.repository": {PULL_REQUEST},
    "needs.release.result != 'skipped'": {PUSH, BY_HAND},
    "failure() && steps.release.outcome == 'success'": {PUSH, BY_HAND},
    "!cancelled() && github.event_name == 'push'": {PUSH},
    "!cancelled() && needs.image.result == 'success'": {PUSH, BY_HAND},
    "!cancelled() && needs.preflight.result == 'success' && (needs.train.result == 'success' || "
    "inputs.action == 'champion')": {PUSH, BY_HAND},
}

# Steps of the push path that only a runner of GitHub can take, or that .ci/run takes before the rehearsal.
LEFT_OUT = {
    "make lint": "run by .ci/run, and by every person before a commit",
    "make test": "run by .ci/run, and by every person before a commit",
    "make .venv/.ship": "the rehearsal runs in an environment that holds it",
    "scripts/pipeline/connect.sh": "asks Google for credentials; tested with a recording gcloud instead",
    "scripts/pipeline/comment.sh": "speaks to GitHub; tested with a recording gh instead",
}
LOOK_UP = re.compile(r"\$\{\{\s*([a-z_]+(?:\.[A-Za-z0-9_]+)+)\s*\}\}")


@dataclass(frozen=True)
class Step:
    job: str
    name: str
    run: str
    """Path of a script, or a make line; no other text."""
    id: str
    environment: dict[str, str]
    """Values still hold their look-ups."""
    condition: str = ""

    def due(self, failed: bool, outcomes: Mapping[str, bool]) -> bool:
        """Whether it runs: `failed` of a step before it in its job, `outcomes` by the ids of those that ran."""
        if self.condition == "!cancelled()":
            return True
        if self.condition.startswith("failure()"):
            return failed and all(outcomes.get(name, False)
                                  for name in re.findall(r"steps\.(\w+)\.outcome == 'success'", self.condition))
        return not failed

    def values(self, known: Mapping[str, str]) -> dict[str, str]:
        """The environment with every `${{ a.b }}` looked up. Raises KeyError for what is not known."""
        return {name: fill(value, known) for name, value in self.environment.items()}


def fill(text: str, known: Mapping[str, str]) -> str:
    """Raises KeyError for a look-up that is not known, ValueError for an expression that is none."""
    filled = LOOK_UP.sub(lambda found: known[found[1]], text)
    if "${{" in filled:
        raise ValueError(f"{text!r} is more than a look-up: the rehearsal cannot follow it.")
    return filled


def read(path: Path = WORKFLOW) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded


def push_steps(workflow: Mapping[str, Any]) -> list[Step]:
    """Every `run` step of the jobs that a push runs, in the order of `needs`, but for those in LEFT_OUT."""
    return [step for step in all_push_steps(workflow) if step.run not in LEFT_OUT]


def all_push_steps(workflow: Mapping[str, Any]) -> list[Step]:
    steps = []
    for name in _in_order(workflow["jobs"]):
        job = workflow["jobs"][name]
        if holds(job.get("if", ""), PUSH):
            steps += list(_run_steps(name, job))
    return steps


def job_outputs(workflow: Mapping[str, Any], job: str) -> dict[str, str]:
    outputs: dict[str, str] = workflow["jobs"][job].get("outputs", {})
    return outputs


def holds(condition: str, event: str) -> bool:
    """Raises ValueError for a condition that CONDITIONS does not have."""
    text = " ".join(condition.split())
    if text not in CONDITIONS:
        raise ValueError(f"The condition {text!r} is new: say in CONDITIONS for which events it holds.")
    return event in CONDITIONS[text]


def _run_steps(name: str, job: Mapping[str, Any]) -> Iterator[Step]:
    for step in job["steps"]:
        if "run" in step and holds(step.get("if", ""), PUSH):
            environment = {key: str(value) for key, value in (job.get("env", {}) | step.get("env", {})).items()}
            yield Step(name, step.get("name", step["run"]), step["run"].strip(), step.get("id", ""), environment,
                       step.get("if", ""))


def _in_order(jobs: Mapping[str, Any]) -> list[str]:
    """Jobs after those that they need; otherwise as written."""
    ordered: list[str] = []
    waiting = list(jobs)
    while waiting:
        ready = next(name for name in waiting if set(jobs[name].get("needs", [])) <= set(ordered))
        ordered.append(ready)
        waiting.remove(ready)
    return ordered
