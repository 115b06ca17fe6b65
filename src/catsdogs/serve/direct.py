"""The ordinary request, POST /predict with a form of one file, answered without the framework's routing and parsing.

Everything around it is the same: ids, keys, limits, log, metrics. Whatever is unusual goes the full way.
"""

from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from catsdogs.serve.forms import boundary_of, only_file
from catsdogs.serve.predict import answer
from catsdogs.serve.service import Service

PATH = "/predict"


class Direct:
    """The innermost layer. `route` is what the framework would have found."""

    def __init__(self, app: ASGIApp, service: Service, route: BaseRoute) -> None:
        self.app, self.service, self.route = app, service, route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        boundary = None
        if scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "POST":
            types = [value for name, value in scope["headers"] if name == b"content-type"]
            boundary = boundary_of(types[0]) if len(types) == 1 else None
        if boundary is None:
            await self.app(scope, receive, send)
            return
        scope["route"] = self.route
        body = [await _whole(receive)]
        photo = only_file(body[0], boundary)
        if photo is None:
            del scope["route"]
            await self.app(scope, _again(body, receive), send)
            return
        body.clear()
        prediction = await self.service.predict(photo)
        scope["state"]["model_version"] = prediction.version
        content = answer(prediction).model_dump_json().encode()
        await send({"type": "http.response.start", "status": 200, "headers": [
            (b"content-length", str(len(content)).encode()), (b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": content})


async def _whole(receive: Receive) -> bytes:
    """Raises ClientDisconnect."""
    parts = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _again(body: list[bytes], receive: Receive) -> Receive:
    """What has been read, once, for who reads it from the start: held here as well, it would be there three times."""
    async def again() -> Message:
        if not body:
            return await receive()
        return {"type": "http.request", "body": body.pop(), "more_body": False}

    return again
