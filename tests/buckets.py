"""Real object stores for tests: moto_server and gcp-storage-emulator on free ports of 127.0.0.1, and folders."""

import itertools
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.servers import free_port

KINDS = ("folder", "gs", "s3")
_numbers = itertools.count()
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}


@dataclass(frozen=True)
class Servers:
    gs: int  # ports
    s3: int


@contextmanager
def servers() -> Iterator[Servers]:
    from gcp_storage_emulator.server import create_server
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)
    logging.getLogger("api").setLevel(logging.CRITICAL)
    ports = Servers(gs=free_port(), s3=free_port())
    google = create_server("127.0.0.1", ports.gs, in_memory=True)
    amazon = ThreadedMotoServer("127.0.0.1", ports.s3, verbose=False)
    with ExitStack() as stack:
        google.start()
        stack.callback(google.stop)
        amazon.start()
        stack.callback(amazon.stop)
        yield ports


def new_bucket(kind: str, running: Servers, folder: Path) -> str:
    """Address of an empty bucket."""
    name = f"photos-{os.getpid()}-{next(_numbers)}"
    if kind == "gs":
        requests.post(f"http://127.0.0.1:{running.gs}/storage/v1/b", json={"name": name}, timeout=30).raise_for_status()
        return f"gs://{name}"
    if kind == "s3":
        requests.put(f"http://127.0.0.1:{running.s3}/{name}", timeout=30).raise_for_status()
        return f"s3://{name}"
    return str(folder / name)


def environment(kind: str, port: int) -> dict[str, str]:
    """What points the clients at a server on this machine."""
    if kind == "gs":
        return {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}"}
    return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", **KEYS} if kind == "s3" else {}
