from html.parser import HTMLParser

from catsdogs.doctor.html import Html, join, page, table, tag
from catsdogs.doctor.plots import bars, histogram

HOSTILE = "<script>alert('x')</script>\"&"


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append(name)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_text_and_attributes_are_escaped_and_markup_is_not() -> None:
    made = tag("p", HOSTILE, tag("b", HOSTILE), title=HOSTILE)
    assert Tags(made).seen == ["p", "b"] and Tags(made).text == HOSTILE * 2
    assert join("<b>", Html("<b>")) == "&lt;b&gt;<b>"


def test_the_page_allows_no_script_and_no_other_host() -> None:
    made = page(HOSTILE, "p{}", table([HOSTILE], [[HOSTILE]]), bars(HOSTILE, {HOSTILE: 3}), histogram(HOSTILE, [1.0]))
    seen = Tags(made).seen
    assert "script" not in seen and made.startswith("<!doctype html>")
    assert "default-src 'none'" in made.replace("&#x27;", "'")


def test_plots_say_their_figures_and_survive_nothing() -> None:
    assert "from 1 to 3 px, half of them below 2 px" in histogram("Width", [1, 2, 3], " px")
    assert "cat 1,200" in bars("Photos", {"cat": 1200})
    assert "no photos" in histogram("Width", [])
    assert Tags(bars("Photos", {})).seen[0] == "figure"


def test_values_below_a_limit_have_another_colour() -> None:
    assert "two" in histogram("x", [0.1, 0.5, 0.9], low=0.3) and "two" not in histogram("x", [0.4, 0.9], low=0.3)
