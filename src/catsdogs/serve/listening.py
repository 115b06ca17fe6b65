"""Sockets of one port, one for each process: the kernel shares connections out among those that listen."""

import ctypes
import os
import socket
import struct

from catsdogs.errors import CatsdogsError

BACKLOG = 2048
UNSENT_BYTES = 16 * 1024
"""Of an answer that the kernel takes before it can send them: it took 3 MB of who read nothing, of the pod's memory."""

SO_ATTACH_FILTER = 26  # of asm-generic/socket.h
# Of each segment the flags of its TCP header: of one that only begins a connection nothing passes, of others all.
ONLY_SYN = ((0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))


def reserved(host: str, port: int) -> socket.socket:
    """Bound to the port (0: a free one), to listen later. Raises CatsdogsError where another service has it.

    Linux lets two sockets with SO_REUSEADDR have one port until one of them listens, and lets both listen once they
    share it: two services that start at the same moment would take turns in answering. So this one is given it late.
    """
    try:
        listener = _bound(host, port, again=False, share=False)
    except CatsdogsError:  # perhaps only by connections of a service that ended, which the kernel keeps for a minute
        listener = _bound(host, port, again=True, share=False)
    # Only now: otherwise another service of this user, which shares its port too, would not be noticed.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return listener


def another(host: str, port: int) -> socket.socket:
    """A further socket of a reserved port. From one socket for all, a single process may take every connection."""
    return _bound(host, port, again=True, share=True)


def about_to_listen(listener: socket.socket) -> None:
    """Its connections inherit this: they do not keep the port from the next service once this one has ended, and leave
    what cannot be sent yet to us, who count it."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)


def turn_away(listener: socket.socket) -> None:
    """Let no new connection begin, while those that have begun still arrive, so that the socket can be emptied for good
    before it is closed: the kernel resets what it has accepted for one that is closed. Who is turned away is not told,
    asks again after a second, and then finds that nobody listens. It holds for all who share the socket."""
    program = b"".join(struct.pack("HBBI", *step) for step in ONLY_SYN)
    kept = ctypes.create_string_buffer(program, len(program))
    try:
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(ONLY_SYN),
                                                                             ctypes.addressof(kept)))
    except OSError:
        return  # not Linux: one that comes in the moment between the last look and the end is reset


def _bound(host: str, port: int, *, again: bool, share: bool) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        if again:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # as socket.create_server does
        made.bind((host, port))
    except OSError as error:
        made.close()
        number = error.errno or 0
        reason = os.strerror(number) if number > 0 else str(error)  # names that lead nowhere have numbers of their own
        raise CatsdogsError(
            f"Cannot listen on {host} port {port} ({reason}): choose another --port, or another --host.") from None
    return made
