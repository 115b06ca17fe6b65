"""What belongs into a bundle: the files of the commit, and artifacts that are named here and nowhere else."""

import io
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.predictor import read_card
from catsdogs.files import sha256
from catsdogs.reports import TrainingMetrics

SECRETS = (".env", ".env.*", "*.pem", "*.key", "*.p12", "id_rsa*", "id_ed25519*", "*credentials*.json",
           "*service-account*.json", "config.local", ".netrc", ".htpasswd")
"""Names that no commit should hold; a bundle with one of them would be sent on."""

MODEL = "models"
METRICS = f"training/{TrainingMetrics.FILE_NAME}"
NEEDED = {
    METRICS: "train",
    "training/confusion_matrix.png": "train",
    "training/loss_curve.png": "train",
}
WELCOME = {
    "training/curves.png": "train",
    "data/report.html": "doctor",
    "data/report.json": "doctor",
    "eval_batch.csv": "eval-batch",
    "post_deploy_eval.json": "post-deploy-eval",
    "gate.json": "gate",
}
"""Path below the artifacts -> the command that writes it. Without one of NEEDED nothing is packed; of WELCOME, what is
absent is named."""


@dataclass(frozen=True)
class Entry:
    path: str  # in the bundle, with slashes
    data: bytes
    executable: bool = False


@dataclass(frozen=True, kw_only=True)
class Model:
    version: str
    variant: str
    commit: str | None  # that it was trained from
    accuracy: float  # on the test split


@dataclass(frozen=True)
class Commit:
    root: Path
    hash: str
    changes: list[str]  # files of the working tree that differ from it, or are not in it

    def entries(self) -> Iterator[Entry]:
        """The files of the commit, whatever the working tree holds. Raises CatsdogsError on what looks secret.

        A link becomes the file that it points to: not every receiver's file system has links.
        """
        with tarfile.open(fileobj=io.BytesIO(_git(self.root, "archive", "--format=tar", self.hash))) as archive:
            for member in archive:
                if member.isdir():
                    continue
                try:
                    file = archive.extractfile(member)
                except KeyError:  # tarfile follows links, but inside the commit only
                    file = None
                if file is None:
                    raise CatsdogsError(f"{member.name} is no file of the commit: take it out.")
                name = PurePosixPath(member.name).name
                if any(fnmatch(name, pattern) for pattern in SECRETS):
                    raise CatsdogsError(f"{member.name} looks like a secret: take it out of the commit (git rm).")
                yield Entry(member.name, file.read(), member.isfile() and bool(member.mode & 0o100))


def checked_out(allow_dirty: bool) -> Commit:
    """The commit here. Raises UsageError outside git, or where the tree has changes that it does not have."""
    try:
        root = Path(_git(Path.cwd(), "rev-parse", "--show-toplevel").decode().rstrip("\n"))
        head = _git(root, "rev-parse", "HEAD").decode().strip()
    except CatsdogsError:
        raise UsageError("There is no git commit here to bundle: run this inside a checkout.") from None
    # Without quoting, so that a name is shown as it is; -z ends each entry with a zero byte.
    status = _git(root, "status", "--porcelain", "--no-renames", "-z").decode(errors="replace")
    changes = [entry[3:] for entry in status.split("\0") if entry]
    if changes and not allow_dirty:
        raise UsageError(f"The working tree has changes that {head[:12]} does not have ({changes[0]}): commit them, or "
                         "bundle the commit without them with --allow-dirty.")
    return Commit(root, head, changes)


def artifacts(model_path: Path, folder: Path) -> tuple[list[Entry], list[str], Model]:
    """The model and what was measured of it; what is welcome but absent; what the model is.

    Raises CatsdogsError naming everything needed that is missing, or where the files are of different models.
    """
    needed = {f"{MODEL}/model.pt": (model_path.with_suffix(".pt"), "train"),
              f"{MODEL}/model.onnx": (model_path.with_suffix(".onnx"), "train")}
    needed |= {f"artifacts/{name}": (folder / name, command) for name, command in NEEDED.items()}
    welcome = {f"artifacts/{name}": (folder / name, command) for name, command in WELCOME.items()}
    if missing := [f"{path} (catsdogs {command})" for path, command in needed.values() if not path.is_file()]:
        raise CatsdogsError(f"Missing: {', '.join(missing)}: run what is named in brackets, then bundle again.")
    absent = [f"{path} (catsdogs {command})" for path, command in welcome.values() if not path.is_file()]
    found = {name: path.read_bytes() for name, (path, _) in (needed | welcome).items() if path.is_file()}
    model = _model(model_path, found[f"{MODEL}/model.pt"], folder / METRICS)
    return [Entry(name, data) for name, data in found.items()], absent, model


def _model(path: Path, weights: bytes, metrics_path: Path) -> Model:
    card = read_card(path)
    metrics = TrainingMetrics.read(metrics_path, "`catsdogs train`")
    digest = sha256(weights)
    if card.model_digest != digest:
        raise CatsdogsError(f"{path.with_suffix('.onnx')} was not made from {path}: run `catsdogs package`.")
    if metrics.model_digest != digest:
        raise CatsdogsError(f"{metrics_path} is of another model ({metrics.model_digest[:12]}) than {path} "
                            f"({digest[:12]}): name the artifacts of this one with --artifacts-dir.")
    return Model(version=card.version, variant=card.variant, commit=card.lineage.commit,
                 accuracy=metrics.test_accuracy)


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        answer = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, timeout=120)
    except OSError:
        raise CatsdogsError("git is not installed: a bundle is made of what git has committed.") from None
    if answer.returncode:
        said = answer.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise CatsdogsError(f"git {arguments[0]} failed: {said[-1]}.")
    return answer.stdout
