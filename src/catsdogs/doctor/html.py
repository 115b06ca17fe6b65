"""HTML that escapes by construction: whatever is no `Html` is text."""

import html
from collections.abc import Iterable


class Html(str):
    """Markup, as opposed to text."""


Part = str | Iterable["Html"]


def tag(name: str, *parts: Part, **attributes: str | int | float | bool) -> Html:
    """`tag("a", "text", href="…")`. An underscore at the end of an attribute's name is dropped, others become `-`."""
    written = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{html.escape(str(value))}"')
        for key, value in attributes.items() if value is not False
    )
    if name in ("img", "meta", "br"):
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(*parts)}</{name}>")


def join(*parts: Part) -> Html:
    written = []
    for part in parts:
        if isinstance(part, Html):
            written.append(str(part))
        elif isinstance(part, str):
            written.append(html.escape(part))
        else:
            written.append("".join(join(one) for one in part))
    return Html("".join(written))


def table(header: list[str], rows: Iterable[list[Part]], numbers_from: int = 1) -> Html:
    """Columns from `numbers_from` on are figures, set to the right."""
    def cells(kind: str, row: Iterable[Part]) -> Html:
        return join(tag(kind, part, class_="n" if place >= numbers_from else "") for place, part in enumerate(row))

    return tag("div", tag("table", tag("thead", tag("tr", cells("th", header))),
                          tag("tbody", [tag("tr", cells("td", row)) for row in rows])), class_="wide")


def page(title: str, style: str, *parts: Part) -> Html:
    """A whole document that loads nothing: the content policy forbids it, whatever slipped through."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Html(style)),
    )
    return Html("<!doctype html>\n" + tag("html", head, tag("body", tag("main", *parts)), lang="en") + "\n")
