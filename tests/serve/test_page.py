"""The page at `/`, used in a real browser as a person uses it."""

import base64
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, Page, expect

from catsdogs.images import encode
from catsdogs.serve.new_key import new_key
from catsdogs.serve.start import start
from catsdogs.settings.serving import KeySettings, ServeSettings
from tests.serve.conftest import watched
from tests.servers import service
from tests.tiny_model import colour_photo, write_tiny_model

pytestmark = pytest.mark.xdist_group("browser")


def file(name: str, data: bytes, kind: str = "image/png") -> dict[str, object]:
    return {"name": name, "mimeType": kind, "buffer": data}


CAT = file("mimi.png", encode(np.repeat(np.repeat(colour_photo(0), 40, 0), 60, 1)))
DOG = file("rex.png", encode(np.repeat(np.repeat(colour_photo(1), 60, 0), 40, 1)))


@pytest.fixture(params=["desktop", "phone"])
def page(request: pytest.FixtureRequest, browser: Browser, address: str) -> Iterator[Page]:
    """The page, in a browser that reports every script error, refused resource and foreign host."""
    size = {"width": 390, "height": 844} if request.param == "phone" else {"width": 1280, "height": 900}
    with watched(browser, address, viewport=size, has_touch=request.param == "phone",
                 is_mobile=request.param == "phone") as page:
        page.goto(address)
        yield page


def test_a_photo_is_answered_with_its_heat_and_stays_in_the_history(page: Page) -> None:
    expect(page.locator("h1")).to_have_text("Cat or dog?")
    page.set_input_files("#choose", CAT)  # type: ignore[arg-type]
    expect(page.locator("#bars li").first).to_contain_text("cat")
    expect(page.locator("#time")).to_contain_text("ms")
    expect(page.locator("#heat-row")).to_be_visible()
    expect(page.locator("#frame")).to_have_class("frame lit")
    page.locator("#heat-on").click()
    expect(page.locator("#frame")).to_have_class("frame")
    assert page.locator("label[for=take]").is_visible() == (page.viewport_size["width"] < 500)  # type: ignore[index]
    page.set_input_files("#choose", DOG)  # type: ignore[arg-type]
    expect(page.locator("#bars li").first).to_contain_text("dog")
    expect(page.locator("#photos li")).to_have_count(2)
    page.locator("#photos button").nth(1).click()
    expect(page.locator("#bars li").first).to_contain_text("cat")
    expect(page.locator("#verdict")).to_be_focused()
    assert not page.locator("html").bounding_box()["width"] > page.viewport_size["width"]  # type: ignore[index]


def test_what_is_no_photo_is_said_and_the_page_goes_on(page: Page) -> None:
    page.set_input_files("#choose", file("notes.png", b"this is no photo"))  # type: ignore[arg-type]
    expect(page.get_by_role("alert")).to_contain_text("Not a photo")
    page.set_input_files("#choose", file("notes.pdf", b"%PDF", "application/pdf"))  # type: ignore[arg-type]
    expect(page.get_by_role("alert")).to_contain_text("notes.pdf is no photo")
    page.set_input_files("#choose", DOG)  # type: ignore[arg-type]
    expect(page.locator("#bars li").first).to_contain_text("dog")
    expect(page.get_by_role("alert")).to_be_hidden()


def transfer(page: Page) -> object:
    """A DataTransfer that holds a photo; the page's policy forbids scripts from text, the driver's own are exempt."""
    return page.evaluate_handle(
        """(text) => { const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0)), all = new DataTransfer();
        all.items.add(new File([bytes], "pasted.png", {type: "image/png"})); return all; }""",
        base64.b64encode(DOG["buffer"]).decode())  # type: ignore[arg-type]


def test_a_photo_may_be_dropped(page: Page) -> None:
    data = transfer(page)
    page.dispatch_event("body", "dragenter", {"dataTransfer": data})
    expect(page.locator("body")).to_have_class("over-page")
    page.dispatch_event("body", "drop", {"dataTransfer": data})
    expect(page.locator("#bars li").first).to_contain_text("dog")


def test_a_photo_may_be_pasted(page: Page) -> None:
    page.evaluate_handle(
        "(data) => document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, cancelable: true}))",
        transfer(page))
    expect(page.locator("#bars li").first).to_contain_text("dog")


