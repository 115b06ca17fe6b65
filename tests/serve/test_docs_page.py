"""The description at `/docs`, in a real browser: all is shown and can be tried, and no other host is asked."""

from collections.abc import Iterator

import httpx2 as httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from catsdogs.images import encode
from tests.models import colour_photo
from tests.serve.conftest import watched

pytestmark = pytest.mark.xdist_group("browser")
CAT = {"name": "mimi.png", "mimeType": "image/png", "buffer": encode(colour_photo(0, 1))}


@pytest.fixture(scope="module")
def page(browser: Browser, address: str) -> Iterator[Page]:
    with watched(browser, address) as page:
        page.goto(f"{address}/docs")
        yield page


def operation(page: Page, path: str) -> Locator:
    """Opened, as a person opens it."""
    found = page.locator("details", has=page.locator("summary code", has_text=path).and_(
        page.get_by_text(path, exact=True)))
    found.locator("summary").click()
    return found


def test_every_operation_of_the_description_is_there(page: Page, address: str) -> None:
    paths = httpx.get(f"{address}/openapi.json").json()["paths"]
    expect(page.locator("summary code")).to_have_text(list(paths))
    assert len(paths) > 10
    policy = httpx.get(f"{address}/docs").headers["Content-Security-Policy"]
    assert "unsafe" not in policy and "http" not in policy
    for summary in page.locator("summary").all():
        summary.click()
    for label in ("Answers", "Try it"):
        expect(page.locator("h3", has_text=label)).to_have_count(len(paths))
    expect(page.get_by_text("Probability of label").first).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.reload()


def test_a_photo_is_tried_as_a_form_and_as_json(page: Page) -> None:
    tried = operation(page, "/predict")
    tried.get_by_label("file").set_input_files(CAT)  # type: ignore[arg-type]
    tried.get_by_role("button", name="Send").click()
    expect(tried.locator(".said h3")).to_contain_text("200 after")
    expect(tried.locator(".said pre").last).to_contain_text('"label": "cat"')
    tried.get_by_label("Body as").select_option("application/json")
    tried.get_by_role("button", name="Send").click()  # the example
    expect(tried.locator(".said h3")).to_contain_text("200 after")
    tried.get_by_label("Body", exact=True).fill("{")
    tried.get_by_role("button", name="Send").click()
    expect(tried.locator(".said pre").last).to_contain_text("no JSON")


def test_several_photos_a_picture_and_a_tensor_are_tried(page: Page) -> None:
    tried = operation(page, "/predict/batch")
    tried.get_by_label("files").set_input_files([CAT, CAT])  # type: ignore[list-item]
    tried.get_by_role("button", name="Send").click()
    expect(tried.locator(".said pre").last).to_contain_text('"status": 200')
    tried = operation(page, "/explain")
    tried.get_by_label("file").set_input_files(CAT)  # type: ignore[arg-type]
    tried.get_by_label("format (query)").fill("png")
    tried.get_by_role("button", name="Send").click()
    expect(tried.get_by_alt_text("The picture that was answered")).to_be_visible()
    tried = operation(page, "/v2/models/{name}/infer")
    tried.get_by_role("button", name="Send").click()
    expect(tried.locator(".said pre").last).to_contain_text('"model_name": "catsdogs"')


def test_it_is_used_by_keyboard(page: Page) -> None:
    page.reload()
    expect(page.locator("summary").first).to_be_visible()
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("details").first.get_by_role("button", name="Send")).to_be_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Send"
    page.keyboard.press("Enter")
    expect(page.locator("details").first.locator(".said h3")).to_contain_text("after")
