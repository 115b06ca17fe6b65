"""Connections are spread evenly over the processes: whoever was given too many by the kernel hands new ones on.

Sockets that share a port are given connections by chance. Of 8 that stay open, one of two processes has 6 or more every
fourth time; each of its clients then waits for five others, with a core idle as soon as the other two pause.
"""

import mmap
import socket
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Row = npt.NDArray[np.int64]

UNEVEN = 2
"""Connections more than whoever has the fewest: less would hand on what evens out by itself."""

ABSENT, MANY = -1, 2**62
OPEN, TAKEN = 0, 1  # columns of a process's row; behind them, what it has handed to each other one


@dataclass(frozen=True)
class Channel:
    """Takes connections from any process to one of them. What waits in it, the next process of that number takes."""

    put: socket.socket
    take: socket.socket


class Connections:
    """What is made before the processes are forked: a channel to each, and memory that they share.

    Each number in it has a single writer, so that no lock is needed: a process writes how many connections it has open,
    how many it has been handed, and how many it has handed to each other one. The last row is of who starts them.
    """

    def __init__(self, processes: int) -> None:
        self.channels = [_channel() for _ in range(processes)]
        size = processes + 1, TAKEN + 1 + processes
        self.rows = np.frombuffer(mmap.mmap(-1, 8 * size[0] * size[1]), np.int64).reshape(size)
        self.rows[:, OPEN] = ABSENT

    def gone(self, number: int) -> None:
        """That process has ended; what was on its way to it, another one gets."""
        self.rows[number, OPEN] = ABSENT
        present = np.flatnonzero(self.rows[:, OPEN] != ABSENT)
        while len(present) and (connection := _next(self.channels[number])) is not None:
            with connection:
                _give(self.rows[-1], self.channels, int(present[0]), connection.fileno())
        if len(present):  # it may have been killed before it noted one
            self.rows[number, TAKEN] = self.rows[:, TAKEN + 1 + number].sum()


class Balance:
    """What the process of this number knows of the connections of all."""

    def __init__(self, connections: Connections, number: int) -> None:
        self.rows, self.channels = connections.rows, connections.channels
        self.mine, self.channel = self.rows[number], self.channels[number]
        self.leaving = False
        self.count(0)

    def count(self, connections: int) -> None:
        self.mine[OPEN] = ABSENT if self.leaving else connections

    def leave(self) -> None:
        """Be handed nothing any more."""
        self.leaving = True
        self.count(0)

    def hand_on(self, descriptor: int) -> bool:
        """Give a connection, which has just come and is counted here, to who has far fewer; False where nobody has.

        The caller closes its own hold of it.
        """
        opened = self.rows[:-1, OPEN]
        on_the_way = self.rows[:, TAKEN + 1:].sum(axis=0) - self.rows[:-1, TAKEN]
        loads = np.where(opened == ABSENT, MANY, opened + on_the_way)
        other = int(loads.argmin())
        if self.mine[OPEN] - loads[other] < UNEVEN:
            return False
        return _give(self.mine, self.channels, other, descriptor)

    def taken(self) -> socket.socket | None:
        """A connection that another process has handed on, if there is one."""
        connection = _next(self.channel)
        if connection is not None:
            self.mine[TAKEN] += 1
        return connection


def _give(giver: Row, channels: list[Channel], other: int, descriptor: int) -> bool:
    """False where as many wait there as the system lets."""
    try:
        socket.send_fds(channels[other].put, [b"c"], [descriptor])
    except OSError:
        return False
    giver[TAKEN + 1 + other] += 1
    return True


def _next(channel: Channel) -> socket.socket | None:
    try:
        _, descriptors, _, _ = socket.recv_fds(channel.take, 1, 1)
    except BlockingIOError:
        return None
    return socket.socket(fileno=descriptors[0])


def _channel() -> Channel:
    put, take = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (put, take):
        end.setblocking(False)
    return Channel(put, take)
