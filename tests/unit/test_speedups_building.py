"""Whole frames in one piece, beside the slow frames of the self-tests."""

from __future__ import annotations

import array

import pytest

from wsfast.speedups.building import build_frame
from wsfast.speedups.selftest import SIZES, frame_bytes

KEY = b"\x12\x34\x56\x78"


@pytest.mark.parametrize("size", [*SIZES, 65535, 65536, 70000])
@pytest.mark.parametrize("key", [None, KEY, b"\0\0\0\0"])
def test_every_length_form_plain_and_masked(size: int, key: bytes | None) -> None:
    payload = bytes(i * 7 & 255 for i in range(size))
    assert build_frame(0x82, payload, key) == frame_bytes(2, payload, masking_key=key)


@pytest.mark.parametrize("first_byte", [0, 1, 0x81, 0x8A, 0x42, 0xFF])
def test_first_byte_travels_as_it_is(first_byte: int) -> None:
    assert build_frame(first_byte, b"abc") == bytes([first_byte, 3]) + b"abc"


@pytest.mark.parametrize(
    "kind", [bytes, bytearray, memoryview, lambda data: array.array("B", data)]
)
def test_any_contiguous_buffer(kind: object, level: str) -> None:
    assert callable(kind)
    payload = bytes(range(200))
    frame = build_frame(0x82, kind(payload), KEY)
    assert type(frame) is bytes
    assert frame == frame_bytes(2, payload, masking_key=KEY)


def test_payload_is_not_touched() -> None:
    payload = bytearray(b"x" * 100)
    build_frame(0x82, payload, KEY)
    assert payload == b"x" * 100
    payload.append(1)  # the buffer is released


@pytest.mark.parametrize("payload", [None, "text", 3, [1, 2]])
def test_refuses_what_is_no_buffer(payload: object) -> None:
    with pytest.raises(TypeError):
        build_frame(0x82, payload)  # type: ignore[arg-type]


def test_refuses_what_is_not_contiguous() -> None:
    with pytest.raises(BufferError):
        build_frame(0x82, memoryview(b"abcdef")[::2])


@pytest.mark.parametrize("key", [b"", b"abc", b"abcde"])
def test_refuses_keys_of_another_size(key: bytes) -> None:
    with pytest.raises(ValueError, match=f"masking key has {len(key)} bytes, must have 4"):
        build_frame(0x82, b"", key)


@pytest.mark.parametrize("first_byte", [-1, 256, 1000])
def test_refuses_first_bytes_that_are_none(first_byte: int) -> None:
    with pytest.raises(ValueError, match=f"{first_byte}, must be 0 to 255"):
        build_frame(first_byte, b"")
