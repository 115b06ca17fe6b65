"""Gives up what nobody waits for any more: the client has closed its connection."""

import asyncio

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATIENCE = 0.05  # most answers are given by then: looking out for a client costs as much as a middleware


class Presence:
    """Cancels a request whose client leaves before the answer begins, and raises ClientDisconnect in its place."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        loop, working = asyncio.get_running_loop(), asyncio.current_task()
        ended = answering = left = False
        watching: asyncio.Task[None] | None = None
        timer: asyncio.TimerHandle

        async def reading() -> Message:
            nonlocal ended
            message = await receive()
            ended = ended or not message.get("more_body", False)
            return message

        async def sending(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        async def watch() -> None:
            nonlocal left
            message = await receive()
            if message["type"] == "http.disconnect" and not answering and working is not None:
                left = True
                working.cancel()

        def look() -> None:
            nonlocal watching, timer
            if ended:  # before, whoever reads the body notices
                watching = loop.create_task(watch())
            else:
                timer = loop.call_later(PATIENCE, look)

        timer = loop.call_later(PATIENCE, look)
        try:
            await self.app(scope, reading, sending)
        except asyncio.CancelledError:
            if not left or working is None:
                raise
            working.uncancel()
            raise ClientDisconnect from None
        finally:
            timer.cancel()
            if watching is not None:
                watching.cancel()
