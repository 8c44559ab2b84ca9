"""The exceptions: your fault is an exception, the peer's fault is an event."""

from __future__ import annotations

__all__ = [
    "ConnectFailed",
    "ExtensionFailed",
    "HandshakeRefused",
    "InvalidURL",
    "LocalProtocolError",
    "TlsFailed",
    "WebSocketError",
]


class WebSocketError(Exception):
    """The base of everything that wsfast raises by a name of its own."""


class LocalProtocolError(WebSocketError):
    """The call would break RFC 6455: nothing was sent, the connection is as it was."""


class InvalidURL(WebSocketError, ValueError):
    """The text is no ws:// or wss:// URL (RFC 6455 section 3)."""


class ConnectFailed(WebSocketError, ConnectionError):
    """No WebSocket connection came about; the message names the address and the cause."""


class HandshakeRefused(ConnectFailed):
    """The server answered the opening handshake, and not with a valid 101.

    Attributes:
        status: HTTP status of the answer, or 0 if it was no HTTP response at all.
        headers: list of (name, value) pairs, both str, names in lower case.
        body: what of the body arrived with the head, bytes.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        headers: list[tuple[str, str]] | None = None,
        body: bytes = b"",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or []
        self.body = body


class TlsFailed(ConnectFailed):
    """The TLS handshake came to nothing; the message names the cause.

    Attributes:
        reason: OpenSSL's name of it, as "CERTIFICATE_VERIFY_FAILED" or
            "TLSV1_ALERT_UNKNOWN_CA" (an alert is what the peer said), or "".
        verify_message: what is wrong with the peer's certificate, as "certificate has expired",
            or "".
    """

    def __init__(self, cause: Exception) -> None:
        self.reason: str = getattr(cause, "reason", None) or ""
        self.verify_message: str = getattr(cause, "verify_message", None) or ""
        text = self.reason.replace("_", " ").lower() or str(cause)
        if self.verify_message:
            text += f": {self.verify_message}"
        super().__init__(f"TLS failed: {text}")
        self.__cause__ = cause


class ExtensionFailed(WebSocketError):
    """An extension could not decode what the peer sent: the connection fails with close_code.

    Attributes:
        close_code: 1002, 1007 or 1009 as a rule.
        reason: text for the Close frame, at most 123 bytes in UTF-8.
    """

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(f"{close_code}: {reason}")
        self.close_code = close_code
        self.reason = reason
