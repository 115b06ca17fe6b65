"""uvicorn's server, but for its end: it loses no request."""

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn

from catsdogs.serve.balance import Balance
from catsdogs.serve.connection import Connection
from catsdogs.serve.crowd import Crowd
from catsdogs.serve.joined import Joined
from catsdogs.serve.listening import BACKLOG, about_to_listen, turn_away
from catsdogs.serve.unread import Unread

if TYPE_CHECKING:
    from fastapi import FastAPI

GRACE_SECONDS = 20
LINGER_SECONDS = 1.0
"""How long a connection that is kept open may still bring a request, whose answer then closes it."""

HANDSHAKE_SECONDS = 0.1
"""How long a connection that had begun when no more were to begin may take to arrive."""


class Server(uvicorn.Server):
    """`ready` is called when it listens. `alone`: nobody else listens on its sockets. `balance`: others share its port.

    uvicorn closes a socket with what the kernel has accepted for it, and kept connections between two requests. This
    one takes over what waits, and lets kept connections bring one more request, whose answer says that it closes.
    """

    def __init__(self, app: "FastAPI", ready: Callable[[], None], *, alone: bool = False,
                 balance: Balance | None = None) -> None:
        kind: Any = Joined if balance is None else partial(Connection, balance=balance)
        http: Any = partial(kind, crowd=Crowd(), unread=Unread())
        super().__init__(uvicorn.Config(
            app, loop="uvloop", http=http, ws="none", access_log=False, server_header=False,
            log_level="error", timeout_graceful_shutdown=GRACE_SECONDS, backlog=BACKLOG))
        self._ready, self._alone, self._balance = ready, alone, balance
        self._taking: set[asyncio.Task[Any]] = set()
        self._waiting: list[socket.socket] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._waiting = [listener.dup() for listener in sockets or []]  # closing a server closes its own
        for listener in self._waiting:
            about_to_listen(listener)
        await super().startup(sockets)
        if self._balance is not None:
            asyncio.get_running_loop().add_reader(self._balance.channel.take, self._take)
            self._balance.count(0)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in self._waiting if self._alone else []:
            turn_away(listener)
        if self._balance is not None:
            self._balance.leave()
        for server in self.servers:
            server.close()
        state = self.server_state
        state.default_headers = [*state.default_headers, (b"connection", b"close")]
        for connection in state.connections:
            cycle = connection.cycle  # type: ignore[union-attr]  # of httptools' protocol, which was chosen above
            if cycle is not None and not cycle.response_complete:
                cycle.keep_alive = False
        await self._take_over()
        until = asyncio.get_running_loop().time() + LINGER_SECONDS
        while state.connections and not self.force_exit and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(0.01)
        await super().shutdown(sockets)

    async def _take_over(self) -> None:
        """Connections that the kernel has accepted, and nobody has fetched, and those that are about to arrive."""
        loop = asyncio.get_running_loop()
        until, ended = loop.time() + HANDSHAKE_SECONDS, False
        while not ended:
            ended = loop.time() >= until  # so that the last look comes after it
            for listener in self._waiting:
                listener.setblocking(False)
                while True:
                    try:
                        connection, _ = listener.accept()
                    except OSError:  # there is none left
                        break
                    await loop.connect_accepted_socket(self._protocol, connection)
                if ended:
                    listener.close()
            if self._balance is not None:
                self._take()
                if ended:
                    loop.remove_reader(self._balance.channel.take)
            await asyncio.sleep(0.01)

    def _take(self) -> None:
        """What other processes have handed on."""
        loop = asyncio.get_running_loop()
        assert self._balance is not None, "this is called where there are others"
        while (connection := self._balance.taken()) is not None:
            task = loop.create_task(self._taken(connection, self._balance))
            self._taking.add(task)  # the loop itself does not keep it
            task.add_done_callback(self._taking.discard)

    async def _taken(self, connection: socket.socket, balance: Balance) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(lambda: self._protocol(mine=True), connection)
        except OSError:  # its client has gone
            balance.arrived()

    def _protocol(self, **more: Any) -> Any:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state, **more)
