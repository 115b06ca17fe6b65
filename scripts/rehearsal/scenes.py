"""The rehearsal's scenes, in their order. Each pushes a commit and says what must have become of it."""

import json
import time
from datetime import datetime

from catsdogs.stores.store import Content
from scripts.rehearsal.material import upload, wrong_labels
from scripts.rehearsal.runner import Run
from scripts.rehearsal.stage import Scene, Stage

HANGS = """
# The rehearsal's broken commit: the service hangs for seconds at a time, once it has run for {delay} s: all of its
# processes (-1), or those that the supervisor started would go on answering.
CMD ["sh", "-c", "catsdogs serve & served=$!; trap 'kill -CONT -1; kill -TERM $served' TERM; \\
 (sleep {delay}; while kill -STOP -1; do sleep 5; kill -CONT -1; sleep 2; done) & wait $served; wait $served"]
"""
DOES_NOT_START = """
# The rehearsal's broken commit.
CMD ["catsdogs", "serve", "--no-such-flag"]
"""
MARGIN_SECONDS = 20.0
BATCH = "eval"
"""Folder of the bucket that holds the evaluation batch."""


def good(stage: Stage) -> None:
    """The first commit ever: trained, judged by the floors, released. Its test photos become the evaluation batch."""
    run = stage.push(stage.commits.head())
    stage.expect("the push succeeds", run.failed is None)
    if run.failed:
        raise RuntimeError("Nothing was released: the other scenes have nothing to go back to.")
    stage.expect("the public image is the one that was built", stage.public_image() == run.outputs["image"])
    stage.expect("it is the champion", stage.champion()["model"]["commit"] == run.commit)
    stage.candidate_seconds = _candidate_seconds(run)
    artifacts = stage.commits.folder / "artifacts"
    count = upload(stage.store(), artifacts / "eval_batch", f"{BATCH}/eval_batch/")
    stage.store().write(f"{BATCH}/eval_batch.csv", Content.file(artifacts / "eval_batch.csv"))
    stage.runner.secrets["EVAL_BATCH_GCS_URI"] = f"{stage.bucket}/{BATCH}"
    print(f"           {count} photos are the evaluation batch from now on", flush=True)


def missing_secret(stage: Stage) -> None:
    """A secret that is not set is named before anything is built."""
    secrets = stage.runner.secrets
    kept = secrets.pop("GCP_BUCKET_NAME")
    secrets["GCP_BUCKET_NAME"] = ""
    run = stage.push(stage.commits.head())
    secrets["GCP_BUCKET_NAME"] = kept
    failed = run.failed
    stage.expect("the first step fails and names it", failed is not None and len(run.steps) == 1
                 and "GCP_BUCKET_NAME" in failed.log.read_text())


def bad_model(stage: Stage) -> None:
    """Every label turned round: training is content, its own test photos agree; only the evaluation batch knows."""
    since, before, version = time.monotonic(), stage.public_image(), stage.version()
    run = stage.push(stage.commits.commit("Correct the labels", {"fixes.yaml": wrong_labels(stage.raw)}))
    _refused(stage, run.failed.run if run.failed else "", since, before, version)
    report = stage.report("release.json")
    stage.expect("the gate says why", not report["passed"] and "gate refused" in "; ".join(
        report["decision"]["reasons"]), "; ".join(report["decision"]["reasons"])[:200])
    stage.expect("the candidate never answered the client",
                 set(stage.expect_no_loss(since).versions) == {version})


def does_not_start(stage: Stage) -> None:
    """The labels are right again, so the model is known already; but the container ends at once."""
    since, before, version = time.monotonic(), stage.public_image(), stage.version()
    dockerfile = stage.commits.read("Dockerfile.serve")
    run = stage.push(stage.commits.commit("Take the correction back; a typing error", {
        "fixes.yaml": stage.first_fixes, "Dockerfile.serve": dockerfile + DOES_NOT_START}))
    trained = next((step for step in run.steps if step.run.endswith("train.sh")), None)
    stage.expect("unchanged data, code and parameters are not trained again",
                 trained is not None and "its data, code and parameters are the same" in trained.log.read_text())
    _refused(stage, run.failed.run if run.failed else "", since, before, version)
    stage.expect("the logs say what the container said", "no-such-flag" in str(stage.report("release.json")["logs"]))
    stage.expect_no_loss(since)
    stage.commits.commit("Repair the typing error", {"Dockerfile.serve": dockerfile})


