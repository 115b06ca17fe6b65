"""What Prometheus reads. One registry per app; labels take values from short, fixed lists only."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

from catsdogs.predictor import Prediction
from catsdogs.serve.schemas import ModelAnswer

REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
WORK_SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 2.0)
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
PHOTOS = (1, 2, 4, 8, 16, 32, 64, 128)
BYTES = (1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7, 3e7)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Counter(
            "catsdogs_http_requests", "Answered requests.", ["method", "route", "status"], registry=registry)
        self.seconds = Histogram(
            "catsdogs_http_request_duration_seconds", "From the first byte in to the last byte out.",
            ["method", "route"], buckets=REQUEST_SECONDS, registry=registry)
        self.in_progress = Gauge("catsdogs_http_requests_in_progress", "Requests being answered.", registry=registry)
        self.predictions = Counter(
            "catsdogs_predictions", "Predictions by label and model.", ["label", "version"], registry=registry)
        self.unsure = Counter("catsdogs_unsure", "Predictions not to be relied on, by why.", ["reason"],
                              registry=registry)
        self.confidence = Histogram(
            "catsdogs_prediction_confidence_ratio", "Probability of the answered label.", buckets=SHARES,
            registry=registry)
        self.decode = Histogram(
            "catsdogs_decode_seconds", "Decoding and resizing one photo.", buckets=WORK_SECONDS, registry=registry)
        self.inference = Histogram(
            "catsdogs_inference_seconds", "The network, for one photo.", buckets=WORK_SECONDS, registry=registry)
        self.queue = Gauge("catsdogs_queue_photos", "Photos waiting or being worked on.", registry=registry)
        self.upload = Histogram(
            "catsdogs_upload_bytes", "Size of the uploaded photos.", buckets=BYTES, registry=registry)
        self.batch = Histogram("catsdogs_batch_photos", "Photos of a batch.", buckets=PHOTOS, registry=registry)
        self.refused = Counter("catsdogs_refused", "Refused requests and photos by reason.", ["reason"],
                               registry=registry)
        self.model = Info("catsdogs_model", "The model that answers.", registry=registry)
        self.swapped = Counter("catsdogs_model_swapped", "Models that took over while serving.", registry=registry)
        self.model_refused = Counter(
            "catsdogs_model_refused", "Model files that were refused while serving.", registry=registry)
        self.refusal = Info("catsdogs_model_refusal", "Why the last new model file was refused.",
                            registry=registry)

    def predicted(self, prediction: Prediction) -> None:
        self.predictions.labels(prediction.label, prediction.version or "stub").inc()
        self.confidence.observe(prediction.confidence)
        if prediction.doubt is not None:
            self.unsure.labels(prediction.doubt.kind).inc()

    def answering(self, model: ModelAnswer | None) -> None:
        """Name the model that answers from now on."""
        if model is not None:
            self.model.info({"version": model.version, "variant": model.variant})
        self.refusal.info({})

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        method = method if method in METHODS else "OTHER"
        self.requests.labels(method, route, str(status)).inc()
        self.seconds.labels(method, route).observe(seconds)

    @contextmanager
    def timed(self, histogram: Histogram) -> Iterator[None]:
        started = perf_counter()
        yield
        histogram.observe(perf_counter() - started)

    def text(self) -> bytes:
        return generate_latest(self.registry)
