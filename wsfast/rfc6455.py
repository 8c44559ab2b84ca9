"""Every number and name of RFC 6455 that the code uses, with its section."""

from __future__ import annotations

import enum

__all__ = [
    "GUID",
    "MAX_CONTROL_PAYLOAD",
    "MAX_HEADER_BYTES",
    "MAX_REASON_BYTES",
    "VERSION",
    "CloseCode",
    "Opcode",
    "Role",
    "State",
    "is_sendable_close_code",
]

#: Appended to Sec-WebSocket-Key before hashing (section 1.3).
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

#: Sec-WebSocket-Version (section 4.1, item 9).
VERSION = 13

#: A control frame carries at most this many bytes (section 5.5).
MAX_CONTROL_PAYLOAD = 125

#: A close reason shares a control frame with its two bytes of close code (section 5.5.1).
MAX_REASON_BYTES = MAX_CONTROL_PAYLOAD - 2

#: Two bytes, eight of extended length, four of masking key (section 5.2).
MAX_HEADER_BYTES = 14


class Opcode(enum.IntEnum):
    """What a frame is (section 11.8)."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class CloseCode(enum.IntEnum):
    """Why a connection closed (section 7.4.1 and the IANA registry of section 11.7)."""

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS_RCVD = 1005
    ABNORMAL_CLOSURE = 1006
    INVALID_FRAME_PAYLOAD_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_HANDSHAKE = 1015


class Role(enum.IntEnum):
    """Which end of the connection we are: it decides who masks (section 5.1)."""

    CLIENT = 0
    SERVER = 1


class State(enum.IntEnum):
    """Where a connection stands (section 4.1, 7.1.2 to 7.1.4)."""

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3


def is_sendable_close_code(code: int) -> bool:
    """Whether a Close frame may carry this code (sections 7.4.1 and 7.4.2).

    1005, 1006 and 1015 describe what happened and never travel; 1004 is reserved; 3000-3999 are
    registered by libraries, 4000-4999 are free for applications.
    """
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
