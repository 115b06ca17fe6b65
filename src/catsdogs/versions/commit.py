"""Which version is meant: the commit that is checked out, or a name that was given."""

import subprocess

from catsdogs.errors import UsageError
from catsdogs.versions.layout import checked_name


def to_push(named: str | None, allow_dirty: bool) -> str:
    """Raises UsageError outside a checkout, or where it holds changes that the commit does not."""
    commit = resolved(named)
    if named is None and not allow_dirty and (changes := _git("status", "--porcelain")):
        first = changes.splitlines()[0][3:]
        raise UsageError(f"The working tree has changes that {commit[:12]} does not have ({first}): commit them, or "
                         "push with --allow-dirty or a --commit of your own.")
    return commit


def resolved(named: str | None) -> str:
    """The full hash of what git knows under this name (HEAD if none is given), else the name itself.

    Without a name and without git, in an image, the commit that the image was built from.
    """
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{named or 'HEAD'}^{{commit}}")
    if named is None and not found:
        from catsdogs.provenance import built_from  # pydantic: a checkout can do without

        found = built_from() or ""
    if named is None and not found:
        raise UsageError("There is no git commit here to name the version after: name one with --commit.")
    return checked_name(found or named or "")


def _git(*arguments: str) -> str:
    try:
        answer = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=60, errors="replace")
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.rstrip("\n") if answer.returncode == 0 else ""
