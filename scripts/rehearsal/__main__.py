"""`make rehearse`: the workflow's push path for real on this machine, with good, bad and broken commits.

Exit 0 where everything is as expected, 1 where something is not, 2 where a program is missing.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scripts.rehearsal.commits import ROOT, Commits
from scripts.rehearsal.engine import forget_images, missing, path
from scripts.rehearsal.material import raw_photos, upload
from scripts.rehearsal.runner import Runner
from scripts.rehearsal.scenes import SCENES, good, missing_secret
from scripts.rehearsal.services import BUCKET, Services, free_port, services
from scripts.rehearsal.stage import Stage
from scripts.rehearsal.traffic import photos, traffic

REPORT = ROOT / "artifacts/rehearsal.json"
# Few photos and a short training: what is rehearsed is the way of a model, not its accuracy. The floors are as low.
JOB = {
    "CATSDOGS_JOB_IMAGE_SIZE": "32", "CATSDOGS_JOB_EPOCHS": "5", "CATSDOGS_JOB_BATCH_SIZE": "64",
    "CATSDOGS_JOB_FORCE_CPU": "true", "CATSDOGS_JOB_DOCTOR_WARNS": "true",
    "CATSDOGS_GATE_MIN_ACCURACY": "0.55", "CATSDOGS_GATE_MIN_SLICE_ACCURACY": "0.3",
}
RELEASE = {
    "CATSDOGS_RELEASE_MIN_ACCURACY": "0.55", "CATSDOGS_RELEASE_MIN_SLICE_ACCURACY": "0.3",
    "CATSDOGS_RELEASE_WATCH_SECONDS": "10", "CATSDOGS_RELEASE_MAX_P99_MS": "4000",
    "CATSDOGS_POST_DEPLOY_EVAL_MIN_ACCURACY": "0.55",
}
QUIET_SECONDS = 15.0
"""Traffic before the first fault, to compare with."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make rehearse", description=__doc__)
    parser.add_argument("--per-class", type=int, default=800, help="photos a class to train on")
    parser.add_argument("--scene", choices=SCENES, action="append", help="only these, after the good commit")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs")
    options = parser.parse_args()
    lacking = missing()
    if lacking:
        print("\n".join(lacking), file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.monotonic()
    stage: Stage | None = None
    try:
        with prepared(options.per_class, options.keep) as stage:
            play(stage, options.scene or list(SCENES))
    except KeyboardInterrupt:
        print("\nInterrupted; everything that was started is stopped.", file=sys.stderr)
        return 130
    except RuntimeError as error:
        print(f"\n{error}", file=sys.stderr)
    return conclude(stage, time.monotonic() - started) if stage else 1


def play(stage: Stage, scenes: list[str]) -> None:
    """The good commit, and then the others while a client asks all the time."""
    stage.begin("a missing secret")
    missing_secret(stage)
    stage.begin("the first commit")
    good(stage)
    with traffic(stage.address, photos(stage.raw)) as stage.traffic:
        time.sleep(QUIET_SECONDS)
        for name in scenes:
            stage.begin(name)
            SCENES[name](stage)


@contextmanager
def prepared(per_class: int, keep: bool) -> Iterator[Stage]:
    """Photos in a bucket, servers, a clone: all of it gone when the block ends, however it ends."""
    folder = Path(tempfile.mkdtemp(prefix="catsdogs-rehearsal-"))
    with ExitStack() as stack:
        stack.callback(_leave, folder, keep)
        print(f"preparing in {folder}", flush=True)
        running = stack.enter_context(services(folder / "services"))
        commits = Commits(folder / "checkout")
        raw, kind = raw_photos(folder, per_class)
        port = free_port()
        environment = _environment(folder, running, commits, port)
        runner = Runner(commits.folder, folder / "logs", environment, _secrets(running))
        stage = Stage(folder, commits, runner, f"http://127.0.0.1:{port}", raw, first_fixes=commits.read("fixes.yaml"))
        stack.callback(forget_images, running.registry)
        stack.callback(stage.stop_cluster)
        stack.callback(runner.interrupt)
        count = upload(stage.store(), raw, "datasets/cats-dogs/raw/")
        print(f"{count:,} {kind} photos in {stage.bucket}; registry {running.registry}; MLflow at {running.mlflow}",
              flush=True)
        yield stage


def _environment(folder: Path, running: Services, commits: Commits, port: int) -> dict[str, str]:
    """What the scripts find in place of GitHub's runner and Google's cloud."""
    inherited = {name: value for name, value in os.environ.items()
                 if not name.startswith(("GITHUB_", "CATSDOGS_", "GCP_", "GKE_"))}
    job = folder / "job.env"
    job.touch(mode=0o600)  # holds the password of the MLflow server
    job.write_text("".join(f"{name}={value}\n" for name, value in {**running.environment(), **JOB}.items()))
    place = {f"CATSDOGS_{command}_{name}": value for command in ("RELEASE", "ROLLBACK", "CLUSTER")
             for name, value in (("CLUSTER_DIR", str(folder / "cluster")), ("PORT", str(port)))}
    return inherited | running.environment() | place | RELEASE | {
        "PATH": path(), "CLUSTER": "docker", "JOB_ENV_FILE": str(job), "PYTHONPATH": str(commits.folder / "src"),
    }


def _secrets(running: Services) -> dict[str, str]:
    """The workflow's secrets, with this machine's values."""
    return {
        "GCP_PROJECT_ID": "rehearsal", "GCP_WIF_PROVIDER": "none", "GCP_SA_EMAIL": "nobody@example.org",
        "GCP_BUCKET_NAME": BUCKET, "GKE_CLUSTER_NAME": "rehearsal", "GKE_CLUSTER_LOCATION": "here",
        "ARTIFACT_REGISTRY_REPO": f"{running.registry}/catsdogs", "EVAL_BATCH_GCS_URI": "",
    }


def _leave(folder: Path, keep: bool) -> None:
    if keep:
        print(f"logs: {folder / 'logs'}", flush=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def conclude(stage: Stage, seconds: float) -> int:
    """The table, and artifacts/rehearsal.json."""
    unmet = [one for one in stage.expectations if not one.met]
    print(f"\n{'scene':<32}expected\n" + "\n".join(
        f"{one.scene:<32}{'ok      ' if one.met else 'NOT SO  '}{one.text}" for one in stage.expectations))
    seen = stage.traffic.data() if stage.traffic else {}
    if seen:
        print(f"\nthe client asked {seen['requests']:,} times and lost {seen['lost']} answers; the slowest took "
              f"{seen['slowest_seconds']} s")
    passed = not unmet and bool(seen)
    print(f"rehearsal {'passed' if passed else 'FAILED'} in {seconds / 60:.1f} minutes -> {REPORT.relative_to(ROOT)}")
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps({
        "passed": passed, "seconds": round(seconds, 1), "client": seen, "pushes": stage.pushes,
        "expectations": [vars(one) for one in stage.expectations],
    }, indent=2) + "\n")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
