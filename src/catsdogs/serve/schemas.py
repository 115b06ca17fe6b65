"""The shapes of the service's answers."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    model_config = ConfigDict(protected_namespaces=())


class PredictAnswer(Answer):
    """The calibrated prediction for one photo."""

    label: str = Field(examples=["cat"])
    confidence: float = Field(description="Probability of `label`, 0 to 1.", examples=[0.93])
    probabilities: dict[str, float] = Field(description="Of every class; they sum to 1.", examples=[
        {"cat": 0.93, "dog": 0.07}])
    model_loaded: bool = Field(description="False where a stub answers, which is for development only.")
    unsure: bool = Field(description="True where the answer should not be relied on.", examples=[False])
    reason: str | None = Field(description="Why it is unsure; null where it is not.", examples=[None])


class BatchEntry(Answer):
    """One photo of a batch: its prediction where `status` is 200, otherwise what was wrong with it."""

    status: int = Field(description="What /predict would have answered for this photo alone.", examples=[200])
    prediction: PredictAnswer | None = None
    detail: str | None = Field(None, examples=[None])


class BatchAnswer(Answer):
    """One entry a photo, in the order in which they were sent."""

    answers: list[BatchEntry]


Row = list[float]


class ExplainAnswer(Answer):
    """Which places of the photo the answer is owed to."""

    prediction: PredictAnswer
    grid: list[Row] = Field(description="Rows from top to bottom, over the whole photo: 1 is the place that speaks "
                                        "most, above 0 for the label, below 0 against it.",
                            examples=[[[0.1, 1.0], [-0.2, 0.4]]])
    strength: float = Field(description="How much the strongest place adds to the label's logit.", examples=[0.42])


class HealthAnswer(Answer):
    status: str = Field(examples=["healthy"])
    model_loaded: bool
    version: str | None = Field(description="Of the model; null without one.", examples=["dc3fde5ebe2e"])
    service_version: str


class Refusal(Answer):
    """A model file that should have taken over, and did not."""

    reason: str
    at: str = Field(examples=["2026-11-24T06:00:00Z"])


class ReadyAnswer(Answer):
    ready: bool
    reason: str
    refused: Refusal | None = Field(None, description="The last new model file, where it was refused: the one before "
                                                      "it goes on answering.")


class ErrorAnswer(Answer):
    detail: str = Field(examples=["Not a photo: none of JPEG, PNG, GIF, BMP, WEBP."])
    request_id: str


class FamiliarityAnswer(Answer):
    """How the model tells a photo that is unlike those of its training."""

    method: str
    fitted_on: int
    threshold: float
    validation_share: float


class ModelAnswer(Answer):
    """The model card, without its golden photos."""

    version: str
    variant: str
    classes: list[str]
    image_size: int
    preparation: str
    arithmetic: str = Field(description="int8, int7: the network was made for 8-bit integers, or with weights of 7.")
    served_in: str = Field(description="The arithmetic that answers here: what the network was made for, bfloat16, or "
                                       "float32, chosen by measurement right after the start.")
    photos_at_once: int = Field(description="That the network answers together where so many wait, chosen likewise.")
    temperature: float
    unsure_below: Annotated[float, Field(description="Answers of a lower confidence are unsure.")]
    familiarity: FamiliarityAnswer | None
    explains: bool = Field(description="Whether /explain answers.")
    model_digest: str
    metrics: dict[str, float]
    golden_photos: int
    lineage: dict[str, object]
    refused: Refusal | None = None
