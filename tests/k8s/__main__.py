"""`python -m tests.k8s`: render every overlay and check it; one line a fault, exit 1 where there is one."""

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.k8s import code, references, safety
from tests.k8s.render import OVERLAYS, Document, render
from tests.k8s.schemas import schemas

Check = Callable[[list[Document]], Iterator[str]]
CHECKS: list[Check] = [
    schemas, references.selectors, references.ports, references.existence, references.namespaces, code.probes,
    code.environment, code.arguments, code.doubles, safety.images, safety.security, safety.secrecy, safety.rollout,
    safety.training, safety.monitoring,
]


def faults(documents: list[Document], checks: Sequence[Check] = CHECKS) -> list[str]:
    return [fault for check in checks for fault in check(documents)]


def main() -> int:
    found = 0
    with tempfile.TemporaryDirectory() as folder:
        for overlay in OVERLAYS:
            documents = render(overlay, Path(folder))
            for fault in faults(documents):
                print(f"{overlay}: {fault}", file=sys.stderr)
                found += 1
            print(f"{overlay}: {len(documents)} documents, {len(CHECKS)} checks")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
