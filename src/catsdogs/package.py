"""Stage 4: model.pt -> model.onnx by hand; training does the same at its end."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from catsdogs.errors import CatsdogsError
from catsdogs.export import export
from catsdogs.packed import open_packed
from catsdogs.predictor import read_card
from catsdogs.settings.training import PackageSettings
from catsdogs.weights import load_weights


@dataclass(frozen=True, kw_only=True)
class PackageResult:
    path: Path
    version: str
    golden_photos: int
    bytes: int
    largest_difference: float

    def text(self) -> str:
        return "\n".join([
            f"model        {self.version}  -> {self.path} ({self.bytes / 1e6:.1f} MB)",
            f"golden       {self.golden_photos} photos with known answers",
            f"agreement    torch and the engine differ by {self.largest_difference:.1e}",
        ])

    def data(self) -> dict[str, Any]:
        return asdict(self)


def package(settings: PackageSettings) -> PackageResult:
    """Export and check. Raises CatsdogsError where torch and the engine disagree, or the photos do not fit."""
    _, weights = load_weights(settings.model_path)
    photos = open_packed(settings.data_dir)
    if (photos.about.classes, photos.about.image_size) != (weights.classes, weights.image_size):
        raise CatsdogsError(
            f"{settings.data_dir} holds {photos.about.classes} at {photos.about.image_size} px, {settings.model_path} "
            f"was trained on {weights.classes} at {weights.image_size} px: name the right --data-dir."
        )
    path, worst = export(settings.model_path, photos.val, seen=photos.train, check_on=settings.photos)
    card = read_card(path)
    return PackageResult(
        path=path, version=card.version, golden_photos=len(card.golden), bytes=path.stat().st_size,
        largest_difference=worst,
    )
