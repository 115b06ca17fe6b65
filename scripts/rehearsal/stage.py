"""What every scene of the rehearsal shares: the pushes, the public service, the traffic, and the record of it all."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from catsdogs.champion.move import champion
from catsdogs.settings.versions import BucketSettings
from catsdogs.storage import open_store
from catsdogs.stores.store import Store
from scripts.rehearsal.commits import Commits
from scripts.rehearsal.runner import Run, Runner, last_lines
from scripts.rehearsal.traffic import Traffic


@dataclass(frozen=True)
class Expectation:
    scene: str
    text: str
    met: bool
    seen: str


@dataclass
class Stage:
    folder: Path
    commits: Commits
    runner: Runner
    address: str
    raw: Path
    expectations: list[Expectation] = field(default_factory=list)
    pushes: list[dict[str, Any]] = field(default_factory=list)
    scene: str = ""
    traffic: Traffic | None = None
    first_fixes: str = ""
    candidate_seconds: float = 0.0
    """From the start of a release until its candidate had passed, as seen in the first one."""

    def begin(self, scene: str) -> float:
        self.scene = scene
        print(f"\n{scene}", flush=True)
        return time.monotonic()

    def push(self, commit: str, **changes: str) -> Run:
        """Take the workflow's push path; where a step fails, show the end of its log."""
        run = self.runner.push(commit, **changes)
        if run.failed:
            print(last_lines(run.failed.log), flush=True)
        self.pushes.append({"scene": self.scene, "commit": commit, "steps": [step.data() for step in run.steps]})
        return run

    def expect(self, text: str, met: bool, seen: object = "") -> None:
        """Record whether something is as it must be, and go on: one run shows every fault."""
        self.expectations.append(Expectation(self.scene, text, met, str(seen)))
        print(f"  {'as expected' if met else 'NOT AS EXPECTED'}: {text}" + (f" ({seen})" if str(seen) else ""),
              flush=True)

    def expect_no_loss(self, since: float) -> Traffic:
        """The client has asked all the time since `since` and was always answered."""
        assert self.traffic is not None
        asked = self.traffic.between(since, time.monotonic())
        lost = asked.data()["reasons"]
        self.expect("no request of the client is lost", bool(asked.answers) and not asked.lost,
                    f"{len(asked.answers):,} asked, {len(asked.lost)} lost{f': {lost}' if lost else ''}")
        return asked

    def version(self) -> str:
        """The model that the public address answers with, asked in a fresh process as an operator would."""
        return str(self._ask("/model")["version"])

    def public_image(self) -> str | None:
        """What the cluster says it runs."""
        answer = json.loads(self._catsdogs("cluster", "--cluster", "docker", "--json"))
        image: str | None = answer["image"]
        return image

    def report(self, name: str) -> dict[str, Any]:
        """A report that the scripts wrote below artifacts/."""
        found: dict[str, Any] = json.loads((self.commits.folder / "artifacts" / name).read_text())
        return found

    def champion(self) -> dict[str, Any]:
        """What the bucket names as champion."""
        standing = champion(self.store()).value
        return standing.model_dump(mode="json") if standing else {}

    def store(self) -> Store:
        """The bucket, as an operator reaches it."""
        return open_store(BucketSettings(bucket=self.bucket, storage_emulator_host=self.runner.environment[
            "STORAGE_EMULATOR_HOST"]))

    @property
    def bucket(self) -> str:
        return f"gs://{self.runner.secrets['GCP_BUCKET_NAME']}"

    def stop_cluster(self) -> None:
        self._catsdogs("cluster", "--cluster", "docker", "--stop")

    def _catsdogs(self, *arguments: str) -> str:
        return subprocess.run([str(self.commits.folder / ".venv/bin/catsdogs"), *arguments], check=True, text=True,
                              cwd=self.commits.folder, env=self.runner.environment, stdout=subprocess.PIPE).stdout

    def _ask(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(self.address + path, timeout=20) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


Scene = Callable[[Stage], None]
