"""What the documents say of our code: paths of probes, names in the environment, commands and their flags."""

import re
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml
from pydantic import AliasChoices

from catsdogs.cli import parse
from catsdogs.commands import COMMANDS
from catsdogs.errors import UsageError
from tests.k8s.render import Document, containers, get, named, pods

OTHERS = {"HOME", "OMP_NUM_THREADS", "NODE_RANK"}
"""Variables that neither our settings nor MLflow read."""
SERVED_BY = {"cats-dogs-api": "serve", "cats-dogs-api-candidate": "serve"}
"""Deployments whose image chooses the command."""


@cache
def routes(image: str) -> frozenset[str]:
    """Paths that the program in this image answers."""
    if image == "catsdogs-trainer":  # MLflow: /health is its own
        return frozenset({"/health"})
    from catsdogs.serve.app import create_app
    from catsdogs.serve.state import load
    from catsdogs.settings.serving import ServeSettings

    settings = ServeSettings(enable_real_model=False)
    app: Any = create_app(settings, load(settings), None)
    return frozenset(route.path for route in app.routes)


def probes(documents: list[Document]) -> Iterator[str]:
    """Probes and monitors ask for what the program has; liveness never asks for readiness."""
    for owner, pod in pods(documents).items():
        for container in containers(pod):
            known = routes(_image(container))
            for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
                probe = container.get(kind, {}).get("httpGet")
                if probe and probe["path"] not in known:
                    yield f"{owner}: {kind} asks for {probe['path']}, which the program does not have"
            if container.get("livenessProbe", {}).get("httpGet", {}).get("path") == "/readyz":
                yield f"{owner} would be restarted for not being ready"
    for document in documents:
        if document["kind"] == "PodMonitoring":
            for endpoint in document["spec"]["endpoints"]:
                if endpoint["path"] not in routes("cats-dogs-api"):
                    yield f"{named(document)} reads {endpoint['path']}, which the API does not have"


def environment(documents: list[Document]) -> Iterator[str]:
    """Every name in the environment is read: by the settings of the command, or by MLflow."""
    for owner, pod in pods(documents).items():
        for container in containers(pod):
            known = OTHERS | mlflow_names() | (settings_names(command) if (command := command_of(owner, container))
                                               else {"CATSDOGS_BUCKET"})
            for variable in container.get("env", []):
                if variable["name"] not in known:
                    yield f"{owner} is given {variable['name']}, which nothing reads"
            expanded = set(re.findall(r"\$\((\w+)\)", " ".join(container.get("args", []))))
            for name in expanded - {variable["name"] for variable in container.get("env", [])}:
                yield f"{owner} uses $({name}), which is not in its environment"


def arguments(documents: list[Document]) -> Iterator[str]:
    """Commands exist, and their settings take every flag."""
    for owner, pod in pods(documents).items():
        for container in containers(pod):
            words = [*container.get("command", []), *container.get("args", [])]
            try:
                if words[:1] == ["catsdogs"]:
                    given = [re.sub(r"\$\(\w+\)", "0", word) for word in words[2:]]  # filled in by the cluster
                    parse(words[1], COMMANDS[words[1]], given)
                elif words[:2] == ["mlflow", "server"]:
                    yield from _mlflow(owner, words[2:])
                elif words:
                    yield f"{owner} runs {words[0]}, which no image is known to have"
            except KeyError as error:
                yield f"{owner}: there is no command {error}"
            except (UsageError, SystemExit) as error:
                yield f"{owner}: {error}"


def doubles(documents: list[Document]) -> Iterator[str]:
    """The candidate's pod is the public one but for its name: what is tested is what will run."""
    public, candidate = (get(documents, f"Deployment/{name}") for name in SERVED_BY)
    renamed = yaml.safe_dump(candidate["spec"]["template"]).replace("cats-dogs-api-candidate", "cats-dogs-api")
    if renamed != yaml.safe_dump(public["spec"]["template"]):
        yield "Deployment/cats-dogs-api-candidate has another pod than the public one"
    job, distributed = (get(documents, f"Job/{name}")["spec"] for name in
                        ("production-train-job", "distributed-train-job"))
    nodes = f"--nodes={distributed['completions']}"
    if nodes not in distributed["template"]["spec"]["containers"][0]["args"] \
            or distributed["parallelism"] != distributed["completions"]:
        yield f"Job/distributed-train-job: {nodes} is not what completions and parallelism say"
    if job["podFailurePolicy"] != distributed["podFailurePolicy"]:
        yield "the two training Jobs fail differently"


def command_of(owner: str, container: Document) -> str | None:
    """Our command that a container runs; None for MLflow."""
    words = [*container.get("command", []), *container.get("args", [])]
    if not words:
        return SERVED_BY[owner.partition("/")[2]]
    return words[words.index("catsdogs") + 1] if "catsdogs" in words else None


@cache
def settings_names(command: str) -> frozenset[str]:
    """Names in the environment that a command reads; the job's stages read theirs as well."""
    chain = ["job", "ingest", "preprocess", "doctor", "train", "pull", "push", "gate"]
    commands = chain if command == "job" else [command] * (command in COMMANDS)
    names: set[str] = set()
    for settings in (COMMANDS[each].settings_type() for each in commands):
        for name, field in settings.model_fields.items():
            alias = field.validation_alias
            choices = alias.choices if isinstance(alias, AliasChoices) else []
            names |= {str(choice) for choice in choices} | {settings.model_config["env_prefix"] + name.upper()}
    return frozenset(names)


@cache
def mlflow_names() -> frozenset[str]:
    import mlflow.environment_variables as known

    options = {str(option.envvar) for option in _mlflow_server().params}
    # Read by the server's own modules, not through its table of variables.
    return frozenset(options | {name for name in dir(known) if name.startswith("MLFLOW_")}
                     | {"MLFLOW_ALLOWED_HOSTS", "MLFLOW_FLASK_SERVER_SECRET_KEY"})


@cache
def _mlflow_server() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, about its own dependencies
        from mlflow.cli import cli
    return cli.commands["server"]


def _mlflow(owner: str, words: list[str]) -> Iterator[str]:
    import click

    try:
        _mlflow_server().make_context("server", words)
    except click.ClickException as error:
        yield f"{owner}: mlflow server: {error.format_message()}"


def _image(container: Document) -> str:
    name: str = container["image"].partition("@")[0].rpartition("/")[2]
    return name.partition(":")[0]