def hangs(stage: Stage) -> None:
    """A container that passes every test as a candidate and hangs once it answers users: taken back by the watch."""
    since, before, version = time.monotonic(), stage.public_image(), stage.version()
    # Late enough for the candidate to pass, as long as it took the good one; early enough for the watch.
    delay = 2 * stage.candidate_seconds + MARGIN_SECONDS
    dockerfile = stage.commits.read("Dockerfile.serve")
    run = stage.push(
        stage.commits.commit("A leak", {"Dockerfile.serve": dockerfile + HANGS.format(delay=round(delay))}),
        CATSDOGS_RELEASE_WATCH_SECONDS=str(round(delay + MARGIN_SECONDS)))
    _refused(stage, run.failed.run if run.failed else "", since, before, version)
    report = stage.report("release.json")
    stage.expect("it had answered users, and was taken back", report["decision"]["action"] == "restored",
                 "; ".join(report["decision"]["reasons"])[:200])
    stage.expect_no_loss(since)
    stage.commits.commit("Mend the leak", {"Dockerfile.serve": dockerfile})


def without_a_gate(stage: Stage) -> None:
    """The bad model once more, with the gate switched off: it reaches users, and only the evaluation takes it back."""
    since, before, version = time.monotonic(), stage.public_image(), stage.version()
    right = _accuracy(stage, since - 60, since)
    run = stage.push(stage.commits.commit("Correct the labels again", {"fixes.yaml": wrong_labels(stage.raw)}),
                     CATSDOGS_RELEASE_GATE="false")
    asked = stage.expect_no_loss(since)
    others = set(asked.versions) - {version}
    stage.expect("without its gate the bad model reaches the client", len(others) == 1, f"answers by {asked.versions}")
    wrong = [answer for answer in asked.answers if answer.version in others]
    share = sum(answer.right for answer in wrong) / max(1, len(wrong))
    stage.expect("and answers it wrongly", share < right - 0.1, f"{share:.0%} right, {right:.0%} before")
    stage.expect("the evaluation notices", run.failed is not None and run.failed.run.endswith("evaluate.sh"))
    stage.expect("and the workflow undoes the release", stage.public_image() == before and stage.version() == version,
                 f"{stage.version()} answers")


def nothing_to_undo(stage: Stage) -> None:
    """The release was undone: a second rollback has nothing left, says so and changes nothing."""
    before = stage.public_image()
    status, said = stage.runner.script("scripts/pipeline/rollback.sh", BUCKET=stage.bucket, WHO="rehearsal")
    stage.expect("a second rollback says that there is nothing left", status == 1 and stage.public_image() == before,
                 said.strip().splitlines()[-1][:160])


def _refused(stage: Stage, failed: str, since: float, before: str | None, version: str) -> None:
    stage.expect("the release fails, and nothing before it", failed.endswith("release.sh"), failed or "nothing failed")
    stage.expect("the image before it is public", stage.public_image() == before)
    stage.expect("the model before it answers", stage.version() == version, version)
    stage.expect("it is still the champion", stage.champion()["model"]["image"] == before)


def _candidate_seconds(run: Run) -> float:
    """From the start of the release until its candidate had passed, read from the events in its log."""
    log = next(step.log for step in run.steps if step.run.endswith("release.sh"))
    events = [json.loads(line) for line in log.read_text().splitlines() if line.startswith('{"time"')]
    passed = next(event["time"] for event in events if str(event.get("step", "")).startswith("the gate passed"))
    return (datetime.fromisoformat(passed) - datetime.fromisoformat(events[0]["time"])).total_seconds()


def _accuracy(stage: Stage, start: float, end: float) -> float:
    assert stage.traffic is not None
    return stage.traffic.between(start, end).accuracy


SCENES: dict[str, Scene] = {
    "a bad model": bad_model, "a container that does not start": does_not_start, "a container that hangs": hangs,
    "the bad model without a gate": without_a_gate, "a second rollback": nothing_to_undo,
}
