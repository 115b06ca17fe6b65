"""The pages at `/` and `/docs`: plain files of this package, read once, that ask no other host."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import FastAPI, Response

FOLDER = Path(__file__).parent / "page"
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
DOCS = {
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/docs.css": ("docs.css", "text/css; charset=utf-8"),
    "/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
}


def page_routes(app: FastAPI, *, docs: bool) -> None:
    for path, (name, kind) in (FILES | DOCS if docs else FILES).items():
        app.get(path, include_in_schema=False)(_file((FOLDER / name).read_bytes(), kind))


def _file(content: bytes, kind: str) -> Callable[[], Awaitable[Response]]:
    async def answer() -> Response:
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    return answer
