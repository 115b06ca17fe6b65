"""Makes the images that the release tests need on a real cluster, and prints the variable that names them:

    docker build -f Dockerfile.serve -t cats-dogs-api:latest .
    export "$(python -m tests.release.images cats-dogs-api:latest registry.example/somewhere/catsdogs-test)"
    KUBECONFIG=... pytest tests/release/test_kubernetes.py

The repository must be one that this machine may push to and the cluster may pull from.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.release.kubernetes import ROLES
from tests.release.places import tiny_models

DOCKERFILE = """\
FROM {base}
USER 0
RUN rm -f /app/models/model.pt
COPY --chmod=0644 model.onnx /app/models/model.onnx
COPY --chmod=0644 dying.py /dying.py
USER 10001:10001
"""
# Public replicas end at different times, so that one of them is gone while another answers; a candidate lives.
DYING = """\
import random, socket, subprocess, sys, time
service = subprocess.Popen(["catsdogs", "serve"])
time.sleep(10**6 if "candidate" in socket.gethostname() else random.uniform(15, 60))
print("catsdogs serve: cannot go on", flush=True)
service.kill()
sys.exit(3)
"""


def main(base: str, repository: str, roles: tuple[str, ...] = ROLES) -> dict[str, str]:
    """Build and push; role -> image by digest. Raises CalledProcessError."""
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        models = tiny_models(Path(scratch))
        for role in roles:
            model = models["good" if role == "dying" else role]
            (model.parent / "dying.py").write_text(DYING)
            command = 'CMD ["python", "/dying.py"]\n' if role == "dying" else ""
            (model.parent / "Dockerfile").write_text(DOCKERFILE.format(base=base) + command)
            name = f"{repository}:{role}"
            _docker("build", "--quiet", "--tag", name, str(model.parent))
            _docker("push", "--quiet", name)
            digests = json.loads(_docker("image", "inspect", "--format", "{{json .RepoDigests}}", name))
            (found[role],) = [digest for digest in digests if digest.startswith(f"{repository}@")]
    return found


def _docker(*words: str) -> str:
    return subprocess.run(["docker", *words], check=True, stdout=subprocess.PIPE, text=True,
                          env=os.environ | {"DOCKER_BUILDKIT": "1"}).stdout


if __name__ == "__main__":
    print("CATSDOGS_TEST_IMAGES=" + json.dumps(main(*sys.argv[1:])))
