"""MLflow's registry mirrors what was decided: aliases for people, a tag per decision. It decides nothing."""

import warnings
from pathlib import Path
from typing import Any

from catsdogs.champion.decision import Decision, Shipped
from catsdogs.log import event
from catsdogs.mlflow_server import NOTHING, client, first_line, probe, without_password
from catsdogs.settings.promotion import RegistrySettings

DIGEST_TAG = "model_digest"


def mirror(
    settings: RegistrySettings, alias: str, model: Shipped | None, decision: Decision | None, bucket: str
) -> bool:
    """Let `alias` name this model, or nothing; whether MLflow was told. Never raises: said once, and left at that."""
    uri = settings.mlflow_tracking_uri
    if uri == NOTHING:
        return False
    try:
        if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
            raise FileNotFoundError("it does not exist")
        probe(uri)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's own, about its own dependencies
            _tell(settings, alias, model, decision, bucket)
        return True
    except ModuleNotFoundError:
        event("not_mirrored", because="mlflow is not installed: pip install 'catsdogs[train]'")
    except Exception as error:  # whatever a server, a proxy or a database answers: the bucket holds the truth
        event("not_mirrored", because=f"{without_password(uri)} cannot be used: {first_line(error)}")
    return False


def _tell(
    settings: RegistrySettings, alias: str, model: Shipped | None, decision: Decision | None, bucket: str
) -> None:
    server = client(settings.mlflow_tracking_uri)
    name = settings.registered_model
    registered = _registered(server, name)
    if decision is not None:
        server.set_registered_model_tag(name, f"decision-{Path(decision.key).stem}", decision.text()[:5000])
    if model is not None:
        version = _version(server, name, model, bucket)
        if registered.aliases.get(alias) != version:
            server.set_registered_model_alias(name, alias, version)
    elif alias in registered.aliases:
        server.delete_registered_model_alias(name, alias)


def _registered(server: Any, name: str) -> Any:
    try:
        server.create_registered_model(name)
    except Exception as error:  # MLflow's own class cannot be named before MLflow is imported
        if getattr(error, "error_code", "") != "RESOURCE_ALREADY_EXISTS":
            raise
    return server.get_registered_model(name)


def _version(server: Any, name: str, model: Shipped, bucket: str) -> str:
    """The registry's number of this model; a new one where it knows none."""
    key = model.model_digest or model.image or ""
    for found in server.search_model_versions(f"name='{name}'"):
        if found.tags.get(DIGEST_TAG) == key:
            return str(found.version)
    tags = {DIGEST_TAG: key} | ({"commit": model.commit} if model.commit else {})
    tags |= {"image": model.image} if model.image else {}
    # A server refuses the paths of this machine as a source, so a folder is named by a scheme that it does not open.
    place = bucket if "://" in bucket else "folder://" + bucket.lstrip("/")
    created = server.create_model_version(name, source=f"{place}/models/{model.commit or key}", tags=tags)
    return str(created.version)
