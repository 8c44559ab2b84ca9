"""The opening handshake of many like connections: one full check for each distinct answer.

`ClientHandshake` writes the request once; every connection sends it with a fresh key. It also
checks the first answer, rule by rule. An answer that differs from one that was found valid in
nothing but its Sec-WebSocket-Accept is then valid exactly if that value is right, which takes a
comparison instead of a parse: the generator opens connections faster than servers accept them.
"""

from __future__ import annotations

import base64
import os

from wsfast.errors import HandshakeRefused
from wsfast.handshake import Accepted, ClientHandshake, accept_key

__all__ = ["Opener"]

END_OF_HEAD = b"\r\n\r\n"


class Opener:
    """Makes the requests to one URL and judges the answers.

    Args:
        url: a ws:// URL.

    Raises:
        InvalidURL: the URL breaks a rule of RFC 6455 section 3.
    """

    def __init__(self, url: str):
        self._url = url
        key = new_key()
        self._before_key, self._behind_key = ClientHandshake(url, key=key).request.split(
            key.encode("ascii")
        )
        self._valid = (b"", b"")  # a valid answer, cut around its Sec-WebSocket-Accept

    def request(self) -> tuple[str, bytes]:
        """A fresh Sec-WebSocket-Key, and the request that holds it (section 4.1)."""
        key = new_key()
        return key, self._before_key + key.encode("ascii") + self._behind_key

    def judge(self, key: str, received: bytes) -> int | None:
        """Judge what has arrived since the request was sent.

        Args:
            key: the one that was sent.
            received: all bytes so far.

        Returns:
            The size of the valid answer, behind which frames may follow; None: more must come.

        Raises:
            HandshakeRefused: the answer is not a valid 101; it holds the status.
        """
        accept = accept_key(key).encode("ascii")
        before, behind = self._valid
        answer = before + accept + behind
        if behind and received.startswith(answer):
            return len(answer)
        handshake = ClientHandshake(self._url, key=key)
        verdict = handshake.receive(received)
        if verdict is None:
            return None
        if not isinstance(verdict, Accepted):
            raise HandshakeRefused(
                verdict.reason, status=verdict.status, headers=verdict.headers, body=verdict.body
            )
        size = len(received) - len(handshake.trailing)
        self._learn(received[:size], accept)
        return size

    def _learn(self, answer: bytes, accept: bytes) -> None:
        """Remember a valid answer: nothing but the accept value changes with the key."""
        before, found, behind = answer.partition(accept)
        if found and behind.endswith(END_OF_HEAD) and accept not in behind:
            self._valid = before, behind


def new_key() -> str:
    """A Sec-WebSocket-Key: 16 bytes of the system's generator in base64 (section 4.1, item 7)."""
    return base64.b64encode(os.urandom(16)).decode("ascii")
