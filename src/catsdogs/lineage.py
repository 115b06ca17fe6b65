"""`catsdogs lineage`: the chain from photos to model.onnx, as the model itself carries it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catsdogs.artifacts import ModelCard
from catsdogs.files import sha256_file
from catsdogs.predictor import load_checked, read_card
from catsdogs.settings.training import LineageSettings

DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class LineageResult:
    path: Path
    digest: str
    card: ModelCard
    beside: str
    checked: bool

    def text(self) -> str:
        card, made = self.card, self.card.lineage
        rows = [
            ("photos", f"manifest {made.manifest_digest[:DIGITS]}"),
            ("splits", f"{made.splits_digest[:DIGITS]}, {card.image_size} px, preparation {card.preparation}"),
            ("parameters", ", ".join(f"{name} {value}" for name, value in made.parameters.items())),
            ("code", made.commit or "not from a git checkout"),
            ("packages", ", ".join(f"{name} {version}" for name, version in made.versions.items())),
            ("model.pt", f"{card.model_digest[:DIGITS]}, {card.variant}: {', '.join(card.classes)} ({self.beside})"),
            ("model.onnx", f"{self.digest[:DIGITS]}, {len(card.golden)} golden photos"
                           f"{', answered as in training' if self.checked else ''}"),
            ("metrics", ", ".join(f"{name} {value:.4f}" for name, value in card.metrics.items())),
        ]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)

    def data(self) -> dict[str, Any]:
        card = self.card.model_dump(mode="json", exclude={"golden"})
        return {"path": str(self.path), "digest": self.digest, "model_pt_beside": self.beside,
                "checked": self.checked} | card


def lineage(settings: LineageSettings) -> LineageResult:
    """Read the card of a model. Raises ModelRefused where there is none, or where a check fails."""
    card = load_checked(settings.model_path).card if settings.check else read_card(settings.model_path)
    path = settings.model_path.with_suffix(".onnx")
    weights = path.with_suffix(".pt")
    beside = "not beside it"
    if weights.is_file():
        beside = "beside it" if sha256_file(weights) == card.model_digest else "the one beside it is ANOTHER"
    return LineageResult(path=path, digest=sha256_file(path), card=card, beside=beside,
                         checked=settings.check)
