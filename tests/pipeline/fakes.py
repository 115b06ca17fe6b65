"""Programs that only exist in a cloud, as recorders: what they are told is written down, and they answer as told.

gcloud, gh and a cluster cannot be had on a machine of tests; docker is faked where only its arguments matter.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.servers import ROOT

RECORDER = """\
#!{python}
import json, os, sys
name = os.path.basename(sys.argv[0])
folder = os.path.dirname(os.path.abspath(sys.argv[0]))
said = "" if sys.stdin is None or sys.stdin.isatty() else (sys.stdin.read() if name == "gh" else "")
with open(os.path.join(folder, "calls.jsonl"), "a") as calls:
    calls.write(json.dumps([name, *sys.argv[1:]]) + "\\n")
if said:
    open(os.path.join(folder, "said.txt"), "w").write(said)
answers = json.load(open(os.path.join(folder, "answers.json")))
for answer in answers:
    if answer["words"] == sys.argv[1:1 + len(answer["words"])] and answer["program"] == name:
        left = answer["answers"]
        status, text = left.pop(0) if len(left) > 1 else left[0]
        json.dump(answers, open(os.path.join(folder, "answers.json"), "w"))
        keep = answer.get("keep")
        if keep and os.path.exists(keep):
            open(os.path.join(folder, "kept.txt"), "w").write(open(keep).read())
        print(text)
        sys.exit(status)
"""


@dataclass(frozen=True)
class Fakes:
    """A checkout with the scripts, and recorders in front of the real programs."""

    checkout: Path
    folder: Path

    def answer(self, program: str, *words: str, answers: list[tuple[int, str]], keep: str = "") -> None:
        """What `program words...` exits with and prints, call by call, the last for ever; `keep` is a file to copy."""
        known = json.loads((self.folder / "answers.json").read_text())
        known.append({"program": program, "words": list(words), "answers": answers, "keep": keep})
        (self.folder / "answers.json").write_text(json.dumps(known))

    def run(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items()
                     if not name.startswith(("GITHUB_", "GCP_", "GKE_", "CATSDOGS_"))}
        path = f"{self.folder}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run([str(self.checkout / "scripts/pipeline" / script)], cwd=self.checkout, text=True,
                              env=inherited | {"PATH": path} | environment, capture_output=True, timeout=120)

    def calls(self, program: str) -> list[list[str]]:
        recorded = self.folder / "calls.jsonl"
        lines = recorded.read_text().splitlines() if recorded.exists() else []
        return [call[1:] for line in lines if (call := json.loads(line))[0] == program]


def fakes(folder: Path, *programs: str) -> Fakes:
    """Copies of what the scripts read, and a recorder for each program."""
    checkout, recorders = folder / "checkout", folder / "recorders"
    for name in ("scripts/pipeline", "k8s"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("cluster.env"), symlinks=True)
    shutil.copy(ROOT / "params.yaml", checkout)
    recorders.mkdir()
    (recorders / "answers.json").write_text("[]")
    for program in programs:
        path = recorders / program
        path.write_text(RECORDER.format(python=sys.executable))
        path.chmod(0o755)
    return Fakes(checkout, recorders)
