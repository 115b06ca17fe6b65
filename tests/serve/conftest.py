"""A real browser, and a service that it looks at; a supervisor of processes that are made up."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from catsdogs.serve.place import Worker
from catsdogs.serve.shared import Shared
from catsdogs.serve.supervisor import Supervisor
from catsdogs.settings.serving import ServeSettings
from tests.servers import service

PROGRAM = shutil.which("chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync"]


@pytest.fixture(scope="module")  # while Playwright runs, no other test of this process can run an event loop
def browser() -> Iterator[Browser]:
    if PROGRAM is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def address(model_path: Path) -> Iterator[str]:
    with service(model_path) as address:
        yield address


@contextmanager
def watched(browser: Browser, address: str, **options: Any) -> Iterator[Page]:
    """A page that must show no script error, no refused resource, and ask no foreign host."""
    with browser.new_context(**options) as context:
        page, wrong = context.new_page(), list[str]()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        ours = (address, "blob:", "data:")
        page.on("request", lambda asked: None if asked.url.startswith(ours) else wrong.append(asked.url))
        yield page
    assert [text for text in wrong if "400 (Bad Request)" not in text] == []


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """Of two processes, which are made up: a number that no process can have."""
    made = Supervisor(ServeSettings(port=0), 2, tmp_path, gone=lambda shared: None)
    for number, place in enumerate(made.places):
        place.worker = Worker(2**22 + 1, Shared(tmp_path, number), report=-1, ready=True)
    made.announced = True
    yield made
    for one in [place.listener for place in made.places] + [
            end for channel in made.connections.channels for end in (channel.put, channel.take)]:
        if one is not None:
            one.close()
    made.selector.close()
