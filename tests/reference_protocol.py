"""The receiving half of RFC 6455, the slow and obvious way: one byte at a time.

Every rule is judged at the byte that settles it: opcode, RSV, FIN, role and the length of a
control frame at the second byte; the form of a length at its last byte; the limits at the end of
the header; UTF-8 at the byte that cannot be continued. So `events` can say at which offset
anything happened, and a faster parser must agree however its input was cut.
"""

from __future__ import annotations

from typing import Any

from wsfast.events import Closed, Ping, Pong
from wsfast.rfc6455 import Role

__all__ = ["ReferenceReceiver", "TextReader", "close_code_may_travel"]

#: Well-formed sequences, a row a form: the range of each byte (Unicode 3.9, table 3-7).
TABLE_3_7 = [
    [(0x00, 0x7F)],
    [(0xC2, 0xDF), (0x80, 0xBF)],
    [(0xE0, 0xE0), (0xA0, 0xBF), (0x80, 0xBF)],
    [(0xE1, 0xEC), (0x80, 0xBF), (0x80, 0xBF)],
    [(0xED, 0xED), (0x80, 0x9F), (0x80, 0xBF)],
    [(0xEE, 0xEF), (0x80, 0xBF), (0x80, 0xBF)],
    [(0xF0, 0xF0), (0x90, 0xBF), (0x80, 0xBF), (0x80, 0xBF)],
    [(0xF1, 0xF3), (0x80, 0xBF), (0x80, 0xBF), (0x80, 0xBF)],
    [(0xF4, 0xF4), (0x80, 0x8F), (0x80, 0xBF), (0x80, 0xBF)],
]


class TextReader:
    """Which byte may follow: CPython's incremental decoder lets ED A0 wait for a third byte."""

    def __init__(self) -> None:
        self.sequence: list[int] = []

    def read(self, byte: int) -> bool:
        """Whether the text can go on with this byte."""
        self.sequence.append(byte)
        for row in TABLE_3_7:
            pairs = list(zip(self.sequence, row, strict=False))
            if all(low <= each <= high for each, (low, high) in pairs):
                if len(self.sequence) == len(row):
                    self.sequence = []
                return True
        return False


def close_code_may_travel(code: int) -> bool:
    """Section 7.4 and the IANA registry, as lists."""
    registered = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014}
    return code in registered or code // 1000 in (3, 4)


class Failure(Exception):
    """The peer broke a rule: a close code, and the rule in a word."""


