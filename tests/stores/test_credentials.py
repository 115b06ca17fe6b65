"""Credentials that run out during a long transfer are fetched anew by themselves, from real servers that grant them."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from catsdogs.stores.amazon import Amazon
from catsdogs.stores.gcs import GcsStore
from tests.servers import answering

SHORT, LONG = 100, 3600  # seconds; clients fetch a new one some minutes before the old one ends
UNSET = ("GOOGLE_APPLICATION_CREDENTIALS", "NO_GCE_CHECK", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE",
         "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")


@contextmanager
def granting(answer: Callable[[str, int], dict[str, object]]) -> Iterator[tuple[int, list[str]]]:
    """A server that sends `answer` (path, how many were granted before) as JSON, and the paths that granted."""
    granted: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = answer(self.path, len(granted))
            if found.keys() & {"expires_in", "Expiration"}:
                granted.append(self.path)
            data = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Metadata-Flavor", "Google")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with answering(Handler) as port:
        yield port, granted


def token(path: str, before: int) -> dict[str, object]:
    if "token" not in path:
        return {"email": "trainer@p.iam.gserviceaccount.com", "scopes": ["devstorage.read_write"]}
    return {"access_token": f"t{before + 1}", "token_type": "Bearer", "expires_in": SHORT if before == 0 else LONG,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}


@pytest.mark.parametrize("kind", ["GKE's workload identity", "workload identity federation"])
def test_googles_tokens_are_fetched_anew(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with granting(token) as (port, granted):
        if kind.startswith("GKE"):
            for name in ("GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"):
                monkeypatch.setenv(name, f"127.0.0.1:{port}")
            # google-auth looks at the first when it is imported, which another test may have made it do.
            monkeypatch.setattr("google.auth.compute_engine._metadata._METADATA_ROOT",
                                f"http://127.0.0.1:{port}/computeMetadata/v1/", raising=False)
        else:
            (tmp_path / "subject").write_text("github's word for who we are")
            (tmp_path / "adc.json").write_text(json.dumps({
                "type": "external_account", "token_url": f"http://127.0.0.1:{port}/token",
                "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b",
                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                "credential_source": {"file": str(tmp_path / "subject")}}))
            monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "adc.json"))
        store = GcsStore("photos", "", None, 4, 30.0)
        seen = [{name.lower(): value for name, value in store._token.headers().items()}["authorization"]
                for _ in range(3)]
    assert seen == ["Bearer t1", "Bearer t2", "Bearer t2"]  # the first runs out, the second lasts
    assert len(granted) == 2


def test_amazons_keys_are_fetched_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    def keys(path: str, before: int) -> dict[str, object]:
        ends = datetime.now(UTC) + timedelta(seconds=SHORT if before == 0 else LONG)
        return {"AccessKeyId": f"k{before + 1}", "SecretAccessKey": "s", "Token": "t", "Expiration": ends.isoformat()}

    with granting(keys) as (port, granted):
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{port}/keys")
        amazon = Amazon()
        seen = [amazon.keys().access_key for _ in range(3)]
    assert seen == ["k2"] * 3  # the first, fetched when the store was opened, was about to run out
    assert len(granted) == 2
