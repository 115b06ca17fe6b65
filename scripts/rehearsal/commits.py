"""Commits that the rehearsal pushes, made in a clone of this repository: what is not committed takes no part."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Commits:
    """A clone on a branch of its own; the repository that was cloned is never written to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        _git(ROOT, "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder))
        for name, value in (("user.name", "rehearsal"), ("user.email", "rehearsal@example.org")):
            _git(folder, "config", name, value)
        _git(folder, "switch", "--quiet", "--create", "rehearsal")
        # The tools of this environment; the package itself is taken from the clone (PYTHONPATH).
        os.symlink(ROOT / ".venv", folder / ".venv")

    def head(self) -> str:
        return _git(self.folder, "rev-parse", "HEAD")

    def commit(self, message: str, files: dict[str, str]) -> str:
        """Write files and commit them; returns the commit."""
        for name, text in files.items():
            (self.folder / name).write_text(text)
            _git(self.folder, "add", "--", name)
        _git(self.folder, "commit", "--quiet", "--message", message)
        return self.head()

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
                          ).stdout.strip()
