"""Settings of what is handed in."""

from pathlib import Path

from catsdogs.settings.base import Settings, config


class BundleSettings(Settings):
    """Pack the committed files with the model, its metrics, plots and reports: the same bytes for the same content."""

    model_config = config("BUNDLE")

    model_path: Path = Path("models/model.pt")
    """Model to hand in; model.onnx lies beside it."""
    artifacts_dir: Path = Path("artifacts")
    """Folder that the stages write their metrics, plots and reports under."""
    output_dir: Path = Path("submission")
    """Folder for catsdogs-<commit>.zip."""
    allow_dirty: bool = False
    """Pack the commit although the working tree has changes; they are left out, and the manifest says so."""
    check: bool = False
    """Unpack the bundle elsewhere, compare every file with its digest, install it, serve the model and test that."""
