"""Settings of what brings a model to users and takes it back."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from catsdogs.settings.base import Count, Duration, Settings, Share, config
from catsdogs.settings.gate import GateLimits
from catsdogs.settings.promotion import RegistrySettings

Positive = Annotated[float, Field(gt=0)]


class PlaceSettings(Settings):
    """Where the service runs."""

    cluster: Literal["kubectl", "docker", "process"] = "kubectl"
    """What runs it: Kubernetes through kubectl, or on this machine Docker's containers or plain processes."""
    cluster_dir: Path = Path(".catsdogs/cluster")
    """On this machine: folder that remembers what runs."""
    replicas: Count = 2
    """On this machine: copies of the service behind the proxy."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """On this machine: port of the proxy (0: a free one)."""
    context: str | None = None
    """On Kubernetes: context of the kubeconfig (default: its current one)."""
    namespace: str = "cats-dogs"
    """On Kubernetes: namespace of the service."""
    deployment: str = "cats-dogs-api"
    """On Kubernetes: name of the Deployment and of its Service; the candidate's ends in -candidate."""
    public_address: str | None = None
    """On Kubernetes: where users reach the service (default: its load balancer, else through a port-forward)."""


class ClusterSettings(PlaceSettings):
    """Show what runs on this machine, or stop it."""

    model_config = config("CLUSTER")

    stop: bool = False
    """Stop every replica and the proxy (--cluster docker or process)."""


class MovingSettings(RegistrySettings, PlaceSettings):
    """What release and rollback have in common."""

    ready_seconds: Duration = 180.0
    """How long an image may take until one replica of it is ready."""
    rollout_seconds: Duration = 300.0
    """How long all public replicas may take."""
    lease_seconds: Duration = 120.0
    """A release that has not been heard of for so long is dead: the next one undoes or completes it."""


class ReleaseSettings(MovingSettings, GateLimits):
    """Try an image without traffic, judge it against the champion, let it answer users, and undo it when it fails."""

    model_config = config("RELEASE")

    image: str = ""
    """Image to release, by digest (repository@sha256:...); with --cluster process a model file."""
    commit: str | None = None
    """Version in the bucket whose model the image must hold (default: not checked)."""
    model_path: Path = Path("models/model.onnx")
    """Where this exists, the image must hold this model and answer its golden photos."""
    input_csv: Path = Path("artifacts/eval_batch.csv")
    """CSV written by eval-batch: its photos are sent to the candidate and to the champion."""
    output_json: Path = Path("artifacts/release.json")
    """Report of the gate to write, also when it refuses."""
    gate: bool = True
    """Judge the candidate's answers; --no-gate ships whatever is ready, and the log says so."""
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """As for gate, but wider: an evaluation batch has fewer photos than a test split."""
    concurrency: Count = 4
    """Photos under way at a time."""
    timeout_seconds: Positive = 30.0
    """Longest wait for one answer."""
    watch_seconds: Annotated[float, Field(ge=0)] = 60.0
    """How long to watch the public service after the switch."""
    watch_rate: Positive = 5.0
    """Photos a second to send to it meanwhile."""
    max_error_rate: Share = 0.01
    """Undo the release when a larger share of them fails."""
    max_p99_ms: Positive = 2000.0
    """Undo the release when the slowest hundredth of the answers takes longer."""


class RollbackSettings(MovingSettings):
    """Undo the last release: the image and the champion before it come back."""

    model_config = config("ROLLBACK")
