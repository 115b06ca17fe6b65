import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from catsdogs.ingest.stage import ingest
from catsdogs.packed import PackedPhotos
from catsdogs.preprocess.stage import preprocess
from catsdogs.settings.data import IngestSettings, PreprocessSettings
from tests.buckets import KINDS, Servers, environment, new_bucket, servers
from tests.gcs_server import gcs_server
from tests.models import colour_photos, write_model
from tests.photos import write_raw

# Hypothesis fails an example that takes longer than 0.2 s, which says more of the machine than of the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Where every program is installed, a skipped test is a test that did not run: it fails."""
    report = yield
    if report.skipped and os.environ.get("CATSDOGS_NO_SKIPS"):
        report.outcome, report.longrepr = "failed", f"skipped, but CATSDOGS_NO_SKIPS is set: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def photos() -> PackedPhotos:
    return colour_photos()


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory, photos: PackedPhotos) -> Path:
    """A trained model.pt with its model.onnx beside it: reddish photos are cats, bluish ones dogs."""
    return write_model(tmp_path_factory.mktemp("model"), photos)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A processed folder of three classes at 16 px."""
    folder = tmp_path_factory.mktemp("chain")
    raw = write_raw(folder / "raw", 30, labels=("Cat", "Dog", "Hamster"))
    ingest(IngestSettings(source_dir=raw, output_dir=folder / "ingested", workers=1))
    preprocess(PreprocessSettings(input_dir=folder / "ingested", output_dir=folder / "processed", image_size=16,
                                  train_ratio=0.6, val_ratio=0.2, workers=1))
    return folder / "processed"


@pytest.fixture(scope="session")
def object_servers() -> Iterator[Servers]:
    with servers() as running:
        yield running


@pytest.fixture(params=KINDS)
def bucket(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of an empty bucket on each kind of store, with the environment that leads to it."""
    if request.param == "folder":
        return str(tmp_path / "bucket")
    running: Servers = request.getfixturevalue("object_servers")
    for name, value in environment(request.param, getattr(running, request.param)).items():
        monkeypatch.setenv(name, value)
    return new_bucket(request.param, running, tmp_path)


@pytest.fixture(params=KINDS)
def strict_bucket(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Like `bucket`, on stores that keep preconditions: Google's is tests/gcs_server.py."""
    if request.param == "gs":
        with gcs_server() as address:
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
            yield "gs://strict"
        return
    if request.param == "folder":
        yield str(tmp_path / "bucket")
        return
    running: Servers = request.getfixturevalue("object_servers")
    for name, value in environment("s3", running.s3).items():
        monkeypatch.setenv(name, value)
    yield new_bucket("s3", running, tmp_path)
