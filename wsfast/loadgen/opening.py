"""The opening handshake of many like connections: one full check for each distinct answer.

`ClientHandshake` writes the request once; every connection sends it with a fresh key. It also
checks the first answer, rule by rule. An answer that differs from one that was found valid in
nothing but its Sec-WebSocket-Accept is then valid exactly if that value is right, which takes a
comparison instead of a parse: the generator opens connections faster than servers accept them.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Sequence
from typing import Any

from wsfast.errors import HandshakeRefused
from wsfast.handshake import Accepted, ClientHandshake, accept_key

__all__ = ["TOKEN", "Opener"]

END_OF_HEAD = b"\r\n\r\n"


#: Where a URL or a header has this, every connection has its own token.
TOKEN = "{token}"


class Opener:
    """Makes the requests to one URL and judges the answers.

    Args:
        url: a ws:// URL.
        headers: further headers, names and values.
        origin: value of the Origin header.
        subprotocols: names to offer, the preferred one first.
        tokens: one for each connection; stands where the URL or a header says "{token}".

    Raises:
        InvalidURL: the URL breaks a rule of RFC 6455 section 3.
        LocalProtocolError: a header, the origin or a subprotocol cannot be sent.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        origin: str | None = None,
        subprotocols: Sequence[str] = (),
        tokens: Sequence[str] = (),
    ):
        mark = secrets.token_hex(16)  # stands for the token where a request is checked
        self._url = url.replace(TOKEN, mark)
        self._options: dict[str, Any] = {
            "headers": [(name, value.replace(TOKEN, mark)) for name, value in headers],
            "origin": origin,
            "subprotocols": list(subprotocols),
        }
        self._mark = mark.encode("ascii") if tokens else b""
        self._tokens = [token.encode("utf-8") for token in tokens]
        key = new_key()
        request = self._handshake(key).request
        self._before_key, self._behind_key = request.split(key.encode("ascii"))
        self._valid = (b"", b"")  # a valid answer, cut around its Sec-WebSocket-Accept

    def _handshake(self, key: str) -> ClientHandshake:
        return ClientHandshake(self._url, key=key, **self._options)

    def request(self, index: int = 0) -> tuple[str, bytes]:
        """A fresh Sec-WebSocket-Key, and the request that holds it (section 4.1).

        Args:
            index: of the connection, whose token it is.
        """
        key = new_key()
        request = self._before_key + key.encode("ascii") + self._behind_key
        if self._mark:
            request = request.replace(self._mark, self._tokens[index])
        return key, request

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
        handshake = self._handshake(key)
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