class ReferenceReceiver:
    """Reads bytes, keeps (offset, event) pairs.

    Attributes:
        events: (bytes read when it happened, event) in order.
        answers: (opcode, payload) of each Pong and Close that must be sent, in order.
        close_code: once it is over, the code of `Closed`; else None.
        broken: which rule the peer broke: rsv, mask, opcode, control, fragments, length, limit,
            text, close code or close payload; "" for none.
    """

    def __init__(
        self, role: Role, *, max_message_bytes: int = 1 << 20, max_fragments: int | None = None
    ) -> None:
        self.peer_masks = role is Role.SERVER
        self.max_message_bytes = max_message_bytes
        self.max_fragments = max_fragments
        self.events: list[tuple[int, Any]] = []
        self.answers: list[tuple[int, bytes]] = []
        self.close_code: int | None = None
        self.broken = ""
        self.offset = 0
        self.header = bytearray()
        self.payload = bytearray()
        self.missing = 0  # payload bytes of the frame under way; 0: a header is read
        self.message: bytearray | None = None
        self.fragments = 0
        self.is_text = False
        self.text = TextReader()

    def feed(self, data: bytes) -> list[Any]:
        """Read bytes; returns the events that they led to."""
        before = len(self.events)
        for byte in data:
            if self.close_code is None:
                self.offset += 1
                self.read(byte)
        return [event for _, event in self.events[before:]]

    receive = feed

    def read(self, byte: int) -> None:
        try:
            if self.missing:
                self.read_payload(byte)
            else:
                self.read_header(byte)
        except Failure as failure:
            code, self.broken = failure.args
            self.answers.append((8, code.to_bytes(2, "big")))
            self.end(code, "")

    # --- header ------------------------------------------------------------------------------

    def read_header(self, byte: int) -> None:
        self.header.append(byte)
        size = len(self.header)
        if size < 2:
            return
        if size == 2:
            self.judge_first_bytes()
        short = self.header[1] & 127
        extended = {126: 2, 127: 8}.get(short, 0)
        if size == 2 + extended and extended:
            self.judge_length(extended)
        if size == 2 + extended + (4 if self.peer_masks else 0):
            self.length = int.from_bytes(self.header[2 : 2 + extended], "big") or short
            self.key = bytes(self.header[2 + extended :]) or bytes(4)
            self.begin_frame()

    def judge_first_bytes(self) -> None:
        first, second = self.header
        self.fin, self.opcode = first >= 128, first & 15
        if first & 0x70:  # 5.2: no extension was negotiated
            raise Failure(1002, "rsv")
        if (second >= 128) != self.peer_masks:  # 5.1
            raise Failure(1002, "mask")
        if self.opcode not in (0, 1, 2, 8, 9, 10):  # 5.2
            raise Failure(1002, "opcode")
        if self.opcode >= 8 and not self.fin:  # 5.5
            raise Failure(1002, "control")
        if self.opcode >= 8 and second & 127 > 125:  # 5.5
            raise Failure(1002, "length")
        if self.opcode == 0 and self.message is None:  # 5.4
            raise Failure(1002, "fragments")
        if self.opcode in (1, 2) and self.message is not None:  # 5.4
            raise Failure(1002, "fragments")

    def judge_length(self, extended: int) -> None:
        length = int.from_bytes(self.header[2:], "big")
        if length < (126 if extended == 2 else 65536) or length >= 1 << 63:  # 5.2
            raise Failure(1002, "length")

    def begin_frame(self) -> None:
        self.header.clear()
        self.payload.clear()
        self.missing = self.length
        if self.opcode < 8:
            self.begin_fragment()
        if not self.missing:
            self.end_frame()

    def begin_fragment(self) -> None:
        if self.message is None:
            self.message = bytearray()
            self.fragments = 0
            self.is_text = self.opcode == 1
            self.text = TextReader()
        self.fragments += 1
        if len(self.message) + self.length > self.max_message_bytes:
            raise Failure(1009, "limit")
        if self.max_fragments is not None and self.fragments > self.max_fragments:
            raise Failure(1009, "limit")

    # --- payload -----------------------------------------------------------------------------

    def read_payload(self, byte: int) -> None:
        byte ^= self.key[len(self.payload) % 4]
        self.payload.append(byte)
        if self.opcode < 8 and self.is_text and not self.text.read(byte):
            raise Failure(1007, "text")
        self.missing -= 1
        if not self.missing:
            self.end_frame()

    def end_frame(self) -> None:
        payload = bytes(self.payload)
        if self.opcode == 8:
            self.end_close(payload)
        elif self.opcode == 9:
            self.answers.append((10, payload))
            self.emit(Ping(payload))
        elif self.opcode == 10:
            self.emit(Pong(payload))
        else:
            self.end_fragment(payload)

    def end_fragment(self, payload: bytes) -> None:
        assert self.message is not None
        self.message += payload
        if self.fin:
            if self.text.sequence:  # it ends inside a character
                raise Failure(1007, "text")
            message, self.message = bytes(self.message), None
            self.emit(message.decode() if self.is_text else message)

    def end_close(self, payload: bytes) -> None:
        if not payload:
            self.answers.append((8, b""))
            self.end(1005, "")
            return
        if len(payload) == 1:
            raise Failure(1002, "close payload")
        code = int.from_bytes(payload[:2], "big")
        if not close_code_may_travel(code):
            raise Failure(1002, "close code")
        try:
            reason = payload[2:].decode()
        except UnicodeDecodeError:
            raise Failure(1007, "close payload") from None
        self.answers.append((8, payload[:2]))
        self.end(code, reason)

    def emit(self, event: Any) -> None:
        self.events.append((self.offset, event))

    def end(self, close_code: int, reason: str) -> None:
        self.close_code = close_code
        self.emit(Closed(close_code, reason))
