import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

import httpx2 as httpx

from catsdogs.images import encode
from tests.models import colour_photo
from tests.photos import encoded, picture
from tests.servers import ROOT, free_port, running, service
from tests.tiny_model import write_tiny_model


def predict(address: str, data: bytes) -> dict[str, object]:
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="p"\r\n\r\n' + data + b"\r\n--b--\r\n"
    request = urllib.request.Request(f"{address}/predict", body, {"Content-Type": "multipart/form-data; boundary=b"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)  # type: ignore[no-any-return]


def test_the_specifications_command_serves(model_path: Path) -> None:
    with service(model_path) as address:
        assert predict(address, encode(colour_photo(1, 5)))["label"] == "dog"
        with urllib.request.urlopen(f"{address}/health") as answer:
            assert json.load(answer)["model_loaded"] is True


def test_without_a_model_the_process_refuses_to_start_in_one_sentence(tmp_path: Path) -> None:
    port = str(free_port())
    environment = os.environ | {"ENABLE_REAL_MODEL": "1", "MODEL_PATH": str(tmp_path / "model.pt"), "PYTHONPATH": "."}
    for command in (["-m", "uvicorn", "src.main:app", "--port", port],
                    ["-m", "catsdogs", "serve", "--port", port]):
        answer = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True,
                                timeout=60)
        assert answer.returncode != 0
        assert answer.stderr.count("does not exist") == 1 and "Traceback" not in answer.stderr


def test_a_setting_that_does_not_fit_is_one_sentence() -> None:
    environment = os.environ | {"CATSDOGS_SERVE_QUEUE_SIZE": "many", "PYTHONPATH": "."}
    for command in (["-m", "uvicorn", "src.main:app", "--port", "0"], ["-m", "catsdogs", "serve", "--port", "0"]):
        answer = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True,
                                timeout=60)
        assert answer.returncode != 0
        assert answer.stderr.count("--queue-size many: ") == 1 and "Traceback" not in answer.stderr


def test_a_port_in_use_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = subprocess.run([sys.executable, "-m", "catsdogs", "serve", "--port", str(port)], cwd=ROOT,
                                capture_output=True, text=True, timeout=60)
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1] == (
        f"catsdogs serve: Cannot listen on 127.0.0.1 port {port} (Address already in use): choose another --port, or "
        "another --host.")


def test_port_0_says_which_port_it_is() -> None:
    command = [sys.executable, "-m", "catsdogs", "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        try:
            address = json.loads(process.stderr.readline())["address"]
            with urllib.request.urlopen(f"{address}/livez", timeout=20) as answer:
                assert answer.status == 200
        finally:
            process.terminate()


def test_what_is_under_way_at_sigterm_is_answered(model_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "catsdogs", "serve", "--enable-real-model", "--port", str(port), "--model-path",
               str(model_path)]
    slow = encoded(picture(3, (5000, 4000)), "PNG", compress_level=1)  # a second or so to decode
    answers: list[dict[str, object]] = []
    with running(command, port) as process:
        threads = [threading.Thread(target=lambda: answers.append(predict(f"http://127.0.0.1:{port}", slow)))
                   for _ in range(2)]
        for thread in threads:
            thread.start()
        while "catsdogs_queue_photos 2.0" not in metrics(port):
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(30)
    assert [answer["model_loaded"] for answer in answers] == [True, True]
    assert process.returncode in (0, -signal.SIGTERM)


def test_every_request_that_reached_it_is_answered_when_it_stops_under_load(tmp_path: Path) -> None:
    """The log and the clients agree: as many answers as the server counted arrived, and none of them is an error."""
    port = free_port()
    command = [sys.executable, "-m", "catsdogs", "serve", "--enable-real-model", "--port", str(port), "--model-path",
               str(write_tiny_model(tmp_path))]
    photo, statuses = encode(colour_photo(1, 5), "JPEG"), Counter[int]()

    def ask() -> None:
        with httpx.Client() as client:
            while True:
                try:
                    answer = client.post(f"http://127.0.0.1:{port}/predict", files={"file": ("p", photo)})
                except httpx.TransportError:  # refused, or closed before it was read: a client may safely ask another
                    return
                statuses[answer.status_code] += 1

    log: list[bytes] = []
    with running(command, port) as process:
        assert process.stderr is not None
        reading = threading.Thread(target=lambda: log.extend(process.stderr or ()))
        reading.start()
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        while statuses[200] < 200:
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        for thread in [*threads, reading]:
            thread.join(30)
        assert process.wait(30) in (0, -signal.SIGTERM)
    counted = Counter(line["status"] for line in map(json.loads, log) if line.get("route") == "/predict")
    assert statuses == counted and set(statuses) == {200}


def test_a_client_that_leaves_while_it_sends_is_no_error_of_ours(tmp_path: Path) -> None:
    with service(write_tiny_model(tmp_path)) as address:
        port = int(address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n"
                           b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n")
        while 'route="/predict"' not in (counted := metrics(port)):
            time.sleep(0.005)
        assert 'catsdogs_http_requests_total{method="POST",route="/predict",status="499"} 1.0' in counted
        assert "internal-error" not in counted


def test_a_process_that_has_answered_holds_no_training_library(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from catsdogs.images import encode
from catsdogs.serve.state import load
from catsdogs.serve import app, stage
from catsdogs.settings.serving import ServeSettings
import numpy as np
loaded = load(ServeSettings(enable_real_model=True, model_path=Path({str(write_tiny_model(tmp_path))!r})))
loaded.predictor.predict(encode(np.zeros((8, 8, 3), np.uint8)))
print(sorted({{"torch", "mlflow", "sklearn", "scipy", "matplotlib", "onnx", "transformers"}} & sys.modules.keys()))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.strip() == "[]"


def metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())
