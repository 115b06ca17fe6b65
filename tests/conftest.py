import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from catsdogs.packed import PackedPhotos
from tests.models import colour_photos, write_model


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
