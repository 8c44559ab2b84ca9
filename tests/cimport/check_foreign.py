"""Runs the built foreign module; a script of its own, for the interpreter it was built with."""

from __future__ import annotations

import foreign

import wsfast

__all__ = ["main"]

KEY = b"\x37\xfa\x21\x3d"
#: RFC 6455 section 5.7: a single-frame masked text message, "Hello".
HELLO = bytes.fromhex("818537fa213d7f9f4d5158")


def masked(data: bytes) -> bytes:
    return bytes(byte ^ KEY[i % 4] for i, byte in enumerate(data))


def check_frames() -> None:
    assert foreign.write_frame(0x81, b"Hello", KEY) == HELLO
    assert foreign.read_frame(HELLO) == (1, True, b"Hello")
    for size in range(len(HELLO)):
        assert foreign.read_frame(HELLO[:size]) is None, size
    for size in (0, 1, 125, 126, 127, 65535, 65536, 100_001):
        payload = bytes(i % 251 for i in range(size))
        frame = foreign.write_frame(0x02, payload, KEY)
        header = 6 if size < 126 else 8 if size < 65536 else 14
        assert frame[header:] == masked(payload), size
        assert foreign.read_frame(frame) == (2, False, payload), size


def check_lengths() -> None:
    for bad in ("82fe007d", "82ff000000000000ffff", "82ff8000000000010000"):
        try:
            foreign.read_frame(bytes.fromhex(bad))
        except ValueError:
            continue
        raise AssertionError(bad)


def check_text() -> None:
    for text in (b"", b"ascii " * 30, "grüße, κόσμε, 😀 ".encode() * 9):
        assert foreign.is_text(text) == (len(text), True)
        assert foreign.text_in_pieces(text) == (len(text), True)
        ascii = text.isascii()
        assert foreign.read_text(masked(text), KEY) == (ascii, len(text), text)
    assert foreign.is_text(b"abc\xe2\x82") == (5, False)
    assert foreign.text_in_pieces(b"abc\xe2\x82") == (5, False)
    assert foreign.is_text(b"abc\xed\xa0\x80") == (4, False)
    assert foreign.text_in_pieces(b"abc\xed\xa0\x80") == (4, False)
    assert foreign.read_text(masked(b"abc\xff"), KEY)[:2] == (False, 3)


def check_keys() -> None:
    assert len({foreign.fresh_key() for _ in range(5000)}) > 4900


def main() -> None:
    check_frames()
    check_lengths()
    check_text()
    check_keys()
    print("foreign module agrees with wsfast", wsfast.__version__)


if __name__ == "__main__":
    main()
