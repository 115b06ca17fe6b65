"""Prints the arguments of the training Job's container, one a line: what runs here is what runs on the cluster."""

from pathlib import Path

import yaml

MANIFEST = Path(__file__).resolve().parents[2] / "k8s/base/production-train-job.yaml"


def arguments(text: str) -> list[str]:
    """Raises ValueError where the Job does not run `catsdogs` in its container `train`."""
    job = next(document for document in yaml.safe_load_all(text) if document["kind"] == "Job")
    (container,) = [one for one in job["spec"]["template"]["spec"]["containers"] if one["name"] == "train"]
    if container["command"] != ["catsdogs"]:
        raise ValueError(f"{MANIFEST.name} runs {container['command']}, expected catsdogs.")
    return [str(argument) for argument in container["args"]]


if __name__ == "__main__":
    print("\n".join(arguments(MANIFEST.read_text())))
