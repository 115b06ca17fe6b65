"""What answers: a checked model, or in development a stub that says that it is one."""

import hashlib
from dataclasses import dataclass
from typing import Any

from catsdogs.images import PREPARATION, prepare
from catsdogs.log import event
from catsdogs.machine import give_back_free_memory
from catsdogs.predictor import Prediction, Predictor, load_right
from catsdogs.serve.batching import best_batch
from catsdogs.serve.schemas import ModelAnswer, Refusal
from catsdogs.serve.stamps import Stamps, stamps
from catsdogs.settings.serving import ServeSettings

STUB_CLASSES = ("cat", "dog")
NOT_SHOWN: dict[str, Any] = {"golden": True, "schema_version": True, "familiarity": {"statistics": True}}


@dataclass(frozen=True)
class Loaded:
    """`predictor` is None where a stub answers; `reason` then says why. `stamps` are of its files, before they were
    read: what has changed since is news."""

    predictor: Predictor | None
    reason: str
    stamps: Stamps = (None, None)

    @property
    def version(self) -> str | None:
        return self.predictor.card.version if self.predictor else None


class Current:
    """The model that answers now. Swapped as a whole; what is under way keeps the one that it began with."""

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self.refusal: Refusal | None = None  # of a file that should have taken over

    @property
    def predictor(self) -> Predictor | None:
        return self.loaded.predictor

    @property
    def version(self) -> str | None:
        return self.loaded.version

    def swap(self, loaded: Loaded) -> None:
        self.loaded, self.refusal = loaded, None

    def answer(self) -> ModelAnswer | None:
        if self.predictor is None:
            return None
        card = self.predictor.card
        return ModelAnswer(
            version=card.version, served_in=self.predictor.served_in, photos_at_once=self.predictor.at_once,
            golden_photos=len(card.golden), explains=self.predictor.explains,
            refused=self.refusal, **card.model_dump(mode="json", exclude=NOT_SHOWN),
        )


def load(settings: ServeSettings) -> Loaded:
    """Load the model and let it answer its golden photos. Raises ModelRefused: a broken model is never served."""
    if not settings.enable_real_model:
        return Loaded(None, "no model is loaded (ENABLE_REAL_MODEL is not set): a stub answers")
    before = stamps(settings.model_path)
    predictor = load_right(settings.model_path)
    if settings.batch > 1:
        predictor.takes_together()
    predictor.at_once = settings.batch or 1
    return Loaded(predictor, "the golden photos were answered correctly", before)


def choose(loaded: Loaded, settings: ServeSettings, *, together: bool) -> None:
    """The faster arithmetic; and how many at once, where photos may be answered `together` and the settings leave it
    to a measurement. Apart from `load`: it takes two fifths of a second, in which photos are answered as they are."""
    if loaded.predictor is None:
        return
    try:
        loaded.predictor.choose()
        if together and settings.batch == 0:
            loaded.predictor.at_once = best_batch(loaded.predictor)
    except Exception as error:  # of the engine, or for want of memory: what answers now goes on
        event("not_measured", because=f"{type(error).__name__}: {error}"[:300])
    give_back_free_memory()


def stub_prediction(data: bytes, max_pixels: int) -> Prediction:
    """An answer of the right form for a photo, drawn from its digest; for development without a model.

    Raises BadImage like the real one.
    """
    prepare(data, 8, max_pixels)
    share = 0.5 + hashlib.sha256(data + PREPARATION.encode()).digest()[0] / 512
    label, other = STUB_CLASSES if share > 0.75 else STUB_CLASSES[::-1]
    return Prediction(label, share, {label: share, other: 1 - share})
