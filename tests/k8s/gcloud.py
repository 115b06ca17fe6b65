"""What gcloud takes, read from a table that was taken from gcloud itself.

`python -m tests.k8s.gcloud /usr/lib/google-cloud-sdk/data/cli/gcloud_completions.py VERSION` writes the table anew, for
the commands that the bootstrap uses.
"""

import json
import re
import runpy
import sys
from pathlib import Path
from typing import Any

from tests.servers import ROOT

TABLE = Path(__file__).parent / "gcloud_flags.json"
EVERYWHERE = {"--project", "--quiet", "--format"}


def complaint(words: list[str]) -> str:
    """What is wrong with the words behind `gcloud`; empty where nothing is."""
    commands: dict[str, list[str]] = json.loads(TABLE.read_text())["commands"]
    command = next((name for name in sorted(commands, key=len, reverse=True)
                    if words[:len(name.split())] == name.split()), None)
    if command is None:
        return f"gcloud {' '.join(words[:4])} is not in the table"
    flags = [word.partition("=")[0] for word in words if word.startswith("--")]
    unknown = [flag for flag in flags if flag not in commands[command] and flag not in EVERYWHERE]
    return f"gcloud {command} does not take {unknown}" if unknown else ""


def used(script: str) -> set[str]:
    """`gcloud` commands in a script: the words before the first one that is no plain word."""
    joined = script.replace("\\\n", " ")
    found = re.findall(r"\bgcloud ((?:[a-z][a-z-]+ )+)", joined)
    return {words.strip() for words in found}


def main(completions: str, version: str) -> None:
    tree = runpy.run_path(completions)["STATIC_COMPLETION_CLI_TREE"]
    script = (ROOT / "scripts/bootstrap_gcp.sh").read_text().replace('"$verb"', "create-oidc")
    commands: dict[str, list[str]] = {}
    for words in [*used(script), "iam workload-identity-pools providers update-oidc"]:
        node: dict[str, Any] = tree
        name = []
        for word in words.split():
            if word not in node.get("commands", {}):
                break  # a name of something, not of a command
            node = node["commands"][word]
            name.append(word)
        if name and not node.get("commands"):
            commands[" ".join(name)] = sorted(node["flags"])
    lines = [f"    {json.dumps(name)}: {json.dumps(flags)}" for name, flags in sorted(commands.items())]
    TABLE.write_text(f'{{\n  "gcloud": {json.dumps(version)},\n  "commands": {{\n' + ",\n".join(lines) + "\n  }\n}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
