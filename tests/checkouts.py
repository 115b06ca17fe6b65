"""Copies of this tree as a commit of their own, for tests that build, bundle or change it."""

import shutil
import subprocess
from pathlib import Path

from tests.servers import ROOT

LEFT_OUT = {".venv", "demo", "__pycache__", ".mypy_cache", ".pytest_cache"}
GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]


def copied_to(folder: Path) -> Path:
    """The files that git knows or would add, committed in `folder`."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    names = listed.stdout.splitlines() if listed.returncode == 0 else []
    if not names:
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()
                 and not LEFT_OUT & set(path.relative_to(ROOT).parts)]
    for name in names:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "-q")
    commit(folder, "copy")
    return folder


def commit(folder: Path, message: str) -> str:
    """Commit everything that is not ignored; the new commit's hash."""
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)
    return git(folder, "rev-parse", "HEAD").strip()


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run([*GIT, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout
