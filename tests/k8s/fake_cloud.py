"""Stands in for gcloud and kubectl on the PATH of the bootstrap: refuses flags that gcloud does not have, remembers
what was created in FAKE_CLOUD, and writes every call and every Secret down there.

A stand-in, because the real ones would create things that cost money; where gcloud is installed, test_bootstrap.py also
lets the real one read every line.
"""

import json
import os
import sys
from pathlib import Path

from tests.k8s.gcloud import complaint


def main(program: str, words: list[str]) -> int:
    state = Path(os.environ["FAKE_CLOUD"])
    with (state / "calls").open("a") as log:
        log.write(json.dumps([program, *words]) + "\n")
    there = state / "there"
    known = there.read_text().splitlines() if there.exists() else []

    def remember(what: str) -> int:
        there.write_text("\n".join([*known, what]))
        return 0

    if program == "kubectl":
        if words[0] == "create":
            secret = json.load(sys.stdin)
            (state / f"secret-{secret['metadata']['name']}").write_text(json.dumps(secret["stringData"]))
            return remember(f"secret {secret['metadata']['name']}")
        return 0 if words[0] == "apply" or f"secret {words[2]}" in known else 1
    if wrong := complaint(words):
        print(wrong, file=sys.stderr)
        return 2
    if broken := os.environ.get("FAKE_CLOUD_FAILS"):
        if words[:len(broken.split())] == broken.split():
            print("PERMISSION_DENIED", file=sys.stderr)
            return 1
    plain = [word for word in words if not word.startswith("--")]
    if words[:2] == ["projects", "describe"]:
        print("123456789")
        return 0
    if "describe" in plain:
        at = plain.index("describe")
        return 0 if f"{' '.join(plain[:at])} {plain[at + 1].partition('@')[0]}" in known else 1
    if "create" in plain or "create-oidc" in plain:
        at = plain.index("create" if "create" in plain else "create-oidc")
        return remember(f"{' '.join(plain[:at])} {plain[at + 1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
