"""MLflow's container of the manifest, its references to ConfigMap and Secret filled in."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.k8s.render import get, render

PASSWORD = "only-for-this-test-1"
SECRETS = {"password": PASSWORD, "flask-secret-key": "for-signing"}


@dataclass(frozen=True)
class Tracking:
    words: list[str]  # command and arguments, not expanded yet
    environment: dict[str, str]
    config: str  # basic_auth.ini

    def expanded(self, replaced: dict[str, str], environment: dict[str, str]) -> list[str]:
        """The words as the cluster expands them, some replaced before. Each of `replaced` must be there."""
        assert replaced.keys() <= set(self.words), "the manifest has other arguments than this test replaces"
        return [re.sub(r"\$\((\w+)\)", lambda found: environment[found[1]], replaced.get(word, word))
                for word in self.words]


def tracking(folder: Path, overlay: str = "local", secrets: dict[str, str] = SECRETS) -> Tracking:
    documents = render(overlay, folder)
    container = get(documents, "Deployment/mlflow")["spec"]["template"]["spec"]["containers"][0]
    settings = get(documents, "ConfigMap/catsdogs")["data"]
    environment = {}
    for variable in container["env"]:
        source = variable.get("valueFrom", {})
        environment[variable["name"]] = variable["value"] if "value" in variable else (
            settings[source["configMapKeyRef"]["key"]] if "configMapKeyRef" in source
            else secrets[source["secretKeyRef"]["key"]])
    return Tracking(words=[*container["command"], *container["args"]], environment=environment,
                    config=get(documents, "ConfigMap/mlflow-auth-config")["data"]["basic_auth.ini"])
