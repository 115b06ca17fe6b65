import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from catsdogs.errors import UsageError
from catsdogs.images import encode
from catsdogs.serve.keys import read_keys
from catsdogs.serve.new_key import NewKey, new_key
from catsdogs.serve.start import start
from catsdogs.settings.serving import KeySettings, ServeSettings
from tests.tiny_model import colour_photo, write_tiny_model

PHOTO = ("p.png", encode(colour_photo(0)))


@pytest.fixture(scope="module")
def keys() -> dict[str, NewKey]:
    return {name: new_key(KeySettings(name=name, scopes=scopes))
            for name, scopes in (("shop", "predict"), ("prometheus", "metrics"), ("both", "predict,metrics"))}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, NewKey]) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("keys")
    (folder / "keys").write_text("# who may ask\n\n" + "\n".join(key.line for key in list(keys.values())[1:]))
    settings = ServeSettings(enable_real_model=True, model_path=write_tiny_model(folder), rate_per_key=2, max_batch=8,
                             api_keys_file=folder / "keys", api_keys=keys["shop"].line)
    with TestClient(start(settings)) as client:
        yield client


def bearer(key: NewKey) -> dict[str, str]:
    return {"Authorization": f"Bearer {key.key}"}


def test_only_who_has_a_key_for_it_is_answered(client: TestClient, keys: dict[str, NewKey]) -> None:
    ask = [("POST", "/predict"), ("POST", "/predict/batch"), ("POST", "/explain"), ("GET", "/model"),
           ("GET", "/metrics"), ("GET", "/v2/models/catsdogs"), ("POST", "/v2/models/catsdogs/infer"), ("GET", "/none")]
    for method, path in ask:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"X-API-Key": ""}, {"Authorization": "Basic eDp5"},
                        {"X-API-Key": keys["shop"].line.split()[-1]}, {"Authorization": "Bearer \xff\xfe"}):
            raw = {name: value.encode("latin-1") for name, value in headers.items()}
            answer = client.request(method, path, headers=raw)  # type: ignore[arg-type]
            assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer", (path, headers)
        wrong = keys["shop" if path == "/metrics" else "prometheus"]
        assert client.request(method, path, headers=bearer(wrong)).status_code in (403, 429)
    assert client.get("/metrics", headers=bearer(keys["both"])).status_code == 200
    assert client.get("/model", headers={"X-API-Key": keys["both"].key}).status_code == 200
    for path in ("/", "/health", "/livez", "/readyz", "/v2", "/v2/health/live", "/v2/health/ready", "/page.js"):
        assert client.get(path).status_code == 200


def test_the_log_names_the_key_and_never_holds_it(
    client: TestClient, keys: dict[str, NewKey], capsys: pytest.CaptureFixture[str]
) -> None:
    client.get("/none", headers=bearer(keys["prometheus"]))
    log = capsys.readouterr().err
    assert json.loads(log.splitlines()[-1])["key"] == "prometheus" and keys["prometheus"].key not in log


def test_a_key_that_asks_too_often_is_told_when_to_come_back(tmp_path: Path, keys: dict[str, NewKey]) -> None:
    settings = ServeSettings(enable_real_model=True, model_path=write_tiny_model(tmp_path), rate_per_key=0.001,
                             api_keys=f"{keys['shop'].line};{keys['both'].line}")
    with TestClient(start(settings)) as client:
        shop, both = bearer(keys["shop"]), bearer(keys["both"])
        first = client.post("/predict/batch", files=[("file", PHOTO)] * 4, headers=shop)
        assert [entry["status"] for entry in first.json()["answers"]] == [200] * 4
        refused = client.post("/predict", files={"file": PHOTO}, headers=shop)
        assert refused.status_code == 429 and 3000 < int(refused.headers["Retry-After"]) <= 4000
        assert client.post("/predict", files={"file": PHOTO}, headers=both).status_code == 200  # each its own


@pytest.mark.parametrize("lines", ["shop predict", "shop everything " + "0" * 64, "a b predict " + "0" * 64, "#nobody",
                                   "shop predict " + "0" * 63])
def test_lines_that_are_none_are_refused_by_name(tmp_path: Path, lines: str) -> None:
    (tmp_path / "keys").write_text(lines)
    with pytest.raises(UsageError, match="catsdogs key"):
        read_keys(ServeSettings(api_keys_file=tmp_path / "keys"))


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, words in (("none", "No such file"), ("binary", "no text file"), ("", "Is a directory")):
        with pytest.raises(UsageError, match=words):
            read_keys(ServeSettings(api_keys_file=tmp_path / name))


def test_keys_differ_and_odd_ones_are_refused() -> None:
    assert new_key(KeySettings()).key != new_key(KeySettings()).key
    for name, scopes in (("two words", "predict"), ("shop", "everything"), ("shop", "")):
        with pytest.raises(UsageError, match="--name is a word"):
            new_key(KeySettings(name=name, scopes=scopes))


def test_docs_may_be_hidden_and_addresses_logged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ServeSettings(enable_real_model=False, model_path=tmp_path / "none.pt", hide_docs=True,
                             log_client_address=True)
    with TestClient(start(settings)) as client:
        assert {client.get(path).status_code for path in ("/docs", "/docs.js", "/openapi.json")} == {404}
        assert json.loads(capsys.readouterr().err.splitlines()[-1])["client"] == "testclient"
    with TestClient(start(settings.model_copy(update={"hide_docs": False}))) as client:
        assert {client.get(path).status_code for path in ("/docs", "/docs.js", "/openapi.json")} == {200}
