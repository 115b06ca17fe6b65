"""The RayJob names flags and variables that exist, runs as nobody, and is what KubeRay takes. No cluster is asked."""

import copy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from catsdogs.cli import parse
from catsdogs.commands import COMMANDS
from catsdogs.errors import UsageError

FILE = Path(__file__).parent.parent.parent / "k8s" / "ray" / "rayjob.yaml"


def job() -> dict[str, Any]:
    (document,) = yaml.safe_load_all(FILE.read_text())
    return dict(copy.deepcopy(document))


def stages(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Command and parsed settings of each stage in the entrypoint. Raises UsageError for a flag that does not exist."""
    shell, option, script = shlex.split(document["spec"]["entrypoint"])
    assert (shell, option) == ("sh", "-c")
    for line in script.split("&&"):
        program, name, *flags = shlex.split(line)
        assert program == "catsdogs" and name in COMMANDS
        yield name, parse(name, COMMANDS[name], flags)


def pods(document: dict[str, Any]) -> list[dict[str, Any]]:
    spec = document["spec"]
    groups = [spec["rayClusterSpec"]["headGroupSpec"], *spec["rayClusterSpec"]["workerGroupSpecs"]]
    return [spec["submitterPodTemplate"]["spec"], *(group["template"]["spec"] for group in groups)]


def faults(document: dict[str, Any]) -> list[str]:
    found = []
    if (document["apiVersion"], document["kind"]) != ("ray.io/v1", "RayJob"):
        found.append("kind")
    for pod in pods(document):
        if pod["serviceAccountName"] != "catsdogs-trainer" or pod["automountServiceAccountToken"] is not False:
            found.append("account")
        if pod["securityContext"]["runAsNonRoot"] is not True or not pod["securityContext"]["runAsUser"]:
            found.append("root")
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            rights = container["securityContext"]
            if rights["allowPrivilegeEscalation"] or not rights["readOnlyRootFilesystem"] \
                    or rights["capabilities"] != {"drop": ["ALL"]}:
                found.append("rights")
            if container["image"] != "catsdogs-trainer":
                found.append("image")
            for kind in ("requests", "limits"):
                if not {"cpu", "memory"} <= container["resources"][kind].keys():
                    found.append(kind)
            if {mount["name"] for mount in container["volumeMounts"]} - volumes:
                found.append("volume")
            found += [variable["name"] for variable in container["env"] if not _known(variable["name"])]
    return found


def _known(name: str) -> bool:
    prefixes = {"CATSDOGS_INGEST_": "ingest", "CATSDOGS_PREPROCESS_": "preprocess"}
    for prefix, command in prefixes.items():
        if name.startswith(prefix):
            return name.removeprefix(prefix).lower() in COMMANDS[command].settings_type().model_fields
    return name in ("HOME", "RAY_USAGE_STATS_ENABLED")


def test_the_entrypoint_runs_both_stages_on_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    head = job()["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    for variable in head["env"]:
        monkeypatch.setenv(variable["name"], variable.get("value", "gs://photos"))
    found = dict(stages(job()))
    assert list(found) == ["ingest", "preprocess"]
    for settings in found.values():
        assert (settings.engine, settings.ray_address) == ("ray", "auto")
        assert (settings.bucket, str(settings.cache_dir)) == ("gs://photos", "/tmp/catsdogs")
        assert settings.commit is None  # the one that the image was built from


def test_a_flag_that_does_not_exist_is_found() -> None:
    document = job()
    document["spec"]["entrypoint"] = document["spec"]["entrypoint"].replace("--ray-address", "--ray-adress")
    with pytest.raises((UsageError, SystemExit)):
        list(stages(document))


def test_the_manifest_is_sound() -> None:
    assert faults(job()) == []


def test_the_version_of_ray_is_the_pinned_one_and_strangers_are_kept_out() -> None:
    cluster = job()["spec"]["rayClusterSpec"]
    pins = (FILE.parent.parent.parent / "constraints.txt").read_text().splitlines()
    assert f"ray=={cluster['rayVersion']}" in pins
    assert cluster["authOptions"] == {"mode": "token"}


@pytest.mark.parametrize(("path", "value", "fault"), [
    (("kind",), "RayCluster", "kind"),
    (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "serviceAccountName"), "default", "account"),
    (("spec", "submitterPodTemplate", "spec", "securityContext", "runAsNonRoot"), False, "root"),
    (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "template", "spec", "containers", 0, "image"), "rayproject/ray",
     "image"),
    (("spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "containers", 0, "env", 2, "name"),
     "CATSDOGS_INGEST_BUKET", "CATSDOGS_INGEST_BUKET"),
    (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "template", "spec", "containers", 0, "resources", "limits"), {},
     "limits"),
])
def test_planted_faults_are_found(path: tuple[str | int, ...], value: object, fault: str) -> None:
    document = job()
    place: Any = document
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    assert fault in faults(document)
