"""A storm of opening handshakes: what clients see while servers come and go."""

from __future__ import annotations

import socket
from collections import Counter

from sockets import Net, Peer, request_head

__all__ = ["Storm"]


class Storm:
    """So many clients at a time, each of which connects again as soon as it was answered.

    Attributes:
        answers: what they saw, counted: "101", "503", "refused", "reset" (or the end) before an
            answer.
    """

    def __init__(self, net: Net, port: int, clients: int = 8) -> None:
        self.answers: Counter[str] = Counter()
        self._net = net
        self._port = port
        self._clients: list[_Client | None] = [None] * clients

    def until(self, count: int) -> None:
        """Go on until so many more were answered, however."""
        goal = sum(self.answers.values()) + count
        self._net.poll(lambda: self.step() >= goal)

    def step(self) -> int:
        """Let whoever was answered connect again; returns how many answers there were."""
        for number, client in enumerate(self._clients):
            if client is None or client.answer():
                self._clients[number] = self._connect()
        return sum(self.answers.values())

    def _connect(self) -> _Client | None:
        try:
            connected = socket.create_connection(("127.0.0.1", self._port))
        except OSError as error:
            self.answers["refused" if isinstance(error, ConnectionRefusedError) else "reset"] += 1
            return None
        return _Client(self, self._net.adopt(connected))

    def end(self) -> None:
        """Wait for the answers that are on their way."""
        waiting = [client for client in self._clients if client is not None]
        self._clients = []
        self._net.poll(lambda: all([client.answer() for client in waiting]))


class _Client:
    """One opening handshake."""

    def __init__(self, storm: Storm, peer: Peer) -> None:
        self._storm = storm
        self._peer = peer
        self._answered = False
        peer.send(request_head())

    def answer(self) -> bool:
        """Whether there is one; the first time it is counted."""
        if not self._answered and (b"\r\n\r\n" in self._peer.received or self._peer.ended):
            self._answered = True
            self._storm.answers[self._peer.received[9:12].decode() or "reset"] += 1
            self._peer.close()
        return self._answered
