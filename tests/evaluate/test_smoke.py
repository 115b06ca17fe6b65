import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from catsdogs.cli import main
from catsdogs.errors import CatsdogsError, UsageError
from catsdogs.evaluate.smoke import smoke_test
from catsdogs.settings.serving import SmokeTestSettings
from tests.models import trained, write_model
from tests.servers import free_port, service


@pytest.fixture(scope="module")
def address(model_path: Path) -> Iterator[str]:
    with service(model_path) as address:
        yield address


def run(address: str, model_path: Path, **options: object) -> object:
    return smoke_test(SmokeTestSettings(base_url=address, model_path=model_path, **options))  # type: ignore[arg-type]


@contextmanager
def answering(status: int, body: bytes, kind: str = "application/json", first: int = 0) -> Iterator[str]:
    """A server that gives one answer to everything, after `first` answers of 503."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(503 if len(seen) <= first else status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_right_model_passes(address: str, model_path: Path) -> None:
    result = run(address + "/", model_path)
    assert result.passed, result.text()
    assert [check.name for check in result.checks] == ["ready", "health", "version", "answers", "refusals", "latency",
                                                       "metrics"]
    assert "8 golden photos" in result.text()


def test_without_a_local_model_only_the_form_is_judged_and_that_is_said(address: str, tmp_path: Path) -> None:
    result = run(address, tmp_path / "model.pt")
    assert result.passed and "no answer is known" in result.text()


def test_another_model_fails_by_version_and_answers(
    address: str, tmp_path: Path, photos: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.models.trained", lambda photos: trained(photos, epochs=1, learning_rate=1e-6))
    result = run(address, write_model(tmp_path, photos))  # type: ignore[arg-type]
    failed = {check.name for check in result.checks if not check.passed}
    assert failed == {"version", "answers"}


def test_a_slow_answer_fails(address: str, model_path: Path) -> None:
    result = run(address, model_path, max_latency_ms=0.01)
    assert [check.name for check in result.checks if not check.passed] == ["latency"]


def test_a_stub_fails(tmp_path: Path) -> None:
    import sys

    from tests.servers import running

    port = free_port()
    command = [sys.executable, "-m", "catsdogs", "serve", "--port", str(port)]
    with running(command, port), pytest.raises(CatsdogsError, match="not ready within.*503.*stub"):
        run(f"http://127.0.0.1:{port}", tmp_path / "model.pt", wait_seconds=0.3)


def test_a_service_that_is_down_is_waited_for_and_named() -> None:
    with pytest.raises(CatsdogsError, match=r"not ready within 0.4 s: it cannot be reached: Connection refused"):
        run(f"http://127.0.0.1:{free_port()}", Path("none.pt"), wait_seconds=0.4)


def test_a_service_that_comes_up_late_is_found() -> None:
    with answering(200, b'{"status": "healthy"}', first=2) as address:
        result = run(address, Path("none.pt"), wait_seconds=10)
    assert result.checks[0].passed and not result.passed


def test_html_is_named(tmp_path: Path) -> None:
    with answering(200, b"<html>welcome to nginx</html>", "text/html") as address:
        result = run(address, tmp_path / "none.pt")
    assert not result.passed
    assert "answered HTML, not JSON" in result.text()


def test_an_answer_that_will_not_come_is_not_waited_for() -> None:
    with answering(404, b"{}") as address, pytest.raises(CatsdogsError, match="answered 404"):
        run(address, Path("none.pt"), wait_seconds=30)


@pytest.mark.parametrize("url", ["HOST", "ftp://x", "http://", "127.0.0.1:8080"])
def test_what_is_no_address_is_wrong_usage(url: str) -> None:
    with pytest.raises(UsageError, match="is no address"):
        run(url, Path("none.pt"))


def test_exit_statuses(address: str, model_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--model-path", str(model_path), "--wait-seconds", "0.2"]
    assert main(["smoke-test", "--base-url", address, *common]) == 0
    assert main(["smoke-test", "--base-url", address, *common, "--max-latency-ms", "0.01"]) == 1
    assert main(["smoke-test", "--base-url", f"http://127.0.0.1:{free_port()}", *common]) == 1
    assert main(["smoke-test", "--base-url", "nowhere", *common]) == 2
    assert "Traceback" not in capsys.readouterr().err
