"""Takes the steps of the workflow's push path for one commit, as a runner of GitHub would, and records each."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from scripts.rehearsal.workflow import Step, fill, job_outputs, push_steps, read

LINES_SHOWN = 8
STEP_SECONDS = 600.0
"""A step that takes longer is ended: the rehearsal must not hang."""


@dataclass(frozen=True)
class Done:
    """One step that was taken."""

    commit: str
    job: str
    run: str
    status: int
    seconds: float
    log: Path

    def data(self) -> dict[str, Any]:
        return asdict(self) | {"log": str(self.log), "seconds": round(self.seconds, 1)}


@dataclass
class Run:
    """What one push came to."""

    commit: str
    steps: list[Done] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> Done | None:
        return next((step for step in self.steps if step.status != 0), None)


class Runner:
    """`environment` is what this machine sets in place of GitHub: tools, servers, the kind of cluster."""

    def __init__(self, checkout: Path, logs: Path, environment: Mapping[str, str], secrets: Mapping[str, str]) -> None:
        self.checkout, self.logs = checkout, logs
        self.environment, self.secrets = dict(environment), dict(secrets)
        self._running: subprocess.Popen[bytes] | None = None
        self._count = 0
        logs.mkdir(parents=True, exist_ok=True)

    def push(self, commit: str, **changes: str) -> Run:
        """Every step in the workflow's order. After one has failed, later jobs are not started, and of its own job only
        the steps that run whatever happened. `changes` are added to the environment."""
        workflow = read(self.checkout / ".github/workflows/mlops-pipeline.yml")
        run = Run(commit)
        known = {"github.sha": commit, "github.actor": "rehearsal", "inputs.action": ""}
        known |= {f"secrets.{name}": value for name, value in self.secrets.items()}
        outcomes: dict[str, bool] = {}
        job = ""
        for step in push_steps(workflow):
            failed = run.failed
            if step.job != job:  # ids of steps are known within their job only
                job, outcomes = step.job, {}
                known = {name: value for name, value in known.items() if not name.startswith("steps.")}
            if (failed and step.job != failed.job) or not step.due(failed is not None, outcomes):
                continue
            outputs = self._take(step, run, step.values(known), changes)
            if step.id:
                outcomes[step.id] = run.steps[-1].status == 0
                known |= {f"steps.{step.id}.outputs.{name}": value for name, value in outputs.items()}
            run.outputs |= outputs
            for name, value in job_outputs(workflow, step.job).items():
                try:
                    known[f"needs.{step.job}.outputs.{name}"] = fill(value, known)
                except KeyError:  # of a step that comes later
                    continue
        return run

    def script(self, line: str, **values: str) -> tuple[int, str]:
        """One script outside the push path, such as the rollback; its status and what it printed."""
        run = Run("by hand")
        self._take(Step("by hand", line, line, "", {}), run, values, {})
        return run.steps[0].status, run.steps[0].log.read_text(errors="replace")

    def interrupt(self) -> None:
        """End the step that is running, with all its processes."""
        if self._running and self._running.poll() is None:
            os.killpg(self._running.pid, signal.SIGTERM)

    def _take(self, step: Step, run: Run, values: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, str]:
        self._count += 1
        log = self.logs / f"{self._count:02d}-{step.job.replace(' ', '-')}-{Path(step.run).stem}.log"
        started = time.monotonic()
        with tempfile.NamedTemporaryFile(suffix=".outputs") as outputs, log.open("wb") as output:
            environment = {**self.environment, **changes, **values, "GITHUB_OUTPUT": outputs.name}
            self._running = subprocess.Popen([f"./{step.run}"], cwd=self.checkout, env=environment, stdout=output,
                                             stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)
            try:
                status = self._running.wait(STEP_SECONDS)
            except BaseException as error:
                os.killpg(self._running.pid, signal.SIGTERM)
                self._running.wait(60)
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                status = 124
            handed = dict(line.split("=", 1) for line in Path(outputs.name).read_text().splitlines())
        done = Done(run.commit, step.job, step.run, status, time.monotonic() - started, log)
        run.steps.append(done)
        verdict = "ok" if status == 0 else f"exit {status}"
        print(f"  {done.seconds:6.1f} s  {step.job:<9} {Path(step.run).name:<18} {verdict}", flush=True)
        return handed


def last_lines(log: Path, count: int = LINES_SHOWN) -> str:
    return "\n".join("    | " + line for line in log.read_text(errors="replace").splitlines()[-count:])
