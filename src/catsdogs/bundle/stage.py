"""`catsdogs bundle`: what is handed in, in one file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catsdogs.bundle.archive import BundleManifest, write_bundle
from catsdogs.bundle.contents import Model, artifacts, checked_out
from catsdogs.bundle.trial import try_out
from catsdogs.files import sha256_file
from catsdogs.settings.bundle import BundleSettings

DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class BundleResult:
    path: Path
    digest: str
    manifest: BundleManifest
    model: Model
    absent: list[str]
    smoke_test: str  # what it said; empty where it was not asked for

    def text(self) -> str:
        model = self.model
        trained = f"trained from {model.commit[:DIGITS]}" if model.commit else "trained outside git"
        rows = [
            ("bundle", f"{self.path}: {len(self.manifest.files)} files, {self.path.stat().st_size / 1e6:.1f} MB"),
            ("digest", f"sha256:{self.digest}"),
            ("model", f"{model.version}, {model.variant}: test accuracy {model.accuracy:.1%}, {trained}"),
            *(("without", name) for name in self.absent),
            *(("left out", f"{name}: not committed") for name in self.manifest.left_out_changes),
            *(("check", line) for line in self.smoke_test.splitlines()),
        ]
        return "\n".join(f"{name:<8}  {text}" for name, text in rows)

    def data(self) -> dict[str, Any]:
        return {"path": str(self.path), "digest": self.digest, "absent": self.absent, "checked": bool(self.smoke_test),
                **self.manifest.model_dump(mode="json")}


def bundle(settings: BundleSettings) -> BundleResult:
    """Write `catsdogs-<commit>.zip`. Raises CatsdogsError naming what is missing, or what a check found."""
    commit = checked_out(settings.allow_dirty)
    named, absent, model = artifacts(settings.model_path, settings.artifacts_dir)
    path = settings.output_dir / f"catsdogs-{commit.hash[:DIGITS]}.zip"
    manifest = write_bundle(path, [*commit.entries(), *named], commit.hash, commit.changes)
    return BundleResult(path=path, digest=sha256_file(path), manifest=manifest, model=model, absent=absent,
                        smoke_test=try_out(path) if settings.check else "")
