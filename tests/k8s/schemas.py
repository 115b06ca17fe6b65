"""Documents against Kubernetes' own schemas, unknown fields refused."""

from collections.abc import Iterator

from kubernetes_validate import SchemaNotFoundError, ValidationError, validate

from tests.k8s.render import Document, named

VERSIONS = ("1.32", "1.34")  # GKE's channels: extended and stable
CUSTOM = {"PodMonitoring"}
"""Kinds that a cluster learns from a custom resource definition; safety.py looks at them."""


def schemas(documents: list[Document]) -> Iterator[str]:
    for document in documents:
        for version in VERSIONS:
            try:
                validate(document, version, strict=True)
            except SchemaNotFoundError:
                if document["kind"] not in CUSTOM:
                    yield f"{named(document)}: Kubernetes {version} has no {document['kind']} {document['apiVersion']}"
            except ValidationError as error:
                where = ".".join(str(part) for part in error.path)
                yield f"{named(document)} does not fit Kubernetes {version}: {where}: {error.message[:200]}"
