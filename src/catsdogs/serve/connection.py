"""uvicorn's connection, which may be handed on to another process before anything of it is read."""

import asyncio
from typing import Any

from catsdogs.serve.balance import Balance
from catsdogs.serve.joined import Joined


class Connection(Joined):
    """`mine`: it stays here."""

    def __init__(self, *arguments: Any, balance: Balance, mine: bool = False, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.balance, self.mine, self.handed_on = balance, mine, False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.balance.count(len(self.connections) + 1)
        # Reading begins once this returns: all that the client has sent is still in the socket.
        if not self.mine and self.balance.hand_on(transport.get_extra_info("socket").fileno()):
            self.handed_on = True
            # It refers back, and both would wait for the garbage collector.
            self.parser = None  # type: ignore[assignment]
            self.balance.count(len(self.connections))
            transport.abort()  # closes this hold of it, and tells the client nothing
            return
        if self.mine:
            self.balance.arrived()
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.handed_on:
            super().connection_lost(exc)
            self.balance.count(len(self.connections))
