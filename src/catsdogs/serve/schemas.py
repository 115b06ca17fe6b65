"""The shapes of the service's answers."""

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


class HealthAnswer(Answer):
    status: str = Field(examples=["healthy"])
    model_loaded: bool
    version: str | None = Field(description="Of the model; null without one.", examples=["dc3fde5ebe2e"])
    service_version: str


class ReadyAnswer(Answer):
    ready: bool
    reason: str


class ErrorAnswer(Answer):
    detail: str = Field(examples=["Not a photo: none of JPEG, PNG, GIF, BMP, WEBP."])
    request_id: str


class ModelAnswer(Answer):
    """The model card, without its golden photos."""

    version: str
    variant: str
    classes: list[str]
    image_size: int
    preparation: str
    temperature: float
    model_digest: str
    metrics: dict[str, float]
    golden_photos: int
    lineage: dict[str, object]
