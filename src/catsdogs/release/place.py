"""Which cluster is meant; and `catsdogs cluster`, which shows or stops one on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from catsdogs.clusters.cluster import Cluster
from catsdogs.clusters.docker import Containers
from catsdogs.clusters.kubectl import KubectlCluster
from catsdogs.clusters.local import LocalCluster
from catsdogs.clusters.process import Processes
from catsdogs.errors import UsageError
from catsdogs.settings.release import ClusterSettings, PlaceSettings


@contextmanager
def opened(settings: PlaceSettings) -> Iterator[Cluster]:
    """The cluster that is meant, until this process needs it no more."""
    cluster: Cluster
    if settings.cluster == "kubectl":
        cluster = KubectlCluster(settings.namespace, settings.deployment, settings.context, settings.public_address)
    else:
        cluster = _local(settings)
    try:
        yield cluster
    finally:
        cluster.close()


def _local(settings: PlaceSettings) -> LocalCluster:
    folder = settings.cluster_dir
    replicas = Containers(folder) if settings.cluster == "docker" else Processes(folder)
    return LocalCluster(replicas, folder, settings.replicas, settings.port)


@dataclass(frozen=True)
class ClusterResult:
    name: str
    address: str | None  # None: it was stopped
    image: str | None
    replicas: dict[str, bool]

    @property
    def passed(self) -> bool:
        return self.address is None or all(self.replicas.values())

    def text(self) -> str:
        if self.address is None:
            return f"stopped      {self.name}"
        lines = [f"cluster      {self.name}", f"image        {self.image or 'none yet'}",
                 f"address      {self.address}"]
        return "\n".join(lines + [f"  replica    {address} {'is ready' if ready else 'does not answer'}"
                                  for address, ready in self.replicas.items()])

    def data(self) -> dict[str, Any]:
        return {"name": self.name, "address": self.address, "image": self.image, "replicas": self.replicas}


def cluster(settings: ClusterSettings) -> ClusterResult:
    """Raises UsageError for Kubernetes, which has its own tools for this."""
    if settings.cluster == "kubectl":
        raise UsageError("--cluster docker or --cluster process: Kubernetes is shown by `kubectl get deployments`.")
    found = _local(settings)
    if settings.stop:
        found.stop()
        return ClusterResult(found.name, None, None, {})
    return ClusterResult(found.name, found.public_address(), found.current_image(), found.replicas())
