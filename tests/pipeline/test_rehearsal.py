"""The rehearsal takes the workflow's own steps, as a runner would, and its client loses nothing unseen."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from catsdogs.files import sha256
from catsdogs.images import prepare
from scripts.rehearsal import workflow
from scripts.rehearsal.commits import Commits
from scripts.rehearsal.material import raw_photos, wrong_labels
from scripts.rehearsal.runner import Runner
from scripts.rehearsal.scenes import SCENES
from scripts.rehearsal.traffic import Photo, traffic
from tests.servers import ROOT

# What a push to main runs, in this order. A step that is new in the workflow belongs here too, and in docs/pipeline.md.
PUSH_PATH = [
    "require.sh", "build_trainer.sh", "train.sh", "fetch_model.sh", "build_api.sh", "fetch_model.sh", "eval_batch.sh",
    "release.sh", "evaluate.sh", "rollback.sh", "summary.py",
]


def test_the_rehearsal_runs_every_script_of_the_push_path_in_the_workflows_order() -> None:
    steps = workflow.push_steps(workflow.read())
    assert [Path(step.run).name for step in steps] == PUSH_PATH
    text = workflow.WORKFLOW.read_text()
    push_jobs = text.split("\n  trainer:")[1].split("\n  comment:")[0]
    written = re.findall(r"run: scripts/pipeline/(\S+)", push_jobs)
    assert ["require.sh", *(name for name in written if name != "connect.sh")] == PUSH_PATH


def test_what_is_left_out_is_in_the_workflow_and_has_a_reason() -> None:
    runs = {step.run for step in workflow.all_push_steps(workflow.read())}
    assert set(workflow.LEFT_OUT) <= runs
    assert all(len(reason) > 20 for reason in workflow.LEFT_OUT.values())


def test_every_condition_is_known_and_used() -> None:
    jobs = workflow.read()["jobs"].values()
    used = {" ".join(part.get("if", "").split()) for job in jobs for part in (job, *job["steps"])}
    assert used == set(workflow.CONDITIONS)
    with pytest.raises(ValueError, match="is new"):
        workflow.holds("github.event_name == 'schedule'", workflow.PUSH)


def test_the_documentation_names_every_script_and_secret() -> None:
    text = (ROOT / "docs/pipeline.md").read_text()
    for path in sorted((ROOT / "scripts/pipeline").glob("[a-z]*.*")):
        assert path.name in text, path.name
    for name in set(re.findall(r"secrets\.(\w+)", workflow.WORKFLOW.read_text())):
        assert name in text
    for scene in SCENES:
        assert scene in text, scene


def test_environments_hold_plain_look_ups_only() -> None:
    known = {"secrets.A": "a", "needs.b.outputs.c": "d"}
    assert workflow.fill("gs://${{ secrets.A }}/${{needs.b.outputs.c}}", known) == "gs://a/d"
    with pytest.raises(KeyError):
        workflow.fill("${{ secrets.B }}", known)
    with pytest.raises(ValueError, match="more than a look-up"):
        workflow.fill("${{ secrets.A || 'x' }}", known)
    for step in workflow.push_steps(workflow.read()):
        for value in step.environment.values():
            assert "${{" not in workflow.LOOK_UP.sub("", value)


MINIATURE = {
    "jobs": {
        "last": {"needs": ["first"], "if": "github.event_name == 'push'", "steps": [
            {"run": "scripts/said.sh", "env": {"WORD": "${{ needs.first.outputs.word }}"}},
            {"run": "scripts/fail.sh", "id": "release"},
            {"run": "scripts/never.sh"},
            {"run": "scripts/undo.sh", "if": "failure() && steps.release.outcome == 'success'"},
            {"run": "scripts/said.sh", "if": "!cancelled()", "env": {"WORD": "at the end"}}]},
        "first": {"outputs": {"word": "${{ steps.one.outputs.word }}"}, "steps": [
            {"run": "scripts/give.sh", "id": "one", "env": {"COMMIT": "${{ github.sha }}"}}]},
        "after": {"needs": ["last"], "steps": [{"run": "scripts/never.sh"}]},
        "other": {"if": "github.event_name == 'pull_request'", "steps": [{"run": "scripts/never.sh"}]},
    },
}
SCRIPTS = {
    "give.sh": 'echo "word=$COMMIT" >>"$GITHUB_OUTPUT"', "said.sh": 'echo "said $WORD"', "fail.sh": "exit ${STATUS:-3}",
    "never.sh": "echo never; exit ${NEVER:-9}", "undo.sh": "echo undone",
}


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    (tmp_path / ".github/workflows").mkdir(parents=True)
    (tmp_path / ".github/workflows/mlops-pipeline.yml").write_text(yaml.safe_dump(MINIATURE, sort_keys=False))
    (tmp_path / "scripts").mkdir()
    for name, text in SCRIPTS.items():
        (tmp_path / "scripts" / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tmp_path / "scripts" / name).chmod(0o755)
    return Runner(tmp_path, tmp_path / "logs", {"PATH": os.environ["PATH"]}, {})


def test_a_failing_step_ends_its_job_but_for_what_always_runs(runner: Runner) -> None:
    run = runner.push("abc")
    assert [Path(step.run).name for step in run.steps] == ["give.sh", "said.sh", "fail.sh", "said.sh"]
    assert run.steps[1].log.read_text() == "said abc\n"
    assert run.failed is not None and (run.failed.status, run.failed.run) == (3, "scripts/fail.sh")


def test_a_release_is_undone_where_a_later_step_of_its_job_fails(runner: Runner) -> None:
    run = runner.push("abc", STATUS="0")
    assert [Path(step.run).name for step in run.steps] == ["give.sh", "said.sh", "fail.sh", "never.sh", "undo.sh",
                                                           "said.sh"]
    assert runner.push("abc", STATUS="0", NEVER="0").failed is None


def test_commits_are_made_in_a_clone(tmp_path: Path) -> None:
    head = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    if subprocess.run(head, capture_output=True).returncode != 0:
        pytest.skip("not a git repository: nothing to clone")
    before = subprocess.check_output(head, text=True).strip()
    commits = Commits(tmp_path / "clone")
    assert commits.head() == before
    made = commits.commit("wrong labels", {"fixes.yaml": "[]\n"})
    assert commits.head() == made != before and commits.read("fixes.yaml") == "[]\n"
    assert subprocess.check_output(head, text=True).strip() == before


def test_drawn_photos_can_all_be_answered_and_every_label_can_be_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CATSDOGS_PHOTOS", raising=False)
    raw, which = raw_photos(tmp_path, 20)
    found = [path for path in raw.rglob("*") if path.is_file()]
    assert which == "drawn" and {path.parent for path in found} == {raw / "cat", raw / "dog"} and len(found) == 40
    for path in found:
        prepare(path.read_bytes(), 8)
    wrong = {fix["digest"]: fix["label"] for fix in yaml.safe_load(wrong_labels(raw))}
    assert all(wrong[sha256(path.read_bytes())] != path.parent.name for path in found)


class _Flaky(BaseHTTPRequestHandler):
    """Answers photos with their label, but every fifth with 503, and every seventh not at all."""

    count = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        _Flaky.count += 1
        if _Flaky.count % 7 == 0:
            self.connection.close()
            return
        status = 503 if _Flaky.count % 5 == 0 else 200
        answer = b'{"label": "cat"}' if b"a cat" in body else b'{"label": "cat", "detail": "busy"}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("X-Model-Version", "v1")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def flaky() -> Iterator[str]:
    _Flaky.count = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Flaky)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_client_counts_every_answer_that_it_did_not_get(flaky: str) -> None:
    with traffic(flaky, [Photo("cat", b"a cat"), Photo("dog", b"a dog")]) as seen:
        while len(seen.answers) < 16:
            time.sleep(0.05)
    data = seen.data()
    assert data["requests"] == len(seen.answers) >= 16
    assert {answer.status for answer in seen.lost} == {0, 503}
    assert data["lost"] == len(seen.lost) >= 4
    assert seen.versions == {"v1": len(seen.answers) - len(seen.lost)}
    assert 0.3 < seen.accuracy < 0.8  # cats are right, dogs are not
    assert seen.between(0, 1).answers == []


def test_without_an_engine_it_says_what_is_missing(tmp_path: Path) -> None:
    answer = subprocess.run([sys.executable, "-m", "scripts.rehearsal"], cwd=ROOT, text=True, capture_output=True,
                            env={"PATH": str(tmp_path), "HOME": str(tmp_path)}, timeout=60)
    assert answer.returncode == 2
    assert "docker" in answer.stderr and "docker-registry is not installed" in answer.stderr
