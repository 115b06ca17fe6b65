"""The overlay `postgres` with a real Postgres: MLflow as its manifest starts it, the address out of its Secret."""

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.k8s.test_mlflow import LOG, SQLITE, client, mlflow
from tests.k8s.tracking import SECRETS, tracking
from tests.servers import free_port

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))  # Debian keeps them out of PATH
FOUND = PROGRAMS[-1] if PROGRAMS else shutil.which("postgres")
# It refuses to run as root; Debian's package makes this user.
AS = "postgres" if os.geteuid() == 0 else None

pytestmark = [
    pytest.mark.xdist_group("mlflow"),
    pytest.mark.skipif(FOUND is None, reason="no Postgres is installed (Debian: postgresql)"),
]


@contextmanager
def postgres() -> Iterator[tuple[str, str]]:
    """A server with one user and an empty database of its own; yields the address that MLflow takes, and psql's."""
    assert FOUND is not None
    programs, port, password = Path(FOUND).resolve().parent, free_port(), secrets.token_hex(8)
    folder = Path(tempfile.mkdtemp(prefix="catsdogs-postgres-"))  # pytest's own is closed to other users
    try:
        (folder / "password").write_text(password)
        if AS:
            for path in (folder, folder / "password"):
                shutil.chown(path, AS)
        subprocess.run([programs / "initdb", "--auth=scram-sha-256", "--username=mlflow", "--encoding=UTF8",
                        f"--pwfile={folder / 'password'}", folder / "data"], check=True, user=AS, cwd=folder,
                       stdout=subprocess.DEVNULL)
        words = ["-D", folder / "data", "-h", "127.0.0.1", "-p", str(port), "-k", folder, "-F"]
        server = subprocess.Popen([programs / "postgres", *words], user=AS, cwd=folder, stderr=subprocess.DEVNULL)
        try:
            ready = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
            deadline = time.monotonic() + 60
            while subprocess.run(ready).returncode:
                assert server.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
            at = f"mlflow:{password}@127.0.0.1:{port}/postgres"
            yield f"postgresql+pg8000://{at}", f"postgresql://{at}"
        finally:
            server.terminate()
            server.wait(30)
    finally:
        shutil.rmtree(folder)


def test_runs_are_in_postgres_and_users_on_the_volume(tmp_path: Path) -> None:
    with postgres() as (address, plain):
        found = tracking(tmp_path, "postgres", SECRETS | {"uri": address})
        assert found.environment["MLFLOW_BACKEND_STORE_URI"] == address and SQLITE not in found.words
        with mlflow(tmp_path, found) as (port, volume):
            run = client(port, LOG, tmp_path).strip().splitlines()[-1]
        asked = subprocess.run([Path(str(FOUND)).resolve().parent / "psql", plain, "--tuples-only", "--command",
                                f"SELECT value FROM metrics WHERE run_uuid = '{run}'"], capture_output=True, text=True)
        assert asked.stdout.strip() == "0.9", asked.stderr
    assert {path.name for path in volume.glob("*.db")} == {"basic_auth.db"}