def test_the_keyboard_reaches_everything_and_a_screen_reader_hears_the_verdict(page: Page) -> None:
    reached = []
    page.set_input_files("#choose", CAT)  # type: ignore[arg-type]
    page.set_input_files("#choose", DOG)  # type: ignore[arg-type]
    expect(page.locator("#photos li")).to_have_count(2)
    expect(page.locator("#heat-row")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text(".")
    page.locator("body").click(position={"x": 2, "y": 2})
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate_handle("document.activeElement.id || document.activeElement.className "
                                            "|| document.activeElement.tagName").json_value())
    assert {"choose", "heat-on", "BUTTON"} <= set(reached)
    for image in page.locator("img").all():
        assert image.get_attribute("alt") is not None
    # A second verdict like the first is spoken again, and a failure speaks no other photo's.
    page.evaluate("""() => { window.heard = []; new MutationObserver(
        () => window.heard.push(document.getElementById("spoken").textContent)).observe(
        document.getElementById("spoken"), {childList: true, characterData: true, subtree: true}); }""")
    page.set_input_files("#choose", DOG)  # type: ignore[arg-type]
    expect(page.locator("#photos li")).to_have_count(3)
    heard = page.evaluate("window.heard")
    assert len(heard) == 2 and heard[0] == "Looking…" and "dog" in heard[1]
    page.set_input_files("#choose", {"name": "x.png", "mimeType": "image/png", "buffer": b"no photo"})
    expect(page.get_by_role("alert")).to_be_visible()
    assert page.get_by_role("status").text_content() == ""
    assert page.get_by_role("heading", level=1).count() == 1


def test_a_photo_may_be_taken_and_a_screen_reader_finds_names_and_roles(page: Page) -> None:
    assert page.locator("#take").get_attribute("capture") == "environment"  # the camera that looks away from oneself
    page.set_input_files("#take", DOG)  # type: ignore[arg-type]
    expect(page.locator("#bars li").first).to_contain_text("dog")
    expect(page.get_by_role("switch", name="What the network looked at")).to_be_checked()
    expect(page.get_by_role("status")).to_contain_text("dog")  # spoken by itself
    expect(page.get_by_role("article")).to_have_accessible_name(page.locator("#verdict").inner_text())
    expect(page.get_by_role("img", name="Your photo rex.png")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "en"
    for unnamed in page.locator("button, input").all():
        assert unnamed.evaluate("it => Boolean(it.labels && it.labels.length) || Boolean(it.textContent.trim())")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_in_light_and_dark(browser: Browser, address: str, scheme: str) -> None:
    """Contrast as WCAG 2.2 computes it, at least 4.5 for every colour of text on every ground that it is on."""
    with watched(browser, address, color_scheme=scheme) as page:
        page.goto(address)
        colours = page.evaluate("""(names) => Object.fromEntries(names.map((name) => {
            const it = document.createElement("i"); document.body.append(it); it.style.color = `var(--${name})`;
            return [name, getComputedStyle(it).color.match(/\\d+/g).map(Number)]; }))""",
                                ["paper", "card", "wash", "ink", "soft", "accent", "on-accent"])
        dark = luminance(colours["paper"]) < 0.2
    assert dark == (scheme == "dark")
    grounds = ("paper", "card", "wash")
    pairs = [(text, ground) for text in ("ink", "soft", "accent") for ground in grounds] + [("on-accent", "accent")]
    for text, ground in pairs:
        high, low = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, f"{text} on {ground}"


def luminance(colour: list[int]) -> float:
    linear = [value / 255 / 12.92 if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4 for value in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_service_with_keys_asks_for_one(browser: Browser, tmp_path: Path) -> None:
    key = new_key(KeySettings(name="page", scopes="predict"))
    path = write_tiny_model(tmp_path)
    with service(path, CATSDOGS_SERVE_API_KEYS=key.line) as address, browser.new_context() as context:
        page = context.new_page()
        page.goto(address)
        page.set_input_files("#choose", CAT)  # type: ignore[arg-type]
        page.get_by_label("This service asks for an API key.").fill("a wrong one")
        page.get_by_role("button", name="Use it").click()
        expect(page.get_by_role("alert")).to_have_text("That key is not known here.")
        page.get_by_label("This service asks for an API key.").fill(key.key)
        page.get_by_role("button", name="Use it").click()
        expect(page.locator("#verdict")).to_have_text("cat")
        expect(page.locator("#heat-row")).to_be_hidden()  # the tiny model explains nothing


def test_the_files_are_in_the_package_and_guarded(tmp_path: Path) -> None:
    with TestClient(start(ServeSettings(enable_real_model=False, model_path=tmp_path / "none.pt"))) as client:
        for name in ("", "page.css", "page.js", "icon.svg"):
            answer = client.get(f"/{name}")
            assert answer.status_code == 200 and len(answer.content) > 300
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        text = client.get("/").text
        assert "<style" not in text and "style=" not in text and "onclick" not in text and "http" not in text
