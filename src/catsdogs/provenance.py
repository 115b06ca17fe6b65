"""Where a file came from: the commit of the code and the packages that decide its content."""

import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import ValidationError

from catsdogs.errors import UsageError
from catsdogs.files import digest_of, sha256_file
from catsdogs.settings.base import explain_invalid
from catsdogs.settings.build import BuildSettings

DECISIVE_CODE = ("answering.py", "artifacts.py", "compiled.py", "export.py", "familiarity.py", "figures.py",
                 "footprint.py", "images.py", "integers.py", "jpeg.py", "mahalanobis.py", "metered.py",
                 "model_file.py", "names.py", "nets", "packed.py", "predictor.py", "preprocess", "scans.py",
                 "statistics.py", "traced.py", "train", "usual.py", "weights.py")
"""What a model depends on, given the ingested photos, the settings and the packages."""
DECISIVE = ("catsdogs", "torch", "numpy", "pillow", "openvino")


def commit() -> str | None:
    """The commit of the code that is running, `-dirty` where the tree has changes; None where nobody knows it."""
    here = Path(__file__).parent
    head = _git(here, "rev-parse", "HEAD")
    if not head:
        return built_from()
    return head + ("-dirty" if _git(here, "status", "--porcelain", "--", str(here)) else "")


def built_from() -> str | None:
    """The commit that an image was told when it was built. Raises UsageError where it is no commit."""
    try:
        return BuildSettings().commit or None
    except ValidationError as error:
        raise UsageError(explain_invalid(error).replace("--commit", "CATSDOGS_COMMIT", 1)) from None


@cache
def code_digest() -> str:
    """Hex digest of the code that decides a model: another commit with the same trains the same."""
    package = Path(__file__).parent
    files = [path for name in DECISIVE_CODE
             for path in ((package / name).rglob("*.py") if (package / name).is_dir() else [package / name])]
    return digest_of({str(path.relative_to(package)): sha256_file(path) for path in files})


def versions() -> dict[str, str]:
    """Installed versions of the packages that decide the result."""
    found = {}
    for name in DECISIVE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git(folder: Path, *arguments: str) -> str:
    try:
        answer = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
