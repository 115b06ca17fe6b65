"""Connections are spread evenly over the processes: whoever was given too many by the kernel hands new ones on.

Sockets that share a port are given connections by chance. Of 8 that stay open, one of two processes has 6 or more every
fourth time; each of its clients then waits for five others, with a core idle as soon as the other two pause.
"""

import mmap
import os
import socket
import sys
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
        """That process has ended."""
        self.rows[number, OPEN] = ABSENT

    def pass_on(self, alive: set[int]) -> None:
        """What is on its way to a process that has ended, another one gets; where none is present, it waits for one."""
        present = [int(number) for number in np.flatnonzero(self.rows[:, OPEN] != ABSENT)]
        for number in set(range(len(self.channels))) - alive if present else ():
            while (descriptors := _received(self.channels[number])) is not None:
                for descriptor in descriptors:
                    any(_give(self.rows[-1], self.channels, other, descriptor) for other in present)
                    os.close(descriptor)
            # It may have been killed before it noted one that it took, and another before it noted one that it gave.
            self.rows[number, TAKEN] = self.rows[:, TAKEN + 1 + number].sum()


class Balance:
    """What the process of this number knows of the connections of all."""

    def __init__(self, connections: Connections, number: int) -> None:
        self.rows, self.channels = connections.rows, connections.channels
        self.number, self.mine, self.channel = number, self.rows[number], self.channels[number]
        self.leaving = False

    def count(self, connections: int) -> None:
        """So many are open here. From the first time on this process is handed others."""
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
        loads = np.where(opened == ABSENT, MANY, opened + on_the_way.clip(0))
        own, loads[self.number] = loads[self.number], MANY
        other = int(loads.argmin())
        if self.leaving or own - loads[other] < UNEVEN:
            return False
        return _give(self.mine, self.channels, other, descriptor)

    def taken(self) -> socket.socket | None:
        """A connection that another process has handed on, if there is one: on its way until it has `arrived`."""
        while (descriptors := _received(self.channel)) is not None:
            if descriptors:
                return socket.socket(fileno=descriptors[0])
            self.arrived()  # no more files may be opened here: the connection is lost
        return None

    def arrived(self) -> None:
        """It is counted as open now, or has been lost."""
        self.mine[TAKEN] += 1


def _give(giver: Row, channels: list[Channel], other: int, descriptor: int) -> bool:
    """False where as many wait there as the system lets."""
    try:
        socket.send_fds(channels[other].put, [b"c"], [descriptor])
    except OSError:
        return False
    giver[TAKEN + 1 + other] += 1
    return True


def _received(channel: Channel) -> list[int] | None:
    try:
        _, descriptors, _, _ = socket.recv_fds(channel.take, 1, 1)
    except BlockingIOError:
        return None
    return descriptors


def _channel() -> Channel:
    # Datagrams are as reliable within one machine, but Linux lets ten of them wait; others have no packets in sequence.
    put, take = socket.socketpair(
        socket.AF_UNIX, socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM)
    for end in (put, take):
        end.setblocking(False)
    return Channel(put, take)
