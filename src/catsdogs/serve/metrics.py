"""What Prometheus reads. One registry per app; labels take values from short, fixed lists only."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.metrics_core import InfoMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from catsdogs.predictor import Prediction
from catsdogs.serve.shared import Board, Shared, board_file

REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
WORK_SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 2.0)
SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
PHOTOS = (1, 2, 4, 8, 16, 32, 64, 128)
BYTES = (1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7, 3e7)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def count_together(shared: Shared) -> None:
    """Before any metric is made: keep this process's in files of the folder, where the others find them.

    A process takes over the files of the one that had its number before, so that counters go on and files are few.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(shared.folder)
    values.ValueClass = values.MultiProcessValue(lambda: shared.number)  # type: ignore[no-untyped-call]


def gone(shared: Shared) -> None:
    """A process has ended: its counters stay counted, what it was doing and what it said do not."""
    mark_process_dead(shared.number, str(shared.folder))  # type: ignore[no-untyped-call]
    board_file(shared.folder, shared.number).unlink(missing_ok=True)


class Together(Collector):
    """The metrics of all processes, summed."""

    def __init__(self, shared: Shared) -> None:
        self.folder = shared.folder

    def collect(self) -> Iterable[Metric]:
        files = [str(path) for path in self.folder.glob("*.db") if _holds_something(path)]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        return merged


def _holds_something(path: Path) -> bool:
    """It is empty for the moment in which a process makes it, and gone once one has ended."""
    try:
        return bool(path.stat().st_size)
    except FileNotFoundError:
        return False


class Models(Collector):
    """Which models answer, and why a new file was refused."""

    def __init__(self, board: Board) -> None:
        self.board = board

    def collect(self) -> Iterator[Metric]:
        model = InfoMetricFamily("catsdogs_model", "The model that answers.")
        refusal = InfoMetricFamily("catsdogs_model_refusal", "Why the last new model file was refused.")
        said = self.board.all()
        for version, variant, arithmetic in sorted({(one.version, one.variant, one.served_in) for one in said
                                                    if one.version and one.variant and one.served_in}):
            model.add_metric([], {"version": version, "variant": variant, "served_in": arithmetic})
        for reason in sorted({one.refused.reason[:300] for one in said if one.refused}):
            refusal.add_metric([], {"reason": reason})
        yield from (model, refusal)


class Metrics:
    def __init__(self, shared: Shared | None = None) -> None:
        registry = CollectorRegistry()
        self.board = Board(shared)
        self.shown = registry if shared is None else CollectorRegistry()
        if shared is not None:
            self.shown.register(Together(shared))
        self.shown.register(Models(self.board))
        self.requests = Counter(
            "catsdogs_http_requests", "Answered requests.", ["method", "route", "status"], registry=registry)
        self.seconds = Histogram(
            "catsdogs_http_request_duration_seconds", "From a complete head to the last byte out.",
            ["method", "route"], buckets=REQUEST_SECONDS, registry=registry)
        self.in_progress = Gauge("catsdogs_http_requests_in_progress", "Requests being answered.", registry=registry,
                                 multiprocess_mode="livesum")
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
        self.together = Histogram(
            "catsdogs_inference_photos", "Photos that the network answered at once.", buckets=PHOTOS[:5],
            registry=registry)
        self.queue = Gauge("catsdogs_queue_photos", "Photos waiting or being worked on.", registry=registry,
                           multiprocess_mode="livesum")
        self.upload = Histogram(
            "catsdogs_upload_bytes", "Size of the uploaded photos.", buckets=BYTES, registry=registry)
        self.batch = Histogram("catsdogs_batch_photos", "Photos of a batch.", buckets=PHOTOS, registry=registry)
        self.refused = Counter("catsdogs_refused", "Refused requests and photos by reason.", ["reason"],
                               registry=registry)
        self.swapped = Counter("catsdogs_model_swapped", "Models that took over while serving.", registry=registry)
        self.model_refused = Counter(
            "catsdogs_model_refused", "Model files that were refused while serving.", registry=registry)

    def predicted(self, prediction: Prediction) -> None:
        self.predictions.labels(prediction.label, prediction.version or "stub").inc()
        self.confidence.observe(prediction.confidence)
        if prediction.doubt is not None:
            self.unsure.labels(prediction.doubt.kind).inc()

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        method = method if method in METHODS else "OTHER"
        self.requests.labels(method, route, str(status)).inc()
        self.seconds.labels(method, route).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.shown)
